//! The reasons why a write is not run, and their answers.

use http::{Response, StatusCode};
use http_body::Body;

use super::config::GuardConfig;
use crate::{
    body::ResponseBody,
    exchange::{insert_retry_after, pass_on, respond_empty, Rejection},
    outcome::{Outcome, Reason},
};

/// The reason why a write is not run, with the status of the answer.
pub(super) enum Refusal {
    /// A precondition fails or is missing: 412 or 428.
    Precondition(Rejection),
    /// The state is not known: 503.
    StateUnavailable,
    /// The content is larger than the guard, or a layer outside of it, allows: 413.
    ContentTooLarge,
    /// The content arrives too slowly: 408.
    ContentTooSlow,
    /// The lock or the memory for content is in use, or the inner service is not ready
    /// in time: 503 with `Retry-After`.
    Busy,
    /// The client's content ended in an error: 400.
    BrokenContent,
    /// The content is already stored: 204.
    AlreadyStored,
}

/// The reason why a client gets no response of the inner service to its write.
pub(super) enum Stop<E> {
    Refused(Refusal),
    /// The inner service failed.
    Failed(E),
}

impl<E> From<Refusal> for Stop<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl GuardConfig {
    /// Makes the guard's response from that of the inner service.
    pub(super) fn respond<B: Body>(
        &self,
        response: Response<B>,
        outcome: Outcome,
    ) -> Response<ResponseBody<B>> {
        let (head, body) = response.into_parts();
        pass_on(head, ResponseBody::inner(body, outcome), &self.base.reporter)
    }

    /// Makes the answer to a refused write.
    pub(super) fn refuse<B: Body>(&self, refusal: Refusal) -> Response<ResponseBody<B>> {
        let (status, outcome, detail) = match refusal {
            Refusal::Precondition(rejection) => return self.base.reject(rejection, true),
            Refusal::StateUnavailable => return self.base.state_unavailable(),
            Refusal::AlreadyStored => {
                let (status, outcome) = (StatusCode::NO_CONTENT, Outcome::AlreadyStored);
                return respond_empty(status, outcome, &self.base.reporter);
            }
            Refusal::ContentTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, Outcome::ContentTooLarge, CONTENT_TOO_LARGE)
            }
            Refusal::ContentTooSlow => {
                (StatusCode::REQUEST_TIMEOUT, Outcome::ContentTooSlow, CONTENT_TOO_SLOW)
            }
            Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, Outcome::Busy, BUSY),
            Refusal::BrokenContent => {
                (StatusCode::BAD_REQUEST, Outcome::LeftAlone(Reason::BodyError), BROKEN_CONTENT)
            }
        };
        let mut response = self.base.refuse(status, detail, outcome);
        if outcome == Outcome::Busy {
            insert_retry_after(response.headers_mut());
        }
        response
    }
}

const CONTENT_TOO_LARGE: &str = "The content is larger than this request may have.";

const CONTENT_TOO_SLOW: &str = "The content came too slowly.";

const BUSY: &str = "Other requests are changing the resource, or too many requests are \
    in progress. Send the same request again.";

const BROKEN_CONTENT: &str = "The content ended before it was complete.";
