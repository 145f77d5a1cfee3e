//! HTTP/1.1, byte by byte.

use std::{convert::Infallible, sync::atomic::Ordering};

use axum::{body::Body, response::AppendHeaders, routing::get, Router};
use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{util::BoxCloneService, Layer};
use tower_conditional::{ConditionalLayer, EntityTag};

use crate::support::wire::{
    ask, axum, clocked, hyper, ready_stream, request, with_trailers, Http2, Wire, MISS, TEXT,
};

#[tokio::test]
async fn http1_pipelined_responses_follow_a_304_at_once() {
    let router = Router::new().route("/", get(TEXT)).layer(ConditionalLayer::new());
    for (name, address) in [
        ("axum", axum(router).await),
        ("hyper", hyper(Version::HTTP_11, ConditionalLayer::new().layer(plain())).await),
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
                (_, 200) | ("HEAD", 304) => Some("5"),
                (_, 412) => Some("0"),
                // Never 0, which would be wrong. Hyper takes that of the 200 out of a GET's.
                _ => None,
            };
            assert_eq!(reply.field("content-length"), length, "{name} {i}");
        }
        assert_eq!(wire.rest().await, b"", "{name}");
    }
}

#[tokio::test]
async fn http1_head_has_the_tag_of_the_get_or_none() {
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
async fn http1_and_http2_304_keeps_every_line_that_does_not_describe_content() {
    const KEPT: [(&str, &str); 9] = [
        ("vary", "accept"),
        ("vary", "origin"),
        ("cache-control", "public"),
        ("cache-control", "max-age=60"),
        ("x-kept", "a=1"),
        ("x-kept", "b=2"),
        ("access-control-allow-origin", "*"),
        ("content-security-policy", "default-src 'self'"),
        ("content-location", "/here"),
    ];
    const PRIVATE: [(&str, &str); 3] =
        [("cache-control", "private"), ("set-cookie", "a=1"), ("set-cookie", "b=2")];
    let (seconds, layer) = clocked();
    let public = || async {
        (AppendHeaders(KEPT), AppendHeaders([("content-language", "en")]), with_trailers())
    };
    let private = move || async move { (AppendHeaders(PRIVATE), public().await) };
    let router =
        Router::new().route("/public", get(public)).route("/private", get(private)).layer(layer);
    let address = axum(router.clone()).await;
    seconds.fetch_add(2, Ordering::Relaxed);
    let mut client = Http2::connect(hyper(Version::HTTP_2, router).await).await;

    let mut date = None;
    for path in ["/public", "/private"] {
        let whole = ask(address, "GET", path, &[]).await;
        assert_eq!((whole.status, whole.text()), (200, TEXT));
        assert_eq!(whole.field("transfer-encoding"), Some("chunked"));
        let tag = whole.field("etag").unwrap();
        // A date on a private page would tell strangers when somebody else was there.
        let is_dated = path == "/public";
        assert_eq!(whole.field("last-modified").is_some(), is_dated);
        if is_dated {
            date = whole.field("last-modified").map(str::to_owned);
        }
        for (name, fields, status) in [
            ("by tag", &[("if-none-match", tag)][..], 304),
            (
                "by a weak tag on the second line",
                &[("if-none-match", MISS), ("if-none-match", &format!("W/{tag}"))],
                304,
            ),
            (
                "by date",
                &[("if-modified-since", date.as_deref().unwrap())],
                if is_dated { 304 } else { 200 },
            ),
        ] {
            let over_http2 = client.send(&Method::GET, path, fields, Body::empty()).await.0;
            for (version, reply) in [(1, ask(address, "GET", path, fields).await), (2, over_http2)]
            {
                let case = format!("{path} {name} over HTTP/{version}");
                assert_eq!(reply.status, status, "{case}");
                for (field, _) in
                    KEPT.into_iter().chain(PRIVATE).chain([("etag", ""), ("last-modified", "")])
                {
                    assert_eq!(reply.lines(field), whole.lines(field), "{case} {field}");
                }
                assert!(reply.field("date").is_some(), "{case}");
                if status == 200 {
                    assert_eq!(reply.text(), TEXT, "{case}");
                    continue;
                }
                for field in ["content-type", "content-language", "transfer-encoding", "trailer"] {
                    assert_eq!(reply.field(field), None, "{case} {field}");
                }
                // The 200 has none either, and 0 would be wrong.
                assert_eq!(reply.field("content-length"), None, "{case}");
            }
        }
    }
}

/// A service without Axum.
pub(crate) fn plain() -> BoxCloneService<Request<Incoming>, Response<Full<Bytes>>, Infallible> {
    BoxCloneService::new(tower::service_fn(|_| async {
        Ok(Response::builder().header("content-type", "text/plain").body(Full::from(TEXT)).unwrap())
    }))
}
