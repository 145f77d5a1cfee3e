//! A resource that is served as RFC 9110 says, in pieces that can be broken one by one.

use std::{
    convert::Infallible,
    fmt::Display,
    future::ready,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{
    header::{self, HeaderName},
    HeaderValue, Method, Request, Response, StatusCode,
};
use http_body_util::Full;
use tower::Service;
use tower_conditional::{Decision, EntityTag, HttpDate, Preconditions, Representation, Validators};
use tower_conditional_conformance::{check, Check, Content, Report};

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
    let content = if is_zipped { Bytes::from("zipped") } else { store.content.clone() };
    let length = content.len();
    let mut reply =
        reply(StatusCode::OK, if asked.method() == Method::HEAD { Bytes::new() } else { content });
    let headers = reply.headers_mut();
    let tag = store.tag();
    headers.insert(header::ETAG, value(if is_zipped { tag.replace('v', "z") } else { tag }));
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
        *whole.status_mut() = StatusCode::PARTIAL_CONTENT;
        *whole.body_mut() = store.content.slice(..1).into();
        whole.headers_mut().insert(header::CONTENT_LENGTH, value(1));
        whole
            .headers_mut()
            .insert(header::CONTENT_RANGE, value(format!("bytes 0-0/{}", store.content.len())));
    }
    whole
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
    for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING] {
        whole.headers_mut().remove(name);
    }
    whole
}

/// Evaluates the preconditions of a request by what would be answered.
pub(crate) fn decide(asked: &Asked, plain: &Reply) -> Decision {
    let current = Representation::Exists(validators(plain));
    Preconditions::new(asked.method(), asked.headers()).evaluate(&current)
}

pub(crate) fn may_be_ranged(asked: &Asked, plain: &Reply) -> bool {
    Preconditions::new(asked.method(), asked.headers())
        .allows_range(Representation::Exists(validators(plain)), now())
}

/// Answers without a fault.
pub(crate) fn right(store: &mut Store, asked: Asked) -> Reply {
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
    let stored = Arc::clone(&store);
    check(service(stored, serve), "/feed")
        .changes(async move || {
            let mut store = store.lock().unwrap();
            let content = format!("news after {}", store.version);
            store.write(content.into());
        })
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
    report.failures().map(|finding| finding.name()).collect()
}
