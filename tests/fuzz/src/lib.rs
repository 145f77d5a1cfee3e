//! What is claimed of the crate, as functions of arbitrary bytes that panic where a
//! claim does not hold.
//!
//! The fuzz targets call them, and so does `tests/proofs/fuzz_corpus.rs`, with the
//! seeds and a few thousand random inputs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

pub mod dates;
pub mod entity_tags;
#[path = "../../support/executor.rs"]
#[allow(dead_code)]
mod executor;
mod input;
mod model;
pub mod preconditions;
pub mod ranges;
#[path = "../../support/repr_digest.rs"]
#[allow(dead_code)]
mod repr_digest;
mod script;
#[path = "../../support/scripted_body.rs"]
#[allow(dead_code)]
mod scripted_body;
pub mod service;
