//! Sessions, which scripts of another origin use.

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

/// Each `layer` wraps the routes and the layers above it.
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
struct User(u32);

/// Runs outside of `ConditionalLayer`, so without a session the answer is always 401.
async fn authorize(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let user = user(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}

/// Finds the session. In production it is in a database.
fn user(headers: &HeaderMap) -> Option<User> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split("; "));
    match cookies.find_map(|cookie| cookie.strip_prefix("id="))? {
        "5f2a" => Some(User(1)),
        "77c1" => Some(User(2)),
        _ => None,
    }
}

/// Marks the response as private. The layer gives it a tag as usual, but no date.
async fn profile(Extension(user): Extension<User>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "private, no-cache")], Json(json!({ "user": user.0 })))
}
