//! Moving the bytes: what was read ahead, and the body that gives it back.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll},
};

mod buffer;
mod frame_hasher;
mod response_body;

pub use self::response_body::ResponseBody;
pub(crate) use self::{
    buffer::{Buffer, Content, Overflow},
    frame_hasher::{Part, Passing, Size, Then},
    response_body::Replay,
};

/// Has the task polled again, when others have had their turn.
///
/// Waking the task would do that too, but Tokio looks for I/O only now and then while tasks are awake: a worker with a large
/// body to hash would see nothing of its sockets for a hundred slices.
pub(crate) fn give_way(cx: &mut Context<'_>) {
    let turn: Poll<()> = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert_eq!(turn, Poll::Pending);
}
