//! What all middlewares of this crate do alike with a request and its response.

mod forward;
mod known;
mod rejection;
mod report;
mod respond;

use http::request;

pub use self::rejection::Rejection;
pub(crate) use self::{
    forward::{read_preconditions, Forward, WithheldDates},
    known::{GuardedWrite, KnownValidators, Probe, Target},
    report::Reporter,
    respond::{
        accepts_coding, apply_decision, insert_etag, insert_last_modified, insert_no_cache,
        insert_validators, pass_on, refuse_part, reject, remove_last_modified, vary_by,
    },
};

/// A function of the user's that says true or false of the head of a request.
pub(crate) type RequestPredicate = dyn Fn(&request::Parts) -> bool + Send + Sync;
