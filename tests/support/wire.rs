//! Real connections over loopback: servers, and clients that see each byte or frame.

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex,
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{body::Body, response::IntoResponse, Router};
use bytes::{Buf, Bytes};
use futures_util::{future::Future, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Incoming, client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::{BoxError, Service};
use tower_conditional::ConditionalLayer;

use super::server::{listen, serve};

/// Serves a Router as applications do, over HTTP/1.1.
pub(crate) async fn axum(router: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Serves any service with Hyper alone.
pub(crate) async fn hyper<S, B>(version: Version, service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (listener, address) = listen().await;
    serve(listener, version, None, service);
    address
}

/// Feeds a body with frames; it is closed when the body is dropped.
pub(crate) type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>;

/// A body of unknown size that yields `first`, unless it is empty, and then waits to be
/// fed.
pub(crate) fn fed(first: &'static str) -> (Feed, Body) {
    let (feed, frames) = mpsc::unbounded_channel();
    if !first.is_empty() {
        feed.send(Ok(Frame::data(first.into()))).unwrap();
    }
    (feed, Body::new(StreamBody::new(UnboundedReceiverStream::new(frames))))
}

pub(crate) fn http_date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// A folder that is removed in the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir()
            .join(format!("tower-conditional-wire-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, content: &str, modified: u64) {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(modified)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A response as it came over the wire.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Reply {
    pub(crate) fn lines(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
    }

    /// The value of a field that has at most one line.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.lines(name);
        assert!(lines.len() <= 1, "{name}: {lines:?}");
        lines.first().copied()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}

pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nhost: wire\r\n{fields}\r\n")
}

/// Sends one request over HTTP/1.1, and sees to it that nothing follows the response.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Reply {
    let mut wire = Wire::connect(address).await;
    wire.send(request(method, path, &[fields, &[("connection", "close")]].concat())).await;
    let reply = wire.reply(method).await;
    assert_eq!(wire.rest().await, b"", "{method} {path} {fields:?}");
    reply
}

/// Opens a connection on which small packets do not wait for those before them.
async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A client's side of an HTTP/1.1 connection.
pub(crate) struct Wire {
    pub(crate) stream: Arc<TcpStream>,
    pub(crate) unread: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: Arc::new(connect(address).await), unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl Into<Bytes>) {
        within(self.send_meanwhile(bytes)).await.unwrap().unwrap();
    }

    /// Sends while the caller goes on, until all is sent or the server takes no more.
    pub(crate) fn send_meanwhile(&mut self, bytes: impl Into<Bytes>) -> JoinHandle<io::Result<()>> {
        let (stream, mut bytes) = (Arc::clone(&self.stream), bytes.into());
        tokio::spawn(async move {
            while !bytes.is_empty() {
                stream.writable().await?;
                match stream.try_write(&bytes) {
                    Ok(sent) => bytes.advance(sent),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    /// Reads one response, whose framing follows from its head and the method (RFC
    /// 9112, 6.3).
    pub(crate) async fn reply(&mut self, method: &str) -> Reply {
        let (status, headers) = self.head().await;
        let (mut content, mut trailers) = (Vec::new(), HeaderMap::new());
        if method == "HEAD" || matches!(status, 204 | 304) {
            // No content, whatever the fields say.
        } else if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            while let chunk @ [_, ..] = &*self.chunk().await {
                content.extend(chunk);
            }
            trailers = self.fields().await;
        } else {
            let length = headers["content-length"].to_str().unwrap().parse().unwrap();
            content = self.take(length).await;
        }
        Reply { status, headers, content, trailers }
    }

    pub(crate) async fn head(&mut self) -> (u16, HeaderMap) {
        let line = self.line().await;
        let status =
            line.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("no status line: {line:?}"));
        (status[..3].parse().unwrap(), self.fields().await)
    }

    /// Reads field lines up to the empty one.
    pub(crate) async fn fields(&mut self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                assert_eq!(line, "");
                return fields;
            };
            fields
                .append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
    }

    /// Reads a chunk; the last is empty, and trailers follow.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let bytes = usize::from_str_radix(&self.line().await, 16).unwrap();
        let chunk = self.take(bytes).await;
        if bytes > 0 {
            assert_eq!(self.line().await, "");
        }
        chunk
    }

    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).unwrap();
            }
            assert!(self.more().await, "cut in the middle of a line: {:?}", self.unread);
        }
    }

    pub(crate) async fn take(&mut self, bytes: usize) -> Vec<u8> {
        while self.unread.len() < bytes {
            assert!(self.more().await, "cut {bytes} bytes before the end");
        }
        self.unread.drain(..bytes).collect()
    }

    /// Reads all that comes until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.unread)
    }

    /// Returns false once the server has closed the connection.
    pub(crate) async fn more(&mut self) -> bool {
        loop {
            within(self.stream.readable()).await.unwrap();
            match self.stream.try_read_buf(&mut self.unread) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.is_ok_and(|bytes| bytes > 0),
            }
        }
    }
}

/// A client's side of an HTTP/2 connection, which notes what the server sends.
pub(crate) struct Http2 {
    pub(crate) sender: client::conn::http2::SendRequest<Body>,
    pub(crate) seen: Arc<Mutex<Vec<u8>>>,
    pub(crate) stream: u32,
}

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut from_client, mut to_client) = tokio::io::split(far);
        let (mut from_server, mut to_server) = connect(address).await.into_split();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            while from_server.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                noted.lock().unwrap().extend_from_slice(&bytes);
                if to_client.write_all(&bytes).await.is_err() {
                    return;
                }
                bytes.clear();
            }
        });
        let handshake = client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near));
        let (sender, connection) = within(handshake).await.unwrap();
        tokio::spawn(connection);
        Self { sender, seen, stream: 1 }
    }

    /// Asks for `/`, and returns the response with its frames.
    pub(crate) async fn ask(
        &mut self,
        method: &Method,
        fields: &[(&str, &str)],
    ) -> (Reply, Vec<(u8, bool)>) {
        self.send(method, "/", fields, Body::empty()).await
    }

    /// Sends a request at once; what is returned waits for the response.
    pub(crate) fn send(
        &mut self,
        method: &Method,
        path: &str,
        fields: &[(&str, &str)],
        body: Body,
    ) -> impl Future<Output = (Reply, Vec<(u8, bool)>)> + use<> {
        let mut request = Request::builder().method(method).uri(format!("http://wire{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let reply = self.sender.send_request(request.body(body).unwrap());
        let (stream, seen) = (self.stream, Arc::clone(&self.seen));
        self.stream += 2;
        async move {
            let (head, body) = within(reply).await.unwrap().into_parts();
            let body = within(body.collect()).await.unwrap();
            let trailers = body.trailers().cloned().unwrap_or_default();
            let (status, headers, content) =
                (head.status.as_u16(), head.headers, body.to_bytes().to_vec());
            (Reply { status, headers, content, trailers }, frames(&seen.lock().unwrap(), stream))
        }
    }
}

/// Returns the type of each HEADERS or DATA frame of a stream, and whether it ends the
/// stream (RFC 9113, 4.1).
pub(crate) fn frames(seen: &[u8], stream: u32) -> Vec<(u8, bool)> {
    let (mut rest, mut frames) = (seen, Vec::new());
    while let [a, b, c, kind, flags, d, e, f, g, ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if u32::from_be_bytes([*d, *e, *f, *g]) == stream && *kind <= HEADERS {
            frames.push((*kind, flags & 1 == 1));
        }
        // What comes last may not have come whole.
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    frames
}

pub(crate) const HEADERS: u8 = 1;

/// Fails if something hangs.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(GUARD, future).await.expect("nothing takes that long")
}

pub(crate) const GUARD: Duration = Duration::from_secs(30);

pub(crate) const TEXT: &str = "hello";
pub(crate) const MISS: &str = "\"miss\"";
pub(crate) const START: u64 = 1_780_000_000;

/// A layer with a clock that is set by hand.
pub(crate) fn clocked() -> (Arc<AtomicU64>, ConditionalLayer) {
    let seconds = Arc::new(AtomicU64::new(START + 86_400));
    let clock = Arc::clone(&seconds);
    let now = move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
    (seconds, ConditionalLayer::new().clock(now))
}

/// Content of unknown size that need not be waited for.
pub(crate) fn ready_stream() -> Body {
    Body::from_stream(stream::iter(["he", "llo"].map(Ok::<_, Infallible>)))
}

/// The same with trailers.
pub(crate) fn with_trailers() -> impl IntoResponse {
    let frames = [Frame::data("he".into()), Frame::data("llo".into()), Frame::trailers(sum())];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    ([("trailer", "x-sum"), ("content-type", "text/plain")], Body::new(body))
}

pub(crate) fn sum() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))])
}
