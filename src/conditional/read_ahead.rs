//! Reads a body ahead within the limits of size and time. Then hashes its content, in
//! several polls if it is long.

use std::{
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::{body_timeout::BodyWait, config::Config, respond::ResponseContext};
use crate::{
    body::{yield_now, Buffer, HashProgress, Overflow, PollBudget, Replay, ResponseBody},
    outcome::{Outcome, Reason},
    store::{CachedContent, ContentCache, ContentTag, Match},
    validators::{tag, Digest},
};

/// A body that is being read and hashed.
pub(super) struct ReadAhead<B, D> {
    /// Boxed, because a body that was polled must not move, and this body is sent on if
    /// reading is abandoned. `None` once the body has ended.
    body: Option<Pin<Box<B>>>,
    /// The content that was read so far.
    buffer: Buffer,
    /// The size hint of the body before it was read.
    hint: SizeHint,
    wait: BodyWait,
    /// `Some` once the body has ended.
    hashing: Option<Hashing<D>>,
}

/// Content that was read, and is being hashed.
struct Hashing<D> {
    progress: HashProgress<D>,
    /// The cached content of this resource, which differs from this content.
    previous: Option<Arc<CachedContent>>,
}

/// Why a body was not read to its end, or why its content has no tag. Boxed everywhere,
/// because it is large and rare.
pub(super) struct Abandoned<E> {
    reason: Reason,
    /// The frame or error at which reading was abandoned, if there is one. It is sent
    /// after the frames in the buffer.
    last: Option<Result<Frame<Bytes>, E>>,
}

impl<E> Abandoned<E> {
    fn new(reason: Reason, last: Option<Result<Frame<Bytes>, E>>) -> Box<Self> {
        Box::new(Self { reason, last })
    }
}

pub(super) type ReadAheadResult<E> = Result<ContentTag, Box<Abandoned<E>>>;

impl<B: Body, D: Digest> ReadAhead<B, D> {
    /// Starts to read a body. `bytes` is its expected length, if known.
    #[inline(always)]
    pub(super) fn new(body: B, bytes: Option<u64>, context: &ResponseContext<'_>) -> Self {
        let hint = body.size_hint();
        let buffer = Buffer::new(context.request.config.buffer_limit, bytes);
        let wait = BodyWait::default();
        Self { body: Some(Box::pin(body)), buffer, hint, wait, hashing: None }
    }

    /// Reads, compares and hashes the content. Returns the tag, or the reason why there
    /// is none.
    #[inline(always)]
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        context: &ResponseContext<'_>,
    ) -> Poll<ReadAheadResult<B::Error>> {
        let ResponseContext { request, head, fields, .. } = context;
        let config = &request.config;
        let cache = cache_entry(context);
        let variant = fields.is_negotiated.then_some(&head.headers);
        if self.hashing.is_none() {
            if let Err(abandoned) = ready!(self.poll_read(cx, context)) {
                return Poll::Ready(Err(abandoned));
            }
            let content = self.buffer.content();
            let mut previous = None;
            if let Some((cache, key)) = cache
                && let Some(cached) = cache.get(key)
            {
                if let Some(same) = cached.compare(content.len(), variant, content.all()) {
                    config.reporter.counters.compared(content.len());
                    if same == Match::EqualBytes {
                        cache.release_buffers(|| config.now());
                        cache.confirm(key, &cached, content.all());
                    }
                    return Poll::Ready(Ok(ContentTag::Cached(cached)));
                }
                previous = Some(cached);
            }
            self.hashing = Some(Hashing { progress: HashProgress::default(), previous });
        }
        let Some(hashing) = &mut self.hashing else { return Poll::Pending };
        let content = self.buffer.content();
        let digest = ready!(hashing.progress.poll(cx, |place| content.data(place)));
        config.reporter.counters.hashed(content.len());
        let mut tag = request.outgoing_tag(tag(digest, fields.is_negotiated, &head.headers));
        if let Some((cache, key)) = cache {
            tag = tag.hashed(&config.keys);
            cache.release_buffers(|| config.now());
            cache.insert(key, hashing.previous.as_deref(), tag.clone(), variant, content.all());
        }
        Poll::Ready(Ok(ContentTag::Computed(tag)))
    }

    /// Completes the head, and returns the body to send. If the tag can be learned,
    /// stores the tag.
    ///
    /// Must be called once, after `poll` has returned `Ready`.
    #[inline(always)]
    pub(super) fn finish(
        &mut self,
        result: ReadAheadResult<B::Error>,
        context: &mut ResponseContext<'_>,
    ) -> ResponseBody<B> {
        match result {
            Ok(tag) => {
                if let Some(learnable) = &*context.learnable {
                    learnable.store(context.request, &tag.tag);
                }
                let is_exact = self.hint.exact().is_some();
                let content = self.buffer.take_content();
                let body = ResponseBody::buffered(content, is_exact, Outcome::Tagged);
                context.respond::<D, B>(Ok(tag), body)
            }
            Err(abandoned) => {
                let reason = abandoned.reason;
                context.respond::<D, B>(Err(reason), self.replay(*abandoned))
            }
        }
    }

    /// Makes the body to send from the content that was read and the rest of the body.
    fn replay(&mut self, Abandoned { reason, last }: Abandoned<B::Error>) -> ResponseBody<B> {
        let (read, rest) = (self.buffer.take_content(), self.body.take());
        let hint = std::mem::take(&mut self.hint);
        let replay = Replay { read, last, rest, hint, flush: false };
        ResponseBody::replayed(replay, Outcome::LeftAlone(reason))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        context: &ResponseContext<'_>,
    ) -> Poll<Result<(), Box<Abandoned<B::Error>>>> {
        let mut slice = PollBudget::new();
        let config = &context.request.config;
        // The evaluation of a write must not depend on the load. So the response to the
        // GET of a guard (a probe) is read even if the budget is used up.
        let is_probe = context.request.extras().probe.is_some();
        let budget = if is_probe { None } else { Some(&config.budget) };
        while let (Some(body), true) = (&mut self.body, slice.is_left()) {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    slice.spend(frame.data_ref().map_or(0, Buf::remaining));
                    self.wait.reset();
                    let is_last = body.is_end_stream();
                    if let Err(overflow) = self.buffer.push(frame, budget) {
                        let Overflow { reason, frame } = overflow;
                        return Poll::Ready(Err(Abandoned::new(reason, Some(Ok(frame)))));
                    }
                    if !is_last {
                        continue;
                    }
                }
                Poll::Ready(None) => {}
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Abandoned::new(Reason::BodyError, Some(Err(error)))));
                }
                Poll::Pending => {
                    ready!(self.poll_wait(cx, config, is_probe));
                    return Poll::Ready(Err(Abandoned::new(Reason::NotReady, None)));
                }
            }
            self.body = None;
            let checked = self.check_length(context.request.may_lack_content());
            return Poll::Ready(checked.map_err(|reason| Abandoned::new(reason, None)));
        }
        yield_now(cx);
        Poll::Pending
    }

    /// Waits for a body that is not ready. Returns `Ready` if the layer must not wait
    /// any longer.
    fn poll_wait(&mut self, cx: &mut Context<'_>, config: &Config, is_probe: bool) -> Poll<()> {
        let is_sized = self.buffer.promised().is_some();
        let timeout = config.body_timeout.of(is_sized);
        // Content of unknown size may be a stream that never ends.
        let timeout = if is_probe && is_sized { timeout.max(PROBE_TIMEOUT) } else { timeout };
        if self.wait.waits(timeout, &config.timer, cx) {
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Checks that a body that has ended had the announced length. Fails also if the
    /// answer to a HEAD had no content.
    #[inline]
    fn check_length(&self, may_lack_content: bool) -> Result<(), Reason> {
        let len = self.buffer.content().len();
        if may_lack_content && len == 0 {
            // The content of the GET is not known, so the tag of zero bytes would
            // be wrong.
            return Err(Reason::EmptyHead);
        }
        let is_too_long = self.hint.upper().is_some_and(|upper| len > upper);
        if !self.buffer.is_as_promised() || len < self.hint.lower() || is_too_long {
            return Err(Reason::WrongLength);
        }
        Ok(())
    }
}

/// Returns the cache, and the key of this response. `None` if such content is
/// never cached.
#[inline]
fn cache_entry<'a>(context: &ResponseContext<'a>) -> Option<(&'a ContentCache, u64)> {
    let cache = context.request.config.content_cache.as_deref()?;
    Some((cache, context.request.content_key(context.fields)?))
}

/// How long the layer waits for content of known size that answers the GET of a guard.
/// Longer than for a read, because whether a write is allowed must not depend on the
/// load. But other writes may wait for the guard's lock meanwhile.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
