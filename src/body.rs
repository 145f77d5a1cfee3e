//! Bodies: types that read frames ahead, hash them, cut them to a range, and send them.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;

mod budget;
mod buffer;
mod frame_hasher;
mod frame_slicer;
mod gate;
mod gated_body;
mod hash_progress;
mod replay;
mod request_body;
mod response_body;

pub(crate) use self::{
    budget::Budget,
    buffer::{Buffer, Content, Overflow},
    frame_hasher::{DynTagHasher, FrameHasher, OnComplete, Size, TrailerFields},
    frame_slicer::FrameSlicer,
    gate::Gate,
    gated_body::GatedBody,
    hash_progress::{HashProgress, PollBudget},
    replay::Replay,
    request_body::{client_error, BoxError, RequestBodyError},
};
#[cfg(feature = "client")]
pub(crate) use self::{budget::Reservation, response_body::poll_bytes};
pub use self::{request_body::RequestBody, response_body::ResponseBody};

/// What a body yields: a frame, an error, or `None` at its end.
pub(crate) type PolledFrame<E> = Option<Result<Frame<Bytes>, E>>;

/// Wakes this task again, after other tasks and sockets had their turn.
///
/// Waking the task directly is not enough: as long as a task is ready, Tokio by default
/// polls sockets only after every 61 tasks. So a worker that hashes a large body would
/// do no I/O for 61 polls.
pub(crate) fn yield_now(cx: &mut Context<'_>) {
    let turn: Poll<()> = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert_eq!(turn, Poll::Pending);
}
