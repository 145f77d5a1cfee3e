//! The rules of RFC 9110, as pure functions.
//!
//! This module reads no clock, never waits, and does not depend on Tower.

mod checksum_list;
mod content_coding;
mod digest_fields;
mod entity_tag;
mod entity_tag_list;
mod file_name;
mod http_date;
mod method;
mod percent;
mod precondition_fields;
mod range;
mod retained_fields;
mod single_field;
mod token_list;
mod trailers;
mod validators;

pub(crate) use self::{
    checksum_list::{checksums, Checksum},
    content_coding::{
        accepts_coding, has_weights, names_coding, split_coding, AcceptedCodings, ContentCoding,
    },
    digest_fields::{
        is_algorithm_key, is_content_digest, is_digest, refuses_digest, REPR_DIGEST,
        WANT_REPR_DIGEST,
    },
    file_name::{file_name, requested_file},
    method::{ignores_preconditions, is_query, is_read, is_write},
    percent::percent_decoded,
    precondition_fields::{Current, PreconditionFields, State},
    range::{complete_length, content_range, has_other_unit, ByteRange},
    retained_fields::{remove_fields, retain_for_not_modified, retain_for_precondition_failed},
    single_field::{single_line, SingleField},
    token_list::{members, trim_ows},
    trailers::TakesTrailers,
    validators::{DateComparison, DateEvidence},
};
pub use self::{
    entity_tag::{EntityTag, InvalidEntityTag},
    http_date::{HttpDate, HttpDateOutOfRange, InvalidHttpDate},
    precondition_fields::Decision,
    validators::{LastModified, Representation, Validators},
};
