//! The tags of content that was hashed while it was sent. Later the layer recognises
//! the content by the validators and header fields of the inner service's response.
//!
//! The inner service is trusted here. Two contents of a resource are assumed to be the
//! same if the inner service gives both the same strong tag, length, type, encoding and
//! language. If the user trusts dates, the same date is enough instead of the same tag.
//!
//! Learned tags are off by default, because they are only as correct as the inner
//! service's tags. If the user's key function does not distinguish tenants, one tenant
//! may get the tag of another tenant's content.

use std::{fmt, hash::Hasher};

use http::HeaderMap;
use quick_cache::UnitWeighter;

use super::{
    evicting_cache::{evicting_cache, EvictingCache},
    resource_key::{Key, Keys},
};
use crate::{
    header_map::NEGOTIATED_FIELDS,
    rules::{EntityTag, HttpDate},
};

/// The tags that one layer has learned: at most 16,384, each of about 200 bytes.
pub(crate) struct LearnedTags {
    cache: EvictingCache<Key, LearnedTag, UnitWeighter>,
}

/// The tag of content, and the fingerprint by which the content is recognised.
#[derive(Clone)]
struct LearnedTag {
    fingerprint: Key,
    tag: EntityTag,
}

impl Default for LearnedTags {
    fn default() -> Self {
        Self { cache: evicting_cache(UnitWeighter, ENTRIES, ENTRIES as u64) }
    }
}

impl LearnedTags {
    /// Returns the tag learned for `key`, if it was learned with the same fingerprint.
    pub(crate) fn lookup(&self, key: Key, fingerprint: Key) -> Option<EntityTag> {
        let learned = self.cache.get(&key)?;
        (learned.fingerprint == fingerprint).then_some(learned.tag)
    }

    /// Stores the tag of content. The content must have been hashed to its end.
    pub(crate) fn insert(&self, key: Key, fingerprint: Key, tag: EntityTag) {
        self.cache.insert(key, LearnedTag { fingerprint, tag });
    }
}

impl fmt::Debug for LearnedTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LearnedTags").finish_non_exhaustive()
    }
}

/// Returns the fingerprint of content: a hash of the inner service's tag or date, the
/// length, and the fields that distinguish variants.
pub(crate) fn fingerprint(
    keys: &Keys,
    tag: Option<&EntityTag>,
    date: Option<HttpDate>,
    length: Option<u64>,
    headers: &HeaderMap,
) -> Key {
    keys.hash(|hasher| {
        // A field value never contains a zero byte, so different fields give different
        // hashes.
        hasher.write(tag.map_or(b"", EntityTag::as_bytes));
        hasher.write_u8(0);
        hasher.write_i64(date.map_or(i64::MIN, HttpDate::unix_seconds));
        hasher.write_u8(u8::from(length.is_some()));
        hasher.write_u64(length.unwrap_or(0));
        for name in &NEGOTIATED_FIELDS {
            for line in headers.get_all(name) {
                hasher.write(line.as_bytes());
                hasher.write_u8(0);
            }
            hasher.write_u8(0);
        }
    })
}

const ENTRIES: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn all_that_is_said_counts() {
        let keys = Keys::new();
        let tag = |text: &str| text.parse::<EntityTag>().unwrap();
        let date = HttpDate::from_unix_seconds;
        let head = |lines: &[(&'static str, &'static str)]| -> HeaderMap {
            lines
                .iter()
                .map(|&(name, line)| (name.parse().unwrap(), HeaderValue::from_static(line)))
                .collect()
        };
        let plain = head(&[]);
        let all = [
            fingerprint(&keys, Some(&tag("\"a\"")), None, Some(5), &plain),
            fingerprint(&keys, Some(&tag("\"b\"")), None, Some(5), &plain),
            fingerprint(&keys, Some(&tag("\"a\"")), None, Some(6), &plain),
            fingerprint(&keys, Some(&tag("\"a\"")), None, None, &plain),
            fingerprint(&keys, Some(&tag("\"a\"")), None, Some(5), &head(&[("content-type", "a")])),
            fingerprint(
                &keys,
                Some(&tag("\"a\"")),
                None,
                Some(5),
                &head(&[("content-encoding", "a")]),
            ),
            fingerprint(
                &keys,
                Some(&tag("\"a\"")),
                None,
                Some(5),
                &head(&[("content-language", "a")]),
            ),
            fingerprint(&keys, None, date(1), Some(5), &plain),
            fingerprint(&keys, None, date(2), Some(5), &plain),
        ];
        for (i, one) in all.iter().enumerate() {
            for other in all.iter().skip(i + 1) {
                assert_ne!(one, other);
            }
        }
        assert_eq!(
            all[0],
            fingerprint(&keys, Some(&tag("\"a\"")), None, Some(5), &head(&[("x-other", "a")]))
        );
    }

    #[test]
    fn a_changed_fingerprint_finds_no_tag() {
        let (learned, keys) = (LearnedTags::default(), Keys::new());
        let tag = EntityTag::of(b"content");
        let of = |text: &str| {
            fingerprint(&keys, Some(&text.parse().unwrap()), None, None, &HeaderMap::new())
        };
        learned.insert(Key(7), of("\"a\""), tag.clone());
        assert_eq!(learned.lookup(Key(7), of("\"a\"")), Some(tag));
        assert_eq!(learned.lookup(Key(7), of("\"b\"")), None);
        assert_eq!(learned.lookup(Key(8), of("\"a\"")), None);
        for key in 0..100_000 {
            learned.insert(Key(key << 64), of("\"a\""), EntityTag::of(b""));
        }
        assert!(learned.cache.len() <= 16_384);
    }
}
