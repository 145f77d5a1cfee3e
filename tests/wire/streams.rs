//! Bodies without end, slow ones, broken ones, and trailers.

use std::{
    convert::Infallible,
    future::ready,
    io,
    net::SocketAddr,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex,
    },
    time::Duration,
};

use axum::{
    body::Body,
    response::{
        sse::{Event, Sse},
        AppendHeaders, IntoResponse,
    },
    routing::get,
    Router,
};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{
    header::{CONTENT_LENGTH, ETAG},
    HeaderValue, Method, Request, Response, Uri, Version,
};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::{body::Incoming, client};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::{service_fn, Layer};
use tower_conditional::{BodyTimeout, ConditionalLayer, EntityTag, InnerTags};

use crate::support::{
    file_server::{assert_whole, content, tag, write, Kind, LENGTH, LIMIT, PATH},
    harness::INM,
    repr_digest::is_digest_of,
    server::VERSIONS,
    slow_peer::{self, leave, watched, Answer, Fields, Log},
    wire::{
        ask, axum, fed, hyper, request, sum, with_trailers, within, Feed, Folder, Http2, Wire,
        GUARD, MISS, TEXT,
    },
};

#[tokio::test]
async fn streams_are_not_held_back() {
    let (feeds, mut opened) = mpsc::unbounded_channel();
    let handler = |uri: Uri| async move {
        let (feed, body) = fed(if uri.path() == "/empty" { "" } else { "one" });
        feeds.send(feed).unwrap();
        if uri.path() != "/events" {
            return ([("content-type", "text/html")], body).into_response();
        }
        let events = body.into_data_stream().map(|data| {
            let data = data.map_err(io::Error::other)?;
            Ok::<_, io::Error>(Event::default().data(String::from_utf8_lossy(&data)))
        });
        Sse::new(events).into_response()
    };
    let router = Router::new().fallback(get(handler));
    // If anything waited for content, it would wait longer than this test does.
    let address = axum(
        router
            .layer(ConditionalLayer::new().body_timeout(BodyTimeout::new().known_size(GUARD * 2))),
    )
    .await;

    for (path, mime, chunks) in [
        ("/events", "text/event-stream", ["data: one\n\n", "data: two\n\n"]),
        ("/page", "text/html", ["one", "two"]),
        ("/empty", "text/html", ["", "two"]),
    ] {
        let mut wire = Wire::connect(address).await;
        wire.send(request("GET", path, &[("if-none-match", MISS)])).await;
        let (status, headers) = wire.head().await;
        assert_eq!(
            (status, &headers["content-type"]),
            (200, &HeaderValue::from_static(mime)),
            "{path}"
        );
        assert!(!headers.contains_key("etag"), "{path}");
        if !chunks[0].is_empty() {
            assert_eq!(wire.chunk().await, chunks[0].as_bytes(), "{path}");
        }
        let feed: Feed = within(opened.recv()).await.unwrap();
        feed.send(Ok(Frame::data("two".into()))).unwrap();
        assert_eq!(wire.chunk().await, chunks[1].as_bytes(), "{path}");
        drop(feed);
        assert_eq!(wire.chunk().await, b"", "{path}");
    }
}

#[tokio::test]
async fn streams_without_end_go_on_until_the_client_leaves() {
    let (guards, mut opened) = mpsc::unbounded_channel();
    let handler = || async move {
        let (guard, held) = oneshot::channel::<()>();
        guards.send(guard).unwrap();
        let zeros = stream::repeat(Bytes::from_static(&[0; 1 << 16]));
        Body::from_stream(zeros.map(move |data| {
            let _still_here = &held;
            Ok::<_, Infallible>(data)
        }))
    };
    let address = axum(Router::new().route("/", get(handler)).layer(ConditionalLayer::new())).await;
    let mut wire = Wire::connect(address).await;
    wire.send(request("GET", "/", &[])).await;
    let (status, headers) = wire.head().await;
    assert_eq!((status, headers.get("etag")), (200, None));
    let mut bytes = 0;
    while bytes < 4 << 20 {
        let chunk = wire.chunk().await;
        assert!(!chunk.is_empty());
        bytes += chunk.len();
    }
    let mut guard: oneshot::Sender<()> = within(opened.recv()).await.unwrap();
    assert!(!guard.is_closed());
    drop(wire);
    within(guard.closed()).await;
}

#[tokio::test]
async fn streams_that_are_slow_are_dropped_when_the_client_leaves() {
    for (name, deadline) in [("while it is read", GUARD * 2), ("while it is sent", Duration::ZERO)]
    {
        let (feeds, mut opened) = mpsc::unbounded_channel();
        let handler = || async move {
            let (feed, body) = fed(TEXT);
            feeds.send(feed).unwrap();
            ([(CONTENT_LENGTH, "10")], body)
        };
        let layer = ConditionalLayer::new().body_timeout(BodyTimeout::new().known_size(deadline));
        let address = axum(Router::new().route("/", get(handler)).layer(layer)).await;
        let mut wire = Wire::connect(address).await;
        wire.send(request("GET", "/", &[])).await;
        let feed: Feed = within(opened.recv()).await.unwrap();
        if deadline.is_zero() {
            let (status, headers) = wire.head().await;
            assert_eq!(
                (status, &headers["content-length"]),
                (200, &HeaderValue::from_static("10")),
                "{name}"
            );
            assert_eq!(wire.take(TEXT.len()).await, TEXT.as_bytes(), "{name}");
        }
        assert!(!feed.is_closed(), "{name}");
        drop(wire);
        within(feed.closed()).await;
    }
}

#[tokio::test]
async fn streams_that_fail_cut_the_connection_behind_the_bytes_before() {
    for (name, length, start) in
        [("unknown size", None, "5\r\nhello\r\n"), ("known size", Some("10"), "hello")]
    {
        for (layer, waits) in [(false, false), (true, false), (false, true), (true, true)] {
            let case =
                format!("{name}, with the layer: {layer}, known to the client first: {waits}");
            let (releases, mut opened) = mpsc::unbounded_channel();
            let handler = move || async move {
                let (release, released) = oneshot::channel::<()>();
                releases.send(release).unwrap();
                let error = async move {
                    // Hyper throws away what it has not sent yet, but sends it whenever
                    // the body is not ready.
                    tokio::task::yield_now().await;
                    if waits {
                        let _ = released.await;
                    }
                    Err(io::Error::other("broken"))
                };
                let body = stream::iter([Ok(TEXT)]).chain(stream::once(error));
                (
                    AppendHeaders(length.map(|length| (CONTENT_LENGTH, length))),
                    Body::from_stream(body),
                )
            };
            let mut router = Router::new().route("/", get(handler));
            if layer {
                router = router.layer(
                    ConditionalLayer::new()
                        .body_timeout(BodyTimeout::new().known_size(Duration::ZERO)),
                );
            }
            let mut wire = Wire::connect(axum(router).await).await;
            wire.send(request("GET", "/", &[])).await;
            let release = within(opened.recv()).await.unwrap();
            let mut seen = Vec::new();
            if waits {
                let (status, headers) = wire.head().await;
                assert_eq!((status, headers.get("etag")), (200, None), "{case}");
                seen = wire.take(start.len()).await;
                release.send(()).unwrap();
            }
            seen.extend(wire.rest().await);
            let seen = String::from_utf8(seen).unwrap();
            assert!(seen.ends_with(start), "{case}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn trailers_arrive_behind_tagged_content() {
    let router =
        Router::new().route("/", get(|| async { with_trailers() })).layer(ConditionalLayer::new());
    let tag = EntityTag::of(TEXT.as_bytes()).to_string();

    let reply = ask(axum(router.clone()).await, "GET", "/", &[("te", "trailers")]).await;
    let (over_http2, _) =
        Http2::connect(hyper(Version::HTTP_2, router).await).await.ask(&Method::GET, &[]).await;
    for (version, reply) in [(1, reply), (2, over_http2)] {
        assert_eq!((reply.status, reply.text()), (200, TEXT), "{version}");
        assert_eq!(reply.field("etag"), Some(tag.as_str()), "{version}");
        assert_eq!(
            (reply.trailers.len(), &reply.trailers["x-sum"]),
            (1, &HeaderValue::from_static("7")),
            "{version}"
        );
    }
}

#[tokio::test]
async fn trailers_bring_a_tag_by_which_the_client_revalidates() {
    let whole = content(1, 5 * LIMIT);
    let tag = EntityTag::of(&whole).to_string();
    for (name, version, te) in [
        ("bytes", Version::HTTP_11, &[("te", "trailers")][..]),
        ("Hyper", Version::HTTP_11, &[("te", "trailers")]),
        ("Hyper", Version::HTTP_2, &[]),
        ("no trailers asked for", Version::HTTP_11, &[]),
    ] {
        let is_slow = Arc::new(AtomicBool::new(true));
        let frames: Vec<_> = whole.chunks(LIMIT).map(Bytes::copy_from_slice).collect();
        let inner = service_fn(move |_: Request<Incoming>| {
            // The first time, nothing is ready in time.
            let is_slow = is_slow.swap(false, Ordering::Relaxed);
            let frames = stream::iter(frames.clone())
                .map(Frame::data)
                .chain(stream::iter([Frame::trailers(sum())]));
            let frames = frames.then(move |frame| async move {
                for _ in 0..3 * usize::from(is_slow) {
                    tokio::task::yield_now().await;
                }
                Ok::<_, Infallible>(frame)
            });
            let response = Response::builder()
                .header("trailer", "x-sum")
                .body(StreamBody::new(Box::pin(frames)));
            ready(Ok::<_, Infallible>(response.unwrap()))
        });
        let layer = ConditionalLayer::new().repr_digest(true);
        let address = slow_peer::serve(version, layer.layer(inner)).await;
        let answer = match (name, version) {
            ("Hyper", Version::HTTP_11) => by_hyper(address, te).await,
            _ => slow_peer::get(version, address, PATH, te).await,
        };
        assert_eq!(
            (answer.status, answer.is_whole, answer.etag()),
            (200, true, None),
            "{name} {version:?}"
        );
        assert!(answer.content == whole, "{name} {version:?}");
        let trailers = |name| {
            answer.trailers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned())
        };
        if te.is_empty() && version == Version::HTTP_11 {
            assert!(answer.trailers.is_empty());
            continue;
        }
        assert_eq!(
            (trailers("etag"), trailers("x-sum")),
            (Some(tag.clone()), Some("7".to_owned())),
            "{name} {version:?}"
        );
        assert!(is_digest_of(&trailers("repr-digest").unwrap(), &whole), "{name} {version:?}");
        let lines: Vec<_> =
            answer.headers.get_all("trailer").iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(lines.join(", "), "x-sum, etag, repr-digest", "{name} {version:?}");

        let again =
            slow_peer::get(version, address, PATH, &[(INM, &trailers("etag").unwrap())]).await;
        assert_eq!((again.status, again.etag()), (304, Some(&*tag)), "{name} {version:?}");
    }
}

#[tokio::test]
async fn trailers_bring_the_tag_of_a_file_of_known_length_over_http2() {
    let (folder, log) = (Folder::new("behind"), Log::new());
    write(&folder, 1, LENGTH, 0);
    for (version, expected) in VERSIONS.into_iter().zip([None, Some(&*tag(1))]) {
        let (files, layer) =
            (Kind::Dates.serve(&folder.0, &log), ConditionalLayer::new().repr_digest(true));
        let address =
            slow_peer::serve(version, layer.buffer_limit(LIMIT).layer(files.clone())).await;
        let answer = slow_peer::get(version, address, PATH, &[("te", "trailers")]).await;
        assert_whole(&answer, 1, None);
        assert_eq!(answer.field("content-length"), Some("40000"));
        assert_eq!(
            answer.trailers.get("etag").map(|tag| tag.to_str().unwrap()),
            expected,
            "{version:?}"
        );

        // A server that reads it ahead knows that tag.
        let address = slow_peer::serve(version, ConditionalLayer::new().layer(files)).await;
        assert_eq!(slow_peer::get(version, address, PATH, &[(INM, &tag(1))]).await.status, 304);
    }
    log.gone().await;
}

/// GETs with Hyper's client for HTTP/1.1.
async fn by_hyper(address: SocketAddr, fields: Fields<'_>) -> Answer {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri(PATH).header("host", "watch");
    let request =
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = within(body.collect()).await.unwrap();
    let (status, headers, trailers) =
        (head.status.as_u16(), head.headers, body.trailers().cloned().unwrap_or_default());
    Answer { status, headers, content: body.to_bytes().to_vec(), trailers, is_whole: true }
}

#[tokio::test]
async fn streams_are_not_held_back_while_a_tag_is_learned() {
    for version in VERSIONS {
        let (feed, frames) = mpsc::unbounded_channel();
        let frames = Arc::new(Mutex::new(Some(frames)));
        let inner = service_fn(move |_: Request<Incoming>| {
            let frames = UnboundedReceiverStream::new(frames.lock().unwrap().take().unwrap());
            let response =
                Response::builder().header(ETAG, "\"own\"").header(CONTENT_LENGTH, LENGTH);
            ready(Ok::<_, Infallible>(response.body(StreamBody::new(frames)).unwrap()))
        });
        let log = Log::new();
        let layer = ConditionalLayer::new().buffer_limit(LIMIT).inner_tags(InnerTags::learn());
        let address = slow_peer::serve(version, layer.layer(watched(inner, &log))).await;
        feed.send(Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"first")))).unwrap();
        let answer = leave(version, address, PATH, 5).await;
        assert_eq!((answer.etag(), &answer.content[..]), (Some("\"own\""), &b"first"[..]));
        // The client has left, and so the body that waits goes.
        log.gone().await;
        assert!(feed.is_closed());
    }
}
