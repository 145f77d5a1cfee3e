//! Replays the frames of a body that was partly read, trailers included, and continues
//! with the rest.

use std::{
    pin::Pin,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    response_body::{at_least, poll_bytes},
    Content, PolledFrame,
};

/// A body that was partly read: the frames that were read, then the rest.
pub(crate) struct Replay<B: Body> {
    pub(crate) read: Content,
    /// The frame or error that ended the reading, if any.
    pub(crate) last: Option<Result<Frame<Bytes>, B::Error>>,
    /// The inner body. `None` once it has ended.
    pub(crate) rest: Option<Pin<Box<B>>>,
    /// The size hint of the inner body before it was read.
    pub(crate) hint: SizeHint,
    /// True if frames were yielded that must be flushed before the body continues.
    pub(crate) flush: bool,
}

impl<B: Body> Replay<B> {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<PolledFrame<B::Error>> {
        let frame = match (self.read.pop(), &mut self.rest) {
            (Some(read), _) => {
                self.flush = true;
                Some(Ok(read))
            }
            (None, None) if self.last.is_none() => None,
            // Deliberately returns `Pending` once, as the inner body did. If an error
            // followed at once, Hyper's HTTP/1.1 would drop frames that are not
            // flushed.
            (None, _) if std::mem::take(&mut self.flush) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            (None, rest) => match (self.last.take(), rest) {
                (None, Some(rest)) => ready!(poll_bytes(rest.as_mut(), cx)),
                (last, _) => last,
            },
        };
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.hint = less(&self.hint, data.len().try_into().unwrap_or(u64::MAX));
        }
        Poll::Ready(frame)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        // A body that ended too early must not look complete, because Hyper would then
        // end the response normally.
        self.read.is_empty()
            && self.last.is_none()
            && self.rest.as_ref().is_some_and(|rest| rest.is_end_stream())
    }

    /// Returns the inner body's first hint minus the bytes that were yielded since. If
    /// that hint was wrong, the client sees the same as without the layer.
    pub(super) fn size_hint(&self) -> SizeHint {
        less(&self.hint, 0)
    }
}

/// Returns the hint for the rest after `bytes` were sent.
fn less(hint: &SizeHint, bytes: u64) -> SizeHint {
    let mut left = at_least(hint.lower().saturating_sub(bytes));
    if let Some(upper) = hint.upper() {
        left.set_upper(upper.saturating_sub(bytes));
    }
    left
}
