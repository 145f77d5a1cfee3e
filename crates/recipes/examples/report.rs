//! A report that takes long to make. For a 304, the handler does not run.

use std::{
    collections::HashMap,
    future::ready,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{extract::Path, http::StatusCode, routing::get, Router};
use tokio::net::TcpListener;
use tower_conditional::{EntityTag, PreconditionLayer, Representation};

/// The versions of the data of each year. In production they are in a database.
pub type Versions = Arc<Mutex<HashMap<u32, u64>>>;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let versions = Arc::new(Mutex::new(HashMap::from([(2025, 7)])));
    axum::serve(listener, app(versions)).await
}

/// The layer first looks up the version of the data. If the client has the report of
/// that version, the handler does not run.
pub fn app(versions: Versions) -> Router {
    let layer = PreconditionLayer::from_extractor(move |Path(year): Path<u32>| {
        let versions = versions.lock().unwrap_or_else(PoisonError::into_inner);
        ready(match versions.get(&year) {
            Some(version) => Representation::from(tag(*version)),
            None => Representation::Missing,
        })
    });
    // Layers of a route run after routing, so this one can extract `{year}`.
    let reports = Router::new().route("/{year}", get(report)).route_layer(layer);
    Router::new().nest("/reports", reports)
}

/// The tag changes with the data, and with the version of the program.
fn tag(version: u64) -> EntityTag {
    EntityTag::of_parts([&*version.to_string(), env!("CARGO_PKG_VERSION")])
}

async fn report(Path(year): Path<u32>) -> Result<String, StatusCode> {
    if year != 2025 {
        return Err(StatusCode::NOT_FOUND);
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    Ok(format!("All of {year}, in detail.\n"))
}
