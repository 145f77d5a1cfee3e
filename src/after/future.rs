//! The future: waits for the head, has the content read if it may be tagged, and answers.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};

use http::{response, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    answer::{self, Plan},
    asked::Asked,
    config::Config,
    reading::Reading,
    streams::Lesson,
};
use crate::{
    body::{Content, ResponseBody},
    representation::{tag, Digest, Facts, Outcome, Reason, Sha256},
};

pin_project! {
    /// The future of [`Conditional`](crate::Conditional).
    ///
    /// ```text
    ///  Passing ───────────────────────────────────────┐  not a GET or HEAD
    ///                                                 │
    ///  Refused ───────────────────────────────────────┤  a write that hangs on a minted date
    ///                                                 │
    ///  Asking ────────────────────────────────────────┤  not to be tagged
    ///    │ head of a response to be tagged            │
    ///    ▼                                            │
    ///  Reading ── too large, late or broken: replayed ┤
    ///    │                                            ▼
    ///    └─ hashed ─────────────────────────────► Response
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B, D = Sha256> {
        #[pin]
        state: State<F, B, D>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B, D> {
        Passing {
            #[pin]
            future: F,
            reason: Reason,
            config: Arc<Config>,
        },
        Refused {
            config: Arc<Config>,
        },
        Asking {
            #[pin]
            future: F,
            asked: Option<Asked>,
        },
        Reading {
            // In a box, so that the many that never wait stay small.
            unfinished: Option<Box<Unfinished<B, D>>>,
        },
    }
}

/// A response that waits for its content.
struct Unfinished<B, D> {
    asked: Asked,
    head: response::Parts,
    facts: Facts,
    lesson: Option<Lesson>,
    reading: Reading<B, D>,
}

impl<F, B, D> ResponseFuture<F, B, D> {
    pub(super) fn passing(future: F, reason: Reason, config: Arc<Config>) -> Self {
        Self { state: State::Passing { future, reason, config } }
    }

    pub(super) fn refused(config: Arc<Config>) -> Self {
        Self { state: State::Refused { config } }
    }

    pub(super) fn asking(future: F, asked: Asked) -> Self {
        Self { state: State::Asking { future, asked: Some(asked) } }
    }
}

impl<F, B, D, E> Future for ResponseFuture<F, B, D>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    D: Digest,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let response = match state.as_mut().project() {
            StateProj::Passing { future, reason, config } => {
                let (head, body) = ready!(future.poll(cx))?.into_parts();
                answer::pass(head, body, *reason, config)
            }
            StateProj::Refused { config } => answer::refuse(config),
            StateProj::Asking { future, asked } => {
                let (mut head, body) = ready!(future.poll(cx))?.into_parts();
                let exchange = asked.as_ref().expect(POLLED_AGAIN);
                let config = &exchange.config;
                if let Some(known) = &exchange.known {
                    known.complete(&mut head, config.now());
                }
                let mut facts = Facts::read(&head.headers, &config.memory.keys, || config.now());
                let lesson = Lesson::of(exchange, &head, &facts, &body);
                if let Some(made) = lesson.and_then(|lesson| lesson.recall(exchange, &facts)) {
                    let body = ResponseBody::inner(body, Outcome::Tagged);
                    let response = answer::answer::<D, B>(exchange, head, &mut facts, Ok(made), lesson, body);
                    return Poll::Ready(Ok(response));
                }
                match answer::plan(exchange, &head, &facts, &body, lesson.is_some()) {
                    Plan::Leave(reason) => {
                        let body = ResponseBody::inner(body, Outcome::LeftAlone(reason));
                        answer::answer::<D, B>(exchange, head, &mut facts, Err(reason), None, body)
                    }
                    Plan::Pass(reason) => {
                        let body = ResponseBody::inner(body, Outcome::LeftAlone(reason));
                        answer::answer::<D, B>(exchange, head, &mut facts, Err(reason), lesson, body)
                    }
                    Plan::Empty => {
                        let made = exchange.made(tag(D::default(), facts.is_negotiated, &head.headers));
                        let body = ResponseBody::buffered(Content::default(), true, Outcome::Tagged);
                        answer::answer::<D, B>(exchange, head, &mut facts, Ok(made), None, body)
                    }
                    Plan::Read(buffer) => {
                        let mut reading = Reading::new(body, buffer, exchange.is_head);
                        match reading.poll(cx, exchange, &head.headers, &facts) {
                            Poll::Ready(result) => {
                                let (made, body) = reading.finish(exchange, lesson, result);
                                answer::answer::<D, B>(exchange, head, &mut facts, made, lesson, body)
                            }
                            // Most content is ready at once, and never gets here.
                            Poll::Pending => {
                                let asked = asked.take().expect(POLLED_AGAIN);
                                let unfinished = Some(Box::new(Unfinished { asked, head, facts, lesson, reading }));
                                state.set(State::Reading { unfinished });
                                return Poll::Pending;
                            }
                        }
                    }
                }
            }
            StateProj::Reading { unfinished } => {
                let Unfinished { asked, head, facts, reading, .. } = &mut **unfinished.as_mut().expect(POLLED_AGAIN);
                let result = ready!(reading.poll(cx, asked, &head.headers, facts));
                let Unfinished { asked, head, mut facts, lesson, reading } = *unfinished.take().expect(POLLED_AGAIN);
                let (made, body) = reading.finish(&asked, lesson, result);
                answer::answer::<D, B>(&asked, head, &mut facts, made, lesson, body)
            }
        };
        Poll::Ready(Ok(response))
    }
}

impl<F, B, D> fmt::Debug for ResponseFuture<F, B, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Passing { .. } => "passing",
            State::Refused { .. } => "refused",
            State::Asking { .. } => "asking",
            State::Reading { .. } => "reading",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}

const POLLED_AGAIN: &str = "a future is not polled after it is ready";

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
