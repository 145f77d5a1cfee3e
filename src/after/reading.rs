//! Reads a body ahead, as far as it may, and hashes it; a slice at a time.

use std::{
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{asked::Asked, config::Config, patience::Patience, streams::Lesson};
use crate::{
    body::{give_way, Buffer, Content, Replay, ResponseBody},
    representation::{tag, Digest, Facts, Made, Outcome, Reason, Remembered},
};

/// A body that is being read and hashed.
pub(super) struct Reading<B, D> {
    /// In a box, because it goes on in the response if it is given up, and may not move once it was polled.
    body: Pin<Box<B>>,
    /// What was read of it.
    buffer: Buffer,
    /// What the body said of its size before it was read.
    hint: SizeHint,
    is_head: bool,
    patience: Patience,
    /// `Some` once the body has ended.
    hashing: Option<Hashing<D>>,
}

/// How far the hash has come.
struct Hashing<D> {
    digest: D,
    /// What was remembered of this resource, and is other content.
    previous: Option<Arc<Remembered>>,
    frame: usize,
    octets: usize,
}

/// Why a body was not read to its end, or not used.
pub(super) struct GivenUp<E> {
    reason: Reason,
    /// What came last.
    last: Option<Result<Frame<Bytes>, E>>,
    /// The body has nothing more to say.
    ended: bool,
}

impl<B: Body, D: Digest> Reading<B, D> {
    pub(super) fn new(body: B, buffer: Buffer, is_head: bool) -> Self {
        let hint = body.size_hint();
        Self { body: Box::pin(body), buffer, hint, is_head, patience: Patience::default(), hashing: None }
    }

    /// Goes on reading, then comparing and hashing; ready when there is a tag, or will be none.
    ///
    /// `headers` are those of the response, and `facts` what they say.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        asked: &Asked,
        headers: &HeaderMap,
        facts: &Facts,
    ) -> Poll<Result<Made, GivenUp<B::Error>>> {
        let config = &asked.config;
        let evidence = config.evidence.as_deref().zip(asked.content_key(facts));
        let variant = facts.is_negotiated.then_some(headers);
        if self.hashing.is_none() {
            if let Err(given_up) = ready!(self.poll_read(cx, config)) {
                return Poll::Ready(Err(given_up));
            }
            let content = self.buffer.content();
            let previous = evidence.and_then(|(evidence, key)| evidence.get(key));
            if let (Some((evidence, key)), Some(remembered)) = (evidence, &previous) {
                if let Some(same) = remembered.compare(content.len(), variant, content.datas()) {
                    config.counters.compared(content.len());
                    evidence.confirm(key, remembered, same, content.datas());
                    return Poll::Ready(Ok(remembered.made().clone()));
                }
            }
            self.hashing = Some(Hashing { digest: D::default(), previous, frame: 0, octets: 0 });
        }
        let Some(hashing) = &mut self.hashing else { return Poll::Pending };
        ready!(hashing.poll(cx, self.buffer.content()));
        config.counters.hashed(self.buffer.content().len());
        let mut made = asked.made(tag(std::mem::take(&mut hashing.digest), facts.is_negotiated, headers));
        if let Some((evidence, key)) = evidence {
            made = made.hashed(&config.memory.keys);
            let previous = hashing.previous.as_deref();
            evidence.learn(key, previous, made.clone(), variant, self.buffer.content().datas());
        }
        Poll::Ready(Ok(made))
    }

    /// Makes the body to send.
    pub(super) fn finish(
        self,
        asked: &Asked,
        lesson: Option<Lesson>,
        result: Result<Made, GivenUp<B::Error>>,
    ) -> (Result<Made, Reason>, ResponseBody<B>) {
        match result {
            Ok(made) => {
                if let Some(lesson) = lesson {
                    lesson.teach(asked, &made.tag);
                }
                let exact = self.hint.exact().is_some();
                (Ok(made), ResponseBody::buffered(self.buffer.into_content(), exact, Outcome::Tagged))
            }
            Err(GivenUp { reason, last, ended }) => {
                let rest = (!ended).then_some(self.body);
                let replay = Replay { read: self.buffer.into_content(), last, rest, hint: self.hint, flush: false };
                (Err(reason), ResponseBody::replayed(replay, Outcome::LeftAlone(reason)))
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, config: &Config) -> Poll<Result<(), GivenUp<B::Error>>> {
        let give_up = |reason, last, ended| Poll::Ready(Err(GivenUp { reason, last, ended }));
        let mut budget = Budget::new();
        while budget.is_left() {
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    budget.spend(frame.data_ref().map_or(0, Buf::remaining));
                    self.patience.encourage();
                    if let Err(overflow) = self.buffer.push(frame) {
                        return give_up(overflow.reason, Some(Ok(overflow.frame)), false);
                    }
                    if !self.body.is_end_stream() {
                        continue;
                    }
                }
                Poll::Ready(None) => {}
                Poll::Ready(Some(Err(error))) => return give_up(Reason::BodyError, Some(Err(error)), false),
                Poll::Pending => {
                    let known = self.buffer.promised().is_some();
                    let allowed = if known { config.buffer_deadline } else { config.unknown_size_patience };
                    if self.patience.waits(allowed, &config.timer, cx) {
                        return Poll::Pending;
                    }
                    return give_up(Reason::NotReady, None, false);
                }
            }
            let len = self.buffer.content().len();
            return if self.is_head && len == 0 {
                // The tag of nothing would be that of no GET.
                give_up(Reason::EmptyHead, None, true)
            } else if !self.buffer.is_as_promised()
                || len < self.hint.lower()
                || self.hint.upper().is_some_and(|upper| len > upper)
            {
                give_up(Reason::WrongLength, None, true)
            } else {
                Poll::Ready(Ok(()))
            };
        }
        give_way(cx);
        Poll::Pending
    }
}

impl<D: Digest> Hashing<D> {
    fn poll(&mut self, cx: &mut Context<'_>, content: &Content) -> Poll<()> {
        let mut budget = Budget::new();
        while let Some(data) = content.data(self.frame) {
            if !budget.is_left() {
                give_way(cx);
                return Poll::Pending;
            }
            let rest = data.get(self.octets..).unwrap_or_default();
            let slice = rest.get(..budget.octets).unwrap_or(rest);
            self.digest.update(slice);
            budget.spend(slice.len());
            if slice.len() < rest.len() {
                self.octets += slice.len();
            } else {
                self.frame += 1;
                self.octets = 0;
            }
        }
        Poll::Ready(())
    }
}

/// How much one poll may do before it lets other tasks have their turn: a compressor inside can make one poll of 1 MiB
/// last 23 ms.
struct Budget {
    frames: usize,
    octets: usize,
}

impl Budget {
    fn new() -> Self {
        Self { frames: 8, octets: 64 * 1024 }
    }

    fn is_left(&self) -> bool {
        self.frames > 0 && self.octets > 0
    }

    fn spend(&mut self, octets: usize) {
        self.frames -= 1;
        self.octets = self.octets.saturating_sub(octets);
    }
}
