//! The kind that asks a source: waits for the state, evaluates, and calls the inner
//! service if it may run.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http::{header::LAST_MODIFIED, request, Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    config::{FromSource, PreconditionConfig},
    service::PreconditionService,
    source::{IntoRepresentation as _, StateSource},
};
use crate::{
    body::ResponseBody,
    exchange::{pass_on, reject, Forward, KnownValidators, Rejection},
    outcome::{Outcome, Reason},
    rules::{
        ignores_preconditions, is_read, is_write, HttpDate, Preconditions, Representation,
        Validators,
    },
    validators::FreshnessPolicy,
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
        if ignores_preconditions(&parts.method) {
            let future = self.inner.call(Request::from_parts(parts, body));
            return PreconditionFuture::passing(
                future,
                None,
                Outcome::LeftAlone(Reason::Method),
                config,
            );
        }
        let preconditions = Preconditions::from_headers(&parts.headers);
        let writes = is_write(&parts.method);
        let required = writes && config.requires(&parts);
        if required && preconditions.is_empty() {
            return PreconditionFuture::rejected(
                Rejection::required(&Representation::Unknown),
                config,
            );
        }
        if preconditions.is_empty()
            && (writes || !self.kind.add_validators && !preconditions.has_if_range())
        {
            let known = is_read(&parts.method).then(|| self.kind.known(&parts, Validators::new()));
            if let Some(known) = &known {
                parts.extensions.insert(known.clone());
            }
            let future = self.inner.call(Request::from_parts(parts, body));
            return PreconditionFuture::passing(future, known, Outcome::Proceeded, config);
        }
        let state = self.kind.source.state(&parts);
        // The service that is ready is the one to call; another takes its place.
        let another = self.inner.clone();
        let inner = mem::replace(&mut self.inner, another);
        let waiting =
            PendingRequest { inner, kind: self.kind.clone(), parts, body, preconditions, required };
        PreconditionFuture::asking(state, waiting, config)
    }
}

pin_project! {
    /// The future of a [`PreconditionService`](crate::PreconditionService) that asks a [`StateSource`].
    ///
    /// ```text
    ///  PendingRequest ── rejected ──────────────────┐
    ///    │ may run                         ▼
    ///    └──► Running ───────────────► Response
    ///            ▲                         ▲
    ///            └─ nothing to evaluate       └─ Rejected: a precondition is required
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
            known: Option<KnownValidators>,
            outcome: Outcome,
        },
        Rejected {
            rejection: Option<Rejection>,
        },
    }
}

/// A request that waits for the state of what it is about.
pub(super) struct PendingRequest<S, F: StateSource, ReqBody> {
    pub(super) inner: S,
    pub(super) kind: FromSource<F>,
    pub(super) parts: request::Parts,
    pub(super) body: ReqBody,
    pub(super) preconditions: Preconditions,
    pub(super) required: bool,
}

impl<S, F, ReqBody> PreconditionFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>>,
    F: StateSource,
{
    pub(super) fn passing(
        future: S::Future,
        known: Option<KnownValidators>,
        outcome: Outcome,
        config: Arc<PreconditionConfig>,
    ) -> Self {
        Self { state: SourceState::Running { future, known, outcome }, config }
    }

    pub(super) fn rejected(rejection: Rejection, config: Arc<PreconditionConfig>) -> Self {
        Self { state: SourceState::Rejected { rejection: Some(rejection) }, config }
    }

    pub(super) fn asking(
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
        loop {
            match this.state.as_mut().project() {
                SourceStateProj::Asking { state, waiting } => {
                    let current = ready!(state.poll(cx)).into_result();
                    let mut waiting = waiting.take().expect(POLLED_AGAIN);
                    match waiting.evaluate(current, this.config.now()) {
                        Verdict::Run { known, outcome } => {
                            let future = waiting
                                .inner
                                .call(Request::from_parts(waiting.parts, waiting.body));
                            this.state.set(SourceState::Running { future, known, outcome });
                        }
                        Verdict::Reject(rejection) => {
                            let (now, reporter) = (this.config.now(), &this.config.reporter);
                            let mut response = reject(rejection, now, reporter);
                            waiting.complete(&mut response);
                            return Poll::Ready(Ok(response));
                        }
                        Verdict::Fail(response) => {
                            let outcome = Outcome::StateUnavailable;
                            let is_head = waiting.parts.method == Method::HEAD;
                            let (head, content) = response.into_parts();
                            let content = if is_head { Bytes::new() } else { content };
                            let body = ResponseBody::whole(content, outcome);
                            return Poll::Ready(Ok(pass_on(head, body, &this.config.reporter)));
                        }
                    }
                }
                SourceStateProj::Running { future, known, outcome } => {
                    let (mut head, body) = ready!(future.poll(cx))?.into_parts();
                    if let Some(known) = known.take() {
                        known.complete(&mut head, this.config.now());
                        head.extensions.insert(known);
                    }
                    let body = ResponseBody::inner(body, *outcome);
                    return Poll::Ready(Ok(pass_on(head, body, &this.config.reporter)));
                }
                SourceStateProj::Rejected { rejection } => {
                    let rejection = rejection.take().expect(POLLED_AGAIN);
                    let (now, reporter) = (this.config.now(), &this.config.reporter);
                    return Poll::Ready(Ok(reject(rejection, now, reporter)));
                }
            }
        }
    }
}

/// What becomes of a request once the source has answered.
enum Verdict {
    Run { known: Option<KnownValidators>, outcome: Outcome },
    Reject(Rejection),
    Fail(Response<Bytes>),
}

impl<S, F: StateSource, ReqBody> PendingRequest<S, F, ReqBody> {
    /// Evaluates the request, and removes what the inner service must not see.
    fn evaluate(&mut self, current: Result<Representation, F::Error>, now: HttpDate) -> Verdict {
        let preconditions = &self.preconditions;
        let mut forward = Forward::new(preconditions);
        let current = match (current, &self.kind.on_error) {
            (Ok(current), _) => current,
            (Err(error), Some(answer)) => return Verdict::Fail(answer(error)),
            (Err(_), None) if is_write(&self.parts.method) => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Verdict::Fail(response);
            }
            (Err(_), None) => {
                // It is not known which whole a part would be of.
                forward.range = !preconditions.binds_range();
                forward.apply(preconditions, &mut self.parts.headers);
                let outcome = Outcome::LeftAlone(Reason::StateUnavailable);
                return self.run(Validators::new(), outcome);
            }
        };
        if let Err(rejection) = preconditions.check_as(self.required, &self.parts.method, &current)
        {
            return Verdict::Reject(rejection);
        }
        if matches!(current, Representation::Unknown) {
            let outcome = Outcome::LeftAlone(Reason::UnknownState);
            return self.run(Validators::new(), outcome);
        }
        if is_read(&self.parts.method) && matches!(current, Representation::Exists(_)) {
            // RFC 9110, 13.2.2, step 5.
            forward.range = preconditions.allows_range(&current, now);
        }
        forward.apply(preconditions, &mut self.parts.headers);
        let validators = match current {
            Representation::Exists(validators) => validators,
            Representation::Missing | Representation::Unknown => Validators::new(),
        };
        self.run(validators, Outcome::Proceeded)
    }

    /// Lets the request go on, and tells the layers further in what is known of its
    /// target.
    fn run(&mut self, validators: Validators, outcome: Outcome) -> Verdict {
        let parts = &mut self.parts;
        let is_dated = validators.last_modified.is_some();
        let known = self.kind.known(parts, validators);
        if is_read(&parts.method) {
            parts.extensions.insert(known.clone());
            return Verdict::Run { known: Some(known), outcome };
        }
        if is_dated {
            // Its date was evaluated here.
            parts.extensions.insert(known);
        }
        Verdict::Run { known: None, outcome }
    }

    /// Makes a 304 one that goes with the 200 of the handler.
    fn complete<B>(&self, response: &mut Response<B>) {
        if response.status() != StatusCode::NOT_MODIFIED {
            return;
        }
        if self.kind.freshness == FreshnessPolicy::OmitLastModified {
            // It would be added to what the client keeps, and make that heuristically fresh.
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
            SourceState::Rejected { .. } => "rejected",
        };
        f.debug_struct("PreconditionFuture").field("state", &state).finish_non_exhaustive()
    }
}
