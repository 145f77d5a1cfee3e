//! The service that is checked, behind a trait, so that the checks do not depend
//! on its type.

use std::{
    fmt::Debug,
    future::{poll_fn, Future},
    marker::PhantomData,
    pin::Pin,
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{answer::Answer, content::Content, timeout::within};

/// Sends requests to a service.
pub(crate) trait Target {
    /// Sends a request, and reads the answer. The error says why there is no answer.
    fn send(
        &mut self,
        request: Request<Content>,
        limits: ReadLimits,
    ) -> LocalBoxFuture<'_, Result<Answer, String>>;
}

/// How an answer is read.
#[derive(Clone, Copy)]
pub(crate) struct ReadLimits {
    /// How long to wait for the head, and then for the content.
    pub(crate) timeout: Duration,
    /// If true, the content of successful answers is not read, because it may
    /// have no end.
    pub(crate) may_be_endless: bool,
}

pub(crate) type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A service, and the function that makes its request body.
pub(crate) struct ServiceTarget<S, F, R> {
    service: S,
    body: F,
    _request: PhantomData<fn() -> R>,
}

impl<S, F, R> ServiceTarget<S, F, R> {
    pub(crate) fn new(service: S, body: F) -> Self {
        Self { service, body, _request: PhantomData }
    }
}

impl<S, F, R, B> Target for ServiceTarget<S, F, R>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Error: Debug,
    F: FnMut(Content) -> R,
    B: Body,
    B::Error: Debug,
{
    fn send(
        &mut self,
        request: Request<Content>,
        limits: ReadLimits,
    ) -> LocalBoxFuture<'_, Result<Answer, String>> {
        let request = request.map(&mut self.body);
        let service = &mut self.service;
        Box::pin(async move {
            let head = async {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(request).await
            };
            match within(limits.timeout, head).await {
                Some(Ok(response)) => {
                    Ok(Answer::read(response, limits.timeout, limits.may_be_endless).await)
                }
                Some(Err(error)) => Err(format!("the service failed: {error:?}")),
                None => Err(format!("no answer within {:?}", limits.timeout)),
            }
        })
    }
}

/// Changes the resource that is checked.
pub(crate) trait Change {
    fn change(&mut self) -> LocalBoxFuture<'_, ()>;
}

impl<F: AsyncFnMut()> Change for F {
    fn change(&mut self) -> LocalBoxFuture<'_, ()> {
        Box::pin(self())
    }
}
