//! Moving the bytes: what was read ahead, and the body that gives it back.

mod buffer;
mod passing;
mod response_body;

pub use self::response_body::ResponseBody;

pub(crate) use self::{
    buffer::{Buffer, Content},
    passing::{Part, Passing, Then},
    response_body::Replay,
};
