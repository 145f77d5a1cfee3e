//! The layers against RFC 9110, field by field, and against the mistakes that others
//! made in reading it.
//!
//! Each case gives a layer a request and the inner service's response, and looks at
//! what comes out. Numbers in comments are sections of RFC 9110.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod coverage;
mod etag;
mod freshness;
mod head;
mod http_date;
mod if_match;
mod if_modified_since;
mod if_none_match;
mod if_range;
mod if_unmodified_since;
mod last_modified;
mod methods;
mod not_modified;
mod precedence;
mod precedence_oracle;
mod precondition_failed;
mod query;
mod range;
#[path = "../support/mod.rs"]
mod support;
mod vary;
