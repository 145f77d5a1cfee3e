//! Why a remembered tag still holds, without hashing: the content is the same as last time.
//!
//! SHA-256 runs at some 2 GB/s a core; comparing octets runs ten times as fast and more, and comparing pointers costs
//! nothing. So the content that a resource had last is kept, in bounded space, with its tag. If the next response has the
//! same octets, and the same fields where they are part of the tag, it has the same tag. The comparison is exact; no step
//! of it is merely probable. So what lies here can save work, and cannot make a tag wrong, whatever it is found under.
//!
//! Content is kept from the second sight of its tag on: pages sent once cost nothing. It is kept as it came, if it came in
//! one piece. When equal octets come from another place, they are copied once, because a `Bytes` may be a small part of a
//! large buffer, and does not tell.
#![expect(single_use_lifetimes, reason = "the item of an `impl Iterator` cannot go without")]

use std::{fmt, hash::BuildHasherDefault, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{
    header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE},
    HeaderMap, HeaderValue,
};
use quick_cache::{
    sync::{Cache, DefaultLifecycle},
    OptionsBuilder, Weighter,
};

use super::key::TakeAsIs;
use crate::rules::EntityTag;

/// Tags of contents seen, for one layer.
pub(crate) struct Evidence {
    cache: Cache<u128, Arc<Remembered>, Weight, BuildHasherDefault<TakeAsIs>>,
    /// The most octets of one content that are kept.
    most: usize,
    capacity: usize,
}

impl Evidence {
    /// Makes room for `octets` of content and what goes with it.
    pub(crate) fn new(octets: usize) -> Self {
        // Few shards, the same number on every machine: each must have room for large content.
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(ITEMS)
            .weight_capacity(octets.try_into().unwrap_or(u64::MAX))
            .build()
            .expect("all that it asks for is set");
        let cache = Cache::with_options(options, Weight, BuildHasherDefault::default(), DefaultLifecycle::default());
        Self { cache, most: octets / SHARDS / 2, capacity: octets }
    }

    /// Returns how many octets there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns what is remembered under `key`, to be compared without a lock.
    pub(crate) fn get(&self, key: u128) -> Option<Arc<Remembered>> {
        self.cache.get(&key)
    }

    /// Takes in that content was found to be the one remembered.
    pub(crate) fn confirm<'a>(
        &self,
        key: u128,
        remembered: &Remembered,
        same: Same,
        frames: impl Iterator<Item = &'a Bytes>,
    ) {
        if same == Same::Octets && remembered.shares {
            let content = Some(copy(frames));
            self.cache.insert(key, Arc::new(Remembered { content, shares: false, ..remembered.clone() }));
        }
    }

    /// Takes in the tag that was made of content; `previous` is what was remembered, `variant` are the header fields of the
    /// response, if it was negotiated.
    pub(crate) fn learn<'a>(
        &self,
        key: u128,
        previous: Option<&Remembered>,
        made: Made,
        variant: Option<&HeaderMap>,
        frames: impl Iterator<Item = &'a Bytes> + Clone,
    ) {
        let len = frames.clone().map(Bytes::len).sum::<usize>();
        let is_second_sight = previous.is_some_and(|previous| previous.made.tag == made.tag);
        let (content, shares) = match (is_second_sight && len <= self.most, single(frames.clone())) {
            (false, _) => (None, false),
            (true, Some(content)) => (Some(content.clone()), true),
            (true, None) => (Some(copy(frames)), false),
        };
        self.cache.insert(key, Arc::new(Remembered { made, variant: variant.map(lines), content, shares }));
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// A tag that was made of content.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) tag: EntityTag,
    /// The tag, hashed.
    pub(crate) id: u64,
}

/// The content that a resource had last, as far as it is kept, and its tag.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    made: Made,
    /// The fields that are part of the tag, if the response was negotiated.
    variant: Option<Vec<HeaderValue>>,
    content: Option<Bytes>,
    /// The content lies in somebody else's buffer.
    shares: bool,
}

/// How content was found to be the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Same {
    /// It lies in the same place.
    Place,
    /// It has the same octets.
    Octets,
}

impl Remembered {
    /// Returns the tag.
    pub(crate) fn made(&self) -> &Made {
        &self.made
    }

    /// Compares a response with the one remembered; `None` if it may have another tag.
    ///
    /// `variant` are its header fields, if it was negotiated.
    pub(crate) fn compare<'a>(
        &self,
        len: u64,
        variant: Option<&HeaderMap>,
        frames: impl Iterator<Item = &'a Bytes> + Clone,
    ) -> Option<Same> {
        let content = self.content.as_ref().filter(|content| u64::try_from(content.len()) == Ok(len))?;
        if !is_same_variant(self.variant.as_deref(), variant) {
            return None;
        }
        if single(frames.clone()).is_some_and(|frame| frame.as_ptr() == content.as_ptr()) {
            return Some(Same::Place);
        }
        let mut rest = &content[..];
        for frame in frames {
            rest = rest.strip_prefix(&frame[..])?;
        }
        rest.is_empty().then_some(Same::Octets)
    }
}

/// Returns the only frame with content.
fn single<'a>(frames: impl Iterator<Item = &'a Bytes>) -> Option<&'a Bytes> {
    let mut frames = frames.filter(|frame| !frame.is_empty());
    frames.next().filter(|_| frames.next().is_none())
}

/// Copies content into a buffer of its own size.
fn copy<'a>(frames: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut content = BytesMut::new();
    frames.for_each(|frame| content.extend_from_slice(frame));
    Bytes::copy_from_slice(&content)
}

/// Returns the lines that are part of a negotiated response's tag, with an empty one behind each field.
fn lines(headers: &HeaderMap) -> Vec<HeaderValue> {
    variant_lines(headers).cloned().collect()
}

fn is_same_variant(remembered: Option<&[HeaderValue]>, variant: Option<&HeaderMap>) -> bool {
    match (remembered, variant) {
        (None, None) => true,
        (Some(lines), Some(headers)) => lines.iter().eq(variant_lines(headers)),
        _ => false,
    }
}

fn variant_lines(headers: &HeaderMap) -> impl Iterator<Item = &HeaderValue> {
    static END: HeaderValue = HeaderValue::from_static("");
    let fields = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE].into_iter();
    fields.flat_map(|name| headers.get_all(name).iter().chain([&END]))
}

#[derive(Clone)]
struct Weight;

impl Weighter<u128, Arc<Remembered>> for Weight {
    fn weight(&self, _: &u128, remembered: &Arc<Remembered>) -> u64 {
        let content = remembered.content.as_ref().map_or(0, Bytes::len);
        u64::try_from(content).unwrap_or(u64::MAX).saturating_add(OVERHEAD)
    }
}

const SHARDS: usize = 4;
const ITEMS: usize = 4096;

/// What an entry costs besides its content: tag, fields and bookkeeping.
const OVERHEAD: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const MEBI: usize = 1 << 20;

    fn made(text: &str) -> Made {
        Made { tag: EntityTag::strong(text).unwrap(), id: 1 }
    }

    fn negotiated(media_type: &'static str) -> HeaderMap {
        let lines = [(CONTENT_TYPE, media_type), (CONTENT_ENCODING, "gzip")];
        lines.map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect()
    }

    /// Learns `frames` twice, so that they are kept.
    fn learnt(evidence: &Evidence, key: u128, frames: &[Bytes], variant: Option<&HeaderMap>) -> Arc<Remembered> {
        evidence.learn(key, None, made("t"), variant, frames.iter());
        let previous = evidence.get(key);
        evidence.learn(key, previous.as_deref(), made("t"), variant, frames.iter());
        evidence.get(key).unwrap()
    }

    fn frames(texts: &[&str]) -> Vec<Bytes> {
        texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
    }

    #[test]
    fn only_the_same_octets_with_the_same_fields_are_the_same() {
        let evidence = Evidence::new(16 * MEBI);
        let none = None;
        let content = frames(&["abcdef"]);
        let compare = |remembered: &Remembered, content: &[Bytes], variant: Option<&HeaderMap>| {
            remembered.compare(content.iter().map(|frame| frame.len() as u64).sum(), variant, content.iter())
        };
        let remembered = learnt(&evidence, 1, &content, none);
        assert_eq!(compare(&remembered, &content, none), Some(Same::Place));
        for (texts, expected) in [
            (&["abcdef"][..], Some(Same::Octets)),
            (&["abc", "", "def"], Some(Same::Octets)),
            (&["a", "b", "c", "d", "e", "f"], Some(Same::Octets)),
            (&["abcdeg"], None),
            (&["abcde"], None),
            (&["abcdefg"], None),
            (&["def", "abc"], None),
            (&[], None),
        ] {
            assert_eq!(compare(&remembered, &frames(texts), none), expected, "{texts:?}");
        }
        let within = vec![content[0].slice(..3)];
        assert_eq!(compare(&remembered, &within, none), None, "the same place, and shorter");
        assert_eq!(compare(&remembered, &content, Some(&negotiated("text/csv"))), None);

        let remembered = learnt(&evidence, 2, &content, Some(&negotiated("text/csv")));
        assert_eq!(compare(&remembered, &content, Some(&negotiated("text/csv"))), Some(Same::Place));
        assert_eq!(compare(&remembered, &content, Some(&negotiated("text/plain"))), None);
        assert_eq!(compare(&remembered, &content, none), None);
        let mut twice = negotiated("text/csv");
        twice.append(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
        assert_eq!(compare(&remembered, &content, Some(&twice)), None);
    }

    #[test]
    fn content_is_kept_from_the_second_sight_on_and_copied_when_it_moves() {
        let evidence = Evidence::new(16 * MEBI);
        let none = None;
        let large = Bytes::from(vec![b'x'; 10_000]);
        let part = [large.slice(..10)];
        evidence.learn(1, None, made("t"), none, part.iter());
        assert!(evidence.get(1).unwrap().content.is_none());

        let remembered = learnt(&evidence, 1, &part, none);
        assert_eq!(remembered.content.as_ref().unwrap().as_ptr(), large.as_ptr());
        let same = remembered.compare(10, none, part.iter()).unwrap();
        evidence.confirm(1, &remembered, same, part.iter());
        assert!(evidence.get(1).unwrap().shares, "content that stays where it is need not be copied");

        let moved = frames(&["xxxxx", "xxxxx"]);
        let same = remembered.compare(10, none, moved.iter()).unwrap();
        evidence.confirm(1, &remembered, same, moved.iter());
        let remembered = evidence.get(1).unwrap();
        assert!(!remembered.shares && remembered.content.as_ref().unwrap().as_ptr() != large.as_ptr());
    }

    #[test]
    fn space_is_bounded_and_large_content_admitted() {
        let evidence = Evidence::new(16 * MEBI);
        let none = None;
        for key in 0..64 {
            let content = [Bytes::from(vec![b'x'; MEBI])];
            assert!(learnt(&evidence, key << 64 | key, &content, none).content.is_some(), "{key}");
        }
        assert!(evidence.cache.weight() <= 16 * 1_048_576, "{}", evidence.cache.weight());
        for key in 0..100_000 {
            evidence.learn(key, None, made("t"), none, [].iter());
        }
        assert!(evidence.cache.weight() <= 16 * 1_048_576 && evidence.cache.len() < 40_000);
        let larger = [Bytes::from(vec![b'x'; 5 * MEBI])];
        assert!(learnt(&evidence, 7, &larger, none).content.is_none(), "more than a fair share");
    }
}
