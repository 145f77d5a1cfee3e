//! A write guard around services that take Axum's bodies.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::{
    layer::{layer_fn, LayerFn},
    util::{BoxCloneSyncService, MapRequest},
    BoxError, Service, ServiceExt,
};
use tower_conditional::{RequestBody, WriteGuard};

/// A service that takes the requests of a guard.
pub(crate) type Unwrapped<S> = MapRequest<S, fn(Request<RequestBody<Body>>) -> Request<Body>>;

type Guarding<S> = fn(S) -> WriteGuard<Unwrapped<S>>;

/// Guards a service.
pub(crate) fn guarded<S>(inner: S) -> WriteGuard<Unwrapped<S>> {
    WriteGuard::new(MapRequest::new(inner, |request| request.map(Body::new)))
}

/// Guards as a layer, which the library deliberately is not.
pub(crate) fn guarding<S>() -> LayerFn<Guarding<S>> {
    layer_fn(guarded)
}

/// Any service, with Axum's bodies.
pub(crate) type App = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

pub(crate) fn boxed<S, B>(service: S) -> App
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    App::new(service.map_response(|response| response.map(Body::new)))
}
