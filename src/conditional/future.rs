//! The future of the service. It waits for the response of the inner service, reads
//! content that may be tagged, and returns the response to send.

use std::{
    fmt,
    future::Future,
    mem,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use http::{header::IF_UNMODIFIED_SINCE, response, Method, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    body_plan::BodyPlan, codings::prepare_left_alone, config::Config, learning::LearnableContent,
    read_ahead::ReadAhead, request::RequestContext, respond::ResponseContext,
};
use crate::{
    body::ResponseBody,
    exchange::{reject, Rejection},
    outcome::{Outcome, Reason},
    rules::{PreconditionFields, State},
    store::ContentTag,
    validators::{tag, Digest, ResponseFields, Sha256},
    POLLED_AGAIN,
};

pin_project! {
    /// The future of [`Conditional`](crate::conditional::Conditional).
    ///
    /// ```text
    ///  Rejected ─────────────────────────────────────┐  a write that depends on a
    ///                                                │  generated date
    ///  Skipped ──────────────────────────────────────┤  not handled by the layer
    ///                                                │
    ///  Waiting ──────────────────────────────────────┤  not to be tagged
    ///    │ head of a response to be tagged           │
    ///    ▼                                           │
    ///  Reading ── too large, late or broken: replayed┤
    ///    │                                           ▼
    ///    └─ hashed ────────────────────────────► Response
    /// ```
    #[must_use = "futures do nothing unless polled"]
    #[project = ResponseFutureProj]
    pub struct ResponseFuture<F, B, D = Sha256> {
        // The inner service's future. `None` once the future is done, or if the inner
        // service was not called.
        #[pin]
        pub(super) future: Option<F>,
        pub(super) state: ResponseState<B, D>,
    }
}

/// What to do with a response.
pub(super) enum ResponseState<B, D> {
    /// Refuse the request. The inner service was not called.
    Rejected(Arc<Config>),
    /// Send the response unchanged, for this reason.
    Skipped(Reason, Arc<Config>),
    /// Wait for the response, and evaluate the preconditions of this request
    /// against it.
    Waiting(RequestContext),
    /// The content of the response is being read. `None` once that is done. Boxed,
    /// because most futures never get to this state, and all of them must stay small.
    Reading(Option<Box<PendingResponse<B, D>>>),
}

/// A response that waits for its content.
pub(super) struct PendingResponse<B, D> {
    request: RequestContext,
    head: response::Parts,
    fields: ResponseFields,
    learnable: Option<Box<LearnableContent>>,
    read_ahead: ReadAhead<B, D>,
}

impl<F, B, D, E> Future for ResponseFuture<F, B, D>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    D: Digest,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ResponseFutureProj { mut future, state } = self.project();
        let mut poll_inner =
            |cx: &mut Context<'_>| future.as_mut().as_pin_mut().expect(POLLED_AGAIN).poll(cx);
        match state {
            ResponseState::Rejected(config) => Poll::Ready(Ok(reject_write(config))),
            ResponseState::Skipped(reason, config) => {
                Poll::Ready(Ok(leave_alone(ready!(poll_inner(cx))?, *reason, config)))
            }
            ResponseState::Waiting(request) => {
                let (mut head, body) = ready!(poll_inner(cx))?.into_parts();
                let config = &request.config;
                let fields = ResponseFields::read(&head.headers, &config.keys, || config.now());
                let (mut learnable, head_ref) = (None, &mut head);
                let mut context = ResponseContext {
                    request,
                    head: head_ref,
                    fields: &fields,
                    learnable: &mut learnable,
                };
                if config.learned.is_some() {
                    *context.learnable = LearnableContent::of(&context, &body);
                }
                let body = match context.start::<D, B>(cx, body) {
                    ControlFlow::Break(body) => body,
                    // Most content is ready at once, and never gets here.
                    ControlFlow::Continue(read_ahead) => {
                        if let ResponseState::Waiting(request) =
                            mem::replace(state, ResponseState::Reading(None))
                        {
                            let pending =
                                PendingResponse { request, head, fields, learnable, read_ahead };
                            *state = ResponseState::Reading(Some(Box::new(pending)));
                        }
                        future.set(None);
                        return Poll::Pending;
                    }
                };
                Poll::Ready(Ok(Response::from_parts(head, body)))
            }
            ResponseState::Reading(pending) => {
                let body = ready!(pending.as_mut().expect(POLLED_AGAIN).poll(cx));
                let PendingResponse { head, .. } = *pending.take().expect(POLLED_AGAIN);
                Poll::Ready(Ok(Response::from_parts(head, body)))
            }
        }
    }
}

/// Refuses a write that depends on a generated date.
#[cold]
fn reject_write<B: Body>(config: &Config) -> Response<ResponseBody<B>> {
    let (field, sent) = (IF_UNMODIFIED_SINCE, PreconditionFields::default());
    let rejection = Rejection::failed(&Method::PUT, field, &sent, State::Unknown)
        .with_problem(config.problem_details);
    reject(rejection, config.now(), true, &config.reporter)
}

impl<B: Body, D: Digest> PendingResponse<B, D> {
    /// Continues to read the content. Then completes the head, and returns the body
    /// to send.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ResponseBody<B>> {
        let Self { request, head, fields, learnable, read_ahead } = self;
        let mut context = ResponseContext { request, head, fields, learnable };
        let result = ready!(read_ahead.poll(cx, &context));
        Poll::Ready(read_ahead.finish(result, &mut context))
    }
}

/// Sends a response unchanged.
// Always inlined, and the rare case is a function of its own. Otherwise each response
// would be moved once more.
#[inline(always)]
fn leave_alone<B: Body>(
    response: Response<B>,
    reason: Reason,
    config: &Config,
) -> Response<ResponseBody<B>> {
    if reason == Reason::Request && config.is_compressed {
        return leave_alone_before_compression(response, config);
    }
    pass_left_alone(response, reason, config)
}

/// As [`leave_alone`], for a read that a layer with `compress_with` does not handle.
#[cold]
fn leave_alone_before_compression<B: Body>(
    response: Response<B>,
    config: &Config,
) -> Response<ResponseBody<B>> {
    let (mut head, body) = response.into_parts();
    prepare_left_alone(&mut head);
    pass_left_alone(Response::from_parts(head, body), Reason::Request, config)
}

#[inline(always)]
fn pass_left_alone<B: Body>(
    response: Response<B>,
    reason: Reason,
    config: &Config,
) -> Response<ResponseBody<B>> {
    let (mut head, body) = response.into_parts();
    let outcome = Outcome::LeftAlone(reason);
    // Deliberately not `pass_on`, which reads the outcome back from the body. That
    // would be 8 % of the cost of a POST.
    config.reporter.report(outcome, head.status, &mut head.extensions);
    Response::from_parts(head, ResponseBody::inner(body, outcome))
}

impl ResponseContext<'_> {
    /// Reads the content if it may be tagged, and returns the body to send. Returns
    /// `Continue` if the content is not ready.
    #[inline(always)]
    fn start<D: Digest, B: Body>(
        &mut self,
        cx: &mut Context<'_>,
        body: B,
    ) -> ControlFlow<ResponseBody<B>, ReadAhead<B, D>> {
        // Each arm responds by itself, so that large tags and bodies are not moved to
        // one place first.
        ControlFlow::Break(match self.plan(&body) {
            BodyPlan::PassThrough(reason) if self.is_peeked(reason, &body) => {
                let body = ResponseBody::peeked(cx, body, Outcome::LeftAlone(reason));
                self.respond::<D, B>(Err(reason), body)
            }
            BodyPlan::PassThrough(reason) | BodyPlan::Stream(reason) => {
                let body = ResponseBody::inner(body, Outcome::LeftAlone(reason));
                self.respond::<D, B>(Err(reason), body)
            }
            BodyPlan::UseLearnedTag(tag) => {
                let body = ResponseBody::inner(body, Outcome::Tagged);
                self.respond::<D, B>(Ok(ContentTag::Computed(tag)), body)
            }
            BodyPlan::Empty => {
                let tag = tag(D::default(), self.fields.is_negotiated, &self.head.headers);
                let tag = ContentTag::Computed(self.request.outgoing_tag(tag));
                self.respond::<D, B>(Ok(tag), ResponseBody::empty(Outcome::Tagged))
            }
            BodyPlan::ReadAhead(bytes) => {
                let mut read_ahead = ReadAhead::new(body, bytes, self);
                match read_ahead.poll(cx, self) {
                    Poll::Ready(result) => read_ahead.finish(result, self),
                    Poll::Pending => return ControlFlow::Continue(read_ahead),
                }
            }
        })
    }
}

impl<F, B, D> fmt::Debug for ResponseFuture<F, B, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ResponseState::Rejected(_) => "rejected",
            ResponseState::Skipped(..) => "skipped",
            ResponseState::Waiting(_) => "waiting",
            ResponseState::Reading(_) => "reading",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::Ready, mem::size_of};

    use bytes::Bytes;
    use http::Response;
    use http_body_util::Full;

    use super::ResponseFuture;
    use crate::ResponseBody;

    type Inner = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    #[test]
    fn the_future_and_the_body_stay_small() {
        let (future, body) = (
            size_of::<ResponseFuture<Inner, Full<Bytes>>>(),
            size_of::<ResponseBody<Full<Bytes>>>(),
        );
        assert!(future <= 384, "{future} bytes, {} of them the inner future", size_of::<Inner>());
        assert!(body <= 72, "{body} bytes, {} of them the inner body", size_of::<Full<Bytes>>());
    }
}
