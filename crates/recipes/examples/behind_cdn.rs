//! Behind nginx or a CDN, which answers most requests by itself.

use axum::{
    extract::Path,
    http::{header::CACHE_CONTROL, HeaderValue},
    routing::get,
    Json, Router,
};
use serde_json::{json, Value};
use tokio::net::TcpListener;
use tower_conditional::ConditionalLayer;
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await
}

/// Shared caches may store the catalogue. The basket is for one user only.
pub fn app() -> Router {
    // Browsers revalidate each time. The CDN answers them from its store for a minute,
    // and then revalidates with the tag. If the application is down, the CDN answers
    // from its store for up to an hour.
    let public = "public, max-age=0, s-maxage=60, stale-if-error=3600";
    let says = |text| {
        SetResponseHeaderLayer::if_not_present(
            CACHE_CONTROL,
            HeaderValue::from_static(text),
        )
    };
    let catalogue = Router::new().route("/items/{id}", get(item)).layer(says(public));
    let own =
        Router::new().route("/basket", get(basket)).layer(says("private, no-cache"));
    // The application compresses, so that no proxy compresses. A proxy would make the
    // tag weak, and clients cannot edit or resume with a weak tag.
    let layer = ConditionalLayer::new().compress_with(CompressionLayer::new());
    catalogue.merge(own).layer(layer)
}

async fn item(Path(id): Path<u32>) -> Json<Value> {
    Json(json!({ "id": id, "text": "what there is to say about it. ".repeat(20) }))
}

async fn basket() -> Json<Value> {
    Json(json!({ "items": [1, 2] }))
}
