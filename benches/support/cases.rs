//! What is measured: a bare service, the layer over it, and a way to call both without
//! a runtime.

use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{header, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tower::{service_fn, Layer, Service};
use tower_conditional::{ConditionalLayer, Digest};
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
    let plain = || layer().content_cache(0).last_modified(false).layer(bare(shared.clone()));
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
