//! Finds the tag of content without hashing it, if the content equals the last content
//! of the same resource.
//!
//! SHA-256 hashes about 2 GB/s on a core. Comparing bytes is more than ten times as
//! fast, and comparing addresses takes almost no time. So the last content of a
//! resource is kept with its tag, in bounded memory. If the next response has the same
//! bytes, it has the same tag. The tag of a negotiated response also covers some header
//! fields, so these must be equal, too. Two contents count as equal only if all bytes
//! are equal, or if they are at the same address. So a tag is never wrong, even if two
//! resources have the same key in the cache.
//!
//! After the first response, only its tag is kept. The content is kept once the next
//! response has the same tag, so a page that is sent only once takes little memory. The
//! cache keeps a copy, and not the `Bytes` of the response: that may be a small part of
//! a large buffer, all of which would then stay in memory.
//!
//! Content of 1 KiB or more is not copied if the application keeps it in memory itself:
//! the cache then shares the buffer of the application. To detect such a buffer, the
//! cache [holds](SharedBuffers) a reference to the content of one response. It compares
//! the address of the next content with that of the held content. Without that
//! reference, the buffer could be freed, and another buffer could get its address. If
//! later content has the same bytes at another address, the cache makes a copy.
//!
//! Shared content may be a small part of a large buffer that the application has
//! dropped in the meantime. So the cache releases shared content after ten seconds.
//! There is no timer: the time is checked when the layer compares bytes or hashes
//! content. If it recognises all content by its address, it releases nothing, but at
//! most four buffers are shared. If the application still keeps a released buffer, the
//! cache detects that again, as above.
//!
//! Content is copied and compared without a pause for other tasks. So content of more
//! than 4 MiB is neither copied nor compared, and is recognised only by its address.

use std::{
    collections::VecDeque,
    fmt, mem,
    ops::Deref,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex, MutexGuard, TryLockError,
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use quick_cache::Weighter;

use super::{
    evicting_cache::{evicting_cache, EvictingCache, SHARDS},
    resource_key::Keys,
};
use crate::{
    header_map::NEGOTIATED_FIELDS,
    rules::{EntityTag, HttpDate},
};

/// The contents that one layer has sent last, with their tags.
pub(crate) struct ContentCache {
    cache: EvictingCache<u64, Arc<CachedContent>, ContentWeight>,
    shared: Mutex<SharedBuffers>,
    /// True if there are held or shared buffers.
    is_sharing: AtomicBool,
    /// The maximum number of bytes of one content.
    most: usize,
    capacity: usize,
}

impl ContentCache {
    /// Makes a cache of `bytes` bytes, including tags and bookkeeping.
    pub(crate) fn new(bytes: usize) -> Self {
        let cache = evicting_cache(ContentWeight, ITEMS, bytes.try_into().unwrap_or(u64::MAX));
        Self {
            cache,
            shared: Mutex::default(),
            is_sharing: AtomicBool::new(false),
            most: bytes / SHARDS / 2,
            capacity: bytes,
        }
    }

    /// Returns how many bytes the cache may hold.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns how many bytes the cache holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Returns the content cached for `key`. The caller compares it without a lock.
    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<Arc<CachedContent>> {
        self.cache.get(&key)
    }

    /// Updates the cached content after a response with equal bytes in another buffer.
    ///
    /// - If the cached content shares a buffer with the application, the cache replaces
    ///   that content by a copy. The application may have dropped the buffer by now,
    ///   and then only the cache would keep it in memory.
    /// - If the cached content is a copy, and the application keeps the buffer of the
    ///   response, the cache shares that buffer instead.
    pub(crate) fn confirm(&self, key: u64, remembered: &CachedContent, frames: Frames<'_>) {
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

    /// Stores a computed tag. Also stores the content, if the content that was cached
    /// before (`previous`) had the same tag.
    ///
    /// `variant` has the header fields of the response, if the response was negotiated.
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

    /// Returns the content if the application keeps it in memory, and it is in one
    /// frame of 1 KiB or more.
    ///
    /// If that is not known yet, this holds the content and returns `None`. If the next
    /// call for `key` has content at the same address, the application keeps it.
    fn kept<'a>(&self, key: u64, frames: Frames<'a>) -> Option<&'a Bytes> {
        // If nothing else references the content, the application does not keep it.
        let content =
            frames.single().filter(|content| content.len() >= SHARED && !content.is_unique())?;
        let mut shared = self.try_shared()?;
        self.is_sharing.store(true, Ordering::Relaxed);
        if !shared.stays(key, content, self.most) {
            return None;
        }
        if let Some(oldest) = shared.share(key) {
            self.release(oldest);
        }
        Some(content)
    }

    /// Releases the buffers that have been held or shared for ten seconds. `now` is
    /// called only if the cache holds or shares any buffers.
    pub(crate) fn release_buffers(&self, now: impl FnOnce() -> HttpDate) {
        if !self.is_sharing.load(Ordering::Relaxed) {
            return;
        }
        if let Some(mut shared) = self.try_shared() {
            let expired = shared.expire(now().unix_seconds());
            expired.into_iter().for_each(|key| self.release(key));
            self.is_sharing.store(!shared.is_empty(), Ordering::Relaxed);
        }
    }

    /// Removes a shared content from the cache, and keeps its tag. The content may be a
    /// small part of a large buffer that only the cache still references.
    fn release(&self, key: u64) {
        if let Some(cached) = self.cache.get(&key).filter(|cached| cached.shares) {
            let without = CachedContent { content: None, shares: false, ..(*cached).clone() };
            self.cache.insert(key, Arc::new(without));
        }
    }

    /// Locks the held and shared buffers. If another thread has the lock, this returns
    /// `None` instead of waiting: sharing is only an optimisation.
    fn try_shared(&self) -> Option<MutexGuard<'_, SharedBuffers>> {
        match self.shared.try_lock() {
            Ok(shared) => Some(shared),
            Err(TryLockError::Poisoned(shared)) => Some(shared.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl fmt::Debug for ContentCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentCache").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// The buffers that the cache holds or shares, as the module docs explain.
///
/// Each content may be a slice of a much larger buffer, which then stays in memory,
/// too. For example, a connection to an upstream reads many responses into one buffer.
/// So at most four contents are held, and at most four are shared. Each check of the
/// clock releases those that are at least ten seconds old.
#[derive(Default)]
struct SharedBuffers {
    /// The contents that are held to see whether the application keeps them.
    held: VecDeque<(Found, Bytes)>,
    /// The cached contents that share a buffer of the application.
    shared: VecDeque<Found>,
}

/// A held or shared content, and its age.
struct Found {
    key: u64,
    /// The second of the first check of the age, from which the age counts.
    since: Option<i64>,
}

impl Found {
    fn new(key: u64) -> Self {
        Self { key, since: None }
    }

    fn is_expired(&mut self, now: i64) -> bool {
        self.since.get_or_insert(now).abs_diff(now) >= SHARED_SECONDS
    }
}

impl SharedBuffers {
    /// Returns true if `content` has the address of the content that is held for `key`.
    ///
    /// Otherwise holds `content`, and drops the oldest held contents, until at most
    /// four are left with at most `most` bytes in total.
    fn stays(&mut self, key: u64, content: &Bytes, most: usize) -> bool {
        let last = self
            .held
            .iter()
            .position(|(held, _)| held.key == key)
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
        self.held.push_front((Found::new(key), content.clone()));
        false
    }

    /// Records that the cached content of `key` shares a buffer of the application. If
    /// this is the fifth such content, removes the oldest one, and returns its key, so
    /// that the caller releases that buffer.
    fn share(&mut self, key: u64) -> Option<u64> {
        self.shared.retain(|shared| shared.key != key);
        self.shared.push_front(Found::new(key));
        if self.shared.len() > SHARED_BUFFERS {
            self.shared.pop_back().map(|oldest| oldest.key)
        } else {
            None
        }
    }

    /// Removes the contents that have been held or shared for ten seconds. Returns the
    /// keys of the shared ones, so that the caller releases their buffers.
    fn expire(&mut self, now: i64) -> Vec<u64> {
        self.held.retain_mut(|(held, _)| !held.is_expired(now));
        let mut expired = Vec::new();
        for mut found in mem::take(&mut self.shared) {
            if found.is_expired(now) {
                expired.push(found.key);
            } else {
                self.shared.push_back(found);
            }
        }
        expired
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.shared.is_empty()
    }
}

/// The content of a response, in the frames in which it arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames<'a> {
    /// The first frame. Most contents have only one frame.
    pub(crate) first: Option<&'a Bytes>,
    pub(crate) more: Option<&'a VecDeque<Bytes>>,
}

impl<'a> Frames<'a> {
    fn iter(self) -> impl Iterator<Item = &'a Bytes> {
        self.first.into_iter().chain(self.more.into_iter().flatten())
    }

    /// Returns the frame that is not empty, if there is exactly one.
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

/// The tag of a response, and how it was found.
#[derive(Debug)]
pub(crate) enum ContentTag {
    /// The tag was computed from the content.
    Computed(HashedTag),
    /// The content equals the cached one.
    Cached(Arc<CachedContent>),
}

impl ContentTag {
    /// Returns the text of the tag.
    #[inline]
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

/// A tag to send, with its hash if that is known.
#[derive(Clone, Debug)]
pub(crate) struct HashedTag {
    pub(crate) tag: EntityTag,
    /// The hash of the tag (see [`Keys::bytes`]). `None` if it was not computed yet.
    id: Option<u64>,
}

impl HashedTag {
    #[inline]
    pub(crate) fn borrowed(&self) -> TagRef<'_> {
        TagRef { tag: &self.tag, id: self.id }
    }

    /// Computes the hash of the tag, if necessary, and stores it.
    pub(crate) fn hashed(self, keys: &Keys) -> Self {
        Self { id: Some(self.borrowed().id(keys)), ..self }
    }
}

/// A borrowed tag, against which preconditions are evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagRef<'a> {
    pub(crate) tag: &'a EntityTag,
    /// The hash of the tag, if it was computed.
    id: Option<u64>,
}

impl TagRef<'_> {
    #[inline]
    pub(crate) fn id(self, keys: &Keys) -> u64 {
        self.id.unwrap_or_else(|| keys.bytes(self.tag.as_bytes()))
    }
}

impl<'a> From<&'a EntityTag> for TagRef<'a> {
    fn from(tag: &'a EntityTag) -> Self {
        Self { tag, id: None }
    }
}

impl From<EntityTag> for HashedTag {
    fn from(tag: EntityTag) -> Self {
        Self { tag, id: None }
    }
}

/// The tag of the last content of a resource, and the content if it is kept.
#[derive(Clone, Debug)]
pub(crate) struct CachedContent {
    made: HashedTag,
    /// A copy of the fields from which the tag is made, if the response was negotiated
    /// and its content is kept. They are copied, because a field value may be a small
    /// part of a buffer with a whole response, and would keep that buffer in memory.
    variant: Option<Box<[u8]>>,
    content: Option<Bytes>,
    /// True if `content` shares a buffer of the application.
    shares: bool,
}

/// How two contents were found to be equal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Match {
    /// They have the same address and length.
    SameBuffer,
    /// They have the same bytes.
    EqualBytes,
}

impl CachedContent {
    /// Compares the content of a response with the cached content. Returns `None` if
    /// that does not prove that the response has the same tag as the cached content.
    ///
    /// `len` is the length of the response's content. `variant` has the response's
    /// header fields, if the response was negotiated.
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

#[inline]
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

/// Returns the fields that are part of a negotiated response's tag, with `\n` after
/// each line and `\0` after each field. No field value contains these two bytes, so
/// different fields give different results.
fn variant_bytes(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    NEGOTIATED_FIELDS.into_iter().flat_map(|name| {
        let lines = headers.get_all(name).iter();
        lines.flat_map(|line| [line.as_bytes(), b"\n"]).chain([&b"\0"[..]])
    })
}

#[derive(Clone)]
struct ContentWeight;

impl Weighter<u64, Arc<CachedContent>> for ContentWeight {
    fn weight(&self, _: &u64, remembered: &Arc<CachedContent>) -> u64 {
        let content = remembered.content.as_ref().map_or(0, Bytes::len);
        let variant = remembered.variant.as_ref().map_or(0, |variant| variant.len());
        u64::try_from(content.saturating_add(variant)).unwrap_or(u64::MAX).saturating_add(OVERHEAD)
    }
}

/// The minimum size in bytes of content that is shared with the application. Smaller
/// content is copied and compared quickly.
const SHARED: usize = 1024;

/// The maximum number of held contents, and the maximum number of shared contents. Each
/// of them may keep a much larger buffer in memory.
const SHARED_BUFFERS: usize = 4;

/// How many seconds a content is held or shared.
const SHARED_SECONDS: u64 = 10;

/// The maximum number of bytes of content that is compared or copied. For this many
/// bytes, that takes a few tenths of a millisecond.
const AT_ONCE: usize = 4 << 20;

const ITEMS: usize = 4096;

/// The weight in bytes of an entry of the cache, apart from its content and fields: the
/// tag and the bookkeeping.
const OVERHEAD: u64 = 512;

#[cfg(test)]
mod tests;
