//! The body of every response of the layers for servers.

use std::{
    fmt,
    pin::Pin,
    task::{ready, Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    frame_hasher::FrameHasher, frame_slicer::FrameSlicer, replay::Replay, Content, PolledFrame,
};
use crate::outcome::Outcome;

pin_project! {
    /// The body of a response of a [`ConditionalLayer`](crate::ConditionalLayer), a
    /// [`PreconditionLayer`](crate::PreconditionLayer) or a
    /// [`WriteGuard`](crate::WriteGuard).
    ///
    /// It yields the frames of the inner body in order, with its trailers and errors.
    /// [`repr_digest`](crate::ConditionalLayer::repr_digest) may add trailers. In a 206
    /// that the layer makes, the body yields only the requested range, without
    /// trailers. A 304 that the layer makes has no content. A 412 has a JSON document
    /// if [`problem_details`](crate::ConditionalLayer::problem_details) is set, and no
    /// content otherwise. The body is fused: after its end it always yields `None`.
    ///
    /// `Default` makes an empty body.
    #[must_use = "bodies do nothing unless polled"]
    pub struct ResponseBody<B>
    where
        B: Body,
    {
        #[pin]
        kind: ResponseBodyKind<B>,
        outcome: Outcome,
    }
}

pin_project! {
    #[project = ResponseBodyKindProj]
    enum ResponseBodyKind<B>
    where
        B: Body,
    {
        Ended,
        /// No content, with an unknown size, for a HEAD and a 304.
        Absent,
        /// The inner body, which has not been polled.
        Inner {
            #[pin]
            body: B,
        },
        /// The whole content, in one frame.
        Whole {
            data: Bytes,
        },
        /// The whole content, in several frames. Boxed, because most content is in one.
        Buffered {
            content: Box<Content>,
            is_exact: bool,
        },
        /// The frames that were read, then the rest of the body. Boxed, because it is
        /// rare and large.
        Replayed {
            replay: Box<Replay<B>>,
        },
        /// A body of another kind, with frames to hash or cut. Boxed, because it is
        /// rare.
        Transformed {
            transformed: Pin<Box<Transformed<B>>>,
        },
    }
}

pin_project! {
    #[project = TransformedProj]
    struct Transformed<B>
    where
        B: Body,
    {
        #[pin]
        kind: ResponseBodyKind<B>,
        transform: Transform,
    }
}

/// What to do with the frames while they are sent.
enum Transform {
    Hash(FrameHasher),
    Slice(FrameSlicer),
}

impl<B: Body> ResponseBody<B> {
    /// Returns what the layer did with this request.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn from_kind(kind: ResponseBodyKind<B>, outcome: Outcome) -> Self {
        Self { kind, outcome }
    }

    fn transform(&mut self, transform: Transform) {
        let kind = std::mem::replace(&mut self.kind, ResponseBodyKind::Ended);
        self.kind = ResponseBodyKind::Transformed {
            transformed: Box::pin(Transformed { kind, transform }),
        };
    }

    /// Hashes the content while it is sent.
    pub(crate) fn hash(&mut self, hasher: FrameHasher) {
        self.transform(Transform::Hash(hasher));
    }

    /// Sends only a part of the content.
    pub(crate) fn slice(&mut self, slicer: FrameSlicer) {
        self.transform(Transform::Slice(slicer));
    }

    /// Sends nothing.
    #[inline]
    pub(crate) fn end(&mut self, outcome: Outcome) {
        *self = Self::empty(outcome);
    }

    /// Sends nothing, with an unknown size.
    pub(crate) fn end_of_unknown_size(&mut self, outcome: Outcome) {
        *self = Self::from_kind(ResponseBodyKind::Absent, outcome);
    }

    /// Sends nothing in answer to a HEAD.
    pub(crate) fn withhold(&mut self) {
        self.kind = if self.size_hint().exact().is_some() {
            ResponseBodyKind::Ended
        } else {
            ResponseBodyKind::Absent
        };
    }

    /// Returns true if all of the content is in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(
            self.kind,
            ResponseBodyKind::Ended
                | ResponseBodyKind::Whole { .. }
                | ResponseBodyKind::Buffered { .. }
        )
    }

    pub(crate) fn empty(outcome: Outcome) -> Self {
        Self::from_kind(ResponseBodyKind::Ended, outcome)
    }

    /// Makes a body of the whole content.
    pub(crate) fn whole(data: Bytes, outcome: Outcome) -> Self {
        let kind = if data.is_empty() {
            ResponseBodyKind::Ended
        } else {
            ResponseBodyKind::Whole { data }
        };
        Self::from_kind(kind, outcome)
    }

    pub(crate) fn inner(body: B, outcome: Outcome) -> Self {
        Self::from_kind(ResponseBodyKind::Inner { body }, outcome)
    }

    /// Reads the first frame of a body if it is ready. If that frame is all of the
    /// content, this makes a body of the whole content.
    pub(crate) fn peeked(cx: &mut Context<'_>, body: B, outcome: Outcome) -> Self {
        let (hint, mut body) = (body.size_hint(), Box::pin(body));
        let (mut read, mut last) = (Content::default(), None);
        let polled = poll_bytes(body.as_mut(), cx);
        let has_ended = matches!(polled, Poll::Ready(None));
        match polled {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data)
                    if body.is_end_stream() && hint.exact() == u64::try_from(data.len()).ok() =>
                {
                    return Self::whole(data, outcome);
                }
                Ok(data) => read.push(data),
                Err(frame) => last = Some(Ok(frame)),
            },
            Poll::Ready(Some(Err(error))) => last = Some(Err(error)),
            Poll::Ready(None) | Poll::Pending => {}
        }
        let rest = if has_ended { None } else { Some(body) };
        Self::replayed(Replay { read, last, rest, hint, flush: false }, outcome)
    }

    /// Makes a body from content that was read to its end. `was_exact` is true if the
    /// inner body had an exact size.
    #[inline]
    pub(crate) fn buffered(content: Content, was_exact: bool, outcome: Outcome) -> Self {
        let kind = match content.into_single() {
            Ok(Some(data)) => ResponseBodyKind::Whole { data },
            Ok(None) => ResponseBodyKind::Ended,
            Err(content) => ResponseBodyKind::Buffered {
                is_exact: content.is_size_exact(was_exact),
                content: Box::new(content),
            },
        };
        Self::from_kind(kind, outcome)
    }

    pub(crate) fn replayed(replay: Replay<B>, outcome: Outcome) -> Self {
        Self::from_kind(ResponseBodyKind::Replayed { replay: Box::new(replay) }, outcome)
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PolledFrame<B::Error>> {
        self.project().kind.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.kind.size_hint()
    }
}

impl<B: Body> ResponseBodyKind<B> {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PolledFrame<B::Error>> {
        let polled = match self.as_mut().project() {
            ResponseBodyKindProj::Ended | ResponseBodyKindProj::Absent => {
                return Poll::Ready(None);
            }
            ResponseBodyKindProj::Whole { data } => {
                let data = std::mem::take(data);
                self.set(Self::Ended);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            ResponseBodyKindProj::Inner { body } => poll_bytes(body, cx),
            ResponseBodyKindProj::Buffered { content, .. } => Poll::Ready(content.pop().map(Ok)),
            ResponseBodyKindProj::Replayed { replay } => replay.poll_frame(cx),
            ResponseBodyKindProj::Transformed { transformed } => {
                transformed.as_mut().poll_frame(cx)
            }
        };
        if matches!(polled, Poll::Ready(None)) {
            self.set(Self::Ended);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ended | Self::Absent => true,
            Self::Inner { body } => body.is_end_stream(),
            Self::Whole { .. } => false,
            Self::Buffered { content, .. } => content.is_empty(),
            Self::Replayed { replay } => replay.is_end_stream(),
            Self::Transformed { transformed } => match &transformed.transform {
                Transform::Slice(slicer) => slicer.left() == 0,
                Transform::Hash(hasher) => !hasher.has_more() && transformed.kind.is_end_stream(),
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ended => SizeHint::with_exact(0),
            Self::Absent => SizeHint::new(),
            Self::Inner { body } => body.size_hint(),
            Self::Whole { data } => SizeHint::with_exact(data.len().try_into().unwrap_or(u64::MAX)),
            Self::Buffered { content, is_exact } => content.size_hint(*is_exact),
            Self::Replayed { replay } => replay.size_hint(),
            Self::Transformed { transformed } => match &transformed.transform {
                Transform::Slice(slicer) => SizeHint::with_exact(slicer.left()),
                Transform::Hash(hasher) => more(&transformed.kind.size_hint(), hasher.held()),
            },
        }
    }
}

impl<B: Body> Transformed<B> {
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PolledFrame<B::Error>> {
        let TransformedProj { mut kind, transform } = self.project();
        match transform {
            Transform::Slice(slicer) => slicer.poll(cx, |cx| kind.as_mut().poll_frame(cx)),
            Transform::Hash(hasher) => hasher.poll(cx, |cx| {
                let frame = ready!(kind.as_mut().poll_frame(cx));
                Poll::Ready((frame, kind.is_end_stream()))
            }),
        }
    }
}

impl<B: Body> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty(Outcome::LeftAlone(crate::Reason::Status))
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ResponseBodyKind::Ended | ResponseBodyKind::Absent => "ended",
            ResponseBodyKind::Inner { .. } => "inner",
            ResponseBodyKind::Whole { .. } | ResponseBodyKind::Buffered { .. } => "buffered",
            ResponseBodyKind::Replayed { .. } => "replayed",
            ResponseBodyKind::Transformed { .. } => "transformed",
        };
        f.debug_struct("ResponseBody")
            .field("kind", &kind)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

pub(crate) fn poll_bytes<B: Body>(
    body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<PolledFrame<B::Error>> {
    let to_bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
    body.poll_frame(cx).map_ok(|frame| frame.map_data(to_bytes))
}

pub(super) fn at_least(bytes: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(bytes);
    hint
}

/// Returns the hint for a body that yields `bytes` in addition to `hint`.
pub(super) fn more(hint: &SizeHint, bytes: u64) -> SizeHint {
    let mut all = at_least(hint.lower().saturating_add(bytes));
    if let Some(upper) = hint.upper().and_then(|upper| upper.checked_add(bytes)) {
        all.set_upper(upper);
    }
    all
}
