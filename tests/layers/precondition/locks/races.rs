//! Many writers at once, who all saw the same state: one of them wins.
//!
//! `RACE_ROUNDS=10000 cargo test --all-features --test layers races` plays more rounds.

use std::{
    convert::Infallible,
    future::{poll_fn, Future},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{stream, StreamExt};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::task::yield_now;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::ConditionalLayer;

use crate::support::{
    guarded::{boxed, guarded, App},
    harness::{reply, request, streamed, tag, IM},
    random::numbers,
};

const WRITERS: usize = 64;

/// What the writers change, and how often it was changed.
#[derive(Clone, Default)]
struct Contested(Arc<Mutex<(String, usize)>>);

impl Contested {
    fn set(&self, content: String) {
        *self.0.lock().unwrap() = (content, 0);
    }

    fn seen(&self) -> (String, usize) {
        self.0.lock().unwrap().clone()
    }

    /// Writes as slowly as the request says.
    async fn serve(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        yield_now().await;
        if request.method() == Method::GET {
            return Ok(reply(200, &[], self.seen().0));
        }
        let turns = request.headers().get("x-turns").unwrap().to_str().unwrap();
        let turns: usize = turns.parse().unwrap();
        let Ok(content) = request.into_body().collect().await else {
            return Ok(reply(400, &[], ""));
        };
        for _ in 0..turns {
            yield_now().await;
        }
        let content = String::from_utf8(content.to_bytes().to_vec()).unwrap();
        let mut state = self.0.lock().unwrap();
        *state = (content, state.1 + 1);
        Ok(reply(204, &[], ""))
    }

    fn service(&self) -> App {
        let contested = self.clone();
        boxed(service_fn(move |request| contested.clone().serve(request)))
    }
}

/// How one writer goes about it.
struct Writer {
    content: Content,
    /// How many turns of others the handler takes.
    turns: usize,
    /// After how many polls the writer is gone.
    patience: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    None,
    Whole,
    /// In pieces, which others come between.
    Slow,
    /// The end never comes.
    Endless,
}

impl Writer {
    /// Throws the dice for a writer.
    fn new(round: usize, writer: usize, may_leave: bool) -> Self {
        let mut dice = numbers((round * WRITERS + writer) as u64 + 1);
        let mut throw = |sides: u64| usize::try_from((dice() >> 8) % sides).unwrap();
        let patience = if may_leave && throw(4) > 0 { Some(throw(12)) } else { None };
        let content = match throw(7) {
            0 => Content::None,
            1 | 2 => Content::Slow,
            // Somebody who is never gone, and never done, would not let a round end.
            3 if patience.is_some() => Content::Endless,
            _ => Content::Whole,
        };
        Self { content, turns: throw(4), patience }
    }

    fn body(&self, text: &str) -> Body {
        let piece = |text: &str| Ok::<_, Infallible>(Frame::data(Bytes::from(text.to_owned())));
        let (head, tail) = text.split_at(text.len() / 2);
        let pieces = stream::iter([piece(head), piece(tail)]).then(|piece| async {
            yield_now().await;
            piece
        });
        match self.content {
            Content::None => Body::empty(),
            Content::Whole => Body::from(text.to_owned()),
            Content::Slow => streamed(pieces),
            Content::Endless => streamed(pieces.chain(stream::poll_fn(|cx| {
                // So that the writer is polled until it is gone.
                cx.waker().wake_by_ref();
                Poll::Pending
            }))),
        }
    }

    /// Returns the status, or `None` if the writer was gone before.
    async fn write(self, app: App, line: String, text: String) -> Option<u16> {
        let turns = self.turns.to_string();
        let write = request("PUT", "/note", &[(IM, &line), ("x-turns", &turns)]);
        let mut future = pin!(app.oneshot(write.map(|_| self.body(&text))));
        let mut polls = 0;
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response.unwrap().status().as_u16())),
            Poll::Pending if self.patience == Some(polls) => Poll::Ready(None),
            Poll::Pending => {
                polls += 1;
                Poll::Pending
            }
        })
        .await
    }
}

fn rounds() -> usize {
    std::env::var("RACE_ROUNDS").map_or(100, |rounds| rounds.parse().unwrap())
}

/// Has all writers at once change the same state, round by round.
fn race(may_leave: bool, stream_uploads: bool) {
    let contested = Contested::default();
    let guard = guarded(ConditionalLayer::new().layer(contested.service()));
    let app = boxed(guard.stream_uploads(stream_uploads));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for round in 0..rounds() {
            let before = format!("before {round}");
            contested.set(before.clone());
            let text = |writer: usize| format!("{round} {writer}");
            let mut writers = Vec::new();
            for number in 0..WRITERS {
                let writer = Writer::new(round, number, may_leave);
                let expected = match writer.content {
                    Content::None => String::new(),
                    _ => text(number),
                };
                let write = writer.write(app.clone(), tag(&before), text(number));
                writers.push((tokio::spawn(write), expected));
            }
            let (mut won, mut left) = (Vec::new(), 0);
            for (task, expected) in writers {
                match task.await.unwrap() {
                    Some(204) => won.push(expected),
                    Some(412) => {}
                    Some(status) => panic!("{status}"),
                    None => left += 1,
                }
            }
            let (content, commits) = contested.seen();
            match &won[..] {
                [winner] => assert_eq!((&content, commits), (winner, 1), "round {round}"),
                // One that was gone may have written.
                [] => assert!(left > 0 && commits <= 1, "round {round}: {commits} {content}"),
                _ => panic!("round {round}: {won:?} won"),
            }
            assert!(may_leave || left == 0);
        }
    });
}

#[test]
fn races_have_one_winner() {
    race(false, false);
}

#[test]
fn races_of_streamed_writes_have_one_winner() {
    race(false, true);
}

#[test]
fn races_have_one_winner_though_writers_leave() {
    race(true, false);
}

#[test]
fn races_of_streamed_writes_have_one_winner_though_writers_leave() {
    race(true, true);
}
