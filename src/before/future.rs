//! The future of the kind that asks a source: waits for the state, judges, and calls the inner service if it may run.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use bytes::Bytes;
use http::{
    header::{IF_MODIFIED_SINCE, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
    request, Request, Response, StatusCode,
};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    layer::{Config, FromSource},
    service::{refuse, report},
    source::{Source, State as _},
};
use crate::{
    body::ResponseBody,
    clock,
    refusal::{is_write, Refusal},
    representation::{Known, Outcome, Reason},
    rules::{Preconditions, Representation},
};

pin_project! {
    /// The future of a [`Precondition`](crate::Precondition) that asks a [`Source`].
    ///
    /// ```text
    ///  Asking ── refused ──────────────────┐
    ///    │ may run                         ▼
    ///    └──► Running ───────────────► Response
    ///            ▲                         ▲
    ///            └─ nothing to judge       └─ Refused: a precondition is required
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct PreconditionFuture<S, F, ReqBody>
    where
        S: Service<Request<ReqBody>>,
        F: Source,
    {
        #[pin]
        state: State<S, F, ReqBody>,
        config: Arc<Config>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, ReqBody>
    where
        S: Service<Request<ReqBody>>,
        F: Source,
    {
        Asking {
            #[pin]
            state: F::Future,
            waiting: Option<Asking<S, F, ReqBody>>,
        },
        Running {
            #[pin]
            future: S::Future,
            known: Option<Known>,
            outcome: Outcome,
        },
        Refused {
            refusal: Option<Refusal>,
        },
    }
}

/// A request that waits for the state of what it is about.
pub(super) struct Asking<S, F: Source, ReqBody> {
    pub(super) inner: S,
    pub(super) kind: FromSource<F>,
    pub(super) parts: request::Parts,
    pub(super) body: ReqBody,
    pub(super) asked: Preconditions,
    pub(super) required: bool,
}

impl<S, F, ReqBody> PreconditionFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>>,
    F: Source,
{
    pub(super) fn passing(future: S::Future, outcome: Outcome, config: Arc<Config>) -> Self {
        Self { state: State::Running { future, known: None, outcome }, config }
    }

    pub(super) fn refused(refusal: Refusal, config: Arc<Config>) -> Self {
        Self { state: State::Refused { refusal: Some(refusal) }, config }
    }

    pub(super) fn asking(state: F::Future, waiting: Asking<S, F, ReqBody>, config: Arc<Config>) -> Self {
        Self { state: State::Asking { state, waiting: Some(waiting) }, config }
    }
}

impl<S, F, ReqBody, ResBody> Future for PreconditionFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    F: Source,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Asking { state, waiting } => {
                    let current = ready!(state.poll(cx)).into_result();
                    let mut waiting = waiting.take().expect(POLLED_AGAIN);
                    match waiting.judge(current) {
                        Verdict::Run { known, outcome } => {
                            let future = waiting.inner.call(Request::from_parts(waiting.parts, waiting.body));
                            this.state.set(State::Running { future, known, outcome });
                        }
                        Verdict::Refuse(refusal) => {
                            let mut response = refuse(refusal, this.config);
                            waiting.complete(&mut response);
                            return Poll::Ready(Ok(response));
                        }
                        Verdict::Fail(response) => {
                            let outcome = Outcome::StateUnavailable;
                            let response = response.map(|content| ResponseBody::whole(content, outcome));
                            return Poll::Ready(Ok(report(response, outcome, this.config)));
                        }
                    }
                }
                StateProj::Running { future, known, outcome } => {
                    let (mut head, body) = ready!(future.poll(cx))?.into_parts();
                    if let Some(known) = known.take() {
                        known.complete(head.status, &mut head.headers);
                        head.extensions.insert(known);
                    }
                    let response = Response::from_parts(head, ResponseBody::inner(body, *outcome));
                    return Poll::Ready(Ok(report(response, *outcome, this.config)));
                }
                StateProj::Refused { refusal } => {
                    return Poll::Ready(Ok(refuse(refusal.take().expect(POLLED_AGAIN), this.config)));
                }
            }
        }
    }
}

/// What becomes of a request once the source has answered.
enum Verdict {
    Run { known: Option<Known>, outcome: Outcome },
    Refuse(Refusal),
    Fail(Response<Bytes>),
}

impl<S, F: Source, ReqBody> Asking<S, F, ReqBody> {
    /// Judges the request, and takes out of it what is void.
    fn judge(&mut self, current: Result<Representation, F::Error>) -> Verdict {
        let current = match (current, &self.kind.on_error) {
            (Ok(current), _) => current,
            (Err(error), Some(answer)) => return Verdict::Fail(answer(error)),
            (Err(_), None) if is_write(&self.parts.method) => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Verdict::Fail(response);
            }
            (Err(_), None) => return Verdict::run(None, Outcome::LeftAlone(Reason::StateUnavailable)),
        };
        let judged = if self.required {
            self.asked.check_required(&self.parts.method, &current)
        } else {
            self.asked.check(&self.parts.method, &current)
        };
        match (judged, current) {
            (Err(refusal), _) => Verdict::Refuse(refusal),
            (Ok(()), Representation::Unknown) => Verdict::run(None, Outcome::LeftAlone(Reason::UnknownState)),
            (Ok(()), current) => {
                self.hide_void_fields(&current);
                let known = match current {
                    Representation::Exists(validators) if !is_write(&self.parts.method) => {
                        let known = Known { validators, freshness: self.kind.freshness };
                        Some(known).filter(|_| self.kind.add_validators)
                    }
                    _ => None,
                };
                if let Some(known) = &known {
                    self.parts.extensions.insert(known.clone());
                }
                Verdict::run(known, Outcome::Proceeded)
            }
        }
    }

    /// Takes away what an inner service that judges for itself, by less than all fields, would get wrong.
    fn hide_void_fields(&mut self, current: &Representation) {
        let is_read = !is_write(&self.parts.method);
        let headers = &mut self.parts.headers;
        if self.asked.has_if_none_match() {
            headers.remove(IF_MODIFIED_SINCE);
        }
        if self.asked.has_if_match() {
            headers.remove(IF_UNMODIFIED_SINCE);
        }
        // RFC 9110, 13.2.2, step 5.
        let now = clock::http_date(clock::system_time());
        let exists = matches!(current, Representation::Exists(_));
        if is_read && exists && !self.asked.allows_range(current, now) {
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
    }

    /// Gives a 304 what the handler would have given it.
    fn complete<B>(&self, response: &mut Response<B>) {
        if let (StatusCode::NOT_MODIFIED, Some(edit)) = (response.status(), &self.kind.on_not_modified) {
            edit(&self.parts, response.headers_mut());
        }
    }
}

impl Verdict {
    fn run(known: Option<Known>, outcome: Outcome) -> Self {
        Self::Run { known, outcome }
    }
}

impl<S, F, ReqBody> fmt::Debug for PreconditionFuture<S, F, ReqBody>
where
    S: Service<Request<ReqBody>>,
    F: Source,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Asking { .. } => "asking",
            State::Running { .. } => "running",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("PreconditionFuture").field("state", &state).finish_non_exhaustive()
    }
}

const POLLED_AGAIN: &str = "a future is not polled after it is ready";
