//! The body of the requests that a write guard sends to the inner service.

use std::{
    error, fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{response_body::poll_bytes, Content, GatedBody};

/// Any error of a body: one of the client's body, or a [`RequestBodyError`].
pub(crate) type BoxError = Box<dyn error::Error + Send + Sync>;

pin_project! {
    /// The body of a request that a [`WriteGuard`](crate::WriteGuard) forwards.
    ///
    /// - The content of a write with preconditions, and of every DELETE, has already
    ///   been read. Small frames of it are joined.
    /// - The content of other writes is forwarded as it comes, but its end is held back
    ///   until the write may run. If the write may not run, the content ends in an
    ///   error, and the service must not store it. With
    ///   [`stream_uploads`](crate::WriteGuard::stream_uploads), this is also true for
    ///   writes with preconditions, except DELETE.
    /// - The content of a request that is not a write is the client's, unchanged.
    /// - The GET that the guard sends before a write has no content. Its body fails
    ///   when it is read, so a handler of writes that gets this GET by mistake
    ///   stores nothing.
    ///
    /// `Default` makes an empty body.
    #[must_use = "bodies do nothing unless polled"]
    pub struct RequestBody<B> {
        #[pin]
        kind: RequestBodyKind<B>,
    }
}

pin_project! {
    #[project = RequestBodyKindProj]
    enum RequestBodyKind<B> {
        Empty,
        /// The body of the guard's GET.
        Probe,
        /// The client's body, forwarded as it comes.
        Client {
            #[pin]
            body: B,
        },
        /// The whole content, which was already read.
        Buffered {
            content: Content,
            is_exact: bool,
        },
        /// The client's body, whose end is held back. Boxed, because it is large.
        Gated {
            gated: Box<GatedBody<B>>,
        },
    }
}

impl<B> RequestBody<B> {
    /// Makes a body from the client's body.
    pub fn new(body: B) -> Self {
        Self { kind: RequestBodyKind::Client { body } }
    }

    /// Returns the client's body, if it is forwarded as it comes.
    #[cfg(feature = "axum")]
    pub(crate) fn into_client(self) -> Result<B, Self> {
        match self.kind {
            RequestBodyKind::Client { body } => Ok(body),
            kind => Err(Self { kind }),
        }
    }

    /// Makes the body of the guard's GET.
    pub(crate) fn probe() -> Self {
        Self { kind: RequestBodyKind::Probe }
    }

    /// Makes a body from content that was read to its end. `was_exact` is true if the
    /// client had announced its exact size.
    pub(crate) fn buffered(content: Content, was_exact: bool) -> Self {
        let is_exact = content.is_size_exact(was_exact);
        Self { kind: RequestBodyKind::Buffered { content, is_exact } }
    }

    /// Makes a body whose end is held back.
    pub(crate) fn gated(gated: GatedBody<B>) -> Self {
        Self { kind: RequestBodyKind::Gated { gated: Box::new(gated) } }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            RequestBodyKindProj::Empty => Poll::Ready(None),
            RequestBodyKindProj::Probe => Poll::Ready(Some(Err(RequestBodyError::Probe.into()))),
            RequestBodyKindProj::Client { body } => poll_bytes(body, cx).map_err(client_error),
            RequestBodyKindProj::Buffered { content, .. } => Poll::Ready(content.pop().map(Ok)),
            RequestBodyKindProj::Gated { gated } => gated.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            // This is true so that a proxy that forwards the GET sends no content.
            RequestBodyKind::Empty | RequestBodyKind::Probe => true,
            RequestBodyKind::Client { body } => body.is_end_stream(),
            RequestBodyKind::Buffered { content, .. } => content.is_empty(),
            RequestBodyKind::Gated { gated } => gated.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            RequestBodyKind::Empty | RequestBodyKind::Probe => SizeHint::with_exact(0),
            RequestBodyKind::Client { body } => body.size_hint(),
            RequestBodyKind::Buffered { content, is_exact } => content.size_hint(*is_exact),
            RequestBodyKind::Gated { gated } => gated.size_hint(),
        }
    }
}

impl<B> Default for RequestBody<B> {
    fn default() -> Self {
        Self { kind: RequestBodyKind::Empty }
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RequestBodyKind::Empty => "empty",
            RequestBodyKind::Probe => "probe",
            RequestBodyKind::Client { .. } => "client",
            RequestBodyKind::Buffered { .. } => "buffered",
            RequestBodyKind::Gated { .. } => "gated",
        };
        f.debug_struct("RequestBody").field("kind", &kind).finish_non_exhaustive()
    }
}

/// Returns the error of a client's body, without Axum's wrapper.
///
/// A service that makes an Axum body of a [`RequestBody`] wraps the error again. Axum
/// looks through only two wrappers to find out whether content is above a limit.
pub(crate) fn client_error(error: impl Into<BoxError>) -> BoxError {
    let error = error.into();
    #[cfg(feature = "axum")]
    let error = error.downcast().map_or_else(|error| error, |axum| axum::Error::into_inner(*axum));
    error
}

/// Why a body that a guard forwards ended in an error.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestBodyError {
    Probe,
    Refused,
    Cut,
}

impl fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "this GET of a WriteGuard has no content",
            Self::Refused => "the write is refused, so the content must not be stored",
            Self::Cut => "the content ended before its length was reached",
        })
    }
}

impl error::Error for RequestBodyError {}
