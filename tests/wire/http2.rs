//! HTTP/2, frame by frame.

use std::convert::Infallible;

use axum::{body::Body, routing::get, Router};
use http::{Method, Response, Version};
use tower::{service_fn, Layer};
use tower_conditional::{ConditionalLayer, EntityTag};

use crate::{
    http1::plain,
    support::wire::{hyper, Http2, HEADERS, MISS, TEXT},
};

#[tokio::test]
async fn http2_sends_no_data_with_a_304_a_412_or_a_head() {
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
                200 | 304 => Some("5"),
                // Axum says so of any empty body but that of a 304.
                412 if axum => Some("0"),
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
async fn http2_304_to_a_range_never_has_the_length_of_the_part() {
    let service = service_fn(|_| async {
        let part = Response::builder().status(206).header("etag", "\"v1\"");
        let part = part.header("content-range", "bytes 0-1/5").header("content-length", "2");
        Ok::<_, Infallible>(part.body(Body::from("he")).unwrap())
    });
    let address = hyper(Version::HTTP_2, ConditionalLayer::new().layer(service)).await;
    let mut client = Http2::connect(address).await;
    for (held, status, length) in [("\"v0\"", 206, Some("2")), ("\"v1\"", 304, None)] {
        let fields = [("range", "bytes=0-1"), ("if-none-match", held)];
        let (reply, _) = client.ask(&Method::GET, &fields).await;
        assert_eq!((reply.status, reply.field("content-length")), (status, length), "{held}");
    }
}
