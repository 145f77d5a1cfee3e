//! A small application with conditional requests.
//!
//! Run it with `cargo run --example axum`. To use another address, run
//! `ADDR=127.0.0.1:4000 cargo run --example axum`. Then open <http://127.0.0.1:3000> in
//! a browser, or run `curl -i http://127.0.0.1:3000/flags`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode},
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
use tower_conditional::{ConditionalLayer, EntityTag, Preconditions};
use tower_http::compression::CompressionLayer;

type Flags = BTreeMap<String, bool>;
type Stored = Arc<Mutex<Flags>>;

#[tokio::main]
async fn main() -> Result<(), String> {
    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await.map_err(|error| {
        format!(
            "cannot listen on {address}: {error}. \
             Set another address: ADDR=127.0.0.1:4000"
        )
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    eprintln!("listening on http://{address}");
    axum::serve(listener, app()).await.map_err(|error| error.to_string())
}

/// Makes the application. The last line adds the tags, the 304s and the compression.
pub fn app() -> Router {
    let flags: Stored = Arc::new(Mutex::new(flags()));
    Router::new()
        .route("/", get(page))
        .route("/flags", get(read).put(write))
        .route("/events", get(events))
        .route("/large", get(large))
        .with_state(flags)
        .layer(ConditionalLayer::new().compress_with(CompressionLayer::new()))
}

/// Returns a page that shows the requests. A reload in the browser gets a 304.
async fn page() -> Html<&'static str> {
    Html(include_str!("axum/page.html"))
}

/// Returns the flags. Clients poll this, and nearly always get a 304.
async fn read(State(stored): State<Stored>) -> Json<Flags> {
    Json(lock(&stored).clone())
}

/// Replaces the flags. If another client was faster, the answer is 412 with the reason.
///
/// The layer sees only the response to a write, when the write is done. So the handler
/// checks the preconditions, and holds the lock until it has written.
async fn write(
    State(stored): State<Stored>,
    headers: HeaderMap,
    Json(new): Json<Flags>,
) -> Result<StatusCode, Response<String>> {
    let mut flags = lock(&stored);
    let current = EntityTag::of(serde_json::json!(*flags).to_string().as_bytes());
    let checked = Preconditions::new(&Method::PUT, &headers).check(current);
    checked.map_err(|refusal| refusal.problem_details())?;
    *flags = new;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns about 5 kB of flags, as in a real application.
fn flags() -> Flags {
    let areas = "account analytics archive billing calendar cart catalogue chat \
        contacts dashboard editor export gallery import inventory invoice login mobile \
        newsletter orders payment profile reports returns search settings shipping \
        support upload wishlist";
    let changes = "assistant audit-log bulk-edit new-layout shortcuts two-columns";
    let pair = |area| changes.split(' ').map(move |change| format!("{area}-{change}"));
    let pairs = areas.split(' ').flat_map(pair);
    let mut flags: Flags = pairs.map(|name| (name, false)).collect();
    flags.insert("dark-mode".to_owned(), true);
    flags.insert("new-checkout".to_owned(), false);
    flags
}

fn lock(stored: &Stored) -> MutexGuard<'_, Flags> {
    stored.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns an endless stream, which the layer passes through as it comes.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    Sse::new(ticks.map(|_| Ok(Event::default().data("tick"))))
}

/// Returns more than the 1 MiB that the layer reads ahead, so the content is sent at
/// once, without a tag.
async fn large() -> Vec<u8> {
    vec![0; 8_000_000]
}
