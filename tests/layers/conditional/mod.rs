//! `ConditionalLayer`: a file for each setting or stage.

mod body_frames;
mod codings;
pub(crate) mod digest;
mod eligibility;
mod key;
mod learning;
mod manifest;
mod outer_compression;
mod problem_details;
mod read_ahead;
mod repr_digest;
mod response_fields;
pub(crate) mod service;
#[cfg(feature = "shared-tags")]
mod shared_tags;
mod stats;
