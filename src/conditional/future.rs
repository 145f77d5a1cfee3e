//! The future: waits for the head, has the content read if it may be tagged, and answers.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use http::{response, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    config::Config,
    learning::Lesson,
    read_ahead::{Read, Reading},
    request::Asked,
    respond::{self, Plan},
};
use crate::{
    body::ResponseBody,
    outcome::{Outcome, Reason},
    store::Found,
    validators::{tag, Digest, Facts, Sha256},
    POLLED_AGAIN,
};

pin_project! {
    /// The future of [`Conditional`](crate::Conditional).
    ///
    /// ```text
    ///  Refused ───────────────────────────────────────┐  a write that hangs on a minted date
    ///                                                 │
    ///  Passing ───────────────────────────────────────┤  not a GET or HEAD
    ///                                                 │
    ///  Asking ────────────────────────────────────────┤  not to be tagged
    ///    │ head of a response to be tagged            │
    ///    ▼                                            │
    ///  Reading ── too large, late or broken: replayed ┤
    ///    │                                            ▼
    ///    └─ hashed ─────────────────────────────► Response
    /// ```
    #[must_use = "futures do nothing unless polled"]
    #[project = ResponseFutureProj]
    pub struct ResponseFuture<F, B, D = Sha256> {
        // The inner service's answer, while it is waited for.
        #[pin]
        pub(super) future: Option<F>,
        pub(super) state: State<B, D>,
    }
}

/// What is to be done with a response.
pub(super) enum State<B, D> {
    /// There will be none: the request must not be sent.
    Refused(Arc<Config>),
    /// It is left alone, and this is why.
    Passing(Reason, Arc<Config>),
    /// It will be judged by this.
    Asking(Asked),
    /// Its content is being read. In a box, so that the many that never wait stay small; `None` when it was answered.
    Reading(Option<Box<Unfinished<B, D>>>),
}

/// A response that waits for its content.
pub(super) struct Unfinished<B, D> {
    asked: Asked,
    head: response::Parts,
    facts: Facts,
    lesson: Option<Box<Lesson>>,
    reading: Reading<B, D>,
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
        let mut poll_inner = |cx: &mut Context<'_>| future.as_mut().as_pin_mut().expect(POLLED_AGAIN).poll(cx);
        match state {
            State::Refused(config) => {
                let outcome = Outcome::PreconditionFailed;
                let (mut head, ()) = Response::new(()).into_parts();
                head.status = StatusCode::PRECONDITION_FAILED;
                respond::tell(&mut head, outcome, config);
                Poll::Ready(Ok(Response::from_parts(head, ResponseBody::empty(outcome))))
            }
            State::Passing(reason, config) => {
                let (mut head, body) = ready!(poll_inner(cx))?.into_parts();
                let outcome = Outcome::LeftAlone(*reason);
                respond::tell(&mut head, outcome, config);
                Poll::Ready(Ok(Response::from_parts(head, ResponseBody::inner(body, outcome))))
            }
            State::Asking(asked) => {
                let (mut head, body) = ready!(poll_inner(cx))?.into_parts();
                let facts = respond::read(asked, &mut head);
                let mut lesson = Lesson::of(asked, &head, &facts, &body);
                let (found, mut body) = match respond::plan(asked, &head, &facts, &body, lesson.as_deref()) {
                    Plan::Leave(reason) => {
                        lesson = None;
                        (Err(reason), ResponseBody::inner(body, Outcome::LeftAlone(reason)))
                    }
                    Plan::Pass(reason) => (Err(reason), ResponseBody::inner(body, Outcome::LeftAlone(reason))),
                    Plan::Tag(made) => (Ok(Found::Made(made)), ResponseBody::inner(body, Outcome::Tagged)),
                    Plan::Empty => {
                        lesson = None;
                        let made = asked.made(tag(D::default(), facts.is_negotiated, &head.headers));
                        (Ok(Found::Made(made)), ResponseBody::empty(Outcome::Tagged))
                    }
                    Plan::Read(octets) => {
                        let mut reading = Reading::new(body, octets, &asked.config);
                        match reading.poll(cx, asked, &head.headers, &facts) {
                            Poll::Ready(read) => finish(asked, lesson.as_deref(), &mut reading, read),
                            // Most content is ready at once, and never gets here.
                            Poll::Pending => {
                                let asked = asked.take();
                                let unfinished = Unfinished { asked, head, facts, lesson, reading };
                                *state = State::Reading(Some(Box::new(unfinished)));
                                future.set(None);
                                return Poll::Pending;
                            }
                        }
                    }
                };
                respond::answer::<D, B>(asked, &mut head, &facts, found, lesson.as_deref(), &mut body);
                Poll::Ready(Ok(Response::from_parts(head, body)))
            }
            State::Reading(unfinished) => {
                let Unfinished { asked, head, facts, reading, .. } = &mut **unfinished.as_mut().expect(POLLED_AGAIN);
                let read = ready!(reading.poll(cx, asked, &head.headers, facts));
                let Unfinished { asked, mut head, facts, lesson, mut reading } =
                    *unfinished.take().expect(POLLED_AGAIN);
                let (found, mut body) = finish(&asked, lesson.as_deref(), &mut reading, read);
                respond::answer::<D, B>(&asked, &mut head, &facts, found, lesson.as_deref(), &mut body);
                Poll::Ready(Ok(Response::from_parts(head, body)))
            }
        }
    }
}

/// Takes the tag and the body out of what was read, and teaches what was found.
#[inline(always)]
fn finish<B: Body, D: Digest>(
    asked: &Asked,
    lesson: Option<&Lesson>,
    reading: &mut Reading<B, D>,
    read: Read<B::Error>,
) -> (Result<Found, Reason>, ResponseBody<B>) {
    match read {
        Ok(found) => {
            if let Some(lesson) = lesson {
                lesson.teach(asked, &found.tag);
            }
            (Ok(found), reading.body())
        }
        Err(given_up) => (Err(given_up.reason), reading.replay(*given_up)),
    }
}

impl<F, B, D> fmt::Debug for ResponseFuture<F, B, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Refused(_) => "refused",
            State::Passing(..) => "passing",
            State::Asking(_) => "asking",
            State::Reading(_) => "reading",
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
        let (future, body) = (size_of::<ResponseFuture<Inner, Full<Bytes>>>(), size_of::<ResponseBody<Full<Bytes>>>());
        assert!(future <= 384, "{future} octets, {} of them the inner future", size_of::<Inner>());
        assert!(body <= 72, "{body} octets, {} of them the inner body", size_of::<Full<Bytes>>());
    }
}
