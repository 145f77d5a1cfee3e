//! The layer and how it is set.

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

/// Makes conditional requests work for the service it wraps.
///
/// When the inner service answers a GET, HEAD or QUERY with 200, the layer makes sure
/// that the response has a strong `ETag` and, where a date is safe, a `Last-Modified`.
/// It evaluates the client's preconditions against them, and answers 304 (Not
/// Modified), 412 (Precondition Failed), or the response itself.
///
/// A clone shares the memory of its original: it is the same layer, applied in another
/// place.
///
/// See the [crate docs](crate) for an example and for where to put the layer.
#[must_use]
pub struct ConditionalLayer<D = Sha256> {
    config: Arc<Config>,
    digest: PhantomData<fn() -> D>,
}

impl ConditionalLayer {
    /// Makes a layer with the defaults named at each setting.
    pub fn new() -> Self {
        Self { config: Arc::new(Config::default()), digest: PhantomData }
    }
}

impl<D> ConditionalLayer<D> {
    /// Sets how many bytes of one response the layer may hold in memory to tag it.
    /// Default: 1 MiB.
    ///
    /// Content known to be larger is not touched; content that turns out to be larger
    /// is sent on as it comes. Either way it gets no tag. With 0, only empty content
    /// and responses with a tag of their own have one.
    ///
    /// All responses of the layer together hold at most 64 MiB. Beyond that, a new
    /// response that comes in several frames and has more than 64 KiB passes without a
    /// tag ([`Reason::Busy`](crate::Reason::Busy)). Content that comes in one frame is
    /// not counted: the inner service holds it anyway.
    ///
    /// Raising the limit delays the first byte of larger responses until all of the
    /// content was read. For files and downloads, prefer
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

    /// Sets how long content may keep the client waiting. Default:
    /// [`BodyTimeout::new`], 500 ms for content of known size, and no time for other
    /// content.
    ///
    /// The time counts from the first moment that the content is not ready. When it is
    /// over, what was read is sent, the rest follows as it comes, and there is no tag.
    ///
    /// Waiting takes a Tokio timer. On other runtimes nothing waits. In a Tokio runtime
    /// without timers the first wait panics, and the layer catches that; a program that
    /// aborts on panics must set both timeouts to zero there.
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

    /// Says what compression outside of the layer, a proxy's or another layer's, does to
    /// tags. Default: [`OuterCompression::new`], it needs nothing.
    ///
    /// Proxies that compress and leave tags as they are would send one strong tag with
    /// different bytes: for these, the layer sends weak tags. Others append a suffix to
    /// tags (Apache's httpd), which comes back in If-None-Match and matches nothing:
    /// for these, it ignores the suffix. Proxies that weaken tags (nginx) need nothing.
    ///
    /// For compression in the application there is
    /// [`compress_with`](Self::compress_with), which has strong tags.
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

    /// Sets whether a HEAD is forwarded as a GET, and its content dropped. Default:
    /// false.
    ///
    /// By default a HEAD has a tag only if the inner service answers it with the
    /// content, as Axum does inside a `Router`, or with a tag. Set it around services
    /// that answer a HEAD without content, such as `ServeDir` or a whole `Router`, if
    /// clients revalidate with HEAD. It costs the inner service the work of a GET.
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

    /// Sets which responses with a tag and without `Last-Modified` get one. Default:
    /// [`AddLastModified::WithNoCache`].
    ///
    /// The date is the second in which the layer first saw this content. It helps old
    /// clients and crawlers that know no tags. Dates that the inner service gives are
    /// sent and compared in the same way with all values; see [dates](crate#dates).
    ///
    /// Choose [`AddLastModified::Never`] where several replicas serve clients that send
    /// dates only: each replica generates dates of its own, which cost such clients
    /// 304s, and two replicas can by chance use the same second for different content.
    ///
    /// # Examples
    ///
    /// Behind a proxy that gives responses a lifetime by its own configuration where
    /// they state none:
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

    /// Sets which responses may be tagged. Default:
    /// [`DefaultPredicate`](crate::predicate::DefaultPredicate).
    ///
    /// A predicate replaces the default one. To add a condition, join the two, as in
    /// the example of [`Predicate`]. A response that may not be tagged is still
    /// evaluated by the validators that it has.
    ///
    /// # Examples
    ///
    /// Pages whose `Content-Security-Policy` has a nonce are left alone by default.
    /// Where the nonce is the same for as long as the content is, tag them all the
    /// same:
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
    /// Other requests pass, and the layer does not see their responses. So say the same
    /// for all requests to one resource: a client that got content past the layer and
    /// sends its date through it could be told that other content has not changed.
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

    /// Sets what names a resource in the layer's memory. Default: the authority and the
    /// URI as the client sent it (with feature `axum` also below `nest`).
    ///
    /// Two resources under one name get no wrong answer. They look like one that
    /// changes back and forth, so their dates change without need. One exception: where
    /// tags are [learned](Self::inner_tags), what is learned of one holds for the
    /// other.
    ///
    /// The request fields that a response names in `Vary` are always added. The
    /// function returns a value of its own, not a borrow of the request. It replaces
    /// authority and URI both: below `nest`, `parts.uri` lacks the prefix, and Axum's
    /// `OriginalUri` in `parts.extensions` has it.
    ///
    /// # Examples
    ///
    /// A query that does not change the content:
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

    /// Sets the hash that tags are made with. Default: [`Sha256`].
    ///
    /// Another hash changes all tags: clients fetch everything once more. See
    /// [`Digest`] for which hashes will do, and for an example.
    ///
    /// # Panics
    ///
    /// Panics if there is a [manifest](crate::InnerTags::manifest), whose hashes are
    /// SHA-256, and this is another hash.
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

    /// Sets how many bytes of content the layer may keep to avoid hashing it again.
    /// Default: 16 MiB.
    ///
    /// The content that a resource had last is compared with the next: byte by byte, or
    /// by its address where the application sends the same `Bytes` again. If it is the
    /// same, so is the tag. The comparison is exact: the cache saves work and cannot
    /// make a tag wrong. With 0 nothing is kept, and all content is hashed each time.
    ///
    /// Content is kept from the second time that it is sent until other content takes
    /// its room; one response takes up to an eighth of the whole. What the application
    /// keeps itself and sends from the same address each time is not copied, from 1 KiB
    /// on. If it is a part of a larger buffer, that whole buffer stays in memory: at
    /// most 4 such, each for ten seconds, or until there is new content after that. To
    /// find them, the last 4 contents are held as long, an eighth of the whole at most.
    /// Content of more than 4 MiB is kept in no other way.
    /// The cache belongs to the layer, all its clones included.
    ///
    /// Choose 0 where private content must not stay in memory longer than its response,
    /// or where content rarely repeats. With a cache, never send `Bytes` over memory
    /// that is edited in place, such as a mapped file: the same address is taken for
    /// the same content.
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

    /// Sets what becomes of the strong tags that the inner service gives. Default:
    /// [`InnerTags::keep`], they are sent as they are.
    ///
    /// With [`InnerTags::learn`], a 200 above the [`buffer_limit`](Self::buffer_limit)
    /// that has a strong tag is sent as it comes, with that tag, and hashed while it is
    /// sent. After that the layer knows which tag of its own the inner tag stands for.
    /// As long as the inner service gives the same tag, length, type, encoding and
    /// language, the response carries the layer's tag at once, and a 304 reads nothing
    /// of the content. A client that still holds the inner tag is answered by that one.
    /// Parts (206) that follow one another without a gap teach the tag, too. Content
    /// that breaks off, or that changed less than two seconds ago, teaches nothing.
    ///
    /// [`InnerTags::replace`] does the same, and never sends an inner tag. File servers
    /// make tags of date and size, so that each replica and each deploy gives the same
    /// file another tag, and every cache fetches it again; the tag of its content is
    /// the same everywhere. Content within the limit is read and hashed where its tag
    /// is not known yet. Larger content has no tag until it was sent once, and what may
    /// not be tagged ([`tag_when`](Self::tag_when)) has none.
    ///
    /// Both trust the inner service: if it gives two contents one strong tag, so will
    /// the layer. And they trust the [`key`](Self::key): where the same URI means
    /// something else for each tenant, and no `Vary` says so, name the tenant there. At
    /// most 16,384 tags are kept, each of some 200 bytes.
    ///
    /// Tags of files that are known before the first request are given by
    /// [`InnerTags::manifest`].
    ///
    /// The inner service does not see the preconditions then: it knows only one of the
    /// two tags, or only dates. A write is never evaluated by a learned tag: behind
    /// a [`WriteGuard`](crate::WriteGuard), If-Match
    /// with one fails.
    ///
    /// # Examples
    ///
    /// Files that have the same tags on every server. Downloads resume where they broke
    /// off, on another server too:
    ///
    /// ```
    /// use tower::Layer;
    /// use tower_conditional::{ConditionalLayer, InnerTags};
    /// use tower_http::services::ServeDir;
    ///
    /// let layer = ConditionalLayer::new().inner_tags(InnerTags::replace()).ranges(true);
    /// let files = layer.layer(ServeDir::new("files"));
    /// # drop(files);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if there is a [manifest](InnerTags::manifest), whose hashes are SHA-256,
    /// and the layer has another [`digest`](Self::digest).
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
    /// sha-256=:..:`, by which a client can tell whether all bytes came as they left:
    /// in a 200, in the answer to a HEAD, and in a 206, where it is the digest of the
    /// whole. It costs no second hash. A 304, 412 or 416 has none.
    ///
    /// Content that is too large to be read ahead, or not ready in time, is hashed
    /// while it is sent, and the digest follows it in the trailer section ([RFC 9110,
    /// section 6.5]), with the `ETag` if the head has none: over HTTP/2 always, over
    /// HTTP/1.1 after content of unknown length if the request says `TE: trailers`.
    /// Once the tag of a file [is learned](Self::inner_tags), both are in the head.
    ///
    /// Content with a tag of the application's own is not hashed, and gets no digest. A
    /// `Repr-Digest` that the application sets is kept. A client that refuses it
    /// (`Want-Repr-Digest: sha-256=0`, or only other algorithms) gets none, and `Vary`
    /// says so, so that no cache gives that response to another client. The reverse may
    /// happen, and does no harm: the field is a hint.
    ///
    /// A digest is of the content in its coding (`Content-Encoding`). So what
    /// [`compress_with`](Self::compress_with) encodes loses it, the application's own
    /// included, and a HEAD of what may be encoded gets none. No other layer or proxy
    /// outside of this one may change the bytes. `Content-Digest`, which is of the bytes
    /// of one message, is left to the application: on a 206 that this layer cuts, and
    /// on what `compress_with` encodes, it is removed.
    ///
    /// # Panics
    ///
    /// `Layer::layer` panics if this is true together with an
    /// [`outer_compression`](Self::outer_compression) that keeps tags or adds suffixes,
    /// or with a [`digest`](Self::digest) that has no
    /// [`ALGORITHM_KEY`](Digest::ALGORITHM_KEY), such as `Blake3`.
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

    /// Sets whether the layer serves parts of content. Default: false.
    ///
    /// A GET for one range of bytes ([RFC 9110, section 14]) of a 200 with a strong tag
    /// and a known length is answered with 206 (Partial Content), or 416 if there is
    /// nothing in the range. If-Range is evaluated by the response's own validators.
    /// Several ranges at once are answered with the whole. An inner service that cuts
    /// parts itself goes on doing so where that is safe, see
    /// [`forward`](Self::forward).
    ///
    /// Where the layer cuts, the inner service makes all of the content, and what lies
    /// before the range is thrown away. So a range that starts behind the first 8 MiB
    /// is answered with the whole: one byte of a large file would cost reading all of
    /// it. Content without a strong tag is never cut.
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

    /// Sets which conditional fields of a GET or HEAD the inner service sees. Default:
    /// [`ForwardedFields::Tags`].
    ///
    /// **Dates.** By default the layer alone compares dates. `ServeDir` and others
    /// answer 304 by a date that is *later* than theirs: after a rollback to an older
    /// file, or two changes in one second, their clients keep the wrong content for
    /// ever. With [`ForwardedFields::Dates`] such a wrong 304 is possible again. Choose
    /// it only where the inner service's dates always grow with its content, and its
    /// 200s are expensive. With If-Unmodified-Since, `Range` is never forwarded.
    ///
    /// **If-Range.** By default it is forwarded, with `Range`, if it names the
    /// validator that the inner service gave this resource last. In all other cases
    /// both are removed, and the client gets the whole content. Remembered are 8,192
    /// resources. With [`ForwardedFields::IfRange`] both are also forwarded for
    /// resources of which it remembers nothing, as after a restart. Choose it for an
    /// upstream that evaluates If-Range itself (nginx, S3). `ServeDir` does not.
    ///
    /// Either way a part is checked before it is sent: it must carry the very validator
    /// of If-Range. If not, the content changed meanwhile: the answer is 503 (Service
    /// Unavailable) with `Retry-After: 1`, and the retry gets the whole. A browser (a
    /// client that sends `Sec-Fetch-Dest`) gets 307 (Temporary Redirect) to the same
    /// URI in its place, and so the whole at once: on a 503 it would end the playback
    /// of a sound or video. Clients that resume without If-Range (`curl -C -`, `wget
    /// -c`) cannot be helped.
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

    /// Sets whether a 412 has content for programs: `application/problem+json` ([RFC
    /// 9457]). Default: false.
    ///
    /// It says the field that failed, the current tag, and what to send; see
    /// [`Rejection::problem_details`](crate::Rejection::problem_details). Without it a
    /// 412 has no content.
    ///
    /// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457.html
    pub fn problem_details(self, problem_details: bool) -> Self {
        self.set(|config| config.problem_details = problem_details)
    }

    /// Sets whether each response carries an [`Outcome`](crate::Outcome) in its
    /// extensions. Default: false.
    ///
    /// For outer layers that see another body type than
    /// [`ResponseBody`](crate::ResponseBody), such as Axum's. It may cost an
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

    /// Compresses the responses with another layer, and has tags name the coding. The
    /// last call of the chain.
    ///
    /// `compression` is any `tower::Layer` that encodes responses, such as tower-http's
    /// `CompressionLayer`, or a tuple of layers. It stands outside of this layer, so
    /// that a 304 costs no compression.
    ///
    /// A strong tag names bytes, and gzip has other bytes than what was compressed. So
    /// the tag of an encoded response has the coding behind it: `"v1"` becomes
    /// `"v1~gzip"`. It is weak (`W/"v1~gzip"`) where the content was not whole in
    /// memory, because files and streams are encoded differently from time to time. All
    /// else knows what such a tag stands for:
    ///
    /// - A write whose If-Match names `"v1~gzip"` is an edit of `"v1"`: in
    ///   [`Preconditions::check`](crate::Preconditions::check), in
    ///   [`PreconditionLayer`](crate::PreconditionLayer) and in
    ///   [`WriteGuard`](crate::WriteGuard).
    /// - A read whose If-None-Match names it is answered with 304 if the client accepts
    ///   gzip.
    /// - A part of encoded content is never sent.
    ///
    /// Every 200 and 304 that could have been encoded says `Vary: accept-encoding`, and
    /// no 304 has a `Content-Length`. Content that the inner service encoded itself is
    /// not touched. A HEAD that is answered without content, as `ServeDir` does, has the
    /// plain tag: what a GET would get is not known. Where tags cannot name a coding (two
    /// at once, or one that is not gzip, br, zstd, deflate or compress), there is no tag.
    ///
    /// The 304 of a read that a [`PreconditionLayer`](crate::PreconditionLayer) outside
    /// answers has no `Vary` of this layer: put it inside, or set the field there.
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

    /// Returns what the layer has done so far, all its clones and services included.
    ///
    /// Counting costs a few nanoseconds a request, and no lock. [A
    /// recipe](crate::guide::recipes#in-production) shows it as Prometheus text.
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
    /// For tests of dates. On `wasm32-unknown-unknown`, which has no clock that the
    /// standard library can read, no date is generated without one.
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
    /// // No date is sent in the first two seconds of a layer's life.
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
