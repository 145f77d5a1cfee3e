//! A [`ConditionalLayer`] with a compression layer around it. The service in this file
//! is around both: after the compression, it adds the coding to the tag.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{ready, Context, Poll},
};

use http::{
    header::{ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, ETAG},
    response, Request, Response, StatusCode,
};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{codings::remove_identity, service::Conditional, ConditionalLayer};
use crate::{
    exchange::{insert_tag_with_coding, vary_by, BeforeCompression, CodedTag, EncodedOnTheFly},
    rules::{is_digest, remove_fields, single_line, EntityTag},
    stats::Stats,
    validators::Sha256,
};

/// A [`ConditionalLayer`] with a compression layer around it.
///
/// See [`ConditionalLayer::compress_with`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ConditionalCompressionLayer<C, D = Sha256> {
    inner: ConditionalLayer<D>,
    compression: C,
}

impl<C, D> ConditionalCompressionLayer<C, D> {
    pub(super) fn new(inner: ConditionalLayer<D>, compression: C) -> Self {
        Self { inner, compression }
    }

    /// Returns the counters of the layer, as [`ConditionalLayer::stats`] does.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

impl<S, C, D> Layer<S> for ConditionalCompressionLayer<C, D>
where
    C: Layer<Conditional<S, D>>,
{
    type Service = ConditionalCompression<C::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        ConditionalCompression { inner: self.compression.layer(self.inner.layer(inner)) }
    }
}

/// The service of [`ConditionalCompressionLayer`].
///
/// It consists of a compression service around a [`Conditional`].
#[derive(Clone, Debug)]
pub struct ConditionalCompression<S> {
    inner: S,
}

impl<S> ConditionalCompression<S> {
    /// Returns the compression service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the compression service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the compression service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ConditionalCompression<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = CompressionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        CompressionFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`ConditionalCompression`].
    #[must_use = "futures do nothing unless polled"]
    pub struct CompressionFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for CompressionFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(self.project().inner.poll(cx))?;
        match response.extensions_mut().remove::<BeforeCompression>() {
            Some(BeforeCompression::MayBeEncoded { is_whole }) => {
                let (mut head, body) = response.into_parts();
                name_coding(&mut head, is_whole);
                response = Response::from_parts(head, body);
            }
            Some(BeforeCompression::NoContent) => remove_identity(response.headers_mut()),
            // The compression may have dropped the extensions.
            None if response.status() == StatusCode::NOT_MODIFIED => {
                remove_identity(response.headers_mut());
            }
            None => {}
        }
        Poll::Ready(Ok(response))
    }
}

impl<F> fmt::Debug for CompressionFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompressionFuture").finish_non_exhaustive()
    }
}

/// Adds the coding to the tag, if the compression has encoded the response. `is_whole`
/// is true if the plain content was whole in memory.
fn name_coding(head: &mut response::Parts, is_whole: bool) {
    if !head.headers.contains_key(CONTENT_ENCODING) {
        return;
    }
    vary_by(&mut head.headers, ACCEPT_ENCODING);
    // The next response may be encoded to other bytes, so parts must not be offered.
    head.headers.remove(ACCEPT_RANGES);
    // The digests in the head describe the plain bytes, but must describe the encoded
    // bytes (RFC 9530, 3).
    remove_fields(&mut head.headers, |name| is_digest(name.as_str()));
    let encoded = EncodedOnTheFly { is_weak: !is_whole };
    head.extensions.insert(encoded);
    let Some(sent) = single_line(&head.headers, ETAG) else { return };
    let Ok(sent) = EntityTag::try_from(sent) else { return };
    let plain = CodedTag::plain_of(&head.extensions, &sent).unwrap_or(&sent).clone();
    insert_tag_with_coding(head, &plain, encoded.is_weak);
}
