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
/// The layer handles GET, HEAD and QUERY. If the inner service answers with 200 and
/// without a tag, the layer reads the content, up to the
/// [`buffer_limit`](Self::buffer_limit). It adds a strong `ETag`, the hash of the
/// content, and a `Last-Modified` where [a date is safe](crate#dates). Then it
/// evaluates the client's preconditions against the validators of the response. The
/// answer is 304 (Not Modified), 412 (Precondition Failed), or the response itself.
///
/// All clones of a layer share one memory of contents, tags and dates. A clone with
/// other settings, such as `layer.clone().ranges(true)`, shares it, too. But these
/// settings may give the clone a new, empty memory of contents, tags or dates:
/// [`add_last_modified`](Self::add_last_modified), [`clock`](Self::clock),
/// [`content_cache`](Self::content_cache), [`digest`](Self::digest),
/// [`inner_tags`](Self::inner_tags) and
/// [`outer_compression`](Self::outer_compression).
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
    /// Sets how many bytes of a response the layer may read ahead. Default: 1 MiB.
    ///
    /// The tag is made from all of the content, but is sent before it, so the layer
    /// reads the content first.
    ///
    /// Content above the limit gets no tag, unless the layer already knows its tag; see
    /// [`inner_tags`](Self::inner_tags). If the length is known, the layer passes the
    /// content through unread. Otherwise the layer reads up to the limit and sends what
    /// it has read, and the rest follows as it comes. With 0, the layer makes tags only
    /// for empty content.
    ///
    /// Content that the layer has read, but not yet sent, takes at most 64 MiB for all
    /// responses together. If there is no room for a response, it passes through
    /// without a tag ([`Reason::Busy`](crate::Reason::Busy)). Content of at most 64 KiB
    /// is not counted. Content in a single frame is not counted either, because the
    /// inner service has it in memory anyway.
    ///
    /// A higher limit delays more responses: content within the limit is read
    /// to its end before its first byte is sent. For files and downloads,
    /// prefer [`inner_tags`](Self::inner_tags).
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

    /// Sets how long the layer waits for content.
    ///
    /// Default: [`BodyTimeout::new`], which is 500 ms for content of known size, and
    /// zero for other content.
    ///
    /// The time starts when the layer has to wait for content for the first time. When
    /// the time is over, the layer sends what it has read, and the rest follows as it
    /// comes. Such a response has no tag.
    ///
    /// For the GET that a [`WriteGuard`](crate::WriteGuard) sends before a write, the
    /// layer waits at least five seconds for content of known size: whether the write
    /// is allowed should not depend on the load of the server.
    ///
    /// A body that is always ready has no time limit, even if each of its frames takes
    /// long to compute. An example is a body that an inner layer compresses. Such a
    /// body is read up to the [`buffer_limit`](Self::buffer_limit).
    ///
    /// Waiting needs a Tokio timer. On other runtimes the layer does not wait. In a
    /// Tokio runtime that was built without `enable_time`, the first wait panics inside
    /// Tokio, and the layer catches the panic. If your program uses such a runtime and
    /// aborts on panics, set both timeouts to zero.
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
    /// Default: [`OuterCompression::new`]. That is right if no proxy and no outer layer
    /// compresses, or if the compression weakens tags.
    ///
    /// The compression may be done by a proxy or by an outer layer.
    ///
    /// Some proxies compress and leave the tag unchanged, so that one strong tag would
    /// name different bytes. Behind such a proxy, set
    /// [`keeps_tags`](OuterCompression::keeps_tags()): the layer then sends weak tags.
    /// Other proxies (Apache's httpd) append a suffix to the tag. The client sends the
    /// tag back with the suffix, so that the tag matches nothing. Behind such a proxy,
    /// set [`adds_suffixes`](OuterCompression::adds_suffixes): the layer then ignores
    /// the suffix. Proxies that weaken tags (nginx) need no setting.
    ///
    /// To compress in the application, use [`compress_with`](Self::compress_with)
    /// instead. Tags then stay strong if the whole content is in memory.
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
    /// With true, the inner service gets a GET, and the layer drops the content of
    /// the response.
    ///
    /// By default, the layer can make a tag for a HEAD only if the inner service sends
    /// the content. Handlers inside an Axum `Router` send it, so a layer that is added
    /// with `Router::layer` needs no setting for them. `ServeDir` and a whole `Router`
    /// answer a HEAD without content. If clients revalidate with HEAD, set this to true
    /// around such a service, and around a `Router` that nests one. Each HEAD then
    /// costs the inner service the work of a GET.
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
    /// A response can get a generated date if it has a tag, and if the inner service
    /// gives no `Last-Modified` that [is safe](crate#dates).
    ///
    /// The generated date is the second in which the layer first saw this content. Old
    /// clients and crawlers that do not support tags can revalidate with it. This
    /// setting does not change which dates of the inner service are sent.
    ///
    /// Each replica of a server generates its own dates. If two replicas by chance
    /// generate the same second for different content, a client that sends only
    /// dates gets a wrong 304. If you have several replicas and such clients,
    /// choose [`AddLastModified::Never`].
    ///
    /// # Examples
    ///
    /// Some proxies are configured to store responses that do not state their
    /// freshness. With a generated date, such a response would also get `no-cache`, and
    /// would no longer be stored. This layer generates no date for such a response:
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

    /// Sets which responses the layer may tag.
    ///
    /// Default: [`DefaultPredicate`](crate::predicate::DefaultPredicate).
    ///
    /// The given predicate replaces the default one. To add a condition to the default,
    /// combine both, as in the example of [`Predicate`]. If the predicate returns
    /// false, the layer makes no tag, but still evaluates the preconditions against the
    /// validators that the response has.
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
    /// If the predicate returns false, the request and its response pass through. The
    /// predicate must give the same result for all requests to one resource. Otherwise
    /// a client could get content that the layer does not know. If the client later
    /// sends the date of that content in a request that the layer handles, it could get
    /// a wrong 304.
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
    /// Default: the authority and the URI. With feature `axum`, the URI includes the
    /// prefix that `nest` removes.
    ///
    /// If two resources have the same key, the layer takes them for one resource that
    /// changes back and forth. Their dates then change more often than necessary, but
    /// no answer is wrong. One exception: where tags are [learned](Self::inner_tags),
    /// both get one tag if the inner service gives both the same tag and length.
    ///
    /// The function must return an owned value, not a borrow of the request. The value
    /// replaces both authority and URI. The request fields that responses name in
    /// `Vary` are still part of the key. Below `nest`, `parts.uri` lacks the prefix;
    /// Axum's `OriginalUri` in `parts.extensions` has it.
    ///
    /// # Examples
    ///
    /// If the query string does not change the content:
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
    /// With another hash all tags change, so clients get all content once more. See
    /// [`Digest`] for the requirements on a hash, and for an example.
    ///
    /// # Panics
    ///
    /// Panics if a [manifest](crate::InnerTags::manifest) is set and `E` is not
    /// SHA-256, because the hashes of a manifest are SHA-256. Panics if the hash has no
    /// bytes, because all content would have the same tag.
    pub fn digest<E: Digest>(self) -> ConditionalLayer<E> {
        let Self { config, .. } = self.set(|config| {
            config.tag_format = TagFormat::of::<E>();
            assert!(config.tag_format.digits > 0, "a digest must not be empty");
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
    /// With the cache, the layer does not hash unchanged content again. It never sends
    /// content from the cache.
    ///
    /// The layer compares the content of a response with the last content of that
    /// resource. It compares byte by byte, or by address if the application sends
    /// the same `Bytes` again. If both contents are equal, the tag is the same. The
    /// comparison is exact, so a tag is never wrong, unless `Bytes` are edited in
    /// place (see below). With 0, the layer keeps no content, and hashes all
    /// content each time.
    ///
    /// The layer keeps content that it has sent twice, until the cache needs the memory
    /// for other content. One content takes at most an eighth of the cache.
    ///
    /// Usually the cache has a copy of the content. Content of more than 4 MiB is never
    /// copied, however large the cache is: the layer recognises it only by its address.
    ///
    /// Content of 1 KiB or more is not copied if the application sends it from the same
    /// address each time. The layer then keeps the `Bytes` of the application:
    ///
    /// - It keeps the `Bytes` of at most 4 such contents.
    /// - To detect such content, it also keeps the `Bytes` of up to 4 recent contents.
    ///   The total length of these recent contents is at most an eighth of the cache.
    /// - If `Bytes` are a slice of a larger buffer, the whole buffer stays in memory.
    /// - It keeps `Bytes` for ten seconds, and then finds out again whether the
    ///   application still sends them. It has no timer: it drops older `Bytes` when it
    ///   next reads content that is at none of these addresses. If a limit above is
    ///   reached, it drops the oldest `Bytes` earlier.
    ///
    /// Choose 0 if private content must not stay in memory longer than its response, or
    /// if content rarely repeats. With a cache, never send `Bytes` over memory that is
    /// edited in place, such as a mapped file. If the address is the same, the layer
    /// assumes that the content is the same, and would send the old tag.
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
    /// An *inner tag* is a tag that the inner service sets. A *content tag* is the tag
    /// that the layer makes: the hash of the content.
    ///
    /// With [`InnerTags::learn`], the layer learns the content tags of content above
    /// the [`buffer_limit`](Self::buffer_limit). It sends the first 200 at once with
    /// its strong inner tag, and hashes the content meanwhile. After that the layer
    /// knows which content tag belongs to this inner tag. As long as the inner service
    /// gives the same inner tag, length, type, encoding and language, the response has
    /// the content tag. The layer then answers 304 without reading content. A client
    /// that sends the inner tag is still answered with the inner tag.
    ///
    /// The layer also learns from 206 responses, if the parts follow one another
    /// without a gap. It learns nothing from content that breaks off, or that changed
    /// less than two seconds ago. It also learns nothing from content of unknown
    /// length, because such content may break off without an error. The length is known
    /// if the response has a `Content-Length`, or if the body's size hint is exact.
    ///
    /// With [`InnerTags::replace`] the layer also learns content tags, but never sends
    /// an inner tag. Many file servers make tags from date and size. If a replica or a
    /// deploy sets another date for the same file, its tag changes, and caches fetch
    /// the file again. The content tag is the same everywhere. If the content tag is
    /// not known yet, the layer reads and hashes content within the limit before it
    /// sends the response. Larger content has no tag until it has been sent once.
    /// Content that [`tag_when`](Self::tag_when) excludes has no tag.
    ///
    /// With both policies, the inner service must not give one strong tag to two
    /// contents of a resource. Otherwise the layer may send one content tag for both.
    /// Both policies also rely on the [`key`](Self::key). Include the tenant in the key
    /// if one URI has different content for each tenant, and `Vary` does not show it.
    /// The layer keeps at most 16,384 learned tags, each of about 200 bytes.
    ///
    /// [`InnerTags::manifest`] gives the layer the tags of files before the
    /// first request.
    ///
    /// With either policy the layer removes If-Match, If-None-Match and dates before it
    /// forwards a read, because the inner service does not know the content tags. A
    /// write is never compared with a learned tag or a tag of a manifest. So inside a
    /// [`WriteGuard`](crate::WriteGuard), an If-Match with the content tag of content
    /// above the limit fails.
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
    /// [`digest`](Self::digest) is not SHA-256, because the hashes of a manifest
    /// are SHA-256.
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

    /// Sets whether responses carry a digest of their content ([RFC 9530]).
    /// Default: false.
    ///
    /// With true, content that the layer hashes for its tag also gets `Repr-Digest:
    /// sha-256=:..:`. A client can verify with it that all bytes arrived unchanged. A
    /// 200, a 206 and the answer to a HEAD have the digest. In a 206 it is the digest
    /// of the whole content. A 304, 412 or 416 has no digest. The digest is made from
    /// the same hash as the tag.
    ///
    /// Content that is too large to be read ahead, or not ready in time, is hashed
    /// while it is sent. The digest then follows the content in the trailer section
    /// ([RFC 9110, section 6.5]), together with the `ETag` if the head has none. Over
    /// HTTP/2 these trailers are always sent. Over HTTP/1.1 they are sent if the
    /// length of the content is not known and the request has `TE: trailers`. Once the
    /// layer has [learned](Self::inner_tags) the tag of a file, digest and tag are in
    /// the head.
    ///
    /// Unless tags are [learned](Self::inner_tags), content with a tag that the
    /// application sets is not hashed, and gets no digest. A `Repr-Digest` that the
    /// application sets is kept. A client can refuse the digest with
    /// `Want-Repr-Digest: sha-256=0`, or by naming only other algorithms. The
    /// response then has no digest. It has `Vary: want-repr-digest`, so that no cache
    /// gives it to a client that wants a digest. A cache may give a response with a
    /// digest to a client that refuses it. That is harmless, because the request
    /// field is only a hint.
    ///
    /// A digest describes the encoded bytes, if there is a `Content-Encoding`. So a
    /// response that [`compress_with`](Self::compress_with) encodes loses its digest,
    /// even one that the application sets. A HEAD gets no digest if the response to the
    /// GET may be encoded. If you set this to true, make sure that no other outer layer
    /// and no proxy changes the bytes.
    ///
    /// `Content-Digest` describes the bytes of one message, and only the application
    /// sets it. The layer removes it from a 206 that it cuts, and from responses that
    /// `compress_with` encodes.
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
    /// (Partial Content), or with 416 if the range is outside the content. For this,
    /// the response of the inner service must be a 200 with a known length and a strong
    /// tag. The tag may be one that the layer added. If-Range is evaluated against the
    /// validators of this response. A request for several ranges is answered with the
    /// whole content. If the inner service serves ranges itself, of bytes or of another
    /// unit, it continues to do so where that is safe; see [`forward`](Self::forward).
    ///
    /// Ranges that the inner service serves itself, as `ServeDir` does, may start
    /// anywhere. If the layer cuts the part out of the content, a range that starts
    /// after the first 8 MiB is answered with the whole content. Otherwise a request
    /// for one byte could make the inner service generate a large file, of which the
    /// layer would discard nearly all.
    ///
    /// If the handler gets the content from a store that can send parts, such as S3,
    /// let the handler serve the ranges. It passes `Range` to the store, and returns
    /// the store's 206 with `Content-Range`, `Content-Length` and `ETag`. The handler
    /// need not evaluate If-Range: the layer removes `Range` if If-Range does not allow
    /// a part, and [checks the tag of the 206](Self::forward).
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
    /// **Dates.** By default only the layer compares dates, because the inner service
    /// may compare them less strictly. For example, `ServeDir` also answers 304 if the
    /// client's date is *later* than its own. After a rollback to an older file, a
    /// client would then keep the newer file. If a file changes twice in one second,
    /// both versions have the same date, and a client could keep the first one.
    /// [`ForwardedFields::Dates`] makes such wrong 304s possible. Choose it only if
    /// each change gives the content a later date, and if a 200 costs the inner
    /// service much more than a 304.
    ///
    /// **If-Range.** By default If-Range and `Range` are forwarded if If-Range names
    /// the validator that the inner service gave this resource last. Otherwise both
    /// fields are removed, and the client gets the whole content. The layer remembers
    /// the validators of 8,192 resources. With [`ForwardedFields::IfRange`] it also
    /// forwards both fields for resources that it does not remember, for example after
    /// a restart. Choose this variant for an upstream that evaluates If-Range itself
    /// (nginx, S3). `ServeDir` ignores If-Range.
    ///
    /// Whenever it forwards If-Range, the layer checks the response: a 206 must have
    /// the validator that If-Range names. A 206 with another validator may be of
    /// another version. Instead of this 206, the layer answers 503 (Service
    /// Unavailable) with `Retry-After: 1`, and the retry gets the whole content. In a
    /// browser, a 503 would end the playback of audio or video. So a client that sends
    /// `Sec-Fetch-Dest` gets 307 (Temporary Redirect) to the same URI, and then the
    /// whole content. Clients that resume without If-Range (`curl -C -`, `wget -c`) may
    /// join parts of two versions, and the layer cannot prevent that.
    ///
    /// With each variant, a request that has If-Unmodified-Since is forwarded without
    /// `Range`: the layer compares the date with `Last-Modified`, which a 206 may lack.
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

    /// Sets whether a 412 of this layer has a problem document as content.
    /// Default: false.
    ///
    /// The media type is `application/problem+json` ([RFC 9457]). The document names
    /// the field that failed, the current tag, and what to send. With false a 412 has
    /// no content. This setting does not change a [`Rejection`](crate::Rejection) that
    /// a handler returns; see
    /// [`Rejection::problem_details`](crate::Rejection::problem_details).
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
    /// Set it to true for outer layers that see another body type than
    /// [`ResponseBody`](crate::ResponseBody), such as Axum's `Body`. A `ResponseBody`
    /// has the outcome itself. The extension may cost an allocation.
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
    /// Call this method last, because the type that it returns has no other settings.
    ///
    /// `compression` is any `tower::Layer` that encodes responses, such as tower-http's
    /// `CompressionLayer`, or a tuple of layers. It must not encode responses that have
    /// a `Content-Encoding`; tower-http's does not. The compression wraps this layer,
    /// so nothing is compressed for a 304.
    ///
    /// A strong tag names exact bytes, and gzip changes the bytes. So the tag of an
    /// encoded response ends with the coding: `"v1"` becomes `"v1~gzip"`. This tag is
    /// strong only if the whole content was in memory. Otherwise it is weak
    /// (`W/"v1~gzip"`), because the encoded bytes of a file or stream may differ from
    /// one response to the next. The whole crate understands such tags:
    ///
    /// - A write whose If-Match names `"v1~gzip"` counts as an edit of `"v1"`, in
    ///   [`Preconditions::check`](crate::Preconditions::check), in
    ///   [`PreconditionLayer`](crate::PreconditionLayer) and in
    ///   [`WriteGuard`](crate::WriteGuard).
    /// - A read whose If-None-Match names `"v1~gzip"` is answered with 304 if the
    ///   content is still `"v1"` and the client accepts gzip.
    /// - Content that `compression` encodes is never sent in parts (206).
    ///
    /// A strong tag with a coding assumes that all servers make the same bytes of equal
    /// content. So use one version of the encoder and one level on all of them. If the
    /// encoders may differ, for example during a deploy, let no cache answer range
    /// requests for encoded content.
    ///
    /// Further effects:
    ///
    /// - Every 200, 206 and 304 of content that could be encoded has
    ///   `Vary: accept-encoding`.
    /// - No 304 has a `Content-Length`.
    /// - Content that the inner service has already encoded is not changed.
    /// - If the inner service answers a HEAD without content, as `ServeDir` does, the
    ///   tag names no coding, because the coding of the GET is not known. With
    ///   [`head_as_get`](Self::head_as_get) the tag names no coding either, and the
    ///   answer has no `Content-Length` if the content could be encoded.
    /// - A response has no tag if it is encoded twice, or with another coding than
    ///   gzip, br, zstd, deflate or compress.
    ///
    /// An outer [`PreconditionLayer`](crate::PreconditionLayer) adds
    /// `Vary: accept-encoding` only to a 304 whose tag names a coding. Put the
    /// `PreconditionLayer` inside this layer, or add the field to its other 304s
    /// with [`on_not_modified`](crate::PreconditionLayer::on_not_modified).
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

    /// Returns the counters of the layer. Its clones and its services use the
    /// same counters.
    ///
    /// Counting costs a few nanoseconds per request, and no lock. [A
    /// recipe](crate::guide::recipes#in-production) writes the counters as
    /// Prometheus text.
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
    /// // The layer sends no generated date in the first two seconds.
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
