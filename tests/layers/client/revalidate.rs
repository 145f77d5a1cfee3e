//! `RevalidateLayer`: what is kept, under which key, and how it comes back.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{stream, StreamExt};
use http::{Method, Request, Response, Version};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_conditional::client::{Revalidate, RevalidateLayer};

use super::{get, not_modified, reply, send, tagged, unsized_body, Answer, Server};
use crate::support::harness::{Lines, CC};

const ETAG: (&str, &str) = ("etag", "\"v1\"");

fn revalidating(
    answers: impl IntoIterator<Item = impl Into<Answer>>,
) -> (Server, Revalidate<Server>) {
    let server = Server::new(answers);
    (server.clone(), RevalidateLayer::new(1 << 20).layer(server))
}

/// Returns true if a response was kept: the next request asks about it.
async fn is_kept(first: Request<Body>, answer: Response<Body>) -> bool {
    let (server, mut service) = revalidating([answer, reply(200, &[], "")]);
    send(&mut service, first).await;
    send(&mut service, get(&[])).await;
    server.asked()[1].contains("if-none-match")
}

#[tokio::test]
async fn revalidate_keeps_whole_responses_that_may_be_kept() {
    let content = || Body::from("content");
    let large = || Body::from(vec![b'x'; (128 << 10) + 1]);
    for (lines, body, kept) in [
        (&[ETAG][..], content(), true),
        (&[("etag", "W/\"v1\"")], content(), true),
        (&[ETAG, (CC, "private, max-age=60")], content(), true),
        (&[ETAG], Body::empty(), true),
        (&[ETAG, ("transfer-encoding", "chunked")], unsized_body("content"), true),
        (&[ETAG, ("content-length", "7")], unsized_body("content"), true),
        (&[ETAG], unsized_body("it ends with the connection"), false),
        (&[ETAG, ("content-length", "7, 7")], content(), false),
        (&[ETAG, (CC, "no-store")], content(), false),
        (&[ETAG, ("vary", "*")], content(), false),
        (&[ETAG, ("vary", "accept, a b")], content(), false),
        (&[ETAG, ("content-range", "bytes 0-6/7")], content(), false),
        (&[ETAG], large(), false),
        (&[], content(), false),
    ] {
        assert_eq!(is_kept(get(&[]), reply(200, lines, body)).await, kept, "{lines:?}");
    }
    for status in [201, 203, 204, 206, 301, 404, 500] {
        assert!(!is_kept(get(&[]), reply(status, &[ETAG], content())).await, "{status}");
    }
    // Hyper's body of an HTTP/2 stream says that it has ended, unless it was reset.
    for (says_so, kept) in [(true, true), (false, false)] {
        let (frames, coming) = mpsc::unbounded_channel();
        frames.send(Frame::data(Bytes::from("content"))).unwrap();
        let mut http2 = reply(200, &[ETAG], Body::new(Stream { coming, says_so }));
        *http2.version_mut() = Version::HTTP_2;
        drop(frames);
        assert_eq!(is_kept(get(&[]), http2).await, kept, "{says_so}");
    }
    let trailers =
        Frame::trailers([("x-sum".parse().unwrap(), "1".parse().unwrap())].into_iter().collect());
    let frames = [Frame::data(Bytes::from("content")), trailers].map(Ok::<_, BoxError>);
    let trailers = Body::new(StreamBody::new(stream::iter(frames)));
    assert!(!is_kept(get(&[]), reply(200, &[ETAG, ("content-length", "7")], trailers)).await);
}

/// The body of a stream that may know whether it ended or was reset.
struct Stream {
    coming: mpsc::UnboundedReceiver<Frame<Bytes>>,
    says_so: bool,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.coming.poll_recv(cx).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.says_so && self.coming.is_closed() && self.coming.is_empty()
    }
}

#[tokio::test]
async fn revalidate_tells_encoded_content_apart_though_vary_is_missing() {
    // nginx with `gzip on` alone: one tag, and no Vary.
    let gzip = [("etag", "W/\"v1\""), ("content-encoding", "gzip")];
    let (server, mut service) = revalidating([
        reply(200, &gzip, "gzip"),
        tagged("\"v1\"", "plain"),
        not_modified(&[("etag", "\"v1\"")]),
    ]);
    let takes_gzip = get(&[("accept-encoding", "gzip")]);
    assert_eq!(send(&mut service, takes_gzip).await, (200, Some("gzip".to_owned())));
    for _ in 0..2 {
        assert_eq!(send(&mut service, get(&[])).await, (200, Some("plain".to_owned())));
    }
    assert_eq!(server.asked(), ["GET", "GET", "GET if-none-match \"v1\""]);
}

#[tokio::test]
async fn revalidate_forgets_what_a_304_forbids_to_keep() {
    for line in [(CC, "no-store"), ("vary", "*")] {
        let (server, mut service) =
            revalidating([tagged("\"v1\"", "one"), not_modified(&[line]), tagged("\"v2\"", "two")]);
        for content in ["one", "one", "two"] {
            assert_eq!(send(&mut service, get(&[])).await, (200, Some(content.to_owned())));
        }
        assert_eq!(server.asked(), ["GET", "GET if-none-match \"v1\"", "GET"], "{line:?}");
    }
}

#[tokio::test]
async fn revalidate_asks_by_no_other_variants_tag_whatever_a_304_varies_by() {
    for vary in ["origin", "", "*", "a b"] {
        let varies = |content| reply(200, &[ETAG, ("vary", "accept")], content);
        let (server, mut service) =
            revalidating([varies("json"), not_modified(&[ETAG, ("vary", vary)]), varies("csv")]);
        for accept in ["json", "json", "csv"] {
            let answer = send(&mut service, get(&[("accept", accept)])).await;
            assert_eq!(answer, (200, Some(accept.to_owned())), "{vary}");
        }
        assert_eq!(server.asked(), ["GET", "GET if-none-match \"v1\"", "GET"], "{vary}");
    }
}

#[tokio::test]
async fn revalidate_lets_requests_pass_that_ask_for_themselves() {
    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    for own in [
        ("if-none-match", "\"own\""),
        ("if-match", "\"own\""),
        ("if-modified-since", DAY),
        ("if-unmodified-since", DAY),
        ("if-range", "\"own\""),
        ("range", "bytes=0-1"),
        (CC, "no-store"),
    ] {
        assert!(!is_kept(get(&[own]), tagged("\"v1\"", "content")).await, "{own:?}");
        let (server, mut service) =
            revalidating([tagged("\"v1\"", "content"), reply(304, &[ETAG, ("x-own", "1")], "")]);
        send(&mut service, get(&[])).await;
        let response = service.ready().await.unwrap().call(get(&[own])).await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers().len()), (304, 2), "{own:?}");
        let sent = server.requests().pop().unwrap();
        assert_eq!(sent.headers(), get(&[own]).headers(), "{own:?}");
    }
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS] {
        let mut request = get(&[]);
        *request.method_mut() = method.clone();
        assert!(!is_kept(request, tagged("\"v1\"", "content")).await, "{method}");
    }
    let with_content = get(&[]).map(|_| Body::from("a question"));
    assert!(!is_kept(with_content, tagged("\"v1\"", "content")).await);
}

#[tokio::test]
async fn revalidate_tells_users_and_variants_apart() {
    let vary = |tag, content| reply(200, &[("etag", tag), ("vary", "Accept")], content);
    let csv = &[("accept", "text/csv")][..];
    let json = &[("accept", "application/json")][..];
    let (server, mut service) = revalidating([
        vary("\"csv\"", "csv"),
        vary("\"json\"", "json"),
        not_modified(&[("etag", "\"csv\"")]),
        not_modified(&[("etag", "\"json\"")]),
    ]);
    for (lines, content) in [(csv, "csv"), (json, "json"), (csv, "csv"), (json, "json")] {
        assert_eq!(send(&mut service, get(lines)).await, (200, Some(content.to_owned())));
    }
    assert_eq!(
        server.asked(),
        ["GET", "GET", "GET if-none-match \"csv\"", "GET if-none-match \"json\""]
    );

    for name in ["authorization", "cookie"] {
        let (server, mut service) =
            revalidating([tagged("\"v1\"", "of a"), tagged("\"v1\"", "of b"), not_modified(&[])]);
        let users: [Lines<'_>; 3] = [&[(name, "a")], &[(name, "b")], &[(name, "a")]];
        for (lines, content) in users.into_iter().zip(["of a", "of b", "of a"]) {
            assert_eq!(
                send(&mut service, get(lines)).await,
                (200, Some(content.to_owned())),
                "{name}"
            );
        }
        assert_eq!(server.asked(), ["GET", "GET", "GET if-none-match \"v1\""], "{name}");
    }
}

#[tokio::test]
async fn revalidate_updates_the_head_and_repeats_no_cookie() {
    let first = [
        ETAG,
        (CC, "max-age=1"),
        ("content-type", "text/plain"),
        ("content-length", "7"),
        ("set-cookie", "old=1"),
        ("age", "5"),
        ("x-old", "1"),
        ("connection", "close"),
    ];
    let (_, mut service) = revalidating([
        reply(200, &first, "content"),
        not_modified(&[
            ETAG,
            (CC, "max-age=2"),
            ("set-cookie", "new=1"),
            ("x-new", "1"),
            ("age", "6"),
        ]),
        not_modified(&[ETAG]),
    ]);
    send(&mut service, get(&[])).await;
    let kept = [
        ETAG,
        ("content-type", "text/plain"),
        ("content-length", "7"),
        ("x-old", "1"),
        (CC, "max-age=2"),
        ("x-new", "1"),
    ];
    for more in [&[("set-cookie", "new=1"), ("age", "6")][..], &[]] {
        let response = service.ready().await.unwrap().call(get(&[])).await.unwrap();
        let expected = reply(200, &[&kept, more].concat(), "");
        assert_eq!(response.headers(), expected.headers());
        assert_eq!(response.status(), 200);
        let body = response.into_body();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(7), false));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "content");
    }
}

#[tokio::test]
async fn revalidate_streams_what_is_new_and_keeps_only_what_was_read_to_its_end() {
    for reads_to_the_end in [false, true] {
        let (frames, coming) = mpsc::channel::<Result<Bytes, BoxError>>(1);
        let coming =
            stream::unfold(coming, |mut coming| async { Some((coming.recv().await?, coming)) });
        let body = Body::from_stream(coming.boxed());
        let (server, mut service) =
            revalidating([reply(200, &[ETAG, ("content-length", "4")], body), reply(200, &[], "")]);
        let response = service.ready().await.unwrap().call(get(&[])).await.unwrap();
        let mut body = response.into_body();
        for text in ["ab", "cd"] {
            frames.send(Ok(Bytes::from(text))).await.unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), text, "it does not wait for the rest");
        }
        drop(frames);
        if reads_to_the_end {
            assert!(body.frame().await.is_none());
        }
        drop(body);
        send(&mut service, get(&[])).await;
        let line = if reads_to_the_end { "GET if-none-match \"v1\"" } else { "GET" };
        assert_eq!(server.asked()[1], line);
    }
}

#[tokio::test]
async fn revalidate_keeps_what_a_client_reads_by_its_length() {
    let (server, mut service) = revalidating([tagged("\"v1\"", "content"), not_modified(&[ETAG])]);
    let response = service.ready().await.unwrap().call(get(&[])).await.unwrap();
    // Hyper does not ask for the end of a body that says it has come.
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(send(&mut service, get(&[])).await, (200, Some("content".to_owned())));
    assert_eq!(server.asked()[1], "GET if-none-match \"v1\"");
}

#[tokio::test]
async fn revalidate_stays_within_its_memory() {
    const MEMORY: usize = 256 << 10;
    let layer = RevalidateLayer::new(MEMORY);
    let answers = (0..200).map(|i| tagged(&format!("\"{i}\""), &"x".repeat(i * 331 % 30_000)));
    let mut service = layer.layer(Server::new(answers));
    for i in 0..200 {
        let mut request = get(&[]);
        *request.uri_mut() = format!("/{i}").parse().unwrap();
        send(&mut service, request).await;
        assert!(layer.bytes_kept() <= MEMORY as u64);
    }
    assert!(layer.bytes_kept() > MEMORY as u64 / 2);
    assert_eq!(RevalidateLayer::new(MEMORY).content_limit(9).bytes_kept(), 0);
}

#[tokio::test]
async fn revalidate_holds_no_more_of_what_is_coming_than_it_may_keep() {
    // 16 KiB are left for what is coming, and 2 KiB are the most for one response.
    let server = Server::new((0..20).map(|_| {
        let frames = [Frame::data(Bytes::from(vec![0; 2 << 10])), Frame::data(Bytes::new())];
        let body = Body::new(StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>))));
        reply(200, &[ETAG, ("transfer-encoding", "chunked")], body)
    }));
    let layer = RevalidateLayer::new(16 << 10);
    let mut service = layer.layer(server);
    let mut bodies = Vec::new();
    for _ in 0..20 {
        let response = service.ready().await.unwrap().call(get(&[])).await.unwrap();
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        bodies.push(body);
    }
    let recording = bodies.iter().filter(|body| format!("{body:?}").contains("to be kept"));
    assert_eq!(recording.count(), 8);
}

#[tokio::test]
async fn revalidate_content_limit_is_of_each_response() {
    for (limit, kept) in [(7, true), (6, false), (0, false)] {
        let server = Server::new([tagged("\"v1\"", "content"), reply(200, &[], "")]);
        let mut service = RevalidateLayer::new(1 << 20).content_limit(limit).layer(server.clone());
        send(&mut service, get(&[])).await;
        send(&mut service, get(&[])).await;
        assert_eq!(server.asked()[1].contains("if-none-match"), kept, "{limit}");
    }
}

#[tokio::test]
async fn revalidate_sends_the_second_request_as_the_first_came() {
    let (server, mut service) = revalidating([
        tagged("\"v1\"", "one"),
        not_modified(&[("etag", "\"v2\"")]),
        tagged("\"v2\"", "two"),
        // What a server says that contradicts itself is not kept.
        tagged("\"v2\"", "two"),
    ]);
    let request = || get(&[("accept", "text/plain"), ("x-own", "1")]);
    for content in ["one", "two", "two"] {
        assert_eq!(send(&mut service, request()).await, (200, Some(content.to_owned())));
    }
    let sent = server.requests();
    assert_eq!(sent[1].headers()["if-none-match"], "\"v1\"");
    for i in [0, 2, 3] {
        assert_eq!((sent[i].uri(), sent[i].headers()), (request().uri(), request().headers()));
    }
}
