//! Why a remembered tag still holds, without hashing: the content is the same as last time.
//!
//! SHA-256 runs at some 2 GB/s a core; comparing octets runs ten times as fast and more, and comparing pointers costs
//! nothing. So the content that a resource had last is kept, in bounded space, with its tag. If the next response has the
//! same octets, and the same fields where they are part of the tag, it has the same tag. The comparison is exact; no step
//! of it is merely probable. So what lies here can save work, and cannot make a tag wrong, whatever it is found under.
//!
//! Content is kept from the second sight of its tag on: pages sent once cost nothing. It is copied, because a `Bytes` may
//! be a small part of a large buffer, and does not tell; unless it is large, came from the same place both times, and
//! somebody else holds it too, as with content that the application keeps itself. If it comes from elsewhere later on, it
//! is copied then. Copying and comparing are not cut into slices, so content of more than 4 MiB is only ever looked up by
//! its place.

use std::{collections::VecDeque, fmt, hash::BuildHasherDefault, ops::Deref, sync::Arc};

use bytes::Bytes;
use http::{
    header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE},
    HeaderMap, HeaderValue,
};
use quick_cache::{
    sync::{Cache, DefaultLifecycle},
    OptionsBuilder, Weighter,
};

use super::key::{Keys, TakeAsIs};
use crate::rules::EntityTag;

/// Tags of contents seen, for one layer.
pub(crate) struct Evidence {
    cache: Cache<u64, Arc<Remembered>, Weight, BuildHasherDefault<TakeAsIs>>,
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

    /// Returns how many octets are kept.
    pub(crate) fn octets(&self) -> u64 {
        self.cache.weight()
    }

    /// Returns what is remembered under `key`, to be compared without a lock.
    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<Arc<Remembered>> {
        self.cache.get(&key)
    }

    /// Takes in that content was found to be the one remembered.
    #[inline]
    pub(crate) fn confirm(&self, key: u64, remembered: &Remembered, same: Same, frames: Frames<'_>) {
        if same == Same::Octets && remembered.shares {
            let content = Some(frames.copy());
            self.cache.insert(key, Arc::new(Remembered { content, shares: false, ..remembered.clone() }));
        }
    }

    /// Takes in the tag that was made of content; `previous` is what was remembered, `variant` are the header fields of the
    /// response, if it was negotiated.
    pub(crate) fn learn(
        &self,
        key: u64,
        previous: Option<&Remembered>,
        made: Made,
        variant: Option<&HeaderMap>,
        frames: Frames<'_>,
    ) {
        let len = frames.iter().map(Bytes::len).sum::<usize>();
        let single = frames.single();
        let place = single.map(|content| content.as_ptr().addr());
        let previous = previous.filter(|previous| previous.made.tag == made.tag && len <= self.most);
        let stays = previous.is_some_and(|previous| previous.place == place) && len >= SHARED;
        // What nobody else holds was made for this response; allocators like to give out one place again and again.
        let held = single.filter(|content| stays && !content.is_unique());
        let (content, shares) = match (previous, held) {
            (None, _) => (None, false),
            (Some(_), Some(content)) => (Some(content.clone()), true),
            (Some(_), None) => (Some(len).filter(|len| *len <= AT_ONCE).map(|_| frames.copy()), false),
        };
        self.cache.insert(key, Arc::new(Remembered { made, variant: variant.map(lines), content, shares, place }));
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// Content, in the frames that it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames<'a> {
    /// Most content is in one piece.
    pub(crate) first: Option<&'a Bytes>,
    pub(crate) more: Option<&'a VecDeque<Bytes>>,
}

impl<'a> Frames<'a> {
    fn iter(self) -> impl Iterator<Item = &'a Bytes> {
        self.first.into_iter().chain(self.more.into_iter().flatten())
    }

    /// Returns the only frame with content.
    fn single(self) -> Option<&'a Bytes> {
        let mut frames = self.iter().filter(|frame| !frame.is_empty());
        frames.next().filter(|_| frames.next().is_none())
    }

    /// Copies the content into a buffer of its own size.
    fn copy(self) -> Bytes {
        let mut content = Vec::with_capacity(self.iter().map(Bytes::len).sum());
        self.iter().for_each(|frame| content.extend_from_slice(frame));
        Bytes::from(content)
    }
}

/// A tag that was found for a response.
#[derive(Debug)]
pub(crate) enum Found {
    /// It was made of the content.
    Made(Made),
    /// The content is the one remembered.
    Remembered(Arc<Remembered>),
}

impl Found {
    /// Returns the text of the tag.
    pub(crate) fn into_value(self) -> HeaderValue {
        match self {
            Self::Made(made) => made.tag.into(),
            Self::Remembered(remembered) => HeaderValue::from(&remembered.made.tag),
        }
    }
}

impl Deref for Found {
    type Target = Made;

    #[inline]
    fn deref(&self) -> &Made {
        match self {
            Self::Made(made) => made,
            Self::Remembered(remembered) => &remembered.made,
        }
    }
}

/// A tag to send.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) tag: EntityTag,
    /// The tag, hashed, if that was done already.
    id: Option<u64>,
}

impl Made {
    /// Returns the tag, hashed.
    pub(crate) fn id(&self, keys: &Keys) -> u64 {
        self.id.unwrap_or_else(|| keys.octets(self.tag.as_bytes()))
    }

    /// Makes the tag one that need not be hashed again.
    pub(crate) fn hashed(self, keys: &Keys) -> Self {
        Self { id: Some(self.id(keys)), ..self }
    }
}

impl From<EntityTag> for Made {
    fn from(tag: EntityTag) -> Self {
        Self { tag, id: None }
    }
}

/// The content that a resource had last, as far as it is kept, and its tag.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    made: Made,
    /// The fields that are part of the tag, if the response was negotiated.
    variant: Option<Vec<Option<HeaderValue>>>,
    content: Option<Bytes>,
    /// The content lies in somebody else's buffer.
    shares: bool,
    /// Where the content lay, if it was in one piece.
    place: Option<usize>,
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
    /// Compares a response with the one remembered; `None` if it may have another tag.
    ///
    /// `len` are the octets of its content; `variant` are its header fields, if it was negotiated.
    #[inline]
    pub(crate) fn compare(&self, len: u64, variant: Option<&HeaderMap>, frames: Frames<'_>) -> Option<Same> {
        let content = self.content.as_ref().filter(|content| u64::try_from(content.len()) == Ok(len))?;
        if !is_same_variant(self.variant.as_deref(), variant) {
            return None;
        }
        if let Some(whole) = frames.first.filter(|first| first.len() == content.len()) {
            return if whole.as_ptr() == content.as_ptr() {
                Some(Same::Place)
            } else {
                (content.len() <= AT_ONCE && whole == content).then_some(Same::Octets)
            };
        }
        if content.len() > AT_ONCE {
            return None;
        }
        let mut rest = &content[..];
        for frame in frames.iter() {
            rest = rest.strip_prefix(&frame[..])?;
        }
        rest.is_empty().then_some(Same::Octets)
    }
}

/// Returns the lines that are part of a negotiated response's tag.
fn lines(headers: &HeaderMap) -> Vec<Option<HeaderValue>> {
    variant_lines(headers).map(|line| line.cloned()).collect()
}

fn is_same_variant(remembered: Option<&[Option<HeaderValue>]>, variant: Option<&HeaderMap>) -> bool {
    match (remembered, variant) {
        (None, None) => true,
        (Some(lines), Some(headers)) => lines.iter().map(Option::as_ref).eq(variant_lines(headers)),
        _ => false,
    }
}

/// Reads the lines of each field, and `None` behind them.
fn variant_lines(headers: &HeaderMap) -> impl Iterator<Item = Option<&HeaderValue>> {
    let fields = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE].into_iter();
    fields.flat_map(|name| headers.get_all(name).iter().map(Some).chain([None]))
}

#[derive(Clone)]
struct Weight;

impl Weighter<u64, Arc<Remembered>> for Weight {
    fn weight(&self, _: &u64, remembered: &Arc<Remembered>) -> u64 {
        let content = remembered.content.as_ref().map_or(0, Bytes::len);
        u64::try_from(content).unwrap_or(u64::MAX).saturating_add(OVERHEAD)
    }
}

/// From this size on, in octets, content may be shared with the application: comparing less takes no time, and a small
/// part of a large buffer must not hold it in memory.
const SHARED: usize = 16 * 1024;

/// How many octets are compared or copied at once: that takes some tenths of a millisecond.
const AT_ONCE: usize = 4 << 20;

const SHARDS: usize = 4;
const ITEMS: usize = 4096;

/// What an entry costs besides its content: tag, fields and bookkeeping.
const OVERHEAD: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const MEBI: usize = 1 << 20;

    fn made(text: &str) -> Made {
        Made::from(EntityTag::strong(text).unwrap())
    }

    fn negotiated(media_type: &'static str) -> HeaderMap {
        let lines = [(CONTENT_TYPE, media_type), (CONTENT_ENCODING, "gzip")];
        lines.map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect()
    }

    /// Learns `frames` twice, so that they are kept.
    fn learnt(evidence: &Evidence, key: u64, frames: &Texts, variant: Option<&HeaderMap>) -> Arc<Remembered> {
        evidence.learn(key, None, made("t"), variant, frames.all());
        let previous = evidence.get(key);
        evidence.learn(key, previous.as_deref(), made("t"), variant, frames.all());
        evidence.get(key).unwrap()
    }

    /// Frames of content.
    struct Texts(Option<Bytes>, VecDeque<Bytes>);

    impl Texts {
        fn of(frames: impl IntoIterator<Item = Bytes>) -> Self {
            let mut frames = frames.into_iter();
            Self(frames.next(), frames.collect())
        }

        fn all(&self) -> Frames<'_> {
            Frames { first: self.0.as_ref(), more: Some(&self.1) }
        }

        fn len(&self) -> u64 {
            self.all().iter().map(|frame| frame.len() as u64).sum()
        }
    }

    fn frames(texts: &[&str]) -> Texts {
        Texts::of(texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())))
    }

    #[test]
    fn only_the_same_octets_with_the_same_fields_are_the_same() {
        let evidence = Evidence::new(16 * MEBI);
        let none = None;
        let content = frames(&["abcdef"]);
        let kept = Bytes::from(vec![b'x'; SHARED]);
        let large = Texts::of([kept.clone()]);
        let compare = |remembered: &Remembered, content: &Texts, variant: Option<&HeaderMap>| {
            remembered.compare(content.len(), variant, content.all())
        };
        let remembered = learnt(&evidence, 1, &content, none);
        assert_eq!(compare(&learnt(&evidence, 3, &large, none), &large, none), Some(Same::Place));
        let within = Texts::of([kept.slice(..3)]);
        assert_eq!(compare(&learnt(&evidence, 3, &large, none), &within, none), None, "the same place, and shorter");
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
        assert_eq!(compare(&remembered, &content, Some(&negotiated("text/csv"))), None);

        let remembered = learnt(&evidence, 2, &content, Some(&negotiated("text/csv")));
        assert_eq!(compare(&remembered, &content, Some(&negotiated("text/csv"))), Some(Same::Octets));
        assert_eq!(compare(&remembered, &content, Some(&negotiated("text/plain"))), None);
        assert_eq!(compare(&remembered, &content, none), None);
        let mut twice = negotiated("text/csv");
        twice.append(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
        assert_eq!(compare(&remembered, &content, Some(&twice)), None);
        let empty = |name| HeaderMap::from_iter([(name, HeaderValue::from_static(""))]);
        let remembered = learnt(&evidence, 4, &content, Some(&empty(CONTENT_LANGUAGE)));
        assert_eq!(compare(&remembered, &content, Some(&empty(CONTENT_ENCODING))), None);
    }

    #[test]
    fn content_is_kept_from_the_second_sight_on_and_shared_only_if_it_stays() {
        let evidence = Evidence::new(16 * MEBI);
        let lies_in = |remembered: &Remembered, buffer: &Bytes| {
            let content = remembered.content.as_ref().unwrap();
            buffer.as_ptr_range().contains(&content.as_ptr())
        };
        let large = Bytes::from(vec![b'x'; MEBI]);
        let part = Texts::of([large.slice(..SHARED)]);
        evidence.learn(1, None, made("t"), None, part.all());
        assert!(evidence.get(1).unwrap().content.is_none());

        let remembered = learnt(&evidence, 1, &part, None);
        assert!(lies_in(&remembered, &large), "it came from the same place twice");
        let same = remembered.compare(SHARED as u64, None, part.all()).unwrap();
        evidence.confirm(1, &remembered, same, part.all());
        assert!(evidence.get(1).unwrap().shares, "content that stays where it is need not be copied");
        let moved = Texts::of([Bytes::from(vec![b'x'; SHARED / 2]), Bytes::from(vec![b'x'; SHARED / 2])]);
        let same = remembered.compare(SHARED as u64, None, moved.all()).unwrap();
        evidence.confirm(1, &remembered, same, moved.all());
        assert!(!lies_in(&evidence.get(1).unwrap(), &large));

        assert!(
            !lies_in(&learnt(&evidence, 2, &Texts::of([large.slice(..10)]), None), &large),
            "a small part of a large buffer"
        );
        evidence.learn(3, None, made("t"), None, part.all());
        let elsewhere = Bytes::from(vec![b'x'; MEBI]);
        let previous = evidence.get(3);
        evidence.learn(3, previous.as_deref(), made("t"), None, Texts::of([elsewhere.slice(..SHARED)]).all());
        assert!(!lies_in(&evidence.get(3).unwrap(), &elsewhere), "it does not stay where it is");
        let alone = Texts::of([Bytes::from(vec![b'x'; SHARED])]);
        assert!(!lies_in(&learnt(&evidence, 4, &alone, None), alone.0.as_ref().unwrap()), "nobody else holds it");
    }

    #[test]
    fn what_would_take_long_to_compare_is_known_by_its_place_alone() {
        let evidence = Evidence::new(64 * MEBI);
        let kept = Bytes::from(vec![b'x'; AT_ONCE + 1]);
        let huge = Texts::of([kept.clone()]);
        let moved = Texts::of([Bytes::from(vec![b'x'; AT_ONCE + 1])]);
        evidence.learn(1, None, made("t"), None, huge.all());
        evidence.learn(1, evidence.get(1).as_deref(), made("t"), None, moved.all());
        assert!(evidence.get(1).unwrap().content.is_none(), "it is not copied");
        let remembered = learnt(&evidence, 1, &huge, None);
        let compare = |content: &Texts| remembered.compare(AT_ONCE as u64 + 1, None, content.all());
        assert_eq!(compare(&Texts::of([kept])), Some(Same::Place));
        assert_eq!(compare(&moved), None);
        assert!(learnt(&evidence, 2, &moved, None).content.is_none(), "nobody else holds it");
    }

    #[test]
    fn space_is_bounded_and_large_content_admitted() {
        let evidence = Evidence::new(16 * MEBI);
        let none = None;
        for key in 0..64 {
            let content = Texts::of([Bytes::from(vec![b'x'; MEBI])]);
            assert!(learnt(&evidence, key << 32 | key, &content, none).content.is_some(), "{key}");
        }
        assert!(evidence.cache.weight() <= 16 * 1_048_576, "{}", evidence.cache.weight());
        for key in 0..100_000 {
            evidence.learn(key, None, made("t"), none, frames(&[]).all());
        }
        assert!(evidence.cache.weight() <= 16 * 1_048_576 && evidence.cache.len() < 40_000);
        let larger = Texts::of([Bytes::from(vec![b'x'; 5 * MEBI])]);
        assert!(learnt(&evidence, 7, &larger, none).content.is_none(), "more than a fair share");
    }
}
