//! The rules alone, against the `headers` crate: an If-None-Match with many tags.
//!
//! `cargo bench -p interop --bench rules` prints the table; runs of what is compared
//! alternate, and medians are shown.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub
)]

#[path = "../../../benches/support/mod.rs"]
mod support;

use std::hint::black_box;

use headers::{HeaderMapExt, IfNoneMatch};
use http::{header, HeaderMap, HeaderValue, Method};
use support::{allocations, interleaved, nanoseconds, Case};
use tower_conditional::{Decision, EntityTag, Preconditions, Representation, Validators};

fn main() {
    println!(
        "{:<28} {:>9} {:>9} {:>7} {:>8}",
        "If-None-Match, no match", "ours ns", "headers", "ratio", "allocs"
    );
    for tags in [1, 10, 100] {
        let list: Vec<_> = (0..tags).map(|i| format!("\"{:064x}\"", i * 7)).collect();
        let value = HeaderValue::try_from(list.join(", ")).unwrap();
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, value)]);
        let text = format!("\"{:064x}\"", 5);
        let current = Representation::from(Validators::from(text.parse::<EntityTag>().unwrap()));
        let etag = text.parse().unwrap();
        let theirs = headers.clone();
        let mut cases = [
            Case {
                name: "ours".to_owned(),
                run: Box::new(move || {
                    let asked = Preconditions::new(&Method::GET, black_box(&headers));
                    assert_eq!(asked.evaluate(&current), Decision::Proceed);
                }),
            },
            Case {
                name: "headers".to_owned(),
                run: Box::new(move || {
                    let asked = black_box(&theirs).typed_get::<IfNoneMatch>().unwrap();
                    assert!(asked.precondition_passes(&etag));
                }),
            },
        ];
        let times = interleaved(&mut cases);
        let [ours, theirs] = [times[0], times[1]].map(nanoseconds);
        let name = format!("{tags} tags");
        println!(
            "{name:<28} {ours:>9.0} {theirs:>9.0} {:>7.1} {:>8}",
            theirs / ours,
            allocations(&mut cases[0])
        );
    }
}
