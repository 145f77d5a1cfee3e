//! The cache for contents, for learned tags, for validators of the inner service, and
//! for the client's responses. When it is full, it evicts what is least used. Its keys
//! are not hashed again, because they are hashes already.
//!
//! `Dates` and `Unfinished` do not use this cache, because they evict what was sent
//! longest ago.

use std::hash::{BuildHasherDefault, Hash};

use quick_cache::{
    sync::{Cache, DefaultLifecycle},
    OptionsBuilder, Weighter,
};

use super::resource_key::IdentityHasher;

/// A cache that first evicts entries that were used only once, and then the least
/// recently used ones.
pub(crate) type EvictingCache<K, V, W> = Cache<K, V, W, BuildHasherDefault<IdentityHasher>>;

/// Makes a cache for entries with a total weight of at most `capacity`. `items` is the
/// expected number of entries.
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

/// The number of shards, among which the capacity is divided. Deliberately small, and
/// the same on every machine: each shard must have room for large entries.
pub(crate) const SHARDS: usize = 4;
