//! An API that compresses.

use axum::{routing::get, Json, Router};
use tokio::net::TcpListener;
use tower_conditional::ConditionalLayer;
use tower_http::compression::CompressionLayer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await
}

/// `ConditionalLayer` contains the compression layer. It makes tags from the plain
/// content, and adds the coding to them: `"5f2a"`, `"5f2a~gzip"`, `"5f2a~br"`.
pub fn app() -> Router {
    Router::new()
        .route("/numbers", get(numbers))
        .layer(ConditionalLayer::new().compress_with(CompressionLayer::new()))
}

async fn numbers() -> Json<Vec<u32>> {
    Json((1..1000).collect())
}
