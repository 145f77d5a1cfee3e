//! The caches of this crate, whose keys are hashes already: what they evict when they
//! are full.
//!
//! The memory of dates is not one of them: it forgets what was sent longest ago.

use std::hash::{BuildHasherDefault, Hash};

use quick_cache::{
    sync::{Cache, DefaultLifecycle},
    OptionsBuilder, Weighter,
};

use super::resource_key::IdentityHasher;

/// A cache that evicts first what was used once, and then what was not used for the
/// longest time.
pub(crate) type EvictingCache<K, V, W> = Cache<K, V, W, BuildHasherDefault<IdentityHasher>>;

/// Makes a cache for entries that weigh `capacity` together; `items` says how many they
/// may be.
pub(crate) fn evicting_cache<K, V, W>(
    weighter: W,
    items: usize,
    capacity: u64,
) -> EvictingCache<K, V, W>
where
    K: Eq + Hash,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    let options = OptionsBuilder::new()
        .shards(SHARDS)
        .estimated_items_capacity(items)
        .weight_capacity(capacity)
        .build()
        .expect("all options are set");
    let hasher = BuildHasherDefault::default();
    Cache::with_options(options, weighter, hasher, DefaultLifecycle::default())
}

/// Few, and the same number on every machine: each must have room for large entries.
pub(crate) const SHARDS: usize = 4;
