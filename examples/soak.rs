//! A server under mixed load on the loopback interface. Run it for ten minutes with
//! `cargo run --release --example soak -- 600`. Without a number it takes 20 seconds.
//! It fails if a 304 is wrong, or if the memory exceeds a bound.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::{
    convert::Infallible,
    env, fs,
    net::SocketAddr,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
    Router,
};
use bytes::Bytes;
use futures_util::stream;
use http::{
    header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE},
    HeaderMap, Request, StatusCode,
};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tower_conditional::{ConditionalLayer, EntityTag, InnerTags};

/// The memory limit of server and clients, however long they run: 16 MiB of cached
/// content, 20 MiB of dates, the contents in progress, and the overhead of the
/// allocator.
const MOST_MEMORY: u64 = 160 << 20;

/// The number of resources of each kind.
const RESOURCES: usize = 16;

/// The actual version of each resource.
#[derive(Default)]
struct World {
    versions: [AtomicU64; RESOURCES],
}

/// The counters of the clients.
#[derive(Default)]
struct Tally {
    requests: AtomicU64,
    not_modified: AtomicU64,
    parts: AtomicU64,
    aborted: AtomicU64,
    malformed: AtomicU64,
    wrong: AtomicU64,
}

#[tokio::main]
async fn main() {
    let seconds = env::args().nth(1).map_or(20, |text| text.parse().expect("a number of seconds"));
    let world = Arc::<World>::default();
    let learning = ConditionalLayer::new().inner_tags(InnerTags::learn()).ranges(true);
    let app = Router::new()
        .route("/small/{place}", get(small).post(change))
        .route("/stream/{place}", get(streamed).post(change))
        .layer(ConditionalLayer::new())
        .route("/large/{place}", get(large).post(change).layer(learning))
        .with_state(Arc::clone(&world));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let tally = Arc::<Tally>::default();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut clients = JoinSet::new();
    for number in 0..8 {
        clients.spawn(revalidate(address, number, end, Arc::clone(&tally)));
    }
    clients.spawn(change_things(address, end));
    for number in 0..2 {
        clients.spawn(download(address, number, end, Arc::clone(&tally)));
        clients.spawn(abort(address, number, end, Arc::clone(&tally)));
        clients.spawn(talk_nonsense(address, number, end, Arc::clone(&tally)));
    }
    let (mut most, mut at_start) = (0, 0);
    while Instant::now() < end {
        sleep(Duration::from_millis(250)).await;
        most = most.max(memory());
        if at_start == 0 {
            at_start = memory();
        }
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    println!(
        "{seconds} s: {} requests, {} of them 304, {} parts",
        count(&tally.requests),
        count(&tally.not_modified),
        count(&tally.parts)
    );
    println!(
        "{} broken off, {} malformed, {} wrong answers",
        count(&tally.aborted),
        count(&tally.malformed),
        count(&tally.wrong)
    );
    println!(
        "memory: {} MiB at the start, {} MiB at most, {} MiB allowed",
        at_start >> 20,
        most >> 20,
        MOST_MEMORY >> 20
    );
    assert_eq!(count(&tally.wrong), 0, "wrong answers");
    assert!(most < MOST_MEMORY, "too much memory");
    assert!(
        count(&tally.not_modified) > seconds
            && count(&tally.parts) > 0
            && count(&tally.aborted) > 0,
        "too little was asked"
    );
}

/// Returns the memory of this process, if the system shows it.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0) * 1024
}

// ----- The server -----

/// Makes content with its version in each line.
fn content(version: u64, len: usize) -> Vec<u8> {
    format!("version {version:20}\n").bytes().cycle().take(len).collect()
}

const LINE: usize = 29;

fn with_version(version: u64, response: impl IntoResponse) -> Response {
    ([("x-version", version.to_string())], response).into_response()
}

async fn small(State(world): State<Arc<World>>, Path(place): Path<usize>) -> Response {
    let version = world.versions[place].load(Relaxed);
    with_version(version, content(version, 1000 << (place % 8)))
}

async fn streamed(State(world): State<Arc<World>>, Path(place): Path<usize>) -> Response {
    let version = world.versions[place].load(Relaxed);
    let frames = stream::unfold(0, move |sent| async move {
        // Some bodies pause in the middle and are abandoned. Some are read to the end.
        if sent == 5 && place % 2 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        (sent < 20)
            .then(|| (Ok::<_, Infallible>(Bytes::from(content(version, LINE * 10))), sent + 1))
    });
    with_version(version, Body::from_stream(frames))
}

async fn large(State(world): State<Arc<World>>, Path(place): Path<usize>) -> Response {
    let version = world.versions[place].load(Relaxed);
    let tag = EntityTag::strong(format!("v{version}")).unwrap();
    with_version(version, ([(ETAG, tag.to_string())], content(version, LINE * 80_000)))
}

async fn change(State(world): State<Arc<World>>, Path(place): Path<usize>) {
    // Every fourth change is a rollback.
    let version = world.versions[place].load(Relaxed);
    let next = if version % 4 == 3 { version - 2 } else { version + 1 + version % 3 };
    world.versions[place].store(next, Relaxed);
}

// ----- The clients -----

type Client = http1::SendRequest<Empty<Bytes>>;

async fn connect(address: SocketAddr) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(
    client: &mut Client,
    uri: &str,
    fields: &HeaderMap,
) -> hyper::Result<http::Response<Incoming>> {
    client.ready().await?;
    let mut request = Request::get(uri).header("host", "soak").body(Empty::new()).unwrap();
    request.headers_mut().extend(fields.clone());
    client.send_request(request).await
}

/// A simple sequence of numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }
}

fn version_of(head: &HeaderMap) -> u64 {
    head["x-version"].to_str().unwrap().parse().unwrap()
}

fn version_in(content: &[u8]) -> u64 {
    std::str::from_utf8(&content[8..LINE - 1]).unwrap().trim().parse().unwrap()
}

/// Keeps responses, and revalidates them by tag, by date, or by both.
async fn revalidate(address: SocketAddr, number: u64, end: Instant, tally: Arc<Tally>) {
    let mut dice = Dice(number);
    let mut client = connect(address).await;
    let mut held: Vec<Option<(u64, HeaderMap)>> = vec![None; RESOURCES * 2];
    while Instant::now() < end {
        let (place, kind) = (dice.below(RESOURCES), dice.below(2));
        let mut fields = HeaderMap::new();
        let by = dice.below(4);
        if let Some((_, head)) = &held[place * 2 + kind] {
            let own = [(IF_NONE_MATCH, ETAG, by != 1), (IF_MODIFIED_SINCE, LAST_MODIFIED, by != 0)];
            for (ask, own, _) in own.into_iter().filter(|(.., is_sent)| *is_sent) {
                fields.extend(head.get(own).map(|value| (ask, value.clone())));
            }
        }
        let uri = format!("/{}/{place}", ["small", "stream"][kind]);
        let (head, body) = ask(&mut client, &uri, &fields).await.unwrap().into_parts();
        tally.requests.fetch_add(1, Relaxed);
        let version = version_of(&head.headers);
        let content = body.collect().await.unwrap().to_bytes();
        if head.status == StatusCode::NOT_MODIFIED {
            tally.not_modified.fetch_add(1, Relaxed);
            let is_right = content.is_empty()
                && held[place * 2 + kind].as_ref().is_some_and(|(held, _)| *held == version);
            tally.wrong.fetch_add(u64::from(!is_right), Relaxed);
        } else {
            let is_right = head.status == StatusCode::OK && version_in(&content) == version;
            tally.wrong.fetch_add(u64::from(!is_right), Relaxed);
            held[place * 2 + kind] = Some((version, head.headers));
        }
    }
}

async fn change_things(address: SocketAddr, end: Instant) {
    let mut dice = Dice(7);
    let mut client = connect(address).await;
    while Instant::now() < end {
        let uri = format!("/small/{}", dice.below(RESOURCES));
        client.ready().await.unwrap();
        let request = Request::post(uri).header("host", "soak").body(Empty::new()).unwrap();
        client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
}

/// Fetches large content slowly, and resumes it if it is unchanged.
async fn download(address: SocketAddr, number: u64, end: Instant, tally: Arc<Tally>) {
    let mut dice = Dice(number + 100);
    let mut client = connect(address).await;
    while Instant::now() < end {
        let place = dice.below(RESOURCES);
        let uri = format!("/large/{place}");
        let (head, mut body) =
            ask(&mut client, &uri, &HeaderMap::new()).await.unwrap().into_parts();
        tally.requests.fetch_add(1, Relaxed);
        let (version, mut got) = (version_of(&head.headers), 0);
        let mut first = None;
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap_or_default();
            got += data.len();
            first.get_or_insert(data);
            if dice.below(20) == 0 {
                sleep(Duration::from_millis(3)).await;
            }
        }
        let is_right = got == LINE * 80_000 && version_in(&first.unwrap()) == version;
        tally.wrong.fetch_add(u64::from(!is_right), Relaxed);
        let start = LINE * dice.below(70_000);
        let mut fields = HeaderMap::new();
        fields.insert(RANGE, format!("bytes={start}-{}", start + LINE * 50 - 1).parse().unwrap());
        fields.insert(IF_RANGE, head.headers[ETAG].clone());
        let (head, body) = ask(&mut client, &uri, &fields).await.unwrap().into_parts();
        tally.requests.fetch_add(1, Relaxed);
        let content = body.collect().await.unwrap().to_bytes();
        let is_part = head.status == StatusCode::PARTIAL_CONTENT;
        tally.parts.fetch_add(u64::from(is_part), Relaxed);
        // A part must be of the version that was downloaded.
        let is_right = version_in(&content) == version_of(&head.headers)
            && (!is_part || content.len() == LINE * 50 && version_of(&head.headers) == version);
        tally.wrong.fetch_add(u64::from(!is_right), Relaxed);
    }
}

/// Closes the connection in the middle of content.
async fn abort(address: SocketAddr, number: u64, end: Instant, tally: Arc<Tally>) {
    let mut dice = Dice(number + 200);
    while Instant::now() < end {
        let mut client = connect(address).await;
        let uri =
            format!("/{}/{}", ["large", "small", "stream"][dice.below(3)], dice.below(RESOURCES));
        let mut body = ask(&mut client, &uri, &HeaderMap::new()).await.unwrap().into_body();
        for _ in 0..dice.below(4) {
            body.frame().await;
        }
        tally.aborted.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(2)).await;
    }
}

/// Sends invalid requests, incomplete requests, and invalid dates and tags.
async fn talk_nonsense(address: SocketAddr, number: u64, end: Instant, tally: Arc<Tally>) {
    let mut dice = Dice(number + 300);
    let tags = "\"a, W/\"b\", ".repeat(5000);
    while Instant::now() < end {
        let fields = [
            "If-None-Match: \"a\r\nIf-None-Match: *, \"\r\n".to_owned(),
            format!("If-None-Match: {tags}\r\n"),
            "If-Modified-Since: yesterday\r\nIf-Match:\r\n".to_owned(),
            "Range: bytes=--\r\nIf-Range: *\r\n".to_owned(),
            "X: y\r\n".repeat(200),
            "If-None-Match \0\r\n".to_owned(),
        ];
        let kind = ["small", "large", "stream"][dice.below(3)];
        let text = format!(
            "GET /{kind}/{} HTTP/1.1\r\nHost: soak\r\n{}\r\n",
            dice.below(RESOURCES),
            fields[dice.below(6)]
        );
        let sent = if dice.below(4) == 0 { &text[..dice.below(text.len())] } else { &text };
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may refuse it before all of it is written.
        if stream.write_all(sent.as_bytes()).await.is_ok() {
            let mut answer = [0; 64];
            let read =
                tokio::time::timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
            let is_304 = matches!(read, Ok(Ok(len)) if answer[..len].starts_with(b"HTTP/1.1 304"));
            tally.wrong.fetch_add(u64::from(is_304), Relaxed);
        }
        tally.malformed.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(2)).await;
    }
}
