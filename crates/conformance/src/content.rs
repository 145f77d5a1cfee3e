//! The content of the requests that are sent.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The content of a request that a check sends: nothing, or what [`writes`](super::Check::writes) was given.
///
/// Routers take it as it is. What a service with a request body of its own makes of it is told to
/// [`check_with`](super::check_with).
#[derive(Clone, Debug, Default)]
pub struct Content {
    octets: Bytes,
}

impl From<Bytes> for Content {
    fn from(octets: Bytes) -> Self {
        Self { octets }
    }
}

impl From<Content> for Bytes {
    fn from(content: Content) -> Self {
        content.octets
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let octets = mem::take(&mut self.octets);
        Poll::Ready((!octets.is_empty()).then(|| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        self.octets.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.octets.len() as u64)
    }
}
