//! The service that the layer makes. It reads the request, and calls the inner service.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    config::Config,
    future::{ResponseFuture, ResponseState},
    request::{Bypass, RequestContext, RequestHead},
    ConditionalLayer,
};
use crate::{
    body::ResponseBody,
    validators::{Digest, Sha256},
};

/// The service that [`ConditionalLayer`] makes.
///
/// If the layer refuses a [write](crate#writes), it does not call the inner service.
/// The inner service may have taken a permit in `poll_ready`, as `ConcurrencyLimit`
/// does. The next call then uses this permit. If no call follows, the permit is
/// released when the service is dropped.
///
/// See [`ConditionalLayer`] for an example.
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

    /// Returns a mutable reference to the wrapped service.
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
        f.debug_struct("Conditional")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish()
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
        if self.config.shows_parts() {
            return self.call_shown(request);
        }
        let head = RequestHead::from(&request);
        if let Some(bypass) = head.bypass(&self.config) {
            return self.bypass(request, bypass);
        }
        let mut context = RequestContext::read(&head, &self.config);
        context.edit(&mut request);
        ResponseFuture {
            future: Some(self.inner.call(request)),
            state: ResponseState::Waiting(context),
        }
    }
}

impl<S, D> Conditional<S, D> {
    /// Does what `call` does, for a layer with `handle_when` or `key`. These functions
    /// take the head of the request as one value.
    #[inline(never)]
    fn call_shown<ReqBody, B>(
        &mut self,
        request: Request<ReqBody>,
    ) -> ResponseFuture<S::Future, B, D>
    where
        S: Service<Request<ReqBody>, Response = Response<B>>,
    {
        let (parts, body) = request.into_parts();
        let head = RequestHead::from(&parts);
        if let Some(bypass) = head.bypass(&self.config) {
            return self.bypass(Request::from_parts(parts, body), bypass);
        }
        let mut context = RequestContext::read(&head, &self.config);
        let mut request = Request::from_parts(parts, body);
        context.edit(&mut request);
        ResponseFuture {
            future: Some(self.inner.call(request)),
            state: ResponseState::Waiting(context),
        }
    }

    /// Forwards a request that the layer does not handle, or refuses it.
    #[inline(always)]
    fn bypass<ReqBody, B>(
        &mut self,
        request: Request<ReqBody>,
        bypass: Bypass,
    ) -> ResponseFuture<S::Future, B, D>
    where
        S: Service<Request<ReqBody>, Response = Response<B>>,
    {
        let config = Arc::clone(&self.config);
        // Each future is built in place, because moving a large inner
        // future takes time.
        match bypass {
            Bypass::Reject => {
                ResponseFuture { future: None, state: ResponseState::Rejected(config) }
            }
            Bypass::Skip(reason) => ResponseFuture {
                future: Some(self.inner.call(request)),
                state: ResponseState::Skipped(reason, config),
            },
        }
    }
}
