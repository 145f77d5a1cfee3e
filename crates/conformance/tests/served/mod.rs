//! A resource that is served as RFC 9110 says, in pieces that can be broken one by one.

use std::{
    convert::Infallible,
    fmt::Display,
    future::ready,
    sync::{Arc, Mutex},
};

use base64::{engine::general_purpose::STANDARD, Engine};
use bytes::Bytes;
use http::{
    header::{self, HeaderName},
    HeaderValue, Method, Request, Response, StatusCode,
};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use tower::Service;
use tower_conditional::{Decision, EntityTag, HttpDate, Preconditions, Representation, Validators};
use tower_conditional_conformance::{check, Check, Content, Finding, Report, Verdict};

pub(crate) type Asked = Request<Bytes>;
pub(crate) type Reply = Response<Full<Bytes>>;
/// Answers a request to what is stored.
pub(crate) type Serve = fn(&mut Store, Asked) -> Reply;

/// What is served at `/feed`.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) content: Bytes,
    pub(crate) version: i64,
    /// The tag that some broken services remember.
    pub(crate) remembered: Option<HeaderValue>,
}

pub(crate) const TAG: &str = "\"v1\"";
/// Sun, 06 Nov 1994 08:49:37 GMT.
pub(crate) const CHANGED: i64 = 784_111_777;

impl Store {
    pub(crate) fn new() -> Self {
        Self { content: "the news".into(), version: 1, remembered: None }
    }

    pub(crate) fn write(&mut self, content: Bytes) {
        self.content = content;
        self.version += 1;
    }

    pub(crate) fn tag(&self) -> String {
        format!("\"v{}\"", self.version)
    }

    pub(crate) fn changed(&self) -> HttpDate {
        HttpDate::from_unix_seconds(CHANGED + 10 * self.version).unwrap()
    }
}

pub(crate) fn value(text: impl Display) -> HeaderValue {
    text.to_string().parse().unwrap()
}

pub(crate) fn reply(status: StatusCode, content: impl Into<Full<Bytes>>) -> Reply {
    let mut reply = Response::new(content.into());
    *reply.status_mut() = status;
    reply
}

/// Answers a read as if it had no preconditions; If-Range is for `part`.
pub(crate) fn plain(store: &Store, asked: &Asked) -> Reply {
    if asked.uri().path() != "/feed" {
        let mut missing = reply(StatusCode::NOT_FOUND, "nothing here");
        missing.headers_mut().insert(header::ETAG, value("\"nothing\""));
        return missing;
    }
    let is_zipped =
        asked.headers().get(header::ACCEPT_ENCODING).is_some_and(|codings| codings == "gzip");
    let content = match asked.method().as_str() {
        "QUERY" => [b"found: ", &asked.body()[..]].concat().into(),
        _ if is_zipped => Bytes::from("zipped"),
        _ => store.content.clone(),
    };
    let (length, digest) = (content.len(), digest(&content));
    let mut reply =
        reply(StatusCode::OK, if asked.method() == Method::HEAD { Bytes::new() } else { content });
    let headers = reply.headers_mut();
    let tag = match asked.method().as_str() {
        "QUERY" => "\"q1\"".to_owned(),
        _ if is_zipped => store.tag().replace('v', "z"),
        _ => store.tag(),
    };
    headers.insert(header::ETAG, value(tag));
    headers.insert("repr-digest", value(&digest));
    if asked.method() != Method::HEAD {
        headers.insert("content-digest", value(digest));
    }
    headers.insert(header::LAST_MODIFIED, store.changed().into());
    headers.insert(header::DATE, HttpDate::from_unix_seconds(1_795_348_800).unwrap().into());
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_TYPE, value("text/plain"));
    headers.insert(header::EXPIRES, value("0"));
    headers.insert(header::CONTENT_LOCATION, value("/feed.en"));
    for (name, text) in [
        (header::VARY, "Accept-Encoding"),
        (header::VARY, "origin, Accept"),
        (header::CACHE_CONTROL, "max-age=60"),
        (header::CACHE_CONTROL, "private"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "link, ETag"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::SET_COOKIE, "secret=1"),
    ] {
        headers.append(name, value(text));
    }
    if is_zipped {
        headers.insert(header::CONTENT_ENCODING, value("gzip"));
    }
    reply
}

/// Turns a 200 into the part that was asked for.
pub(crate) fn part(store: &Store, asked: &Asked, mut whole: Reply) -> Reply {
    if whole.status() == StatusCode::OK
        && asked.method() == Method::GET
        && asked.headers().contains_key(header::RANGE)
    {
        // Only these are asked for: the first byte, the last one, and those behind it.
        let length = store.content.len();
        let first = match line(asked, &header::RANGE) {
            Some("bytes=0-0") => 0,
            Some("bytes=-1") => length - 1,
            _ => {
                let mut behind = reply(StatusCode::RANGE_NOT_SATISFIABLE, "");
                let range = value(format!("bytes */{length}"));
                behind.headers_mut().insert(header::CONTENT_RANGE, range);
                return behind;
            }
        };
        let part = store.content.slice(first..=first);
        *whole.status_mut() = StatusCode::PARTIAL_CONTENT;
        whole.headers_mut().insert(header::CONTENT_LENGTH, value(1));
        whole.headers_mut().insert("content-digest", value(digest(&part)));
        let range = value(format!("bytes {first}-{first}/{length}"));
        whole.headers_mut().insert(header::CONTENT_RANGE, range);
        *whole.body_mut() = part.into();
    }
    whole
}

/// Returns the digest of content, as in RFC 9530.
pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(content)))
}

pub(crate) fn validators(reply: &Reply) -> Validators {
    let mut validators = Validators::new();
    validators.etag =
        reply.headers().get(header::ETAG).and_then(|tag| EntityTag::try_from(tag).ok());
    let date = reply.headers().get(header::LAST_MODIFIED);
    validators.last_modified = date.and_then(|date| HttpDate::parse(date, now())).map(Into::into);
    validators
}

pub(crate) fn now() -> HttpDate {
    HttpDate::from_unix_seconds(1_795_348_800).unwrap()
}

/// Turns a 200 into the 304 that is sent in place of it.
pub(crate) fn not_modified(mut whole: Reply) -> Reply {
    *whole.status_mut() = StatusCode::NOT_MODIFIED;
    *whole.body_mut() = Full::default();
    for name in ["content-length", "content-type", "content-encoding", "content-digest"] {
        whole.headers_mut().remove(name);
    }
    whole
}

/// Evaluates the preconditions of a request by what would be answered.
pub(crate) fn decide(asked: &Asked, plain: &Reply) -> Decision {
    let current = validators(plain);
    let mut fields = asked.headers().clone();
    let since = fields.get(header::IF_MODIFIED_SINCE).map(|date| HttpDate::parse(date, now()));
    if since.is_some() && since.flatten().map(Into::into) != current.last_modified {
        // Dates are compared for equality.
        fields.remove(header::IF_MODIFIED_SINCE);
    }
    Preconditions::new(asked.method(), &fields).evaluate(current)
}

pub(crate) fn may_be_ranged(asked: &Asked, plain: &Reply) -> bool {
    Preconditions::new(asked.method(), asked.headers())
        .allows_range(Representation::Exists(validators(plain)), now())
}

/// Answers without a fault.
pub(crate) fn right(store: &mut Store, mut asked: Asked) -> Reply {
    if let (&Method::PUT, Some(tag)) = (&asked.method().clone(), line(&asked, &header::IF_MATCH)) {
        // The tag that came with encoded content names the same state.
        let plain = value(tag.replace("\"z", "\"v"));
        asked.headers_mut().insert(header::IF_MATCH, plain);
    }
    let plain = plain(store, &asked);
    if !plain.status().is_success() {
        return plain;
    }
    match decide(&asked, &plain) {
        Decision::NotModified => not_modified(plain),
        Decision::PreconditionFailed => reply(StatusCode::PRECONDITION_FAILED, ""),
        _ if asked.method() == Method::PUT => {
            store.write(asked.into_body());
            let mut done = reply(StatusCode::NO_CONTENT, "");
            done.headers_mut().insert(header::ETAG, value(store.tag()));
            done
        }
        _ if may_be_ranged(&asked, &plain) => part(store, &asked, plain),
        _ => plain,
    }
}

/// Returns the only line of a field of the request.
pub(crate) fn line<'a>(asked: &'a Asked, name: &HeaderName) -> Option<&'a str> {
    asked.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Answers without a fault, but to another request.
pub(crate) fn right_without(store: &mut Store, mut asked: Asked, name: &HeaderName) -> Reply {
    asked.headers_mut().remove(name);
    right(store, asked)
}

/// Answers without a fault, then edits the answer.
pub(crate) fn right_but(store: &mut Store, asked: Asked, edit: impl FnOnce(&mut Reply)) -> Reply {
    let mut reply = right(store, asked);
    edit(&mut reply);
    reply
}

/// Makes all checks of a way to serve.
pub(crate) fn checked(serve: Serve) -> Check<'static> {
    let store = Arc::new(Mutex::new(Store::new()));
    let (stored, older) = (Arc::clone(&store), Arc::clone(&store));
    check(service(stored, serve), "/feed")
        .changes(async move || {
            let mut store = store.lock().unwrap();
            let content = format!("news after {}", store.version);
            store.write(content.into());
        })
        .restores(async move || {
            let mut store = older.lock().unwrap();
            store.content = "the news".into();
            store.version -= 1;
        })
        .queries(Request::post("/feed").body("news").unwrap())
        .writes(Request::put("/feed").body("written").unwrap())
}

fn service(
    store: Arc<Mutex<Store>>,
    serve: Serve,
) -> impl Service<Request<Content>, Response = Reply, Error = Infallible> {
    tower::service_fn(move |asked: Request<Content>| {
        ready(Ok(serve(&mut store.lock().unwrap(), asked.map(Into::into))))
    })
}

pub(crate) fn names_of_failures(report: &Report) -> Vec<&str> {
    let failed = |finding: &&Finding| matches!(finding.verdict(), Verdict::Failed(_));
    report.iter().filter(failed).map(|finding| finding.name()).collect()
}
