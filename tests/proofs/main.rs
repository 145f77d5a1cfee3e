//! Claims that are proved by trying everything, or a great deal: attacks, threads,
//! random input, and what the README shows.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::duplicate_mod,
    missing_docs,
    unreachable_pub
)]

mod attack;
mod fuzz_corpus;
mod http2_memory;
mod load;
mod manifest;
mod no_glue;
mod pages;
mod readme;
#[path = "../support/mod.rs"]
mod support;
