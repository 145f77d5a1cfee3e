//! A client that polls a configuration document, and parses it only when it has
//! changed.
//!
//! Run with `cargo run -p interop --example poll`, which serves a document itself and
//! polls it ten times, or with `cargo run -p interop --example poll --
//! http://127.0.0.1:3000/flags 60`, which polls another server for a minute.

#![allow(clippy::exhaustive_structs, clippy::print_stdout)]

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    time::{Duration, Instant},
};

use axum::{routing::get, Json, Router};
use reqwest::{
    header::{HeaderValue, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
    Client, StatusCode,
};
use tokio::{net::TcpListener, time};
use tower_conditional::ConditionalLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut url, mut polls) = (None, 10);
    for argument in env::args().skip(1) {
        match argument.parse() {
            Ok(number) => polls = number,
            Err(_) => url = Some(argument),
        }
    }
    let url = match url {
        Some(url) => url,
        None => serve().await?,
    };
    let mut document = Document::new(url)?;
    let mut seconds = time::interval(Duration::from_secs(1));
    for poll in 1..=polls {
        seconds.tick().await;
        let outcome = document
            .poll()
            .await
            .map_or_else(|error| error.to_string(), |status| status.to_string());
        // What was read last is the best that is known, whatever came of this poll.
        println!("{poll:3}  {outcome:16}  {:?}", document.flags());
    }
    let Totals { parsed, not_modified, bytes, bytes_saved } = document.totals();
    println!("parsed {parsed} times, not modified {not_modified} times");
    println!("{bytes} bytes of content came, {bytes_saved} did not have to");
    Ok(())
}

type Flags = BTreeMap<String, bool>;

/// A document that is polled, as it was last read.
#[derive(Debug)]
pub struct Document {
    client: Client,
    url: String,
    held: Option<Held>,
    totals: Totals,
}

/// The parsed value, and beside it what the server has to be told to learn whether it
/// is current.
#[derive(Debug)]
struct Held {
    flags: Flags,
    bytes: usize,
    tag: Option<HeaderValue>,
    date: Option<HeaderValue>,
}

/// What came of all polls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Times that new content was read.
    pub parsed: usize,
    /// Times that the value held was current.
    pub not_modified: usize,
    /// Bytes of content that came.
    pub bytes: usize,
    /// Bytes of content that would have come again.
    pub bytes_saved: usize,
}

impl Document {
    /// Knows of a document, and holds nothing yet.
    pub fn new(url: String) -> Result<Self, Box<dyn Error>> {
        let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { client, url, held: None, totals: Totals::default() })
    }

    /// Asks whether the document has changed, and reads it if so. After an error the
    /// old one is still held.
    pub async fn poll(&mut self) -> Result<StatusCode, Box<dyn Error>> {
        let mut request = self.client.get(&self.url);
        if let Some(held) = &self.held {
            if let Some(tag) = &held.tag {
                request = request.header(IF_NONE_MATCH, tag);
            }
            if let Some(date) = &held.date {
                request = request.header(IF_MODIFIED_SINCE, date);
            }
        }
        let response = request.send().await?;
        let status = response.status();
        let tag = response.headers().get(ETAG).cloned();
        let date = response.headers().get(LAST_MODIFIED).cloned();
        match (status, &mut self.held) {
            (StatusCode::NOT_MODIFIED, Some(held)) => {
                // A 304 may bring a date that there was none of yet when the content
                // came.
                held.tag = tag.or(held.tag.take());
                held.date = date.or(held.date.take());
                self.totals.not_modified += 1;
                self.totals.bytes_saved += held.bytes;
            }
            (StatusCode::OK, held) => {
                let content = response.bytes().await?;
                let flags = serde_json::from_slice(&content)?;
                *held = Some(Held { flags, bytes: content.len(), tag, date });
                self.totals.parsed += 1;
                self.totals.bytes += content.len();
            }
            _ => return Err(format!("no document: {status}").into()),
        }
        Ok(status)
    }

    /// The document, if it was ever read.
    pub fn flags(&self) -> Option<&Flags> {
        self.held.as_ref().map(|held| &held.flags)
    }

    /// What came of all polls so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

/// Serves a document that changes after five seconds, and returns its URL.
async fn serve() -> Result<String, Box<dyn Error>> {
    let start = Instant::now();
    let read = move || async move {
        let new_checkout = start.elapsed() > Duration::from_secs(5);
        Json(Flags::from([
            ("dark-mode".to_owned(), true),
            ("new-checkout".to_owned(), new_checkout),
        ]))
    };
    let app = Router::new().route("/flags", get(read)).layer(ConditionalLayer::new());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/flags", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(url)
}
