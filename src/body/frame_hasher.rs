//! Content that is hashed while it is sent.

use std::{
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http::{header::ETAG, HeaderMap};
use http_body::Frame;

use super::{yield_now, PolledFrame};
use crate::{
    fields::insert_field,
    rules::EntityTag,
    stats::Counters,
    validators::{tag, Digest},
};

/// Hashes content that passes, and does something with its tag when all of it has.
///
/// A frame goes on when it is hashed, 64 KiB a poll; nothing of it is kept after that.
/// Content that ends with an error, too early or not at all teaches nothing.
pub(crate) struct FrameHasher {
    /// `None` once the tag was made, or cannot be.
    hashing: Option<Box<dyn DynTagHasher>>,
    size: Size,
    /// How many were hashed.
    hashed: u64,
    held: Option<PendingFrame>,
    /// The body has ended.
    is_over: bool,
    then: OnComplete,
    counters: Arc<Counters>,
}

/// A frame that is being hashed.
struct PendingFrame {
    data: Bytes,
    /// How many bytes of it were hashed.
    done: usize,
    /// Nothing follows it.
    is_last: bool,
}

/// What the body said of its size before it was read.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// How many bytes the content should have.
    pub(crate) exact: Option<u64>,
    /// How many it should have at least.
    pub(crate) least: u64,
}

/// What to do with the tag.
pub(crate) enum OnComplete {
    Learn(Box<dyn FnOnce(EntityTag) + Send + Sync>),
    /// Send it behind the content.
    Trailer {
        weak: bool,
    },
    /// Keep the hash until the next part comes.
    Continue(Box<dyn FnOnce(Box<dyn DynTagHasher>) + Send + Sync>),
    Done,
}

/// A digest of whatever kind, with the fields of the response that are part of its tag.
pub(crate) trait DynTagHasher: Send + Sync {
    fn update(&mut self, bytes: &[u8]);
    fn tag(self: Box<Self>) -> EntityTag;
}

struct TagHasher<D> {
    digest: D,
    /// The header fields of the response, if it was negotiated.
    variant: Option<HeaderMap>,
}

impl<D: Digest> DynTagHasher for TagHasher<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    fn tag(self: Box<Self>) -> EntityTag {
        tag(self.digest, self.variant.is_some(), &self.variant.unwrap_or_default())
    }
}

impl PendingFrame {
    /// Hashes the next slice; ready when that was the last.
    fn poll_hash(
        &mut self,
        hashing: Option<&mut (dyn DynTagHasher + 'static)>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let rest = self.data.get(self.done..).unwrap_or_default();
        let slice = rest.get(..SLICE).unwrap_or(rest);
        if let Some(hashing) = hashing {
            hashing.update(slice);
        }
        self.done += slice.len();
        if slice.len() < rest.len() {
            yield_now(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl FrameHasher {
    pub(crate) fn new<D: Digest>(
        variant: Option<HeaderMap>,
        size: Size,
        then: OnComplete,
        counters: Arc<Counters>,
    ) -> Self {
        let hashing = Box::new(TagHasher { digest: D::default(), variant });
        Self::resume(hashing, size, then, counters)
    }

    /// Goes on with the hash of the parts before.
    pub(crate) fn resume(
        hashing: Box<dyn DynTagHasher>,
        size: Size,
        then: OnComplete,
        counters: Arc<Counters>,
    ) -> Self {
        Self { hashing: Some(hashing), size, hashed: 0, held: None, is_over: false, then, counters }
    }

    /// Yields what `next` yields, hashed. With what it yields, `next` says whether
    /// nothing follows.
    pub(crate) fn poll<E>(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<(PolledFrame<E>, bool)>,
    ) -> Poll<PolledFrame<E>> {
        loop {
            if let Some(held) = &mut self.held {
                ready!(held.poll_hash(self.hashing.as_deref_mut(), cx));
                let bytes = held.data.len().try_into().unwrap_or(u64::MAX);
                self.hashed = self.hashed.saturating_add(bytes);
                self.counters.hashed(bytes);
                let Some(PendingFrame { data, is_last, .. }) = self.held.take() else {
                    return Poll::Pending;
                };
                if is_last && !matches!(self.then, OnComplete::Trailer { .. }) {
                    self.finish();
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            let (yielded, is_last) = ready!(next(cx));
            match yielded {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.held = Some(PendingFrame { data, done: 0, is_last }),
                    Err(frame) => return Poll::Ready(Some(Ok(self.pass_trailers(frame)))),
                },
                Some(Err(error)) => {
                    self.hashing = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.is_over = true;
                    let trailer =
                        self.finish().map(|tag| HeaderMap::from_iter([(ETAG, tag.into())]));
                    return Poll::Ready(trailer.map(|trailers| Ok(Frame::trailers(trailers))));
                }
            }
        }
    }

    /// Returns true if something is to come that the inner body does not know of.
    pub(crate) fn has_more(&self) -> bool {
        self.held.is_some()
            || self.hashing.is_some() && matches!(self.then, OnComplete::Trailer { .. })
    }

    /// Returns how many bytes were taken and not yielded yet.
    pub(crate) fn held(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.data.len().try_into().unwrap_or(u64::MAX))
    }

    fn pass_trailers(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let tag = self.finish();
        match (frame.into_trailers(), tag) {
            (Ok(mut trailers), Some(tag)) => {
                if !trailers.contains_key(ETAG) {
                    insert_field(&mut trailers, ETAG, tag.into());
                }
                Frame::trailers(trailers)
            }
            (Ok(trailers), None) => Frame::trailers(trailers),
            (Err(frame), _) => frame,
        }
    }

    /// Makes the tag, if all content was hashed, and returns it if it is to be sent.
    fn finish(&mut self) -> Option<EntityTag> {
        let Size { exact, least } = self.size;
        let is_whole = self.hashed >= least && exact.is_none_or(|exact| exact == self.hashed);
        let hashing = self.hashing.take()?;
        if !is_whole {
            return None;
        }
        match std::mem::replace(&mut self.then, OnComplete::Done) {
            OnComplete::Learn(learn) => {
                learn(hashing.tag());
                None
            }
            OnComplete::Continue(keep) => {
                keep(hashing);
                None
            }
            OnComplete::Trailer { weak: true } => Some(hashing.tag().into_weak()),
            OnComplete::Trailer { weak: false } => Some(hashing.tag()),
            OnComplete::Done => None,
        }
    }
}

impl Drop for FrameHasher {
    /// Over HTTP/1.1 nobody asks for the end of content whose length is known: it is
    /// dropped when all of it has passed.
    fn drop(&mut self) {
        if self.size.exact.is_some() && self.held.is_none() {
            self.finish();
        }
    }
}

/// How many bytes are hashed in one poll.
const SLICE: usize = 64 * 1024;
