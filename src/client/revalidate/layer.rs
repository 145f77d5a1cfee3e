//! The layer and its service, which makes requests conditional.

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

/// Keeps responses for a Tower client, and revalidates them at each request.
///
/// The layer keeps responses to GET in bounded memory, and makes the next request for
/// the same resource conditional. If the server answers 304 (Not Modified), the layer
/// returns a 200 with the kept content and the kept head, which the 304 has updated.
/// The layer asks the server each time, even while the kept response is fresh, so it
/// never returns stale content from memory.
///
/// - **The key** of a kept response is a hash of the URI and the values of `Host`,
///   `Authorization`, Cookie, and the request fields that `Vary` names. For encoded
///   content, the key includes `Accept-Encoding`. Credentials are not stored, only the
///   hash. If another field identifies users, such as `X-Api-Key`, and `Vary` does not
///   name it, use one layer for each user.
/// - **Kept responses** are 200s that have a tag, or a date that
///   [`StoredHead::ask`](crate::client::StoredHead::ask) can use. The content must have
///   been received to its end. A response is not kept if it has `no-store`, `Vary: *`
///   or trailers, or if its content is longer than [the limit](Self::content_limit).
/// - **The end of the content** must be certain, so that content of a broken connection
///   is not kept. The response must have `Content-Length`, a body of known size, or
///   `Transfer-Encoding: chunked`. Over HTTP/2, it is enough if `is_end_stream` of the
///   body is true at the end.
/// - **Other requests** pass through unchanged: those with other methods than GET, and
///   those that have content, a precondition, a `Range` or `no-store`.
/// - **New content** is streamed to the caller while it is copied. Content from memory
///   is one frame. `Set-Cookie` is never repeated from memory.
///
/// If a 304 is about other content, the layer drops the kept response, and sends the
/// request again without preconditions. For this second request, the body of
/// requests must implement `Default`, and the inner service must be `Clone`, as most
/// clients are. A 304 to a request that the layer did not make conditional is
/// returned unchanged.
///
/// **Where to put it.** Put the layer inside a layer that follows redirects, because a
/// tag is valid for one resource only. Also put it inside a layer that decodes
/// `Content-Encoding`, because the tag names the encoded content.
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
/// // The second answer of the server is a 304. The caller gets a 200 again.
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
    /// Makes a layer that keeps responses in at most `bytes` of memory.
    ///
    /// Heads and bookkeeping are counted. Copies of content that is still being
    /// received are not: they may use up to `bytes` in addition. All services of this
    /// layer and its clones share the memory.
    pub fn new(bytes: usize) -> Self {
        Self { memory: Arc::new(Memory::new(bytes)) }
    }

    /// Sets how many bytes of content a kept response may have. Default: 1 MiB.
    ///
    /// Longer content is streamed through and not kept. The limit is never more than an
    /// eighth of the layer's memory.
    ///
    /// The returned layer has a new, empty memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::client::RevalidateLayer;
    ///
    /// let layer = RevalidateLayer::new(64 << 20).content_limit(4 << 20);
    /// # drop(layer);
    /// ```
    pub fn content_limit(self, bytes: usize) -> Self {
        Self { memory: Arc::new(self.memory.with_content_limit(bytes)) }
    }

    /// Returns the number of bytes that the kept responses use, including the heads and
    /// the bookkeeping.
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

/// The service of a [`RevalidateLayer`]; see there for an example.
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
        // The service is called again if a 304 is not about the kept response.
        let asked = asked.map(|stored| (stored, self.inner.clone()));
        let memory = Arc::clone(&self.memory);
        RevalidateFuture::new(future, Exchange { memory, key, original, asked })
    }
}

/// Returns true if the response to a request may be kept, and may come from memory.
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
