//! All settings of a layer, with their defaults.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{
    body_timeout::BodyTimeout, inner_tags::InnerTags, outer_compression::OuterCompression,
};
use crate::{
    body::{Budget, DynTagHasher},
    clock::{self, Clock},
    exchange::{Reporter, RequestPredicate},
    rules::{is_algorithm_key, HttpDate},
    store::{
        ContentCache, Dates, InnerValidators, KeyFn, Keys, LearnedTags, ListedFiles, Unfinished,
    },
    timer::Timer,
    validators::{AddLastModified, Digest, Predicate, Sha256, TagFormat},
};

/// All settings of a layer, and the memory that its services share.
// Aligned to 128 bytes so that it does not share a cache line with the `Arc`'s
// reference count, which every request updates.
#[repr(align(128))]
#[derive(Clone)]
pub(super) struct Config {
    pub(super) buffer_limit: u64,
    pub(super) body_timeout: BodyTimeout,
    /// A 412 has an `application/problem+json` document.
    pub(super) problem_details: bool,
    pub(super) outer_compression: OuterCompression,
    /// The compression of [`compress_with`](crate::ConditionalLayer::compress_with) is
    /// around the layer.
    pub(super) is_compressed: bool,
    pub(super) head_as_get: bool,
    pub(super) add_last_modified: AddLastModified,
    pub(super) tag_when: Option<Arc<dyn Predicate + Send + Sync>>,
    pub(super) handle_when: Option<Arc<RequestPredicate>>,
    pub(super) key: Option<Arc<KeyFn>>,
    pub(super) clock: Arc<Clock>,
    pub(super) keys: Arc<Keys>,
    /// The memory of dates. If the layer generates no dates, it is allocated when the
    /// inner service gives the first date.
    pub(super) dates: Arc<OnceLock<Dates>>,
    /// The unfinished hashes of contents that are sent in parts (206).
    pub(super) unfinished: Arc<Unfinished<Box<dyn DynTagHasher>>>,
    /// How many bytes all responses together may hold while they are read ahead.
    pub(super) budget: Arc<Budget>,
    pub(super) inner_validators: Arc<InnerValidators>,
    pub(super) forwarded: ForwardedFields,
    pub(super) content_cache: Option<Arc<ContentCache>>,
    pub(super) timer: Arc<Timer>,
    pub(super) tag_format: TagFormat,
    /// The hash of zero bytes. It identifies the hash function in the keys of shared
    /// tags, so that layers with different hash functions share nothing.
    #[cfg(feature = "shared-tags")]
    pub(super) hash_of_nothing: Arc<[u8]>,
    /// The learned tags. `None` if the layer learns no tags.
    pub(super) learned: Option<Arc<LearnedTags>>,
    /// The files of the manifest, if there is one.
    pub(super) listed: Option<Arc<ListedFiles>>,
    pub(super) inner_tags: InnerTags,
    pub(super) repr_digest: bool,
    pub(super) ranges: bool,
    pub(super) reporter: Reporter,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buffer_limit: 1 << 20,
            body_timeout: BodyTimeout::new(),
            problem_details: false,
            outer_compression: OuterCompression::new(),
            is_compressed: false,
            head_as_get: false,
            add_last_modified: AddLastModified::WithNoCache,
            tag_when: None,
            handle_when: None,
            key: None,
            clock: Arc::new(clock::system_time),
            keys: Arc::new(Keys::new()),
            dates: Arc::new(OnceLock::from(Dates::new(clock::now()))),
            unfinished: Arc::default(),
            budget: Arc::new(Budget::new(64 << 20)),
            inner_validators: Arc::default(),
            forwarded: ForwardedFields::Tags,
            content_cache: Some(Arc::new(ContentCache::new(16 << 20))),
            timer: Arc::default(),
            tag_format: TagFormat::of::<Sha256>(),
            #[cfg(feature = "shared-tags")]
            hash_of_nothing: crate::validators::hash_of_nothing::<Sha256>(),
            learned: None,
            listed: None,
            inner_tags: InnerTags::keep(),
            repr_digest: false,
            ranges: false,
            reporter: Reporter::default(),
        }
    }
}

impl Config {
    pub(super) fn now(&self) -> HttpDate {
        HttpDate::nearest((self.clock)())
    }

    /// Empties the memory of dates.
    pub(super) fn forget_dates(&mut self) {
        let dates = match self.add_last_modified {
            AddLastModified::Never => OnceLock::new(),
            _ => OnceLock::from(Dates::new(self.now())),
        };
        self.dates = Arc::new(dates);
    }

    /// Forgets all tags, because they were made with other settings.
    pub(super) fn forget_tags(&mut self) {
        self.content_cache = self
            .content_cache
            .as_ref()
            .map(|content_cache| Arc::new(ContentCache::new(content_cache.capacity())));
        self.unfinished = Arc::default();
        self.forget_learned();
    }

    /// Forgets the learned tags, and what the layer has found out about the files
    /// of the manifest.
    pub(super) fn forget_learned(&mut self) {
        self.learned = self.inner_tags.learns().then(Arc::default);
        self.listed = self.inner_tags.listed_files();
        assert!(
            self.listed.is_none() || self.tag_format.algorithm_key == Sha256::ALGORITHM_KEY,
            "a manifest needs the digest SHA-256, and this layer has another digest",
        );
    }

    /// Returns the predicate that decides which responses may be tagged. `None` for the
    /// default predicate.
    pub(super) fn tag_when(&self) -> Option<&(dyn Predicate + Send + Sync)> {
        self.tag_when.as_deref()
    }

    /// Returns true if a setting is a function that takes the head of a request:
    /// `handle_when` or `key`.
    pub(super) fn shows_parts(&self) -> bool {
        self.handle_when.is_some() || self.key.is_some()
    }

    /// Checks that the settings can be combined.
    ///
    /// # Panics
    ///
    /// Panics if they cannot be combined.
    pub(super) fn check(&self) {
        if self.repr_digest {
            assert!(
                !self.outer_compression.is_named(),
                "repr_digest cannot be combined with this outer_compression, \
                 which changes the bytes"
            );
            assert!(
                self.tag_format.algorithm_key.is_some_and(is_algorithm_key),
                "repr_digest needs a digest that has a valid ALGORITHM_KEY, see `Digest`"
            );
        }
    }

    /// Returns true for a layer with `compress_with`, or with an `outer_compression`
    /// that keeps tags. Responses may then be encoded outside of the layer.
    pub(super) fn encodes_outside(&self) -> bool {
        self.outer_compression.keeps_tags || self.is_compressed
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("buffer_limit", &self.buffer_limit)
            .field("body_timeout", &self.body_timeout)
            .field("outer_compression", &self.outer_compression)
            .field("is_compressed", &self.is_compressed)
            .field("head_as_get", &self.head_as_get)
            .field("add_last_modified", &self.add_last_modified)
            .field("forwarded", &self.forwarded)
            .field("problem_details", &self.problem_details)
            .field("report_outcome", &self.reporter.in_extensions)
            .field("inner_tags", &self.inner_tags)
            .field("repr_digest", &self.repr_digest)
            .field("ranges", &self.ranges)
            .finish_non_exhaustive()
    }
}

/// Which conditional fields of a GET or HEAD the inner service sees.
///
/// See [`ConditionalLayer::forward`](crate::ConditionalLayer::forward).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ForwardedFields {
    /// Forwards If-Match and If-None-Match. This is the default.
    ///
    /// If-Range is forwarded only if it names the validator that the inner service gave
    /// last for this resource.
    #[default]
    Tags,
    /// Also forwards If-Modified-Since and If-Unmodified-Since.
    Dates,
    /// Also forwards If-Range for a resource whose last validator is not known.
    IfRange,
    /// Forwards the fields of all the other variants.
    All,
}

impl ForwardedFields {
    pub(super) fn dates(self) -> bool {
        matches!(self, Self::Dates | Self::All)
    }

    pub(super) fn if_range(self) -> bool {
        matches!(self, Self::IfRange | Self::All)
    }
}
