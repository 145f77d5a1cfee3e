//! Random requests through `compress_with`, against an oracle that knows each version
//! of the content, what the codings make of it, and what each client holds and accepts.
//!
//! No client gets a 304 that it cannot use, content that it holds already, a part of
//! another version or coding, a tag that stands for two contents, or a 412 without a
//! cause; and no stale write passes.
//! `CODINGS=1000` runs as many worlds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    future::{ready, Future},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{header, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{
    ConditionalLayer, EntityTag, PreconditionLayer, Preconditions, Representation,
};
use tower_http::{compression::CompressionLayer, decompression::DecompressionLayer};

#[path = "../../../tests/support/guarded.rs"]
#[allow(dead_code)]
mod guarded;
#[path = "../../../tests/support/random.rs"]
mod random;

use guarded::{boxed, guarded, App};
use random::numbers;

const REQUESTS: u64 = 60;

#[tokio::test(flavor = "current_thread")]
async fn codings() {
    let worlds: u64 = env::var("CODINGS").map_or(120, |text| text.parse().unwrap());
    let mut tally = Tally::default();
    for seed in 1..=worlds {
        World::new(seed).live(&mut tally).await;
    }
    println!("{worlds} worlds: {tally:#?}");
    // It is no proof if nothing happens.
    assert!(tally.not_modified_coded > 2 * worlds, "{tally:?}");
    assert!(
        tally.parts > worlds / 2 && tally.edits > worlds && tally.refused > worlds,
        "{tally:?}"
    );
}

/// What happened in all worlds.
#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    whole: u64,
    coded: u64,
    not_modified: u64,
    not_modified_coded: u64,
    parts: u64,
    edits: u64,
    refused: u64,
}

/// What the handler says of its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Nothing: the layer makes the tag.
    Untagged,
    /// A strong tag.
    Tagged,
    WeaklyTagged,
    /// A strong tag, and content of unknown length.
    Streamed,
    /// Evaluates preconditions itself.
    Evaluating,
    /// Stored as gzip for those who accept it, with a length and a tag of its own.
    Stored,
    /// Of a type that is not compressed.
    Image,
}

/// Who checks the writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Check {
    Handler,
    SourceOutside,
    SourceInside,
    Guard,
}

const KINDS: [Kind; 7] = [
    Kind::Untagged,
    Kind::Tagged,
    Kind::WeaklyTagged,
    Kind::Streamed,
    Kind::Evaluating,
    Kind::Stored,
    Kind::Image,
];

/// Ends of the application's own tags, version by version: some look as if a coding had
/// been put behind, or are what is left if one more is taken off an older one.
const ENDINGS: [&str; 6] = ["~gzip", "~br", "", "~gzip~identity", "~identity", "-gzip"];

const ACCEPTS: [Option<&str>; 14] = [
    None,
    Some(""),
    Some("gzip"),
    Some("br"),
    Some("zstd"),
    Some("deflate"),
    Some("gzip, deflate, br, zstd"),
    Some("gzip;q=0"),
    Some("gzip;q=0, br"),
    Some("identity"),
    Some("*"),
    Some("br;q=0.5, GZIP;q=0.8"),
    Some("gzip, *;q=0"),
    Some("identity;q=0.5, x-gzip;q=0.1"),
];

type Raw = Response<Bytes>;

/// What the application holds.
struct State {
    version: u64,
    plain: Bytes,
    gzip: Bytes,
}

/// A response that a client keeps.
#[derive(Clone, Debug)]
struct Copy {
    /// What the application's tags name. The layer's name content.
    version: u64,
    raw: Bytes,
    plain: Bytes,
    coding: String,
    tag: Option<String>,
    date: Option<String>,
    /// What the request accepted.
    accepts: Option<&'static str>,
}

struct World {
    chance: Box<dyn FnMut() -> u64>,
    kind: Kind,
    check: Check,
    state: Arc<Mutex<State>>,
    app: App,
    /// The bytes that each strong tag was sent with, and the content of each weak one.
    strong: HashMap<String, Bytes>,
    weak: HashMap<String, Bytes>,
    copies: Vec<Copy>,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = numbers(seed);
        let kind = KINDS[(seed % 7) as usize];
        let check = match chance() % 4 {
            0 => Check::Handler,
            1 => Check::SourceOutside,
            2 => Check::SourceInside,
            _ => Check::Guard,
        };
        // Only those who know the tags can check by them.
        let check = if kind == Kind::Untagged { Check::Guard } else { check };
        let state = State { version: 0, plain: text(0), gzip: Bytes::new() };
        let state = Arc::new(Mutex::new(state));
        let app = app(kind, check, chance().is_multiple_of(2), state.clone());
        Self {
            chance: Box::new(chance),
            kind,
            check,
            state,
            app,
            strong: HashMap::new(),
            weak: HashMap::new(),
            copies: Vec::new(),
            log: vec![format!("seed {seed}, {kind:?}, {check:?}")],
        }
    }

    async fn live(mut self, tally: &mut Tally) {
        self.store(0).await;
        for _ in 0..REQUESTS {
            tally.requests += 1;
            match self.pick(10) {
                0 => {
                    // Half of the changes bring back older content.
                    let pick = self.pick(4);
                    let now = self.state().version;
                    let content = if pick < 2 { now + 1 } else { pick.min(now) };
                    self.store(content).await;
                    self.note(format!("the content becomes {content}"));
                }
                1..=2 => self.edit(tally).await,
                3 => self.resume(tally).await,
                _ => self.read(tally).await,
            }
        }
    }

    /// Asks whether copies are current, or just asks.
    async fn read(&mut self, tally: &mut Tally) {
        let method = if self.pick(5) == 0 { Method::HEAD } else { Method::GET };
        let accepts = ACCEPTS[self.pick(ACCEPTS.len() as u64) as usize];
        let mut request = Request::builder().method(&method).uri("/note");
        let mut named = Vec::new();
        match self.pick(8) {
            0 => {}
            1 => {
                // A client that asks by date accepts what it accepted then.
                let copy = self.some_copies(1).pop().filter(|copy| copy.date.is_some());
                if let Some(copy) = copy {
                    request = request.header(header::IF_MODIFIED_SINCE, copy.date.clone().unwrap());
                    request = accept(request, copy.accepts);
                    let response = self.ask(request.body(Body::empty()).unwrap()).await;
                    return self
                        .evaluate_read_naively(tally, &method, copy.accepts, &[copy], response)
                        .await;
                }
            }
            count => {
                named = self.some_copies(count % 4);
                let mut members: Vec<_> =
                    named.iter().filter_map(|copy| copy.tag.clone()).collect();
                if self.pick(3) == 0 {
                    // A proxy weakened them.
                    members.iter_mut().for_each(|tag| *tag = weakened(tag));
                }
                if self.pick(4) == 0 {
                    members.push("\"no-such~gzip\"".to_owned());
                }
                if !members.is_empty() {
                    request = request.header(header::IF_NONE_MATCH, members.join(", "));
                }
            }
        }
        let request = accept(request, accepts).body(Body::empty()).unwrap();
        let response = self.ask(request).await;
        self.evaluate_read_naively(tally, &method, accepts, &named, response).await;
    }

    async fn evaluate_read_naively(
        &mut self,
        tally: &mut Tally,
        method: &Method,
        accepts: Option<&'static str>,
        named: &[Copy],
        response: Raw,
    ) {
        let current = self.state().plain.clone();
        let usable = |copy: &Copy| copy.plain == current && accepted(&copy.coding, accepts);
        match response.status() {
            StatusCode::NOT_MODIFIED => {
                tally.not_modified += 1;
                // The client uses the copies that the tag of the 304 names (RFC 9111,
                // 4.3.4); without a tag, the one that it asked about.
                let tag = field(response.headers(), header::ETAG);
                let confirmed: Vec<_> = named
                    .iter()
                    .filter(|copy| match (&tag, &copy.tag) {
                        (Some(tag), Some(held)) => weakened(tag) == weakened(held),
                        _ => true,
                    })
                    .collect();
                self.claim(!confirmed.is_empty(), "a 304 confirms no copy");
                self.claim(confirmed.iter().all(|copy| usable(copy)), "a 304 that is of no use");
                let is_coded = confirmed.iter().any(|copy| copy.coding != "identity");
                tally.not_modified_coded += u64::from(is_coded);
                let headers = response.headers();
                self.claim(!headers.contains_key(header::CONTENT_ENCODING), "a 304 with a coding");
                self.claim(response.body().is_empty(), "a 304 with content");
                if is_coded && self.kind != Kind::Stored {
                    self.claim(varies(headers), "a 304 without Vary");
                }
            }
            StatusCode::OK => {
                // What is stored in two forms has another tag in the other one.
                let sent = field(response.headers(), header::CONTENT_ENCODING);
                let is_other = |copy: &Copy| {
                    self.kind == Kind::Stored
                        && sent.as_deref().unwrap_or("identity") != copy.coding
                };
                // In doubt: a plain tag may name a form that this client refuses.
                let refuses_identity = accepts.is_some_and(|codings| codings.contains("*;q=0"));
                let is_missed = |copy: &&Copy| {
                    let is_sent_alike = !refuses_identity && !is_other(copy);
                    copy.tag.is_some() && usable(copy) && self.is_current(copy) && is_sent_alike
                };
                let missed = named.iter().find(is_missed);
                self.claim(missed.is_none(), "a whole answer to a client that holds it");
                if method == Method::GET {
                    self.keep(tally, accepts, response, current).await;
                }
            }
            status => self.claim(false, &format!("a read is answered {status}")),
        }
    }

    /// Checks a 200 to a GET, and keeps it.
    async fn keep(
        &mut self,
        tally: &mut Tally,
        accepts: Option<&'static str>,
        response: Raw,
        current: Bytes,
    ) {
        tally.whole += 1;
        let (head, raw) = response.into_parts();
        let coding = field(&head.headers, header::CONTENT_ENCODING);
        let coding = coding.unwrap_or_else(|| "identity".to_owned());
        tally.coded += u64::from(coding != "identity");
        let plain = decoded(&coding, raw.clone()).await;
        self.claim(plain == current, "a 200 with other content");
        self.claim(accepted(&coding, accepts), "a coding that is not accepted");
        let tag = field(&head.headers, header::ETAG);
        if let Some(tag) = &tag {
            let (sent, bytes) = if tag.starts_with("W/") {
                (&mut self.weak, &plain)
            } else {
                (&mut self.strong, &raw)
            };
            let is_same = sent.entry(tag.clone()).or_insert_with(|| bytes.clone()) == bytes;
            self.claim(is_same, "one tag for two contents");
        }
        if coding != "identity" && self.kind != Kind::Stored {
            let accepts_ranges = field(&head.headers, header::ACCEPT_RANGES);
            self.claim(accepts_ranges.is_none_or(|unit| unit == "none"), "ranges of what is coded");
        }
        let may_vary = !matches!(self.kind, Kind::Image);
        self.claim(!may_vary || varies(&head.headers), "a 200 without Vary");
        let date = field(&head.headers, header::LAST_MODIFIED);
        let version = self.state().version;
        self.copies.push(Copy { version, raw, plain, coding, tag, date, accepts });
        if self.copies.len() > 6 {
            self.copies.remove(0);
        }
    }

    /// Asks for the rest of a copy.
    async fn resume(&mut self, tally: &mut Tally) {
        // Mostly the newest, which is likely to be current.
        let copy = match self.pick(3) {
            0 => self.some_copies(1).pop(),
            _ => self.copies.last().cloned(),
        };
        let Some(copy) = copy else { return };
        let Some(validator) = copy.tag.clone().or(copy.date.clone()) else { return };
        // Most clients go on as they began.
        let accepts = match self.pick(3) {
            0 => ACCEPTS[self.pick(ACCEPTS.len() as u64) as usize],
            _ => copy.accepts,
        };
        let binding = if self.pick(3) == 0 && copy.tag.is_some() {
            header::IF_MATCH
        } else {
            header::IF_RANGE
        };
        let start = self.pick(copy.raw.len() as u64);
        let request = Request::get("/note")
            .header(header::RANGE, format!("bytes={start}-"))
            .header(&binding, validator);
        let response = self.ask(accept(request, accepts).body(Body::empty()).unwrap()).await;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                tally.parts += 1;
                let rest = &copy.raw[start as usize..];
                self.claim(response.body() == rest, "a part of something else");
                let range = field(response.headers(), header::CONTENT_RANGE).unwrap();
                let length = copy.raw.len();
                let expected = format!("bytes {start}-{}/{length}", length - 1);
                self.claim(range == expected, "a part at another place");
            }
            StatusCode::OK => {
                let current = self.state().plain.clone();
                self.keep(tally, accepts, response, current).await;
            }
            StatusCode::PRECONDITION_FAILED => {
                let is_strong = copy.tag.as_ref().is_some_and(|tag| !tag.starts_with("W/"));
                let is_due = binding == header::IF_MATCH && !(is_strong && self.is_current(&copy));
                // What is stored in two forms may be in the other one for this request.
                let is_due = is_due || self.kind == Kind::Stored;
                self.claim(is_due, "a 412 on a part without a cause");
            }
            StatusCode::SERVICE_UNAVAILABLE => {}
            status => self.claim(false, &format!("a part is answered {status}")),
        }
    }

    /// Sends a write that is bound to copies.
    async fn edit(&mut self, tally: &mut Tally) {
        let count = 1 + self.pick(2);
        let mut named = self.some_copies(count);
        named.retain(|copy| copy.tag.is_some());
        if self.kind == Kind::Stored {
            // What is stored as gzip has a tag of its own, which the guard finds with the
            // Accept-Encoding that the client always sends, and the others do not know.
            named.truncate(1);
            named.retain(|copy| self.check == Check::Guard || copy.coding == "identity");
        }
        let Some(first) = named.first() else { return };
        let accepts = match self.kind {
            Kind::Stored => first.accepts,
            _ => [None, Some("gzip"), Some("br, gzip;q=0")][self.pick(3) as usize],
        };
        let tags: Vec<_> = named.iter().filter_map(|copy| copy.tag.clone()).collect();
        let creates = self.pick(4) == 0;
        let mut current = named.iter().filter(|copy| self.is_current(copy));
        let is_allowed = if creates {
            current.next().is_none()
        } else {
            current.any(|copy| copy.tag.as_ref().is_some_and(|tag| !tag.starts_with("W/")))
        };
        let before = self.state().version;
        let binding = if creates { header::IF_NONE_MATCH } else { header::IF_MATCH };
        let content = before + 1;
        let request = Request::put("/note")
            .header(binding, tags.join(", "))
            .header(header::CONTENT_TYPE, "text/plain");
        let request = accept(request, accepts).body(Body::from(text(content))).unwrap();
        let response = self.ask(request).await;
        let is_written = self.state().version != before;
        match response.status() {
            StatusCode::NO_CONTENT => {
                tally.edits += 1;
                self.claim(is_allowed, "a stale write passes");
                self.claim(is_written, "a write that is answered 204 is lost");
            }
            StatusCode::PRECONDITION_FAILED => {
                tally.refused += 1;
                self.claim(!is_allowed, "a 412 without a cause");
                self.claim(!is_written, "a write that is answered 412 is done");
            }
            status => self.claim(false, &format!("a write is answered {status}")),
        }
    }

    async fn ask(&mut self, request: Request<Body>) -> Raw {
        self.note(format!("> {} {:?}", request.method(), request.headers()));
        let response = within(self.app.clone().oneshot(request)).await;
        self.claim(response.is_some(), "a request is never answered");
        let (head, body) = response.unwrap().unwrap().into_parts();
        self.note(format!("< {} {:?}", head.status, head.headers));
        let body = within(body.collect()).await;
        self.claim(body.is_some(), "content that never ends");
        let body = body.unwrap().unwrap().to_bytes();
        Response::from_parts(head, body)
    }

    async fn store(&mut self, content: u64) {
        let plain = text(content);
        let gzip = encoded("gzip", plain.clone()).await;
        let mut state = self.state();
        // Versions never come back, content does.
        *state = State { version: state.version + 1, plain, gzip };
    }

    /// Returns true if a copy is of the present version.
    fn is_current(&self, copy: &Copy) -> bool {
        let state = self.state();
        match self.kind {
            Kind::Untagged => copy.plain == state.plain,
            _ => copy.version == state.version,
        }
    }

    fn some_copies(&mut self, count: u64) -> Vec<Copy> {
        let held = self.copies.len() as u64;
        let count = count.min(held);
        let picks: Vec<_> = (0..count).map(|_| self.pick(held) as usize).collect();
        picks.into_iter().map(|pick| self.copies[pick].clone()).collect()
    }

    fn pick(&mut self, below: u64) -> u64 {
        (self.chance)() % below.max(1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn note(&mut self, line: String) {
        self.log.push(line);
    }

    #[track_caller]
    fn claim(&self, holds: bool, fault: &str) {
        let check = self.check;
        assert!(holds, "{fault} ({check:?})\n{}", self.log.join("\n"));
    }
}

/// The application, with its own stack of layers.
fn app(kind: Kind, check: Check, ranges: bool, state: Arc<Mutex<State>>) -> App {
    let source = {
        let state = state.clone();
        PreconditionLayer::new(move |_: &http::request::Parts| {
            ready(representation(kind, &state.lock().unwrap()))
        })
    };
    let handler = service_fn(move |request: Request<Body>| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(handle(kind, check, &state, request).await) }
    });
    let layer = ConditionalLayer::new().ranges(ranges).compress_with(CompressionLayer::new());
    match check {
        Check::Handler => boxed(layer.layer(handler)),
        Check::SourceOutside => boxed(source.layer(layer.layer(handler))),
        Check::SourceInside => boxed(layer.layer(source.layer(handler))),
        Check::Guard => boxed(guarded(boxed(layer.layer(handler)))),
    }
}

async fn handle(
    kind: Kind,
    check: Check,
    state: &Mutex<State>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let is_write = head.method == Method::PUT;
    if is_write && check == Check::Handler || kind == Kind::Evaluating {
        let current = representation(kind, &state.lock().unwrap());
        let preconditions = Preconditions::new(&head.method, &head.headers);
        if let Err(rejection) = preconditions.check(current) {
            return Response::<String>::from(rejection).map(Body::from);
        }
    }
    if is_write {
        let plain = body.collect().await.unwrap().to_bytes();
        let gzip = encoded("gzip", plain.clone()).await;
        let mut state = state.lock().unwrap();
        *state = State { version: state.version + 1, plain, gzip };
        return Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty()).unwrap();
    }
    let state = state.lock().unwrap();
    let stored = kind == Kind::Stored
        && accepted("gzip", head.headers.get("accept-encoding").map(|v| v.to_str().unwrap()));
    let media = if kind == Kind::Image { "image/png" } else { "text/plain" };
    let mut response = Response::builder().header(header::CONTENT_TYPE, media);
    if let Some(tag) = own_tag(kind, &state, stored) {
        response = response.header(header::ETAG, HeaderValue::from(tag));
    }
    if kind == Kind::Stored {
        response = response.header(header::VARY, "accept-encoding");
    }
    let body = match kind {
        Kind::Stored if stored => {
            response = response
                .header(header::CONTENT_ENCODING, "gzip")
                .header(header::CONTENT_LENGTH, state.gzip.len());
            Body::from(state.gzip.clone())
        }
        Kind::Streamed => {
            let (first, second) = (state.plain.slice(..9), state.plain.slice(9..));
            Body::from_stream(stream::iter([Ok::<_, Infallible>(first), Ok(second)]))
        }
        _ => Body::from(state.plain.clone()),
    };
    response.body(body).unwrap()
}

/// What the handler knows of its content, as a source of the state says it.
fn representation(kind: Kind, state: &State) -> Representation {
    match own_tag(kind, state, false) {
        Some(tag) => tag.into(),
        None => Representation::Unknown,
    }
}

/// The application's tag: some versions' tags look like others with a coding behind.
fn own_tag(kind: Kind, state: &State, is_stored: bool) -> Option<EntityTag> {
    let endings = ENDINGS.len() as u64;
    let (number, ending) = (state.version / endings, ENDINGS[(state.version % endings) as usize]);
    let form = if is_stored { ".gz" } else { "" };
    let opaque = format!("{number}{form}{ending}");
    match kind {
        Kind::Untagged => None,
        Kind::WeaklyTagged => Some(EntityTag::weak(opaque).unwrap()),
        _ => Some(EntityTag::strong(opaque).unwrap()),
    }
}

fn text(content: u64) -> Bytes {
    format!("version {content} ").repeat(8 + (content % 5) as usize).into()
}

/// Returns true if a client that sends this Accept-Encoding takes the coding (RFC 9110,
/// 12.5.3). One that sends none is taken for one that decodes nothing.
fn accepted(coding: &str, accepts: Option<&str>) -> bool {
    let quality = |name: &str| {
        accepts?.split(',').find_map(|member| {
            let mut parts = member.trim().split(";q=");
            let listed = parts.next()?.to_ascii_lowercase();
            let listed = listed.strip_prefix("x-").unwrap_or(&listed);
            (listed == name).then(|| parts.next().map_or(1.0, |q| q.parse::<f32>().unwrap()))
        })
    };
    // What has no other form is sent as it is, even to those who refuse that.
    coding == "identity" || quality(coding).or_else(|| quality("*")).is_some_and(|q| q > 0.0)
}

async fn decoded(coding: &str, raw: Bytes) -> Bytes {
    if coding == "identity" {
        return raw;
    }
    let response =
        Response::builder().header(header::CONTENT_ENCODING, coding).body(Body::from(raw)).unwrap();
    let response = Mutex::new(Some(response));
    let answer = service_fn(|_: Request<Body>| {
        ready(Ok::<_, Infallible>(response.lock().unwrap().take().unwrap()))
    });
    let request = Request::new(Body::empty());
    let response = DecompressionLayer::new().layer(answer).oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

async fn encoded(coding: &'static str, plain: Bytes) -> Bytes {
    let answer = service_fn(|_: Request<Body>| {
        ready(Ok::<_, Infallible>(Response::new(Body::from(plain.clone()))))
    });
    let request = Request::get("/").header(header::ACCEPT_ENCODING, coding);
    let request = request.body(Body::empty()).unwrap();
    let response = CompressionLayer::new().layer(answer).oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

async fn within<F: Future>(future: F) -> Option<F::Output> {
    tokio::time::timeout(Duration::from_secs(20), future).await.ok()
}

fn accept(request: http::request::Builder, accepts: Option<&str>) -> http::request::Builder {
    match accepts {
        Some(codings) => request.header(header::ACCEPT_ENCODING, codings),
        None => request,
    }
}

fn weakened(tag: &str) -> String {
    format!("W/{}", tag.trim_start_matches("W/"))
}

fn field(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

fn varies(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::VARY)
        .iter()
        .any(|value| value.to_str().unwrap().to_ascii_lowercase().contains("accept-encoding"))
}
