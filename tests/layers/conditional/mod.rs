//! `ConditionalLayer`: a file for each setting or stage.

mod body_frames;
pub(crate) mod digest;
mod eligibility;
mod ignore_tag_suffixes;
mod key;
mod learning;
mod problem_details;
mod read_ahead;
mod response_fields;
pub(crate) mod service;
mod stats;
mod trailer_tags;
mod weak;
