//! The layer and its service: reads the request, and makes it conditional.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::RevalidateBody,
    future::{Exchange, RevalidateFuture},
    memory::Memory,
};
use crate::{client::stored_head::OWN_QUESTIONS, validators::forbids_storing};

/// Remembers responses for a Tower client, and asks the server each time whether they
/// are current.
///
/// A response to GET that has a tag, or a date that is safe to ask by, is kept in
/// bounded memory. The next such request is made conditional. If the answer is a 304
/// (Not Modified) that is about the kept response, that one is returned: a 200 with its
/// content, and with its head as the 304 has updated it. There is no freshness, so
/// nothing that is returned is stale, and callers need not know of the layer.
///
/// - **The key** is the URI with the values of `Host`, `Authorization`, Cookie, and the
///   request fields that `Vary` names; for encoded content, of `Accept-Encoding`, too. It
///   is a hash: credentials are not kept. If something else tells users apart, such as
///   `X-Api-Key`, and `Vary` does not name it, give each user a layer.
/// - **Kept** is a 200 whose content came to its end. Not kept is one with `no-store`,
///   `Vary: *` or trailers, one that is longer than [the limit](Self::content_limit), and
///   one whose end cannot be told from a broken connection: without `Content-Length`,
///   HTTP/1.1 that is not chunked, and HTTP/2 whose body does not say `is_end_stream`.
/// - **Passed unchanged** are other methods, and requests with content, a precondition,
///   a `Range` or `no-store` of their own.
/// - **Streamed** is new content, while it is copied. What comes from memory is one
///   frame. `Set-Cookie` is never repeated from memory.
///
/// If a 304 is about other content, the kept response is dropped, and the request is
/// sent once more without a question. That needs a body of requests that has a
/// `Default`, and an inner service that can be cloned, as clients can. A 304 that was
/// not asked for is returned as it is.
///
/// **Put it inside** whatever follows redirects, because a tag is valid for one
/// resource only, and inside whatever decodes `Content-Encoding`, because the tag is
/// about the content as it is sent.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http::{header, Request, Response, StatusCode};
/// use http_body_util::{BodyExt, Full};
/// use tower::{service_fn, Service, ServiceBuilder, ServiceExt};
/// use tower_conditional::client::RevalidateLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let http_client = service_fn(|request: Request<Full<Bytes>>| async move {
/// #     let response = Response::builder().header(header::ETAG, "\"v1\"");
/// #     if request.headers().contains_key(header::IF_NONE_MATCH) {
/// #         return response.status(StatusCode::NOT_MODIFIED).body(Full::<Bytes>::default());
/// #     }
/// #     response.body(Full::from("the content"))
/// # });
/// let mut client = ServiceBuilder::new()
///     .layer(RevalidateLayer::new(64 << 20))
///     .service(http_client);
///
/// // The second answer of the server is a 304; the caller sees a 200 again.
/// for _ in 0..2 {
///     let request = Request::get("http://localhost/").body(Full::<Bytes>::default())?;
///     let response = client.ready().await?.call(request).await?;
///     assert_eq!(response.status(), StatusCode::OK);
///     assert_eq!(response.into_body().collect().await?.to_bytes(), "the content");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless applied"]
pub struct RevalidateLayer {
    memory: Arc<Memory>,
}

impl RevalidateLayer {
    /// Makes a layer that keeps at most so many bytes, heads and bookkeeping included.
    /// As many again may be held of responses that are being received.
    ///
    /// All services that this layer and its clones make share the memory.
    pub fn new(bytes: usize) -> Self {
        Self { memory: Arc::new(Memory::new(bytes)) }
    }

    /// Sets how long the content of a response may be that is kept, in bytes; longer
    /// content streams through. The default is 1 MiB. An eighth of the memory is the
    /// most that one response may take.
    ///
    /// It begins with an empty memory.
    pub fn content_limit(self, bytes: usize) -> Self {
        Self { memory: Arc::new(self.memory.with_content_limit(bytes)) }
    }

    /// Returns how many bytes are kept.
    #[must_use]
    pub fn bytes_kept(&self) -> u64 {
        self.memory.bytes()
    }
}

impl<S> Layer<S> for RevalidateLayer {
    type Service = Revalidate<S>;

    fn layer(&self, inner: S) -> Revalidate<S> {
        Revalidate { inner, memory: Arc::clone(&self.memory) }
    }
}

/// The service that [`RevalidateLayer`] makes; see there for an example.
#[derive(Clone)]
pub struct Revalidate<S> {
    inner: S,
    memory: Arc<Memory>,
}

impl<S: fmt::Debug> fmt::Debug for Revalidate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revalidate")
            .field("inner", &self.inner)
            .field("memory", &self.memory)
            .finish()
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Revalidate<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    ReqBody: Body + Default,
    ResBody: Body,
{
    type Response = Response<RevalidateBody<ResBody>>;
    type Error = S::Error;
    type Future = RevalidateFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if !is_handled(&request) {
            return RevalidateFuture::pass(self.inner.call(request));
        }
        let original = head_of(&request);
        let key = self.memory.key(original.uri(), original.headers());
        let stored = self.memory.find(key, original.headers());
        let asked = stored.filter(|stored| stored.head.ask(request.headers_mut()));
        let future = self.inner.call(request);
        // The service is called once more if the answer is about other content.
        let asked = asked.map(|stored| (stored, self.inner.clone()));
        let memory = Arc::clone(&self.memory);
        RevalidateFuture::new(future, Exchange { memory, key, original, asked })
    }
}

/// Returns true if the answer to a request may be kept, and come from memory.
fn is_handled<B: Body>(request: &Request<B>) -> bool {
    *request.method() == Method::GET
        && request.body().is_end_stream()
        && !OWN_QUESTIONS.iter().any(|name| request.headers().contains_key(name))
        && !forbids_storing(request.headers())
}

/// Copies a request without its body.
fn head_of<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    *head.extensions_mut() = request.extensions().clone();
    head
}
