//! The service and the future of a `PreconditionLayer` with a `StateSource`. The future
//! waits for the current state from the source. It then evaluates the preconditions,
//! and calls the inner service if they hold. It calls the source again before it adds a
//! validator to the response.

use std::{
    fmt,
    future::Future,
    mem,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http::{
    header::{ETAG, LAST_MODIFIED, RANGE},
    request, response, Method, Request, Response, StatusCode,
};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    config::{FromSource, PreconditionConfig},
    service::PreconditionService,
    source::{IntoRepresentation as _, StateSource},
    source_error::NoState,
};
use crate::{
    body::ResponseBody,
    exchange::{
        pass_on, read_preconditions, refuse_part, Forward, KnownValidators, PartRefusal, Rejection,
        Reporter,
    },
    outcome::{Outcome, Reason},
    rules::{
        accepts_coding, ignores_preconditions, is_query, is_read, is_write, HttpDate,
        PreconditionFields, Representation, State, Validators,
    },
    validators::Untagged,
    POLLED_AGAIN,
};

impl<S, F, ReqBody, ResBody> Service<Request<ReqBody>> for PreconditionService<S, FromSource<F>>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    F: StateSource,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = PreconditionFuture<S, F, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let config = Arc::clone(&self.config);
        let (mut parts, body) = request.into_parts();
        // A QUERY has its query in the content, which the source does not see.
        let is_unknown_query = is_query(&parts.method) && !self.kind.query;
        if ignores_preconditions(&parts.method) || is_unknown_query {
            let future = self.inner.call(Request::from_parts(parts, body));
            let outcome = Outcome::LeftAlone(Reason::Method);
            let passing = Passing { known: None, outcome, check: None };
            return PreconditionFuture::passing(future, passing, config);
        }
        let preconditions =
            read_preconditions(&parts, config.now()).weak_if_match(config.weak_if_match);
        let writes = is_write(&parts.method);
        let required = writes && config.requires(&parts);
        if required && preconditions.is_empty() {
            let rejection = Rejection::required(&parts.method, State::Unknown);
            return PreconditionFuture::rejected(rejection, config);
        }
        if preconditions.is_empty()
            && (writes || !self.kind.add_validators && !preconditions.has_if_range())
        {
            let known = is_read(&parts.method).then(|| self.kind.known(&parts, Validators::new()));
            if let Some(known) = &known {
                parts.extensions.insert(known.clone());
            }
            let passing = Passing { known, outcome: Outcome::Proceeded, check: None };
            let future = self.inner.call(Request::from_parts(parts, body));
            return PreconditionFuture::passing(future, passing, config);
        }
        let state = self.kind.source.state(&parts);
        // Call the original service, which is ready. The clone that takes its place is not.
        let another = self.inner.clone();
        let inner = mem::replace(&mut self.inner, another);
        let waiting =
            PendingRequest { inner, kind: self.kind.clone(), parts, body, preconditions, required };
        PreconditionFuture::asking(state, waiting, config)
    }
}

pin_project! {
    /// The future of a
    /// [`PreconditionService`](crate::precondition::PreconditionService) that calls
    /// a [`StateSource`].
    ///
    /// ```text
    ///  Rejected ── a precondition is required ───┐
    ///                                            │
    ///  Asking ──── rejected ─────────────────────┤
    ///    │ may run                               │
    ///    ▼                                       │
    ///  Running ─── nothing to add ───────────────┤
    ///    │ validators to add, a 206 or a 416     │
    ///    ▼                                       ▼
    ///  Verifying ─ the source is asked again ► Response
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct PreconditionFuture<S, F, ReqBody>
    where
        S: Service<Request<ReqBody>>,
        F: StateSource,
    {
        #[pin]
        state: SourceState<S, F, ReqBody>,
        config: Arc<PreconditionConfig>,
    }
}

pin_project! {
    #[project = SourceStateProj]
    enum SourceState<S, F, ReqBody>
    where
        S: Service<Request<ReqBody>>,
        F: StateSource,
    {
        Asking {
            #[pin]
            state: F::Future,
            waiting: Option<PendingRequest<S, F, ReqBody>>,
        },
        Running {
            #[pin]
            future: S::Future,
            passing: Option<Passing<F>>,
        },
        Verifying {
            #[pin]
            state: F::Future,
            unverified: Option<UnverifiedResponse<S::Response>>,
        },
        Rejected {
            rejection: Option<Rejection>,
        },
    }
}

/// What to do with the response of the inner service.
pub(super) struct Passing<F> {
    known: Option<KnownValidators>,
    outcome: Outcome,
    /// What the second call of the source needs. `None` if no response to this request
    /// can need a second call.
    check: Option<Box<SecondLook<F>>>,
}

/// What the second call of the source needs, after the handler has answered. Validators
/// are added only if this call returns the same state as the first call.
struct SecondLook<F> {
    source: Arc<F>,
    parts: request::Parts,
    /// The validators that the first call returned.
    stated: Validators,
    /// The client requests a part of the stated version: it sent `Range`, and a field
    /// that names this version, such as If-Range.
    is_part_bound: bool,
}

impl<F> SecondLook<F> {
    /// Returns true if a response with this status must be refused when the second call
    /// returns another state. That is a 206 or 416 to a client that requested a part of
    /// the stated version. (A 416 tells the client the length of the content.)
    fn binds(&self, status: StatusCode) -> bool {
        let is_of_range =
            matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE);
        self.is_part_bound && is_of_range
    }
}

impl<F> Passing<F> {
    /// Returns true if the source must be called again before this response is sent.
    fn is_checked(&self, head: &response::Parts) -> bool {
        let (Some(known), Some(check)) = (&self.known, &self.check) else { return false };
        let is_content = matches!(head.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let lacks_tag = known.etag.is_some() && !head.headers.contains_key(ETAG);
        let lacks_date = known.date.is_some() && !head.headers.contains_key(LAST_MODIFIED);
        check.binds(head.status)
            || is_content
                && (lacks_tag || lacks_date)
                && head.extensions.get::<Untagged>().is_none()
    }
}

impl<F: StateSource> Passing<F> {
    /// Decides what happens to the response of the handler. If
    /// [`is_checked`](Self::is_checked), calls the source again, and returns `Continue`
    /// with the state that waits for it. Otherwise returns `Break` with the response
    /// to send.
    fn look_again<S, ReqBody, B>(
        self,
        mut head: response::Parts,
        body: B,
    ) -> ControlFlow<(response::Parts, ResponseBody<B>), SourceState<S, F, ReqBody>>
    where
        S: Service<Request<ReqBody>, Response = Response<B>>,
        B: Body,
    {
        let is_checked = self.is_checked(&head);
        let Self { known, outcome, check } = self;
        match (known, check) {
            (Some(known), Some(check)) if is_checked => {
                let part_refusal =
                    check.binds(head.status).then(|| PartRefusal::of(&check.parts.headers));
                return ControlFlow::Continue(SourceState::Verifying {
                    state: check.source.state(&check.parts),
                    unverified: Some(UnverifiedResponse {
                        response: Response::from_parts(head, body),
                        outcome,
                        known,
                        stated: check.stated,
                        part_refusal,
                    }),
                });
            }
            // An outer layer of this crate may still use these validators.
            (Some(known), _) => known.add_to(&mut head.extensions),
            (None, _) => {}
        }
        ControlFlow::Break((head, ResponseBody::inner(body, outcome)))
    }
}

/// A response of the handler that waits for the second call of the source.
struct UnverifiedResponse<R> {
    response: R,
    outcome: Outcome,
    known: KnownValidators,
    stated: Validators,
    /// How the response is refused if the state has changed. `None` if
    /// [`SecondLook::binds`] is false.
    part_refusal: Option<PartRefusal>,
}

impl<B: Body> UnverifiedResponse<Response<B>> {
    /// Adds the validators if the state is still the same. Otherwise adds none, and
    /// refuses the response if it has a `part_refusal`.
    fn verify(
        self,
        current: Option<&Representation>,
        config: &PreconditionConfig,
    ) -> Response<ResponseBody<B>> {
        let (mut head, body) = self.response.into_parts();
        let mut body = ResponseBody::inner(body, self.outcome);
        if matches!(current, Some(Representation::Exists(now)) if *now == self.stated) {
            let is_sized = body.size_hint().exact().is_some();
            self.known.complete(&mut head, is_sized, config.now());
            self.known.add_to(&mut head.extensions);
        } else {
            self.known.without_validators().add_to(&mut head.extensions);
            if let Some(refusal) = self.part_refusal {
                refuse_part(&mut head, refusal);
                body.end(Outcome::PartRefused);
            }
        }
        pass_on(head, body, &config.reporter)
    }
}

/// A request that waits for the state of its target resource.
pub(super) struct PendingRequest<S, F: StateSource, ReqBody> {
    pub(super) inner: S,
    pub(super) kind: FromSource<F>,
    pub(super) parts: request::Parts,
    pub(super) body: ReqBody,
    pub(super) preconditions: PreconditionFields,
    pub(super) required: bool,
}

impl<S, F, ReqBody> PreconditionFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>>,
    F: StateSource,
{
    fn passing(future: S::Future, passing: Passing<F>, config: Arc<PreconditionConfig>) -> Self {
        Self { state: SourceState::Running { future, passing: Some(passing) }, config }
    }

    fn rejected(rejection: Rejection, config: Arc<PreconditionConfig>) -> Self {
        Self { state: SourceState::Rejected { rejection: Some(rejection) }, config }
    }

    fn asking(
        state: F::Future,
        waiting: PendingRequest<S, F, ReqBody>,
        config: Arc<PreconditionConfig>,
    ) -> Self {
        Self { state: SourceState::Asking { state, waiting: Some(waiting) }, config }
    }
}

impl<S, F, ReqBody, ResBody> Future for PreconditionFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    F: StateSource,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (config, reporter) = (&**this.config, &this.config.reporter);
        loop {
            let next = match this.state.as_mut().project() {
                SourceStateProj::Asking { state, waiting } => {
                    let current = ready!(state.poll(cx)).into_result();
                    let mut waiting = waiting.take().expect(POLLED_AGAIN);
                    match waiting.evaluate(current, config.now()) {
                        SourceDecision::Run(passing) => waiting.run_inner(passing),
                        SourceDecision::Reject(rejection) => {
                            return Poll::Ready(Ok(waiting.reject(rejection, config)));
                        }
                        SourceDecision::Unavailable => {
                            return Poll::Ready(Ok(config.state_unavailable()));
                        }
                        SourceDecision::Answer(response, outcome) => {
                            return Poll::Ready(Ok(waiting.answer(response, outcome, reporter)));
                        }
                    }
                }
                SourceStateProj::Running { future, passing } => {
                    let (head, body) = ready!(future.poll(cx))?.into_parts();
                    match passing.take().expect(POLLED_AGAIN).look_again(head, body) {
                        ControlFlow::Break((head, body)) => {
                            return Poll::Ready(Ok(pass_on(head, body, reporter)));
                        }
                        ControlFlow::Continue(verifying) => verifying,
                    }
                }
                SourceStateProj::Verifying { state, unverified } => {
                    let current = ready!(state.poll(cx)).into_result();
                    let unverified = unverified.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(unverified.verify(current.ok().as_ref(), config)));
                }
                SourceStateProj::Rejected { rejection } => {
                    let rejection = rejection.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(config.reject(rejection, true)));
                }
            };
            this.state.set(next);
        }
    }
}

/// What to do with a request once the source has answered.
enum SourceDecision<F> {
    Run(Passing<F>),
    Reject(Rejection),
    /// The preconditions cannot be evaluated: 503.
    Unavailable,
    /// The response of `on_error`, or of an Axum extractor that rejected the request.
    Answer(Response<Bytes>, Outcome),
}

impl<S, F: StateSource, ReqBody> PendingRequest<S, F, ReqBody> {
    /// Evaluates the preconditions, and removes the fields that the inner service must
    /// not see, such as a `Range` for which no part may be sent.
    fn evaluate(
        &mut self,
        current: Result<Representation, NoState<F::Error>>,
        now: HttpDate,
    ) -> SourceDecision<F> {
        let current = match current {
            Ok(current) => current,
            Err(reason) => return self.without_state(reason),
        };
        let preconditions = &self.preconditions;
        if let Err(rejection) =
            preconditions.check(self.required, &self.parts.method, State::from(&current))
        {
            return SourceDecision::Reject(rejection);
        }
        if matches!(current, Representation::Unknown) {
            if self.required {
                // Deliberately refused: the application requires a precondition, and
                // without the state none can be evaluated.
                return SourceDecision::Unavailable;
            }
            let outcome = Outcome::LeftAlone(Reason::UnknownState);
            return self.run(Validators::new(), outcome, false);
        }
        let mut forward = Forward::new(preconditions);
        if is_query(&self.parts.method) {
            // The source is not called again after a QUERY, so nothing would show that a
            // part is of the version that the client names.
            forward.range = !preconditions.binds_range();
        } else if let (true, Representation::Exists(current)) =
            (is_read(&self.parts.method), &current)
        {
            // RFC 9110, 13.2.2, step 5.
            forward.range = preconditions.allows_range_of(current.into(), now)
                && preconditions.date_allows_range_of(current.into());
        }
        forward.apply(preconditions, &mut self.parts.headers);
        let is_part_bound = preconditions.binds_range() && self.parts.headers.contains_key(RANGE);
        let validators = match current {
            Representation::Exists(validators) => validators,
            Representation::Missing | Representation::Unknown => Validators::new(),
        };
        self.run(validators, Outcome::Proceeded, is_part_bound)
    }

    /// Decides what to do with a request for which the source returned no state.
    fn without_state(&mut self, reason: NoState<F::Error>) -> SourceDecision<F> {
        if let Some((response, outcome)) = reason.answer(self.kind.on_error.as_deref()) {
            return SourceDecision::Answer(response, outcome);
        }
        if is_write(&self.parts.method) {
            return SourceDecision::Unavailable;
        }
        let preconditions = &self.preconditions;
        let mut forward = Forward::new(preconditions);
        // If a field such as If-Range names the version of the part, the part cannot be
        // verified without the state. So `Range` is removed, and the inner service sends
        // all content.
        forward.range = !preconditions.binds_range();
        forward.apply(preconditions, &mut self.parts.headers);
        let outcome = Outcome::LeftAlone(Reason::StateUnavailable);
        self.run(Validators::new(), outcome, false)
    }

    /// Returns the decision to run the request. For inner layers of this crate, first
    /// adds the known validators to the extensions of the request.
    fn run(
        &mut self,
        validators: Validators,
        outcome: Outcome,
        is_part_bound: bool,
    ) -> SourceDecision<F> {
        let is_dated = validators.last_modified.is_some();
        let known = self.kind.known(&self.parts, validators.clone());
        let mut passing = Passing { known: None, outcome, check: None };
        if is_read(&self.parts.method) {
            if is_part_bound || known.etag.is_some() || known.date.is_some() {
                passing.check = Some(Box::new(SecondLook {
                    source: Arc::clone(&self.kind.source),
                    parts: self.parts.clone(),
                    stated: validators,
                    is_part_bound,
                }));
            }
            self.parts.extensions.insert(known.clone());
            passing.known = Some(known);
        } else if is_dated {
            // This layer has compared the date of the write. The extension shows that
            // to an inner `ConditionalLayer`, which could otherwise refuse the write.
            self.parts.extensions.insert(known);
        }
        SourceDecision::Run(passing)
    }

    fn run_inner(mut self, passing: Passing<F>) -> SourceState<S, F, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        let future = self.inner.call(Request::from_parts(self.parts, self.body));
        SourceState::Running { future, passing: Some(passing) }
    }

    /// Makes the response to a request whose preconditions fail.
    fn reject<B: Body>(
        self,
        rejection: Rejection,
        config: &PreconditionConfig,
    ) -> Response<ResponseBody<B>> {
        let accepts = accepts_coding(&self.parts.headers);
        let known = self.kind.known(&self.parts, rejection.current().clone());
        let mut response = config.reject(rejection, accepts);
        self.complete(&mut response);
        if is_read(&self.parts.method) {
            response.extensions_mut().insert(known);
        }
        response
    }

    /// Makes the response of `on_error`, or of an Axum extractor that rejected the
    /// request. The handler is not called.
    fn answer<B: Body>(
        self,
        response: Response<Bytes>,
        outcome: Outcome,
        reporter: &Reporter,
    ) -> Response<ResponseBody<B>> {
        let (mut head, content) = response.into_parts();
        if is_read(&self.parts.method) {
            // With this extension, an outer layer of this crate generates no date for this
            // resource.
            head.extensions.insert(self.kind.known(&self.parts, Validators::new()));
        }
        let content = if self.parts.method == Method::HEAD { Bytes::new() } else { content };
        pass_on(head, ResponseBody::whole(content, outcome), reporter)
    }

    /// Applies the settings `add_last_modified` and `on_not_modified` to a 304.
    fn complete<B>(&self, response: &mut Response<B>) {
        if response.status() != StatusCode::NOT_MODIFIED {
            return;
        }
        if !self.kind.add_last_modified.adds_date(true) {
            // The client would store the date. It could then use its copy for some time
            // without asking the server (heuristic freshness).
            response.headers_mut().remove(LAST_MODIFIED);
        }
        if let Some(edit) = &self.kind.on_not_modified {
            edit(&self.parts, response.headers_mut());
        }
    }
}

impl<S, F, ReqBody> fmt::Debug for PreconditionFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>>,
    F: StateSource,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            SourceState::Asking { .. } => "asking",
            SourceState::Running { .. } => "running",
            SourceState::Verifying { .. } => "verifying",
            SourceState::Rejected { .. } => "rejected",
        };
        f.debug_struct("PreconditionFuture").field("state", &state).finish_non_exhaustive()
    }
}
