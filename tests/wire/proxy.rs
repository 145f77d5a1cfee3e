//! Reverse proxies: the bodies of their responses come from Hyper's client.

use std::{
    convert::Infallible,
    future::ready,
    io,
    net::SocketAddr,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};

use axum::{
    body::{Body, Body as AxumBody},
    middleware::{from_fn, Next},
    routing::get,
    Router,
};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::{header::ETAG, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::{body::Incoming, client};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::{service_fn, BoxError, Layer, Service};
use tower_conditional::{BodyTimeout, ConditionalLayer, InnerTags};

use crate::support::{
    file_server::{assert_whole, content, tag, write, Kind, LENGTH, LIMIT, PATH},
    harness::INM,
    peer::{self, get_of, tag_of, try_ask},
    server::VERSIONS,
    slow_peer::{self, watched, Log},
    wire::{self, clocked, hyper, Folder, MISS, TEXT},
};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn proxy_tags_what_comes_from_another_server() {
    for version in VERSIONS {
        let (origin, asked) = origin(version).await;
        let layer = ConditionalLayer::new()
            .body_timeout(BodyTimeout::new().known_size(PATIENCE).unknown_size(PATIENCE));
        let proxy = hyper(version, layer.layer(proxy_to(version, origin))).await;
        for path in ["/known", "/unknown"] {
            let tag = tag_of(TEXT);
            let whole = peer::ask(version, proxy, get_of(path, &[])).await;
            assert_eq!((whole.status, whole.text()), (200, TEXT), "{version:?} {path}");
            assert_eq!(whole.field("etag"), Some(&*tag), "{version:?} {path}");
            for (inm, expected) in [(&*tag, (304, "")), (MISS, (200, TEXT))] {
                let reply =
                    peer::ask(version, proxy, get_of(path, &[("if-none-match", inm)])).await;
                assert_eq!((reply.status, reply.text()), expected, "{version:?} {path} {inm}");
            }
        }
        let own = peer::ask(version, proxy, get_of("/own", &[("if-none-match", "\"own\"")])).await;
        assert_eq!((own.status, own.field("etag")), (304, Some("\"own\"")), "{version:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 7, "{version:?}: each request went through");
    }
}

#[tokio::test]
async fn proxy_passes_what_is_slow_as_it_comes() {
    for version in VERSIONS {
        let (origin, _) = origin(version).await;
        // Of unknown size: no patience by default.
        let proxy = hyper(version, ConditionalLayer::new().layer(proxy_to(version, origin))).await;
        let response = peer::send(version, proxy, get_of("/endless", &[])).await.unwrap();
        assert_eq!(
            (response.status(), response.headers().get("etag")),
            (StatusCode::OK, None),
            "{version:?}"
        );
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, TEXT, "{version:?}: the rest never comes");
    }
}

#[tokio::test]
async fn proxy_breaks_off_when_the_other_server_does() {
    for version in VERSIONS {
        let (origin, _) = origin(version).await;
        for layer in [
            ConditionalLayer::new(),
            ConditionalLayer::new().body_timeout(BodyTimeout::new().known_size(Duration::ZERO)),
        ] {
            let proxy = hyper(version, layer.layer(proxy_to(version, origin))).await;
            for path in ["/cut", "/cut-unknown"] {
                let reply = try_ask(version, proxy, get_of(path, &[("if-none-match", MISS)])).await;
                assert!(reply.is_err(), "{version:?} {path}: {reply:?}");
            }
        }
    }
}

/// The server behind the proxy, and how often it was asked.
async fn origin(version: Version) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let unknown =
        || async { Body::from_stream(stream::iter(["he", "llo"].map(Ok::<_, Infallible>))) };
    let endless = || async {
        let first = stream::iter([Ok::<_, Infallible>(TEXT)]);
        Body::from_stream(first.chain(stream::pending()))
    };
    let router = Router::new()
        .route("/known", get(TEXT))
        .route("/unknown", get(unknown))
        .route("/own", get(|| async { ([("etag", "\"own\"")], TEXT) }))
        .route("/endless", get(endless))
        .route("/cut", get(|| async { ([("content-length", "10")], cut()) }))
        .route("/cut-unknown", get(|| async { cut() }))
        .layer(from_fn(move |request, next: Next| {
            counted.fetch_add(1, Ordering::Relaxed);
            next.run(request)
        }));
    (hyper(version, router).await, asked)
}

/// Half of the content, and an error.
fn cut() -> Body {
    let later = stream::once(async {
        // So that the half is sent first.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::other("broken"))
    });
    Body::from_stream(stream::iter([Ok(TEXT)]).chain(later))
}

/// Passes requests on, one connection each, and the responses back as they come.
fn proxy_to(
    version: Version,
    origin: SocketAddr,
) -> impl Service<Request<Incoming>, Response = Response<Incoming>, Error = BoxError, Future: Send> + Clone
{
    service_fn(move |request: Request<Incoming>| async move {
        let (mut head, body) = request.into_parts();
        head.uri = format!("http://origin{}", head.uri.path()).parse()?;
        head.version = version;
        peer::send(version, origin, Request::from_parts(head, Body::new(body))).await
    })
}

/// GETs `/` from Axum, whose handler answers as a reverse proxy does that hands on what
/// Hyper's client got.
fn first_line(adjust: impl FnOnce(Router) -> Router, fields: &'static str) -> String {
    let handler = || async {
        Response::builder().header("transfer-encoding", "chunked").body(unsized_body()).unwrap()
    };
    let router = adjust(Router::new().route("/", get(handler)));
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(wire::axum(router).await).await.unwrap();
        let text = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).lines().next().unwrap_or("no answer").to_owned()
    })
}

#[test]
fn proxy_passes_a_chunked_response() {
    assert_eq!(first_line(|router| router, ""), "HTTP/1.1 200 OK");
    assert_eq!(first_line(|router| router.layer(ConditionalLayer::new()), ""), "HTTP/1.1 200 OK");
}

#[test]
fn proxy_passes_a_part_of_a_chunked_response() {
    let layer = ConditionalLayer::new().ranges(true);
    assert_eq!(
        first_line(|router| router.layer(layer), "range: bytes=0-1\r\n"),
        "HTTP/1.1 206 Partial Content"
    );
}

#[test]
fn proxy_by_hyper_alone_passes_a_chunked_response() {
    let lines =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
            let inner = service_fn(|_: Request<Incoming>| {
                ready(Ok::<_, Infallible>(
                    Response::builder()
                        .header("transfer-encoding", "chunked")
                        .body(unsized_body())
                        .unwrap(),
                ))
            });
            let layer = ConditionalLayer::new().ranges(true);
            let address = hyper(Version::HTTP_11, layer.layer(inner)).await;
            let mut lines = Vec::new();
            for fields in ["", "range: bytes=0-1\r\n"] {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut stream = TcpStream::connect(address).await.unwrap();
                let text =
                    format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                lines.push(
                    String::from_utf8_lossy(&answer)
                        .lines()
                        .next()
                        .unwrap_or("no answer")
                        .to_owned(),
                );
            }
            lines
        });
    assert_eq!(lines, ["HTTP/1.1 200 OK", "HTTP/1.1 206 Partial Content"]);
}

#[test]
fn proxy_of_axums_example_works_through_the_layer() {
    // The proxy of Axum's examples forwards the answers of the upstream unchanged.
    for layered in [false, true] {
        let failed = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async {
                let upstream =
                    wire::axum(Router::new().route("/", get(|| async { unsized_body() }))).await;
                let client = hyper_util::client::legacy::Client::builder(
                    hyper_util::rt::TokioExecutor::new(),
                )
                .build::<_, AxumBody>(hyper_util::client::legacy::connect::HttpConnector::new());
                let handler = move || {
                    let client = client.clone();
                    async move {
                        let request = Request::builder()
                            .uri(format!("http://{upstream}/"))
                            .body(AxumBody::empty())
                            .unwrap();
                        client.request(request).await.unwrap().map(AxumBody::new)
                    }
                };
                let router = Router::new().route("/", get(handler));
                let layer = ConditionalLayer::new();
                let address = wire::axum(if layered { router.layer(layer) } else { router }).await;
                let client = hyper_util::client::legacy::Client::builder(
                    hyper_util::rt::TokioExecutor::new(),
                )
                .build::<_, AxumBody>(hyper_util::client::legacy::connect::HttpConnector::new());
                let mut failed = 0;
                for _ in 0..50 {
                    failed += u32::from(
                        client.get(format!("http://{address}/").parse().unwrap()).await.is_err(),
                    );
                }
                failed
            });
        assert_eq!(failed, 0, "of 50; layered: {layered}");
    }
}

fn unsized_body() -> AxumBody {
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"content")))];
    AxumBody::new(StreamBody::new(tokio_stream::iter(frames)))
}

#[tokio::test]
async fn proxy_learns_what_comes_from_an_upstream() {
    for version in VERSIONS {
        for is_chunked in [false, true] {
            let (folder, log) = (Folder::new(&format!("upstream-{is_chunked}")), Log::new());
            write(&folder, 1, LENGTH, 0);
            let origin = match is_chunked {
                false => Kind::Tags.serve(&folder.0, &log),
                true => watched(service_fn(|_: Request<Incoming>| ready(Ok(upstream()))), &log),
            };
            let origin = slow_peer::serve(Version::HTTP_11, origin).await;
            let (_, layer) = clocked();
            let layer = layer.buffer_limit(LIMIT).inner_tags(InnerTags::replace());
            let address = slow_peer::serve(
                version,
                layer.layer(service_fn(move |request| pass_on(origin, request))),
            )
            .await;

            log.break_at(LENGTH / 2);
            let broken = slow_peer::get(version, address, PATH, &[]).await;
            assert!(!broken.is_whole && broken.etag().is_none(), "{version:?} {is_chunked}");
            log.break_at(usize::MAX);
            // Nothing is learned from content of unknown length.
            for etag in [None, Some(&*tag(1)).filter(|_| !is_chunked)] {
                let answer = slow_peer::get(version, address, PATH, &[]).await;
                assert_whole(&answer, 1, etag);
                assert_eq!(answer.field("content-length").is_none(), is_chunked, "{version:?}");
            }
            let answer = slow_peer::get(version, address, PATH, &[(INM, &tag(1))]).await;
            let status = if is_chunked { 200 } else { 304 };
            assert_eq!((answer.status, answer.is_whole), (status, true), "{version:?}");
            log.gone().await;
        }
    }
}

/// Answers with a tag and content of unknown length.
fn upstream() -> Response<StreamBody<impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>> {
    let frames: Vec<_> = content(1, LENGTH)
        .chunks(999)
        .map(Bytes::copy_from_slice)
        .map(Frame::data)
        .map(Ok)
        .collect();
    Response::builder()
        .header(ETAG, "\"upstream\"")
        .body(StreamBody::new(stream::iter(frames)))
        .unwrap()
}

/// Does what a reverse proxy does.
async fn pass_on(
    origin: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Infallible> {
    let (head, _) = request.into_parts();
    let stream = TcpStream::connect(origin).await.unwrap();
    let (mut sender, connection) =
        client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::builder().method(head.method).uri(head.uri.path()).header("host", "origin");
    Ok(sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap())
}
