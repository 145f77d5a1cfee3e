//! Servers and clients with small buffers, so that little is under way when a client
//! leaves; and what was asked of an inner body.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{combinators::UnsyncBoxBody, BodyExt, Empty};
use hyper::{body::Incoming, client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
};
use tower::{util::BoxCloneService, BoxError, Service, ServiceExt};

use crate::support::{server, wire::within};

pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

/// Any inner service, its bodies watched.
pub(crate) type Inner<R = Incoming> = BoxCloneService<Request<R>, Response<Watched>, Infallible>;

/// What may be under way between an inner body and a client that does not read: the
/// buffers of Hyper, of both sockets, and the windows of HTTP/2.
pub(crate) const UNDER_WAY: usize = 256 << 10;

pub(crate) const BUFFER: u32 = 64 << 10;

pub(crate) const HEAD_END: &[u8] = b"\r\n\r\n";

/// Serves any service with Hyper alone.
pub(crate) async fn serve<S, B>(version: Version, service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(BUFFER).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(64).unwrap();
    let address = listener.local_addr().unwrap();
    server::serve(listener, version, Some(BUFFER as usize), service);
    address
}

/// Notes what is asked of a service's bodies.
pub(crate) fn watched<S, R, B>(service: S, log: &Arc<Log>) -> Inner<R>
where
    S: Service<Request<R>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    R: 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let log = Arc::clone(log);
    BoxCloneService::new(
        service.map_response(move |response| response.map(|body| Watched::new(body, &log))),
    )
}

/// What all bodies of a service did.
pub(crate) struct Log {
    /// How many of them there are.
    pub(crate) alive: watch::Sender<usize>,
    /// How often they were polled.
    pub(crate) polls: AtomicUsize,
    /// How many bytes they yielded.
    pub(crate) bytes: AtomicUsize,
    /// Behind how many bytes each breaks.
    pub(crate) breaks_at: AtomicUsize,
}

impl Log {
    pub(crate) fn new() -> Arc<Self> {
        let (polls, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self {
            alive: watch::channel(0).0,
            polls,
            bytes,
            breaks_at: AtomicUsize::new(usize::MAX),
        })
    }

    pub(crate) fn polls(&self) -> usize {
        self.polls.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn break_at(&self, bytes: usize) {
        self.breaks_at.store(bytes, Ordering::Relaxed);
    }

    /// Waits until all bodies are dropped.
    pub(crate) async fn gone(&self) {
        within(self.alive.subscribe().wait_for(|alive| *alive == 0)).await.unwrap();
    }
}

/// A body that is watched.
pub(crate) struct Watched {
    pub(crate) body: UnsyncBoxBody<Bytes, BoxError>,
    pub(crate) yielded: usize,
    pub(crate) log: Arc<Log>,
}

impl Watched {
    pub(crate) fn new<B>(body: B, log: &Arc<Log>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        log.alive.send_modify(|alive| *alive += 1);
        Self { body: body.map_err(Into::into).boxed_unsync(), yielded: 0, log: Arc::clone(log) }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.log.polls.fetch_add(1, Ordering::Relaxed);
        let left = self.log.breaks_at.load(Ordering::Relaxed).saturating_sub(self.yielded);
        if left == 0 {
            return Poll::Ready(Some(Err("broken".into())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame?.map_data(|mut data| data.split_to(left.min(data.len())));
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.yielded += bytes;
            self.log.bytes.fetch_add(bytes, Ordering::Relaxed);
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.log.alive.send_modify(|alive| *alive -= 1);
    }
}

/// A response as it came over the wire.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// 0 if the connection or stream was cut before any head came.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// It did not break off.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn etag(&self) -> Option<&str> {
        self.field("etag")
    }

    /// Reads all that came over an HTTP/1.1 connection (RFC 9112, 6.3).
    pub(crate) fn read(bytes: &[u8], method: &str) -> Self {
        let Some((lines, mut rest)) = cut_at(bytes, HEAD_END) else { return Self::default() };
        let mut lines = std::str::from_utf8(lines).unwrap().split("\r\n");
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut answer = Self {
            status,
            headers: fields(lines),
            content: Vec::new(),
            trailers: HeaderMap::new(),
            is_whole: false,
        };
        if answer.field("transfer-encoding") == Some("chunked") {
            while let Some((line, behind)) = cut_at(rest, b"\r\n") {
                let len = usize::from_str_radix(std::str::from_utf8(line).unwrap(), 16).unwrap();
                if len == 0 {
                    let end = [b"\r\n", behind].concat();
                    let (lines, left) = cut_at(&end, HEAD_END).expect("the end of the trailers");
                    answer.trailers =
                        fields(std::str::from_utf8(lines).unwrap().split("\r\n").skip(1));
                    answer.is_whole = left.is_empty();
                    return answer;
                }
                answer.content.extend(&behind[..len.min(behind.len())]);
                rest = behind.get(len + 2..).unwrap_or_default();
            }
        } else {
            let length = match (method, status) {
                ("HEAD", _) | (_, 304) => 0,
                _ => answer.field("content-length").map_or(0, |length| length.parse().unwrap()),
            };
            assert!(rest.len() <= length, "more than was announced: {answer:?}");
            answer.is_whole = rest.len() == length;
            answer.content = rest.to_vec();
        }
        answer
    }
}

pub(crate) fn cut_at<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

pub(crate) fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let split =
        |line: &'a str| line.split_once(": ").unwrap_or_else(|| panic!("no field line: {line:?}"));
    let parse = |(name, value)| {
        (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap())
    };
    lines.map(split).map(parse).collect()
}

/// GETs a path, and takes all that comes.
pub(crate) async fn get(
    version: Version,
    address: SocketAddr,
    path: &str,
    fields: Fields<'_>,
) -> Answer {
    ask(version, address, "GET", path, fields).await
}

/// GETs a path, and leaves when so many bytes of the content have come.
pub(crate) async fn leave(
    version: Version,
    address: SocketAddr,
    path: &str,
    after: usize,
) -> Answer {
    take(version, address, "GET", path, &[], after).await
}

/// Sends one request over a connection of its own, and takes all that comes.
pub(crate) async fn ask(
    version: Version,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: Fields<'_>,
) -> Answer {
    take(version, address, method, path, fields, usize::MAX).await
}

pub(crate) async fn take(
    version: Version,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: Fields<'_>,
    most: usize,
) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(BUFFER).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    if version == Version::HTTP_2 {
        return over_http2(stream, method, path, fields, most).await;
    }
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: watch\r\n{fields}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let is_enough = |seen: &[u8]| {
        most < seen.len() && cut_at(seen, HEAD_END).is_some_and(|(_, rest)| rest.len() >= most)
    };
    // A server that breaks off may reset the connection.
    while !is_enough(&seen) && within(stream.read_buf(&mut seen)).await.is_ok_and(|bytes| bytes > 0)
    {
    }
    Answer::read(&seen, method)
}

pub(crate) async fn over_http2(
    stream: TcpStream,
    method: &str,
    path: &str,
    fields: Fields<'_>,
    most: usize,
) -> Answer {
    let mut builder = client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(BUFFER).initial_connection_window_size(BUFFER);
    let (mut sender, connection) = within(builder.handshake(TokioIo::new(stream))).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(format!("http://watch{path}"));
    let request =
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let Ok(response) = within(sender.send_request(request)).await else { return Answer::default() };
    let (head, mut body) = response.into_parts();
    let (mut content, mut trailers, mut is_whole) = (Vec::new(), HeaderMap::new(), true);
    while content.len() < most {
        let Some(frame) = within(body.frame()).await else { break };
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => content.extend(data),
            Ok(Err(frame)) => trailers = frame.into_trailers().unwrap(),
            Err(_) => {
                is_whole = false;
                break;
            }
        }
    }
    Answer { status: head.status.as_u16(), headers: head.headers, content, trailers, is_whole }
}
