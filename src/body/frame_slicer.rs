//! Cuts the requested range out of the content, for a 206.

use std::{
    ops::Range,
    task::{ready, Context, Poll},
};

use bytes::Buf;
use http_body::Frame;

use super::{yield_now, PolledFrame};

/// Cuts a part out of content while it is sent.
pub(crate) struct FrameSlicer {
    skip: u64,
    left: u64,
}

impl FrameSlicer {
    pub(crate) fn new(range: Range<u64>) -> Self {
        Self { skip: range.start, left: range.end - range.start }
    }

    /// Returns how many bytes are still to come.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Yields the bytes of `next` that belong to the part.
    pub(crate) fn poll<E>(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut(&mut Context<'_>) -> Poll<PolledFrame<E>>,
    ) -> Poll<PolledFrame<E>> {
        // Yields to other tasks after eight frames that lie before the part.
        for _ in 0..FRAMES {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            let data = match ready!(next(cx)) {
                Some(Ok(frame)) => frame.into_data(),
                other => return Poll::Ready(other),
            };
            // Trailers describe the whole content, so they are not sent with a part.
            let Ok(mut data) = data else { continue };
            let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
            let skipped = self.skip.min(len);
            self.skip -= skipped;
            data.advance(usize::try_from(skipped).unwrap_or(usize::MAX));
            data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            if !data.is_empty() {
                self.left -= u64::try_from(data.len()).unwrap_or(u64::MAX);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        yield_now(cx);
        Poll::Pending
    }
}

/// How many frames are discarded at most in one poll.
const FRAMES: usize = 8;
