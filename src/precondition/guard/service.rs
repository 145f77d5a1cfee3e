//! The service of a guard. It forwards requests that are not writes. It refuses a write
//! that lacks a required precondition, and starts all other writes.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{request, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    config::GuardConfig, content::WriteContent, future::GuardFuture, write::PendingWrite,
    WriteGuard,
};
use crate::{
    body::{BoxError, RequestBody, ResponseBody},
    exchange::{read_preconditions, KnownValidators, Rejection},
    rules::{is_read, is_write, State, Validators},
    validators::AddLastModified,
};

impl<S, B, ResBody> Service<Request<B>> for WriteGuard<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = GuardFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        call(&mut self.inner, &self.config, request)
    }
}

/// Starts to answer a request.
pub(super) fn call<S, B>(
    inner: &mut S,
    config: &Arc<GuardConfig>,
    request: Request<B>,
) -> GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    if !is_write(&parts.method) {
        let known = is_read(&parts.method).then(|| nothing_known(&parts));
        let request = Request::from_parts(parts, RequestBody::new(body));
        return GuardFuture::passing(inner.call(request), known, config);
    }
    let preconditions = read_preconditions(&parts, config.base.now());
    let preconditions = preconditions.weak_if_match(config.base.weak_if_match);
    let is_required = config.base.requires(&parts);
    if is_required && preconditions.is_empty() {
        let rejection = Rejection::required(&parts.method, State::Unknown);
        let rest = WriteContent::new(&parts.headers, body).into_refused(&parts, &config.timer);
        return GuardFuture::rejected(rejection, rest, config);
    }
    // Call the service that is ready, and keep a clone in its place.
    let another = inner.clone();
    let inner = std::mem::replace(inner, another);
    let request = Request::from_parts(parts, body);
    GuardFuture::writing(PendingWrite::new(inner, config, request, preconditions, is_required))
}

/// Returns the extension that tells other layers that a guard evaluates writes, and
/// that it knows no validators.
fn nothing_known(parts: &request::Parts) -> KnownValidators {
    let add = AddLastModified::WithNoCache;
    KnownValidators::new(&parts.uri, &parts.extensions, Validators::new(), add)
}
