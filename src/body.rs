//! Moving the bytes: what was read ahead, and the body that gives it back.

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
mod request_body;
mod response_body;

pub(crate) use self::{
    budget::Budget,
    buffer::{Buffer, Content, Overflow},
    frame_hasher::{FrameHasher, OnComplete, Size},
    frame_slicer::FrameSlicer,
    gate::Gate,
    request_body::{BoxError, GatedBody},
    response_body::Replay,
};
pub use self::{request_body::RequestBody, response_body::ResponseBody};

/// A frame, or the end, as a body yields it.
pub(crate) type PolledFrame<E> = Option<Result<Frame<Bytes>, E>>;

/// Has the task polled again, when others have had their turn.
///
/// Waking the task would do that too, but Tokio looks for I/O only now and then while
/// tasks are awake: a worker with a large body to hash would see nothing of its sockets
/// for a hundred slices.
pub(crate) fn yield_now(cx: &mut Context<'_>) {
    let turn: Poll<()> = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert_eq!(turn, Poll::Pending);
}
