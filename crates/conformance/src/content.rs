//! The content of the requests that the checks send.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The content of a request of a check.
///
/// It is empty, except in requests that were given to [`writes`](super::Check::writes),
/// [`queries`](super::Check::queries) or [`also`](super::Check::also).
///
/// Axum's `Router` accepts this type. For another request body, use
/// [`check_with`](super::check_with): it takes a function that converts `Content`.
#[derive(Clone, Debug, Default)]
pub struct Content {
    bytes: Bytes,
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self { bytes }
    }
}

impl From<Content> for Bytes {
    fn from(content: Content) -> Self {
        content.bytes
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
