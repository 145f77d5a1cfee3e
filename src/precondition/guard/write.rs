//! The steps of a write, and the next step after each answer of the inner service.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use http::{
    header::{ETAG, EXPECT, IF_NONE_MATCH},
    request, Method, Request, Response,
};
use http_body::Body;
use tokio::time::Sleep;
use tower_service::Service;

use super::{
    config::GuardConfig,
    content::{ContentHash, WriteContent},
    probe::{hash_of_state, probe, ProbedState},
    refusal::{Refusal, Stop},
    streamed::StreamedWrite,
};
use crate::{
    body::{BoxError, RequestBody, ResponseBody},
    exchange::{insert_etag, pass_on, GuardedWrite, Probe, Rejection, Target},
    outcome::Outcome,
    precondition::locks::{Access, WriteLock},
    rules::{EntityTag, PreconditionFields},
    POLLED_AGAIN,
};

/// A write in progress.
///
/// A write with preconditions is *guarded*: it takes the lock exclusively, and its
/// preconditions are evaluated. A write without preconditions shares the lock with
/// other such writes.
pub(super) struct PendingWrite<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(super) config: Arc<GuardConfig>,
    pub(super) inner: S,
    /// The inner service is ready, and may hold a permit for this call.
    pub(super) is_ready: bool,
    pub(super) parts: request::Parts,
    pub(super) content: WriteContent<B>,
    pub(super) preconditions: PreconditionFields,
    pub(super) is_guarded: bool,
    pub(super) is_required: bool,
    pub(super) lock: WriteLock,
    /// The timer of the wait for the lock, and then of the wait for the new tag.
    pub(super) timeout: Option<Pin<Box<Sleep>>>,
    /// The hash of the content that was sent, if it may be the new tag.
    pub(super) sent: Option<EntityTag>,
    /// The response to the write, while a GET asks for its new tag.
    pub(super) response: Option<S::Response>,
}

/// The next step of a write.
pub(super) enum Step {
    Look,
    EarlyProbe,
    /// `rejection` is set if If-Match failed. The content is then read to find out
    /// whether it is already stored, because the write may be a retry.
    Read {
        rejection: Option<Rejection>,
    },
    Lock,
    LockedProbe,
    Hash {
        hash: Box<ContentHash>,
        purpose: Purpose,
    },
    Run,
    Stream,
    NewTag,
}

/// The purpose for which content is hashed.
pub(super) enum Purpose {
    /// The write runs next. The hash may be the new tag.
    Run,
    /// If-Match failed. If this current tag equals the hash, the content is
    /// already stored.
    Compare(EntityTag, Rejection),
}

/// A call of the inner service.
#[derive(Clone, Copy)]
pub(super) enum Call {
    EarlyProbe,
    LockedProbe,
    Run,
    NewTag,
}

/// What to do next.
pub(super) enum Next<F, R> {
    Step(Step),
    Call(F, Call),
    Stream(StreamedWrite<F>),
    Respond(R),
}

/// What to do next, or the reason why the write ends.
pub(super) type NextResult<S, B, ResBody> = Result<
    Next<<S as Service<Request<RequestBody<B>>>>::Future, Response<ResponseBody<ResBody>>>,
    Stop<<S as Service<Request<RequestBody<B>>>>::Error>,
>;

/// The result of evaluating the preconditions against the response to a probe, which is
/// the GET for the current state.
pub(super) enum Evaluation<R> {
    Holds(ProbedState),
    Fails {
        rejection: Rejection,
        /// The current tag, if the write may be the retry of a PUT that stored
        /// this state.
        retry: Option<EntityTag>,
    },
    /// The response to the probe, which shows no state. An example is a 401.
    NoState(R),
}

impl Step {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Look | Self::Stream => "starting",
            Self::EarlyProbe | Self::LockedProbe | Self::Run | Self::NewTag => "calling",
            Self::Read { .. } => "reading",
            Self::Lock => "waiting for the lock",
            Self::Hash { .. } => "hashing",
        }
    }
}

impl<S, B> PendingWrite<S, B>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body,
    B::Error: Into<BoxError>,
{
    /// Starts a write. `inner` is ready.
    pub(super) fn new(
        inner: S,
        config: &Arc<GuardConfig>,
        request: Request<B>,
        preconditions: PreconditionFields,
        is_required: bool,
    ) -> Self {
        let (mut parts, body) = request.into_parts();
        let content = WriteContent::new(&parts.headers, body);
        let is_guarded = !preconditions.is_empty();
        let access = if is_guarded { Access::Exclusive } else { Access::Shared };
        let lock = config.lock_for(&mut parts, access);
        Self {
            config: Arc::clone(config),
            inner,
            is_ready: true,
            parts,
            content,
            preconditions,
            is_guarded,
            is_required,
            lock,
            timeout: None,
            sent: None,
            response: None,
        }
    }
}

impl<S, B, ResBody> PendingWrite<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    ResBody: Body,
{
    /// Runs a step, and returns the next one.
    pub(super) fn poll_step(
        &mut self,
        step: &mut Step,
        cx: &mut Context<'_>,
    ) -> Poll<NextResult<S, B, ResBody>> {
        Poll::Ready(Ok(match step {
            Step::Look => Next::Step(self.look(cx)),
            Step::EarlyProbe => {
                ready!(self.poll_inner_ready(cx))?;
                Next::Call(self.call_probe(self.asked()), Call::EarlyProbe)
            }
            Step::Read { rejection } => {
                ready!(self.poll_read(rejection, cx))?;
                Next::Step(Step::Lock)
            }
            Step::Lock => {
                ready!(self.poll_lock(cx))?;
                Next::Step(if self.is_guarded { Step::LockedProbe } else { Step::Run })
            }
            Step::LockedProbe => {
                ready!(self.poll_ready_in_time(cx))?;
                Next::Call(self.call_probe(self.asked()), Call::LockedProbe)
            }
            Step::Hash { hash, purpose } => {
                let tag = ready!(hash.poll(cx, &self.content));
                Next::Step(self.after_hash(tag, purpose)?)
            }
            Step::Run => {
                ready!(self.poll_ready_in_time(cx))?;
                let body = self.content.take_whole();
                Next::Call(self.call_write(body, self.sent.is_some()), Call::Run)
            }
            Step::Stream => {
                ready!(self.poll_inner_ready(cx))?;
                Next::Stream(self.stream())
            }
            // The write is done, so its response is sent even if this probe fails.
            Step::NewTag => match self.inner.poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    self.timeout = None;
                    Next::Call(self.call_probe(Probe::Tag), Call::NewTag)
                }
                Poll::Ready(Err(_)) | Poll::Pending => self.respond(None),
            },
        }))
    }

    /// Waits for an answer of the inner service, and returns the next step.
    pub(super) fn poll_call(
        &mut self,
        future: Pin<&mut S::Future>,
        call: Call,
        cx: &mut Context<'_>,
    ) -> Poll<NextResult<S, B, ResBody>> {
        let answer = match future.poll(cx) {
            Poll::Ready(answer) => answer.map_err(Stop::Failed),
            // The write is done, so the client should not wait long for the new tag.
            Poll::Pending if matches!(call, Call::NewTag) => {
                ready!(self.poll_timeout(cx));
                return Poll::Ready(Ok(self.respond(None)));
            }
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(match call {
            Call::EarlyProbe => self.after_early_probe(answer?),
            Call::LockedProbe => self.after_locked_probe(answer?),
            Call::Run => Ok(self.after_run(answer?)),
            Call::NewTag => Ok(self.after_new_tag(answer.ok())),
        })
    }

    /// Checks how much content has arrived, and returns the next step.
    fn look(&mut self, cx: &mut Context<'_>) -> Step {
        // With `Expect: 100-continue`, the first read of the body would make the client
        // send its content, although the write may still be refused.
        if !self.parts.headers.contains_key(EXPECT) {
            self.content.look(cx);
        }
        match (self.is_guarded, self.content.is_whole()) {
            (true, true) if self.is_in_hand() && self.lock.try_acquire() => Step::LockedProbe,
            (true, _) => Step::EarlyProbe,
            (false, true) => Step::Lock,
            (false, false) if self.is_read_first() => Step::Read { rejection: None },
            (false, false) => Step::Stream,
        }
    }

    fn after_early_probe(&mut self, answer: Response<ResBody>) -> NextResult<S, B, ResBody> {
        Ok(Next::Step(match self.evaluate(answer) {
            Evaluation::Holds(_) if self.is_in_hand() => Step::Lock,
            Evaluation::Holds(_) if self.config.stream_uploads && !self.is_read_first() => {
                Step::Stream
            }
            Evaluation::Holds(_) => Step::Read { rejection: None },
            Evaluation::Fails { retry: Some(_), .. } if self.is_in_hand() => Step::Lock,
            Evaluation::Fails { rejection, retry: Some(_) } => {
                Step::Read { rejection: Some(rejection) }
            }
            Evaluation::Fails { rejection, retry: None } => {
                return Err(Refusal::Precondition(rejection).into());
            }
            Evaluation::NoState(answer) => return Ok(self.pass_on(answer)),
        }))
    }

    fn after_locked_probe(&mut self, answer: Response<ResBody>) -> NextResult<S, B, ResBody> {
        let purpose = match self.evaluate(answer) {
            Evaluation::Holds(state) => {
                if self.parts.method != Method::PUT || !state.may_be_hashed() {
                    return Ok(Next::Step(Step::Run));
                }
                Purpose::Run
            }
            Evaluation::Fails { rejection, retry: Some(tag) } => Purpose::Compare(tag, rejection),
            Evaluation::Fails { rejection, retry: None } => {
                return Err(Refusal::Precondition(rejection).into());
            }
            Evaluation::NoState(answer) => return Ok(self.pass_on(answer)),
        };
        Ok(Next::Step(Step::Hash { hash: Box::default(), purpose }))
    }

    fn after_hash(
        &mut self,
        tag: EntityTag,
        purpose: &mut Purpose,
    ) -> Result<Step, Stop<S::Error>> {
        match mem::replace(purpose, Purpose::Run) {
            Purpose::Run => {
                self.sent = Some(tag);
                Ok(Step::Run)
            }
            Purpose::Compare(current, _) if current == tag => Err(Refusal::AlreadyStored.into()),
            Purpose::Compare(_, rejection) => Err(Refusal::Precondition(rejection).into()),
        }
    }

    fn after_run(
        &mut self,
        response: Response<ResBody>,
    ) -> Next<S::Future, Response<ResponseBody<ResBody>>> {
        let may_get_tag = self.sent.is_some()
            && response.status().is_success()
            && !response.headers().contains_key(ETAG);
        if may_get_tag {
            self.response = Some(response);
            return Next::Step(Step::NewTag);
        }
        Next::Respond(self.config.respond(response, Outcome::Proceeded))
    }

    fn after_new_tag(
        &mut self,
        answer: Option<Response<ResBody>>,
    ) -> Next<S::Future, Response<ResponseBody<ResBody>>> {
        let head = answer.map(|answer| answer.into_parts().0);
        let current = head.and_then(|head| hash_of_state(&self.parts, &head));
        let tag = self.sent.take().filter(|sent| current.as_ref() == Some(sent));
        self.respond(tag)
    }

    /// Returns the kept response to the write, with its new tag if that is known.
    fn respond(
        &mut self,
        tag: Option<EntityTag>,
    ) -> Next<S::Future, Response<ResponseBody<ResBody>>> {
        let mut response = self.response.take().expect(POLLED_AGAIN);
        if let Some(tag) = tag {
            insert_etag(response.headers_mut(), tag.into());
        }
        Next::Respond(self.config.respond(response, Outcome::Proceeded))
    }

    /// Makes the response to the write from a response to a probe that shows no state,
    /// such as a 401.
    fn pass_on(
        &self,
        answer: Response<ResBody>,
    ) -> Next<S::Future, Response<ResponseBody<ResBody>>> {
        let (head, body) = answer.into_parts();
        let body = ResponseBody::inner(body, Outcome::StateUnavailable);
        Next::Respond(pass_on(head, body, &self.config.base.reporter))
    }

    /// Evaluates the preconditions against the response to a probe.
    pub(super) fn evaluate(&self, answer: Response<ResBody>) -> Evaluation<Response<ResBody>> {
        let (head, body) = answer.into_parts();
        let Some(current) = ProbedState::of(&head, self.config.base.now()) else {
            return Evaluation::NoState(Response::from_parts(head, body));
        };
        let (state, preconditions) = (current.state(), &self.preconditions);
        let checked = preconditions.check(self.is_required, &self.parts.method, state);
        // The current tag is not known, so If-None-Match may name it.
        let lists_tags = preconditions.has_if_none_match() && !preconditions.is_if_none_match_any();
        let rejection = match checked {
            Ok(()) if current.is_tag_unknown() && lists_tags => {
                Rejection::failed(&self.parts.method, IF_NONE_MATCH, preconditions, state)
            }
            Ok(()) => return Evaluation::Holds(current),
            Err(rejection) => rejection,
        };
        // A repeated PUT with `If-None-Match: *` is a conflict, even with the
        // same content.
        let may_be_retry = self.config.idempotent_puts
            && self.parts.method == Method::PUT
            && preconditions.has_if_match()
            && !preconditions.has_if_none_match();
        let retry = if may_be_retry { hash_of_state(&self.parts, &head) } else { None };
        Evaluation::Fails { rejection, retry }
    }

    /// Returns true if the content is always read before the handler runs, as for
    /// DELETE. Most handlers of DELETE do not read the content, so holding back its end
    /// would not stop them.
    fn is_read_first(&self) -> bool {
        self.parts.method == Method::DELETE
    }

    /// Returns true if all content has arrived, and is within the limit. With
    /// `stream_uploads` there is no limit.
    fn is_in_hand(&self) -> bool {
        let config = &self.config;
        let is_allowed = config.stream_uploads || self.content.len() <= config.body_limit;
        self.content.is_whole() && is_allowed
    }

    fn poll_read(
        &mut self,
        rejection: &mut Option<Rejection>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stop<S::Error>>> {
        let Poll::Ready(read) = self.content.poll_read(cx, &self.config) else {
            self.give_back();
            return Poll::Pending;
        };
        Poll::Ready(read.map_err(|refusal| match (refusal, rejection.take()) {
            // Content above the limit is not compared, so the write does not count as
            // a retry.
            (Refusal::ContentTooLarge, Some(rejection)) => Refusal::Precondition(rejection).into(),
            (refusal, _) => refusal.into(),
        }))
    }

    /// Waits for the lock, until the timeout.
    pub(super) fn poll_lock(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop<S::Error>>> {
        if self.lock.poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.give_back();
        ready!(self.poll_timeout(cx));
        Poll::Ready(Err(Refusal::Busy.into()))
    }

    /// Waits until the inner service is ready. The timeout of the lock ends this wait,
    /// because other writes wait for the lock meanwhile.
    pub(super) fn poll_ready_in_time(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stop<S::Error>>> {
        if let Poll::Ready(ready) = self.poll_inner_ready(cx) {
            return Poll::Ready(ready);
        }
        ready!(self.poll_timeout(cx));
        Poll::Ready(Err(Refusal::Busy.into()))
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timeout.is_none() {
            self.timeout = self.config.timer.sleep(self.config.lock_timeout);
        }
        match &mut self.timeout {
            Some(timeout) => timeout.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn poll_inner_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop<S::Error>>> {
        if !self.is_ready {
            ready!(self.inner.poll_ready(cx)).map_err(Stop::Failed)?;
            self.is_ready = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Releases what the ready inner service holds, such as a permit. The write that
    /// holds the lock may be waiting for that permit.
    fn give_back(&mut self) {
        if mem::take(&mut self.is_ready) {
            let another = self.inner.clone();
            self.inner = another;
        }
    }

    /// Returns the kind of probe that the preconditions need.
    pub(super) fn asked(&self) -> Probe {
        if self.preconditions.needs_tag() {
            Probe::Tag
        } else if self.preconditions.if_unmodified_since_date().is_some() {
            Probe::Date
        } else {
            Probe::Existence
        }
    }

    pub(super) fn call_probe(&mut self, asked: Probe) -> S::Future {
        self.is_ready = false;
        self.inner.call(probe(&self.parts, asked))
    }

    /// Runs the write. `is_asked_again` is true if another probe, made from the head of
    /// the write, may follow.
    pub(super) fn call_write(&mut self, body: RequestBody<B>, is_asked_again: bool) -> S::Future {
        self.is_ready = false;
        if self.is_guarded {
            let target = Target::new(&self.parts.uri, &self.parts.extensions);
            self.parts.extensions.insert(GuardedWrite(target));
        }
        let parts = if is_asked_again {
            self.parts.clone()
        } else {
            let (none, ()) = Request::new(()).into_parts();
            mem::replace(&mut self.parts, none)
        };
        self.inner.call(Request::from_parts(parts, body))
    }
}
