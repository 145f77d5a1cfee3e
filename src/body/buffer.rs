//! The frames read ahead of a response: kept as they came, counted, and given back in order.
//!
//! The buffer does no I/O: frames are pushed in, and it says when to stop.

use std::{collections::VecDeque, fmt};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Frame;

use crate::representation::Reason;

/// Frames of one body, at most `limit` octets of content, and trailers.
pub(crate) struct Buffer {
    /// The first frame lies here: most bodies have no other, and need no allocation then.
    first: Option<Bytes>,
    others: VecDeque<Bytes>,
    /// In a box, because most bodies have none.
    trailers: Option<Box<HeaderMap>>,
    /// Octets of content.
    len: u64,
    /// How many octets may be kept.
    limit: u64,
    /// How many octets the body said it has.
    promised: Option<u64>,
}

/// A frame that the buffer did not take, and why.
#[derive(Debug)]
pub(crate) struct Overflow {
    pub(crate) reason: Reason,
    pub(crate) frame: Frame<Bytes>,
}

impl Buffer {
    pub(crate) fn new(limit: u64, promised: Option<u64>) -> Self {
        Self { first: None, others: VecDeque::new(), trailers: None, len: 0, limit, promised }
    }

    /// Makes a buffer of content that came in one piece.
    pub(crate) fn of(content: Bytes) -> Self {
        let len = content.len().try_into().unwrap_or(u64::MAX);
        Self { first: Some(content), len, ..Self::new(len, Some(len)) }
    }

    /// Takes the next frame, or gives it back if the content cannot be kept whole.
    pub(crate) fn push(&mut self, frame: Frame<impl Buf>) -> Result<(), Overflow> {
        let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
        if self.trailers.is_some() {
            // Trailers come last; whatever this is, it is no representation.
            return Err(Overflow { reason: Reason::WrongLength, frame });
        }
        match frame.into_data() {
            Ok(data) => self.push_data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => {
                    self.trailers = Some(Box::new(trailers));
                    Ok(())
                }
                Err(frame) => Err(Overflow { reason: Reason::WrongLength, frame }),
            },
        }
    }

    fn push_data(&mut self, data: Bytes) -> Result<(), Overflow> {
        let len = self.len.saturating_add(data.len().try_into().unwrap_or(u64::MAX));
        let reason = if self.promised.is_some_and(|promised| len > promised) {
            Reason::WrongLength
        } else if len > self.limit {
            Reason::TooLarge
        } else if self.frames() >= self.most_frames() {
            Reason::TooManyFrames
        } else {
            self.len = len;
            if self.first.is_none() && self.others.is_empty() {
                self.first = Some(data);
            } else {
                self.others.push_back(data);
            }
            return Ok(());
        };
        Err(Overflow { reason, frame: Frame::data(data) })
    }

    /// Returns true if the body, which has ended, was as long as it said.
    pub(crate) fn is_as_promised(&self) -> bool {
        self.promised.is_none_or(|promised| promised == self.len)
    }

    /// Returns how many octets the body said it has.
    pub(crate) fn promised(&self) -> Option<u64> {
        self.promised
    }

    /// Returns the octets of content that are in the buffer.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns true if there is no frame in the buffer, not even an empty one.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames() == 0 && self.trailers.is_none()
    }

    pub(crate) fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// Returns the number of frames with content.
    pub(crate) fn frames(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// Returns a frame's content by its place, counted from 0.
    pub(crate) fn data(&self, place: usize) -> Option<&Bytes> {
        match (&self.first, place) {
            (Some(first), 0) => Some(first),
            (Some(_), place) => self.others.get(place - 1),
            (None, place) => self.others.get(place),
        }
    }

    /// Returns the content of all frames.
    pub(crate) fn content(&self) -> impl Iterator<Item = &Bytes> + Clone {
        self.first.iter().chain(&self.others)
    }

    /// Takes the first frame out.
    pub(crate) fn pop(&mut self) -> Option<Frame<Bytes>> {
        if let Some(data) = self.first.take().or_else(|| self.others.pop_front()) {
            self.len = self.len.saturating_sub(data.len().try_into().unwrap_or(u64::MAX));
            return Some(Frame::data(data));
        }
        self.trailers.take().map(|trailers| Frame::trailers(*trailers))
    }

    /// Returns how many frames may be kept: their bookkeeping then costs no more than half the limit, and 32 KiB.
    fn most_frames(&self) -> usize {
        usize::try_from(self.limit / 64).unwrap_or(usize::MAX).saturating_add(1024)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len, limit, promised, trailers, .. } = self;
        f.debug_struct("Buffer")
            .field("frames", &self.frames())
            .field("len", len)
            .field("trailers", trailers)
            .field("limit", limit)
            .field("promised", promised)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    fn push(buffer: &mut Buffer, text: &'static str) -> Result<(), Reason> {
        buffer.push(data(text)).map_err(|overflow| overflow.reason)
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut buffer = Buffer::new(100, None);
        for text in ["ab", "", "c"] {
            push(&mut buffer, text).unwrap();
        }
        let trailers: HeaderMap = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("\"x\""))]);
        buffer.push(Frame::<Bytes>::trailers(trailers.clone())).unwrap();
        assert_eq!((buffer.len(), buffer.frames()), (3, 3));
        assert_eq!(buffer.data(2).unwrap(), "c");
        for text in ["ab", "", "c"] {
            assert_eq!(buffer.pop().unwrap().into_data().unwrap(), text);
        }
        assert_eq!(buffer.len(), 0);
        assert_eq!(buffer.pop().unwrap().into_trailers().unwrap(), trailers);
        assert!(buffer.pop().is_none() && buffer.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_given_back() {
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
        buffer.push(Frame::<Bytes>::trailers(HeaderMap::new())).unwrap();
        assert_eq!(push(&mut buffer, "c"), Err(Reason::WrongLength), "nothing follows trailers");
    }

    #[test]
    fn endless_empty_frames_do_not_fill_memory() {
        let mut buffer = Buffer::new(64 * 10, None);
        let taken = (0..).take_while(|_| push(&mut buffer, "").is_ok()).count();
        assert_eq!(taken, 1024 + 10);
        assert_eq!(push(&mut buffer, ""), Err(Reason::TooManyFrames));
    }
}
