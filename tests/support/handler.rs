//! A handler behind any layer: what it got, and what came out.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{ready, Ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::body::Body;
use http::{HeaderMap, Request, Response};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt};
use tower_conditional::{
    precondition::{FromSource, StateSource},
    EntityTag, HttpDate, Outcome, PreconditionLayer, Representation, Validators,
};

use crate::support::harness::{reply, request, run, Lines};

pub(crate) fn day(day: i64) -> HttpDate {
    HttpDate::from_unix_seconds(784_111_777 + day * 86_400).unwrap()
}

pub(crate) fn known(
    current: Representation,
) -> PreconditionLayer<FromSource<impl StateSource<Error = Infallible>>> {
    PreconditionLayer::new(move |_| ready(current.clone()))
}

pub(crate) fn exists(etag: &str) -> Representation {
    Representation::Exists(Validators::from(etag.parse::<EntityTag>().unwrap()))
}

/// What came out, what the handler got if it ran, and what the layer says that it did.
pub(crate) struct Seen {
    pub(crate) response: Response<String>,
    pub(crate) forwarded: Option<HeaderMap>,
    pub(crate) outcome: Option<Outcome>,
}

impl Seen {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn line(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn ran(&self) -> bool {
        self.forwarded.is_some()
    }

    pub(crate) fn forwards(&self, name: &str) -> bool {
        self.forwarded.as_ref().unwrap().contains_key(name)
    }
}

pub(crate) type Answer = Arc<dyn Fn(&Request<Body>) -> Response<Body> + Send + Sync>;

/// A handler that looks at what it gets.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) forwarded: Arc<Mutex<Option<HeaderMap>>>,
    pub(crate) answer: Answer,
}

impl Service<Request<Body>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        *self.forwarded.lock().unwrap() = Some(request.headers().clone());
        ready(Ok((self.answer)(&request)))
    }
}

/// Sends a request through a layer to a handler.
pub(crate) async fn ask<L, B>(layer: L, request: Request<Body>, answer: Answer) -> Seen
where
    L: Layer<Handler>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Error: Debug>,
{
    let forwarded = Arc::new(Mutex::new(None));
    let handler = Handler { forwarded: Arc::clone(&forwarded), answer };
    let (mut head, body) = layer.layer(handler).oneshot(request).await.unwrap().into_parts();
    let content = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let (outcome, forwarded) = (head.extensions.remove(), forwarded.lock().unwrap().take());
    Seen { response: Response::from_parts(head, content), forwarded, outcome }
}

/// Sends a request to a handler that answers 200.
pub(crate) fn send<L, B>(layer: L, method: &str, lines: Lines<'_>) -> Seen
where
    L: Layer<Handler>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Error: Debug>,
{
    run(ask(layer, request(method, "/", lines), Arc::new(|_| reply(200, &[], "content"))))
}
