//! Frames: reads them ahead, hashes and cuts them on their way, and sends them on.

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
mod size_latch;

pub(crate) use self::{
    budget::Budget,
    buffer::{Buffer, Content, Overflow},
    frame_hasher::{DynTagHasher, FrameHasher, OnComplete, Size, TrailerFields},
    frame_slicer::FrameSlicer,
    gate::Gate,
    gated_body::GatedBody,
    hash_progress::{HashProgress, PollBudget},
    replay::Replay,
    request_body::{BoxError, RequestBodyError},
    size_latch::SizeLatch,
};
#[cfg(feature = "client")]
pub(crate) use self::{budget::Reservation, response_body::poll_bytes};
pub use self::{request_body::RequestBody, response_body::ResponseBody};

/// A frame, or the end, as a body yields it.
pub(crate) type PolledFrame<E> = Option<Result<Frame<Bytes>, E>>;

/// Yields to other tasks, and has this one polled again.
///
/// Deliberately not a mere wake-up: Tokio polls its sockets only now and then while
/// tasks are awake, so a worker that hashes a large body would not see its I/O for a
/// hundred slices.
pub(crate) fn yield_now(cx: &mut Context<'_>) {
    let turn: Poll<()> = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert_eq!(turn, Poll::Pending);
}
