//! What all middlewares of this crate do alike with a request and its response.

mod forward;
mod known;
mod rejection;
mod report;
mod respond;

use http::request;

pub use self::rejection::Rejection;
pub(crate) use self::{
    forward::Forward,
    known::{KnownValidators, Probe, Target},
    report::Reporter,
    respond::{
        apply_decision, insert_etag, insert_last_modified, insert_validators, pass_on, reject,
        vary_by,
    },
};

/// A function of the user's that says true or false of the head of a request.
pub(crate) type RequestPredicate = dyn Fn(&request::Parts) -> bool + Send + Sync;
