//! Sessions, for scripts of another origin.

use axum::{
    extract::Request,
    http::{
        header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, ETAG, IF_MATCH, IF_NONE_MATCH},
        HeaderMap, HeaderValue, Method, StatusCode,
    },
    middleware::{from_fn, Next},
    response::{IntoResponse, Response},
    routing::get,
    Extension, Json, Router,
};
use serde_json::json;
use tokio::net::TcpListener;
use tower_conditional::ConditionalLayer;
use tower_http::cors::CorsLayer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await
}

/// Each `layer` is around those above it.
pub fn app() -> Router {
    let cors = CorsLayer::new()
        .allow_origin(HeaderValue::from_static("https://app.example"))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::PUT])
        .allow_headers([CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH])
        // Otherwise `response.headers.get("etag")` is null in a script.
        .expose_headers([ETAG]);
    Router::new()
        .route("/profile", get(profile))
        .layer(ConditionalLayer::new())
        .layer(from_fn(authorize))
        .layer(cors)
}

#[derive(Clone)]
struct User(&'static str);

/// Outside of `ConditionalLayer`: without a session the answer is 401, never 304.
async fn authorize(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let user = user(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}

fn user(headers: &HeaderMap) -> Option<User> {
    match headers
        .get(COOKIE)?
        .to_str()
        .ok()?
        .split("; ")
        .find(|c| c.starts_with("id="))?
    {
        "id=5f2a" => Some(User("Ada")),
        "id=77c1" => Some(User("Grace")),
        _ => None,
    }
}

/// Says that it is for one user. The tag works as ever, and there is no date.
async fn profile(Extension(user): Extension<User>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "private, no-cache")], Json(json!({ "name": user.0 })))
}
