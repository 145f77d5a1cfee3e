//! A small application whose responses can be revalidated.
//!
//! Run with `cargo run --example axum`, on another address with `ADDR=127.0.0.1:4000
//! cargo run --example axum`; open <http://127.0.0.1:3000> in a browser, or try `curl
//! -i http://127.0.0.1:3000/flags`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode},
    response::{
        sse::{Event, Sse},
        Html,
    },
    routing::get,
    Json, Router,
};
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio_stream::{wrappers::IntervalStream, StreamExt};
use tower_conditional::{ConditionalLayer, Decision, EntityTag, Preconditions};

type Flags = BTreeMap<String, bool>;
type Stored = Arc<Mutex<Flags>>;

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
    let flags: Stored = Arc::new(Mutex::new(flags.map(|(name, on)| (name.to_owned(), on)).into()));
    Router::new()
        .route("/", get(page))
        .route("/flags", get(read).put(write))
        .route("/events", get(events))
        .route("/large", get(large))
        .with_state(flags)
        .layer(ConditionalLayer::new())
}

/// Shows all this at work; a browser that has it and reloads it gets a 304.
async fn page() -> Html<&'static str> {
    Html(include_str!("axum/page.html"))
}

/// Polled by clients: nearly always a 304.
async fn read(State(stored): State<Stored>) -> Json<Flags> {
    Json(lock(&stored).clone())
}

/// Replaces the flags, unless somebody else was faster: `curl -X PUT -H 'If-Match:
/// ".."' --json '{}' ..`.
///
/// The layer cannot judge this, so the handler does, and holds the lock meanwhile.
async fn write(
    State(stored): State<Stored>,
    headers: HeaderMap,
    Json(new): Json<Flags>,
) -> Result<StatusCode, StatusCode> {
    let mut flags = lock(&stored);
    let content = serde_json::to_vec(&*flags).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let current = EntityTag::of(&content);
    if Preconditions::new(&Method::PUT, &headers).evaluate(&current) != Decision::Proceed {
        return Err(StatusCode::PRECONDITION_FAILED);
    }
    *flags = new;
    Ok(StatusCode::NO_CONTENT)
}

fn lock(stored: &Stored) -> MutexGuard<'_, Flags> {
    stored.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Never finished: the layer lets it through as it comes.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    Sse::new(ticks.map(|_| Ok(Event::default().data("tick"))))
}

/// More than the layer holds: it goes out at once, and has no tag.
async fn large() -> Vec<u8> {
    vec![0; 8_000_000]
}
