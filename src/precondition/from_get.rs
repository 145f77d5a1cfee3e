//! The kind that asks the service itself: a GET for the validators, then the write, with the resource locked meanwhile.

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
    layer::{Config, FromGet},
    locks::{Mode, Turn},
    service::{is_read, refuse, report, Precondition},
};
use crate::{
    body::ResponseBody,
    clock,
    exchange::{is_write, Known, Probe, Refusal},
    fields::put,
    outcome::{Outcome, Reason},
    rules::{EntityTag, HttpDate, Preconditions, Representation, Validators},
    validators::Freshness,
    POLLED_AGAIN,
};

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Precondition<S, FromGet>
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
            return FromGetFuture::new(State::Running { future, outcome, turn: None, known }, config);
        }
        let (parts, body) = request.into_parts();
        let asked = Preconditions::from_headers(&parts.headers);
        let required = config.requires(&parts);
        if required && asked.is_empty() {
            let refusal = Some(Refusal::required(&Representation::Unknown));
            return FromGetFuture::new(State::Refused { refusal }, config);
        }
        let mode = if asked.is_empty() { Mode::Together } else { Mode::Alone };
        let mut turn = self.kind.resources.turn(&parts, mode);
        let mut request = Request::from_parts(parts, body);
        turn.mark(request.extensions_mut());
        // Where this layer is met a second time, it has checked already.
        if turn.is_judged() || mode == Mode::Together && turn.has_come() {
            let turn = Some(turn);
            let outcome = Outcome::Proceeded;
            let future = self.inner.call(request);
            return FromGetFuture::new(State::Running { future, outcome, turn, known: None }, config);
        }
        // The service that is ready may hold a permit that the one who has the lock is waiting for. It gives it back, and
        // another gets ready when it is needed.
        let inner = self.inner.clone();
        drop(mem::replace(&mut self.inner, inner.clone()));
        let write = Some(Write { inner, request, turn, asked, required });
        FromGetFuture::new(State::InLine { write }, config)
    }
}

pin_project! {
    /// The future of a [`Precondition`](crate::Precondition) that asks the service itself.
    ///
    /// ```text
    ///  InLine ── nothing to check ──────┐
    ///    │ has the lock                 │
    ///    ▼                              │
    ///  Reading: a GET ── refused ───────┼──────┐
    ///    │ may run                      ▼      ▼
    ///    └──► Judged ── ready ──► Running ─► Response
    ///                                          ▲
    ///                                          └─ Refused: a precondition is required
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct FromGetFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, ReqBody>,
        config: Arc<Config>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        InLine {
            write: Option<Write<S, ReqBody>>,
        },
        Reading {
            #[pin]
            future: S::Future,
            write: Option<Write<S, ReqBody>>,
        },
        Judged {
            write: Option<Write<S, ReqBody>>,
        },
        Running {
            #[pin]
            future: S::Future,
            outcome: Outcome,
            turn: Option<Turn>,
            known: Option<Known>,
        },
        Refused {
            refusal: Option<Refusal>,
        },
    }
}

/// A write that was not run yet.
struct Write<S, ReqBody> {
    inner: S,
    request: Request<ReqBody>,
    turn: Turn,
    asked: Preconditions,
    required: bool,
}

impl<S, ReqBody> FromGetFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn new(state: State<S, ReqBody>, config: Arc<Config>) -> Self {
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
                StateProj::InLine { write } => {
                    let waiting = write.as_mut().expect(POLLED_AGAIN);
                    ready!(waiting.turn.poll(cx));
                    if waiting.asked.is_empty() {
                        State::Judged { write: write.take() }
                    } else {
                        ready!(waiting.inner.poll_ready(cx))?;
                        let future = waiting.inner.call(probe(&waiting.request));
                        State::Reading { future, write: write.take() }
                    }
                }
                StateProj::Reading { future, write } => {
                    let (head, body) = ready!(future.poll(cx))?.into_parts();
                    // What is refused gives its turn back, and its body.
                    let write = write.take().expect(POLLED_AGAIN);
                    let Some(current) = Current::of(&head) else {
                        let outcome = Outcome::StateUnavailable;
                        let response = Response::from_parts(head, ResponseBody::inner(body, outcome));
                        return Poll::Ready(Ok(report(response, outcome, this.config)));
                    };
                    // What holds a permit goes before another is waited for.
                    drop(body);
                    match write.judge(&current) {
                        Ok(()) => State::Judged { write: Some(write) },
                        Err(refusal) => return Poll::Ready(Ok(refuse(refusal, this.config))),
                    }
                }
                StateProj::Judged { write } => {
                    ready!(write.as_mut().expect(POLLED_AGAIN).inner.poll_ready(cx))?;
                    let Write { mut inner, mut request, turn, .. } = write.take().expect(POLLED_AGAIN);
                    // A date that was minted further in was judged here.
                    let known = nothing_known(&request).judged();
                    request.extensions_mut().insert(known);
                    let turn = Some(turn);
                    State::Running { future: inner.call(request), outcome: Outcome::Proceeded, turn, known: None }
                }
                StateProj::Running { future, outcome, turn, known } => {
                    let mut response = ready!(future.poll(cx))?.map(|body| ResponseBody::inner(body, *outcome));
                    drop(turn.take());
                    if let Some(known) = known.take() {
                        // What a layer further in knows says more.
                        response.extensions_mut().get_or_insert_with(|| known);
                    }
                    return Poll::Ready(Ok(report(response, *outcome, this.config)));
                }
                StateProj::Refused { refusal } => {
                    return Poll::Ready(Ok(refuse(refusal.take().expect(POLLED_AGAIN), this.config)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, ReqBody> Write<S, ReqBody> {
    fn judge(&self, current: &Current) -> Result<(), Refusal> {
        let Current { representation, is_tag_unknown } = current;
        self.asked.check_as(self.required, self.request.method(), representation)?;
        // The list may name the state that nobody could find out.
        if *is_tag_unknown && self.asked.has_if_none_match() {
            return Err(Refusal::failed(representation));
        }
        Ok(())
    }
}

/// Says to other layers that somebody judges writes who knows nothing of what they make.
fn nothing_known<B>(request: &Request<B>) -> Known {
    Known::new(request.uri(), request.extensions(), Validators::new(), Freshness::NoCache)
}

/// Makes the GET that asks for the validators of what a write is about.
fn probe<B: Default>(write: &Request<B>) -> Request<B> {
    let mut get = Request::new(B::default());
    *get.uri_mut() = write.uri().clone();
    *get.version_mut() = write.version();
    let selects = |name: &HeaderName| {
        let is_of_a_family = ["content-", "if-", "sec-websocket-"].iter().any(|start| name.as_str().starts_with(start));
        !is_of_a_family && !NOT_ABOUT_THE_STATE.contains(&name.as_str())
    };
    let fields = write.headers().iter().filter(|(name, _)| selects(name));
    get.headers_mut().extend(fields.map(|(name, value)| (name.clone(), value.clone())));
    // What a cache further in kept may be of yesterday.
    put(get.headers_mut(), CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    *get.extensions_mut() = write.extensions().clone();
    // That it was judged further out was said of the write.
    if get.extensions().get::<Known>().is_some_and(Known::is_judgement) {
        get.extensions_mut().remove::<Known>();
    }
    get.extensions_mut().insert(Probe);
    get
}

/// What the GET does not take over from the write: it has no content, wants all of the state, and is sent once.
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
struct Current {
    representation: Representation,
    /// It has a tag that nobody found out.
    is_tag_unknown: bool,
}

impl Current {
    /// Takes the state from a response; `None` if it tells of none.
    fn of(head: &response::Parts) -> Option<Self> {
        let known = |representation| Some(Self { representation, is_tag_unknown: false });
        match head.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => known(Representation::Missing),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => known(Validators::new().into()),
            status if status.is_client_error() || status.is_server_error() => None,
            status if status.is_success() => Some(Self::of_content(head)),
            _ => known(Validators::new().into()),
        }
    }

    /// Takes the tag that clients get, and the date with what the layers further in know of it.
    fn of_content(head: &response::Parts) -> Self {
        let only = |name| {
            let mut lines = head.headers.get_all(name).iter();
            lines.next().filter(|_| lines.next().is_none())
        };
        let now = clock::now();
        let etag = only(ETAG).and_then(|value| EntityTag::try_from(value).ok());
        let sent = only(LAST_MODIFIED).and_then(|value| HttpDate::parse(value, now));
        let known = head.extensions.get::<Known>().map(|known| &known.validators);
        let date = known.and_then(|known| known.last_modified);
        // A layer in between may have set another tag or date. One that is not sent yet counts all the same.
        let is_another = |sent: &HttpDate| date.is_none_or(|known| known.date().is_some_and(|known| known != *sent));
        let last_modified = sent.filter(is_another).map(Into::into).or(date);
        let is_tag_unknown = etag.is_none() && known.is_some_and(|known| known.etag.is_none());
        Self { representation: Validators { etag, last_modified }.into(), is_tag_unknown }
    }
}

impl<S, ReqBody> fmt::Debug for FromGetFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::InLine { .. } => "in line",
            State::Reading { .. } => "reading",
            State::Judged { .. } => "judged",
            State::Running { .. } => "running",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("FromGetFuture").field("state", &state).finish_non_exhaustive()
    }
}
