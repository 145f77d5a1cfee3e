//! A file server of which there can be many: `cargo run --example files`.
//!
//! `ADDR`, `FOLDER`, `REDIS_URL` and `TAG_SECRET` say where it listens, what it serves,
//! and where and with what tags are shared; without `REDIS_URL` they are not. Content
//! above `BUFFER_LIMIT` bytes counts as large. `/-/stats` says what was done.

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
        // Each server would generate dates of its own; those of the files are the same.
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
