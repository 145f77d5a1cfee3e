//! What a layer remembers from one response to the next, in bounded memory.
//!
//! Nothing here waits for anything, reads a clock or knows of Tower; time is an
//! argument.

mod content_cache;
mod date_history;
mod date_store;
mod learned_tags;
mod resource_key;

pub(crate) use self::{
    content_cache::{CachedContent, ContentCache, ContentTag, Frames, HashedTag},
    date_history::{Observation, ResponseDate},
    date_store::DateStore,
    learned_tags::{fingerprint, LearnedTags},
    resource_key::{path, Fields, Key, KeyFn, KeyReader, Keys, Name, RequestKey},
};
