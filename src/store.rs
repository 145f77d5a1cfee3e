//! What a layer remembers from one response to the next, in bounded memory.
//!
//! | memory | bound | evicted first |
//! |---|---|---|
//! | `dates` | 65,536 contents, 8 a bucket, 2 MiB | sent longest ago in the bucket |
//! | `content_cache` | by default 16 MiB | least used (`evicting_cache`) |
//! | `learned_tags` | 16,384 tags | least used (`evicting_cache`) |
//! | `listed_files` | the manifest, about 400 bytes a file | none |
//! | `inner_validators` | 8,192 resources, 4 variants | least used (`evicting_cache`) |
//! | `shared_tags` | 1,024 recent requests to the store | none: no more are sent |
//! | `unfinished` | 1,024 hashes of content sent in parts | least recently continued |
//! | `text_cache` | 64 dates, 64 lengths a thread | one with the same value modulo 64 |
//!
//! The client's `RevalidateLayer` keeps its responses in an `evicting_cache`, too.
//!
//! This module reads no clock, has no async code, and does not depend on Tower. Callers
//! pass the time as an argument.

mod content_cache;
mod dates;
mod evicting_cache;
mod inner_validators;
mod learned_tags;
mod listed_files;
mod resource_key;
#[cfg(feature = "shared-tags")]
mod shared_tags;
mod text_cache;
mod unfinished;

#[cfg(feature = "shared-tags")]
pub(crate) use self::dates::YEAR_1990;
#[cfg(feature = "client")]
pub(crate) use self::evicting_cache::{evicting_cache, EvictingCache, SHARDS};
#[cfg(feature = "shared-tags")]
pub use self::shared_tags::{SecretTooShort, SharedTags, TagAnswer, TagStore};
pub(crate) use self::{
    content_cache::{CachedContent, ContentCache, ContentTag, Frames, HashedTag, Match, TagRef},
    dates::{Dates, Inside, Observation},
    inner_validators::{InnerValidator, InnerValidators, WholeTag},
    learned_tags::{fingerprint, LearnedTags},
    listed_files::{is_settled, FileFacts, FileList, ListedFile, ListedFiles, Trust},
    resource_key::{shows_variant, Fields, Key, KeyFn, KeyReader, Keys, Name, RequestKey},
    text_cache::{date_text, length_text},
    unfinished::Unfinished,
};
