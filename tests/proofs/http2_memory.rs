//! One HTTP/2 connection with 200 streams that are not read: what they hold is bounded
//! for the layer, and others still get their 304.

use std::{convert::Infallible, env, fs, process::Command, time::Duration};

use axum::{body::Body, routing::get, Router};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, Version};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower_conditional::{ConditionalLayer, EntityTag};

use crate::support::{
    peer::{ask, get_of},
    wire::{hyper, within},
};

#[test]
fn http2_memory_of_one_connection_is_bounded_and_others_get_their_304() {
    // The memory of a process is only its own where no other test runs in it.
    if env::var_os(ALONE).is_none() {
        let name =
            "http2_memory::http2_memory_of_one_connection_is_bounded_and_others_get_their_304";
        let mut alone = Command::new(env::current_exe().unwrap());
        alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1");
        assert!(alone.status().unwrap().success());
        return;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(alone());
}

async fn alone() {
    let layer = ConditionalLayer::new();
    let router = Router::new()
        .route("/large/{number}", get(|| async { framed(LARGE) }))
        .route("/frames", get(|| async { framed(60 << 10) }))
        .route("/page", get(|| async { "a page" }))
        .route("/whole", get(|| async { Bytes::from_static(&[7; 512 << 10]) }))
        .layer(layer.clone());
    let address = hyper(Version::HTTP_2, router).await;
    let before = memory();

    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1_024).initial_connection_window_size(65_535);
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = within(builder.handshake(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut held = Vec::new();
    for number in 0..STREAMS {
        let mut sender = sender.clone();
        held.push(tokio::spawn(async move {
            let uri = format!("http://home/large/{number}");
            let request = Request::get(uri).body(Body::empty()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            // The content stays unread.
            response
        }));
    }
    let mut responses = Vec::new();
    for response in held {
        responses.push(within(response).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;

    let (buffered, rss) = (layer.stats().bytes_buffered, memory());
    let tagged = responses.iter().filter(|response| response.headers().contains_key("etag"));
    let tagged = tagged.count();
    println!(
        "{STREAMS} streams: {} KiB buffered, {} KiB of memory, {} before, {tagged} with a tag",
        buffered >> 10,
        rss >> 10,
        before >> 10
    );
    assert!(buffered > 32 << 20, "{buffered}: the test asks what has to be bounded");
    assert!(buffered <= (64 << 20) + STREAMS * (64 << 10), "{buffered}");
    assert!(rss < 110 << 20, "{rss}");
    assert!(tagged < STREAMS as usize, "what has no room passes without a tag");

    for (path, content) in [
        ("/page", b"a page".to_vec()),
        ("/frames", vec![7; 60 << 10]),
        ("/whole", vec![7; 512 << 10]),
    ] {
        let tag = EntityTag::of(&content).to_string();
        for fields in [&[][..], &[("if-none-match", &*tag)]] {
            let reply = ask(Version::HTTP_2, address, get_of(path, fields)).await;
            let status = if fields.is_empty() { 200 } else { 304 };
            assert_eq!((reply.status, reply.field("etag")), (status, Some(&*tag)), "{path}");
        }
    }
    drop(responses);
    drop(sender);
    connection.abort();
    within(async {
        while layer.stats().bytes_buffered > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Content in frames of 64 KiB, each made when it is asked for.
fn framed(length: usize) -> Response<Body> {
    let frames = stream::unfold(length, |left| async move {
        let frame = left.min(64 << 10);
        (frame > 0).then(|| (Ok::<_, Infallible>(Bytes::from(vec![7; frame])), left - frame))
    });
    Response::builder().header("content-length", length).body(Body::from_stream(frames)).unwrap()
}

/// Returns how much memory this process holds; nothing where the system does not tell.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0) * 1024
}

const ALONE: &str = "HTTP2_MEMORY_ALONE";
const STREAMS: u64 = 200;
const LARGE: usize = 1 << 20;
