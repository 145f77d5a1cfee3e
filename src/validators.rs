//! The validators of a response: which responses may be tagged, how a tag is made, and
//! which header fields the layer reads.
//!
//! This module reads no clock, never waits, and does not depend on Tower. Callers pass
//! the time as an argument.

mod add_last_modified;
mod cache_control;
mod digest;
mod eligibility;
mod response_fields;

#[cfg(feature = "client")]
pub(crate) use self::cache_control::{forbids_storing, fresh_seconds, seconds};
#[cfg(feature = "shared-tags")]
pub(crate) use self::digest::hash_of_nothing;
#[cfg(feature = "blake3")]
pub use self::digest::Blake3;
pub use self::{
    add_last_modified::AddLastModified,
    digest::{Digest, Sha256},
    eligibility::{And, DefaultPredicate, Predicate, Untagged},
};
pub(crate) use self::{
    cache_control::{add_no_cache, are_silent},
    digest::{hash_of_variant, plain_tag, tag, tag_of_hash, tag_of_hashes, TagFormat},
    eligibility::ineligible,
    response_fields::ResponseFields,
};
