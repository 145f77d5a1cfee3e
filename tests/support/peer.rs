//! Clients of Hyper, one connection for each request.

use std::{net::SocketAddr, time::Duration};

use axum::body::Body;
use http::{header, request, HeaderValue, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower::BoxError;
use tower_conditional::EntityTag;

use crate::support::wire::Reply;

pub(crate) fn tag_of(content: &str) -> String {
    EntityTag::of(content.as_bytes()).to_string()
}

pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> request::Builder {
    let request = Request::builder().method(method).uri(format!("http://home{path}"));
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

pub(crate) fn get_of(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    request("GET", path, fields).body(Body::empty()).unwrap()
}

/// Sends a request over a connection of its own, and returns when the head of the
/// response is there.
pub(crate) async fn send(
    version: Version,
    address: SocketAddr,
    mut request: Request<Body>,
) -> Result<Response<Incoming>, BoxError> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    if version == Version::HTTP_2 {
        let (mut sender, connection) =
            client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        return Ok(sender.send_request(request).await?);
    }
    let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    *request.uri_mut() = Uri::try_from(request.uri().path())?;
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("home"));
    Ok(sender.send_request(request).await?)
}

pub(crate) async fn try_ask(
    version: Version,
    address: SocketAddr,
    request: Request<Body>,
) -> Result<Reply, BoxError> {
    let exchange = async {
        let (head, body) = send(version, address, request).await?.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let content = body.to_bytes().to_vec();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, content, trailers })
    };
    tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("nothing hangs")
}

pub(crate) async fn ask(version: Version, address: SocketAddr, request: Request<Body>) -> Reply {
    try_ask(version, address, request).await.unwrap()
}
