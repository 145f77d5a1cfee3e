//! A write whose content is forwarded as it comes. A [`Gate`] holds back the end of the
//! content until the guard holds the lock and knows that the preconditions still hold.

use std::{
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
    refusal::{Refusal, Stop},
    write::{Evaluation, Next, NextResult, PendingWrite},
};
use crate::{
    body::{BoxError, Gate, RequestBody},
    outcome::Outcome,
};

pin_project! {
    /// A running write whose content has not ended yet.
    pub(super) struct StreamedWrite<F> {
        #[pin]
        future: F,
        // The second GET for the state, which is sent when the content has ended.
        #[pin]
        probe: Option<F>,
        gate: OwnGate,
        // True once the gate was opened or closed.
        is_settled: bool,
        // Why the gate was closed.
        refusal: Option<Refusal>,
    }
}

/// The gate of a streamed write. Dropping this value closes the gate if it is not
/// open yet.
struct OwnGate(Arc<Gate>);

impl Drop for OwnGate {
    fn drop(&mut self) {
        self.0.settle(false);
    }
}

impl<S, B, ResBody> PendingWrite<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    ResBody: Body,
{
    /// Calls the inner service with content whose end a gate holds back.
    pub(super) fn stream(&mut self) -> StreamedWrite<S::Future> {
        let gate = Arc::new(Gate::default());
        let body = self.content.take_gated(&gate);
        let future = self.call_write(body, self.is_guarded);
        StreamedWrite { future, probe: None, gate: OwnGate(gate), is_settled: false, refusal: None }
    }

    /// Waits for the response. Meanwhile opens or closes the gate, once it is known
    /// whether the end of the content may pass.
    pub(super) fn poll_streamed(
        &mut self,
        streamed: Pin<&mut StreamedWrite<S::Future>>,
        cx: &mut Context<'_>,
    ) -> Poll<NextResult<S, B, ResBody>> {
        let streamed = streamed.project();
        if let Poll::Ready(answer) = streamed.future.poll(cx) {
            // If the gate is neither open nor closed yet, the handler answered before
            // the content ended. Without preconditions the rest may pass, as in a
            // bidirectional stream.
            streamed.gate.0.settle(!self.is_guarded);
            return Poll::Ready(match streamed.refusal.take() {
                Some(refusal) => Err(refusal.into()),
                None => {
                    let response = answer.map_err(Stop::Failed)?;
                    Ok(Next::Respond(self.config.respond(response, Outcome::Proceeded)))
                }
            });
        }
        if !*streamed.is_settled {
            match ready!(self.poll_gate(&streamed.gate.0, streamed.probe, cx)) {
                Ok(()) => {}
                Err(Stop::Refused(refusal)) => {
                    // Deliberately still waits for the handler, which may have to clean
                    // up. Other writes need not wait for that, so the lock is released.
                    self.lock.release();
                    *streamed.refusal = Some(refusal);
                }
                Err(failed) => return Poll::Ready(Err(failed)),
            }
            *streamed.is_settled = true;
            // This wakes the handler, if it waits for the end of its content.
            streamed.gate.0.settle(streamed.refusal.is_none());
        }
        Poll::Pending
    }

    /// Waits for the end of the content, and then for the lock. With preconditions,
    /// then also waits for the answer to the second probe, and evaluates them again.
    fn poll_gate(
        &mut self,
        gate: &Gate,
        mut probe: Pin<&mut Option<S::Future>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stop<S::Error>>> {
        ready!(gate.poll_ended(cx));
        ready!(self.poll_lock(cx))?;
        if !self.is_guarded {
            return Poll::Ready(Ok(()));
        }
        if probe.is_none() {
            ready!(self.poll_ready_in_time(cx))?;
            probe.set(Some(self.call_probe(self.asked())));
        }
        let question = probe.as_mut().as_pin_mut().expect("the probe was sent above");
        let answer = ready!(question.poll(cx)).map_err(Stop::Failed)?;
        probe.set(None);
        Poll::Ready(match self.evaluate(answer) {
            Evaluation::Holds(_) => Ok(()),
            Evaluation::Fails { rejection, .. } => Err(Refusal::Precondition(rejection).into()),
            Evaluation::NoState(_) => Err(Refusal::StateUnavailable.into()),
        })
    }
}
