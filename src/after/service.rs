//! The service: gathers what the response will be judged by, and calls the inner one.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use http::{header::IF_UNMODIFIED_SINCE, Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    asked::{hangs_on_minted_date, Asked},
    config::Config,
    future::ResponseFuture,
    ConditionalLayer,
};
use crate::{
    body::ResponseBody,
    representation::{Digest, Reason, Sha256},
};

/// The service that [`ConditionalLayer`] makes.
///
/// See the [crate docs](crate) for an example.
pub struct Conditional<S, D = Sha256> {
    inner: S,
    config: Arc<Config>,
    digest: PhantomData<fn() -> D>,
}

impl<S> Conditional<S> {
    /// Wraps a service with the defaults of [`ConditionalLayer::new`].
    pub fn new(inner: S) -> Self {
        Self::with_layer(inner, &ConditionalLayer::new())
    }
}

impl<S, D> Conditional<S, D> {
    pub(super) fn with_layer(inner: S, layer: &ConditionalLayer<D>) -> Self {
        Self { inner, config: Arc::clone(layer.config()), digest: PhantomData }
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

impl<S: Clone, D> Clone for Conditional<S, D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config), digest: PhantomData }
    }
}

impl<S: fmt::Debug, D> fmt::Debug for Conditional<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conditional").field("inner", &self.inner).field("config", &self.config).finish()
    }
}

impl<S, D, ReqBody, ResBody> Service<Request<ReqBody>> for Conditional<S, D>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
    D: Digest,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, D>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            if request.headers().contains_key(IF_UNMODIFIED_SINCE) {
                let (parts, body) = request.into_parts();
                if hangs_on_minted_date(&parts, &self.config) {
                    return ResponseFuture::refused(Arc::clone(&self.config));
                }
                request = Request::from_parts(parts, body);
            }
            return ResponseFuture::passing(self.inner.call(request), Reason::Method, Arc::clone(&self.config));
        }
        let (mut parts, body) = request.into_parts();
        if self.config.when_request.as_ref().is_some_and(|when| !when(&parts)) {
            let request = Request::from_parts(parts, body);
            return ResponseFuture::passing(self.inner.call(request), Reason::Request, Arc::clone(&self.config));
        }
        let asked = Asked::take(&mut parts, &self.config);
        ResponseFuture::asking(self.inner.call(Request::from_parts(parts, body)), asked)
    }
}
