//! The settings of a layer, with all defaults on one screen.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::request;

use super::wait::Timer;
use crate::{
    clock,
    rules::HttpDate,
    stats::Counters,
    store::{Evidence, KeyFn, Learned, Memory},
    validators::{made_length, Freshness, Predicate, Sha256},
};

/// All settings of a layer, and what its services share.
// It lies two cache lines behind the count of references, which every request changes.
#[repr(align(128))]
#[derive(Clone)]
pub(super) struct Config {
    pub(super) buffer_limit: u64,
    pub(super) buffer_deadline: Option<Duration>,
    pub(super) unknown_size_patience: Option<Duration>,
    pub(super) weak: bool,
    pub(super) compressed_outside: bool,
    pub(super) head_as_get: bool,
    pub(super) freshness: Freshness,
    pub(super) last_modified: bool,
    pub(super) when: Option<Arc<dyn Predicate + Send + Sync>>,
    pub(super) when_request: Option<Arc<RequestPredicate>>,
    pub(super) key: Option<Arc<KeyFn>>,
    pub(super) report_outcome: bool,
    pub(super) clock: Arc<Clock>,
    pub(super) memory: Arc<Memory>,
    pub(super) evidence: Option<Arc<Evidence>>,
    pub(super) timer: Arc<Timer>,
    /// How many hex digits of a hash a tag has.
    pub(super) made_length: usize,
    /// Tags learnt while content was sent, where that is asked for.
    pub(super) learned: Option<Arc<Learned>>,
    pub(super) trust_inner_dates: bool,
    pub(super) replace_inner_tags: bool,
    pub(super) trailer_tags: bool,
    pub(super) ranges: bool,
    pub(super) tolerated_suffixes: Arc<[Box<[u8]>]>,
    pub(super) counters: Arc<Counters>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buffer_limit: 1 << 20,
            buffer_deadline: Some(Duration::from_millis(500)),
            unknown_size_patience: None,
            weak: false,
            compressed_outside: false,
            head_as_get: false,
            freshness: Freshness::NoCache,
            last_modified: true,
            when: None,
            when_request: None,
            key: None,
            report_outcome: false,
            clock: Arc::new(clock::system_time),
            memory: Arc::new(Memory::new(clock::now())),
            evidence: Some(Arc::new(Evidence::new(16 << 20))),
            timer: Arc::default(),
            made_length: made_length::<Sha256>(),
            learned: None,
            trust_inner_dates: false,
            replace_inner_tags: false,
            trailer_tags: false,
            ranges: false,
            tolerated_suffixes: Arc::default(),
            counters: Arc::default(),
        }
    }
}

impl Config {
    pub(super) fn now(&self) -> HttpDate {
        HttpDate::nearest((self.clock)())
    }

    /// Starts with no tags: what is remembered elsewhere has other tags than will be made from now on.
    pub(super) fn forget_tags(&mut self) {
        self.evidence = self.evidence.as_ref().map(|evidence| Arc::new(Evidence::new(evidence.capacity())));
        self.learned = self.learned.as_ref().map(|_| Arc::default());
    }

    /// Returns true if functions of the user's are to see the heads of requests.
    pub(super) fn shows_parts(&self) -> bool {
        self.when_request.is_some() || self.key.is_some()
    }

    pub(super) fn is_weak(&self) -> bool {
        self.weak || self.compressed_outside
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("buffer_limit", &self.buffer_limit)
            .field("buffer_deadline", &self.buffer_deadline)
            .field("unknown_size_patience", &self.unknown_size_patience)
            .field("weak", &self.weak)
            .field("compressed_outside", &self.compressed_outside)
            .field("head_as_get", &self.head_as_get)
            .field("freshness", &self.freshness)
            .field("last_modified", &self.last_modified)
            .field("report_outcome", &self.report_outcome)
            .field("learn_inner_tags", &self.learned.is_some())
            .field("trust_inner_dates", &self.trust_inner_dates)
            .field("replace_inner_tags", &self.replace_inner_tags)
            .field("trailer_tags", &self.trailer_tags)
            .field("ranges", &self.ranges)
            .field("tolerated_suffixes", &self.tolerated_suffixes.len())
            .finish_non_exhaustive()
    }
}

type Clock = dyn Fn() -> SystemTime + Send + Sync;

type RequestPredicate = dyn Fn(&request::Parts) -> bool + Send + Sync;
