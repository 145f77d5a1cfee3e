//! Other homes than an Axum `Router`: Hyper, a reverse proxy, file services, and a stack of other layers; over
//! loopback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod proxy;
#[path = "../server/mod.rs"]
mod server;
mod stack;

use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    body::{Body, Bytes},
    http::{header, request, HeaderMap, HeaderValue, Request, Response, Uri, Version},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body as HttpBody, Incoming},
    client,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower::{BoxError, Layer, Service};
use tower_conditional::{ConditionalLayer, EntityTag};

use self::server::listen;

const TEXT: &str = "hello";
const MISS: &str = "\"miss\"";
const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

#[tokio::test]
async fn hyper_serves_a_wrapped_function() {
    let function = |_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(TEXT))))
    };
    for version in VERSIONS {
        let address =
            serve(version, ConditionalLayer::new().layer(tower::service_fn(function))).await;
        for (fields, expected) in [
            (&[][..], (200, TEXT)),
            (&[("if-none-match", &*tag_of(TEXT))], (304, "")),
            (&[("if-none-match", MISS)], (200, TEXT)),
            (&[("if-match", MISS)], (412, "")),
        ] {
            let reply = ask(version, address, get_of("/", fields)).await;
            assert_eq!((reply.status, reply.text()), expected, "{version:?} {fields:?}");
            assert_eq!(reply.field("etag"), Some(&*tag_of(TEXT)), "{version:?} {fields:?}");
        }
    }
}

#[tokio::test]
async fn files_of_either_tower_http_are_never_stale() {
    let folder =
        std::env::temp_dir().join(format!("tower-conditional-homes-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for version in VERSIONS {
        write(&folder.join("a.txt"), "newer", 7200);
        let old = serve(
            version,
            ConditionalLayer::new().layer(tower_http_06::services::ServeDir::new(&folder)),
        )
        .await;
        let new = serve(
            version,
            ConditionalLayer::new().layer(tower_http::services::ServeDir::new(&folder)),
        )
        .await;
        let mut held = Vec::new();
        for (name, address, makes_tags) in [("0.6", old, false), ("0.7", new, true)] {
            let whole = ask(version, address, get_of("/a.txt", &[])).await;
            assert_eq!((whole.status, whole.text()), (200, "newer"), "{version:?} {name}");
            let (tag, date) = (whole.field("etag").unwrap(), whole.field("last-modified").unwrap());
            assert_eq!(
                tag == tag_of("newer"),
                !makes_tags,
                "{version:?} {name}: the service's own tag is respected"
            );
            for (fields, expected) in [
                (&[("if-none-match", tag)][..], (304, "")),
                (&[("if-modified-since", date)], (304, "")),
                (&[("if-none-match", MISS), ("if-modified-since", date)], (200, "newer")),
                (&[("if-match", MISS)], (412, "")),
                (&[("range", "bytes=0-2")], (206, "new")),
                (&[("range", "bytes=0-2"), ("if-range", &*tag_of("other"))], (200, "newer")),
            ] {
                let reply = ask(version, address, get_of("/a.txt", fields)).await;
                assert_eq!((reply.status, reply.text()), expected, "{version:?} {name} {fields:?}");
            }
            held.push((name, address, tag.to_owned(), date.to_owned()));
        }
        write(&folder.join("a.txt"), "older", 0);
        for (name, address, tag, date) in held {
            for fields in [
                &[("if-none-match", &*tag)][..],
                &[("if-none-match", &tag), ("if-modified-since", &date)],
            ] {
                let reply = ask(version, address, get_of("/a.txt", fields)).await;
                assert_eq!(
                    (reply.status, reply.text()),
                    (200, "older"),
                    "{version:?} {name}, rolled back, {fields:?}"
                );
            }
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_download_is_never_made_of_two_files_where_the_layer_serves_the_parts() {
    let folder =
        std::env::temp_dir().join(format!("tower-conditional-parts-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let layer = ConditionalLayer::new().ranges(true);
    for version in VERSIONS {
        write(&folder.join("a.txt"), "older", 0);
        let old =
            serve(version, layer.layer(tower_http_06::services::ServeDir::new(&folder))).await;
        let new = serve(version, layer.layer(tower_http::services::ServeDir::new(&folder))).await;
        for (name, address) in [("0.6", old), ("0.7", new)] {
            write(&folder.join("a.txt"), "older", 0);
            let whole = ask(version, address, get_of("/a.txt", &[])).await;
            let tag = whole.field("etag").unwrap();
            let resume = || get_of("/a.txt", &[("range", "bytes=2-"), ("if-range", tag)]);
            let rest = ask(version, address, resume()).await;
            assert_eq!((rest.status, rest.text()), (206, "der"), "{version:?} {name}");
            let lines = get_of("/a.txt", &[("if-match", MISS), ("if-match", tag)]);
            assert_eq!(
                ask(version, address, lines).await.status,
                200,
                "{version:?} {name}: the second line holds"
            );

            write(&folder.join("a.txt"), "newer", 7200);
            let other = ask(version, address, resume()).await;
            assert_eq!((other.status, other.text()), (200, "newer"), "{version:?} {name}");
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

fn write(path: &std::path::Path, content: &str, modified: u64) {
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_780_000_000 + modified)).unwrap();
}

fn tag_of(content: &str) -> String {
    EntityTag::of(content.as_bytes()).to_string()
}

async fn serve<S, B>(version: Version, service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (listener, address) = listen().await;
    server::serve(listener, version, None, service);
    address
}

fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> request::Builder {
    let request = Request::builder().method(method).uri(format!("http://home{path}"));
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

fn get_of(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    request("GET", path, fields).body(Body::empty()).unwrap()
}

/// Sends a request over a connection of its own, and returns when the head of the response is there.
async fn send(
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

async fn try_ask(
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

async fn ask(version: Version, address: SocketAddr, request: Request<Body>) -> Reply {
    try_ask(version, address, request).await.unwrap()
}

/// A response as a client has it in the end.
#[derive(Debug, PartialEq)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    content: Vec<u8>,
    trailers: HeaderMap,
}

impl Reply {
    fn lines(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
    }

    /// The value of a field that has at most one line.
    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.lines(name);
        assert!(lines.len() <= 1, "{name}: {lines:?}");
        lines.first().copied()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}
