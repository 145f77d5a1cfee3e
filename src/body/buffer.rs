//! The frames of a body that were read ahead, in order.
//!
//! The buffer does no I/O. Frames are pushed into it, and it returns an error when
//! reading must stop.

use std::{collections::VecDeque, fmt, sync::Arc};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::{
    budget::{Budget, Reservation},
    response_body::at_least,
};
use crate::{outcome::Reason, store::Frames};

/// The frames of one body: at most `limit` bytes of content, and the trailers.
#[derive(Debug)]
pub(crate) struct Buffer {
    content: Content,
    /// The maximum number of bytes to keep.
    limit: u64,
    /// The announced length of the body, if known.
    promised: Option<u64>,
}

/// The frames with content, in order, and the trailers.
#[derive(Default)]
pub(crate) struct Content {
    /// The first frame. Most bodies have only one frame, so they need no allocation.
    first: Option<Bytes>,
    /// The other frames. Boxed, because most bodies have only one frame.
    tail: Option<Box<Tail>>,
    /// The number of bytes of content.
    len: u64,
}

/// The frames after the first.
#[derive(Default)]
struct Tail {
    frames: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// The bytes that the frames have taken from the layer's budget.
    reservation: Option<Reservation>,
}

/// A frame that the buffer did not take, and the reason.
#[derive(Debug)]
pub(crate) struct Overflow {
    pub(crate) reason: Reason,
    pub(crate) frame: Frame<Bytes>,
}

impl Buffer {
    pub(crate) fn new(limit: u64, promised: Option<u64>) -> Self {
        Self { content: Content::default(), limit, promised }
    }

    /// Takes the next frame. Returns the frame as an error if the content cannot be
    /// kept as a whole.
    ///
    /// `budget` is that of the layer. It is `None` for content that is read even if the
    /// budget is used up: the response to a guard's GET, and the first two frames of a
    /// write.
    #[inline]
    pub(crate) fn push(
        &mut self,
        frame: Frame<impl Buf>,
        budget: Option<&Arc<Budget>>,
    ) -> Result<(), Overflow> {
        let overflow = |reason, frame| Err(Overflow { reason, frame });
        let is_over = self.content.has_trailers();
        match frame.into_data() {
            Ok(mut data) => {
                let data = data.copy_to_bytes(data.remaining());
                // Trailers are the last frame, so a frame after them is an error.
                let overflow_reason = if is_over {
                    Some(Reason::WrongLength)
                } else {
                    self.overflow_reason(&data, budget)
                };
                match overflow_reason {
                    None => self.content.push(data),
                    Some(reason) => return overflow(reason, Frame::data(data)),
                }
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) if is_over => {
                    return overflow(Reason::WrongLength, Frame::trailers(trailers))
                }
                Ok(trailers) => self.content.tail.get_or_insert_default().trailers = Some(trailers),
                Err(frame) => {
                    let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                    return overflow(Reason::WrongLength, frame);
                }
            },
        }
        Ok(())
    }

    /// Returns the reason why these bytes cannot be kept. `None` if they can be.
    #[inline]
    fn overflow_reason(&mut self, data: &Bytes, budget: Option<&Arc<Budget>>) -> Option<Reason> {
        let len = self.content.len.saturating_add(bytes(data));
        if self.promised.is_some_and(|promised| len > promised) {
            Some(Reason::WrongLength)
        } else if len > self.limit {
            Some(Reason::TooLarge)
        } else if self.content.frames() >= self.most_frames() {
            Some(Reason::TooManyFrames)
        } else if self.content.first.is_some() && len > SMALL && !self.reserve(len, budget) {
            Some(Reason::Busy)
        } else {
            None
        }
    }

    /// Reserves `bytes` of the budget, or the announced length if that is more. Returns
    /// false if the budget has too few bytes left.
    ///
    /// Content in a single frame reserves nothing: the inner service holds it anyway.
    fn reserve(&mut self, bytes: u64, budget: Option<&Arc<Budget>>) -> bool {
        let Some(budget) = budget else { return true };
        // Reserve the announced length at once, if known. Otherwise the first parts of
        // many contents could use up the budget, and none could be read to its end.
        let bytes = self.promised.unwrap_or(bytes).max(bytes);
        let tail = self.content.tail.get_or_insert_default();
        tail.reservation.get_or_insert_with(|| Reservation::new(budget)).grow(bytes)
    }

    /// Returns the maximum number of frames to keep. Their bookkeeping, 32 bytes each,
    /// then takes at most half of the limit, plus 32 KiB.
    fn most_frames(&self) -> usize {
        usize::try_from(self.limit / 64).unwrap_or(usize::MAX).saturating_add(1024)
    }

    /// Returns true if a body that has ended has its announced length.
    pub(crate) fn is_as_promised(&self) -> bool {
        self.promised.is_none_or(|promised| promised == self.content.len)
    }

    pub(crate) fn promised(&self) -> Option<u64> {
        self.promised
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Takes the content out of the buffer.
    #[inline]
    pub(crate) fn take_content(&mut self) -> Content {
        std::mem::take(&mut self.content)
    }
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns true if there is no frame, not even an empty one.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.frames() == 0 && !self.has_trailers()
    }

    /// Returns true if a body of this content, which was read to its end, has an exact
    /// size. `was_exact` is true if the body that was read had one.
    ///
    /// Over HTTP/1.1, trailers are sent only after a body of unknown size.
    #[inline]
    pub(super) fn is_size_exact(&self, was_exact: bool) -> bool {
        was_exact || !self.has_trailers()
    }

    /// Returns the size of the frames that are left.
    #[inline]
    pub(super) fn size_hint(&self, is_exact: bool) -> SizeHint {
        if is_exact {
            SizeHint::with_exact(self.len)
        } else {
            at_least(self.len)
        }
    }

    #[inline]
    pub(crate) fn has_trailers(&self) -> bool {
        self.tail.as_ref().is_some_and(|tail| tail.trailers.is_some())
    }

    /// Returns the number of frames with content.
    #[inline]
    pub(crate) fn frames(&self) -> usize {
        usize::from(self.first.is_some()) + self.tail.as_ref().map_or(0, |tail| tail.frames.len())
    }

    /// Returns the content of a frame by its index.
    pub(crate) fn data(&self, place: usize) -> Option<&Bytes> {
        match (&self.first, place) {
            (Some(first), 0) => Some(first),
            (first, place) => self.tail.as_ref()?.frames.get(place - usize::from(first.is_some())),
        }
    }

    /// Returns all frames with content.
    #[inline]
    pub(crate) fn all(&self) -> Frames<'_> {
        Frames { first: self.first.as_ref(), more: self.tail.as_deref().map(|tail| &tail.frames) }
    }

    /// Returns the only frame, or `None` if there is no frame. If there are several
    /// frames, or trailers, returns the content unchanged as an error.
    #[inline]
    pub(crate) fn into_single(self) -> Result<Option<Bytes>, Self> {
        if self.tail.is_some() {
            Err(self)
        } else {
            Ok(self.first)
        }
    }

    /// Removes and returns the first frame.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Frame<Bytes>> {
        let tail = &mut self.tail;
        if let Some(data) = self.first.take().or_else(|| tail.as_mut()?.frames.pop_front()) {
            self.len = self.len.saturating_sub(bytes(&data));
            return Some(Frame::data(data));
        }
        self.tail.take()?.trailers.map(Frame::trailers)
    }

    #[inline]
    pub(super) fn push(&mut self, data: Bytes) {
        self.len = self.len.saturating_add(bytes(&data));
        match &mut self.tail {
            None if self.first.is_none() => self.first = Some(data),
            tail => tail.get_or_insert_default().frames.push_back(data),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trailers = self.tail.as_ref().and_then(|tail| tail.trailers.as_ref());
        f.debug_struct("Content")
            .field("frames", &self.frames())
            .field("len", &self.len)
            .field("trailers", &trailers)
            .finish()
    }
}

/// Content of at most this many bytes does not count towards the budget.
const SMALL: u64 = 64 << 10;

fn bytes(data: &Bytes) -> u64 {
    data.len().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    fn push(buffer: &mut Buffer, text: &'static str) -> Result<(), Reason> {
        buffer.push(data(text), None).map_err(|overflow| overflow.reason)
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut buffer = Buffer::new(100, None);
        for text in ["ab", "", "c"] {
            push(&mut buffer, text).unwrap();
        }
        let trailers: HeaderMap =
            HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("\"x\""))]);
        buffer.push(Frame::<Bytes>::trailers(trailers.clone()), None).unwrap();
        let mut content = buffer.take_content();
        assert_eq!((content.len(), content.frames()), (3, 3));
        assert_eq!(
            (0..3).map(|place| content.data(place).unwrap()).collect::<Vec<_>>(),
            ["ab", "", "c"]
        );
        assert_eq!((content.data(2).unwrap(), content.data(3)), (&Bytes::from_static(b"c"), None));
        for text in ["ab", "", "c"] {
            assert_eq!(content.pop().unwrap().into_data().unwrap(), text);
        }
        assert_eq!(content.len(), 0);
        assert_eq!(content.pop().unwrap().into_trailers().unwrap(), trailers);
        assert!(content.pop().is_none() && content.is_empty());
    }

    #[test]
    fn frames_that_do_not_fit_are_returned() {
        for (limit, promised, texts, expected) in [
            (3, None, ["abc", ""], Ok(())),
            (3, None, ["abc", "d"], Err(Reason::TooLarge)),
            (2, None, ["abc", ""], Err(Reason::TooLarge)),
            (0, None, ["", ""], Ok(())),
            (9, Some(3), ["ab", "c"], Ok(())),
            (9, Some(3), ["ab", "cd"], Err(Reason::WrongLength)),
        ] {
            let mut buffer = Buffer::new(limit, promised);
            let seen = texts.into_iter().try_for_each(|text| push(&mut buffer, text));
            assert_eq!(seen, expected, "{limit} {promised:?} {texts:?}");
        }
        let mut buffer = Buffer::new(9, Some(3));
        push(&mut buffer, "ab").unwrap();
        assert!(!buffer.is_as_promised());
        buffer.push(Frame::<Bytes>::trailers(HeaderMap::new()), None).unwrap();
        assert_eq!(push(&mut buffer, "c"), Err(Reason::WrongLength), "nothing follows trailers");
    }

    #[test]
    fn content_in_several_frames_takes_of_the_budget_until_it_is_dropped() {
        let frame = || Frame::data(Bytes::from(vec![b'x'; 60 << 10]));
        let budget = Arc::new(Budget::new(200 << 10));
        let filled = |frames: usize| {
            let mut buffer = Buffer::new(1 << 20, None);
            let push = |_| buffer.push(frame(), Some(&budget)).map_err(|overflow| overflow.reason);
            let result = (0..frames).try_for_each(push);
            (buffer.take_content(), result)
        };
        let (one, result) = filled(1);
        assert_eq!((budget.used(), result), (0, Ok(())), "the inner service made it");
        let (three, result) = filled(3);
        assert_eq!((budget.used(), result), (180 << 10, Ok(())));
        let (second, result) = filled(2);
        assert_eq!((budget.used(), result), (180 << 10, Err(Reason::Busy)));
        assert_eq!(second.frames(), 1);
        drop(three);
        assert_eq!((budget.used(), filled(2).1), (0, Ok(())));
        drop(one);
    }

    #[test]
    fn endless_empty_frames_do_not_fill_memory() {
        let mut buffer = Buffer::new(64 * 10, None);
        let taken = (0..).take_while(|_| push(&mut buffer, "").is_ok()).count();
        assert_eq!(taken, 1024 + 10);
        assert_eq!(push(&mut buffer, ""), Err(Reason::TooManyFrames));
    }
}
