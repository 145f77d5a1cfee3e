//! Asks a layer: requests and replies in a line each, a clock, and what came out.

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex,
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use http::{request, response, HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{ConditionalLayer, Digest, EntityTag, HttpDate, Outcome};

pub(crate) type Lines<'a> = &'a [(&'a str, &'a str)];

pub(crate) const IM: &str = "if-match";
pub(crate) const INM: &str = "if-none-match";
pub(crate) const IMS: &str = "if-modified-since";
pub(crate) const IUS: &str = "if-unmodified-since";
pub(crate) const LM: &str = "last-modified";
pub(crate) const CC: &str = "cache-control";

/// Sunday, 22 November 2026, 12:00:00: when every layer here is made.
pub(crate) const NOON: u64 = 1_795_348_800;

pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn set(&self, after_noon: u64) {
        self.0.store(NOON + after_noon, Ordering::Relaxed);
    }

    /// Makes a layer that goes by this clock, now.
    pub(crate) fn layer(&self) -> ConditionalLayer {
        let seconds = Arc::clone(&self.0);
        ConditionalLayer::new()
            .clock(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed)))
    }
}

/// Makes a layer at noon, and sets its clock ten seconds on.
pub(crate) fn layer() -> (ConditionalLayer, Clock) {
    let clock = Clock(Arc::new(AtomicU64::new(NOON)));
    let layer = clock.layer();
    clock.set(10);
    (layer, clock)
}

/// Writes a moment, in seconds after noon, as a field value.
pub(crate) fn date(after_noon: i64) -> String {
    HttpDate::from_unix_seconds(i64::try_from(NOON).unwrap() + after_noon).unwrap().to_string()
}

pub(crate) fn tag(content: &str) -> String {
    EntityTag::of(content.as_bytes()).to_string()
}

/// `é` and its like stand for one byte above 0x7F.
pub(crate) fn value(text: &str) -> HeaderValue {
    let bytes: Vec<_> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    HeaderValue::from_bytes(&bytes).unwrap()
}

pub(crate) fn request(method: &str, uri: &str, lines: Lines<'_>) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    let request =
        lines.iter().fold(request, |request, (name, text)| request.header(*name, value(text)));
    request.body(Body::empty()).unwrap()
}

pub(crate) fn get(lines: Lines<'_>) -> Request<Body> {
    request("GET", "/", lines)
}

pub(crate) fn reply(status: u16, lines: Lines<'_>, content: impl Into<Body>) -> Response<Body> {
    let response = Response::builder().status(status);
    let response =
        lines.iter().fold(response, |response, (name, text)| response.header(*name, value(text)));
    response.body(content.into()).unwrap()
}

/// Content of unknown size.
pub(crate) fn streamed(
    frames: impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
) -> Body {
    Body::new(StreamBody::new(frames))
}

/// What came out of the layer, and what the inner service got.
pub(crate) struct Seen {
    pub(crate) head: response::Parts,
    pub(crate) content: Vec<u8>,
    pub(crate) outcome: Outcome,
    pub(crate) forwarded: request::Parts,
}

impl Seen {
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<&str> {
        self.head.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
    }

    pub(crate) fn line(&self, name: &str) -> Option<&str> {
        self.lines(name).first().copied()
    }

    /// Status, content, tag and date: what the layer is about.
    pub(crate) fn gist(&self) -> (u16, &str, Option<&str>, Option<&str>) {
        (
            self.status(),
            std::str::from_utf8(&self.content).unwrap(),
            self.line("etag"),
            self.line(LM),
        )
    }
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Sends a request through the layer to a service that answers whatever it gets with
/// `reply`.
pub(crate) fn send<D: Digest>(
    layer: &ConditionalLayer<D>,
    request: Request<Body>,
    reply: Response<Body>,
) -> Seen {
    let reply = Mutex::new(Some(reply));
    ask(layer, request, |_| reply.lock().unwrap().take().unwrap())
}

/// Sends a request through the layer to a service that looks at what it gets.
pub(crate) fn ask<D: Digest>(
    layer: &ConditionalLayer<D>,
    request: Request<Body>,
    answer: impl Fn(&HeaderMap) -> Response<Body>,
) -> Seen {
    let got = Mutex::new(None);
    let inner = service_fn(|request: Request<Body>| {
        let response = answer(request.headers());
        *got.lock().unwrap() = Some(request.into_parts().0);
        async { Ok::<_, Infallible>(response) }
    });
    run(async {
        let (head, body) = layer.layer(inner).oneshot(request).await.unwrap().into_parts();
        let outcome = body.outcome();
        let content = body.collect().await.unwrap().to_bytes().to_vec();
        Seen { head, content, outcome, forwarded: got.lock().unwrap().take().unwrap() }
    })
}

/// GETs `/` from a layer ten seconds old.
pub(crate) fn fetch(lines: Lines<'_>, reply: Response<Body>) -> Seen {
    send(&layer().0, get(lines), reply)
}

/// Returns the status of a GET whose inner answer is 200 with `own` fields.
pub(crate) fn status(lines: Lines<'_>, own: Lines<'_>) -> u16 {
    fetch(lines, reply(200, own, "content")).status()
}

/// Reads a table: a row a line, columns between `|`, comments behind `#`.
pub(crate) fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines =
        table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('|').map(str::trim).collect())
}
