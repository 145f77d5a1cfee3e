//! Tonic: gRPC passes untouched, and what stands beside it is tagged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    convert::Infallible,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, routing::get};
use bytes::{Buf, BufMut};
use futures_util::{future::BoxFuture, stream};
use http::{request, HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
    service::Routes,
    transport::Server,
    Status,
};
use tower::Service;
use tower_conditional::{ConditionalLayer, EntityTag};

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
        Server::builder().layer(ConditionalLayer::new().trailer_tags(true)).add_routes(routes());
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

/// A gRPC service, as generated code would be.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "home.Echo";
}

impl Service<Request<tonic::body::Body>> for Echo {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/home.Echo/Once" => Grpc::new(Bytes).unary(Self, request).await,
                "/home.Echo/Thrice" => Grpc::new(Bytes).server_streaming(Self, request).await,
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

impl UnaryService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type Future = BoxFuture<'static, Result<tonic::Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: tonic::Request<Vec<u8>>) -> Self::Future {
        Box::pin(async { Ok(tonic::Response::new(request.into_inner())) })
    }
}

impl ServerStreamingService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type ResponseStream = stream::Iter<std::vec::IntoIter<Result<Vec<u8>, Status>>>;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Vec<u8>>) -> Self::Future {
        Box::pin(async {
            Ok(tonic::Response::new(stream::iter(vec![Ok(request.into_inner()); 3])))
        })
    }
}

/// Messages as they are.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let len = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(len).to_vec()))
    }
}

/// A message of gRPC over HTTP/2: not compressed, its length, itself.
fn message(text: &str) -> Vec<u8> {
    [&[0][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

// ----- The client -----

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

/// Sends a request over a connection of its own.
async fn ask(address: SocketAddr, request: Request<Body>) -> Reply {
    let exchange = async {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let content = body.to_bytes().to_vec();
        Reply { status: head.status.as_u16(), headers: head.headers, content, trailers }
    };
    tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("nothing hangs")
}
