//! The future of a request through `RevalidateLayer`.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use http::{
    header::{AGE, SET_COOKIE},
    response, Request, Response, StatusCode,
};
use http_body::{Body, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::{Recording, RevalidateBody},
    memory::{Memory, Stored, StoredKey},
};
use crate::{
    client::{
        content::{End, Recorder},
        StoredHead,
    },
    header_map::append_field,
    POLLED_AGAIN,
};

pin_project! {
    /// The future of [`Revalidate`](super::Revalidate).
    #[must_use = "futures do nothing unless polled"]
    #[project = FutureProj]
    pub struct RevalidateFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        // `None` while a second request waits until the service is ready.
        #[pin]
        future: Option<S::Future>,
        // `None` if the layer returns the response unchanged.
        exchange: Option<Exchange<S>>,
        // The service for a second request, if a 304 is not about the kept response.
        again: Option<S>,
    }
}

/// A request whose response may come from memory, and may be kept.
#[derive(Debug)]
pub(super) struct Exchange<S> {
    pub(super) memory: Arc<Memory>,
    pub(super) key: StoredKey,
    /// The request as the caller sent it.
    pub(super) original: Request<()>,
    /// The kept response whose validator the request has, and the service for a second
    /// request. `None` if the request was not made conditional.
    pub(super) asked: Option<(Arc<Stored>, S)>,
}

impl<S, B> RevalidateFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn pass(future: S::Future) -> Self {
        Self { future: Some(future), exchange: None, again: None }
    }

    pub(super) fn new(future: S::Future, exchange: Exchange<S>) -> Self {
        Self { future: Some(future), exchange: Some(exchange), again: None }
    }
}

impl<S, B, ResBody> Future for RevalidateFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    B: Default,
    ResBody: Body,
{
    type Output = Result<Response<RevalidateBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let Some(future) = this.future.as_mut().as_pin_mut() else {
                let service = this.again.as_mut().expect(POLLED_AGAIN);
                ready!(service.poll_ready(cx))?;
                let exchange = this.exchange.take().expect(POLLED_AGAIN);
                let request = exchange.original.map(|()| B::default());
                let future = service.call(request);
                this.future.set(Some(future));
                continue;
            };
            let response = ready!(future.poll(cx))?;
            let Some(exchange) = this.exchange.as_mut() else {
                return Poll::Ready(Ok(response.map(RevalidateBody::pass)));
            };
            match exchange.finish(response) {
                Ok(response) => return Poll::Ready(Ok(response)),
                Err(service) => {
                    *this.again = Some(service);
                    this.future.set(None);
                }
            }
        }
    }
}

impl<S> Exchange<S> {
    /// Makes the response for the caller from the server's response. If a 304 is not
    /// about the kept response, the error contains the service for the second request.
    ///
    /// The response to the second request is not kept. Some servers always send another
    /// tag with a 304 than with a 200. If the second response were kept, every request
    /// to such a server would be sent twice.
    fn finish<B: Body>(&mut self, response: Response<B>) -> Result<Response<RevalidateBody<B>>, S> {
        let (head, body) = response.into_parts();
        match (head.status, self.asked.take()) {
            (StatusCode::NOT_MODIFIED, Some((stored, service))) => {
                if let Some(updated) = stored.head.merged(&head.headers) {
                    return Ok(self.reuse(head, &stored, updated));
                }
                self.memory.forget(self.key, self.original.headers());
                Err(service)
            }
            (StatusCode::OK, _) => {
                let body = self.record(&head, body);
                Ok(Response::from_parts(head, body))
            }
            _ => Ok(Response::from_parts(head, RevalidateBody::pass(body))),
        }
    }

    /// Makes a 200 from a kept response that a 304 has confirmed, and keeps the updated
    /// head.
    fn reuse<B: Body>(
        &self,
        mut head: response::Parts,
        stored: &Stored,
        updated: StoredHead,
    ) -> Response<RevalidateBody<B>> {
        let mut headers = updated.headers().clone();
        // These fields are about one message and not kept, so they come from the 304.
        for name in [AGE, SET_COOKIE] {
            for line in head.headers.get_all(&name) {
                append_field(&mut headers, name.clone(), line.clone());
            }
        }
        head.headers = headers;
        head.status = StatusCode::OK;
        let content = stored.content.clone();
        if updated.headers() != stored.head.headers() {
            let updated = Stored { head: updated, content: content.clone() };
            self.memory.put(self.key, self.original.headers(), updated);
        }
        Response::from_parts(head, RevalidateBody::whole(content))
    }

    /// Wraps the body of a 200, so that it is copied if the response may be kept.
    fn record<B: Body>(&mut self, head: &response::Parts, body: B) -> RevalidateBody<B> {
        match self.recording(head, &body.size_hint()) {
            Some(recording) => RevalidateBody::record(body, recording),
            None => RevalidateBody::pass(body),
        }
    }

    fn recording(&mut self, head: &response::Parts, hint: &SizeHint) -> Option<Recording> {
        if !Memory::may_keep(head) {
            return None;
        }
        let recorder = Recorder::new(head, hint, self.memory.content_limit()).ok()?;
        if recorder.end() == End::Unknown {
            return None;
        }
        let stored = StoredHead::new(&head.headers);
        if !stored.can_ask() {
            return None;
        }
        let request = std::mem::take(self.original.headers_mut());
        Some(Recording::new(&self.memory, self.key, request, stored, recorder))
    }
}

impl<S, B> fmt::Debug for RevalidateFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevalidateFuture").finish_non_exhaustive()
    }
}
