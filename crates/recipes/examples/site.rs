//! The files of a site, on any number of servers.

use std::path::Path;

use axum::{
    http::{header::CACHE_CONTROL, HeaderValue, Response, StatusCode},
    Router,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_conditional::{ConditionalLayer, InnerTags};
use tower_http::{
    services::{ServeDir, ServeFile},
    set_header::SetResponseHeaderLayer,
};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(Path::new("dist"))).await
}

/// `/assets/app-5f2a.js` never changes, because its name has a hash of its content.
/// Other files may change with each deploy. If no file has the path, the answer is
/// `index.html`, whose script handles the route.
pub fn app(dist: &Path) -> Router {
    let assets = ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::overriding(CACHE_CONTROL, immutable))
        .service(ServeDir::new(dist.join("assets")));
    let pages = ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::overriding(
            CACHE_CONTROL,
            // A browser stores the page, and revalidates it each time.
            HeaderValue::from_static("no-cache"),
        ))
        .service(ServeDir::new(dist).fallback(ServeFile::new(dist.join("index.html"))));
    Router::new()
        .nest_service("/assets", assets)
        .fallback_service(pages)
        // A tag of the content replaces the tag of the file's date, because the date
        // differs on each server.
        .layer(ConditionalLayer::new().inner_tags(InnerTags::replace()).ranges(true))
}

/// Sets `immutable`, except on a 404. During a deploy one server may not have the file
/// yet, and caches must not keep that 404.
fn immutable<B>(response: &Response<B>) -> Option<HeaderValue> {
    let is_there =
        response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    is_there.then(|| HeaderValue::from_static("public, max-age=31536000, immutable"))
}
