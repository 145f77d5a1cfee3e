//! The body of the responses that `RevalidateLayer` returns.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::memory::{Memory, Stored, StoredKey};
use crate::{
    body::{poll_bytes, Reservation},
    client::{content::Recorder, StoredHead},
};

pin_project! {
    /// The body of a response of a [`RevalidateLayer`](super::RevalidateLayer).
    ///
    /// It yields the frames of the server's body, or content from memory in one frame.
    #[must_use = "bodies do nothing unless polled"]
    pub struct RevalidateBody<B> {
        #[pin]
        kind: RevalidateBodyKind<B>,
    }
}

pin_project! {
    #[project = RevalidateBodyKindProj]
    enum RevalidateBodyKind<B> {
        /// Content from memory. Empty once its frame was yielded.
        Whole {
            content: Bytes,
        },
        Inner {
            #[pin]
            body: B,
            // `None` if the response is not kept. In a box, so that the bodies of these
            // responses stay small.
            recording: Option<Box<Recording>>,
        },
    }
}

impl<B> RevalidateBody<B> {
    pub(super) fn whole(content: Bytes) -> Self {
        Self { kind: RevalidateBodyKind::Whole { content } }
    }

    pub(super) fn pass(body: B) -> Self {
        Self { kind: RevalidateBodyKind::Inner { body, recording: None } }
    }
}

impl<B: Body> RevalidateBody<B> {
    pub(super) fn record(body: B, recording: Recording) -> Self {
        let mut recording = Some(Box::new(recording));
        // A body that has already ended may never be polled, so keep the response now.
        if body.is_end_stream() {
            recording.take().into_iter().for_each(|recording| recording.finish(true));
        }
        Self { kind: RevalidateBodyKind::Inner { body, recording } }
    }
}

impl<B: Body> Body for RevalidateBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let (mut body, recording) = match self.project().kind.project() {
            RevalidateBodyKindProj::Whole { content } if content.is_empty() => {
                return Poll::Ready(None)
            }
            RevalidateBodyKindProj::Whole { content } => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(content)))));
            }
            RevalidateBodyKindProj::Inner { body, recording } => (body, recording),
        };
        let frame = ready!(poll_bytes(body.as_mut(), cx));
        if let Some(mut kept) = recording.take() {
            match &frame {
                None => kept.finish(body.is_end_stream()),
                Some(Ok(frame)) if frame.data_ref().is_some_and(|data| kept.push(data)) => {
                    // A caller that knows the length might not poll for the end.
                    if body.is_end_stream() {
                        kept.finish(true);
                    } else {
                        *recording = Some(kept);
                    }
                }
                // Content that breaks off, has trailers, or is too long is not kept.
                Some(_) => {}
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            RevalidateBodyKind::Whole { content } => content.is_empty(),
            RevalidateBodyKind::Inner { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            RevalidateBodyKind::Whole { content } => SizeHint::with_exact(content.len() as u64),
            RevalidateBodyKind::Inner { body, .. } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for RevalidateBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            RevalidateBodyKind::Whole { .. } => "from memory",
            RevalidateBodyKind::Inner { recording: Some(_), .. } => "to be kept",
            RevalidateBodyKind::Inner { .. } => "passing",
        };
        f.debug_struct("RevalidateBody").field("kind", &kind).finish_non_exhaustive()
    }
}

/// A response that will be kept when all of its content has been received.
#[derive(Debug)]
pub(super) struct Recording {
    memory: Arc<Memory>,
    key: StoredKey,
    request: HeaderMap,
    head: StoredHead,
    recorder: Recorder,
    reservation: Reservation,
}

impl Recording {
    pub(super) fn new(
        memory: &Arc<Memory>,
        key: StoredKey,
        request: HeaderMap,
        head: StoredHead,
        recorder: Recorder,
    ) -> Self {
        let reservation = Reservation::new(&memory.receiving);
        Self { memory: Arc::clone(memory), key, request, head, recorder, reservation }
    }

    /// Copies the next bytes. Returns false if the content exceeds the limit, or if the
    /// budget for responses that are being received is used up.
    fn push(&mut self, data: &Bytes) -> bool {
        let room = self.recorder.room_for(data.len());
        self.reservation.grow(room as u64) && self.recorder.push(&**data).is_ok()
    }

    /// Keeps the response, if its content is complete.
    fn finish(self, is_end_stream: bool) {
        let content = self.recorder.finish(is_end_stream);
        if let Some(content) = content.ok().filter(|content| content.is_whole) {
            let stored = Stored { head: self.head, content: content.bytes };
            self.memory.put(self.key, &self.request, stored);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    /// A copy may have room for more bytes than it holds.
    #[test]
    fn all_copies_together_take_no_more_memory_than_is_kept() {
        let memory = Arc::new(Memory::new(1 << 20));
        let (head, ()) = Response::new(()).into_parts();
        let begun = || {
            let recorder = Recorder::new(&head, &SizeHint::new(), memory.content_limit()).unwrap();
            let key = memory.key(&"/".parse().unwrap(), &HeaderMap::new());
            let stored = StoredHead::new(&head.headers);
            Recording::new(&memory, key, HeaderMap::new(), stored, recorder)
        };
        let mut recordings: Vec<_> = (0..20).map(|_| begun()).collect();
        // Each copy takes 7, 14, 28, 56 and 112 KiB.
        let piece = Bytes::from_static(&[b'x'; 7 << 10]);
        recordings.retain_mut(|recording| (0..10).all(|_| recording.push(&piece)));
        assert_eq!((recordings.len(), memory.receiving.used()), (9, 9 * (112 << 10)));
        drop(recordings);
        assert_eq!(memory.receiving.used(), 0);
    }
}
