//! The service, as far as both kinds share it, and the kind that asks a source.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::{
    from_source::{Asking, PreconditionFuture},
    layer::{Config, FromSource},
    source::Source,
};
use crate::{
    body::ResponseBody,
    exchange::{is_write, Refusal},
    outcome::{Outcome, Reason},
    rules::{Preconditions, Representation, Validators},
    trace::decided,
};

/// The service that [`PreconditionLayer`](crate::PreconditionLayer) makes.
#[derive(Clone)]
pub struct Precondition<S, K> {
    pub(super) inner: S,
    pub(super) kind: K,
    pub(super) config: Arc<Config>,
}

impl<S, K> Precondition<S, K> {
    pub(super) fn with_layer(inner: S, kind: K, config: Arc<Config>) -> Self {
        Self { inner, kind, config }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the wrapped service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, K: fmt::Debug> fmt::Debug for Precondition<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Precondition")
            .field("inner", &self.inner)
            .field("kind", &self.kind)
            .field("config", &self.config)
            .finish()
    }
}

/// Makes the response to a request that is not run.
pub(super) fn refuse<B: Body>(refusal: Refusal, config: &Config) -> Response<ResponseBody<B>> {
    let outcome = match refusal.status() {
        StatusCode::NOT_MODIFIED => Outcome::NotModified,
        StatusCode::PRECONDITION_REQUIRED => Outcome::PreconditionRequired,
        _ => Outcome::PreconditionFailed,
    };
    report(refusal.respond(|content| ResponseBody::whole(content.into(), outcome)), outcome, config)
}

/// Returns true if the response to a request with this method is a representation of its target.
pub(super) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Puts the outcome into a response's extensions, if so configured.
pub(super) fn report<B>(mut response: Response<B>, outcome: Outcome, config: &Config) -> Response<B> {
    decided!(outcome, response.status());
    // What a layer further in did says more than that this one let it.
    let let_it = matches!(outcome, Outcome::Proceeded | Outcome::LeftAlone(_));
    if config.report_outcome && !(let_it && response.extensions().get::<Outcome>().is_some()) {
        response.extensions_mut().insert(outcome);
    }
    response
}

impl<S, F, ReqBody, ResBody> Service<Request<ReqBody>> for Precondition<S, FromSource<F>>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    F: Source,
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
        if matches!(parts.method, Method::OPTIONS | Method::TRACE | Method::CONNECT) {
            let future = self.inner.call(Request::from_parts(parts, body));
            return PreconditionFuture::passing(future, None, Outcome::LeftAlone(Reason::Method), config);
        }
        let asked = Preconditions::from_headers(&parts.headers);
        let writes = is_write(&parts.method);
        let required = writes && config.requires(&parts);
        if required && asked.is_empty() {
            return PreconditionFuture::refused(Refusal::required(&Representation::Unknown), config);
        }
        if asked.is_empty() && (writes || !self.kind.add_validators && !asked.has_if_range()) {
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
        let waiting = Asking { inner, kind: self.kind.clone(), parts, body, asked, required };
        PreconditionFuture::asking(state, waiting, config)
    }
}
