//! What ends a write before the inner service runs it, and what it is answered then.

use http::{Response, StatusCode};
use http_body::Body;

use super::GuardConfig;
use crate::{
    body::ResponseBody,
    exchange::{insert_retry_after, pass_on, respond_empty, Rejection},
    outcome::{Outcome, Reason},
};

/// Why a write is not run, and what it is answered.
pub(super) enum Refusal {
    /// 412 or 428.
    Precondition(Rejection),
    /// The state could not be found out: 503.
    StateUnavailable,
    /// 413.
    ContentTooLarge,
    /// 408.
    ContentTooSlow,
    /// 503, to be tried again.
    Busy,
    /// The client's content ended in an error: 400, if anybody still reads it.
    BrokenContent,
    /// What the client sent is there already: 204.
    AlreadyStored,
}

/// What ends a write.
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
    /// Makes the response that leaves the guard of one of the inner service.
    pub(super) fn respond<B: Body>(
        &self,
        response: Response<B>,
        outcome: Outcome,
    ) -> Response<ResponseBody<B>> {
        let (head, body) = response.into_parts();
        pass_on(head, ResponseBody::inner(body, outcome), &self.base.reporter)
    }

    /// Makes the answer to a write that is not run.
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

const CONTENT_TOO_LARGE: &str = "The content is larger than a request with preconditions may be.";

const CONTENT_TOO_SLOW: &str = "The content came too slowly.";

const BUSY: &str = "Another request changes the resource, or too many are under way. Send the \
    same request again.";

const BROKEN_CONTENT: &str = "The content ended before it was whole.";
