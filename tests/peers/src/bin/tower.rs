//! Serves a folder with tower-http's `ServeDir`: `tower PORT FOLDER plain|gzip|ours`.

use std::env;

use axum::Router;
use tower_conditional::ConditionalLayer;
use tower_http::{compression::CompressionLayer, services::ServeDir};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, folder, kind] = &arguments[..] else { panic!("a port, a folder, and a kind") };
    let files = Router::new().fallback_service(ServeDir::new(folder));
    let ours = ConditionalLayer::new().compress_with(CompressionLayer::new());
    let app = match &**kind {
        "gzip" => files.layer(CompressionLayer::new()),
        "ours" => files.layer(ours),
        _ => files,
    };
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await;
    axum::serve(listener.expect("a free port"), app).await.expect("a server");
}
