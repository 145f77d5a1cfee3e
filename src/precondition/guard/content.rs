//! The content of a write: read ahead where it has preconditions, and looked at where
//! it has none.

use std::{
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use http::HeaderMap;
use http_body::Body;

use super::refusal::Refusal;
use crate::{
    body::{
        yield_now, BoxError, Budget, Buffer, Content, Gate, GatedBody, HashProgress, RequestBody,
        RequestBodyError,
    },
    outcome::Reason,
    rules::EntityTag,
    validators::{tag, Sha256},
};

/// What is there of the content, and what is still to come.
pub(super) struct WriteContent<B> {
    /// `None` once it has ended. In a box, because it may not move once it was polled.
    body: Option<Pin<Box<B>>>,
    buffer: Buffer,
    error: Option<BoxError>,
    /// How many bytes the content has at least.
    least: u64,
}

impl<B> WriteContent<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(body: B) -> Self {
        let least = body.size_hint().lower();
        let body = if body.is_end_stream() { None } else { Some(Box::pin(body)) };
        Self { body, buffer: Buffer::new(u64::MAX, None), error: None, least }
    }

    /// Returns true if all content is there.
    pub(super) fn is_whole(&self) -> bool {
        self.body.is_none() && self.error.is_none()
    }

    /// Returns how many bytes are there.
    pub(super) fn len(&self) -> u64 {
        self.buffer.content().len()
    }

    /// Looks whether all content is there; it is if its first frame is the last.
    pub(super) fn look(&mut self, cx: &mut Context<'_>) {
        let _first = self.poll_next(cx, None);
        if self.buffer.content().frames() == 1 {
            // Some bodies tell that they have ended only when they are asked.
            let _end = self.poll_next(cx, None);
        }
    }

    /// Reads all content, as far as it may be held.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        limit: u64,
        budget: &Arc<Budget>,
    ) -> Poll<Result<(), Refusal>> {
        let is_too_large = |content: &Content, rest: u64| {
            // Many small frames take more memory than their bytes.
            let frames = u64::try_from(content.frames()).unwrap_or(u64::MAX);
            content.len().saturating_add(rest) > limit || frames > limit / 64 + 1024
        };
        for _ in 0..FRAMES_AT_ONCE {
            let rest = self.body.as_ref().map_or(0, |body| body.size_hint().lower());
            if is_too_large(self.buffer.content(), rest) {
                return Poll::Ready(Err(Refusal::ContentTooLarge));
            }
            if self.error.is_some() {
                return Poll::Ready(Err(Refusal::BrokenContent));
            }
            if self.body.is_none() {
                return Poll::Ready(Ok(()));
            }
            if let Err(reason) = ready!(self.poll_next(cx, Some(budget))) {
                return Poll::Ready(Err(match reason {
                    Reason::Busy => Refusal::Busy,
                    _ => Refusal::BrokenContent,
                }));
            }
        }
        yield_now(cx);
        Poll::Pending
    }

    /// Takes in the next frame, or the end.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        budget: Option<&Arc<Budget>>,
    ) -> Poll<Result<(), Reason>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        let mut taken = Ok(());
        match ready!(body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => {
                let is_last = body.is_end_stream();
                taken = self
                    .buffer
                    .push(frame.map_data(compact), budget)
                    .map_err(|overflow| overflow.reason);
                if !is_last {
                    return Poll::Ready(taken);
                }
            }
            Some(Err(error)) => self.error = Some(error.into()),
            None => {}
        }
        self.body = None;
        // A stream that is reset without an error ends like one that is whole.
        if self.len() < self.least && self.error.is_none() {
            self.error = Some(RequestBodyError::Cut.into());
        }
        Poll::Ready(taken)
    }

    /// Makes the body of a write whose content was read.
    pub(super) fn take_whole(&mut self) -> RequestBody<B> {
        let content = self.buffer.take_content();
        if content.is_empty() {
            RequestBody::default()
        } else {
            RequestBody::buffered(content)
        }
    }

    /// Makes the body of a write whose content is still to come, and ends at a gate.
    pub(super) fn take_gated(&mut self, gate: &Arc<Gate>) -> RequestBody<B> {
        let (read, body) = (self.buffer.take_content(), self.body.take());
        let gated = GatedBody::new(read, body, self.error.take(), self.least, Arc::clone(gate));
        RequestBody::gated(gated)
    }
}

/// Copies a small piece: it can hold the whole buffer that it was received in.
fn compact(mut data: impl Buf) -> Bytes {
    let len = data.remaining();
    if len < SMALL_PIECE {
        let mut copy = Vec::with_capacity(len);
        copy.put(data);
        copy.into()
    } else {
        data.copy_to_bytes(len)
    }
}

/// Below how many bytes a piece is copied.
const SMALL_PIECE: usize = 4 << 10;

/// Hashes the content of a write, a slice at a time.
#[derive(Default)]
pub(super) struct ContentHash(HashProgress<Sha256>);

impl ContentHash {
    /// Returns the tag that a `ConditionalLayer` would make of the content.
    pub(super) fn poll<B>(
        &mut self,
        cx: &mut Context<'_>,
        content: &WriteContent<B>,
    ) -> Poll<EntityTag> {
        let digest = ready!(self.0.poll(cx, |place| content.buffer.content().data(place)));
        Poll::Ready(tag(digest, false, &HeaderMap::new()))
    }
}

/// How many frames one poll takes before other tasks have their turn.
const FRAMES_AT_ONCE: usize = 32;
