//! Moving the bytes: what was read ahead, and the body that gives it back.

mod buffer;
mod response_body;

pub use self::response_body::ResponseBody;

pub(crate) use self::{
    buffer::{Buffer, Content},
    response_body::Replay,
};
