//! Events that announce a change, and the content at another path.

use std::convert::Infallible;

use axum::{
    extract::State,
    http::StatusCode,
    response::sse::{Event, Sse},
    routing::get,
    Router,
};
use futures_util::Stream;
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::{wrappers::WatchStream, StreamExt};
use tower_conditional::{ConditionalLayer, EntityTag, Preconditions, Rejection};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await
}

type News = watch::Sender<String>;

/// The layer wraps both routes. Events pass through it one by one, as they come.
pub fn app() -> Router {
    Router::new()
        .route("/news", get(read).put(write))
        .route("/events", get(events))
        .with_state(watch::Sender::new("nothing new".to_owned()))
        .layer(ConditionalLayer::new())
}

async fn read(State(news): State<News>) -> String {
    news.borrow().clone()
}

/// Checks the preconditions and writes while `send_if_modified` holds its lock.
async fn write(
    State(news): State<News>,
    preconditions: Preconditions,
    text: String,
) -> Result<StatusCode, Rejection> {
    let mut checked = Ok(());
    news.send_if_modified(|current| {
        let tag = EntityTag::of(current.as_bytes());
        checked = preconditions.check_required(&tag);
        if checked.is_ok() {
            *current = text;
        }
        checked.is_ok()
    });
    checked.map(|()| StatusCode::NO_CONTENT)
}

/// Sends the tag of the current news, and a new tag after each change. A client that
/// holds content with another tag sends a GET with If-None-Match. A client that
/// reconnects gets the current tag first.
async fn events(
    State(news): State<News>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let tags =
        WatchStream::new(news.subscribe()).map(|text| EntityTag::of(text.as_bytes()));
    Sse::new(
        tags.map(|tag| Ok(Event::default().event("changed").data(tag.to_string()))),
    )
}
