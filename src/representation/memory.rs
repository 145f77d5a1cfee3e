//! What a layer remembers of its resources, in bounded space.
//!
//! One memory belongs to one layer and is shared by all services made of it: Axum makes one for each route. It is split
//! into shards, each a lock over the entries used last; a lock is held for one entry's arithmetic and nothing else. What
//! a shard forgets raises its watermark, so that forgetting costs a date and never makes one wrong.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hasher},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

use super::{
    dates::{Modified, Resource, Sighting, Watermark},
    key::{Key, Keys},
};
use crate::rules::HttpDate;

/// The memory of one layer.
pub(crate) struct Memory {
    pub(crate) keys: Keys,
    shards: [Mutex<Shard>; SHARDS],
}

impl Memory {
    /// Makes an empty memory; `now` is the second before which it knows nothing.
    pub(crate) fn new(now: HttpDate) -> Self {
        Self::with_capacity(RESOURCES, now)
    }

    fn with_capacity(resources: usize, now: HttpDate) -> Self {
        let shard = |_| {
            Mutex::new(Shard {
                watermark: Watermark::new(now),
                resources: bounded(resources / SHARDS),
                supplied: bounded(SUPPLIED / SHARDS),
            })
        };
        Self { keys: Keys::new(), shards: std::array::from_fn(shard) }
    }

    /// Takes in a response and says what its modification date is worth; see [`super::dates`].
    pub(crate) fn see(&self, key: Key, sighting: Sighting, mint: bool, now: HttpDate) -> Option<Modified> {
        let mut shard = self.shard(key);
        let Shard { watermark, resources, .. } = &mut *shard;
        if let Some(resource) = resources.get_mut(&key.0) {
            return resource.see(sighting, mint, watermark, now);
        }
        let mut resource = Resource::new(sighting, watermark, now);
        let modified = resource.see(sighting, mint, watermark, now);
        if let Some((_, forgotten)) = resources.push(key.0, resource) {
            watermark.forget(&forgotten);
        }
        modified
    }

    /// Remembers that the inner service itself supplied the validator with this key.
    pub(crate) fn supply(&self, key: Key) {
        self.shard(key).supplied.put(key.0, ());
    }

    /// Returns true if the inner service is known to have supplied the validator with this key.
    pub(crate) fn is_supplied(&self, key: Key) -> bool {
        self.shard(key).supplied.get(&key.0).is_some()
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let [.., octet] = key.0.to_le_bytes();
        let index = usize::from(octet) % SHARDS;
        // A shard is whole whenever its lock is free: nothing between lock and release can panic half-way.
        #[expect(clippy::indexing_slicing, reason = "a remainder is less than its divisor")]
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

struct Shard {
    watermark: Watermark,
    resources: LruCache<u128, Resource, Hashed>,
    supplied: LruCache<u128, (), Hashed>,
}

/// Makes a cache of at most `entries`; room for them is made when it is needed.
fn bounded<V>(entries: usize) -> LruCache<u128, V, Hashed> {
    let mut cache = LruCache::with_hasher(NonZeroUsize::MIN, Hashed::default());
    cache.resize(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN));
    cache
}

/// Keys are keyed hashes already.
type Hashed = BuildHasherDefault<TakeAsIs>;

#[derive(Default)]
struct TakeAsIs(u64);

impl Hasher for TakeAsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(octet);
        }
    }

    fn write_u128(&mut self, key: u128) {
        let [low, high] = [key, key >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
        self.0 = low ^ high;
    }
}

/// About 200 octets each.
const RESOURCES: usize = 1 << 16;
const SUPPLIED: usize = 1 << 14;
const SHARDS: usize = 16;

#[cfg(test)]
mod tests;
