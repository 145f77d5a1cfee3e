//! What a layer remembers of its resources, in bounded space.
//!
//! One memory belongs to one layer and is shared by all services made of it: Axum makes
//! one for each route. It is split into shards, each a lock over the entries used last,
//! to the second; a lock is held for one entry's arithmetic and nothing else. What a
//! shard forgets raises its watermark, so that forgetting costs a date and never makes
//! one wrong.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash},
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicBool, AtomicI64, Ordering},
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    },
};

use lru::LruCache;

use super::{
    date_history::{DateEntry, Observation, ResponseDate, Watermark},
    resource_key::{IdentityHasher, Key, Keys, RequestKey},
};
use crate::rules::HttpDate;

/// The memory of one layer.
pub(crate) struct DateStore {
    pub(crate) keys: Keys,
    shards: [PaddedShard; SHARDS],
    /// Any resource was ever remembered. If not, there is none to look for.
    is_used: AtomicBool,
    /// The last moment, in Unix seconds, at which a response was sent that was not
    /// remembered.
    unknown: AtomicI64,
}

impl DateStore {
    /// Makes an empty memory; `now` is the second before which it knows nothing.
    pub(crate) fn new(now: HttpDate) -> Self {
        Self::with_capacity(RESOURCES, now)
    }

    fn with_capacity(resources: usize, now: HttpDate) -> Self {
        let shard = |_| {
            PaddedShard(RwLock::new(Shard {
                watermark: Watermark::new(now),
                resources: bounded(resources / SHARDS),
                validators: bounded(VALIDATORS / SHARDS),
            }))
        };
        Self {
            keys: Keys::new(),
            shards: std::array::from_fn(shard),
            is_used: AtomicBool::new(false),
            unknown: AtomicI64::new(now.unix_seconds()),
        }
    }

    /// Takes in a response and says what its modification date is worth; see
    /// [`super::date_history`].
    #[inline]
    pub(crate) fn observe(
        &self,
        request: &RequestKey,
        observation: Observation,
        now: HttpDate,
    ) -> Option<ResponseDate> {
        let is_dated = observation.given.is_some() || observation.generate;
        if !is_dated && !self.is_used() {
            self.note_unknown(now);
            // Asked again: either this sees that there is a first resource, or that sees what was
            // noted.
            if !self.is_used.load(Ordering::SeqCst) {
                return None;
            }
        }
        // Most responses are like the last one. Threads do not wait for each other to see that;
        // the first in each second goes on, and moves the resource to the front.
        if is_dated {
            let shard = self.read(request.resource);
            let resource = shard.resources.peek(&request.resource);
            if let Some(modified) =
                resource.and_then(|resource| resource.observe_again(request, observation, now))
            {
                return Some(modified);
            }
        }
        let mut shard = self.write(request.resource);
        let Shard { watermark, resources, .. } = &mut *shard;
        if let Some(resource) = resources.get_mut(&request.resource) {
            return resource.observe(request, observation, watermark, now);
        }
        if !is_dated {
            self.note_unknown(now);
            return None;
        }
        self.is_used.store(true, Ordering::SeqCst);
        let unknown =
            HttpDate::from_unix_seconds(self.unknown.load(Ordering::SeqCst)).unwrap_or(now);
        let mut resource = DateEntry::new(watermark, unknown);
        let modified = resource.observe(request, observation, watermark, now);
        if let Some((_, forgotten)) = resources.push(request.resource, resource) {
            watermark.forget(&forgotten);
        }
        modified
    }

    /// Returns true if any resource was ever remembered.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Notes that a response was sent of which nothing is remembered, not even whose it
    /// was.
    fn note_unknown(&self, now: HttpDate) {
        let now = now.unix_seconds();
        // Once in each second is enough, and threads do not wait for each other otherwise.
        if self.unknown.load(Ordering::SeqCst) < now {
            self.unknown.fetch_max(now, Ordering::SeqCst);
        }
    }

    /// Returns true if `date` may have been generated for the resource.
    pub(crate) fn may_have_generated(&self, request: &RequestKey, date: HttpDate) -> bool {
        let shard = self.read(request.resource);
        shard
            .resources
            .peek(&request.resource)
            .is_some_and(|resource| resource.may_have_generated(date))
    }

    /// Returns true if a write must not hang on `date`, although it is not known to be
    /// generated here: it may have been, and then forgotten, or by another layer that
    /// serves the resource or did so before, and the inner service dates none of it.
    ///
    /// Of a resource that was never seen here nothing is known, and the inner service
    /// may evaluate its dates.
    pub(crate) fn may_be_forgotten_date(&self, request: &RequestKey, date: HttpDate) -> bool {
        let shard = self.read(request.resource);
        match shard.resources.peek(&request.resource) {
            Some(resource) => !resource.is_given(),
            None => shard.watermark.covers(date),
        }
    }

    /// Notes where a validator comes from that a client may send back in If-Range: its
    /// key, and whether the inner service supplied it. One that was made here stays
    /// one.
    pub(crate) fn note(&self, validator: Key, supplied: bool) {
        let mut shard = self.write(validator.short());
        match shard.validators.get_mut(&validator) {
            Some(noted) => *noted &= supplied,
            None => drop(shard.validators.put(validator, supplied)),
        }
    }

    /// Returns true if the inner service is known to have supplied the validator with
    /// this key.
    pub(crate) fn is_supplied(&self, validator: Key) -> bool {
        self.write(validator.short()).validators.get(&validator) == Some(&true)
    }

    fn read(&self, key: u64) -> RwLockReadGuard<'_, Shard> {
        self.place(key).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: u64) -> RwLockWriteGuard<'_, Shard> {
        // A shard is whole whenever its lock is free: nothing between lock and release can
        // panic half-way.
        self.place(key).write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the shard of what has this hash.
    fn place(&self, hash: u64) -> &RwLock<Shard> {
        // A hash table goes by the first bits and by the last.
        let [_, _, _, byte, ..] = hash.to_le_bytes();
        #[expect(clippy::indexing_slicing, reason = "a remainder is less than its divisor")]
        let PaddedShard(shard) = &self.shards[usize::from(byte) % SHARDS];
        shard
    }
}

impl fmt::Debug for DateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DateStore").finish_non_exhaustive()
    }
}

/// A shard, two cache lines from the next one: so that threads in two shards do not
/// wait for each other.
#[repr(align(128))]
struct PaddedShard(RwLock<Shard>);

struct Shard {
    watermark: Watermark,
    resources: LruCache<u64, DateEntry, Hashed>,
    /// Whether the inner service supplied a validator, or it was made here.
    validators: LruCache<Key, bool, Hashed>,
}

/// Makes a cache of at most `entries`; room for them is made when it is needed.
fn bounded<K: Eq + Hash, V>(entries: usize) -> LruCache<K, V, Hashed> {
    let mut cache = LruCache::with_hasher(NonZeroUsize::MIN, Hashed::default());
    cache.resize(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN));
    cache
}

type Hashed = BuildHasherDefault<IdentityHasher>;

/// About 400 bytes each, 26 MiB when full; more for one with several variants.
const RESOURCES: usize = 1 << 16;
const VALIDATORS: usize = 1 << 14;
const SHARDS: usize = 16;

#[cfg(test)]
mod tests;
