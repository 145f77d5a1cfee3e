//! Runs one case of `benches/layer.rs` many times, with the system's allocator: for callgrind, see `benches/instructions`.
//!
//! `cargo bench --bench count -- CASE N`

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

#[path = "support/cases.rs"]
mod cases;

fn main() {
    let arguments: Vec<_> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // Without arguments, as `cargo bench` calls it, there is nothing to do.
    let [name, times] = &arguments[..] else { return };
    let mut all = cases::overhead().into_iter().chain(cases::own());
    let mut case = all.find(|case| case.name == *name).expect("a case of that name");
    (0..times.parse().unwrap()).for_each(|_| (case.run)());
}
