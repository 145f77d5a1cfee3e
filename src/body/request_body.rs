//! The body of the requests that a write guard passes inward.

use std::{
    error, fmt,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    response_body::{more, poll_bytes},
    Content, Gate,
};

/// Any error, as the client's body has it, or one of the guard's own.
pub(crate) type BoxError = Box<dyn error::Error + Send + Sync>;

pin_project! {
    /// The body of a request that a [`WriteGuard`](crate::WriteGuard) passes inward:
    /// the content that the client sends.
    ///
    /// - A write with preconditions was read already.
    /// - The end of other writes is held back until the resource may be written. If it
    ///   may not, the content ends in an error, and must not be stored.
    /// - The GET by which the guard asks for the validators has no content. Reading it
    ///   is an error, so that a service which takes the GET for a write stores nothing.
    ///
    /// `Default` makes an empty one.
    #[must_use = "bodies do nothing unless polled"]
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Empty,
        /// That of a question which has no content.
        Probe,
        /// The client's body, as it comes.
        Client {
            #[pin]
            body: B,
        },
        /// The content as it was read, whole.
        Buffered {
            content: Content,
        },
        /// The client's body, whose end is held back. In a box, because it is large.
        Gated {
            gated: Box<GatedBody<B>>,
        },
    }
}

impl<B> RequestBody<B> {
    /// Makes a body that is the client's, as it comes.
    pub fn new(body: B) -> Self {
        Self { kind: Kind::Client { body } }
    }

    /// Returns the client's body, if it is passed on as it comes.
    #[cfg(feature = "axum")]
    pub(crate) fn into_client(self) -> Result<B, Self> {
        match self.kind {
            Kind::Client { body } => Ok(body),
            kind => Err(Self { kind }),
        }
    }

    /// Makes the body of a question which has no content.
    pub(crate) fn probe() -> Self {
        Self { kind: Kind::Probe }
    }

    /// Gives content back that was read whole.
    pub(crate) fn buffered(content: Content) -> Self {
        Self { kind: Kind::Buffered { content } }
    }

    /// Makes a body whose end waits at a gate.
    pub(crate) fn gated(gated: GatedBody<B>) -> Self {
        Self { kind: Kind::Gated { gated: Box::new(gated) } }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Empty => Poll::Ready(None),
            KindProj::Probe => Poll::Ready(Some(Err(RequestBodyError::Probe.into()))),
            KindProj::Client { body } => poll_bytes(body, cx).map_err(Into::into),
            KindProj::Buffered { content } => Poll::Ready(content.pop().map(Ok)),
            KindProj::Gated { gated } => gated.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            // Who sends the request on must send no content with it.
            Kind::Empty | Kind::Probe => true,
            Kind::Client { body } => body.is_end_stream(),
            Kind::Buffered { content } => content.is_empty(),
            Kind::Gated { gated } => matches!(gated.stage, GateStage::Over),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Probe => SizeHint::with_exact(0),
            Kind::Client { body } => body.size_hint(),
            Kind::Buffered { content } => SizeHint::with_exact(content.len()),
            Kind::Gated { gated } => gated.size_hint(),
        }
    }
}

impl<B> Default for RequestBody<B> {
    fn default() -> Self {
        Self { kind: Kind::Empty }
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Empty => "empty",
            Kind::Probe => "probe",
            Kind::Client { .. } => "client",
            Kind::Buffered { .. } => "buffered",
            Kind::Gated { .. } => "gated",
        };
        f.debug_struct("RequestBody").field("kind", &kind).finish_non_exhaustive()
    }
}

/// A client's body that yields each frame at once, but for the last: a service that
/// has it knows that the content is whole, and may store it.
pub(crate) struct GatedBody<B> {
    /// What was read of the body already.
    read: Content,
    /// `None` once the body has ended.
    body: Option<Pin<Box<B>>>,
    /// What ended the reading.
    error: Option<BoxError>,
    gate: Arc<Gate>,
    stage: GateStage,
    /// The last frame with content, if it is known to be the last.
    last: Option<Bytes>,
    trailers: Option<Frame<Bytes>>,
}

#[derive(Clone, Copy)]
enum GateStage {
    /// Content comes.
    Streaming,
    /// All has come, and the last of it waits at the gate.
    Waiting,
    /// It is passed on.
    Open,
    Over,
}

impl<B> GatedBody<B> {
    /// Makes a body of what was read already, and of the rest.
    pub(crate) fn new(
        read: Content,
        body: Option<Pin<Box<B>>>,
        error: Option<BoxError>,
        gate: Arc<Gate>,
    ) -> Self {
        Self { read, body, error, gate, stage: GateStage::Streaming, last: None, trailers: None }
    }
}

impl<B> GatedBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match self.stage {
                GateStage::Streaming => {
                    if let Some(frame) = ready!(self.poll_stream(cx)) {
                        return Poll::Ready(Some(frame));
                    }
                }
                GateStage::Waiting => {
                    if ready!(self.gate.poll_open(cx)) {
                        self.stage = GateStage::Open;
                    } else {
                        self.stage = GateStage::Over;
                        return Poll::Ready(Some(Err(RequestBodyError::Refused.into())));
                    }
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

    /// Returns the next frame that may be passed on at once; `None` if the stage has
    /// changed, or another frame must be looked at.
    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match (self.read.pop(), &mut self.body, self.error.take()) {
            (Some(frame), _, error) => {
                self.error = error;
                Some(Ok(frame))
            }
            (None, _, Some(error)) => Some(Err(error)),
            (None, Some(body), None) => {
                ready!(poll_bytes(body.as_mut(), cx)).map(|frame| frame.map_err(Into::into))
            }
            (None, None, None) => None,
        };
        let Some(frame) = frame else {
            self.body = None;
            self.stage = GateStage::Waiting;
            return Poll::Ready(None);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                self.body = None;
                self.stage = GateStage::Over;
                return Poll::Ready(Some(Err(error)));
            }
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => {
                // Deliberately waits for the end behind them, too, without the lock.
                self.trailers = Some(trailers);
                return Poll::Ready(None);
            }
        };
        // More than the body said, or an empty frame that only ends it.
        let earlier = match &self.last {
            Some(_) if data.is_empty() => return Poll::Ready(None),
            Some(_) => self.last.take(),
            None => None,
        };
        let is_over = self.read.is_empty()
            && self.error.is_none()
            && self.body.as_ref().is_none_or(|body| body.is_end_stream());
        // Who counts the bytes knows that these are the last, though the end itself is
        // still to come; and a client that never sends it must not hold the lock.
        let is_all = self.read.is_empty()
            && self.body.as_ref().is_none_or(|body| body.size_hint().exact() == Some(0));
        if is_over {
            self.body = None;
            self.stage = GateStage::Waiting;
        }
        let passed = if is_over || is_all {
            self.last = Some(data);
            earlier
        } else {
            debug_assert!(earlier.is_none() || !data.is_empty(), "an empty frame was dropped");
            match earlier {
                // Deliberately joined: a body that sends more than it said is not worth
                // a queue.
                Some(earlier) => Some([earlier, data].concat().into()),
                None => Some(data),
            }
        };
        Poll::Ready(passed.map(|data| Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.last.as_ref().map_or(0, |last| last.len() as u64);
        let rest = match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        };
        more(&rest, self.read.len().saturating_add(held))
    }
}

/// Why a body ended that a guard passed inward.
#[derive(Clone, Copy, Debug)]
enum RequestBodyError {
    Probe,
    Refused,
}

impl fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "this GET asks for the validators, and has no content to store",
            Self::Refused => "the resource must not be written",
        })
    }
}

impl error::Error for RequestBodyError {}
