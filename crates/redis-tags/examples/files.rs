//! A file server that shares tags with other servers: `cargo run --example files`.
//!
//! The example reads these environment variables:
//!
//! - `ADDR`: the address to listen on, by default `127.0.0.1:3000`.
//! - `FOLDER`: the folder to serve, by default the current one.
//! - `REDIS_URL`: the Redis in which tags are shared. Without it, no tags are shared.
//! - `TAG_SECRET`: the secret that all servers have, of at least 32 bytes.
//! - `BUFFER_LIMIT`: a file of at most this many bytes is read ahead, by default 1 MiB.
//!   The tags of larger files are shared.
//!
//! `/-/stats` shows the counters of the layer.

use std::{env, error::Error};

use axum::{routing::get, Router};
use tokio::net::TcpListener;
use tower_conditional::{AddLastModified, ConditionalLayer, InnerTags, SharedTags};
use tower_conditional_redis::RedisTags;
use tower_http::services::ServeDir;

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str, default: &str| env::var(name).unwrap_or(default.into());
    let mut inner_tags = InnerTags::replace();
    if let Ok(url) = env::var("REDIS_URL") {
        let store = RedisTags::connect(&url)?;
        let tags = SharedTags::new("files", env::var("TAG_SECRET")?, store)?;
        inner_tags = inner_tags.store(tags);
    }
    let layer = ConditionalLayer::new()
        .inner_tags(inner_tags)
        .buffer_limit(setting("BUFFER_LIMIT", "1048576").parse()?)
        .ranges(true)
        // The files have the same dates on all servers. Generated dates would differ.
        .add_last_modified(AddLastModified::Never);
    let stats = layer.clone();
    let files = Router::new()
        .fallback_service(ServeDir::new(setting("FOLDER", ".")))
        .layer(layer)
        .route("/-/stats", get(move || async move { format!("{:?}", stats.stats()) }));
    let listener = TcpListener::bind(setting("ADDR", "127.0.0.1:3000")).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, files).await?)
}
