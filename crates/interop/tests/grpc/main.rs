//! Tonic: gRPC passes untouched, and what stands beside it is tagged; streams go both
//! ways through the guard, and no client holds up others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{body::Body, routing::get, ServiceExt};
use bytes::Bytes;
use futures_util::Future;
use http::{request, HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{service::Routes, transport::Server};
use tower_conditional::{ConditionalLayer, EntityTag, WriteGuard};

mod attackers;
mod echo;

use self::echo::{message, Echo};

const TEXT: &str = "hello";
const MISS: &str = "\"miss\"";

#[tokio::test]
async fn grpc_passes_untouched_and_its_neighbours_are_tagged() {
    let routes = || Routes::from(Routes::new(Echo).into_axum_router().route("/flags", get(TEXT)));
    let (listener, bare) = listen().await;
    tokio::spawn(
        Server::builder()
            .add_routes(routes())
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let (listener, layered) = listen().await;
    let server =
        Server::builder().layer(ConditionalLayer::new().repr_digest(true)).add_routes(routes());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    for (path, messages) in
        [("/home.Echo/Once", 1), ("/home.Echo/Thrice", 3), ("/home.Echo/Unknown", 0)]
    {
        // What a client sends from habit makes no difference.
        for fields in [&[][..], &[("if-none-match", "*")], &[("if-match", MISS)]] {
            let mut replies = Vec::new();
            for address in [bare, layered] {
                let request =
                    request("POST", path, fields).header("content-type", "application/grpc");
                let request =
                    request.header("te", "trailers").body(Body::from(message(TEXT))).unwrap();
                let mut reply = ask(address, request).await;
                reply.headers.remove("date");
                replies.push(reply);
            }
            assert_eq!(replies[0], replies[1], "{path} {fields:?}");
            let reply = &replies[1];
            assert_eq!((reply.status, reply.headers.get("etag")), (200, None), "{path} {fields:?}");
            assert_eq!(reply.content, message(TEXT).repeat(messages), "{path} {fields:?}");
            let (told, code) =
                if messages == 0 { (&reply.headers, "12") } else { (&reply.trailers, "0") };
            assert_eq!(told["grpc-status"], code, "{path} {fields:?}");
        }
    }
    let request =
        request("GET", "/flags", &[("if-none-match", &EntityTag::of(TEXT.as_bytes()).to_string())])
            .body(Body::empty())
            .unwrap();
    let again = ask(layered, request).await;
    assert_eq!((again.status, &*again.content), (304, &b""[..]));
}

/// The client's stream has not ended while these messages come and go.
#[tokio::test]
async fn grpc_streams_go_both_ways_through_the_guard() {
    let router = Routes::new(Echo).into_axum_router().layer(ConditionalLayer::new());
    let guard = WriteGuard::axum(router);
    let (listener, address) = listen().await;
    tokio::spawn(async {
        axum::serve(listener, ServiceExt::<Request<Body>>::into_make_service(guard)).await
    });

    let (feed, body) = fed();
    let (head, mut body) = send(address, chat(body)).await.into_parts();
    assert_eq!(head.status.as_u16(), 200);
    for text in ["one", "two", "three"] {
        feed.send(Ok(message(text).into())).unwrap();
        let frame = within(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message(text));
    }
    drop(feed);
    let trailers = within(body.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

/// A response as a client has it in the end.
#[derive(Debug, PartialEq)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    content: Vec<u8>,
    trailers: HeaderMap,
}

/// Takes a free port.
async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> request::Builder {
    let request = Request::builder().method(method).uri(format!("http://home{path}"));
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

/// A call of the method whose messages go both ways.
fn chat(body: Body) -> Request<Body> {
    let request = request("POST", "/home.Echo/Chat", &[("content-type", "application/grpc")]);
    request.header("te", "trailers").body(body).unwrap()
}

type Feed = mpsc::UnboundedSender<Result<Bytes, Infallible>>;

/// A body that waits to be fed, and ends when the feed is dropped.
fn fed() -> (Feed, Body) {
    let (feed, pieces) = mpsc::unbounded_channel();
    (feed, Body::from_stream(UnboundedReceiverStream::new(pieces)))
}

/// Sends a request over a connection of its own, and returns when the head is there.
async fn send(address: SocketAddr, request: Request<Body>) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    within(sender.send_request(request)).await.unwrap()
}

async fn ask(address: SocketAddr, request: Request<Body>) -> Reply {
    let (head, body) = send(address, request).await.into_parts();
    let body = within(body.collect()).await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let content = body.to_bytes().to_vec();
    Reply { status: head.status.as_u16(), headers: head.headers, content, trailers }
}

/// Fails if something hangs.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing hangs")
}
