//! A small application whose responses can be revalidated.
//!
//! Run with `cargo run --example axum`, on another address with `ADDR=127.0.0.1:4000 cargo run --example axum`; try with
//! `curl -i http://127.0.0.1:3000/flags`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{
        sse::{Event, Sse},
        Html,
    },
    routing::{get, put},
    Json, Router,
};
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio_stream::{wrappers::IntervalStream, StreamExt};
use tower_conditional::ConditionalLayer;

type Flags = Arc<Mutex<BTreeMap<String, bool>>>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app()).await
}

/// The whole application; the last line is all that it takes.
pub fn app() -> Router {
    let flags = [("dark-mode", true), ("new-checkout", false)];
    let flags: Flags = Arc::new(Mutex::new(flags.map(|(name, on)| (name.to_owned(), on)).into()));
    Router::new()
        .route("/", get(page))
        .route("/flags", get(all))
        .route("/flags/{name}", put(set))
        .route("/events", get(events))
        .with_state(flags)
        .layer(ConditionalLayer::new())
}

async fn page() -> Html<&'static str> {
    Html("<!doctype html><title>Flags</title><p><a href=/flags>flags</a> <a href=/events>events</a>\n")
}

/// Polled by clients: nearly always a 304.
async fn all(State(flags): State<Flags>) -> Json<BTreeMap<String, bool>> {
    Json(flags.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

async fn set(State(flags): State<Flags>, Path(name): Path<String>, Json(on): Json<bool>) -> StatusCode {
    match flags.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&name) {
        Some(flag) => {
            *flag = on;
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

/// Never finished: the layer lets it through as it comes.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    Sse::new(ticks.map(|_| Ok(Event::default().data("tick"))))
}
