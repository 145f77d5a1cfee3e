//! How one response gets its validators: which may be tagged, how the tag is made, and
//! what the head says.
//!
//! Nothing here waits, reads a clock, or depends on Tower: time is an argument.

mod add_last_modified;
mod digest;
mod freshness;
mod predicate;
mod response_fields;

#[cfg(feature = "blake3")]
pub use self::digest::Blake3;
#[cfg(feature = "client")]
pub(crate) use self::freshness::{forbids_storing, fresh_seconds, seconds};
pub use self::{
    add_last_modified::AddLastModified,
    digest::{Digest, Sha256},
    predicate::{And, DefaultPredicate, Predicate, Untagged},
};
pub(crate) use self::{
    digest::{generated_length, looks_generated, tag},
    freshness::are_silent,
    predicate::ineligible,
    response_fields::ResponseFields,
};
