//! The content of a write, which is forwarded as it comes, except for its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    request_body::{client_error, RequestBodyError},
    response_body::{more, poll_bytes},
    BoxError, Content, Gate, PolledFrame,
};

/// A client's body that yields each frame at once, but holds back the last one. With
/// the last frame, a service knows that the content is complete, and may store it.
///
/// ```text
///  Streaming ── all has come ──► Waiting ── let through ──► Open ──► Over
///      │                            │                                 ▲
///      └── error, too short ────────┴── refused: an error ────────────┘
/// ```
pub(crate) struct GatedBody<B> {
    /// The content that was already read.
    read: Content,
    /// `None` once the body has ended.
    body: Option<Pin<Box<B>>>,
    /// The error at the end of the content that was already read, if any.
    error: Option<BoxError>,
    /// The minimum number of bytes that are still to come.
    missing: u64,
    /// The size of the content was announced exactly, not only as a minimum.
    is_size_known: bool,
    gate: Arc<Gate>,
    stage: GateStage,
    /// The frame that is held back because it may be the last one with content.
    last: Option<Bytes>,
    trailers: Option<Frame<Bytes>>,
}

#[derive(Clone, Copy)]
enum GateStage {
    /// Content is forwarded as it comes.
    Streaming,
    /// All content has arrived, and the last frame waits at the gate.
    Waiting,
    /// The last frame is forwarded.
    Open,
    Over,
}

impl<B> GatedBody<B> {
    /// Makes a body from the content that was already read and the rest. `size` is the
    /// announced size of both together.
    pub(crate) fn new(
        read: Content,
        body: Option<Pin<Box<B>>>,
        error: Option<BoxError>,
        size: &SizeHint,
        gate: Arc<Gate>,
    ) -> Self {
        Self {
            read,
            body,
            error,
            missing: size.lower(),
            is_size_known: size.exact().is_some(),
            gate,
            stage: GateStage::Streaming,
            last: None,
            trailers: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, GateStage::Over)
    }
}

impl<B> GatedBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<PolledFrame<BoxError>> {
        loop {
            match self.stage {
                GateStage::Streaming => {
                    if let Some(frame) = ready!(self.poll_stream(cx)) {
                        return Poll::Ready(Some(frame));
                    }
                }
                GateStage::Waiting => {
                    if !ready!(self.gate.poll_open(cx)) {
                        return Poll::Ready(Some(Err(self.fail(RequestBodyError::Refused))));
                    }
                    self.stage = GateStage::Open;
                }
                GateStage::Open => {
                    let last = self.last.take().map(Frame::data);
                    match last.or_else(|| self.trailers.take()) {
                        Some(frame) => return Poll::Ready(Some(Ok(frame))),
                        None => self.stage = GateStage::Over,
                    }
                }
                GateStage::Over => return Poll::Ready(None),
            }
        }
    }

    /// Returns the next frame that may be forwarded at once. `None` if the stage has
    /// changed, or if another frame must be read first.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<PolledFrame<BoxError>> {
        let frame = match ready!(self.poll_next(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(self.fail(error)))),
            None => return Poll::Ready(self.end().err().map(Err)),
        };
        match frame.into_data() {
            Ok(data) => {
                self.missing = self.missing.saturating_sub(len(&data));
                Poll::Ready(self.pass(data))
            }
            Err(trailers) => {
                // Deliberately waits for the end of the body even after trailers. The
                // guard takes its lock only after the end, so the lock is not held
                // while this waits.
                self.trailers = Some(trailers);
                Poll::Ready(None)
            }
        }
    }

    /// Returns the next frame of the content that was already read, then of the body.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<PolledFrame<BoxError>> {
        if let Some(frame) = self.read.pop() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.body {
            Some(body) => poll_bytes(body.as_mut(), cx).map_err(client_error),
            None => Poll::Ready(None),
        }
    }

    /// Takes the next frame of content, and returns the frame to forward now, if any. A
    /// frame that may be the last is held back. If another frame was held back before,
    /// that one is returned.
    fn pass(&mut self, data: Bytes) -> PolledFrame<BoxError> {
        // If a frame is already held back, all announced bytes have come. An empty
        // frame is then dropped. Any other frame means that the body has more content
        // than announced.
        if self.last.is_some() && data.is_empty() {
            return None;
        }
        let earlier = self.last.take();
        let is_over = self.read.is_empty()
            && self.error.is_none()
            && self.body.as_ref().is_none_or(|body| body.is_end_stream());
        // All announced bytes are here, but the end has not come yet. A service that
        // counts the bytes would take the content as complete, so this frame is held
        // back, too. The stage does not change yet, because the guard would then take
        // its lock. A client that never sends the end must not hold that lock.
        let is_all = self.is_size_known && self.missing == 0;
        if is_over && let Err(error) = self.end() {
            return Some(Err(error));
        }
        let passed = if is_over || is_all {
            self.last = Some(data);
            earlier
        } else {
            Some(data)
        };
        passed.map(|data| Ok(Frame::data(data)))
    }

    /// Marks the end of the content. Fails if the content is too short: an HTTP/2
    /// stream that is reset with NO_ERROR ends like a complete one.
    fn end(&mut self) -> Result<(), BoxError> {
        if self.missing > 0 {
            return Err(self.fail(RequestBodyError::Cut));
        }
        self.body = None;
        self.stage = GateStage::Waiting;
        Ok(())
    }

    /// Ends the content in an error.
    fn fail(&mut self, error: impl Into<BoxError>) -> BoxError {
        (self.body, self.last, self.trailers) = (None, None, None);
        self.stage = GateStage::Over;
        error.into()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let held = self.last.as_ref().map_or(0, len);
        let rest = match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        };
        more(&rest, self.read.len().saturating_add(held))
    }
}

fn len(data: &Bytes) -> u64 {
    data.len().try_into().unwrap_or(u64::MAX)
}
