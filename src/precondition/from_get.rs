//! The kind that asks the service itself: a GET for the validators, then the write,
//! with the resource locked meanwhile.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use http::{
    header::{HeaderName, CACHE_CONTROL, ETAG, LAST_MODIFIED},
    response, HeaderValue, Request, Response, StatusCode,
};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    config::{FromGet, PreconditionConfig},
    locks::{Access, WriteLock},
    service::PreconditionService,
};
use crate::{
    body::ResponseBody,
    exchange::{pass_on, reject, KnownValidators, Probe, Rejection},
    fields::insert_field,
    outcome::{Outcome, Reason},
    rules::{
        is_read, is_write, single_line, Current, DateEvidence, EntityTag, HttpDate, LastModified,
        Preconditions, State, Validators,
    },
    validators::FreshnessPolicy,
    POLLED_AGAIN,
};

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for PreconditionService<S, FromGet>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ReqBody: Default,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = FromGetFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let config = Arc::clone(&self.config);
        if !is_write(request.method()) {
            let outcome = Outcome::LeftAlone(Reason::Method);
            let known = is_read(request.method()).then(|| nothing_known(&request));
            let future = self.inner.call(request);
            return FromGetFuture::new(
                GuardState::Running { future, outcome, lock: None, known },
                config,
            );
        }
        let (parts, body) = request.into_parts();
        let preconditions = Preconditions::from_headers(&parts.headers);
        let required = config.requires(&parts);
        if required && preconditions.is_empty() {
            let rejection = Some(Rejection::required(State::Unknown));
            return FromGetFuture::new(GuardState::Rejected { rejection }, config);
        }
        let access = if preconditions.is_empty() { Access::Shared } else { Access::Exclusive };
        let mut lock = self.kind.resources.lock_for(&parts, access);
        let mut request = Request::from_parts(parts, body);
        lock.mark(request.extensions_mut());
        // Where this layer is met a second time, it has checked already.
        if lock.is_checked() || access == Access::Shared && lock.try_acquire() {
            let lock = Some(lock);
            let outcome = Outcome::Proceeded;
            let future = self.inner.call(request);
            return FromGetFuture::new(
                GuardState::Running { future, outcome, lock, known: None },
                config,
            );
        }
        // The service that is ready may hold a permit that the one who has the lock is waiting
        // for. It gives it back, and another gets ready when it is needed.
        let inner = self.inner.clone();
        drop(mem::replace(&mut self.inner, inner.clone()));
        let write = Some(PendingWrite { inner, request, lock, preconditions, required });
        FromGetFuture::new(GuardState::Queued { write }, config)
    }
}

pin_project! {
    /// The future of a [`PreconditionService`](crate::precondition::PreconditionService) that asks the service itself.
    ///
    /// ```text
    ///  Queued ── nothing to check ──────┐
    ///    │ has the lock                 │
    ///    ▼                              │
    ///  Reading: a GET ── rejected ───────┼──────┐
    ///    │ may run                      ▼      ▼
    ///    └──► Judged ── ready ──► Running ─► Response
    ///                                          ▲
    ///                                          └─ Rejected: a precondition is required
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct FromGetFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: GuardState<S, ReqBody>,
        config: Arc<PreconditionConfig>,
    }
}

pin_project! {
    #[project = GuardStateProj]
    enum GuardState<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        Queued {
            write: Option<PendingWrite<S, ReqBody>>,
        },
        Probing {
            #[pin]
            future: S::Future,
            write: Option<PendingWrite<S, ReqBody>>,
        },
        Checked {
            write: Option<PendingWrite<S, ReqBody>>,
        },
        Running {
            #[pin]
            future: S::Future,
            outcome: Outcome,
            lock: Option<WriteLock>,
            known: Option<KnownValidators>,
        },
        Rejected {
            rejection: Option<Rejection>,
        },
    }
}

/// A write that was not run yet.
struct PendingWrite<S, ReqBody> {
    inner: S,
    request: Request<ReqBody>,
    lock: WriteLock,
    preconditions: Preconditions,
    required: bool,
}

impl<S, ReqBody> FromGetFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn new(state: GuardState<S, ReqBody>, config: Arc<PreconditionConfig>) -> Self {
        Self { state, config }
    }
}

impl<S, ReqBody, ResBody> Future for FromGetFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ReqBody: Default,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                GuardStateProj::Queued { write } => {
                    let waiting = write.as_mut().expect(POLLED_AGAIN);
                    ready!(waiting.lock.poll(cx));
                    if waiting.preconditions.is_empty() {
                        GuardState::Checked { write: write.take() }
                    } else {
                        ready!(waiting.inner.poll_ready(cx))?;
                        let future = waiting.inner.call(probe(&waiting.request));
                        GuardState::Probing { future, write: write.take() }
                    }
                }
                GuardStateProj::Probing { future, write } => {
                    let (head, body) = ready!(future.poll(cx))?.into_parts();
                    // What is rejected gives its lock back, and its body.
                    let write = write.take().expect(POLLED_AGAIN);
                    let Some(current) = ProbedState::of(&head, this.config.now()) else {
                        let outcome = Outcome::StateUnavailable;
                        let body = ResponseBody::inner(body, outcome);
                        return Poll::Ready(Ok(pass_on(head, body, &this.config.reporter)));
                    };
                    // What holds a permit goes before another is waited for.
                    drop(body);
                    match write.evaluate(&current) {
                        Ok(()) => GuardState::Checked { write: Some(write) },
                        Err(rejection) => {
                            let (now, reporter) = (this.config.now(), &this.config.reporter);
                            return Poll::Ready(Ok(reject(rejection, now, true, reporter)));
                        }
                    }
                }
                GuardStateProj::Checked { write } => {
                    ready!(write.as_mut().expect(POLLED_AGAIN).inner.poll_ready(cx))?;
                    let PendingWrite { mut inner, mut request, lock, .. } =
                        write.take().expect(POLLED_AGAIN);
                    // A date that was generated further in was evaluated here.
                    let known = nothing_known(&request).evaluated();
                    request.extensions_mut().insert(known);
                    let lock = Some(lock);
                    GuardState::Running {
                        future: inner.call(request),
                        outcome: Outcome::Proceeded,
                        lock,
                        known: None,
                    }
                }
                GuardStateProj::Running { future, outcome, lock, known } => {
                    let (mut head, body) = ready!(future.poll(cx))?.into_parts();
                    drop(lock.take());
                    if let Some(known) = known.take() {
                        // What a layer further in knows says more.
                        head.extensions.get_or_insert_with(|| known);
                    }
                    let body = ResponseBody::inner(body, *outcome);
                    return Poll::Ready(Ok(pass_on(head, body, &this.config.reporter)));
                }
                GuardStateProj::Rejected { rejection } => {
                    let rejection = rejection.take().expect(POLLED_AGAIN);
                    let (now, reporter) = (this.config.now(), &this.config.reporter);
                    return Poll::Ready(Ok(reject(rejection, now, true, reporter)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, ReqBody> PendingWrite<S, ReqBody> {
    fn evaluate(&self, current: &ProbedState) -> Result<(), Rejection> {
        let state = current.state();
        self.preconditions.check_as(self.required, self.request.method(), state)?;
        // The list may name the tag that was not found out.
        if current.is_tag_unknown && self.preconditions.has_if_none_match() {
            return Err(Rejection::failed(state));
        }
        Ok(())
    }
}

/// Says to other layers that somebody evaluates writes who knows nothing of what they
/// make.
fn nothing_known<B>(request: &Request<B>) -> KnownValidators {
    KnownValidators::new(
        request.uri(),
        request.extensions(),
        Validators::new(),
        FreshnessPolicy::NoCache,
    )
}

/// Makes the GET that asks for the validators of what a write is about.
fn probe<B: Default>(write: &Request<B>) -> Request<B> {
    let mut get = Request::new(B::default());
    *get.uri_mut() = write.uri().clone();
    *get.version_mut() = write.version();
    let selects = |name: &HeaderName| {
        let is_of_a_family = ["content-", "if-", "sec-websocket-"]
            .iter()
            .any(|start| name.as_str().starts_with(start));
        !is_of_a_family && !NOT_ABOUT_THE_STATE.contains(&name.as_str())
    };
    let fields = write.headers().iter().filter(|(name, _)| selects(name));
    get.headers_mut().extend(fields.map(|(name, value)| (name.clone(), value.clone())));
    // What a cache further in kept may be of yesterday.
    insert_field(get.headers_mut(), CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    *get.extensions_mut() = write.extensions().clone();
    // That it was evaluated further out was said of the write.
    if get.extensions().get::<KnownValidators>().is_some_and(KnownValidators::is_judgement) {
        get.extensions_mut().remove::<KnownValidators>();
    }
    get.extensions_mut().insert(Probe);
    get
}

/// What the GET does not take over from the write: it has no content, wants all of the
/// state, and is sent once.
const NOT_ABOUT_THE_STATE: [&str; 15] = [
    "cache-control",
    "connection",
    "expect",
    "idempotency-key",
    "keep-alive",
    "pragma",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// The state that the response to a GET tells of.
#[derive(Default)]
struct ProbedState {
    is_missing: bool,
    etag: Option<EntityTag>,
    date: Option<DateEvidence>,
    /// There is a tag that was not found out.
    is_tag_unknown: bool,
}

impl ProbedState {
    /// Takes the state from a response; `None` if it tells of none.
    fn of(head: &response::Parts, now: HttpDate) -> Option<Self> {
        match head.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Some(Self { is_missing: true, ..Self::default() })
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Some(Self::default()),
            status if status.is_client_error() || status.is_server_error() => None,
            status if status.is_success() => Some(Self::of_content(head, now)),
            _ => Some(Self::default()),
        }
    }

    /// Takes the tag that clients get, and the date with what the inner layers know of
    /// it.
    fn of_content(head: &response::Parts, now: HttpDate) -> Self {
        let etag =
            single_line(&head.headers, ETAG).and_then(|value| EntityTag::try_from(value).ok());
        let sent =
            single_line(&head.headers, LAST_MODIFIED).and_then(|value| HttpDate::parse(value, now));
        let known = head.extensions.get::<KnownValidators>();
        let evidence = known.and_then(|known| known.date);
        // A layer in between may have set another tag or date. A date that is not sent yet
        // counts all the same.
        let is_another = |sent: &HttpDate| {
            evidence.is_none_or(|known| known.date().is_some_and(|known| known != *sent))
        };
        let stated = |date| DateEvidence::Stated(LastModified::Given(date));
        let date = sent.filter(is_another).map(stated).or(evidence);
        let is_tag_unknown = etag.is_none() && known.is_some_and(|known| known.etag.is_none());
        Self { is_missing: false, etag, date, is_tag_unknown }
    }

    fn state(&self) -> State<'_> {
        if self.is_missing {
            return State::Missing;
        }
        State::Exists(Current { etag: self.etag.as_ref(), date: self.date })
    }
}

impl<S, ReqBody> fmt::Debug for FromGetFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            GuardState::Queued { .. } => "in line",
            GuardState::Probing { .. } => "reading",
            GuardState::Checked { .. } => "evaluated",
            GuardState::Running { .. } => "running",
            GuardState::Rejected { .. } => "rejected",
        };
        f.debug_struct("FromGetFuture").field("state", &state).finish_non_exhaustive()
    }
}
