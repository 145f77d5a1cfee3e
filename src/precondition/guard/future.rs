//! The future of a guarded request, with its states and transitions.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    config::GuardConfig,
    content::RefusedContent,
    refusal::{Refusal, Stop},
    streamed::StreamedWrite,
    write::{Call, Next, NextResult, PendingWrite, Step},
};
use crate::{
    body::{BoxError, RequestBody, ResponseBody},
    exchange::{KnownValidators, Rejection},
    outcome::{Outcome, Reason},
    POLLED_AGAIN,
};

pin_project! {
    /// The future of a [`WriteGuard`](crate::WriteGuard).
    ///
    /// ```text
    ///  a read ───► Passing ──────────────────────────────────────► Response
    ///
    ///  a write ──► Look
    ///                ├─ no preconditions, whole ──► Lock ─► Run ──► Response
    ///                ├─ no preconditions ─────────► Streaming ────► Response
    ///                ├─ whole, and the lock free ─► LockedProbe
    ///                └────────────────────────────► EarlyProbe
    ///
    ///  EarlyProbe ─► Read ─► Lock ─► LockedProbe ─► Hash ─► Run ─► NewTag ─► Response
    ///     │                                        (a PUT)        (a PUT)
    ///     └─ uploads are streamed ──► Streaming ───────────────────────────► Response
    ///
    ///  each ─── a precondition fails; too large, slow or late ──► Refusing ─► Response
    /// ```
    ///
    /// A probe is the GET for the current state. "Whole" means that all content has
    /// arrived.
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        #[pin]
        state: GuardState<S::Future, B>,
        // `None` for a read or a refused write. In a box, so that the futures of reads
        // stay small.
        write: Option<Box<PendingWrite<S, B>>>,
        config: Arc<GuardConfig>,
    }
}

pin_project! {
    #[project = GuardStateProj]
    enum GuardState<F, B> {
        /// The inner service answers a request that is not a write.
        Passing {
            #[pin]
            future: F,
            known: Option<KnownValidators>,
        },
        /// The guard runs a step of a write.
        Step {
            step: Step,
        },
        /// The inner service answers a call of the guard.
        Calling {
            #[pin]
            future: F,
            call: Call,
        },
        /// The inner service gets the content as it comes.
        Streaming {
            #[pin]
            streamed: StreamedWrite<F>,
        },
        /// The write is refused. The rest of its content is read and discarded.
        Refusing {
            refusal: Option<Refusal>,
            rest: Option<RefusedContent<B>>,
        },
    }
}

impl<S, B> GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    pub(super) fn passing(
        future: S::Future,
        known: Option<KnownValidators>,
        config: &Arc<GuardConfig>,
    ) -> Self {
        let state = GuardState::Passing { future, known };
        Self { state, write: None, config: Arc::clone(config) }
    }

    pub(super) fn rejected(
        rejection: Rejection,
        rest: Option<RefusedContent<B>>,
        config: &Arc<GuardConfig>,
    ) -> Self {
        let refusal = Some(Refusal::Precondition(rejection));
        let state = GuardState::Refusing { refusal, rest };
        Self { state, write: None, config: Arc::clone(config) }
    }

    pub(super) fn writing(write: PendingWrite<S, B>) -> Self {
        let config = Arc::clone(&write.config);
        let state = GuardState::Step { step: Step::Look };
        Self { state, write: Some(Box::new(write)), config }
    }
}

impl<S, B, ResBody> Future for GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = ready!(self.as_mut().poll_state(cx));
            if let Some(output) = self.as_mut().enter(next) {
                return Poll::Ready(output);
            }
        }
    }
}

impl<S, B, ResBody> GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    ResBody: Body,
{
    /// Polls the current state, and returns what to do next.
    fn poll_state(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextResult<S, B, ResBody>> {
        let this = self.project();
        let (config, write) = (this.config, this.write.as_mut());
        match this.state.project() {
            GuardStateProj::Passing { future, known } => {
                let mut response = ready!(future.poll(cx)).map_err(Stop::Failed)?;
                if let Some(known) = known.take() {
                    // The validators of an inner layer take precedence.
                    response.extensions_mut().get_or_insert_with(|| known);
                }
                let outcome = Outcome::LeftAlone(Reason::Method);
                Poll::Ready(Ok(Next::Respond(config.respond(response, outcome))))
            }
            GuardStateProj::Step { step } => write.expect(POLLED_AGAIN).poll_step(step, cx),
            GuardStateProj::Calling { future, call } => {
                write.expect(POLLED_AGAIN).poll_call(future, *call, cx)
            }
            GuardStateProj::Streaming { streamed } => {
                write.expect(POLLED_AGAIN).poll_streamed(streamed, cx)
            }
            GuardStateProj::Refusing { refusal, rest } => {
                if let Some(rest) = rest {
                    ready!(rest.poll(cx));
                }
                let refusal = refusal.take().expect(POLLED_AGAIN);
                Poll::Ready(Ok(Next::Respond(config.refuse(refusal))))
            }
        }
    }

    /// Enters the next state. If there is no next state, returns the output.
    fn enter(
        self: Pin<&mut Self>,
        next: NextResult<S, B, ResBody>,
    ) -> Option<<Self as Future>::Output> {
        let mut this = self.project();
        let state = match next {
            Ok(Next::Step(step)) => GuardState::Step { step },
            Ok(Next::Call(future, call)) => GuardState::Calling { future, call },
            Ok(Next::Stream(streamed)) => GuardState::Streaming { streamed },
            Err(Stop::Refused(refusal)) => {
                // Release the lock, the inner service and the content that was read,
                // before the rest of the content is read and discarded.
                let write = this.write.take().map(|write| *write);
                let rest = write.and_then(|write| match refusal {
                    // The client sends too slowly, so do not wait for the rest.
                    Refusal::ContentTooSlow => None,
                    _ => write.content.into_refused(&write.parts, &this.config.timer),
                });
                GuardState::Refusing { refusal: Some(refusal), rest }
            }
            // Releases the lock at once, although this future is not dropped yet.
            Ok(Next::Respond(response)) => {
                *this.write = None;
                return Some(Ok(response));
            }
            Err(Stop::Failed(error)) => {
                *this.write = None;
                return Some(Err(error));
            }
        };
        this.state.set(state);
        None
    }
}

impl<S, B> fmt::Debug for GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            GuardState::Passing { .. } => "passing",
            GuardState::Step { step } => step.name(),
            GuardState::Calling { call: Call::Run, .. } => "running",
            GuardState::Calling { .. } => "asking",
            GuardState::Streaming { .. } => "streaming",
            GuardState::Refusing { .. } => "refusing",
        };
        f.debug_struct("GuardFuture").field("state", &state).finish_non_exhaustive()
    }
}
