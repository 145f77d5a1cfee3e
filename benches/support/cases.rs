//! What is measured: a bare service, the layer over it, and a way to call both without
//! a runtime.

use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::{pin, Pin},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{header, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tower::{layer::util::Identity, service_fn, Layer, Service};
use tower_conditional::{
    AddLastModified, ConditionalLayer, Digest, EntityTag, RequestBody, WriteGuard,
};
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

/// One thing to measure: each call does it once.
pub struct Case {
    pub name: String,
    pub run: Box<dyn FnMut()>,
}

/// Makes a case of a service: each call sends it a request and takes the response to
/// its end.
pub fn case<S, B>(
    name: impl Into<String>,
    mut service: S,
    headers: HeaderMap,
    expected: StatusCode,
) -> Case
where
    S: Service<Request<()>, Response = Response<B>, Error: std::fmt::Debug> + 'static,
    B: Body,
{
    case_of(name, Method::GET, move |request| service.call(request), headers, expected)
}

/// As [`case`], for any method.
pub fn case_of<B: Body, E: std::fmt::Debug, F: Future<Output = Result<Response<B>, E>>>(
    name: impl Into<String>,
    method: Method,
    mut call: impl FnMut(Request<()>) -> F + 'static,
    headers: HeaderMap,
    expected: StatusCode,
) -> Case {
    // All in one piece, so that what is large is not moved about by the measurement.
    let run = move || {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers.clone();
        let mut context = Context::from_waker(Waker::noop());
        let mut future = pin!(call(black_box(request)));
        let response = loop {
            if let Poll::Ready(response) = future.as_mut().poll(&mut context) {
                break response.unwrap();
            }
        };
        assert_eq!(response.status(), expected);
        let mut body = pin!(response.into_body());
        while !body.is_end_stream() {
            match body.as_mut().poll_frame(&mut context) {
                Poll::Ready(Some(frame)) => drop(black_box(frame)),
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        }
    };
    Case { name: name.into(), run: Box::new(run) }
}

/// Makes a service that answers with `content`, made anew for each request.
pub fn bare(
    content: impl Fn() -> Bytes + Clone + 'static,
) -> impl Service<
    Request<()>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone {
    service_fn(move |_: Request<()>| {
        let mut response = Response::new(Full::new(content()));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        std::future::ready(Ok(response))
    })
}

/// Makes content that was never anywhere else. It is not copied from somewhere: some
/// processors copy 20 times more slowly where the places are alike in their last bits,
/// and that would be luck.
pub fn anew(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

/// The layer over a bare service of 1 KiB, with a hash that costs nothing.
pub fn overhead() -> Vec<Case> {
    let content = Bytes::from(vec![b'x'; 1024]);
    let shared = move || content.clone();
    let null = format!("\"{}\"", "0".repeat(64));
    let layer = || ConditionalLayer::new().clock(clock()).digest::<Null>();
    let full = || layer().layer(bare(shared.clone()));
    let plain = || {
        layer()
            .content_cache(0)
            .add_last_modified(AddLastModified::Never)
            .layer(bare(shared.clone()))
    };
    // The outer half of `compress_with`, without any compression.
    let compressed = || layer().compress_with(Identity::new()).layer(bare(shared.clone()));
    let none = HeaderMap::new;
    let (hit, miss) = (if_none_match(&null), if_none_match("\"another\""));
    let (ok, not_modified) = (StatusCode::OK, StatusCode::NOT_MODIFIED);
    let mut post = full();
    vec![
        case("bare", bare(shared.clone()), none(), ok),
        case("bare-if-none-match", bare(shared.clone()), miss.clone(), ok),
        case("full-200", full(), none(), ok),
        case("full-304", full(), hit.clone(), not_modified),
        case("bare-browser", bare(shared.clone()), browser(), ok),
        case("full-browser", full(), browser(), ok),
        case("full-miss", full(), miss.clone(), ok),
        case("plain-200", plain(), none(), ok),
        case("plain-304", plain(), hit, not_modified),
        case("plain-miss", plain(), miss, ok),
        case_of(
            "full-post",
            Method::POST,
            move |request: Request<()>| post.call(request),
            none(),
            ok,
        ),
        case("compressed-200", compressed(), none(), ok),
        case("compressed-browser", compressed(), browser(), ok),
        case(
            "set-response-header",
            {
                let (name, value) = (HeaderName::from_static("x-y"), HeaderValue::from_static("z"));
                SetResponseHeaderLayer::overriding(name, value).layer(bare(shared.clone()))
            },
            none(),
            ok,
        ),
        case("compression-passing", CompressionLayer::new().layer(bare(shared)), none(), ok),
    ]
}

/// Makes a clock that stands still, ten seconds after the layer was made: no date is
/// generated in its first second.
pub fn clock() -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let was_asked = AtomicBool::new(false);
    let made = SystemTime::now();
    move || {
        if was_asked.swap(true, Ordering::Relaxed) {
            made + Duration::from_secs(10)
        } else {
            made
        }
    }
}

/// Responses that bring their validators.
pub fn own() -> Vec<Case> {
    let content = Bytes::from(vec![b'x'; 1024]);
    let own = move || {
        let content = content.clone();
        service_fn(move |_: Request<()>| {
            let mut response = Response::new(Full::new(content.clone()));
            response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"own\""));
            let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
            response.headers_mut().insert(header::LAST_MODIFIED, date);
            std::future::ready(Ok::<_, Infallible>(response))
        })
    };
    let layer = ConditionalLayer::new().clock(clock());
    let none = HeaderMap::new;
    vec![
        case("bare-own", own(), none(), StatusCode::OK),
        case("own-200", layer.layer(own()), none(), StatusCode::OK),
        case("own-304", layer.layer(own()), if_none_match("\"own\""), StatusCode::NOT_MODIFIED),
    ]
}

/// Writes of 1 KiB through a guard, each behind as many bare calls of the service as
/// the guard makes: with the content there at once, or late; and with a new tag, for
/// which the guard hashes the content and asks once more.
pub fn writes() -> Vec<Case> {
    let content = anew(1024);
    let mut cases = Vec::new();
    for (name, calls, puts_tag, is_late, precondition) in [
        ("plain", 1, true, false, "x-none"),
        ("whole", 2, true, false, "if-match"),
        ("late", 3, true, true, "if-match"),
        ("whole-new-tag", 3, false, false, "if-match"),
        ("late-new-tag", 4, false, true, "if-match"),
    ] {
        // A version, which the guard does not take for a hash, where the PUT says it.
        let tag = if puts_tag { EntityTag::from(7) } else { EntityTag::of(&content) };
        let line = tag.to_string();
        let fields = [
            ("host", "api.example.com"),
            ("user-agent", "client/1.0"),
            ("accept", "application/json"),
            ("content-type", "text/plain"),
            (precondition, &*line),
        ];
        let field = |(name, value): (&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        let fields: HeaderMap = fields.into_iter().map(field).collect();
        let body = Late { content: Some(content.clone()), is_late };
        let service = stored(content.clone(), tag, puts_tag);
        let mut guard = WriteGuard::new(service.clone());
        let mut bare = times(calls, service, Late { is_late: false, ..body.clone() });
        let bare = move |request: Request<()>| bare.call(request);
        let guard = move |request: Request<()>| guard.call(request.map(|()| body.clone()));
        let (method, ok) = (Method::PUT, StatusCode::OK);
        let name = format!("write-{name}");
        cases.push(case_of(format!("bare-{name}"), method.clone(), bare, fields.clone(), ok));
        cases.push(case_of(name, method, guard, fields, ok));
    }
    cases
}

/// Makes a service that has stored what is sent to it already, under a tag that it says
/// of a GET, and of a PUT if `puts_tag`.
fn stored(
    content: Bytes,
    tag: EntityTag,
    puts_tag: bool,
) -> impl Service<
    Request<RequestBody<Late>>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone {
    let tag = HeaderValue::from(tag);
    service_fn(move |request: Request<RequestBody<Late>>| {
        let is_read = request.method() == Method::GET;
        let body = if is_read { content.clone() } else { Bytes::new() };
        let mut response = Response::new(Full::new(body));
        if is_read || puts_tag {
            response.headers_mut().insert(header::ETAG, tag.clone());
        }
        std::future::ready(Ok(response))
    })
}

/// Makes a service that calls another so many times: with GETs, whose fields are
/// copied, and with the request in the end.
fn times<S>(
    calls: usize,
    service: S,
    body: Late,
) -> impl Service<Request<()>, Response = S::Response, Error = S::Error>
where
    S: Service<Request<RequestBody<Late>>> + Clone,
{
    service_fn(move |request: Request<()>| {
        let (mut service, body) = (service.clone(), body.clone());
        async move {
            for _ in 1..calls {
                let mut get = Request::new(RequestBody::default());
                get.headers_mut().extend(request.headers().clone());
                drop(black_box(service.call(get).await?));
            }
            service.call(request.map(|()| RequestBody::new(body))).await
        }
    })
}

/// Content in one frame, at once or at the second look.
#[derive(Clone)]
pub struct Late {
    content: Option<Bytes>,
    is_late: bool,
}

impl Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::take(&mut self.is_late) {
            return Poll::Pending;
        }
        Poll::Ready(self.content.take().map(|content| Ok(Frame::data(content))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.as_ref().map_or(0, |content| content.len() as u64))
    }
}

/// A hash that costs nothing, to see what else does.
#[derive(Default)]
struct Null;

impl Digest for Null {
    type Output = [u8; 32];

    fn update(&mut self, _: &[u8]) {}

    fn finish(self) -> [u8; 32] {
        [0; 32]
    }
}

fn if_none_match(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())])
}

/// What a browser sends with a request for a page.
fn browser() -> HeaderMap {
    let fields = [
        ("host", "www.example.com"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/142.0.0.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
             image/apng,*/*;q=0.8",
        ),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
        ("cache-control", "max-age=0"),
        ("connection", "keep-alive"),
        ("cookie", "session=0123456789abcdef0123456789abcdef"),
        ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\""),
        ("sec-ch-ua-mobile", "?0"),
        ("sec-ch-ua-platform", "\"Linux\""),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("upgrade-insecure-requests", "1"),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}
