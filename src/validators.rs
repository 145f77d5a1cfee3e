//! The validators of a response: which responses may be tagged, how a tag is made, and
//! which fields of the head matter.
//!
//! This module reads no clock, never waits, and does not depend on Tower. Time is an
//! argument.

mod digest;
mod eligibility;
mod freshness;
mod response_fields;

#[cfg(feature = "shared-tags")]
pub(crate) use self::digest::hash_of_nothing;
#[cfg(feature = "blake3")]
pub use self::digest::Blake3;
#[cfg(feature = "client")]
pub(crate) use self::freshness::{forbids_storing, fresh_seconds, seconds};
pub(crate) use self::{
    digest::{plain_tag, tag, tag_of_hash, TagFormat},
    eligibility::ineligible,
    freshness::{add_no_cache, are_silent},
    response_fields::ResponseFields,
};
pub use self::{
    digest::{Digest, Sha256},
    eligibility::{And, DefaultPredicate, Predicate, Untagged},
    freshness::AddLastModified,
};
