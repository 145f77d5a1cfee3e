//! A cache of responses inside the layer: few requests reach the handler.

use std::time::Duration;

use axum::{
    body::{to_bytes, Bytes},
    error_handling::HandleErrorLayer,
    http::StatusCode,
    response::Response,
    routing::get,
    BoxError, Router,
};
use http_body_util::Full;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_conditional::ConditionalLayer;
use tower_http_cache::prelude::{CacheLayer, InMemoryBackend};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await
}

/// The layer is outside of the cache, so a response from the cache can become a 304.
pub fn app() -> Router {
    // The cache finds a response by path and query, so it must wrap only content that
    // is the same for all users and languages. The cache keeps no errors.
    let cache = CacheLayer::builder(InMemoryBackend::new(1000))
        .ttl(Duration::from_secs(60))
        .negative_ttl(Duration::ZERO);
    let cache = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(|_: BoxError| async { StatusCode::BAD_GATEWAY }))
        .layer(cache.build())
        .and_then(whole);
    Router::new()
        .route("/report", get(report))
        .layer(cache)
        .layer(ConditionalLayer::new())
}

/// Reads the whole body. The cache takes only `Sync` bodies, and Axum's is not `Sync`.
async fn whole(response: Response) -> Result<Response<Full<Bytes>>, BoxError> {
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, to_bytes(body, 1 << 20).await?.into()))
}

async fn report() -> String {
    tokio::time::sleep(Duration::from_secs(1)).await;
    "a report that takes a second to make\n".repeat(100)
}
