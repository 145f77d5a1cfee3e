//! Runs what has scripted bodies: gates are opened when all tasks wait.

use std::{
    future::{poll_fn, Future},
    pin::pin,
    task::Poll,
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::executor::Task;
pub(crate) use super::scripted_body::{content, frames, logged, Log, Script, Step};

/// Reads at most `most` frames of a body. Returns them, and whether it was read to its
/// end, and behind it.
pub(crate) fn read<B: Body<Data = Bytes, Error = u32>>(
    body: B,
    most: usize,
    outside: &Log,
) -> (Vec<Step>, bool) {
    let mut body = pin!(body);
    let mut next = || {
        run(poll_fn(|cx| body.as_mut().poll_frame(cx)), usize::MAX, outside).map(|frame| {
            let frame = frame?.map(Frame::into_data);
            Some(match frame {
                Err(error) => Step::Error(error),
                Ok(Ok(data)) => Step::Data(data),
                Ok(Err(frame)) => Step::Trailers(frame.into_trailers().ok()?),
            })
        })
    };
    let mut events = Vec::new();
    while events.len() < most {
        match next().flatten() {
            Some(event) => events.push(event),
            None => {
                assert_eq!(next(), Some(None), "it ends again");
                return (events, true);
            }
        }
    }
    (events, false)
}

/// Runs a future; drops it after so many polls, and returns `None` then. Panics if it
/// waits for nothing.
pub(crate) fn run<F: Future>(future: F, polls: usize, outside: &Log) -> Option<F::Output> {
    let mut task = Task::new(future);
    for polled in 0..polls {
        assert!(polled < 100_000, "it does not come to an end");
        if !task.is_woken() {
            assert!(outside.open_gate(), "the task is not woken, and waits for nothing");
            assert!(task.is_woken(), "the task of another poll was woken");
        }
        if let Poll::Ready(output) = task.poll() {
            return Some(output);
        }
    }
    None
}
