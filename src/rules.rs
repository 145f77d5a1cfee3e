//! What the RFC says: bytes and values in, a decision out.
//!
//! Nothing here reads a clock, waits for anything or knows of Tower.

mod entity_tag;
mod entity_tag_list;
mod http_date;
mod preconditions;
mod range;
mod retained_fields;
mod validators;

pub use self::{
    entity_tag::{EntityTag, InvalidEntityTag},
    http_date::{HttpDate, OutOfRange},
    preconditions::{Decision, Preconditions},
    validators::{LastModified, Representation, Validators},
};
pub(crate) use self::{
    entity_tag_list::trim_ows,
    preconditions::Current,
    range::{complete_length, ByteRange},
    retained_fields::{keep_for_not_modified, keep_for_precondition_failed},
};
