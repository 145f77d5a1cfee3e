//! The layer and its settings.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
    time::SystemTime,
};

use http::request;
use tower_layer::Layer;

use super::{
    body_timeout::BodyTimeout,
    compression::ConditionalCompressionLayer,
    config::{Config, ForwardedFields},
    inner_tags::InnerTags,
    outer_compression::OuterCompression,
    service::Conditional,
};
use crate::{
    stats::Stats,
    store::ContentCache,
    validators::{AddLastModified, Digest, Predicate, Sha256, TagFormat},
};

/// Evaluates conditional requests for the service it wraps.
///
/// When the inner service answers a GET, HEAD or QUERY with 200, the layer adds a
/// strong `ETag` if the response has no tag, and a `Last-Modified` where a date is
/// safe. It then evaluates the client's preconditions against these validators. The
/// answer is 304 (Not Modified), 412 (Precondition Failed), or the response itself.
///
/// A clone shares the memory of the original layer.
///
/// See the [crate docs](crate) for where to put the layer.
///
/// # Examples
///
/// ```
/// use axum::{body::Body, routing::get, Router};
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
/// use tower_conditional::{ConditionalLayer, EntityTag};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = Router::new()
///     .route("/", get(|| async { "page" }))
///     .layer(ConditionalLayer::new());
///
/// let tag = EntityTag::of(b"page").to_string();
/// let poll = Request::get("/").header("if-none-match", tag).body(Body::empty())?;
/// let poll = app.oneshot(poll).await?;
/// assert_eq!(poll.status(), StatusCode::NOT_MODIFIED);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ConditionalLayer<D = Sha256> {
    config: Arc<Config>,
    digest: PhantomData<fn() -> D>,
}

impl ConditionalLayer {
    /// Makes a layer with the default of each setting.
    pub fn new() -> Self {
        Self { config: Arc::new(Config::default()), digest: PhantomData }
    }
}

impl<D> ConditionalLayer<D> {
    /// Sets how many bytes of a response the layer may hold to tag it. Default: 1 MiB.
    ///
    /// Content that is known to be larger is passed through unread. Content that turns
    /// out to be larger is sent on as it comes. In both cases the layer adds no tag.
    /// With 0, it tags only empty content.
    ///
    /// All responses of the layer together hold at most 64 MiB. Beyond that, a new
    /// response of more than 64 KiB in several frames passes through without a tag
    /// ([`Reason::Busy`](crate::Reason::Busy)). Content in a single frame does not
    /// count, because the inner service holds it anyway.
    ///
    /// A higher limit delays the first byte of larger responses until all of the
    /// content has been read. For files and downloads, prefer
    /// [`inner_tags`](Self::inner_tags).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new().buffer_limit(4 << 20);
    /// # drop(layer);
    /// ```
    pub fn buffer_limit(self, bytes: usize) -> Self {
        self.set(|config| config.buffer_limit = bytes.try_into().unwrap_or(u64::MAX))
    }

    /// Sets how long the layer waits for content. Default: [`BodyTimeout::new`].
    ///
    /// The default is 500 ms for content of known size, and zero for other content.
    ///
    /// The time starts when the content is not ready for the first time. When it is
    /// over, the layer sends what it has read, and the rest follows as it comes. Such a
    /// response has no tag.
    ///
    /// Waiting needs a Tokio timer. On other runtimes the layer does not wait. In a
    /// Tokio runtime without timers the first wait panics inside Tokio, and the layer
    /// catches the panic. A program that aborts on panics must set both timeouts to
    /// zero there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_conditional::{BodyTimeout, ConditionalLayer};
    ///
    /// let timeout = BodyTimeout::new().known_size(Duration::from_millis(50));
    /// let layer = ConditionalLayer::new().body_timeout(timeout);
    /// # drop(layer);
    /// ```
    pub fn body_timeout(self, timeout: BodyTimeout) -> Self {
        self.set(|config| config.body_timeout = timeout)
    }

    /// Sets what compression outside of the layer does to tags.
    ///
    /// Default: [`OuterCompression::new`], for no compression, or one that weakens
    /// tags.
    ///
    /// The compression may be that of a proxy or of an outer layer.
    ///
    /// Some proxies compress and leave the tag unchanged, so that one strong tag would
    /// name different bytes. For these, [`keeps_tags`](OuterCompression::keeps_tags())
    /// makes the layer send weak tags. Other proxies (Apache's httpd) append a suffix
    /// to the tag. The client sends the tag back with the suffix, so it matches
    /// nothing. For these, [`adds_suffixes`](OuterCompression::adds_suffixes) makes the
    /// layer ignore the suffix. Proxies that weaken tags (nginx) need no setting.
    ///
    /// For compression in the application use [`compress_with`](Self::compress_with)
    /// instead. Its tags are strong if the content is in memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::{ConditionalLayer, OuterCompression};
    ///
    /// let layer = ConditionalLayer::new()
    ///     .outer_compression(OuterCompression::new().keeps_tags(true));
    /// # drop(layer);
    /// ```
    pub fn outer_compression(self, compression: OuterCompression) -> Self {
        self.set(|config| {
            if compression.keeps_tags != config.outer_compression.keeps_tags {
                config.forget_tags();
            }
            config.outer_compression = compression;
        })
    }

    /// Sets whether a HEAD is forwarded as a GET. Default: false.
    ///
    /// With true, the layer drops the content of the response.
    ///
    /// By default the response to a HEAD has a tag only if the inner service sends the
    /// content, as Axum does inside a `Router`, or sets a tag. Some services answer a
    /// HEAD without content, such as `ServeDir` or a whole `Router`. Set it around
    /// these if clients revalidate with HEAD. It costs the inner service the work of a
    /// GET.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower::Layer;
    /// use tower_conditional::ConditionalLayer;
    /// use tower_http::services::ServeDir;
    ///
    /// let layer = ConditionalLayer::new().head_as_get(true);
    /// let files = layer.layer(ServeDir::new("files"));
    /// # drop(files);
    /// ```
    pub fn head_as_get(self, head_as_get: bool) -> Self {
        self.set(|config| config.head_as_get = head_as_get)
    }

    /// Sets which responses get a generated `Last-Modified`.
    ///
    /// Default: [`AddLastModified::WithNoCache`].
    ///
    /// Only a response that has a tag and no `Last-Modified` gets one.
    ///
    /// The date is the second in which the layer first saw this content. It helps old
    /// clients and crawlers that do not support tags. This setting does not affect
    /// dates that the inner service gives; see [dates](crate#dates).
    ///
    /// Choose [`AddLastModified::Never`] where several replicas serve clients that send
    /// dates only. Each replica generates its own dates, so such clients get fewer
    /// 304s, and two replicas can by chance use the same second for different content.
    ///
    /// # Examples
    ///
    /// Behind a proxy that is configured to assign a lifetime to responses without one:
    ///
    /// ```
    /// use tower_conditional::{AddLastModified, ConditionalLayer};
    ///
    /// let layer = ConditionalLayer::new()
    ///     .add_last_modified(AddLastModified::IfFreshnessStated);
    /// # drop(layer);
    /// ```
    pub fn add_last_modified(self, add: AddLastModified) -> Self {
        self.set(|config| {
            let had_dates = config.dates.get().is_some();
            config.add_last_modified = add;
            if had_dates != (add != AddLastModified::Never) {
                config.forget_dates();
            }
        })
    }

    /// Sets which responses may be tagged.
    ///
    /// Default: [`DefaultPredicate`](crate::predicate::DefaultPredicate).
    ///
    /// The given predicate replaces the default one. To add a condition to the default,
    /// combine both, as in the example of [`Predicate`]. A response that may not be
    /// tagged is still evaluated by the validators that it has.
    ///
    /// # Examples
    ///
    /// By default, pages whose `Content-Security-Policy` has a nonce are not tagged. If
    /// the nonce changes only when the content changes, tag these pages, too:
    ///
    /// ```
    /// use http::{Extensions, HeaderMap, StatusCode, Version};
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new()
    ///     .tag_when(|_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true);
    /// # drop(layer);
    /// ```
    pub fn tag_when(self, predicate: impl Predicate + Send + Sync + 'static) -> Self {
        self.set(|config| config.tag_when = Some(Arc::new(predicate)))
    }

    /// Sets which requests the layer handles. Default: every GET, HEAD and QUERY.
    ///
    /// Other requests pass through, and the layer does not see their responses. The
    /// predicate must give the same result for all requests to one resource. Otherwise
    /// a client could get content that the layer has not seen, send its date through
    /// the layer, and get a 304 for different content.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new()
    ///     .handle_when(|parts| parts.uri.path().starts_with("/api/"));
    /// # drop(layer);
    /// ```
    pub fn handle_when(
        self,
        predicate: impl Fn(&request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.handle_when = Some(Arc::new(predicate)))
    }

    /// Sets the key of a resource in the layer's memory.
    ///
    /// Default: the authority and the URI as the client sent it.
    ///
    /// With feature `axum` that is also so below `nest`.
    ///
    /// Two resources with the same key do not get wrong answers. They look like one
    /// resource that changes back and forth, so their dates change more often than
    /// necessary. One exception: where tags are [learned](Self::inner_tags), a tag
    /// learned for one resource is also used for the other.
    ///
    /// The layer always adds the request fields that a response names in `Vary`. The
    /// function must return an owned value, not a borrow of the request. Its value
    /// replaces both authority and URI. Below `nest`, `parts.uri` lacks the prefix;
    /// Axum's `OriginalUri` in `parts.extensions` has it.
    ///
    /// # Examples
    ///
    /// The query string does not change the content:
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new().key(|parts| parts.uri.path().to_owned());
    /// # drop(layer);
    /// ```
    pub fn key<K: Hash>(self, key: impl Fn(&request::Parts) -> K + Send + Sync + 'static) -> Self {
        let hash_key =
            move |parts: &request::Parts, mut hasher: &mut dyn Hasher| key(parts).hash(&mut hasher);
        self.set(|config| config.key = Some(Arc::new(hash_key)))
    }

    /// Sets the hash from which tags are made. Default: [`Sha256`].
    ///
    /// Another hash changes all tags, so clients fetch everything once more. See
    /// [`Digest`] for the requirements on a hash, and for an example.
    ///
    /// # Panics
    ///
    /// Panics if a [manifest](crate::InnerTags::manifest) is set and this is not
    /// SHA-256, because the hashes of a manifest are SHA-256.
    pub fn digest<E: Digest>(self) -> ConditionalLayer<E> {
        let Self { config, .. } = self.set(|config| {
            config.tag_format = TagFormat::of::<E>();
            #[cfg(feature = "shared-tags")]
            {
                config.hash_of_nothing = crate::validators::hash_of_nothing::<E>();
            }
            config.forget_tags();
        });
        ConditionalLayer { config, digest: PhantomData }
    }

    /// Sets how many bytes of content the layer may cache. Default: 16 MiB.
    ///
    /// With the cache, unchanged content is not hashed again.
    ///
    /// The layer compares the content of a response with the last content of that
    /// resource: byte by byte, or by address if the application sends the same `Bytes`
    /// again. If both are equal, the tag is the same. The comparison is exact, so the
    /// cache cannot make a tag wrong. With 0 nothing is kept, and all content is hashed
    /// each time.
    ///
    /// Content is kept once it has been sent twice, until other content needs its room.
    /// One response takes at most an eighth of the cache.
    ///
    /// Content of 1 KiB or more that the application sends from the same address each
    /// time is not copied. If it is a part of a larger buffer, that whole buffer stays
    /// in memory. At most 4 such buffers are held. Each is held for at least ten
    /// seconds, and is released when the layer next sees new content. To find out
    /// whether content comes from the same address again, the layer also holds the last
    /// 4 contents for the same time. Together they take at most an eighth of the cache.
    /// Content of more than 4 MiB is never copied. The layer and its clones share one
    /// cache.
    ///
    /// Choose 0 if private content must not stay in memory longer than its response, or
    /// if content rarely repeats. With a cache, never send `Bytes` over memory that is
    /// edited in place, such as a mapped file: the layer assumes that the same address
    /// has the same content.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new().content_cache(64 << 20);
    /// let without = ConditionalLayer::new().content_cache(0);
    /// # drop((layer, without));
    /// ```
    pub fn content_cache(self, bytes: usize) -> Self {
        self.set(|config| {
            config.content_cache = (bytes > 0).then(|| Arc::new(ContentCache::new(bytes)));
        })
    }

    /// Sets what happens to strong tags of the inner service.
    ///
    /// Default: [`InnerTags::keep`], which sends them unchanged.
    ///
    /// With [`InnerTags::learn`], the layer learns the hash of large content. A 200
    /// above the [`buffer_limit`](Self::buffer_limit) that has a strong tag is sent as
    /// it comes, with that tag, and is hashed while it is sent. After that the layer
    /// knows which content tag belongs to this inner tag. A content tag is the hash
    /// that the layer sends as the tag of content. As long as the inner service gives
    /// the same tag, length, type, encoding and language, the response carries the
    /// content tag, and a 304 reads no content. A client that still sends the inner tag
    /// is answered with the inner tag. The layer also learns from parts (206) that
    /// follow one another without a gap. It learns nothing from content that breaks
    /// off, or that changed less than two seconds ago.
    ///
    /// [`InnerTags::replace`] does the same, and never sends an inner tag. File servers
    /// make tags from date and size, so each replica and each deploy gives the same
    /// file another tag, and every cache fetches it again. The content tag is the same
    /// everywhere. Content within the limit is read and hashed if its tag is not known
    /// yet. Larger content has no tag until it has been sent once. Content that
    /// [`tag_when`](Self::tag_when) excludes has no tag.
    ///
    /// Both trust the inner service: if it gives two contents one strong tag, so does
    /// the layer. Both also trust the [`key`](Self::key): if one URI has different
    /// content for each tenant, and `Vary` does not show it, include the tenant in the
    /// key. At most 16,384 tags are kept, each of about 200 bytes.
    ///
    /// [`InnerTags::manifest`] gives the layer the tags of files before the first
    /// request.
    ///
    /// With either setting the inner service does not see the preconditions, because it
    /// knows only one of the two tags, or only dates. A write is never evaluated by a
    /// learned tag: inside a [`WriteGuard`](crate::WriteGuard), an If-Match with a
    /// learned tag fails.
    ///
    /// # Examples
    ///
    /// Files have the same tags on every server. Downloads resume where they broke off,
    /// on another server too:
    ///
    /// ```
    /// use tower::Layer;
    /// use tower_conditional::{ConditionalLayer, InnerTags};
    /// use tower_http::services::ServeDir;
    ///
    /// let inner_tags = InnerTags::replace();
    /// let layer = ConditionalLayer::new().inner_tags(inner_tags).ranges(true);
    /// let files = layer.layer(ServeDir::new("files"));
    /// # drop(files);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a [manifest](InnerTags::manifest) is set and the layer's
    /// [`digest`](Self::digest) is not SHA-256, because the hashes of a manifest are
    /// SHA-256.
    pub fn inner_tags(self, inner_tags: InnerTags) -> Self {
        self.set(|config| {
            #[cfg(feature = "shared-tags")]
            if let Some(shared) = inner_tags.shared() {
                config.keys = Arc::new(shared.keys());
            }
            config.inner_tags = inner_tags;
            config.forget_learned();
        })
    }

    /// Sets whether responses carry a digest of their content ([RFC 9530]). Default:
    /// false.
    ///
    /// With true, content that the layer hashes for its tag also gets `Repr-Digest:
    /// sha-256=:..:`. A client can verify with it that all bytes arrived unchanged. The
    /// field is in a 200, in the answer to a HEAD, and in a 206, where it is the digest
    /// of the whole content. The digest needs no second hash. A 304, 412 or 416 has no
    /// digest.
    ///
    /// Content that is too large to be read ahead, or not ready in time, is hashed
    /// while it is sent. The digest follows it in the trailer section ([RFC 9110,
    /// section 6.5]), together with the `ETag` if the head has none. Over HTTP/2 it is
    /// always sent. Over HTTP/1.1 it is sent only after content of unknown length, and
    /// only if the request has `TE: trailers`. Once the tag of a file [is
    /// learned](Self::inner_tags), digest and tag are in the head.
    ///
    /// Content with a tag that the application sets is not hashed, and gets no digest.
    /// A `Repr-Digest` that the application sets is kept. A client can refuse the
    /// digest (`Want-Repr-Digest: sha-256=0`, or only other algorithms). Its response
    /// has no digest, and names the field in `Vary`, so that no cache gives that
    /// response to another client. A cache may give a response with a digest to a
    /// client that refuses it. That is harmless, because the field is a hint.
    ///
    /// A digest describes the content in its coding (`Content-Encoding`). So a response
    /// that [`compress_with`](Self::compress_with) encodes loses its digest, even one
    /// that the application sets, and a HEAD whose GET may be encoded gets none. No
    /// outer layer or proxy may change the bytes. `Content-Digest` describes the bytes
    /// of one message, and only the application sets it. The layer removes it from a
    /// 206 that it cuts, and from responses that `compress_with` encodes.
    ///
    /// # Panics
    ///
    /// With true, `Layer::layer` panics if
    /// [`outer_compression`](Self::outer_compression) keeps tags or adds suffixes, or
    /// if the [`digest`](Self::digest) has no [`ALGORITHM_KEY`](Digest::ALGORITHM_KEY),
    /// such as `Blake3`.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{body::Body, routing::get, Router};
    /// use http::Request;
    /// use tower::ServiceExt;
    /// use tower_conditional::ConditionalLayer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "hello\n" }))
    ///     .layer(ConditionalLayer::new().repr_digest(true));
    /// let response = app.oneshot(Request::get("/").body(Body::empty())?).await?;
    /// // `printf 'hello\n' | openssl dgst -sha256 -binary | base64`
    /// assert_eq!(
    ///     response.headers()["repr-digest"],
    ///     "sha-256=:WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=:"
    /// );
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [RFC 9530]: https://www.rfc-editor.org/rfc/rfc9530.html
    /// [RFC 9110, section 6.5]: https://www.rfc-editor.org/rfc/rfc9110.html#section-6.5
    pub fn repr_digest(self, repr_digest: bool) -> Self {
        self.set(|config| config.repr_digest = repr_digest)
    }

    /// Sets whether the layer answers range requests. Default: false.
    ///
    /// The layer answers a GET for one range of bytes ([RFC 9110, section 14]) with 206
    /// (Partial Content), or with 416 if the range is outside the content. The inner
    /// service's 200 must have a strong tag and a known length. If-Range is evaluated
    /// against the validators of that response. Several ranges in one request are
    /// answered with the whole content. An inner service that serves ranges itself
    /// continues to do so where that is safe; see [`forward`](Self::forward).
    ///
    /// The inner service always generates all of the content, and the layer discards
    /// the bytes before the range. So a range that starts after the first 8 MiB is
    /// answered with the whole content: otherwise one byte of a large file would cost
    /// reading all of it. Content without a strong tag is never cut.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{body::Body, routing::get, Router};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_conditional::ConditionalLayer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "0123456789" }))
    ///     .layer(ConditionalLayer::new().ranges(true));
    ///
    /// let part = Request::get("/").header("range", "bytes=2-4").body(Body::empty())?;
    /// let part = app.oneshot(part).await?;
    /// assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    /// assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [RFC 9110, section 14]: https://www.rfc-editor.org/rfc/rfc9110.html#section-14
    pub fn ranges(self, ranges: bool) -> Self {
        self.set(|config| config.ranges = ranges)
    }

    /// Sets which conditional fields of a GET or HEAD are forwarded.
    ///
    /// Default: [`ForwardedFields::Tags`].
    ///
    /// **Dates.** By default only the layer compares dates. `ServeDir` and others
    /// answer 304 to a date that is *later* than theirs. After a rollback to an older
    /// file, or two changes in one second, their clients keep the wrong content
    /// forever. [`ForwardedFields::Dates`] makes such a wrong 304 possible again.
    /// Choose it only if each change of the content has a later date, and if the 200s
    /// of the inner service are expensive. If a request has If-Unmodified-Since, its
    /// `Range` is never forwarded.
    ///
    /// **If-Range.** By default If-Range and `Range` are forwarded if If-Range names
    /// the validator that the inner service gave this resource last. Otherwise both are
    /// removed, and the client gets the whole content. The layer remembers the
    /// validators of 8,192 resources. With [`ForwardedFields::IfRange`] it also
    /// forwards both fields for resources that it does not remember, for example after
    /// a restart. Choose it for an upstream that evaluates If-Range itself (nginx, S3).
    /// `ServeDir` does not.
    ///
    /// In both cases the layer checks a part before it sends it: the part must carry
    /// the validator that If-Range names. If it does not, the content has changed
    /// meanwhile. The answer is then 503 (Service Unavailable) with `Retry-After: 1`,
    /// and the retry gets the whole content. A browser (a client that sends
    /// `Sec-Fetch-Dest`) gets 307 (Temporary Redirect) to the same URI instead, and so
    /// the whole content at once, because a 503 would end the playback of audio or
    /// video. The layer cannot protect clients that resume without If-Range (`curl -C
    /// -`, `wget -c`).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::{ConditionalLayer, ForwardedFields};
    ///
    /// let layer = ConditionalLayer::new().forward(ForwardedFields::IfRange);
    /// # drop(layer);
    /// ```
    pub fn forward(self, fields: ForwardedFields) -> Self {
        self.set(|config| config.forwarded = fields)
    }

    /// Sets whether a 412 of this layer has a problem document as content. Default:
    /// false.
    ///
    /// The media type is `application/problem+json` ([RFC 9457]). The document names
    /// the field that failed, the current tag, and what to send. With false a 412 has
    /// no content. For the refusals of a handler, use
    /// [`Rejection::problem_details`](crate::Rejection::problem_details) there.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new().problem_details(true);
    /// # drop(layer);
    /// ```
    ///
    /// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457.html
    pub fn problem_details(self, problem_details: bool) -> Self {
        self.set(|config| config.problem_details = problem_details)
    }

    /// Sets whether each response has an [`Outcome`](crate::Outcome) extension.
    /// Default: false.
    ///
    /// Some outer layers see another body type than
    /// [`ResponseBody`](crate::ResponseBody), for example Axum's `Body`. They can read
    /// the outcome from the response's extensions. The extension may cost an
    /// allocation.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{body::Body, routing::get, Router};
    /// use http::Request;
    /// use tower::ServiceExt;
    /// use tower_conditional::{ConditionalLayer, Outcome};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "page" }))
    ///     .layer(ConditionalLayer::new().report_outcome(true));
    /// let response = app.oneshot(Request::get("/").body(Body::empty())?).await?;
    /// assert_eq!(response.extensions().get(), Some(&Outcome::Tagged));
    /// # Ok(())
    /// # }
    /// ```
    pub fn report_outcome(self, report_outcome: bool) -> Self {
        self.set(|config| config.reporter.in_extensions = report_outcome)
    }

    /// Compresses responses with another layer, and names the coding in their tags.
    ///
    /// This must be the last call of the chain.
    ///
    /// `compression` is any `tower::Layer` that encodes responses, such as tower-http's
    /// `CompressionLayer`, or a tuple of layers. It wraps this layer, so a 304 costs no
    /// compression.
    ///
    /// A strong tag names exact bytes, and the gzip form of the content has different
    /// bytes. So the tag of an encoded response ends with the coding: `"v1"` becomes
    /// `"v1~gzip"`. It is weak (`W/"v1~gzip"`) if the content was not whole in memory,
    /// because the encoded bytes of files and streams may differ from one response to
    /// the next. The whole crate understands such tags:
    ///
    /// - A write whose If-Match names `"v1~gzip"` counts as an edit of `"v1"`, in
    ///   [`Preconditions::check`](crate::Preconditions::check), in
    ///   [`PreconditionLayer`](crate::PreconditionLayer) and in
    ///   [`WriteGuard`](crate::WriteGuard).
    /// - A read whose If-None-Match names `"v1~gzip"` is answered with 304 if the
    ///   client accepts gzip.
    /// - A part of encoded content is never sent.
    ///
    /// Every 200 and 304 that could have been encoded has `Vary: accept-encoding`, and
    /// no 304 has a `Content-Length`. Content that the inner service has already
    /// encoded is not changed. A HEAD that is answered without content, as `ServeDir`
    /// does, has the plain tag, because the coding of the GET is not known. A response
    /// has no tag if a tag cannot name its coding: two codings at once, or one other
    /// than gzip, br, zstd, deflate or compress.
    ///
    /// An outer [`PreconditionLayer`](crate::PreconditionLayer) does not add this
    /// `Vary` to its own 304s. Put it inside this layer, or set the field there.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{routing::get, Router};
    /// use tower_conditional::ConditionalLayer;
    /// use tower_http::compression::CompressionLayer;
    ///
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "page" }))
    ///     .layer(ConditionalLayer::new().compress_with(CompressionLayer::new()));
    /// # drop(app);
    /// ```
    pub fn compress_with<C>(self, compression: C) -> ConditionalCompressionLayer<C, D> {
        let inner = self.set(|config| config.is_compressed = true);
        ConditionalCompressionLayer::new(inner, compression)
    }

    /// Returns the counters of the layer, its clones and its services.
    ///
    /// Counting costs a few nanoseconds per request, and no lock. [A
    /// recipe](crate::guide::recipes#in-production) writes the counters as Prometheus
    /// text.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new();
    /// let stats = layer.stats();
    /// println!("{} of {} answers were 304", stats.not_modified, stats.served);
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let config = &self.config;
        let bytes_kept = config.content_cache.as_ref().map_or(0, |cache| cache.bytes());
        let mut stats = config.reporter.stats(bytes_kept);
        stats.bytes_buffered = config.budget.used();
        stats.unknown_vary = config.keys.unlisted_fields();
        stats.manifest_mismatches = config.listed.as_ref().map_or(0, |files| files.mismatches());
        #[cfg(feature = "shared-tags")]
        config.inner_tags.count_shared(&mut stats);
        stats
    }

    /// Sets the clock, and empties the memory of dates. Default: the system's clock.
    ///
    /// Use it to test dates. On `wasm32-unknown-unknown` the standard library cannot
    /// read a clock, so no date is generated there unless you set a clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{
    ///     sync::{
    ///         atomic::{AtomicU64, Ordering},
    ///         Arc,
    ///     },
    ///     time::{Duration, UNIX_EPOCH},
    /// };
    ///
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let seconds = Arc::new(AtomicU64::new(1_780_000_000));
    /// let clock = {
    ///     let seconds = seconds.clone();
    ///     move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed))
    /// };
    /// let layer = ConditionalLayer::new().clock(clock);
    /// // The layer sends no date in the first two seconds.
    /// seconds.fetch_add(2, Ordering::Relaxed);
    /// # drop(layer);
    /// ```
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.set(|config| {
            config.clock = Arc::new(clock);
            config.forget_dates();
        })
    }

    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl Default for ConditionalLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<D> Clone for ConditionalLayer<D> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config), digest: PhantomData }
    }
}

impl<D> fmt::Debug for ConditionalLayer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConditionalLayer").field(&self.config).finish()
    }
}

impl<S, D> Layer<S> for ConditionalLayer<D> {
    type Service = Conditional<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        self.config.check();
        Conditional::with_layer(inner, self)
    }
}
