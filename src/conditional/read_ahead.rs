//! Reads a body ahead, as far as it may, and hashes it; a slice at a time.

use std::{
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{config::Config, request::Asked, wait::Patience};
use crate::{
    body::{give_way, Buffer, Content, Overflow, Replay, ResponseBody},
    outcome::{Outcome, Reason},
    store::{Found, Remembered},
    validators::{tag, Digest, Facts},
};

/// A body that is being read and hashed.
pub(super) struct Reading<B, D> {
    /// In a box, because it goes on in the response if it is given up, and may not move once it was polled. `None` once it
    /// has nothing more to say.
    body: Option<Pin<Box<B>>>,
    /// What was read of it.
    buffer: Buffer,
    /// What the body said of its size before it was read.
    hint: SizeHint,
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

/// Why a body was not read to its end, or not used; in a box, because it is rare and large.
pub(super) struct GivenUp<E> {
    pub(super) reason: Reason,
    /// What was read behind what is in the buffer, and ended the reading.
    last: Option<Result<Frame<Bytes>, E>>,
}

impl<E> GivenUp<E> {
    fn new(reason: Reason, last: Option<Result<Frame<Bytes>, E>>) -> Box<Self> {
        Box::new(Self { reason, last })
    }
}

/// What reading and hashing came to.
pub(super) type Read<E> = Result<Found, Box<GivenUp<E>>>;

impl<B: Body, D: Digest> Reading<B, D> {
    /// Starts to read a body, which should have so many octets if that is known.
    #[inline(always)]
    pub(super) fn new(body: B, octets: Option<u64>, config: &Config) -> Self {
        let hint = body.size_hint();
        let buffer = Buffer::new(config.buffer_limit, octets);
        Self { body: Some(Box::pin(body)), buffer, hint, patience: Patience::default(), hashing: None }
    }

    /// Goes on reading, then comparing and hashing; ready when there is a tag, or will be none.
    ///
    /// `headers` are those of the response, and `facts` what they say.
    #[inline(always)]
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        asked: &Asked,
        headers: &HeaderMap,
        facts: &Facts,
    ) -> Poll<Read<B::Error>> {
        let config = &asked.config;
        let evidence = config.evidence.as_deref().zip(asked.content_key(facts));
        let variant = facts.is_negotiated.then_some(headers);
        if self.hashing.is_none() {
            if let Err(given_up) = ready!(self.poll_read(cx, asked)) {
                return Poll::Ready(Err(given_up));
            }
            let content = self.buffer.content();
            let previous = evidence.and_then(|(evidence, key)| evidence.get(key));
            match (evidence, previous) {
                (Some((evidence, key)), Some(remembered)) => {
                    if let Some(same) = remembered.compare(content.len(), variant, content.all()) {
                        config.counters.compared(content.len());
                        evidence.confirm(key, &remembered, same, content.all());
                        return Poll::Ready(Ok(Found::Remembered(remembered)));
                    }
                    self.hashing = Some(Hashing::new(Some(remembered)));
                }
                _ => self.hashing = Some(Hashing::new(None)),
            }
        }
        let Some(hashing) = &mut self.hashing else { return Poll::Pending };
        let content = self.buffer.content();
        ready!(hashing.poll(cx, content));
        config.counters.hashed(content.len());
        let mut made = asked.made(tag(std::mem::take(&mut hashing.digest), facts.is_negotiated, headers));
        if let Some((evidence, key)) = evidence {
            made = made.hashed(&config.memory.keys);
            evidence.learn(key, hashing.previous.as_deref(), made.clone(), variant, content.all());
        }
        Poll::Ready(Ok(Found::Made(made)))
    }

    /// Makes the body to send of what was read. Nothing is left to read then.
    #[inline]
    pub(super) fn body(&mut self) -> ResponseBody<B> {
        ResponseBody::buffered(self.buffer.take_content(), self.hint.exact().is_some(), Outcome::Tagged)
    }

    /// Makes the body to send of what was read, and of what is still to come. Nothing is left to read then.
    pub(super) fn replay(&mut self, GivenUp { reason, last }: GivenUp<B::Error>) -> ResponseBody<B> {
        let (read, rest) = (self.buffer.take_content(), self.body.take());
        let replay = Replay { read, last, rest, hint: std::mem::take(&mut self.hint), flush: false };
        ResponseBody::replayed(replay, Outcome::LeftAlone(reason))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, asked: &Asked) -> Poll<Result<(), Box<GivenUp<B::Error>>>> {
        let mut budget = Budget::new();
        while let (Some(body), true) = (&mut self.body, budget.is_left()) {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    budget.spend(frame.data_ref().map_or(0, Buf::remaining));
                    self.patience.encourage();
                    let is_last = body.is_end_stream();
                    if let Err(overflow) = self.buffer.push(frame) {
                        let Overflow { reason, frame } = overflow;
                        return Poll::Ready(Err(GivenUp::new(reason, Some(Ok(frame)))));
                    }
                    if !is_last {
                        continue;
                    }
                }
                Poll::Ready(None) => {}
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(GivenUp::new(Reason::BodyError, Some(Err(error)))));
                }
                Poll::Pending => {
                    ready!(self.poll_patience(cx, &asked.config));
                    return Poll::Ready(Err(GivenUp::new(Reason::NotReady, None)));
                }
            }
            self.body = None;
            return Poll::Ready(self.check_length(asked.is_head).map_err(|reason| GivenUp::new(reason, None)));
        }
        give_way(cx);
        Poll::Pending
    }

    /// Waits for a body that is not ready; ready when the client has waited long enough.
    fn poll_patience(&mut self, cx: &mut Context<'_>, config: &Config) -> Poll<()> {
        let known = self.buffer.promised().is_some();
        let allowed = if known { config.buffer_deadline } else { config.unknown_size_patience };
        if self.patience.waits(allowed, &config.timer, cx) {
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Says whether a body that has ended had the content that it promised.
    #[inline]
    fn check_length(&self, is_head: bool) -> Result<(), Reason> {
        let len = self.buffer.content().len();
        if is_head && len == 0 {
            // The tag of nothing would be that of no GET.
            return Err(Reason::EmptyHead);
        }
        let is_too_long = self.hint.upper().is_some_and(|upper| len > upper);
        if !self.buffer.is_as_promised() || len < self.hint.lower() || is_too_long {
            return Err(Reason::WrongLength);
        }
        Ok(())
    }
}

impl<D: Digest> Hashing<D> {
    fn new(previous: Option<Arc<Remembered>>) -> Self {
        Self { digest: D::default(), previous, frame: 0, octets: 0 }
    }

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
