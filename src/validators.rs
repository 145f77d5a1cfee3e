//! How one response gets its validators: what may be tagged, the tag, and what its head says.
//!
//! Nothing here waits for anything, reads a clock or knows of Tower; time is an argument.

mod digest;
mod freshness;
mod predicate;
mod response_fields;

#[cfg(feature = "blake3")]
pub use self::digest::Blake3;
pub(crate) use self::{
    digest::{is_made, made_length, tag},
    freshness::are_silent,
    predicate::objection,
    response_fields::{Facts, Own},
};
pub use self::{
    digest::{Digest, Sha256},
    freshness::Freshness,
    predicate::{And, DefaultPredicate, Predicate, Untagged},
};
