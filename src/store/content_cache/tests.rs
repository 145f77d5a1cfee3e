use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE};

use super::*;

const MEBI: usize = 1 << 20;

fn made(text: &str) -> HashedTag {
    HashedTag::from(EntityTag::strong(text).unwrap())
}

fn negotiated(media_type: &'static str) -> HeaderMap {
    let lines = [(CONTENT_TYPE, media_type), (CONTENT_ENCODING, "gzip")];
    lines.map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect()
}

/// Inserts `frames` twice, so that the cache keeps them.
fn learned(
    cache: &ContentCache,
    key: u64,
    frames: &Chunks,
    variant: Option<&HeaderMap>,
) -> Arc<CachedContent> {
    cache.insert(key, None, made("t"), variant, frames.all());
    let previous = cache.get(key);
    cache.insert(key, previous.as_deref(), made("t"), variant, frames.all());
    cache.get(key).unwrap()
}

/// Looks up content, and inserts it if it is not found, as the layer does. Returns how
/// it was found.
fn see(cache: &ContentCache, key: u64, frames: &Chunks) -> Option<Match> {
    let previous = cache.get(key);
    let same =
        previous.as_ref().and_then(|previous| previous.compare(frames.len(), None, frames.all()));
    match (&previous, same) {
        (Some(_), Some(Match::SameBuffer)) => {}
        (Some(previous), Some(Match::EqualBytes)) => cache.confirm(key, previous, frames.all()),
        _ => cache.insert(key, previous.as_deref(), made("t"), None, frames.all()),
    }
    same
}

/// Frames of content.
struct Chunks(Option<Bytes>, VecDeque<Bytes>);

impl Chunks {
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

fn frames(texts: &[&str]) -> Chunks {
    Chunks::of(texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())))
}

#[test]
fn only_the_same_bytes_with_the_same_fields_are_the_same() {
    let cache = ContentCache::new(16 * MEBI);
    let none = None;
    let content = frames(&["abcdef"]);
    let kept = Bytes::from(vec![b'x'; SHARED]);
    let large = Chunks::of([kept.clone()]);
    let compare = |remembered: &CachedContent, content: &Chunks, variant: Option<&HeaderMap>| {
        remembered.compare(content.len(), variant, content.all())
    };
    let remembered = learned(&cache, 1, &content, none);
    assert_eq!(
        [(); 4].map(|()| see(&cache, 3, &large)),
        [None, None, Some(Match::EqualBytes), Some(Match::SameBuffer)]
    );
    let within = Chunks::of([kept.slice(..3)]);
    assert_eq!(compare(&cache.get(3).unwrap(), &within, none), None, "the same place, and shorter");
    for (texts, expected) in [
        (&["abcdef"][..], Some(Match::EqualBytes)),
        (&["abc", "", "def"], Some(Match::EqualBytes)),
        (&["a", "b", "c", "d", "e", "f"], Some(Match::EqualBytes)),
        (&["abcdeg"], None),
        (&["abcde"], None),
        (&["abcdefg"], None),
        (&["def", "abc"], None),
        (&[], None),
    ] {
        assert_eq!(compare(&remembered, &frames(texts), none), expected, "{texts:?}");
    }
    assert_eq!(compare(&remembered, &content, Some(&negotiated("text/csv"))), None);

    let remembered = learned(&cache, 2, &content, Some(&negotiated("text/csv")));
    assert_eq!(
        compare(&remembered, &content, Some(&negotiated("text/csv"))),
        Some(Match::EqualBytes)
    );
    assert_eq!(compare(&remembered, &content, Some(&negotiated("text/plain"))), None);
    assert_eq!(compare(&remembered, &content, none), None);
    let mut twice = negotiated("text/csv");
    twice.append(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
    assert_eq!(compare(&remembered, &content, Some(&twice)), None);
    let empty = |name| HeaderMap::from_iter([(name, HeaderValue::from_static(""))]);
    let remembered = learned(&cache, 4, &content, Some(&empty(CONTENT_LANGUAGE)));
    assert_eq!(compare(&remembered, &content, Some(&empty(CONTENT_ENCODING))), None);
}

#[test]
fn content_is_kept_from_the_second_sight_on_and_shared_only_if_it_stays() {
    let cache = ContentCache::new(16 * MEBI);
    let lies_in = |remembered: &CachedContent, buffer: &Bytes| {
        let content = remembered.content.as_ref().unwrap();
        buffer.as_ptr_range().contains(&content.as_ptr())
    };
    let (large, elsewhere) = (Bytes::from(vec![b'x'; MEBI]), Bytes::from(vec![b'x'; MEBI]));
    let part = Chunks::of([large.slice(..SHARED)]);
    see(&cache, 1, &part);
    assert!(cache.get(1).unwrap().content.is_none());
    see(&cache, 1, &part);
    assert!(!lies_in(&cache.get(1).unwrap(), &large), "the place may have been used again");
    assert_eq!(see(&cache, 1, &part), Some(Match::EqualBytes));
    assert!(lies_in(&cache.get(1).unwrap(), &large), "the application keeps it");
    assert_eq!(see(&cache, 1, &part), Some(Match::SameBuffer));
    let moved =
        Chunks::of([Bytes::from(vec![b'x'; SHARED / 2]), Bytes::from(vec![b'x'; SHARED / 2])]);
    assert_eq!(see(&cache, 1, &moved), Some(Match::EqualBytes));
    assert!(!lies_in(&cache.get(1).unwrap(), &large), "it does not lie there any more");

    let small = Chunks::of([large.slice(..10)]);
    let alone = Chunks::of([Bytes::from(vec![b'x'; SHARED])]);
    let other = Chunks::of([elsewhere.slice(..SHARED)]);
    for (key, case, sights) in [
        (2, "a small part of a large buffer", [&small, &small]),
        (3, "the application does not keep it", [&alone, &alone]),
        (4, "it does not stay where it is", [&part, &other]),
    ] {
        for texts in sights.into_iter().cycle().take(6) {
            see(&cache, key, texts);
        }
        let remembered = cache.get(key).unwrap();
        assert!(
            ![&large, &elsewhere, alone.0.as_ref().unwrap()]
                .iter()
                .any(|buffer| lies_in(&remembered, buffer)),
            "{case}"
        );
    }
}

#[test]
fn large_content_is_found_only_by_its_address() {
    let cache = ContentCache::new(64 * MEBI);
    let kept = Bytes::from(vec![b'x'; AT_ONCE + 1]);
    let huge = Chunks::of([kept.clone()]);
    let moved = Chunks::of([Bytes::from(vec![b'x'; AT_ONCE + 1])]);
    cache.insert(1, None, made("t"), None, huge.all());
    cache.insert(1, cache.get(1).as_deref(), made("t"), None, moved.all());
    assert!(cache.get(1).unwrap().content.is_none(), "it is not copied");
    assert_eq!([(); 3].map(|()| see(&cache, 1, &huge)), [None, None, Some(Match::SameBuffer)]);
    let remembered = cache.get(1).unwrap();
    let compare = |content: &Chunks| remembered.compare(AT_ONCE as u64 + 1, None, content.all());
    assert_eq!(compare(&Chunks::of([kept])), Some(Match::SameBuffer));
    assert_eq!(compare(&moved), None);
    assert!(learned(&cache, 2, &moved, None).content.is_none(), "the application does not keep it");
}

#[test]
fn space_is_bounded_and_large_content_admitted() {
    let cache = ContentCache::new(16 * MEBI);
    let none = None;
    for key in 0..64 {
        let content = Chunks::of([Bytes::from(vec![b'x'; MEBI])]);
        assert!(learned(&cache, key << 32 | key, &content, none).content.is_some(), "{key}");
    }
    assert!(cache.cache.weight() <= 16 * 1_048_576, "{}", cache.cache.weight());
    for key in 0..100_000 {
        cache.insert(key, None, made("t"), none, frames(&[]).all());
    }
    assert!(cache.cache.weight() <= 16 * 1_048_576 && cache.cache.len() < 40_000);
    let larger = Chunks::of([Bytes::from(vec![b'x'; 5 * MEBI])]);
    assert!(learned(&cache, 7, &larger, none).content.is_none(), "more than a fair share");
}

#[test]
fn nothing_holds_the_buffer_that_a_head_came_in() {
    let cache = ContentCache::new(16 * MEBI);
    let mut buffer = b"text/html".to_vec();
    buffer.resize(64 * 1024, b' ');
    let buffer = Bytes::from(buffer);
    let headers = || {
        let line = HeaderValue::from_maybe_shared(buffer.slice(..9)).unwrap();
        HeaderMap::from_iter([
            (CONTENT_TYPE, line),
            (CONTENT_LANGUAGE, HeaderValue::from_static("en")),
        ])
    };
    let content = frames(&["content"]);
    cache.insert(1, None, made("t"), Some(&headers()), content.all());
    assert!(buffer.is_unique(), "seen once");
    let weight = cache.bytes();
    let remembered = learned(&cache, 1, &content, Some(&headers()));
    assert!(buffer.is_unique(), "kept");
    assert_eq!(remembered.compare(7, Some(&headers()), content.all()), Some(Match::EqualBytes));
    assert_eq!(cache.bytes() - weight, 7 + "text/html\n\0\0en\n\0".len() as u64);
}

#[test]
fn few_buffers_are_held_of_content_that_was_sent_twice() {
    let cache = ContentCache::new(16 * MEBI);
    // Buffers of a connection to an upstream. Each buffer is larger than the content,
    // and the connection keeps it, too.
    let buffers: Vec<_> = (0..200).map(|_| Bytes::from(vec![b'x'; MEBI])).collect();
    for (buffer, key) in buffers.iter().zip(1..) {
        for _ in 0..2 {
            see(&cache, key, &Chunks::of([buffer.slice(..SHARED)]));
        }
    }
    assert_eq!(buffers.iter().filter(|buffer| !buffer.is_unique()).count(), SHARED_BUFFERS);
    for (buffer, key) in buffers.iter().zip(1..).take(4) {
        for _ in 0..2 {
            see(&cache, 1_000 + key, &Chunks::of([buffer.clone()]));
        }
    }
    assert_eq!(
        buffers.iter().filter(|buffer| !buffer.is_unique()).count(),
        2,
        "an eighth of the whole"
    );
}

#[test]
fn buffers_are_given_back_after_ten_seconds_and_shared_again_if_they_stay() {
    let cache = ContentCache::new(16 * MEBI);
    let at = |second| HttpDate::from_unix_seconds(second).unwrap();
    let (dropped, kept) = (Bytes::from(vec![b'x'; MEBI]), Bytes::from(vec![b'y'; MEBI]));
    let part = |buffer: &Bytes| Chunks::of([buffer.slice(..SHARED)]);
    for _ in 0..4 {
        see(&cache, 1, &part(&dropped));
        see(&cache, 2, &part(&kept));
    }
    let held = Bytes::from(vec![b'z'; MEBI]);
    for _ in 0..2 {
        see(&cache, 3, &part(&held));
    }
    assert_eq!(see(&cache, 1, &part(&dropped)), Some(Match::SameBuffer));
    for second in [0, 9] {
        cache.release_buffers(|| at(second));
        assert!(!dropped.is_unique() && !kept.is_unique() && !held.is_unique(), "{second}");
    }
    cache.release_buffers(|| at(10));
    assert!(dropped.is_unique() && kept.is_unique() && held.is_unique());
    cache.release_buffers(|| unreachable!("there are none"));
    let again: Vec<_> = (0..4).map(|_| see(&cache, 2, &part(&kept))).collect();
    let expected =
        [None, Some(Match::EqualBytes), Some(Match::SameBuffer), Some(Match::SameBuffer)];
    assert_eq!(again, expected);
}
