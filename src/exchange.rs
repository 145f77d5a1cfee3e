//! What all middlewares of this crate do alike with a request and its response.

mod known;
mod rejection;

pub use self::rejection::Refusal;
pub(crate) use self::{
    known::{insert_validators, Known, Probe, Target},
    rejection::is_write,
};
