//! Many writers at once.

use std::{convert::Infallible, future::Future, task::Poll};

use axum::body::Body;
use http::{Request, Response};
use tower::{Layer, Service, ServiceExt};
use tower_conditional::ConditionalLayer;

use crate::support::{
    guarded::guarded,
    harness::{tag, IM},
    note::{write, Note},
};

/// Has 64 writers at once change the same state, round by round; `dropped` says which
/// of them lose patience, and after how many polls.
fn race<S>(rounds: usize, service: &S, note: &Note, dropped: impl Fn(usize, usize) -> Option<usize>)
where
    S: Service<Request<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    S::Response: Into<Status> + Send,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for round in 0..rounds {
            let current = tag(&note.content().unwrap());
            let writers = (0..64).map(|writer| {
                let request = write("PUT", &[(IM, &*current)], &format!("{round} {writer}"));
                let (service, patience) = (service.clone(), dropped(round, writer));
                tokio::spawn(async move {
                    let mut future = std::pin::pin!(service.oneshot(request));
                    let mut polls = 0;
                    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
                        Poll::Ready(response) => Poll::Ready(Some(response.unwrap().into().0)),
                        Poll::Pending if patience == Some(polls) => Poll::Ready(None),
                        Poll::Pending => {
                            polls += 1;
                            Poll::Pending
                        }
                    })
                    .await
                })
            });
            let writers: Vec<_> = writers.collect();
            let (mut won, mut left) = (Vec::new(), 0);
            for (writer, task) in writers.into_iter().enumerate() {
                match task.await.unwrap() {
                    Some(204) => won.push(writer),
                    Some(412) => {}
                    Some(status) => panic!("{status}"),
                    None => left += 1,
                }
            }
            let content = note.content().unwrap();
            match won[..] {
                [winner] => assert_eq!(content, format!("{round} {winner}")),
                [] => assert!(left > 0, "round {round}: no writer won"),
                _ => panic!("round {round}: {won:?} won"),
            }
        }
    });
}

struct Status(u16);

impl<B> From<Response<B>> for Status {
    fn from(response: Response<B>) -> Self {
        Self(response.status().as_u16())
    }
}

#[test]
fn locks_let_one_of_many_writers_win_who_saw_the_same_state() {
    let note = Note::of("first");
    let service = guarded(ConditionalLayer::new().layer(note.service()));
    race(1_000, &service, &note, |_, _| None);
}

#[test]
fn locks_of_writers_who_leave_hold_up_no_others_and_let_none_pass() {
    let note = Note::of("first");
    let service = guarded(ConditionalLayer::new().layer(note.service()));
    race(1_000, &service, &note, |round, writer| {
        let dice = (round * 64 + writer).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
        Some(dice % 8).filter(|&patience| patience < 5)
    });
}
