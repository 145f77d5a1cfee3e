//! What the layer adds to a request, in process: time and allocations against the bare service and against others.
//!
//! `cargo bench --bench layer` prints the tables. Runs of what is compared alternate, and medians are shown, because the
//! machine may be busy. `cargo bench --bench layer -- count CASE N` runs one case N times: for callgrind, see
//! `benches/instructions`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs, unreachable_pub)]

mod support;

use std::{
    convert::Infallible,
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::stream;
use http::{header, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use sha2::{Digest as _, Sha256};
use support::{allocations, bare, block_on, case, case_of, interleaved, nanoseconds, Case};
use tower::{service_fn, Layer, Service};
use tower_conditional::{ConditionalLayer, Digest};
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

/// A hash that costs nothing, to see what else does.
#[derive(Default)]
struct Null;

impl Digest for Null {
    type Output = [u8; 32];

    fn update(&mut self, _: &[u8]) {}

    fn finish(self) -> [u8; 32] {
        [0; 32]
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["count", name, times] => {
            let mut cases = overhead();
            let case = cases.iter_mut().find(|case| case.name == name).expect("a case of that name");
            (0..times.parse().unwrap()).for_each(|_| (case.run)());
        }
        _ => {
            table("1 KiB, hash excluded", overhead());
            table("a response with its own tag and date, 1 KiB", own());
            cold();
            unchanged();
        }
    }
}

fn table(title: &str, mut cases: Vec<Case>) {
    println!("\n{title}\n{:<28} {:>9} {:>9} {:>7} {:>8}", "", "ns", "over bare", "ratio", "allocs");
    let times = interleaved(&mut cases);
    let allocated: Vec<_> = cases.iter_mut().map(allocations).collect();
    for ((case, time), allocations) in cases.iter().zip(&times).zip(&allocated) {
        let (time, bare) = (nanoseconds(*time), nanoseconds(times[0]));
        let more = i64::try_from(*allocations).unwrap() - i64::try_from(allocated[0]).unwrap();
        println!("{:<28} {time:>9.0} {:>9.0} {:>7.2} {more:>+8}", case.name, time - bare, time / bare);
    }
}

/// The layer over a bare service of 1 KiB, with a hash that costs nothing.
fn overhead() -> Vec<Case> {
    let content = Bytes::from(vec![b'x'; 1024]);
    let shared = move || content.clone();
    let null = format!("\"{}\"", "0".repeat(64));
    let layer = || ConditionalLayer::new().clock(clock()).digest::<Null>();
    let full = || layer().layer(bare(shared.clone()));
    let plain = || layer().without_memory().last_modified(false).layer(bare(shared.clone()));
    let none = HeaderMap::new;
    let (hit, miss) = (if_none_match(&null), if_none_match("\"another\""));
    let (ok, not_modified) = (StatusCode::OK, StatusCode::NOT_MODIFIED);
    let mut post = full();
    vec![
        case("bare", bare(shared.clone()), none(), ok),
        case("bare-if-none-match", bare(shared.clone()), miss.clone(), ok),
        case("full-200", full(), none(), ok),
        case("full-304", full(), hit.clone(), not_modified),
        case("full-miss", full(), miss.clone(), ok),
        case("plain-200", plain(), none(), ok),
        case("plain-304", plain(), hit, not_modified),
        case("plain-miss", plain(), miss, ok),
        case_of(
            "full-post",
            Method::POST,
            move |request: Request<()>| block_on(post.call(request)).unwrap(),
            none(),
            ok,
        ),
        case(
            "set-response-header",
            {
                let (name, value) = (HeaderName::from_static("x-y"), HeaderValue::from_static("z"));
                SetResponseHeaderLayer::overriding(name, value).layer(bare(shared.clone()))
            },
            none(),
            ok,
        ),
        case("compression-passing", CompressionLayer::new().layer(bare(shared)), none(), ok),
    ]
}

/// Makes a clock that stands still, ten seconds after the layer was made: no date is minted in its first second.
fn clock() -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let was_asked = AtomicBool::new(false);
    let made = SystemTime::now();
    move || if was_asked.swap(true, Ordering::Relaxed) { made + Duration::from_secs(10) } else { made }
}

/// Responses that bring their validators.
fn own() -> Vec<Case> {
    let content = Bytes::from(vec![b'x'; 1024]);
    let own = move || {
        let content = content.clone();
        service_fn(move |_: Request<()>| {
            let mut response = Response::new(Full::new(content.clone()));
            response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"own\""));
            let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
            response.headers_mut().insert(header::LAST_MODIFIED, date);
            std::future::ready(Ok::<_, Infallible>(response))
        })
    };
    let layer = ConditionalLayer::new().clock(clock());
    let none = HeaderMap::new;
    vec![
        case("bare", own(), none(), StatusCode::OK),
        case("own-200", layer.layer(own()), none(), StatusCode::OK),
        case("own-304", layer.layer(own()), if_none_match("\"own\""), StatusCode::NOT_MODIFIED),
    ]
}

/// Content never seen before: the time of the hash alone against the time that the layer adds.
fn cold() {
    println!("\ncold content\n{:<28} {:>9} {:>9} {:>11}", "", "sha2 us", "added us", "sha2/added");
    for (name, size, pieces) in [
        ("1 KiB", 1 << 10, 1),
        ("16 KiB", 16 << 10, 1),
        ("64 KiB", 64 << 10, 1),
        ("256 KiB", 256 << 10, 1),
        ("1 MiB", 1 << 20, 1),
        ("1 MiB in 64 frames", 1 << 20, 64),
    ] {
        let content = Bytes::from(vec![b'x'; size]);
        let frames = move || {
            let content = content.clone();
            let frames = (0..pieces).map(move |i| content.slice(i * size / pieces..(i + 1) * size / pieces));
            stream::iter(frames.map(|data| Ok::<_, Infallible>(Frame::data(data))))
        };
        let (bare_frames, hashed) = (frames.clone(), Bytes::from(vec![b'x'; size]));
        let answer = |frames: Box<dyn Fn() -> _>| {
            service_fn(move |_: Request<()>| {
                std::future::ready(Ok::<_, Infallible>(Response::new(StreamBody::new(frames()))))
            })
        };
        let layer = ConditionalLayer::new().without_memory().last_modified(false);
        let bare = case("bare", answer(Box::new(bare_frames)), HeaderMap::new(), StatusCode::OK);
        let layered = case("layer", layer.layer(answer(Box::new(frames))), HeaderMap::new(), StatusCode::OK);
        against_hash(name, hashed, bare, layered);
    }
}

/// Content seen before: made anew with equal octets, or the same `Bytes` again.
fn unchanged() {
    println!("\nunchanged content\n{:<28} {:>9} {:>9} {:>11}", "", "sha2 us", "added us", "sha2/added");
    for (name, size, anew) in [
        ("1 KiB, made anew", 1 << 10, true),
        ("64 KiB, made anew", 64 << 10, true),
        ("1 MiB, made anew", 1 << 20, true),
        ("1 KiB, shared", 1 << 10, false),
        ("64 KiB, shared", 64 << 10, false),
        ("1 MiB, shared", 1 << 20, false),
    ] {
        let content = Bytes::from(vec![b'x'; size]);
        let hashed = content.clone();
        let make = move || if anew { Bytes::copy_from_slice(&content) } else { content.clone() };
        let layer = ConditionalLayer::new().clock(clock());
        let layered = case("layer", layer.layer(bare(make.clone())), HeaderMap::new(), StatusCode::OK);
        against_hash(name, hashed, case("bare", bare(make), HeaderMap::new(), StatusCode::OK), layered);
    }
}

/// Prints what the layer adds to a bare service, beside the time that the hash of `content` takes.
fn against_hash(name: &str, content: Bytes, bare: Case, layered: Case) {
    let hash = move || {
        black_box(Sha256::digest(black_box(&content)));
    };
    let times = interleaved(&mut [bare, layered, Case { name: "sha2".to_owned(), run: Box::new(hash) }]);
    let [bare, layer, sha2] = [0, 1, 2].map(|i| nanoseconds(times[i]) / 1e3);
    println!("{name:<28} {sha2:>9.2} {:>9.2} {:>11.2}", layer - bare, sha2 / (layer - bare));
}

fn if_none_match(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())])
}
