//! WebSockets: the guard and the layers pass the handshake on, and have no part in what
//! follows.

use std::net::SocketAddr;

use axum::{body::Body, extract::Request, routing::any, Router};
use http::{Method, Response, StatusCode};
use hyper::{client, ext::Protocol, server::conn::http2, service::service_fn, upgrade};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceExt;
use tower_conditional::ConditionalLayer;

use crate::support::{
    guarded::guarded,
    server::listen,
    wire::{axum, request, within, Wire},
};

/// The handshake of RFC 6455, section 1.3, with the answer to its key.
const HANDSHAKE: &[(&str, &str)] = &[
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// "Hello" as a client sends it and as a server does (section 5.7).
const MASKED: [u8; 11] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
const PLAIN: [u8; 7] = [0x81, 0x05, b'H', b'e', b'l', b'l', b'o'];

/// Takes one message, answers it, and closes the connection.
async fn chat(mut request: Request) -> Response<Body> {
    let upgraded = upgrade::on(&mut request);
    tokio::spawn(async {
        let (mut stream, mut message) = (TokioIo::new(upgraded.await.unwrap()), MASKED);
        stream.read_exact(&mut message).await.unwrap();
        assert_eq!(message, MASKED);
        stream.write_all(&PLAIN).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let mut response = Response::new(Body::empty());
    if request.method() == Method::GET {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in [HANDSHAKE[0], HANDSHAKE[1], ("sec-websocket-accept", ACCEPT)] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    response
}

/// The same without anything around it, and with all that there is.
fn routers() -> [Router; 2] {
    let bare = Router::new().route("/chat", any(chat));
    let layered = guarded(bare.clone().layer(ConditionalLayer::new()));
    [bare, Router::new().fallback_service(layered)]
}

#[tokio::test]
async fn upgrade_over_http1_passes_untouched() {
    let mut heads = Vec::new();
    for router in routers() {
        let mut wire = Wire::connect(axum(router).await).await;
        // The first message comes with the handshake.
        let handshake = request("GET", "/chat", HANDSHAKE).into_bytes();
        wire.send([&*handshake, &MASKED].concat()).await;
        let (status, mut fields) = wire.head().await;
        assert_eq!((status, &fields["sec-websocket-accept"]), (101, &ACCEPT.parse().unwrap()));
        assert_eq!(wire.rest().await, PLAIN);
        fields.remove("date");
        heads.push(fields);
    }
    assert_eq!(heads[0], heads[1]);
}

/// Extended CONNECT (RFC 8441).
#[tokio::test]
async fn upgrade_over_http2_passes_untouched() {
    let mut heads = Vec::new();
    for router in routers() {
        let stream = TcpStream::connect(over_http2(router).await).await.unwrap();
        let handshake = client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = within(handshake).await.unwrap();
        tokio::spawn(connection);
        // By the answer to any request, the server has said that it knows this.
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "http://wire/none".parse().unwrap();
        assert_eq!(within(sender.send_request(request)).await.unwrap().status(), 404);
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = "http://wire/chat".parse().unwrap();
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let response = within(sender.send_request(request)).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut fields = response.headers().clone();
        let mut stream = TokioIo::new(within(upgrade::on(response)).await.unwrap());
        stream.write_all(&MASKED).await.unwrap();
        let mut message = Vec::new();
        within(stream.read_to_end(&mut message)).await.unwrap();
        assert_eq!(message, PLAIN);
        fields.remove("date");
        heads.push(fields);
    }
    assert_eq!(heads[0], heads[1]);
}

/// Serves one connection on which CONNECT may name a protocol.
async fn over_http2(router: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let stream = TokioIo::new(listener.accept().await.unwrap().0);
        let service = service_fn(move |request| router.clone().oneshot(request));
        let mut server = http2::Builder::new(TokioExecutor::new());
        server.enable_connect_protocol().serve_connection(stream, service).await
    });
    address
}
