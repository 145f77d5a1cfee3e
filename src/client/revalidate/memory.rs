//! The kept responses of a client, in bounded memory.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use http::{
    header::{HeaderName, CONTENT_RANGE},
    response, HeaderMap, StatusCode, Uri,
};
use quick_cache::Weighter;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::{
    body::Budget,
    client::{
        selection::{varied, ALWAYS},
        StoredHead,
    },
    store::{evicting_cache, EvictingCache, SHARDS},
    validators::forbids_storing,
};

/// The kept responses of one layer and its clones.
pub(super) struct Memory {
    entries: EvictingCache<u128, MemoryEntry, EntryWeight>,
    /// The secret with which keys are hashed. Without a secret, an attacker could find
    /// two URIs whose keys are equal.
    secret: (u64, u64),
    /// Limits the bytes of responses that are being received.
    pub(super) receiving: Arc<Budget>,
    bytes: usize,
    content_limit: usize,
}

/// A response that is kept.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) head: StoredHead,
    pub(super) content: Bytes,
}

/// The hash that identifies a resource and the user of the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredKey(u128);

#[derive(Clone)]
enum MemoryEntry {
    /// The responses at this URI depend on these request fields, which `Vary` names.
    /// The response for each combination of their values has a key of its own.
    Varies(Arc<[HeaderName]>),
    Response(Arc<Stored>),
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        let random = RandomState::new();
        let items = (bytes / USUAL_ENTRY).clamp(64, 1 << 16);
        Self {
            entries: evicting_cache(EntryWeight, items, bytes as u64),
            secret: (random.hash_one(0), random.hash_one(1)),
            receiving: Arc::new(Budget::new(bytes as u64)),
            bytes,
            content_limit: CONTENT_LIMIT,
        }
    }

    pub(super) fn with_content_limit(&self, bytes: usize) -> Self {
        Self { content_limit: bytes, ..Self::new(self.bytes) }
    }

    /// Returns the number of bytes that are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// Returns how many bytes of content a kept response may have.
    pub(super) fn content_limit(&self) -> usize {
        self.content_limit.min(self.bytes / SHARDS / 2)
    }

    /// Makes the key of a GET, without the fields that `Vary` may name.
    pub(super) fn key(&self, uri: &Uri, headers: &HeaderMap) -> StoredKey {
        let mut hasher = self.hasher();
        let authority = uri.authority().map(|authority| authority.as_str());
        write(&mut hasher, uri.scheme_str().unwrap_or_default().as_bytes());
        write(&mut hasher, authority.unwrap_or_default().as_bytes());
        write(&mut hasher, uri.path_and_query().map_or("", |path| path.as_str()).as_bytes());
        ALWAYS.iter().for_each(|name| write_field(&mut hasher, name, headers));
        StoredKey(hasher.finish128().as_u128())
    }

    /// Returns the kept response for a request.
    pub(super) fn find(&self, key: StoredKey, request: &HeaderMap) -> Option<Arc<Stored>> {
        let entry = match self.entries.get(&key.0)? {
            MemoryEntry::Varies(names) => self.entries.get(&self.variant(key, &names, request))?,
            entry @ MemoryEntry::Response(_) => entry,
        };
        match entry {
            MemoryEntry::Response(stored) => Some(stored),
            MemoryEntry::Varies(_) => None,
        }
    }

    /// Keeps the response to a request in place of the previous one. If the head
    /// forbids storing or has `Vary: *`, this only drops the previous response.
    pub(super) fn put(&self, key: StoredKey, request: &HeaderMap, stored: Stored) {
        let headers = stored.head.headers();
        let names = if forbids_storing(headers) { None } else { varied(headers) };
        let Some(names) = names else {
            self.forget(key, request);
            return;
        };
        let mut key = key;
        if !names.is_empty() {
            let variant = self.variant(key, &names, request);
            self.entries.insert(key.0, MemoryEntry::Varies(names.into()));
            key = StoredKey(variant);
        }
        self.entries.insert(key.0, MemoryEntry::Response(Arc::new(stored)));
    }

    /// Drops the kept response for a request.
    pub(super) fn forget(&self, key: StoredKey, request: &HeaderMap) {
        match self.entries.get(&key.0) {
            Some(MemoryEntry::Varies(names)) => {
                self.entries.remove(&self.variant(key, &names, request));
            }
            _ => drop(self.entries.remove(&key.0)),
        }
    }

    /// Returns true if a response may be kept once its content has been received.
    pub(super) fn may_keep(head: &response::Parts) -> bool {
        head.status == StatusCode::OK
            && !head.headers.contains_key(CONTENT_RANGE)
            && !forbids_storing(&head.headers)
            && varied(&head.headers).is_some()
    }

    /// Makes the key of a response that depends on the request fields in `names`.
    fn variant(&self, key: StoredKey, names: &[HeaderName], request: &HeaderMap) -> u128 {
        let mut hasher = self.hasher();
        hasher.write_u128(key.0);
        names.iter().for_each(|name| write_field(&mut hasher, name, request));
        hasher.finish128().as_u128()
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.secret.0, self.secret.1)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("bytes", &self.bytes)
            .field("content_limit", &self.content_limit)
            .finish_non_exhaustive()
    }
}

/// Adds a field to a key, with all its lines.
fn write_field(hasher: &mut SipHasher13, name: &HeaderName, headers: &HeaderMap) {
    write(hasher, name.as_str().as_bytes());
    let lines = headers.get_all(name).iter();
    hasher.write_usize(headers.get_all(name).iter().count());
    lines.for_each(|line| write(hasher, line.as_bytes()));
}

/// Adds bytes to a key. Their length comes first, so that `ab`, `c` and `a`, `bc` make
/// different keys.
fn write(hasher: &mut SipHasher13, bytes: &[u8]) {
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}

/// Estimates the bytes of an entry, including its bookkeeping.
#[derive(Clone, Debug)]
struct EntryWeight;

impl Weighter<u128, MemoryEntry> for EntryWeight {
    fn weight(&self, _: &u128, entry: &MemoryEntry) -> u64 {
        let bytes = match entry {
            MemoryEntry::Varies(names) => {
                names.iter().map(|name| PER_LINE + name.as_str().len()).sum()
            }
            MemoryEntry::Response(stored) => {
                let head = &stored.head;
                stored.content.len() + head.bytes() + head.headers().len() * PER_LINE
            }
        };
        (PER_ENTRY + bytes) as u64
    }
}

/// The default maximum length of the content of one response: 1 MiB.
const CONTENT_LIMIT: usize = 1 << 20;

/// The estimated bookkeeping of an entry, in bytes.
const PER_ENTRY: usize = 512;

/// The estimated bookkeeping of a header line or a field name in an entry, in bytes.
const PER_LINE: usize = 128;

/// The assumed number of bytes of an entry, for the initial size of the table.
const USUAL_ENTRY: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter();
        lines.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn stored(lines: &[(&'static str, &str)], content: usize) -> Stored {
        let head = StoredHead::new(&headers(lines));
        Stored { head, content: vec![0; content].into() }
    }

    #[test]
    fn what_names_a_resource_and_its_user_tells_keys_apart() {
        let memory = Memory::new(1 << 20);
        let key = |uri: &str, lines| memory.key(&uri.parse().unwrap(), &headers(lines)).0;
        let first = key("http://a/x?y", &[("accept", "1")]);
        assert_eq!(first, key("http://a/x?y", &[("accept", "2")]));
        let mut keys = vec![
            first,
            key("https://a/x?y", &[]),
            key("http://b/x?y", &[]),
            key("http://a/xy", &[]),
            key("http://a/x?z", &[]),
            key("/x?y", &[("host", "a")]),
            key("/x?y", &[("host", "b")]),
            key("http://a/x?y", &[("authorization", "1")]),
            key("http://a/x?y", &[("authorization", "")]),
            key("http://a/x?y", &[("cookie", "1")]),
            Memory::new(1 << 20).key(&"http://a/x?y".parse().unwrap(), &HeaderMap::new()).0,
        ];
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn variants_are_found_by_the_fields_that_vary_names() {
        let memory = Memory::new(1 << 20);
        let key = memory.key(&"/".parse().unwrap(), &HeaderMap::new());
        let (csv, json) = (headers(&[("accept", "csv")]), headers(&[("accept", "json")]));
        for (request, len) in [(&csv, 1), (&json, 2)] {
            memory.put(key, request, stored(&[("vary", "Origin, accept")], len));
        }
        let len = |request| memory.find(key, request).map(|stored| stored.content.len());
        let neither = HeaderMap::new();
        assert_eq!((len(&csv), len(&json), len(&neither)), (Some(1), Some(2), None));
        memory.forget(key, &csv);
        assert_eq!((len(&csv), len(&json)), (None, Some(2)));

        memory.put(key, &csv, stored(&[], 3));
        assert_eq!((len(&csv), len(&json)), (Some(3), Some(3)), "it varies no more");
        memory.put(key, &csv, stored(&[("vary", "*")], 4));
        assert_eq!(len(&csv), None);
    }

    #[test]
    fn all_together_stay_within_the_bytes_that_were_set() {
        let memory = Memory::new(1 << 20);
        for i in 0..1_000 {
            let key = memory.key(&format!("/{i}").parse().unwrap(), &HeaderMap::new());
            memory.put(key, &HeaderMap::new(), stored(&[("vary", "accept")], i * 97 % 60_000));
            assert!(memory.bytes() <= 1 << 20);
        }
        assert!(memory.bytes() > 1 << 19);
        let key = memory.key(&"/large".parse().unwrap(), &HeaderMap::new());
        memory.put(key, &HeaderMap::new(), stored(&[], 2 << 20));
        assert!(memory.find(key, &HeaderMap::new()).is_none());
    }
}
