//! Hashes content while it is sent.

use std::{
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http::{header::ETAG, HeaderMap};
use http_body::Frame;

use super::{yield_now, PolledFrame};
use crate::{
    header_map::insert_field,
    rules::{EntityTag, REPR_DIGEST},
    stats::Counters,
    validators::{hash_of_variant, tag_of_hashes, Digest, TagFormat},
};

/// Hashes content while it is sent, and makes its tag at the end.
///
/// A frame is sent once it is hashed. Each poll hashes at most 64 KiB. No tag is made
/// of content that ends early, ends with an error, or does not end.
pub(crate) struct FrameHasher {
    /// `None` once the tag has been made, or cannot be made.
    hashing: Option<Box<dyn DynTagHasher>>,
    size: Size,
    /// How many bytes were hashed.
    hashed: u64,
    held: Option<PendingFrame>,
    /// The body has ended.
    is_over: bool,
    then: Option<OnComplete>,
    trailer: Option<TrailerFields>,
    counters: Arc<Counters>,
}

/// A frame that is being hashed.
struct PendingFrame {
    data: Bytes,
    /// How many bytes of the frame were hashed.
    done: usize,
    /// This is the last frame.
    is_last: bool,
}

/// The announced size of the body.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// The exact size of the content, if known.
    pub(crate) exact: Option<u64>,
    /// The minimum size of the content.
    pub(crate) least: u64,
}

/// What to do with the hash at the end of the body.
pub(crate) enum OnComplete {
    Learn(Box<dyn FnOnce(EntityTag) + Send + Sync>),
    /// Keep the hash. A response with the next part of the content continues it.
    Continue(Box<dyn FnOnce(Box<dyn DynTagHasher>) + Send + Sync>),
}

/// The fields of the trailer section: the digest and, if `with_tag` is true, the tag.
#[derive(Clone, Copy)]
pub(crate) struct TrailerFields {
    pub(crate) with_tag: bool,
    pub(crate) format: TagFormat,
}

impl TrailerFields {
    /// Adds the fields that are missing in the trailer section.
    fn add_to(self, trailers: &mut HeaderMap, tag: EntityTag) {
        let digest = self.format.repr_digest(&tag);
        let tag = self.with_tag.then(|| tag.into());
        for (name, value) in [(ETAG, tag), (REPR_DIGEST, digest)] {
            if let (Some(value), false) = (value, trailers.contains_key(&name)) {
                insert_field(trailers, name, value);
            }
        }
    }
}

/// Hashes content with a digest of any type, and makes the tag.
pub(crate) trait DynTagHasher: Send + Sync {
    fn update(&mut self, bytes: &[u8]);
    fn tag(self: Box<Self>) -> EntityTag;
}

struct TagHasher<D> {
    digest: D,
    /// The hash of the variant, if the response was negotiated. Deliberately a hash and
    /// not the fields: this value is kept from one part (206) to the next, and a field
    /// value could keep the buffer of a whole response in memory.
    variant: Option<Box<[u8]>>,
}

impl<D: Digest> DynTagHasher for TagHasher<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    fn tag(self: Box<Self>) -> EntityTag {
        tag_of_hashes(self.digest.finish().as_ref(), self.variant.as_deref())
    }
}

impl PendingFrame {
    /// Hashes the next slice. Returns `Ready` after the last one.
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
    /// Starts to hash content. `variant` has the header fields of the response, if it
    /// was negotiated.
    pub(crate) fn new<D: Digest>(
        variant: Option<&HeaderMap>,
        size: Size,
        then: Option<OnComplete>,
        counters: Arc<Counters>,
    ) -> Self {
        let variant = variant.map(|fields| hash_of_variant::<D>(fields).as_ref().into());
        let hashing = Box::new(TagHasher { digest: D::default(), variant });
        Self::resume(hashing, size, then, counters)
    }

    /// Continues the hash of the previous parts of the content.
    pub(crate) fn resume(
        hashing: Box<dyn DynTagHasher>,
        size: Size,
        then: Option<OnComplete>,
        counters: Arc<Counters>,
    ) -> Self {
        let (hashing, trailer) = (Some(hashing), None);
        Self { hashing, size, hashed: 0, held: None, is_over: false, then, trailer, counters }
    }

    /// Sends these fields after the content.
    pub(crate) fn with_trailer(mut self, trailer: Option<TrailerFields>) -> Self {
        self.trailer = trailer;
        self
    }

    /// Yields the frames of `next` once they are hashed. `next` also returns whether a
    /// frame is the last.
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
                if is_last && self.trailer.is_none() {
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
                    let trailer = self.finish().map(|(fields, tag)| {
                        let mut trailers = HeaderMap::new();
                        fields.add_to(&mut trailers, tag);
                        Ok(Frame::trailers(trailers))
                    });
                    return Poll::Ready(trailer);
                }
            }
        }
    }

    /// Returns true if there is a frame to yield even after the end of the inner body.
    pub(crate) fn has_more(&self) -> bool {
        self.held.is_some() || self.hashing.is_some() && self.trailer.is_some()
    }

    /// Returns how many bytes were read from the body and not yielded yet.
    pub(crate) fn held(&self) -> u64 {
        self.held.as_ref().map_or(0, |held| held.data.len().try_into().unwrap_or(u64::MAX))
    }

    fn pass_trailers(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let hashed = self.finish();
        match (frame.into_trailers(), hashed) {
            (Ok(mut trailers), Some((fields, tag))) => {
                fields.add_to(&mut trailers, tag);
                Frame::trailers(trailers)
            }
            (Ok(trailers), None) => Frame::trailers(trailers),
            (Err(frame), _) => frame,
        }
    }

    /// Makes the tag, if all content was hashed. Returns it if trailer fields are sent.
    fn finish(&mut self) -> Option<(TrailerFields, EntityTag)> {
        let Size { exact, least } = self.size;
        let is_whole = self.hashed >= least && exact.is_none_or(|exact| exact == self.hashed);
        let hashing = self.hashing.take()?;
        if !is_whole {
            return None;
        }
        let tag = match self.then.take() {
            Some(OnComplete::Continue(keep)) => {
                keep(hashing);
                return None;
            }
            Some(OnComplete::Learn(learn)) => {
                let tag = hashing.tag();
                learn(tag.clone());
                tag
            }
            None => hashing.tag(),
        };
        Some((self.trailer?, tag))
    }
}

impl Drop for FrameHasher {
    /// Finishes the hash, because Hyper's HTTP/1.1 does not poll a body of known length
    /// for its end. Hyper drops such a body once all bytes have been sent.
    fn drop(&mut self) {
        if self.size.exact.is_some() && self.held.is_none() {
            self.finish();
        }
    }
}

/// How many bytes are hashed in one poll.
const SLICE: usize = 64 * 1024;
