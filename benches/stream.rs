//! A file of 1 GiB over loopback: `ServeDir` with the layer against `ServeDir` alone,
//! and against the hash.
//!
//! `cargo bench --bench stream` prints how fast a first transfer is, how much memory
//! the servers take for it, and how many revalidations are answered afterwards. Each
//! server is a process of its own with one thread. Samples alternate.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

#[path = "end_to_end/load.rs"]
mod load;
#[path = "support/process.rs"]
mod process;

use std::{
    env,
    fs::{self, File},
    future::ready,
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant, SystemTime},
};

use axum::{body::Body, routing::get, Router};
use bytes::Bytes;
use futures_util::{stream, StreamExt};
use http::{HeaderValue, StatusCode};
use process::{at, Process, Server};
use sha2::{Digest, Sha256};
use tower_conditional::{ConditionalLayer, InnerTags};
use tower_http::services::ServeDir;

fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", kind] => process::serve(make(kind)),
        ["load"] => load::obey(),
        _ => {
            let folder =
                env::temp_dir().join(format!("tower-conditional-stream-{}", std::process::id()));
            fs::create_dir_all(&folder)?;
            // The servers inherit it.
            env::set_current_dir(&folder)?;
            let done = measure();
            fs::remove_dir_all(&folder)?;
            done
        }
    }
}

fn make(kind: &str) -> Router {
    let layer = ConditionalLayer::new().inner_tags(InnerTags::replace());
    let files = Router::new().fallback_service(ServeDir::new("."));
    match kind {
        "bare" => files,
        "layer" => files.layer(layer),
        // As little as a 304 can cost.
        "empty" => Router::new().fallback(|| ready(StatusCode::NOT_MODIFIED)),
        // What the layer adds to that, where no file has to be opened.
        "known" => Router::new().fallback(get(|| ready(made())).layer(layer)),
        _ => panic!("no server of the kind {kind}"),
    }
}

/// Makes content that is too large to read ahead, with a tag.
fn made() -> ([(&'static str, HeaderValue); 2], Body) {
    let frames = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; PIECE])))
        .take(MADE / PIECE);
    let fields = [
        ("etag", HeaderValue::from_static("\"own\"")),
        ("content-length", HeaderValue::from(MADE)),
    ];
    (fields, Body::from_stream(frames))
}

fn measure() -> io::Result<()> {
    let file = File::create(&PATH[1..])?;
    file.set_len(BYTES)?;
    let [bare, layer, empty, known] =
        ["bare", "layer", "empty", "known"].map(|kind| Server::start(kind).unwrap());
    let mut load = Process::start(&["load"])?;
    first_transfers(&file, &bare, &layer)?;
    transfer(&known.address)?;
    revalidations(&mut load, &[&empty, &known, &bare, &layer])
}

/// Prints how fast a file is that the layer does not know, how fast its hash, and what
/// memory was taken.
fn first_transfers(file: &File, bare: &Server, layer: &Server) -> io::Result<()> {
    let servers = [bare, layer];
    let (mut rates, mut hashes, mut costs) = ([Vec::new(), Vec::new()], Vec::new(), [0.0; 2]);
    let long_ago = SystemTime::now() - Duration::from_secs(86_400);
    for round in 0..=ROUNDS {
        // Another date makes it another file.
        file.set_modified(long_ago + Duration::from_secs(round))?;
        for (i, server) in servers.into_iter().enumerate() {
            let before = server.process.processor_time();
            let rate = transfer(&server.address)?;
            // The first round is to get warm.
            if round > 0 {
                rates[i].push(rate);
                costs[i] += server.process.processor_time() - before;
            }
        }
        hashes.push(hash());
    }
    let of_bare = rates[1].iter().zip(&rates[0]).map(|(layer, bare)| layer / bare).collect();
    let [bare_rate, layer_rate] = rates.map(|rates| at(0.5, rates));
    // What else runs on the machine can only make it seem slower, and the bound lower.
    let hash = at(1.0, hashes);
    let (of_bare, bound) = (at(0.5, of_bare), 1.0 / (1.0 + bare_rate / hash));
    println!("a first transfer of 1 GiB, GB/s");
    println!("  bare {bare_rate:.2}, layer {layer_rate:.2}, SHA-256 alone {hash:.2}");
    println!("  layer of bare {of_bare:.3}, of the bound {bound:.3}: {:.3}", of_bare / bound);
    let ([bare_cost, layer_cost], hash_cost) =
        (costs.map(|cost| cost / ROUNDS as f64), BYTES as f64 / hash / 1e9);
    let of_sum = (bare_cost + hash_cost) / layer_cost;
    println!(
        "  seconds of CPU: bare {bare_cost:.2}, hash {hash_cost:.2}, layer {layer_cost:.2}: \
         {of_sum:.3} of their sum"
    );
    println!(
        "  peak of resident memory, MiB: bare {:.1}, layer {:.1}",
        bare.process.peak(),
        layer.process.peak()
    );
    Ok(())
}

/// Prints how many times a second it is said that nothing has changed.
fn revalidations(load: &mut Process, servers: &[&Server]) -> io::Result<()> {
    let tags = servers.iter().map(|server| tag(&server.address)).collect::<io::Result<Vec<_>>>()?;
    let mut rates = vec![Vec::new(); servers.len()];
    let mut costs = vec![(0.0, 0.0); servers.len()];
    for round in 0..=3 * ROUNDS {
        for (i, server) in servers.iter().enumerate() {
            let before = server.process.processor_time();
            let (address, tag) = (&server.address, &tags[i]);
            let answer =
                load.ask(&format!("throughput\t{address}\t{PATH}\t{tag}\t304\t{SAMPLE}"))?;
            let numbers: Vec<f64> =
                answer.split('\t').map(|number| number.parse().unwrap()).collect();
            if round > 0 {
                rates[i].push(numbers[0] / numbers[1]);
                costs[i].0 += server.process.processor_time() - before;
                costs[i].1 += numbers[0];
            }
        }
    }
    println!(
        "{:<16} {:>10} {:>10} {:>8} {:>8}",
        "304", "requests/s", "of empty", "of bare", "us CPU"
    );
    for (i, server) in servers.iter().enumerate() {
        let of = |other: usize| {
            at(0.5, rates[i].iter().zip(&rates[other]).map(|(rate, other)| rate / other).collect())
        };
        let (rate, cost) = (at(0.5, rates[i].clone()), 1e6 * costs[i].0 / costs[i].1);
        println!("  {:<14} {rate:>10.0} {:>10.2} {:>8.2} {cost:>8.1}", server.kind, of(0), of(2));
    }
    Ok(())
}

/// Fetches all of the file, and returns how many bytes came in a nanosecond.
fn transfer(address: &str) -> io::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    let start = Instant::now();
    write!(stream, "GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let (mut buffer, mut bytes) = (vec![0; 256 << 10], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            read => bytes += read,
        }
    }
    assert!(bytes > MADE, "{bytes}");
    Ok(bytes as f64 / start.elapsed().as_nanos() as f64)
}

/// Returns the tag of the file, if any.
fn tag(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nIf-None-Match: *\r\n\r\n"
    )?;
    let mut head = String::new();
    stream.read_to_string(&mut head)?;
    assert!(head.starts_with("HTTP/1.1 304"), "{head}");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    Ok(tag.unwrap_or("\"none\"").to_owned())
}

/// Hashes pieces as `ServeDir` yields them, and returns how many bytes in a
/// nanosecond.
fn hash() -> f64 {
    let (piece, mut digest) = (vec![0_u8; PIECE], Sha256::new());
    let start = Instant::now();
    for _ in 0..HASHED / PIECE {
        digest.update(std::hint::black_box(&piece));
    }
    std::hint::black_box(digest.finalize());
    HASHED as f64 / start.elapsed().as_nanos() as f64
}

const PATH: &str = "/large.bin";
const BYTES: u64 = 1 << 30;
/// How many bytes `ServeDir` yields at once.
const PIECE: usize = 64 << 10;
const MADE: usize = 2 << 20;
const HASHED: usize = 256 << 20;
const ROUNDS: u64 = 5;
/// In milliseconds.
const SAMPLE: u64 = 200;
