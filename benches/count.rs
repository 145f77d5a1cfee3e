//! Runs one case of `benches/layer.rs` many times, with the system's allocator: for
//! callgrind, see `benches/instructions`.
//!
//! `cargo bench --bench count -- CASE N`

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

#[path = "support/cases.rs"]
mod cases;

use std::hint::black_box;

fn main() {
    let arguments: Vec<_> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // Without arguments, as `cargo bench` calls it, there is nothing to do.
    let [name, times] = &arguments[..] else { return };
    let times: u32 = times.parse().unwrap();
    let all = cases::overhead().into_iter().chain(cases::own()).chain(cases::writes());
    // To the end, so that the others are gone.
    let mut case =
        all.fold(None, |found, case| if case.name == *name { Some(case) } else { found }).unwrap();
    fill_holes();
    (0..times).for_each(|_| (case.run)());
}

/// Takes what is free between the blocks of the heap. What is free depends on the name
/// of the folder and on the other cases, and where a block fits in, malloc takes
/// another path. Without this, a browser's request varied by 230 instructions.
fn fill_holes() {
    for bytes in (8..=8_200).rev().step_by(16) {
        (0..16).for_each(|_| std::mem::forget(black_box(Vec::<u8>::with_capacity(bytes))));
    }
}
