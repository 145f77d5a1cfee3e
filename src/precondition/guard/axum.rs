//! The guard around an Axum router, with Axum's body types.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response, Router};
use bytes::Bytes;
use http::Request;
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{service::call, GuardFuture, WriteGuard};
use crate::body::{BoxError, RequestBody};

/// An Axum router inside a [`WriteGuard`]; see [`WriteGuard::axum`].
#[derive(Clone, Debug)]
pub struct AxumRouter {
    inner: Inner,
}

/// The router as a service that takes the guard's requests.
#[derive(Clone)]
struct Inner(Router);

impl WriteGuard<AxumRouter> {
    /// Guards an Axum router, with Axum's body in requests and responses.
    ///
    /// Serve the guard with `axum::serve` and `axum::ServiceExt`:
    /// `ServiceExt::<Request>::into_make_service(guard)`. See [`WriteGuard`] for the
    /// whole program.
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn axum(router: Router) -> Self {
        Self { inner: AxumRouter { inner: Inner(router) }, config: Arc::default() }
    }
}

impl<B> Service<Request<B>> for WriteGuard<AxumRouter>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = AxumGuardFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = request.map(Body::new);
        AxumGuardFuture { future: call(&mut self.inner.inner, &self.config, request) }
    }
}

impl Service<Request<RequestBody<Body>>> for Inner {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Body>>) -> Self::Future {
        self.0.call(request.map(|body| body.into_client().unwrap_or_else(Body::new)))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pin_project! {
    /// The future of a [`WriteGuard`] around an Axum router.
    #[must_use = "futures do nothing unless polled"]
    pub struct AxumGuardFuture {
        #[pin]
        future: GuardFuture<Inner, Body>,
    }
}

impl Future for AxumGuardFuture {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map_ok(|response| response.map(Body::new))
    }
}

impl fmt::Debug for AxumGuardFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.future.fmt(f)
    }
}
