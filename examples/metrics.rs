//! What the layer did, as Prometheus text: `cargo run --example metrics`, then `curl
//! http://127.0.0.1:3000/metrics`.

use std::{env, fmt::Write, io};

use axum::{http::header::CONTENT_TYPE, response::IntoResponse, routing::get, Router};
use tokio::net::TcpListener;
use tower_conditional::{ConditionalLayer, Stats};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app()).await
}

/// A page with the layer, and its figures without.
pub fn app() -> Router {
    let layer = ConditionalLayer::new();
    let page =
        Router::new().route("/", get(|| async { "The same every time.\n" })).layer(layer.clone());
    page.route("/metrics", get(move || async move { metrics(&layer.stats()) }))
}

fn metrics(stats: &Stats) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text(stats))
}

/// Writes the figures in Prometheus's text format.
fn text(stats: &Stats) -> String {
    let mut text = String::new();
    for (name, kind, value) in [
        ("served_total", "counter", stats.served),
        ("tagged_total", "counter", stats.tagged),
        ("not_modified_total", "counter", stats.not_modified),
        ("precondition_failed_total", "counter", stats.precondition_failed),
        ("bytes_not_sent_total", "counter", stats.bytes_not_sent),
        ("bytes_hashed_total", "counter", stats.bytes_hashed),
        ("bytes_compared_total", "counter", stats.bytes_compared),
        ("bytes_remembered", "gauge", stats.bytes_kept),
    ] {
        let _ = writeln!(
            text,
            "# TYPE http_conditional_{name} {kind}\nhttp_conditional_{name} {value}"
        );
    }
    text.push_str("# TYPE http_conditional_left_alone_total counter\n");
    for (reason, count) in stats.left_alone() {
        let _ =
            writeln!(text, "http_conditional_left_alone_total{{reason=\"{reason:?}\"}} {count}");
    }
    text
}
