//! What happens to a request if the `StateSource` returns no state. The function of
//! `on_error` makes the response from the error. Without such a function, a write gets
//! 503, and other requests are forwarded.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;

use super::config::{ErrorAnswer, PreconditionConfig};
use crate::{
    body::ResponseBody,
    outcome::{Outcome, Reason},
};

/// The reason why a `StateSource` returned no state.
#[derive(Debug)]
#[expect(unnameable_types, reason = "only this crate makes it")]
pub enum NoState<E> {
    /// The source failed with this error.
    Failed(E),
    /// An Axum extractor rejected the request with this response. A response that is a
    /// server error (5xx) is not sent.
    Answered(Box<Response<Bytes>>),
}

impl<E> NoState<E> {
    /// Returns the response to send instead of calling the inner service, if any.
    pub(super) fn answer(
        self,
        on_error: Option<&ErrorAnswer<E>>,
    ) -> Option<(Response<Bytes>, Outcome)> {
        match self {
            // A server error is not the fault of the request, so the client does not get it.
            Self::Answered(response) if response.status().is_server_error() => None,
            Self::Answered(response) => Some((*response, Outcome::LeftAlone(Reason::UnknownState))),
            Self::Failed(error) => Some((on_error?(error), Outcome::StateUnavailable)),
        }
    }
}

impl PreconditionConfig {
    /// Makes the 503 for a request whose preconditions cannot be evaluated.
    pub(super) fn state_unavailable<B: Body>(&self) -> Response<ResponseBody<B>> {
        let detail = "The preconditions could not be evaluated, because the \
            state of the resource is not known.";
        self.refuse(StatusCode::SERVICE_UNAVAILABLE, detail, Outcome::StateUnavailable)
    }
}
