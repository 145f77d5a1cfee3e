//! The handling of requests and responses that all middlewares of this crate share.

mod coded_tag;
mod known;
mod preconditions;
mod problem_details;
mod rejection;
mod rejection_text;
mod report;
mod response_head;
mod withheld_fields;

use http::request;

pub(crate) use self::{
    coded_tag::{
        insert_plain_tag, insert_tag_with_coding, BeforeCompression, CodedTag, EncodedOnTheFly,
    },
    known::{GeneratedDate, GuardedWrite, KnownValidators, Probe, Target},
    problem_details::{respond_problem, write_failed_read},
    report::Reporter,
    response_head::{
        apply_decision, insert_etag, insert_last_modified, insert_retry_after, insert_validators,
        pass_on, refuse_part, reject, remove_last_modified, respond_empty, vary_by, PartRefusal,
    },
    withheld_fields::{read_preconditions, Forward, WithheldDates},
};
pub use self::{preconditions::Preconditions, rejection::Rejection};

/// A setting that selects requests by their head, such as `handle_when`.
pub(crate) type RequestPredicate = dyn Fn(&request::Parts) -> bool + Send + Sync;
