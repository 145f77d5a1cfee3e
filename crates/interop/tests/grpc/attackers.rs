//! No client holds up the writes of others, whatever it sends. `ATTACKERS=100
//! VICTIMS=1000 cargo test -p interop --test grpc attackers -- --nocapture` has so many
//! of each kind, and says how long the victims waited.

use std::{
    convert::Infallible,
    env,
    future::pending,
    net::SocketAddr,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc, OnceLock,
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::get,
    ServiceExt,
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tonic::service::Routes;
use tower_conditional::{ConditionalLayer, EntityTag, WriteGuard};

use super::{chat, fed, message, request, within, Echo, MISS, TEXT};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// What the victims write, and the attackers too.
const NOTE: &str = "/note";
const CHAT: &str = "/home.Echo/Chat";

/// How many bytes the guard reads of a write with preconditions.
const LIMIT: usize = 64 << 10;

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Attack {
    /// A write with preconditions sends one byte, and then nothing.
    OneByte,
    /// It sends one byte more than the guard reads, and then nothing.
    OverTheLimit,
    /// It sends one byte a second.
    Drip,
    /// A write without preconditions sends more and more, and never ends.
    Endless,
    /// A write with preconditions does not read its answer.
    ClosedWindow,
    /// A write whose preconditions fail sends nothing.
    Stale,
}

use Attack::{ClosedWindow, Drip, Endless, OneByte, OverTheLimit, Stale};

const ATTACKS: [Attack; 6] = [OneByte, OverTheLimit, Drip, Endless, ClosedWindow, Stale];

impl Attack {
    fn request(self, path: &str, body: Body) -> Request {
        let mut request = if path == CHAT { chat(body) } else { write(body) };
        if self != Endless {
            let value = HeaderValue::from_static(if self == Stale { MISS } else { "*" });
            request.headers_mut().insert("if-match", value);
        }
        request
    }

    /// What is sent at once. Zeros are empty messages of gRPC.
    fn first(self) -> Bytes {
        match self {
            OneByte | Drip => Bytes::from_static(&[0]),
            OverTheLimit => vec![0; LIMIT + 1].into(),
            Endless => vec![0; 1 << 10].into(),
            ClosedWindow => message(TEXT).into(),
            Stale => Bytes::new(),
        }
    }

    /// What is sent again and again, and how often.
    fn next(self) -> Option<(Bytes, Duration)> {
        match self {
            Drip => Some((self.first(), Duration::from_secs(1))),
            Endless => Some((self.first(), Duration::from_millis(100))),
            OneByte | OverTheLimit | ClosedWindow | Stale => None,
        }
    }

    /// What the attacker is answered while it goes on, but for 408.
    fn answer(self, path: &str) -> Option<StatusCode> {
        match self {
            OneByte | Drip => None,
            OverTheLimit => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Endless if path == CHAT => Some(StatusCode::OK),
            Endless => None,
            ClosedWindow => Some(StatusCode::OK),
            Stale => Some(StatusCode::PRECONDITION_FAILED),
        }
    }
}

/// An attacker, and what it was answered.
#[derive(Clone, Debug)]
struct Attacker {
    attack: Attack,
    version: Version,
    path: &'static str,
    answer: Arc<OnceLock<StatusCode>>,
}

impl Attacker {
    /// Attacks until this is dropped, and anew where the guard has lost its patience.
    async fn run(self, address: SocketAddr) {
        loop {
            let status = self.attack_once(address).await;
            assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
        }
    }

    /// Attacks until it is answered with 408.
    async fn attack_once(&self, address: SocketAddr) -> StatusCode {
        let (feed, body) = fed();
        feed.send(Ok(self.attack.first())).unwrap();
        let feed = (self.attack != ClosedWindow).then_some(feed);
        let mut client = Client::connect(address, self.version, Some(0)).await;
        let sending = async {
            let unread = client.send(self.attack.request(self.path, body)).await;
            if unread.status() != StatusCode::REQUEST_TIMEOUT {
                self.answer.set(unread.status()).unwrap();
                pending::<()>().await;
            }
            unread.status()
        };
        let feeding = async {
            while let (Some(feed), Some((piece, pause))) = (&feed, self.attack.next()) {
                tokio::time::sleep(pause).await;
                let _ = feed.send(Ok(piece));
            }
            pending().await
        };
        tokio::select! { status = sending => status, status = feeding => status }
    }

    /// Returns true if it was answered as it is to be while it goes on.
    fn is_answered(&self) -> bool {
        self.answer.get().copied() == self.attack.answer(self.path)
    }
}

/// A server, and how many writes it was asked for.
struct Server {
    address: SocketAddr,
    writes: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let writes = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&writes);
        let router = Routes::new(Echo)
            .into_axum_router()
            .route(NOTE, get(|| async { TEXT }).put(answer))
            .layer(ConditionalLayer::new());
        let guard = WriteGuard::axum(router).body_limit(LIMIT as u64).key(move |parts| {
            counted.fetch_add(1, Ordering::Relaxed);
            parts.uri.path().to_owned()
        });
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(64 << 10).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async {
            axum::serve(listener, ServiceExt::<Request>::into_make_service(guard)).await
        });
        Self { address, writes }
    }

    fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }
}

/// Reads the content. Attackers get an answer without an end.
async fn answer(request: Request) -> Response {
    let is_attack = request.headers().get("if-match").is_some_and(|value| value == "*");
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return StatusCode::BAD_REQUEST.into_response();
        }
    }
    if is_attack {
        let piece = Ok::<_, Infallible>(Bytes::from_static(&[0; 16 << 10]));
        return Body::from_stream(stream::repeat(piece)).into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

fn write(body: Body) -> Request {
    request("PUT", NOTE, &[]).body(body).unwrap()
}

/// A connection.
enum Client {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Client {
    /// Connects; over HTTP/2, `window` is how much of a response may come unasked.
    async fn connect(address: SocketAddr, version: Version, window: Option<u32>) -> Self {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        // The kernel would hold back the content until the head is acknowledged.
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(window);
            let (sender, connection) = builder.handshake(stream).await.unwrap();
            tokio::spawn(connection);
            return Self::Http2(sender);
        }
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    /// Sends a request, and waits for the head of the response, for as long as it
    /// takes.
    async fn send(&mut self, mut request: Request) -> http::Response<Incoming> {
        match self {
            Self::Http2(sender) => sender.send_request(request).await.unwrap(),
            Self::Http1(sender) => {
                *request.uri_mut() = request.uri().path().parse().unwrap();
                request.headers_mut().insert("host", HeaderValue::from_static("home"));
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
        }
    }
}

/// What a victim does.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Plain,
    Guarded,
    /// Messages that go both ways.
    Stream,
}

const VICTIMS: [(Victim, Version); 5] = [
    (Victim::Plain, Version::HTTP_11),
    (Victim::Guarded, Version::HTTP_11),
    (Victim::Plain, Version::HTTP_2),
    (Victim::Guarded, Version::HTTP_2),
    (Victim::Stream, Version::HTTP_2),
];

impl Victim {
    /// Returns how long its answer took.
    async fn run(self, client: &mut Client) -> Duration {
        let start = Instant::now();
        match self {
            Self::Plain | Self::Guarded => {
                let mut request = write(TEXT.into());
                if matches!(self, Self::Guarded) {
                    let tag = EntityTag::of(TEXT.as_bytes()).into();
                    request.headers_mut().insert("if-match", tag);
                }
                assert_eq!(within(client.send(request)).await.status(), StatusCode::NO_CONTENT);
            }
            Self::Stream => {
                let (feed, body) = fed();
                let response = within(client.send(chat(body))).await;
                assert_eq!(response.status(), StatusCode::OK);
                let mut body = response.into_body();
                for _ in 0..2 {
                    feed.send(Ok(message(TEXT).into())).unwrap();
                    let frame = within(body.frame()).await.unwrap().unwrap();
                    assert_eq!(frame.into_data().unwrap(), message(TEXT));
                }
                drop(feed);
                let trailers = within(body.collect()).await.unwrap().trailers().cloned().unwrap();
                assert_eq!(trailers["grpc-status"], "0");
            }
        }
        start.elapsed()
    }
}

/// The victims are answered while all attackers are still there.
#[tokio::test(flavor = "multi_thread")]
async fn input_1_no_client_holds_up_the_writes_of_others() {
    let count = |name, default| env::var(name).map_or(default, |count| count.parse().unwrap());
    let (attackers, victims) = (count("ATTACKERS", 5), count("VICTIMS", 40));
    let (quiet, attacked) = (Server::start().await, Server::start().await);
    let (mut tasks, mut all) = (JoinSet::new(), Vec::new());
    for (attack, version) in ATTACKS.into_iter().flat_map(|a| VERSIONS.map(|v| (a, v))) {
        for i in 0..attackers {
            let path = if i % 2 == 0 { NOTE } else { CHAT };
            let attacker = Attacker { attack, version, path, answer: Arc::default() };
            tasks.spawn(attacker.clone().run(attacked.address));
            all.push(attacker);
        }
    }
    let is_surrounded = || attacked.writes() >= all.len() && all.iter().all(Attacker::is_answered);
    within(async {
        while !is_surrounded() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    for (victim, version) in VICTIMS {
        let mut without = Client::connect(quiet.address, version, None).await;
        let mut with = Client::connect(attacked.address, version, None).await;
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..victims {
            took[0].push(victim.run(&mut without).await);
            took[1].push(victim.run(&mut with).await);
        }
        let [without, with] = took.map(percentiles);
        println!("{victim:?} {version:?}: without attackers {without:?}, with {with:?}");
        // A small number of requests on a busy machine says nothing about milliseconds.
        let is_prompt = with[1] < without[1] + Duration::from_millis(10);
        assert!(is_prompt || victims < 1_000, "{victim:?} {version:?}");
    }
    for attacker in &all {
        assert!(attacker.is_answered(), "{attacker:?}");
    }
    assert!(tasks.try_join_next().is_none(), "an attacker gave up");
}

/// Returns what half of the answers, 99 percent, and all of them took at most.
fn percentiles(mut took: Vec<Duration>) -> [Duration; 3] {
    took.sort();
    [50, 99, 100].map(|percent| took[(took.len() - 1) * percent / 100])
}
