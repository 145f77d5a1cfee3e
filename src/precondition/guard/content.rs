//! The content of a write. The guard reads it before it calls the handler, or forwards
//! it as it comes.

use std::{
    error::Error,
    future::Future,
    iter, mem,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use http::{header::EXPECT, request, HeaderMap};
use http_body::{Body, Frame, SizeHint};
use http_body_util::LengthLimitError;
use tokio::time::Sleep;

use super::{config::GuardConfig, refusal::Refusal};
use crate::{
    body::{
        client_error, yield_now, BoxError, Budget, Buffer, Gate, GatedBody, HashProgress,
        RequestBody, RequestBodyError,
    },
    outcome::Reason,
    rules::{EntityTag, SingleField},
    timer::Timer,
    validators::{tag, Sha256},
};

/// The content that has arrived, and the rest of the body.
pub(super) struct WriteContent<B> {
    /// `None` once the body has ended. Boxed, because a body must not move after it
    /// was polled.
    body: Option<Pin<Box<B>>>,
    buffer: Buffer,
    /// Small pieces that have arrived after those in the buffer. Joined, because many
    /// small frames take much more memory than their bytes. Copied, because a small
    /// piece can keep its whole receive buffer in memory.
    small: Vec<u8>,
    error: Option<BoxError>,
    /// The announced size of the content, in bytes.
    size: SizeHint,
    pace: Pace,
    /// True once the body was polled. If the client waits for 100 (Continue), the
    /// server has then sent it.
    is_asked_for: bool,
}

impl<B> WriteContent<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(headers: &HeaderMap, body: B) -> Self {
        let size = announced_size(headers, body.size_hint());
        let body = if body.is_end_stream() { None } else { Some(Box::pin(body)) };
        Self {
            body,
            buffer: Buffer::new(u64::MAX, None),
            small: Vec::new(),
            error: None,
            size,
            pace: Pace::default(),
            is_asked_for: false,
        }
    }

    /// Returns true if all content has arrived.
    pub(super) fn is_whole(&self) -> bool {
        self.body.is_none() && self.error.is_none()
    }

    /// Returns how many bytes have arrived.
    pub(super) fn len(&self) -> u64 {
        let small = u64::try_from(self.small.len()).unwrap_or(u64::MAX);
        self.buffer.content().len().saturating_add(small)
    }

    /// Reads what has already arrived, but at most two frames. Short content may then
    /// be complete.
    pub(super) fn look(&mut self, cx: &mut Context<'_>) {
        let _first = self.poll_next(cx, None);
        if self.len() > 0 {
            // Some bodies show their end only when they are polled.
            let _end = self.poll_next(cx, None);
        }
        let _kept = self.join_small(None);
    }

    /// Reads all content, within the limits of size and pace.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        config: &GuardConfig,
    ) -> Poll<Result<(), Refusal>> {
        for _ in 0..FRAMES_AT_ONCE {
            if self.is_too_large(config.body_limit) {
                return Poll::Ready(Err(Refusal::ContentTooLarge));
            }
            if let Some(error) = &self.error {
                return Poll::Ready(Err(refusal_of(&**error)));
            }
            if self.body.is_none() {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(taken) = self.poll_next(cx, Some(&config.budget)) else {
                ready!(self.pace.poll_too_slow(cx, self.len(), &config.timer));
                return Poll::Ready(Err(Refusal::ContentTooSlow));
            };
            if let Err(reason) = taken {
                return Poll::Ready(Err(match reason {
                    Reason::Busy => Refusal::Busy,
                    _ => Refusal::BrokenContent,
                }));
            }
        }
        // Empty frames can come without end, and without a pause.
        if self.pace.poll_too_slow(cx, self.len(), &config.timer).is_ready() {
            return Poll::Ready(Err(Refusal::ContentTooSlow));
        }
        yield_now(cx);
        Poll::Pending
    }

    fn is_too_large(&self, limit: u64) -> bool {
        let rest = self.body.as_ref().map_or(0, |body| body.size_hint().lower());
        self.len().saturating_add(rest) > limit
    }

    /// Reads the next frame, or the end.
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        budget: Option<&Arc<Budget>>,
    ) -> Poll<Result<(), Reason>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        self.is_asked_for = true;
        let mut taken = Ok(());
        match ready!(body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => {
                let is_last = body.is_end_stream();
                taken = self.push(frame, budget);
                if !is_last {
                    return Poll::Ready(taken);
                }
            }
            Some(Err(error)) => self.error = Some(client_error(error)),
            None => {}
        }
        self.body = None;
        taken = taken.and_then(|()| self.join_small(budget));
        // Hyper treats an HTTP/2 stream that is reset with NO_ERROR as complete, so the
        // length must be checked.
        if self.len() < self.size.lower() && self.error.is_none() {
            self.error = Some(RequestBodyError::Cut.into());
        }
        Poll::Ready(taken)
    }

    /// Takes the next frame. Small pieces are joined to larger ones.
    fn push(&mut self, frame: Frame<B::Data>, budget: Option<&Arc<Budget>>) -> Result<(), Reason> {
        match frame.into_data() {
            Ok(data) if data.remaining() < SMALL_PIECE => {
                self.small.put(data);
                if self.small.len() < SMALL_PIECE {
                    return Ok(());
                }
                self.join_small(budget)
            }
            frame => {
                self.join_small(budget)?;
                let frame = frame.map_or_else(|trailers| trailers, Frame::data);
                self.buffer.push(frame, budget).map_err(|overflow| overflow.reason)
            }
        }
    }

    /// Puts the small pieces into the buffer, as one frame.
    fn join_small(&mut self, budget: Option<&Arc<Budget>>) -> Result<(), Reason> {
        if self.small.is_empty() {
            return Ok(());
        }
        let small = mem::take(&mut self.small).into_boxed_slice();
        let frame = Frame::data(Bytes::from(small));
        self.buffer.push(frame, budget).map_err(|overflow| overflow.reason)
    }

    /// Drops the content that was read. Returns the rest, which is read and discarded
    /// before a refusal is sent. `None` if the refusal is sent at once.
    pub(super) fn into_refused(
        self,
        parts: &request::Parts,
        timer: &Timer,
    ) -> Option<RefusedContent<B>> {
        let body = self.body?;
        // A client that waits for 100 (Continue) sends no content unless the body
        // is polled.
        let is_coming = self.is_asked_for || !parts.headers.contains_key(EXPECT);
        let may_end = body.size_hint().lower() <= REFUSED_BYTES;
        if !is_coming || !may_end {
            return None;
        }
        Some(RefusedContent { body, bytes: REFUSED_BYTES, deadline: timer.sleep(REFUSED_TIME)? })
    }

    /// Makes the body of a write whose content was read.
    pub(super) fn take_whole(&mut self) -> RequestBody<B> {
        let content = self.buffer.take_content();
        if content.is_empty() {
            RequestBody::default()
        } else {
            RequestBody::buffered(content, self.size.exact().is_some())
        }
    }

    /// Makes the body of a write whose content is forwarded as it comes. The gate holds
    /// back the end of the content.
    pub(super) fn take_gated(&mut self, gate: &Arc<Gate>) -> RequestBody<B> {
        let (read, body) = (self.buffer.take_content(), self.body.take());
        let gated = GatedBody::new(read, body, self.error.take(), &self.size, Arc::clone(gate));
        RequestBody::gated(gated)
    }
}

/// Returns the announced size of the content.
///
/// A body that outer middleware has wrapped may have no size hint, so `Content-Length`
/// is used, too. A `Content-Length` that contradicts the hint is ignored: middleware
/// has then replaced the body, but not the field.
fn announced_size(headers: &HeaderMap, hint: SizeHint) -> SizeHint {
    let length = SingleField::content_length(headers);
    let is_allowed =
        |length: &u64| hint.lower() <= *length && hint.upper().is_none_or(|upper| *length <= upper);
    match length.value().copied().filter(is_allowed) {
        Some(length) => SizeHint::with_exact(length),
        None => hint,
    }
}

/// Returns the refusal of a write whose content ended in an error. A layer outside of
/// the guard may limit the content.
fn refusal_of(error: &(dyn Error + 'static)) -> Refusal {
    let mut causes = iter::successors(Some(error), |&error| error.source());
    if causes.any(|cause| cause.is::<LengthLimitError>()) {
        Refusal::ContentTooLarge
    } else {
        Refusal::BrokenContent
    }
}

/// Checks that content arrives fast enough while the guard reads it, before the
/// handler runs.
#[derive(Default)]
struct Pace {
    window: Option<Pin<Box<Sleep>>>,
    /// How many bytes had arrived when the current window of time began.
    mark: u64,
}

impl Pace {
    /// Becomes ready at the end of a window of time in which too few bytes arrived.
    /// `len` is the number of bytes that have arrived so far.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>, len: u64, timer: &Timer) -> Poll<()> {
        loop {
            if self.window.is_none() {
                self.window = timer.sleep(WINDOW);
                self.mark = len;
            }
            // Without Tokio timers there is no limit.
            let Some(window) = &mut self.window else { return Poll::Pending };
            ready!(window.as_mut().poll(cx));
            if len - self.mark < LEAST_IN_WINDOW {
                return Poll::Ready(());
            }
            self.window = None;
        }
    }
}

/// The length of a window of time, and how many bytes must arrive in each window.
const WINDOW: Duration = Duration::from_secs(10);
const LEAST_IN_WINDOW: u64 = 10 << 10;

/// The rest of refused content, which is read and discarded for a short time.
///
/// Otherwise a client that sends all content before it reads would see an error instead
/// of the response. Over HTTP/1.1, Hyper closes a connection with unread content. Over
/// HTTP/2 it resets the stream after the response (RFC 9113, 8.1), which curl 7.88
/// reports as an error.
pub(super) struct RefusedContent<B> {
    body: Pin<Box<B>>,
    /// The number of bytes that may still be read.
    bytes: u64,
    deadline: Pin<Box<Sleep>>,
}

impl<B: Body> RefusedContent<B> {
    /// Reads until the end of the content, the limit of bytes or the deadline.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..FRAMES_AT_ONCE {
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if !self.body.is_end_stream() => {
                    let data = frame.data_ref().map_or(0, Buf::remaining);
                    self.bytes = self.bytes.saturating_sub(data.try_into().unwrap_or(u64::MAX));
                    if self.bytes == 0 {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.deadline.as_mut().poll(cx),
            }
        }
        if self.deadline.as_mut().poll(cx).is_pending() {
            yield_now(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// How many bytes of refused content are discarded, and for how long.
const REFUSED_BYTES: u64 = 1 << 20;
const REFUSED_TIME: Duration = Duration::from_secs(1);

/// Pieces with fewer bytes are joined.
const SMALL_PIECE: usize = 4 << 10;

/// Hashes the content of a write in slices, so that other tasks can run in between.
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

/// How many frames one poll reads before it yields to other tasks.
const FRAMES_AT_ONCE: usize = 32;
