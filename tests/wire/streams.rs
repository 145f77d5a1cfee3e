//! What clients see on the wire: real connections over loopback, HTTP/1.1 read octet by octet, HTTP/2 frame by frame.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    convert::Infallible,
    io,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    body::{Body, Bytes},
    handler::Handler,
    http::{header, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version},
    response::{
        sse::{Event, Sse},
        AppendHeaders, IntoResponse,
    },
    routing::get,
    Router,
};
use futures_util::stream::{self, StreamExt};
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::{mpsc, oneshot};
use tower::{util::BoxCloneService, Layer, ServiceBuilder};
use tower_conditional::{ConditionalLayer, EntityTag};
use tower_http::{compression::CompressionLayer, services::ServeDir};

use self::net::{
    ask, axum, fed, http_date, hyper, request, within, Feed, Folder, Http2, Wire, GUARD, HEADERS,
    MISS, START, TEXT,
};

mod net;

#[tokio::test]
async fn pipelined_responses_follow_a_304_at_once() {
    for (name, address, axum) in [
        (
            "axum",
            axum(Router::new().route("/", get(TEXT)).layer(ConditionalLayer::new())).await,
            true,
        ),
        ("hyper", hyper(Version::HTTP_11, ConditionalLayer::new().layer(plain())).await, false),
    ] {
        let tag = EntityTag::of(TEXT.as_bytes()).to_string();
        let (hit, miss) = (&[("if-none-match", tag.as_str())], &[("if-none-match", MISS)]);
        let requests = [
            ("GET", &[][..], 200),
            ("GET", hit, 304),
            ("GET", miss, 200),
            ("HEAD", hit, 304),
            ("HEAD", miss, 200),
            ("GET", &[("if-match", MISS)], 412),
            ("GET", hit, 304),
            ("GET", hit, 304),
            ("GET", &[("connection", "close")], 200),
        ];
        let mut wire = Wire::connect(address).await;
        wire.send(requests.map(|(method, fields, _)| request(method, "/", fields)).concat()).await;
        for (i, (method, _, status)) in requests.into_iter().enumerate() {
            let reply = wire.reply(method).await;
            assert_eq!(reply.status, status, "{name} {i}");
            assert_eq!(reply.field("etag"), Some(tag.as_str()), "{name} {i}");
            assert_eq!(
                reply.text(),
                if (method, status) == ("GET", 200) { TEXT } else { "" },
                "{name} {i}"
            );
            let length = match (method, status) {
                (_, 200) => Some("5"),
                (_, 412) => Some("0"),
                // Axum says so of any empty body; Hyper takes it out of the answer to a GET.
                ("HEAD", _) if axum => Some("0"),
                _ => None,
            };
            assert_eq!(reply.field("content-length"), length, "{name} {i}");
        }
        assert_eq!(wire.rest().await, b"", "{name}");
    }
}

#[tokio::test]
async fn http2_gets_no_data_with_a_304_a_412_or_a_head() {
    let router = Router::new().route("/", get(TEXT)).layer(ConditionalLayer::new());
    // Hyper does not strip the content of a HEAD here.
    let stripped = ConditionalLayer::new().head_as_get(true).layer(plain());
    for (name, address, axum) in [
        ("axum", hyper(Version::HTTP_2, router).await, true),
        ("hyper", hyper(Version::HTTP_2, stripped).await, false),
    ] {
        let tag = EntityTag::of(TEXT.as_bytes()).to_string();
        let (hit, miss) = (&[("if-none-match", tag.as_str())], &[("if-none-match", MISS)]);
        let mut client = Http2::connect(address).await;
        for (method, fields, status) in [
            (Method::GET, &[][..], 200),
            (Method::GET, hit, 304),
            (Method::GET, miss, 200),
            (Method::GET, &[("if-match", MISS)], 412),
            (Method::GET, &[("if-match", &tag)], 200),
            (Method::HEAD, &[], 200),
            (Method::HEAD, hit, 304),
            (Method::HEAD, &[("if-match", MISS)], 412),
        ] {
            let (reply, frames) = client.ask(&method, fields).await;
            let case = format!("{name} {method} {fields:?}");
            assert_eq!(reply.status, status, "{case}");
            assert_eq!(reply.field("etag"), Some(tag.as_str()), "{case}");
            assert_eq!(reply.field("content-type").is_some(), status == 200, "{case}");
            let length = match status {
                200 => Some("5"),
                _ if axum => Some("0"),
                _ => None,
            };
            assert_eq!(reply.field("content-length"), length, "{case}");
            if (&method, status) == (&Method::GET, 200) {
                assert_eq!(reply.text(), TEXT, "{case}");
            } else {
                assert_eq!(frames, [(HEADERS, true)], "the head ends the stream: {case}");
            }
        }
    }
}

#[tokio::test]
async fn a_head_has_the_tag_of_the_get_or_none() {
    let router =
        || Router::new().route("/", get(TEXT)).route("/stream", get(|| async { ready_stream() }));
    let layer = ConditionalLayer::new;
    let around = hyper(Version::HTTP_11, layer().layer(router())).await;
    let as_get = hyper(Version::HTTP_11, layer().head_as_get(true).layer(router())).await;
    for (name, address, path, length, has_tag) in [
        ("inside", axum(router().layer(layer())).await, "/", Some("5"), true),
        ("inside", axum(router().layer(layer())).await, "/stream", Some("5"), true),
        ("around, as GET", as_get, "/", Some("5"), true),
        ("around, as GET", as_get, "/stream", Some("5"), true),
        ("around", around, "/", Some("5"), false),
        ("around", around, "/stream", None, false),
    ] {
        let get = ask(address, "GET", path, &[]).await;
        let head = ask(address, "HEAD", path, &[]).await;
        let tag = get.field("etag").unwrap();
        assert_eq!((get.status, head.status), (200, 200), "{name} {path}");
        assert_eq!(tag, EntityTag::of(TEXT.as_bytes()).to_string(), "{name} {path}");
        assert_eq!(head.field("etag"), has_tag.then_some(tag), "{name} {path}");
        // A stream that was read to its end has a length, too.
        assert_eq!(
            (get.field("content-length"), head.field("content-length")),
            (Some("5"), length),
            "{name} {path}"
        );

        let again = ask(address, "HEAD", path, &[("if-none-match", tag)]).await;
        assert_eq!(again.status, if has_tag { 304 } else { 200 }, "{name} {path}");
    }
}

#[tokio::test]
async fn a_304_keeps_every_line_that_does_not_describe_content() {
    const KEPT: [(&str, &str); 9] = [
        ("vary", "accept"),
        ("vary", "origin"),
        ("cache-control", "private"),
        ("cache-control", "max-age=60"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("access-control-allow-origin", "*"),
        ("content-security-policy", "default-src 'self'"),
        ("content-location", "/here"),
    ];
    let handler = || async {
        (AppendHeaders(KEPT), AppendHeaders([("content-language", "en")]), with_trailers())
    };
    let (seconds, layer) = clocked();
    let router = Router::new().route("/", get(handler)).layer(layer);
    let address = axum(router.clone()).await;
    seconds.fetch_add(1, Ordering::Relaxed);

    let whole = ask(address, "GET", "/", &[]).await;
    assert_eq!((whole.status, whole.text()), (200, TEXT));
    assert_eq!(whole.field("transfer-encoding"), Some("chunked"));
    let (tag, date) = (whole.field("etag").unwrap(), whole.field("last-modified").unwrap());
    let mut client = Http2::connect(hyper(Version::HTTP_2, router).await).await;
    for (name, fields) in [
        ("by tag", &[("if-none-match", tag)][..]),
        (
            "by a weak tag on the second line",
            &[("if-none-match", MISS), ("if-none-match", &format!("W/{tag}"))],
        ),
        ("by date", &[("if-modified-since", date)]),
    ] {
        let over_http2 = client.ask(&Method::GET, fields).await.0;
        for (version, reply) in [(1, ask(address, "GET", "/", fields).await), (2, over_http2)] {
            assert_eq!(reply.status, 304, "{name} {version}");
            for (field, _) in KEPT.into_iter().chain([("etag", ""), ("last-modified", "")]) {
                assert_eq!(reply.lines(field), whole.lines(field), "{name} {version} {field}");
            }
            assert!(reply.field("date").is_some(), "{name} {version}");
            for field in ["content-type", "content-language", "transfer-encoding", "trailer"] {
                assert_eq!(reply.field(field), None, "{name} {version} {field}");
            }
            assert_eq!(
                reply.field("content-length"),
                (version == 2).then_some("0"),
                "{name} {version}"
            );
        }
    }
}

#[tokio::test]
async fn encodings_made_inside_have_strong_tags_and_those_made_outside_share_a_weak_one() {
    let router = || Router::new().route("/", get(|| async { TEXT.repeat(1000) }));
    let (layer, compression) = (ConditionalLayer::new, CompressionLayer::new);
    let inside = router().layer(compression()).layer(layer());
    let outside = router().layer(layer().behind_compression(true)).layer(compression());
    for (name, address, start) in
        [("inside", axum(inside).await, "\""), ("outside", axum(outside).await, "W/\"")]
    {
        let mut tags = Vec::new();
        for (encoding, expected) in [("gzip", Some("gzip")), ("identity", None)] {
            let accept = ("accept-encoding", encoding);
            let whole = ask(address, "GET", "/", &[accept]).await;
            assert_eq!(
                (whole.status, whole.field("content-encoding")),
                (200, expected),
                "{name} {encoding}"
            );
            assert_eq!(
                whole.content.starts_with(&[0x1f, 0x8b]),
                expected.is_some(),
                "{name} {encoding}"
            );
            let tag = whole.field("etag").unwrap();
            assert!(tag.starts_with(start), "{name} {encoding}: {tag}");

            let again = ask(address, "GET", "/", &[accept, ("if-none-match", tag)]).await;
            assert_eq!((again.status, again.field("etag")), (304, Some(tag)), "{name} {encoding}");
            assert_eq!(
                (again.field("content-encoding"), again.field("content-type")),
                (None, None),
                "{name} {encoding}"
            );
            for reply in [&whole, &again] {
                assert_eq!(
                    reply.lines("vary"),
                    ["accept-encoding"],
                    "{name} {encoding} {}",
                    reply.status
                );
            }
            tags.push(tag.to_owned());
        }
        assert_eq!(tags[0] == tags[1], name == "outside");
        let fields = [("accept-encoding", "identity"), ("if-none-match", &tags[0])];
        let expected = if name == "inside" { 200 } else { 304 };
        assert_eq!(
            ask(address, "GET", "/", &fields).await.status,
            expected,
            "{name}: the client holds gzip"
        );
    }
}

#[tokio::test]
async fn files_are_served_by_their_own_validators_and_never_by_stale_ones() {
    let folder = Folder::new("files");
    folder.write("a.txt", "newer", START + 3600);
    let layer = clocked().1;
    let address = axum(Router::new().fallback_service(ServeDir::new(&folder.0)).layer(layer)).await;

    let newer = ask(address, "GET", "/a.txt", &[]).await;
    assert_eq!((newer.status, newer.text()), (200, "newer"));
    let (tag, date) = (newer.field("etag").unwrap(), newer.field("last-modified").unwrap());
    assert_eq!(date, http_date(START + 3600));
    assert_eq!(newer.field("cache-control"), None, "the layer minted no date and adds nothing");
    let ours = EntityTag::of(b"of another day").to_string();
    for (name, fields, expected) in [
        ("tag", &[("if-none-match", tag)][..], (304, "")),
        ("tag on the second line", &[("if-none-match", MISS), ("if-none-match", tag)], (304, "")),
        ("date", &[("if-modified-since", date)], (304, "")),
        (
            "another tag, and the date",
            &[("if-none-match", MISS), ("if-modified-since", date)],
            (200, "newer"),
        ),
        ("If-Match", &[("if-match", tag)], (200, "newer")),
        ("If-Match with another tag", &[("if-match", MISS)], (412, "")),
        ("range", &[("range", "bytes=0-2")], (206, "new")),
        (
            "a tag of the layer's form",
            &[("range", "bytes=0-2"), ("if-range", &ours)],
            (200, "newer"),
        ),
    ] {
        let reply = ask(address, "GET", "/a.txt", fields).await;
        assert_eq!((reply.status, reply.text()), expected, "{name}");
        assert_eq!(reply.field("content-range").is_some(), reply.status == 206, "{name}");
    }

    folder.write("a.txt", "older", START);
    for since in [date, &http_date(START), &http_date(START + 7200)] {
        let fields = [("if-none-match", tag), ("if-modified-since", since)];
        let older = ask(address, "GET", "/a.txt", &fields).await;
        assert_eq!((older.status, older.text()), (200, "older"), "rolled back, {since}");
        assert_eq!(older.field("last-modified"), Some(http_date(START).as_str()));
    }
}

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
    let address = axum(router.layer(ConditionalLayer::new().sized_body_timeout(GUARD * 2))).await;

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
async fn an_endless_body_streams_until_its_client_leaves() {
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
    let mut octets = 0;
    while octets < 4 << 20 {
        let chunk = wire.chunk().await;
        assert!(!chunk.is_empty());
        octets += chunk.len();
    }
    let mut guard: oneshot::Sender<()> = within(opened.recv()).await.unwrap();
    assert!(!guard.is_closed());
    drop(wire);
    within(guard.closed()).await;
}

#[tokio::test]
async fn a_slow_body_is_dropped_when_its_client_leaves() {
    for (name, deadline) in [("while it is read", GUARD * 2), ("while it is sent", Duration::ZERO)]
    {
        let (feeds, mut opened) = mpsc::unbounded_channel();
        let handler = || async move {
            let (feed, body) = fed(TEXT);
            feeds.send(feed).unwrap();
            ([(header::CONTENT_LENGTH, "10")], body)
        };
        let layer = ConditionalLayer::new().sized_body_timeout(deadline);
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
async fn a_body_error_cuts_the_connection_behind_the_octets_before_it() {
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
                    // Hyper throws away what it has not sent yet, but sends it whenever the body is not ready.
                    tokio::task::yield_now().await;
                    if waits {
                        let _ = released.await;
                    }
                    Err(io::Error::other("broken"))
                };
                let body = stream::iter([Ok(TEXT)]).chain(stream::once(error));
                (
                    AppendHeaders(length.map(|length| (header::CONTENT_LENGTH, length))),
                    Body::from_stream(body),
                )
            };
            let mut router = Router::new().route("/", get(handler));
            if layer {
                router = router.layer(ConditionalLayer::new().sized_body_timeout(Duration::ZERO));
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
async fn the_layer_works_wherever_it_is_mounted() {
    let folder = Folder::new("mounted");
    folder.write("flags", TEXT, START);
    let (layer, flags) = (ConditionalLayer::new, || Router::new().route("/flags", get(TEXT)));
    let (handler, files) = (|| async { TEXT }, ServeDir::new(&folder.0));
    let http1 = Version::HTTP_11;
    for (name, address, path) in [
        ("layer", axum(flags().layer(layer())).await, "/flags"),
        ("route_layer", axum(flags().route_layer(layer())).await, "/flags"),
        (
            "on a MethodRouter",
            axum(Router::new().route("/flags", get(TEXT).layer(layer()))).await,
            "/flags",
        ),
        (
            "on a Handler",
            axum(Router::new().route("/flags", get(handler.layer(layer())))).await,
            "/flags",
        ),
        ("over merge", axum(Router::new().merge(flags()).layer(layer())).await, "/flags"),
        ("over a fallback", axum(Router::new().fallback(get(TEXT)).layer(layer())).await, "/flags"),
        ("over nest", axum(Router::new().nest("/api", flags()).layer(layer())).await, "/api/flags"),
        (
            "inside nest",
            axum(Router::new().nest("/api", flags().layer(layer()))).await,
            "/api/flags",
        ),
        (
            "over files",
            axum(Router::new().nest_service("/files", files.clone()).layer(layer())).await,
            "/files/flags",
        ),
        ("around files", hyper(http1, layer().layer(files)).await, "/flags"),
        ("around the Router", hyper(http1, layer().layer(flags())).await, "/flags"),
        (
            "by a ServiceBuilder",
            hyper(http1, ServiceBuilder::new().layer(layer()).service(flags())).await,
            "/flags",
        ),
    ] {
        let whole = ask(address, "GET", path, &[]).await;
        assert_eq!((whole.status, whole.text()), (200, TEXT), "{name}");
        let tag = whole.field("etag").unwrap();
        for (field, asked, expected) in [
            ("if-none-match", tag, (304, "")),
            ("if-none-match", MISS, (200, TEXT)),
            ("if-match", tag, (200, TEXT)),
            ("if-match", MISS, (412, "")),
        ] {
            let reply = ask(address, "GET", path, &[(field, asked)]).await;
            assert_eq!((reply.status, reply.text()), expected, "{name} {field}: {asked}");
        }
    }
}

/// A service without Axum.
fn plain() -> BoxCloneService<Request<Incoming>, Response<Full<Bytes>>, Infallible> {
    BoxCloneService::new(tower::service_fn(|_| async {
        Ok(Response::builder().header("content-type", "text/plain").body(Full::from(TEXT)).unwrap())
    }))
}

/// Content of unknown size that need not be waited for.
fn ready_stream() -> Body {
    Body::from_stream(stream::iter(["he", "llo"].map(Ok::<_, Infallible>)))
}

/// The same with trailers.
fn with_trailers() -> impl IntoResponse {
    let trailers =
        HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))]);
    let frames = [Frame::data("he".into()), Frame::data("llo".into()), Frame::trailers(trailers)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    ([("trailer", "x-sum"), ("content-type", "text/plain")], Body::new(body))
}

/// A layer with a clock that is set by hand.
fn clocked() -> (Arc<AtomicU64>, ConditionalLayer) {
    let seconds = Arc::new(AtomicU64::new(START + 86_400));
    let clock = Arc::clone(&seconds);
    let now = move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
    (seconds, ConditionalLayer::new().clock(now))
}
