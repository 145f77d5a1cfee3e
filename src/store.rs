//! What a layer remembers from one response to the next, in bounded memory.
//!
//! Nothing here waits for anything, reads a clock or knows of Tower; time is an
//! argument.

mod content_cache;
mod date_text;
mod dates;
mod inner_validators;
mod learned_tags;
mod resource_key;

pub(crate) use self::{
    content_cache::{CachedContent, ContentCache, ContentTag, Frames, HashedTag},
    date_text::date_text,
    dates::{DateOfResponse, Dates, Observation, ResponseKind, SentDate},
    inner_validators::{InnerValidator, InnerValidators},
    learned_tags::{fingerprint, LearnedTags},
    resource_key::{original_uri, Fields, Key, KeyFn, KeyReader, Keys, Name, RequestKey},
};
