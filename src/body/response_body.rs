//! The body of every response that leaves the layer.

use std::{
    fmt,
    pin::Pin,
    task::{ready, Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    frame_hasher::{Part, Passing},
    Content,
};
use crate::outcome::Outcome;

pin_project! {
    /// The body of a response that went through the layer.
    ///
    /// It yields what the inner body yields: every frame in its order, trailers, errors. Of a 304 and a 412 it is empty
    /// from the start. It is fused: polled after its end, it ends again.
    ///
    /// `Default` makes an empty one.
    #[must_use = "bodies do nothing unless polled"]
    pub struct ResponseBody<B>
    where
        B: Body,
    {
        #[pin]
        source: Source<B>,
        outcome: Outcome,
    }
}

pin_project! {
    #[project = SourceProj]
    enum Source<B>
    where
        B: Body,
    {
        /// Nothing is left.
        Ended,
        /// The answer to a HEAD: nothing, in place of content of unknown size.
        Absent,
        /// The inner body, which was not touched.
        Inner {
            #[pin]
            body: B,
        },
        /// All there is, in one frame.
        Whole {
            data: Bytes,
        },
        /// The content as it was read, whole. In a box, because most content is in one frame.
        Buffered {
            content: Box<Content>,
            exact: bool,
        },
        /// What was read, and then the rest. In a box, because it is rare and large.
        Replayed {
            replay: Box<Replay<B>>,
        },
        /// Another source, whose frames are changed on their way. In a box, because it is rare.
        Changed {
            changed: Pin<Box<Changed<B>>>,
        },
    }
}

pin_project! {
    #[project = ChangedProj]
    struct Changed<B>
    where
        B: Body,
    {
        #[pin]
        source: Source<B>,
        change: Change,
    }
}

/// What becomes of the frames on their way.
enum Change {
    Pass(Passing),
    Cut(Part),
}

/// A body that was read in part: what was read, what came last, and what is still to come.
pub(crate) struct Replay<B: Body> {
    pub(crate) read: Content,
    /// What came after the buffered frames and ended the reading, if anything did.
    pub(crate) last: Option<Result<Frame<Bytes>, B::Error>>,
    /// The inner body; `None` once it has ended.
    pub(crate) rest: Option<Pin<Box<B>>>,
    /// What the inner body said of its size before it was read.
    pub(crate) hint: SizeHint,
    /// Frames were given back that the client should get before anything else happens.
    pub(crate) flush: bool,
}

impl<B: Body> ResponseBody<B> {
    /// Returns what the layer did with this request.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn from_source(source: Source<B>, outcome: Outcome) -> Self {
        Self { source, outcome }
    }

    fn change(&mut self, change: Change) {
        let source = std::mem::replace(&mut self.source, Source::Ended);
        self.source = Source::Changed { changed: Box::pin(Changed { source, change }) };
    }

    /// Has the content hashed while it is sent.
    pub(crate) fn hash(&mut self, passing: Passing) {
        self.change(Change::Pass(passing));
    }

    /// Sends only a part of the content.
    pub(crate) fn cut(&mut self, part: Part) {
        self.change(Change::Cut(part));
    }

    /// Sends nothing.
    #[inline]
    pub(crate) fn end(&mut self, outcome: Outcome) {
        *self = Self::empty(outcome);
    }

    /// Sends nothing in answer to a HEAD.
    pub(crate) fn withhold(&mut self) {
        self.source = if self.size_hint().exact().is_some() { Source::Ended } else { Source::Absent };
    }

    pub(crate) fn empty(outcome: Outcome) -> Self {
        Self::from_source(Source::Ended, outcome)
    }

    /// Makes a body of content that is there.
    pub(crate) fn whole(data: Bytes, outcome: Outcome) -> Self {
        let source = if data.is_empty() { Source::Ended } else { Source::Whole { data } };
        Self::from_source(source, outcome)
    }

    pub(crate) fn inner(body: B, outcome: Outcome) -> Self {
        Self::from_source(Source::Inner { body }, outcome)
    }

    /// Gives back content that was read to its end. `exact`: whether the inner body knew its size.
    pub(crate) fn buffered(content: Content, exact: bool, outcome: Outcome) -> Self {
        let source = match content.into_single() {
            Ok(Some(data)) => Source::Whole { data },
            Ok(None) => Source::Ended,
            // Over HTTP/1.1, trailers are sent only behind a body of unknown size.
            Err(content) => Source::Buffered { exact: exact || !content.has_trailers(), content: Box::new(content) },
        };
        Self::from_source(source, outcome)
    }

    pub(crate) fn replayed(replay: Replay<B>, outcome: Outcome) -> Self {
        Self::from_source(Source::Replayed { replay: Box::new(replay) }, outcome)
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().source.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl<B: Body> Source<B> {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = match self.as_mut().project() {
            SourceProj::Ended | SourceProj::Absent => return Poll::Ready(None),
            SourceProj::Whole { data } => {
                let data = std::mem::take(data);
                self.set(Self::Ended);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            SourceProj::Inner { body } => poll_bytes(body, cx),
            SourceProj::Buffered { content, .. } => Poll::Ready(content.pop().map(Ok)),
            SourceProj::Replayed { replay } => replay.poll_frame(cx),
            SourceProj::Changed { changed } => changed.as_mut().poll_frame(cx),
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
            Self::Changed { changed } => match &changed.change {
                Change::Cut(part) => part.left() == 0,
                Change::Pass(passing) => !passing.has_more() && changed.source.is_end_stream(),
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ended => SizeHint::with_exact(0),
            Self::Absent => SizeHint::new(),
            Self::Inner { body } => body.size_hint(),
            Self::Whole { data } => SizeHint::with_exact(data.len().try_into().unwrap_or(u64::MAX)),
            Self::Buffered { content, exact: true } => SizeHint::with_exact(content.len()),
            Self::Buffered { content, exact: false } => at_least(content.len()),
            Self::Replayed { replay } => replay.size_hint(),
            Self::Changed { changed } => match &changed.change {
                Change::Cut(part) => SizeHint::with_exact(part.left()),
                Change::Pass(passing) => more(&changed.source.size_hint(), passing.held()),
            },
        }
    }
}

impl<B: Body> Changed<B> {
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let ChangedProj { mut source, change } = self.project();
        match change {
            Change::Cut(part) => part.poll(cx, |cx| source.as_mut().poll_frame(cx)),
            Change::Pass(passing) => passing.poll(cx, |cx| {
                let frame = ready!(source.as_mut().poll_frame(cx));
                Poll::Ready((frame, source.is_end_stream()))
            }),
        }
    }
}

impl<B: Body> Replay<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = match (self.read.pop(), &mut self.rest) {
            (Some(read), _) => {
                self.flush = true;
                Some(Ok(read))
            }
            (None, None) if self.last.is_none() => None,
            // Deliberately not ready once: the inner body was not, either, and Hyper's HTTP/1.1 drops what it did not flush
            // when an error comes right behind it.
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

    fn is_end_stream(&self) -> bool {
        // A body that ended too early must not look complete: Hyper would say so to the client.
        self.read.is_empty() && self.last.is_none() && self.rest.as_ref().is_some_and(|rest| rest.is_end_stream())
    }

    /// What the inner body said at first, less what was given back since: so a body that lies goes on lying alike.
    fn size_hint(&self) -> SizeHint {
        less(&self.hint, 0)
    }
}

impl<B: Body> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty(Outcome::LeftAlone(crate::Reason::Status))
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Ended | Source::Absent => "ended",
            Source::Inner { .. } => "inner",
            Source::Whole { .. } | Source::Buffered { .. } => "buffered",
            Source::Replayed { .. } => "replayed",
            Source::Changed { .. } => "changed",
        };
        f.debug_struct("ResponseBody").field("source", &source).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

fn poll_bytes<B: Body>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    let to_bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
    body.poll_frame(cx).map_ok(|frame| frame.map_data(to_bytes))
}

fn at_least(octets: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(octets);
    hint
}

/// Returns a hint for a body that has still to yield `octets` which the hint does not count.
fn more(hint: &SizeHint, octets: u64) -> SizeHint {
    let mut all = at_least(hint.lower().saturating_add(octets));
    if let Some(upper) = hint.upper().and_then(|upper| upper.checked_add(octets)) {
        all.set_upper(upper);
    }
    all
}

/// Returns what is left of a hint after `octets` were sent.
fn less(hint: &SizeHint, octets: u64) -> SizeHint {
    let mut left = at_least(hint.lower().saturating_sub(octets));
    if let Some(upper) = hint.upper() {
        left.set_upper(upper.saturating_sub(octets));
    }
    left
}
