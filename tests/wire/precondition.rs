//! `PreconditionLayer`: what clients see of a request that is not run, above all while
//! they still send it.

use std::{convert::Infallible, fmt::Debug, future::ready, io, net::SocketAddr, time::Duration};

use axum::{body::Body, Router};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{io::AsyncWriteExt, sync::mpsc};
use tower::{service_fn, Layer};
use tower_conditional::{
    AddLastModified, ConditionalLayer, EntityTag, PreconditionLayer, Representation,
};

use crate::support::{
    guarded::guarded,
    wire::{ask, axum, fed, hyper, request, within, Http2, Reply, Wire, HEADERS, MISS, TEXT},
};

/// Writes to it have to have a precondition.
const GUARDED: &str = "/guarded";
const LOST: (&str, &str) = ("if-match", MISS);
const EXPECT: (&str, &str) = ("expect", "100-continue");
const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
const FIVE: (&str, &str) = ("content-length", "5");
const TEN_MEBIBYTES: (&str, &str) = ("content-length", "10485760");

#[tokio::test]
async fn precondition_answers_pipelined_requests_before_the_handler_runs() {
    let tag = current();
    let (same, fresh) = (("if-match", &*tag), ("if-none-match", &*tag));
    let requests = [
        ("GET", "/", &[][..], "", 200),
        ("GET", "/", &[fresh], "", 304),
        ("HEAD", "/", &[fresh], "", 304),
        ("GET", "/", &[LOST], "", 412),
        ("HEAD", "/", &[LOST], "", 412),
        ("PUT", "/", &[LOST, FIVE], TEXT, 412),
        ("PUT", "/", &[fresh, FIVE], TEXT, 412),
        ("DELETE", "/", &[LOST], "", 412),
        ("PUT", GUARDED, &[FIVE], TEXT, 428),
        ("GET", GUARDED, &[fresh], "", 304),
        ("PUT", GUARDED, &[same, FIVE], TEXT, 204),
        ("GET", "/", &[("connection", "close")], "", 200),
    ];
    for mut server in with_source(Version::HTTP_11).await {
        let name = server.name;
        let mut wire = Wire::connect(server.address).await;
        wire.send(
            requests
                .map(|(method, path, fields, body, _)| request(method, path, fields) + body)
                .concat(),
        )
        .await;
        for (i, (method, .., status)) in requests.into_iter().enumerate() {
            let reply = wire.reply(method).await;
            assert_answer(&reply, status, &format!("{name} {i}"));
            let length = match (method, status) {
                (_, 200 | 428) => Some(reply.content.len().to_string()),
                // How long the content of the 200 would be is not known before it is
                // made.
                (_, 304) => None,
                // Axum says so of any empty body.
                ("HEAD", _) => (name == "axum").then(|| "0".into()),
                (_, 412) => Some("0".into()),
                _ => None,
            };
            assert_eq!(reply.field("content-length"), length.as_deref(), "{name} {i}");
        }
        assert_eq!(wire.rest().await, b"", "{name}");
        assert_eq!(
            server.calls(),
            [&READ[..], &[BEGUN, Written(TEXT.into()), Over], &READ].concat(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn precondition_sends_one_head_over_http2_for_what_is_not_run() {
    let tag = current();
    let (same, fresh) = (("if-match", &*tag), ("if-none-match", &*tag));
    for mut server in with_source(Version::HTTP_2).await {
        let name = server.name;
        let mut client = Http2::connect(server.address).await;
        for (method, path, field, status) in [
            (Method::GET, "/", fresh, 304),
            (Method::HEAD, "/", fresh, 304),
            (Method::GET, "/", LOST, 412),
            (Method::HEAD, "/", LOST, 412),
            (Method::PUT, "/", LOST, 412),
            (Method::PUT, "/", fresh, 412),
            (Method::PUT, GUARDED, ("if-range", &tag), 428),
        ] {
            let body = if method == Method::PUT { Body::from(TEXT) } else { Body::empty() };
            let (reply, frames) = client.send(&method, path, &[field], body).await;
            let case = format!("{name} {method} {field:?}");
            assert_answer(&reply, status, &case);
            if status != 428 {
                assert_eq!(frames, [(HEADERS, true)], "the head ends the stream: {case}");
                // How long the content of the 200 would be is not known before it is
                // made.
                let length = (name == "axum" && status != 304).then_some("0");
                assert_eq!(reply.field("content-length"), length, "{case}");
            }
        }
        assert_eq!(server.calls(), [], "{name}");
        let (reply, _) = client.send(&Method::PUT, GUARDED, &[same], Body::from(TEXT)).await;
        assert_answer(&reply, 204, name);
        assert_eq!(server.calls(), [BEGUN, Written(TEXT.into()), Over], "{name}");
    }
}

// Elsewhere the reset that ends the connection takes with it what the client has not
// read yet.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn precondition_answers_a_refused_upload_whole_while_the_client_still_sends() {
    let large = large();
    for mut server in servers(Version::HTTP_11).await {
        for (case, framing, body) in [
            ("as long as it says", TEN_MEBIBYTES, large.clone()),
            ("shorter than it says", ("content-length", "20971520"), large.clone()),
            ("longer than it says", FIVE, large.clone()),
            ("in chunks", CHUNKED, chunked(&large)),
            ("in chunks without an end", CHUNKED, chunked(&large).slice(..large.len())),
        ] {
            for (path, fields, status) in
                [("/", &[LOST, framing][..], 412), (GUARDED, &[framing], 428)]
            {
                for reads_meanwhile in [true, false] {
                    let case = format!(
                        "{}, {case}, {status}, reads meanwhile: {reads_meanwhile}",
                        server.name
                    );
                    let mut wire = Wire::connect(server.address).await;
                    wire.send(request("PUT", path, fields)).await;
                    let mut sending = wire.send_meanwhile(body.clone());
                    if !reads_meanwhile {
                        // A server that closes ends it.
                        let _ = within(&mut sending).await.unwrap();
                    }
                    assert_answer(&wire.reply("PUT").await, status, &case);
                    // Five bytes may be there in time to be thrown away; then what
                    // follows is taken for a request.
                    let rest = String::from_utf8(wire.rest().await).unwrap();
                    assert!(
                        rest.is_empty() || framing == FIVE && rest.starts_with("HTTP/1.1 400 "),
                        "{case}: {rest:?}"
                    );
                    if reads_meanwhile {
                        let _ = within(sending).await.unwrap();
                    }
                    assert!(!server.calls().contains(&BEGUN), "{case}");
                }
            }
        }
    }
}

/// A client that sends all before it reads has sent all, and goes on with the same
/// connection.
#[tokio::test]
async fn precondition_reads_a_little_of_a_refused_upload_away() {
    let (small, mut server) = (large().slice(..300_000), guard(Version::HTTP_11).await);
    for (framing, body) in
        [(("content-length", "300000"), small.clone()), (CHUNKED, chunked(&small))]
    {
        let mut wire = Wire::connect(server.address).await;
        for (path, fields, status) in
            [("/", &[LOST, framing][..], 412), (GUARDED, &[framing], 428)].repeat(2)
        {
            wire.send(request("PUT", path, fields)).await;
            for piece in body.chunks(100_000) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                wire.send(Bytes::copy_from_slice(piece)).await;
            }
            assert_answer(&wire.reply("PUT").await, status, path);
        }
        assert!(!server.calls().contains(&BEGUN));
    }
}

/// Hyper takes a stream that is reset without an error for one that has ended.
#[tokio::test]
async fn precondition_does_not_take_a_reset_stream_for_whole() {
    let tag = current();
    for fields in
        [&[("if-match", &*tag), ("content-length", "10")][..], &[("content-length", "10")]]
    {
        let mut server = guard(Version::HTTP_2).await;
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let own = [(":method", "PUT"), (":scheme", "http"), (":path", "/"), (":authority", "wire")];
        let names = own.iter().chain(fields);
        let head: Vec<u8> = names.flat_map(|(name, value)| field(name, value)).collect();
        let begins = [
            PREFACE,
            &frame(4, 0, 0, b""),
            &frame(HEADERS, 4, 1, &head),
            &frame(0, 0, 1, b"hello"),
        ];
        stream.write_all(&begins.concat()).await.unwrap();
        // It has what was sent, and waits for more.
        server.next(1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(&frame(3, 0, 1, &[0; 4])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let calls = server.calls();
        assert!(written(&calls).is_empty(), "{fields:?} {calls:?}");
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Writes a frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Writes a field as it is (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

#[tokio::test]
async fn precondition_lets_http2_go_on_after_refused_uploads() {
    let (tag, large) = (current(), large());
    for mut server in servers(Version::HTTP_2).await {
        let name = server.name;
        let mut client = Http2::connect(server.address).await;
        let mut feeds = Vec::new();
        for (path, fields, status) in [("/", &[LOST][..], 412), (GUARDED, &[], 428)].repeat(2) {
            let whole = client.send(&Method::PUT, path, fields, Body::from(large.clone()));
            let (feed, without_an_end) = fed(TEXT);
            let endless = client.send(&Method::PUT, path, fields, without_an_end);
            assert_answer(&whole.await.0, status, name);
            assert_answer(&endless.await.0, status, name);
            feeds.push(feed);
        }
        assert!(!server.calls().contains(&BEGUN), "{name}");
        // If the bytes that were refused still counted, there would be no room for
        // these.
        for _ in 0..2 {
            let (reply, _) = client
                .send(&Method::PUT, "/", &[("if-match", &tag)], Body::from(large.clone()))
                .await;
            assert_answer(&reply, 204, name);
            assert!(server.calls().contains(&Written(large.clone())), "{name}");
        }
    }
}

/// A small upload that is under way when it is refused is read away, so that neither
/// the answer nor the connection is lost.
#[tokio::test]
async fn precondition_discards_the_start_of_a_refused_upload() {
    let mut server = guard(Version::HTTP_11).await;
    let mut wire = Wire::connect(server.address).await;
    wire.send(request("PUT", "/", &[LOST, FIVE])).await;
    assert_eq!(server.next(ASKED.len()).await, ASKED);
    wire.send(TEXT).await;
    assert_answer(&wire.reply("PUT").await, 412, "refused");
    wire.send(request("GET", "/", &[])).await;
    assert_answer(&wire.reply("GET").await, 200, "on the same connection");
}

#[tokio::test]
async fn precondition_refuses_a_client_that_waits_for_100_without_it() {
    for mut server in servers(Version::HTTP_11).await {
        for framing in [TEN_MEBIBYTES, FIVE, CHUNKED] {
            for (path, fields, status) in
                [("/", &[LOST, EXPECT, framing][..], 412), (GUARDED, &[EXPECT, framing], 428)]
            {
                let case = format!("{} {framing:?}", server.name);
                let mut wire = Wire::connect(server.address).await;
                wire.send(request("PUT", path, fields)).await;
                assert_answer(&wire.reply("PUT").await, status, &case);
                // Hyper cannot know whether the body comes all the same.
                assert_eq!(wire.rest().await, b"", "{case}");
            }
        }
        assert!(!server.calls().contains(&BEGUN), "{}", server.name);
    }
}

#[tokio::test]
async fn precondition_lets_a_write_have_its_100_and_its_body_whole() {
    let (tag, large) = (current(), large());
    for mut server in servers(Version::HTTP_11).await {
        let mut wire = Wire::connect(server.address).await;
        for (framing, sent, body) in [
            (TEN_MEBIBYTES, large.clone(), large.clone()),
            (CHUNKED, chunked(&large), large.clone()),
            (FIVE, TEXT.into(), TEXT.into()),
            (CHUNKED, chunked(&TEXT.into()), TEXT.into()),
        ] {
            for waits in [true, false] {
                let case = format!("{} {framing:?}, waits for 100: {waits}", server.name);
                let fields = [("if-match", &*tag), framing, EXPECT];
                wire.send(request("PUT", "/", if waits { &fields } else { &fields[..2] })).await;
                if waits {
                    let (status, headers) = wire.head().await;
                    assert_eq!((status, headers.len()), (100, 0), "{case}");
                }
                let sending = wire.send_meanwhile(sent.clone());
                assert_answer(&wire.reply("PUT").await, 204, &case);
                within(sending).await.unwrap().unwrap();
                let calls = server.calls();
                if server.name == "guard" {
                    assert_guarded(&calls, &body, &case);
                } else {
                    assert_eq!(calls, [BEGUN, Written(body.clone()), Over], "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn precondition_probes_before_the_body_comes_over_http2() {
    let (tag, large, mut server) = (current(), large(), guard(Version::HTTP_2).await);
    let mut client = Http2::connect(server.address).await;
    let (feed, body) = fed("");
    let reply = client.send(&Method::PUT, "/", &[("if-match", &tag)], body);
    assert_eq!(server.next(ASKED.len()).await, ASKED);
    for bytes in large.chunks(100_000) {
        feed.send(Ok(Frame::data(Bytes::copy_from_slice(bytes)))).unwrap();
    }
    drop(feed);
    assert_answer(&reply.await.0, 204, "stream");
    let calls = [ASKED, &server.calls()].concat();
    assert_guarded(&calls, &large, "stream");
    assert_eq!(
        calls.iter().filter(|call| **call == READ[0]).count(),
        3,
        "before, under the lock, \
        and for the new tag"
    );
}

#[tokio::test]
async fn precondition_leaves_reads_as_they_are_without_locks() {
    let (tag, mut server) = (current(), guard(Version::HTTP_11).await);
    let bare = axum(tagged(mpsc::unbounded_channel().0)).await;
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        for fields in [
            &[][..],
            &[("if-none-match", &*tag)],
            &[("if-none-match", MISS)],
            &[("if-match", MISS)],
            &[("range", "bytes=0-1"), ("if-range", MISS)],
        ] {
            let case = format!("{method} {fields:?}");
            let mut without = ask(bare, method.as_str(), "/", fields).await;
            let mut with = ask(server.address, method.as_str(), "/", fields).await;
            for reply in [&mut without, &mut with] {
                reply.headers.remove("date");
            }
            assert_eq!((with.status, &with.content), (without.status, &without.content), "{case}");
            assert_eq!(with.headers, without.headers, "{case}");
            assert_eq!(server.calls(), [Run(method.clone()), Over], "{case}");
        }
    }
}

/// A writer in the middle of its content holds nothing: others pass, and it passes in
/// its turn.
#[tokio::test]
async fn precondition_locks_are_not_held_while_content_comes_over_http1() {
    let tag = current();
    let (same, mut server) = (("if-match", &*tag), guard(Version::HTTP_11).await);
    for (case, expects) in [("in the middle of the body", false), ("after a 100", true)] {
        for goes in [true, false] {
            let mut first = Wire::connect(server.address).await;
            let fields = [same, ("content-length", "10"), EXPECT];
            first.send(request("PUT", "/", if expects { &fields } else { &fields[..2] })).await;
            if expects {
                assert_eq!(first.head().await.0, 100, "{case}");
            }
            first.send(TEXT).await;
            assert_eq!(server.next(ASKED.len()).await, ASKED, "{case}");

            let mut second = Wire::connect(server.address).await;
            second.send(request("PUT", "/", &[same, FIVE]) + TEXT).await;
            assert_eq!(second.reply("PUT").await.status, 204, "{case}");
            let mut third = Wire::connect(server.address).await;
            third.send(request("PUT", "/", &[LOST, FIVE]) + TEXT).await;
            assert_answer(&third.reply("PUT").await, 412, case);
            assert_answer(&ask(server.address, "GET", "/", &[]).await, 200, case);
            assert_eq!(written(&server.calls()), [TEXT], "{case}");
            if goes {
                drop(first);
            } else {
                first.send(TEXT).await;
                assert_answer(&first.reply("PUT").await, 204, case);
                assert_eq!(written(&server.calls()), [TEXT.repeat(2)], "{case}");
            }
            server.calls();
        }
    }
}

#[tokio::test]
async fn precondition_locks_are_not_held_while_content_comes_over_http2() {
    let tag = current();
    let (same, mut server) = (("if-match", &*tag), guard(Version::HTTP_2).await);
    for case in ["the body breaks", "the connection breaks", "it goes on"] {
        let mut first = Http2::connect(server.address).await;
        let mut client = Http2::connect(server.address).await;
        let (feed, body) = fed(TEXT);
        let reply = first.send(&Method::PUT, "/", &[same], body);
        assert_eq!(server.next(ASKED.len()).await, ASKED, "{case}");
        let others = client.send(&Method::PUT, "/", &[same], Body::from(TEXT)).await;
        assert_eq!(others.0.status, 204, "{case}");
        assert_answer(&client.ask(&Method::GET, &[]).await.0, 200, case);
        assert_eq!(written(&server.calls()), [TEXT], "{case}");
        match case {
            "it goes on" => {
                feed.send(Ok(Frame::data(TEXT.into()))).unwrap();
                drop(feed);
                assert_answer(&reply.await.0, 204, case);
                assert_eq!(written(&server.calls()), [TEXT.repeat(2)], "{case}");
            }
            "the body breaks" => {
                feed.send(Err(io::Error::other("broken"))).unwrap();
                drop(reply);
            }
            _ => drop((reply, feed, first)),
        }
        assert_answer(&client.ask(&Method::PUT, &[LOST]).await.0, 412, case);
        assert!(written(&server.calls()).is_empty(), "{case}");
    }
}

/// What happens in a server, in the order of its happening.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    /// A write asks for the lock.
    InLine,
    /// The handler runs for a method.
    Run(Method),
    /// It has got a body.
    Written(Bytes),
    /// It has come to its end, or was dropped.
    Over,
}

use Call::{InLine, Over, Run, Written};

const BEGUN: Call = Run(Method::PUT);
const READ: [Call; 2] = [Run(Method::GET), Over];
/// A write that is asked about before its content has come.
const ASKED: &[Call] = &[InLine, Run(Method::GET), Over];

/// Checks that a write ran once, with its content whole, right after it was asked
/// about.
fn assert_guarded(calls: &[Call], content: &Bytes, case: &str) {
    let begun = calls.iter().position(|call| *call == BEGUN).unwrap();
    assert_eq!(calls[begun - 2..begun], READ, "{case}: {calls:?}");
    assert_eq!(calls[begun + 1..begun + 3], [Written(content.clone()), Over], "{case}");
    let runs = calls.iter().filter(|call| **call == BEGUN).count();
    assert_eq!((&calls[0], runs), (&InLine, 1), "{case}");
}

/// Returns what was written.
fn written(calls: &[Call]) -> Vec<Bytes> {
    let written = calls.iter().filter_map(|call| match call {
        Written(content) => Some(content.clone()),
        _ => None,
    });
    written.collect()
}

type Calls = mpsc::UnboundedSender<Call>;

struct Server {
    name: &'static str,
    address: SocketAddr,
    called: mpsc::UnboundedReceiver<Call>,
}

impl Server {
    /// Returns what has happened since it was looked at last.
    fn calls(&mut self) -> Vec<Call> {
        std::iter::from_fn(|| self.called.try_recv().ok()).collect()
    }

    /// Waits until something happens.
    async fn next(&mut self, calls: usize) -> Vec<Call> {
        let mut next = Vec::new();
        while next.len() < calls {
            next.push(within(self.called.recv()).await.unwrap());
        }
        next
    }
}

/// Starts all servers.
async fn servers(version: Version) -> Vec<Server> {
    let mut servers = Vec::from(with_source(version).await);
    servers.push(guard(version).await);
    servers
}

/// Starts a server with Axum, and one without, whose validators are known beforehand.
async fn with_source(version: Version) -> [Server; 2] {
    let layer = PreconditionLayer::new(|_| {
        ready(Representation::Exists(EntityTag::of(TEXT.as_bytes()).into()))
    })
    .require_preconditions(|parts| parts.uri.path() == GUARDED);

    let (calls, called) = mpsc::unbounded_channel();
    let address = serve(version, router(calls).layer(layer.clone())).await;
    let with_axum = Server { name: "axum", address, called };

    let (calls, called) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(calls.clone(), request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let address = hyper(version, layer.layer(service)).await;
    [with_axum, Server { name: "hyper", address, called }]
}

/// Starts a server whose GET is asked for the validators.
async fn guard(version: Version) -> Server {
    let (calls, called) = mpsc::unbounded_channel();
    let router = tagged(calls.clone());
    let guard = guarded(router)
        .key(move |parts| {
            let _ = calls.send(InLine);
            parts.uri.path().to_owned()
        })
        .body_limit(LIMIT)
        .require_preconditions(|parts| parts.uri.path() == GUARDED);
    let router = Router::new().fallback_service(guard);
    Server { name: "guard", address: serve(version, router).await, called }
}

/// What the guard reads ahead: more than the large content.
const LIMIT: u64 = 11 << 20;

async fn serve(version: Version, router: Router) -> SocketAddr {
    if version == Version::HTTP_2 {
        hyper(version, router).await
    } else {
        axum(router).await
    }
}

fn tagged(calls: Calls) -> Router {
    router(calls).layer(ConditionalLayer::new().add_last_modified(AddLastModified::Never))
}

fn router(calls: Calls) -> Router {
    Router::new().fallback(move |request: Request<Body>| answer(calls, request))
}

/// Writes down what it gets, and has the same content ever after.
async fn answer<B: HttpBody<Error: Debug>>(calls: Calls, request: Request<B>) -> Response<Body> {
    let note = |call| drop(calls.send(call));
    note(Run(request.method().clone()));
    let _over = OnDrop(|| note(Over));
    let mut response = Response::new(Body::empty());
    if request.method() != Method::PUT {
        *response.body_mut() = TEXT.into();
        return response;
    }
    *response.status_mut() = match request.into_body().collect().await {
        Ok(body) => {
            note(Written(body.to_bytes()));
            StatusCode::NO_CONTENT
        }
        Err(_) => StatusCode::BAD_REQUEST,
    };
    response
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// Checks that a response is all that it is to be.
fn assert_answer(reply: &Reply, status: u16, case: &str) {
    assert_eq!(reply.status, status, "{case}");
    let tag = [200, 304, 412].contains(&status).then(current);
    // A guard says which tag there is now, if it is that of what was sent.
    let is_new_tag = status == 204 && reply.field("etag") == Some(&*current());
    if !is_new_tag {
        assert_eq!(reply.field("etag"), tag.as_deref(), "{case}, {status}");
    }
    if status == 428 {
        assert!(reply.text().contains("If-Match"), "{case}: {}", reply.text());
        assert_eq!(reply.field("content-type"), Some("text/plain; charset=utf-8"), "{case}");
        assert_eq!(
            reply.field("content-length"),
            Some(reply.content.len().to_string().as_str()),
            "{case}"
        );
    } else {
        assert_eq!(reply.text(), if status == 200 { TEXT } else { "" }, "{case}, {status}");
    }
}

/// The tag of the content that every server has.
pub(crate) fn current() -> String {
    EntityTag::of(TEXT.as_bytes()).to_string()
}

/// Makes ten mebibytes in which no piece can be taken for another.
fn large() -> Bytes {
    let block: Vec<u8> = (0..=250).collect();
    let mut large = block.repeat((10 << 20) / block.len() + 1);
    large.truncate(10 << 20);
    large.into()
}

/// Writes content in chunks (RFC 9112, 7.1).
fn chunked(content: &Bytes) -> Bytes {
    let mut bytes = Vec::new();
    for chunk in content.chunks(100_000) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes.into()
}
