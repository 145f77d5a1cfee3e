//! What the layer adds to a request, in process: time and allocations against the bare
//! service and against others.
//!
//! `cargo bench --bench layer` prints the tables. Runs of what is compared alternate,
//! and medians are shown, because the machine may be busy. `benches/instructions`
//! counts instructions.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::{convert::Infallible, hint::black_box};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use sha2::{Digest as _, Sha256};
use support::{
    allocations, anew, bare, case, clock, interleaved, nanoseconds, overhead, own, writes, Case,
};
use tower::{service_fn, Layer};
use tower_conditional::{AddLastModified, ConditionalLayer};

fn main() {
    table("1 KiB, hash excluded", overhead());
    table("a response with its own tag and date, 1 KiB", own());
    guarded();
    cold();
    unchanged();
}

/// Writes through a guard, against as many bare calls of the service as it makes.
fn guarded() {
    println!(
        "\nwrites of 1 KiB through a guard\n{:<28} {:>9} {:>9} {:>7} {:>8}",
        "", "ns", "over bare", "ratio", "allocs"
    );
    let mut cases = writes();
    let times = interleaved(&mut cases);
    let allocated: Vec<_> = cases.iter_mut().map(allocations).collect();
    for ((pair, times), allocated) in cases.chunks(2).zip(times.chunks(2)).zip(allocated.chunks(2))
    {
        let (bare, time) = (nanoseconds(times[0]), nanoseconds(times[1]));
        let more = i64::try_from(allocated[1]).unwrap() - i64::try_from(allocated[0]).unwrap();
        let name = &pair[1].name;
        println!("{name:<28} {time:>9.0} {:>9.0} {:>7.2} {more:>+8}", time - bare, time / bare);
    }
}

fn table(title: &str, mut cases: Vec<Case>) {
    println!("\n{title}\n{:<28} {:>9} {:>9} {:>7} {:>8}", "", "ns", "over bare", "ratio", "allocs");
    let times = interleaved(&mut cases);
    let allocated: Vec<_> = cases.iter_mut().map(allocations).collect();
    for ((case, time), allocations) in cases.iter().zip(&times).zip(&allocated) {
        let (time, bare) = (nanoseconds(*time), nanoseconds(times[0]));
        let more = i64::try_from(*allocations).unwrap() - i64::try_from(allocated[0]).unwrap();
        println!(
            "{:<28} {time:>9.0} {:>9.0} {:>7.2} {more:>+8}",
            case.name,
            time - bare,
            time / bare
        );
    }
}

/// Content never seen before: the time of the hash alone against the time that the
/// layer adds.
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
            let frames =
                (0..pieces).map(move |i| content.slice(i * size / pieces..(i + 1) * size / pieces));
            stream::iter(frames.map(|data| Ok::<_, Infallible>(Frame::data(data))))
        };
        let (bare_frames, hashed) = (frames.clone(), Bytes::from(vec![b'x'; size]));
        let answer = |frames: Box<dyn Fn() -> _>| {
            service_fn(move |_: Request<()>| {
                std::future::ready(Ok::<_, Infallible>(Response::new(StreamBody::new(frames()))))
            })
        };
        let layer =
            ConditionalLayer::new().content_cache(0).add_last_modified(AddLastModified::Never);
        let bare = case("bare", answer(Box::new(bare_frames)), HeaderMap::new(), StatusCode::OK);
        let layered =
            case("layer", layer.layer(answer(Box::new(frames))), HeaderMap::new(), StatusCode::OK);
        against_hash(name, hashed, bare, layered);
    }
}

/// Content seen before: made anew with equal bytes, or the same `Bytes` again.
fn unchanged() {
    println!(
        "\nunchanged content\n{:<28} {:>9} {:>9} {:>11}",
        "", "sha2 us", "added us", "sha2/added"
    );
    for (name, size, is_new) in [
        ("1 KiB, made anew", 1 << 10, true),
        ("64 KiB, made anew", 64 << 10, true),
        ("1 MiB, made anew", 1 << 20, true),
        ("1 KiB, shared", 1 << 10, false),
        ("64 KiB, shared", 64 << 10, false),
        ("1 MiB, shared", 1 << 20, false),
    ] {
        let content = Bytes::from(vec![b'x'; size]);
        let hashed = content.clone();
        let make = move || if is_new { anew(size) } else { content.clone() };
        let layer = ConditionalLayer::new().clock(clock());
        let layered =
            case("layer", layer.layer(bare(make.clone())), HeaderMap::new(), StatusCode::OK);
        against_hash(
            name,
            hashed,
            case("bare", bare(make), HeaderMap::new(), StatusCode::OK),
            layered,
        );
    }
}

/// Prints what the layer adds to a bare service, beside the time that the hash of
/// `content` takes.
fn against_hash(name: &str, content: Bytes, bare: Case, layered: Case) {
    let hash = move || {
        black_box(Sha256::digest(black_box(&content)));
    };
    let times =
        interleaved(&mut [bare, layered, Case { name: "sha2".to_owned(), run: Box::new(hash) }]);
    let [bare, layer, sha2] = [0, 1, 2].map(|i| nanoseconds(times[i]) / 1e3);
    println!("{name:<28} {sha2:>9.2} {:>9.2} {:>11.2}", layer - bare, sha2 / (layer - bare));
}
