//! A port for a program that cannot say which one it took.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Ports that no system gives to a connection, so a program that is started again finds
/// its port free.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// Returns a port that is free, and that no other call in this process returns soon.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at once begin far from each other.
    let start = process::id().wrapping_mul(61);
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
