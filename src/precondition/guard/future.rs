//! The future of a guarded request.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http::{
    header::{ETAG, EXPECT},
    request, response, Method, Request, Response, StatusCode,
};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;

use super::{
    content::{ContentHash, WriteContent},
    probe::{hash_of_state, probe, ProbedState},
    GuardConfig, Refusal,
};
use crate::{
    body::{BoxError, Gate, RequestBody, ResponseBody},
    exchange::{
        insert_etag, insert_retry_after, pass_on, reject, respond_empty, GuardedWrite,
        KnownValidators, Probe, Rejection, Target,
    },
    outcome::{Outcome, Reason},
    precondition::locks::WriteLock,
    rules::{EntityTag, Preconditions},
    POLLED_AGAIN,
};

pin_project! {
    /// The future of a [`WriteGuard`](crate::WriteGuard).
    ///
    /// ```text
    ///  Passing: a read ───────────────────────────────────────────► Response
    ///  Look ── with preconditions ──► EarlyProbe ── fails ────────► Refuse
    ///   │ │      (whole, lock free)       │
    ///   │ └──────────────────────────┐    ├─ uploads are streamed ─► Stream
    ///   │ without                    │    ▼
    ///   ├─ content to come ─► Stream │   Read ── too large, busy ─► Refuse
    ///   ▼                            │    ▼
    ///  Lock ─► Run                   │   Lock ── too late ────────► Refuse
    ///                                ▼    ▼
    ///                              LockedProbe ── fails ──────────► Refuse
    ///                                     ▼
    ///                                    Run ─► NewTag: a PUT ────► Response
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        state: GuardState<S::Future>,
        // `None` for a read. In a box, so that the futures of reads stay small.
        write: Option<Box<PendingWrite<S, B>>>,
        config: Arc<GuardConfig>,
    }
}

pin_project! {
    #[project = GuardStateProj]
    enum GuardState<F> {
        /// The inner service answers a request that is no write.
        Passing {
            #[pin]
            future: F,
            known: Option<KnownValidators>,
        },
        /// Something has to be done first.
        Step {
            step: Step,
        },
        /// The inner service answers.
        Calling {
            #[pin]
            future: F,
            call: Call,
        },
        /// The inner service gets the content while it comes.
        Streaming {
            #[pin]
            future: F,
            #[pin]
            probe: Option<F>,
            gate: OwnGate,
            is_settled: bool,
            refusal: Option<Refusal>,
        },
    }
}

/// What is to be done next with a write.
enum Step {
    Look,
    EarlyProbe,
    Read,
    Lock,
    LockedProbe,
    Run,
    Stream,
    /// If-Match failed, and the content may be there already.
    Compare(Box<ContentHash>, Option<Rejection>),
    NewTag,
    CompareNewTag(Box<ContentHash>),
    Refuse(Option<Refusal>),
}

/// What the inner service is asked.
#[derive(Clone, Copy)]
enum Call {
    EarlyProbe,
    LockedProbe,
    Run,
    NewTag,
}

/// What comes of a step.
enum Next<F, R> {
    Step(Step),
    Call(F, Call),
    Stream(F, OwnGate),
    Respond(R),
}

/// A gate that stays shut if the write that it belongs to comes to no end.
struct OwnGate(Arc<Gate>);

impl Drop for OwnGate {
    fn drop(&mut self) {
        self.0.settle(false);
    }
}

/// A write, with what is known of it.
pub(super) struct PendingWrite<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    inner: S,
    /// The inner service is ready, and may hold a permit for it.
    is_ready: bool,
    parts: request::Parts,
    content: WriteContent<B>,
    preconditions: Preconditions,
    is_required: bool,
    lock: WriteLock,
    /// Runs while the lock is waited for, and again while the new tag is.
    timeout: Option<Pin<Box<Sleep>>>,
    /// What was sent, if the new tag may be its hash.
    sent: Option<Vec<Bytes>>,
    /// The response to the write, while its new tag is looked for.
    response: Option<S::Response>,
}

impl<S, B> PendingWrite<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(super) fn new(
        inner: S,
        parts: request::Parts,
        content: WriteContent<B>,
        preconditions: Preconditions,
        is_required: bool,
        lock: WriteLock,
    ) -> Self {
        Self {
            inner,
            is_ready: true,
            parts,
            content,
            preconditions,
            is_required,
            lock,
            timeout: None,
            sent: None,
            response: None,
        }
    }
}

impl<S, B> GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(super) fn passing(
        future: S::Future,
        known: Option<KnownValidators>,
        config: &Arc<GuardConfig>,
    ) -> Self {
        let state = GuardState::Passing { future, known };
        Self { state, write: None, config: Arc::clone(config) }
    }

    pub(super) fn rejected(rejection: Rejection, config: &Arc<GuardConfig>) -> Self {
        let step = Step::Refuse(Some(Refusal::Precondition(rejection)));
        Self { state: GuardState::Step { step }, write: None, config: Arc::clone(config) }
    }

    pub(super) fn writing(write: PendingWrite<S, B>, config: &Arc<GuardConfig>) -> Self {
        let state = GuardState::Step { step: Step::Look };
        Self { state, write: Some(Box::new(write)), config: Arc::clone(config) }
    }
}

impl<S, B, ResBody> Future for GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (config, write) = (&**this.config, this.write);
        loop {
            let next = match this.state.as_mut().project() {
                GuardStateProj::Passing { future, known } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some(known) = known.take() {
                        // What an inner layer knows says more.
                        response.extensions_mut().get_or_insert_with(|| known);
                    }
                    let outcome = Outcome::LeftAlone(Reason::Method);
                    Ok(Next::Respond(respond(response, outcome, config)))
                }
                GuardStateProj::Step { step: Step::Refuse(refusal) } => {
                    let refusal = refusal.take().expect(POLLED_AGAIN);
                    Ok(Next::Respond(refuse(refusal, config)))
                }
                GuardStateProj::Step { step } => {
                    ready!(write.as_mut().expect(POLLED_AGAIN).poll_step(step, cx, config))
                }
                GuardStateProj::Calling { future, call } => {
                    let write = write.as_mut().expect(POLLED_AGAIN);
                    match future.poll(cx) {
                        Poll::Ready(answer) => write.after(*call, answer, config),
                        // The write is done, and its client need not wait long for the
                        // tag.
                        Poll::Pending if matches!(call, Call::NewTag) => {
                            ready!(write.poll_timeout(cx, config));
                            Ok(write.respond(None, config))
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                }
                GuardStateProj::Streaming { future, probe, gate, is_settled, refusal } => {
                    let write = write.as_mut().expect(POLLED_AGAIN);
                    match future.poll(cx) {
                        Poll::Ready(answer) => {
                            // Nothing is held any more. What still comes of a write
                            // without preconditions passes, as in a stream that goes
                            // both ways.
                            gate.0.settle(write.preconditions.is_empty());
                            match refusal.take() {
                                Some(refusal) => Ok(Next::Step(Step::Refuse(Some(refusal)))),
                                None => answer.map(|response| {
                                    Next::Respond(respond(response, Outcome::Proceeded, config))
                                }),
                            }
                        }
                        Poll::Pending if *is_settled => return Poll::Pending,
                        Poll::Pending => {
                            match ready!(write.poll_gate(&gate.0, probe, cx, config)) {
                                Ok(refused) => {
                                    *is_settled = true;
                                    if refused.is_some() {
                                        // Deliberately waits for the handler all the
                                        // same, which may have to clean up. Others need
                                        // not.
                                        write.lock.release();
                                    }
                                    // The handler is polled again by this, if it waits
                                    // for its end.
                                    gate.0.settle(refused.is_none());
                                    *refusal = refused;
                                    return Poll::Pending;
                                }
                                Err(error) => Err(error),
                            }
                        }
                    }
                }
            };
            match next {
                Ok(Next::Step(step)) => this.state.set(GuardState::Step { step }),
                Ok(Next::Call(future, call)) => {
                    this.state.set(GuardState::Calling { future, call });
                }
                Ok(Next::Stream(future, gate)) => this.state.set(GuardState::Streaming {
                    future,
                    probe: None,
                    gate,
                    is_settled: false,
                    refusal: None,
                }),
                // Others may have the lock at once, though this future is not dropped
                // yet.
                Ok(Next::Respond(response)) => {
                    *write = None;
                    return Poll::Ready(Ok(response));
                }
                Err(error) => {
                    *write = None;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// What comes of a step, or the error of the inner service.
type NextResult<S, B, ResBody> = Result<
    Next<<S as Service<Request<RequestBody<B>>>>::Future, Response<ResponseBody<ResBody>>>,
    <S as Service<Request<RequestBody<B>>>>::Error,
>;

impl<S, B, ResBody> PendingWrite<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    ResBody: Body,
{
    fn poll_step(
        &mut self,
        step: &mut Step,
        cx: &mut Context<'_>,
        config: &GuardConfig,
    ) -> Poll<NextResult<S, B, ResBody>> {
        let is_guarded = !self.preconditions.is_empty();
        Poll::Ready(Ok(match step {
            Step::Look => {
                // Reading would ask for content that the client keeps back until then.
                if !self.parts.headers.contains_key(EXPECT) {
                    self.content.look(cx);
                }
                let is_there = self.content.is_whole();
                Next::Step(match (is_guarded, is_there) {
                    (true, true) if self.is_in_hand(config) && self.lock.try_acquire() => {
                        Step::LockedProbe
                    }
                    (true, _) => Step::EarlyProbe,
                    (false, true) => Step::Lock,
                    (false, false) if self.is_read_first() => Step::Read,
                    (false, false) => Step::Stream,
                })
            }
            Step::EarlyProbe => {
                ready!(self.poll_inner_ready(cx))?;
                Next::Call(self.call_probe(self.asked()), Call::EarlyProbe)
            }
            Step::Read => {
                let (limit, budget) = (config.body_limit, &config.budget);
                match ready!(self.content.poll_read(cx, limit, budget)) {
                    Ok(()) => Next::Step(Step::Lock),
                    Err(refusal) => Next::Step(Step::Refuse(Some(refusal))),
                }
            }
            Step::Lock => match ready!(self.poll_lock(cx, config)) {
                Err(refusal) => Next::Step(Step::Refuse(Some(refusal))),
                Ok(()) if is_guarded => Next::Step(Step::LockedProbe),
                Ok(()) => Next::Step(Step::Run),
            },
            Step::LockedProbe => match ready!(self.poll_ready_in_time(cx, config))? {
                Err(refusal) => Next::Step(Step::Refuse(Some(refusal))),
                Ok(()) => Next::Call(self.call_probe(self.asked()), Call::LockedProbe),
            },
            Step::Run => match ready!(self.poll_ready_in_time(cx, config))? {
                Err(refusal) => Next::Step(Step::Refuse(Some(refusal))),
                Ok(()) => {
                    let body = self.content.take_whole();
                    let is_asked_again = self.sent.is_some();
                    Next::Call(self.call_write(body, is_asked_again), Call::Run)
                }
            },
            Step::Stream => {
                ready!(self.poll_inner_ready(cx))?;
                let gate = Arc::new(Gate::default());
                let body = self.content.take_gated(&gate);
                Next::Stream(self.call_write(body, is_guarded), OwnGate(gate))
            }
            Step::Compare(hash, rejection) => {
                let is_same = ready!(hash.poll(cx)).is_some();
                let rejection = rejection.take().map(Refusal::Precondition);
                let refusal = if is_same { Some(Refusal::AlreadyStored) } else { rejection };
                Next::Step(Step::Refuse(refusal))
            }
            Step::NewTag => match self.inner.poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    self.timeout = None;
                    Next::Call(self.call_probe(Probe::Tag), Call::NewTag)
                }
                // The write is done, whatever comes of the question.
                Poll::Ready(Err(_)) | Poll::Pending => self.respond(None, config),
            },
            Step::CompareNewTag(hash) => {
                let tag = ready!(hash.poll(cx));
                self.respond(tag, config)
            }
            Step::Refuse(refusal) => Next::Step(Step::Refuse(refusal.take())),
        }))
    }

    /// Says what is done after an answer of the inner service.
    fn after(
        &mut self,
        call: Call,
        answer: Result<Response<ResBody>, S::Error>,
        config: &GuardConfig,
    ) -> NextResult<S, B, ResBody> {
        match call {
            Call::EarlyProbe | Call::LockedProbe => {
                let (head, body) = answer?.into_parts();
                let is_locked = matches!(call, Call::LockedProbe);
                let step = match self.evaluate(&head, config) {
                    None => {
                        let body = ResponseBody::inner(body, Outcome::StateUnavailable);
                        return Ok(Next::Respond(pass_on(head, body, &config.base.reporter)));
                    }
                    Some(Ok(state)) => self.after_holding(&state, is_locked, config),
                    Some(Err(rejection)) => self.after_failing(rejection, &head, is_locked, config),
                };
                Ok(Next::Step(step))
            }
            Call::Run => {
                let response = answer?;
                let may_get_tag = self.sent.is_some()
                    && response.status().is_success()
                    && !response.headers().contains_key(ETAG);
                if may_get_tag {
                    self.response = Some(response);
                    return Ok(Next::Step(Step::NewTag));
                }
                Ok(Next::Respond(respond(response, Outcome::Proceeded, config)))
            }
            Call::NewTag => {
                let head = answer.ok().map(|response| response.into_parts().0);
                let tag = head.and_then(|head| hash_of_state(&self.parts, &head));
                Ok(match (tag, self.sent.take()) {
                    (Some(tag), Some(sent)) => {
                        Next::Step(Step::CompareNewTag(Box::new(ContentHash::new(tag, sent))))
                    }
                    _ => self.respond(None, config),
                })
            }
        }
    }

    /// Returns true if the content is read before the handler runs, whatever the
    /// settings. Most handlers of DELETE do not look at the content, so that its end
    /// cannot hold them back.
    fn is_read_first(&self) -> bool {
        self.parts.method == Method::DELETE
    }

    /// Returns true if all content is there, and not more than it may be.
    fn is_in_hand(&self, config: &GuardConfig) -> bool {
        let is_allowed = config.stream_uploads || self.content.len() <= config.body_limit;
        self.content.is_whole() && is_allowed
    }

    /// Says what is done after the preconditions were found to hold.
    fn after_holding(
        &mut self,
        state: &ProbedState,
        is_locked: bool,
        config: &GuardConfig,
    ) -> Step {
        if is_locked {
            let may_get_tag = self.parts.method == Method::PUT && state.may_be_hashed();
            self.sent = may_get_tag.then(|| self.content.pieces());
            Step::Run
        } else if self.is_in_hand(config) {
            Step::Lock
        } else if config.stream_uploads && !self.is_read_first() {
            Step::Stream
        } else {
            Step::Read
        }
    }

    /// Says what is done after a precondition failed.
    fn after_failing(
        &mut self,
        rejection: Rejection,
        head: &response::Parts,
        is_locked: bool,
        config: &GuardConfig,
    ) -> Step {
        let preconditions = &self.preconditions;
        // A second "create" is a conflict, though it would create the same.
        let may_be_retry = config.idempotent_puts
            && self.parts.method == Method::PUT
            && preconditions.has_if_match()
            && !preconditions.has_if_none_match();
        let tag = if may_be_retry { hash_of_state(&self.parts, head) } else { None };
        match tag {
            None => Step::Refuse(Some(Refusal::Precondition(rejection))),
            Some(tag) if is_locked => {
                let hash = Box::new(ContentHash::new(tag, self.content.pieces()));
                Step::Compare(hash, Some(rejection))
            }
            Some(_) if self.is_in_hand(config) => Step::Lock,
            Some(_) => Step::Read,
        }
    }

    /// Evaluates the preconditions by the answer to a probe; `None` if it tells of no
    /// state.
    fn evaluate(
        &self,
        head: &response::Parts,
        config: &GuardConfig,
    ) -> Option<Result<ProbedState, Rejection>> {
        let current = ProbedState::of(head, config.base.now())?;
        let state = current.state();
        let checked = self.preconditions.check_as(self.is_required, &self.parts.method, state);
        if let Err(rejection) = checked {
            return Some(Err(rejection));
        }
        // The list may name the tag that was not found out.
        let lists_tags =
            self.preconditions.has_if_none_match() && !self.preconditions.is_if_none_match_any();
        if current.is_tag_unknown && lists_tags {
            return Some(Err(Rejection::failed(state)));
        }
        Some(Ok(current))
    }

    /// Waits for the end of streamed content, the lock, and, with preconditions, the
    /// answer to the second probe. Returns why the end is not passed on, if so.
    fn poll_gate(
        &mut self,
        gate: &Gate,
        mut probe: Pin<&mut Option<S::Future>>,
        cx: &mut Context<'_>,
        config: &GuardConfig,
    ) -> Poll<Result<Option<Refusal>, S::Error>> {
        ready!(gate.poll_ended(cx));
        loop {
            if let Some(future) = probe.as_mut().as_pin_mut() {
                let (head, _body) = ready!(future.poll(cx))?.into_parts();
                let refusal = match self.evaluate(&head, config) {
                    None => Some(Refusal::StateUnavailable),
                    Some(Err(rejection)) => Some(Refusal::Precondition(rejection)),
                    Some(Ok(_)) => None,
                };
                probe.set(None);
                return Poll::Ready(Ok(refusal));
            }
            if let Err(refusal) = ready!(self.poll_lock(cx, config)) {
                return Poll::Ready(Ok(Some(refusal)));
            }
            if self.preconditions.is_empty() {
                return Poll::Ready(Ok(None));
            }
            if let Err(refusal) = ready!(self.poll_ready_in_time(cx, config))? {
                return Poll::Ready(Ok(Some(refusal)));
            }
            let question = self.call_probe(self.asked());
            probe.set(Some(question));
        }
    }

    /// Waits for the lock, for a time.
    fn poll_lock(
        &mut self,
        cx: &mut Context<'_>,
        config: &GuardConfig,
    ) -> Poll<Result<(), Refusal>> {
        if self.lock.poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.give_back();
        ready!(self.poll_timeout(cx, config));
        Poll::Ready(Err(Refusal::Busy))
    }

    /// Waits until the inner service is ready, for the same time: others wait for the
    /// lock.
    fn poll_ready_in_time(
        &mut self,
        cx: &mut Context<'_>,
        config: &GuardConfig,
    ) -> Poll<Result<Result<(), Refusal>, S::Error>> {
        if let Poll::Ready(ready) = self.poll_inner_ready(cx) {
            return Poll::Ready(ready.map(Ok));
        }
        ready!(self.poll_timeout(cx, config));
        Poll::Ready(Ok(Err(Refusal::Busy)))
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>, config: &GuardConfig) -> Poll<()> {
        if self.timeout.is_none() {
            self.timeout = config.timer.sleep(config.lock_timeout);
        }
        match &mut self.timeout {
            Some(timeout) => timeout.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn poll_inner_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if !self.is_ready {
            ready!(self.inner.poll_ready(cx))?;
            self.is_ready = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives back what the inner service holds because it is ready: a permit that the
    /// one who has the lock may be waiting for.
    fn give_back(&mut self) {
        if mem::take(&mut self.is_ready) {
            let another = self.inner.clone();
            self.inner = another;
        }
    }

    /// Returns what the preconditions need to know.
    fn asked(&self) -> Probe {
        if self.preconditions.needs_tag() {
            Probe::Tag
        } else if self.preconditions.if_unmodified_since_date().is_some() {
            Probe::Date
        } else {
            Probe::Existence
        }
    }

    fn call_probe(&mut self, asked: Probe) -> S::Future {
        self.is_ready = false;
        self.inner.call(probe(&self.parts, asked))
    }

    /// Runs the write; `is_asked_again` if its head is still needed afterwards.
    fn call_write(&mut self, body: RequestBody<B>, is_asked_again: bool) -> S::Future {
        self.is_ready = false;
        if !self.preconditions.is_empty() {
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

    /// Makes the response to the write that was kept, with its new tag if that is
    /// known.
    fn respond(
        &mut self,
        tag: Option<EntityTag>,
        config: &GuardConfig,
    ) -> Next<S::Future, Response<ResponseBody<ResBody>>> {
        let mut response = self.response.take().expect(POLLED_AGAIN);
        if let Some(tag) = tag {
            insert_etag(response.headers_mut(), tag.into());
        }
        Next::Respond(respond(response, Outcome::Proceeded, config))
    }
}

fn respond<B: Body>(
    response: Response<B>,
    outcome: Outcome,
    config: &GuardConfig,
) -> Response<ResponseBody<B>> {
    let (head, body) = response.into_parts();
    pass_on(head, ResponseBody::inner(body, outcome), &config.base.reporter)
}

/// Makes the answer to a write that is not run.
fn refuse<B: Body>(refusal: Refusal, config: &GuardConfig) -> Response<ResponseBody<B>> {
    let reporter = &config.base.reporter;
    let (status, outcome) = match refusal {
        Refusal::Precondition(rejection) => {
            return reject(rejection, config.base.now(), true, reporter);
        }
        Refusal::StateUnavailable => (StatusCode::SERVICE_UNAVAILABLE, Outcome::StateUnavailable),
        Refusal::ContentTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Outcome::ContentTooLarge),
        Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, Outcome::Busy),
        Refusal::BrokenContent => (StatusCode::BAD_REQUEST, Outcome::LeftAlone(Reason::BodyError)),
        Refusal::AlreadyStored => (StatusCode::NO_CONTENT, Outcome::AlreadyStored),
    };
    let mut response = respond_empty(status, outcome, reporter);
    if outcome == Outcome::Busy {
        insert_retry_after(response.headers_mut());
    }
    response
}

impl<S, B> fmt::Debug for GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            GuardState::Passing { .. } => "passing",
            GuardState::Step { step } => match step {
                Step::Look | Step::Stream => "starting",
                Step::Read => "reading",
                Step::Lock => "waiting for the lock",
                Step::EarlyProbe | Step::LockedProbe | Step::Run | Step::NewTag => "calling",
                Step::Compare(..) | Step::CompareNewTag(_) => "comparing",
                Step::Refuse(_) => "refused",
            },
            GuardState::Calling { call, .. } => match call {
                Call::Run => "running",
                Call::EarlyProbe | Call::LockedProbe | Call::NewTag => "asking",
            },
            GuardState::Streaming { .. } => "streaming",
        };
        f.debug_struct("GuardFuture").field("state", &state).finish_non_exhaustive()
    }
}
