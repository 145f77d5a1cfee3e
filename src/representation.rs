//! How a representation gets its validators: what may be tagged, the tag, the date, and the key they are kept under.
//!
//! Nothing here waits for anything, reads a clock or knows of Tower; time is an argument.

mod dates;
mod digest;
mod eligibility;
mod evidence;
mod facts;
mod freshness;
mod key;
mod known;
mod learned;
mod memory;
mod outcome;

pub use self::{
    digest::{Digest, Sha256},
    eligibility::{And, DefaultPredicate, Predicate, Untagged},
    freshness::Freshness,
    outcome::{Outcome, Reason},
};

#[cfg(feature = "blake3")]
pub use self::digest::Blake3;

pub(crate) use self::{
    dates::{Modified, Sighting},
    digest::{is_made, made_length, tag},
    eligibility::objection,
    evidence::{Evidence, Found, Frames, Made, Remembered},
    facts::{Facts, Own},
    key::{path, Key, KeyFn, KeyReader, Name, RequestKey},
    known::{insert_validators, Known, Probe, Target},
    learned::{said, Learned},
    memory::Memory,
};
