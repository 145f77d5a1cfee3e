//! x
mod after;
mod body;
mod clock;
mod representation;
mod rules;
pub use self::{
    after::{Conditional, ConditionalLayer, ResponseFuture},
    body::ResponseBody,
    representation::{And, DefaultPredicate, Digest, Freshness, Outcome, Predicate, Reason, Sha256, Untagged},
    rules::{
        Decision, EntityTag, HttpDate, InvalidEntityTag, LastModified, OutOfRange, Preconditions, Representation,
        Validators,
    },
};
