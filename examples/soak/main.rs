//! A server under mixed load on the loopback interface. Run it for 600 seconds with
//! `cargo run --release --all-features --example soak -- 600`. Without a number it runs
//! for 20 seconds.
//!
//! The clients revalidate, abort responses, send tags that they do not have, resume
//! downloads, and edit. `World` has the current version of each resource, and the
//! version that each tag was sent with. Each answer is compared with these versions.
//! The example fails if an answer is wrong, or if the process uses too much memory.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

mod clients;
mod server;
mod world;

use std::{
    env, fs,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, time::sleep};

use world::World;

/// The maximum number of bytes of memory that server and clients may use together. Each
/// layer may hold 16 MiB of cached content and 2 MiB of dates. The rest is content that
/// is being sent, and memory that the allocator keeps.
const MOST_MEMORY: u64 = 256 << 20;

/// How many more bytes may be in use in the last third of the time than before.
const MOST_GROWTH: u64 = 32 << 20;

#[tokio::main]
async fn main() {
    let seconds = env::args().nth(1).map_or(20, |text| text.parse().expect("a number of seconds"));
    let world = Arc::<World>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = server::app(&world);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut clients = clients::start(address, end, &world);
    // The most memory that was used in each third of the time.
    let mut most = [0; 3];
    while Instant::now() < end {
        sleep(Duration::from_millis(250)).await;
        let third = (start.elapsed().as_secs() * 3 / seconds.max(1)).min(2);
        let most = &mut most[usize::try_from(third).unwrap()];
        *most = memory().max(*most);
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    world.tally.print(seconds);
    let [first, second, third] = most.map(|bytes| bytes >> 20);
    println!("memory: {first}, {second} and {third} MiB at most in each third of the time");
    world.tally.check(seconds);
    assert!(most.iter().all(|bytes| *bytes < MOST_MEMORY), "too much memory");
    assert!(most[2] < most[0].max(most[1]) + MOST_GROWTH, "memory grows");
}

/// Returns how many bytes of memory this process uses. Without `/proc`, this is 0.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0) * 1024
}
