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
    header::{IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, LAST_MODIFIED},
    request, Method, Request, Response, StatusCode,
};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    layer::{Config, FromSource},
    service::{is_read, refuse, report},
    source::{IntoRepresentation as _, Source},
};
use crate::{
    body::ResponseBody,
    clock,
    exchange::{is_write, Known, Refusal},
    fields::ask_for_all,
    outcome::{Outcome, Reason},
    rules::{Preconditions, Representation, Validators},
    validators::Freshness,
    POLLED_AGAIN,
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
    pub(super) fn passing(future: S::Future, known: Option<Known>, outcome: Outcome, config: Arc<Config>) -> Self {
        Self { state: State::Running { future, known, outcome }, config }
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
                            let is_head = waiting.parts.method == Method::HEAD;
                            let body = |content| if is_head { Bytes::new() } else { content };
                            let response = response.map(|content| ResponseBody::whole(body(content), outcome));
                            return Poll::Ready(Ok(report(response, outcome, this.config)));
                        }
                    }
                }
                StateProj::Running { future, known, outcome } => {
                    let (mut head, body) = ready!(future.poll(cx))?.into_parts();
                    if let Some(known) = known.take() {
                        known.complete(&mut head, clock::now());
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
            (Err(_), None) => {
                // Of what a part would be, nobody judged.
                if self.asked.name_what_to_part() {
                    ask_for_all(&mut self.parts.headers);
                }
                return self.run(Validators::new(), Outcome::LeftAlone(Reason::StateUnavailable));
            }
        };
        match (self.asked.check_as(self.required, &self.parts.method, &current), current) {
            (Err(refusal), _) => Verdict::Refuse(refusal),
            (Ok(()), Representation::Unknown) => self.run(Validators::new(), Outcome::LeftAlone(Reason::UnknownState)),
            (Ok(()), current) => {
                self.hide_void_fields(&current);
                match current {
                    Representation::Exists(validators) => self.run(validators, Outcome::Proceeded),
                    Representation::Missing | Representation::Unknown => {
                        self.run(Validators::new(), Outcome::Proceeded)
                    }
                }
            }
        }
    }

    /// Lets the request go on, and tells the layers further in what is known of its target.
    fn run(&mut self, validators: Validators, outcome: Outcome) -> Verdict {
        let parts = &mut self.parts;
        let is_dated = validators.last_modified.is_some();
        let known = self.kind.known(parts, validators);
        if is_read(&parts.method) {
            parts.extensions.insert(known.clone());
            return Verdict::Run { known: Some(known), outcome };
        }
        if is_dated {
            // Its date was judged here.
            parts.extensions.insert(known);
        }
        Verdict::Run { known: None, outcome }
    }

    /// Takes away what an inner service that judges for itself, by less than all fields, would get wrong.
    fn hide_void_fields(&mut self, current: &Representation) {
        let headers = &mut self.parts.headers;
        if self.asked.has_if_none_match() {
            headers.remove(IF_MODIFIED_SINCE);
        }
        if self.asked.has_if_match() {
            headers.remove(IF_UNMODIFIED_SINCE);
        }
        // RFC 9110, 13.2.2, step 5.
        let exists = matches!(current, Representation::Exists(_));
        if exists && is_read(&self.parts.method) && !self.asked.allows_range(current, clock::now()) {
            ask_for_all(headers);
        }
    }

    /// Makes a 304 one that goes with the 200 of the handler.
    fn complete<B>(&self, response: &mut Response<B>) {
        if response.status() != StatusCode::NOT_MODIFIED {
            return;
        }
        if self.kind.freshness == Freshness::OmitLastModified {
            // It would be added to what the client keeps, and make that heuristically fresh.
            response.headers_mut().remove(LAST_MODIFIED);
        }
        if let Some(edit) = &self.kind.on_not_modified {
            edit(&self.parts, response.headers_mut());
        }
    }
}

impl<F: Source> FromSource<F> {
    /// Says what is known of the target of a request.
    pub(super) fn known(&self, parts: &request::Parts, validators: Validators) -> Known {
        let validators = if self.add_validators { validators } else { Validators::new() };
        Known::new(&parts.uri, &parts.extensions, validators, self.freshness)
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
