//! Counters for Prometheus, and an event for each request.

use std::fmt::Write;

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::get,
    Router,
};
use tokio::net::TcpListener;
use tower_conditional::{ConditionalLayer, Stats};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // `RUST_LOG=tower_conditional=debug` prints each decision.
    tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).init();
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await
}

/// The layer wraps the page. It does not wrap `/metrics`, which shows the counters.
pub fn app() -> Router {
    let layer = ConditionalLayer::new();
    Router::new()
        .route("/", get(|| async { "The same every time.\n" }))
        .layer(layer.clone())
        // Clones of the layer share its counters.
        .route("/metrics", get(move || async move { metrics(&layer.stats()) }))
}

fn metrics(stats: &Stats) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text(stats)).into_response()
}

/// Writes the counters in Prometheus's text format.
fn text(stats: &Stats) -> String {
    let mut text = String::new();
    for (name, kind, value) in [
        ("served_total", "counter", stats.served),
        ("tagged_total", "counter", stats.tagged),
        ("not_modified_total", "counter", stats.not_modified),
        ("precondition_failed_total", "counter", stats.precondition_failed),
        ("state_unavailable_total", "counter", stats.state_unavailable),
        ("parts_refused_total", "counter", stats.parts_refused),
        ("busy_total", "counter", stats.busy),
        ("manifest_mismatches_total", "counter", stats.manifest_mismatches),
        ("shared_rejected_total", "counter", stats.shared_rejected),
        ("bytes_not_sent_total", "counter", stats.bytes_not_sent),
        ("bytes_hashed_total", "counter", stats.bytes_hashed),
        ("bytes_compared_total", "counter", stats.bytes_compared),
        ("bytes_kept", "gauge", stats.bytes_kept),
    ] {
        let name = format!("http_conditional_{name}");
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    }
    let name = "http_conditional_left_alone_total";
    let _ = writeln!(text, "# TYPE {name} counter");
    for (reason, count) in stats.left_alone() {
        let _ = writeln!(text, "{name}{{reason=\"{reason:?}\"}} {count}");
    }
    text
}
