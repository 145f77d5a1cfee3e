//! gRPC and REST on one port.

use axum::{routing::get, Router};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower_conditional::ConditionalLayer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await
}

/// The layer wraps both services. gRPC calls are POSTs, so they pass through it
/// unchanged, with their streams and trailers.
pub fn app() -> Router {
    let (_, health) = tonic_health::server::health_reporter();
    Routes::new(health)
        .into_axum_router()
        .route("/flags", get(|| async { "dark-mode" }))
        .layer(ConditionalLayer::new())
}
