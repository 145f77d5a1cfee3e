//! Why a remembered tag still holds, without hashing: the content is the same as last
//! time.
//!
//! SHA-256 runs at some 2 GB/s a core; comparing bytes runs ten times as fast and more,
//! and comparing pointers costs nothing. So the content that a resource had last is
//! kept, in bounded space, with its tag. If the next response has the same bytes, and
//! the same fields where they are part of the tag, it has the same tag. The comparison
//! is exact; no step of it is merely probable. So what lies here can save work, and
//! cannot make a tag wrong, whatever it is found under.
//!
//! Content is kept from the second sight of its tag on: pages sent once cost nothing.
//! It is copied, because a `Bytes` may be a small part of a large buffer, and does not
//! tell; unless the application keeps it itself, and it is not tiny. It does
//! if it sends it from one place twice while it is [held here](SharedBuffers): without
//! that, the place may just have been used again. If it comes from elsewhere later on,
//! it is copied then. Copying and comparing are not cut into slices, so content of more
//! than 4 MiB is only ever looked up by its place.

use std::{
    collections::VecDeque,
    fmt,
    hash::BuildHasherDefault,
    ops::Deref,
    sync::{Arc, Mutex, TryLockError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use quick_cache::{
    sync::{Cache, DefaultLifecycle},
    OptionsBuilder, Weighter,
};

use super::resource_key::{IdentityHasher, Keys};
use crate::{fields::VARIANT_FIELDS, rules::EntityTag};

/// Tags of contents seen, for one layer.
pub(crate) struct ContentCache {
    cache: Cache<u64, Arc<CachedContent>, Weight, BuildHasherDefault<IdentityHasher>>,
    shared: Mutex<SharedBuffers>,
    /// The most bytes of one content that are kept.
    most: usize,
    capacity: usize,
}

impl ContentCache {
    /// Makes room for `bytes` of content and what goes with it.
    pub(crate) fn new(bytes: usize) -> Self {
        // Few shards, the same number on every machine: each must have room for large content.
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(ITEMS)
            .weight_capacity(bytes.try_into().unwrap_or(u64::MAX))
            .build()
            .expect("all that it asks for is set");
        let cache = Cache::with_options(
            options,
            Weight,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        );
        Self { cache, shared: Mutex::default(), most: bytes / SHARDS / 2, capacity: bytes }
    }

    /// Returns how many bytes there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns how many bytes are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Returns what is remembered under `key`, to be compared without a lock.
    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<Arc<CachedContent>> {
        self.cache.get(&key)
    }

    /// Takes in that content was found to be the one remembered.
    #[inline]
    pub(crate) fn confirm(
        &self,
        key: u64,
        remembered: &CachedContent,
        same: Match,
        frames: Frames<'_>,
    ) {
        if same == Match::SameBuffer {
            return;
        }
        let kept = if remembered.shares { None } else { self.kept(key, frames) };
        if remembered.shares || kept.is_some() {
            let (content, shares) =
                (kept.cloned().unwrap_or_else(|| frames.copy()), kept.is_some());
            self.cache.insert(
                key,
                Arc::new(CachedContent { content: Some(content), shares, ..remembered.clone() }),
            );
        }
    }

    /// Takes in the tag that was made of content; `previous` is what was remembered,
    /// `variant` are the header fields of the response, if it was negotiated.
    pub(crate) fn insert(
        &self,
        key: u64,
        previous: Option<&CachedContent>,
        made: HashedTag,
        variant: Option<&HeaderMap>,
        frames: Frames<'_>,
    ) {
        let len = frames.iter().map(Bytes::len).sum::<usize>();
        let is_known =
            previous.is_some_and(|previous| previous.made.tag == made.tag) && len <= self.most;
        let kept = if is_known { self.kept(key, frames) } else { None };
        let copy = || (is_known && len <= AT_ONCE).then(|| frames.copy());
        let (content, shares) = (kept.cloned().or_else(copy), kept.is_some());
        let variant = if content.is_some() { variant.map(copy_variant) } else { None };
        self.cache.insert(key, Arc::new(CachedContent { made, variant, content, shares }));
    }

    /// Returns the content if it is not tiny, in one piece, and the application keeps it.
    /// If that is not known yet, it is held from now on, to know it next time.
    fn kept<'a>(&self, key: u64, frames: Frames<'a>) -> Option<&'a Bytes> {
        // Content of which there is no other reference was made for this response.
        let content =
            frames.single().filter(|content| content.len() >= SHARED && !content.is_unique())?;
        // On contention skip it: this is only an optimisation.
        let mut shared = match self.shared.try_lock() {
            Ok(shared) => shared,
            Err(TryLockError::Poisoned(shared)) => shared.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if !shared.stays(key, content, self.most) {
            return None;
        }
        if let Some(oldest) = shared.share(key) {
            // It may be a small part of a large buffer that only the cache holds.
            if self.cache.get(&oldest).is_some_and(|cached| cached.shares) {
                self.cache.remove(&oldest);
            }
        }
        Some(content)
    }
}

impl fmt::Debug for ContentCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentCache").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// The few contents that were seen last in a place where they may stay.
///
/// Each of them may hold a buffer that is much larger, such as the one that a
/// connection to an upstream reads into, and uses again for the next response.
#[derive(Default)]
struct SharedBuffers {
    /// Not known yet to stay.
    held: VecDeque<(u64, Bytes)>,
    /// The keys of cached content that lies in a buffer of the application's.
    shared: VecDeque<u64>,
}

impl SharedBuffers {
    /// Returns true if `content` comes from where it was held; holds it otherwise, in
    /// place of what was held longest, and of so much that all have at most `most`
    /// bytes.
    fn stays(&mut self, key: u64, content: &Bytes, most: usize) -> bool {
        let last = self
            .held
            .iter()
            .position(|(held, _)| *held == key)
            .and_then(|place| self.held.remove(place));
        if last.is_some_and(|(_, last)| {
            last.as_ptr() == content.as_ptr() && last.len() == content.len()
        }) {
            return true;
        }
        let mut left = most.saturating_sub(content.len());
        let mut fits =
            |held: &Bytes| left.checked_sub(held.len()).inspect(|less| left = *less).is_some();
        let fitting =
            self.held.iter().take(SHARED_BUFFERS - 1).take_while(|(_, held)| fits(held)).count();
        self.held.truncate(fitting);
        self.held.push_front((key, content.clone()));
        false
    }

    /// Notes that content is shared from now on; returns the key of that which no longer may be.
    fn share(&mut self, key: u64) -> Option<u64> {
        self.shared.retain(|shared| *shared != key);
        self.shared.push_front(key);
        if self.shared.len() > SHARED_BUFFERS {
            self.shared.pop_back()
        } else {
            None
        }
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
        match (frames.next(), frames.next()) {
            (single, None) => single,
            _ => None,
        }
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
pub(crate) enum ContentTag {
    /// It was made of the content.
    Computed(HashedTag),
    /// The content is the one remembered.
    Cached(Arc<CachedContent>),
}

impl ContentTag {
    /// Returns the text of the tag.
    pub(crate) fn into_value(self) -> HeaderValue {
        match self {
            Self::Computed(made) => made.tag.into(),
            Self::Cached(remembered) => HeaderValue::from(&remembered.made.tag),
        }
    }
}

impl Deref for ContentTag {
    type Target = HashedTag;

    #[inline]
    fn deref(&self) -> &HashedTag {
        match self {
            Self::Computed(made) => made,
            Self::Cached(remembered) => &remembered.made,
        }
    }
}

/// A tag to send.
#[derive(Clone, Debug)]
pub(crate) struct HashedTag {
    pub(crate) tag: EntityTag,
    /// The tag, hashed, if that was done already.
    id: Option<u64>,
}

impl HashedTag {
    /// Returns the tag, hashed.
    pub(crate) fn id(&self, keys: &Keys) -> u64 {
        self.id.unwrap_or_else(|| keys.bytes(self.tag.as_bytes()))
    }

    /// Makes the tag one that need not be hashed again.
    pub(crate) fn hashed(self, keys: &Keys) -> Self {
        Self { id: Some(self.id(keys)), ..self }
    }
}

impl From<EntityTag> for HashedTag {
    fn from(tag: EntityTag) -> Self {
        Self { tag, id: None }
    }
}

/// The content that a resource had last, as far as it is kept, and its tag.
#[derive(Clone, Debug)]
pub(crate) struct CachedContent {
    made: HashedTag,
    /// A copy of the fields that are part of the tag, if the response was negotiated
    /// and its content is kept: a field value may be a small part of the buffer in
    /// which a whole response came.
    variant: Option<Box<[u8]>>,
    content: Option<Bytes>,
    /// The content lies in a buffer of the application's.
    shares: bool,
}

/// How content was found to be the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Match {
    /// It lies in the same place.
    SameBuffer,
    /// It has the same bytes.
    EqualBytes,
}

impl CachedContent {
    /// Compares a response with the one remembered; `None` if it may have another tag.
    ///
    /// `len` are the bytes of its content; `variant` are its header fields, if it was
    /// negotiated.
    #[inline]
    pub(crate) fn compare(
        &self,
        len: u64,
        variant: Option<&HeaderMap>,
        frames: Frames<'_>,
    ) -> Option<Match> {
        let content =
            self.content.as_ref().filter(|content| u64::try_from(content.len()) == Ok(len))?;
        if !is_same_variant(self.variant.as_deref(), variant) {
            return None;
        }
        if let Some(whole) = frames.first.filter(|first| first.len() == content.len()) {
            return if whole.as_ptr() == content.as_ptr() {
                Some(Match::SameBuffer)
            } else {
                (content.len() <= AT_ONCE && whole == content).then_some(Match::EqualBytes)
            };
        }
        if content.len() > AT_ONCE {
            return None;
        }
        let mut rest = &content[..];
        for frame in frames.iter() {
            rest = rest.strip_prefix(&frame[..])?;
        }
        rest.is_empty().then_some(Match::EqualBytes)
    }
}

fn copy_variant(headers: &HeaderMap) -> Box<[u8]> {
    variant_bytes(headers).collect::<Vec<_>>().concat().into()
}

fn is_same_variant(remembered: Option<&[u8]>, variant: Option<&HeaderMap>) -> bool {
    match (remembered, variant) {
        (None, None) => true,
        (Some(mut rest), Some(headers)) => {
            let is_next = |part| rest.strip_prefix(part).map(|behind| rest = behind).is_some();
            variant_bytes(headers).all(is_next) && rest.is_empty()
        }
        _ => false,
    }
}

/// Reads the fields that are part of a negotiated response's tag: each line with its
/// end, each field with another. No field value holds either of these bytes.
fn variant_bytes(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    VARIANT_FIELDS.into_iter().flat_map(|name| {
        let lines = headers.get_all(name).iter();
        lines.flat_map(|line| [line.as_bytes(), b"\n"]).chain([&b"\0"[..]])
    })
}

#[derive(Clone)]
struct Weight;

impl Weighter<u64, Arc<CachedContent>> for Weight {
    fn weight(&self, _: &u64, remembered: &Arc<CachedContent>) -> u64 {
        let content = remembered.content.as_ref().map_or(0, Bytes::len);
        let variant = remembered.variant.as_ref().map_or(0, |variant| variant.len());
        u64::try_from(content.saturating_add(variant)).unwrap_or(u64::MAX).saturating_add(OVERHEAD)
    }
}

/// From this size on, in bytes, content may be shared with the application: comparing
/// less takes no time.
const SHARED: usize = 1024;

/// How many contents are held to see whether they stay, and how many are shared: each may
/// keep a buffer in memory that is much larger.
const SHARED_BUFFERS: usize = 4;

/// How many bytes are compared or copied at once: that takes some tenths of a
/// millisecond.
const AT_ONCE: usize = 4 << 20;

const SHARDS: usize = 4;
const ITEMS: usize = 4096;

/// What an entry costs besides its content and fields: tag and bookkeeping.
const OVERHEAD: u64 = 512;

#[cfg(test)]
mod tests;
