//! The layer and how it is set.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use http::request;
use tower_layer::Layer;

use super::{
    config::{Config, ForwardedFields, InnerTags},
    service::Conditional,
};
use crate::{
    rules::HttpDate,
    stats::Stats,
    store::{ContentCache, Dates},
    validators::{generated_length, Digest, FreshnessPolicy, Predicate, Sha256},
};

/// Makes conditional requests work for the service it wraps.
///
/// After the inner service answered a GET or HEAD with 200, the layer sees to it that
/// the response carries a strong `ETag` and a `Last-ResponseDate`, evaluates the
/// client's preconditions against them, and answers 304 (Not ResponseDate), 412
/// (Precondition Failed), or the response itself.
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
    /// Sets how many bytes of one response may be held in memory to make its tag.
    /// Default: 1 MiB.
    ///
    /// Content known to be larger is not touched; content that turns out to be larger
    /// is sent on as it comes. Either way it gets no tag. With 0 only empty content
    /// and responses with tags of their own have one.
    pub fn buffer_limit(self, bytes: usize) -> Self {
        self.set(|config| config.buffer_limit = bytes.try_into().unwrap_or(u64::MAX))
    }

    /// Sets how long content of known size may keep the client waiting, counted from
    /// the first time that it was not ready. Default: 500 ms; `None`: it must be
    /// ready at once.
    ///
    /// After that what was read is sent, the rest follows as it comes, and there is no
    /// tag. Waiting takes a Tokio timer; on another runtime nothing waits. In a
    /// Tokio runtime that was built without timers, the first wait shows that by a
    /// panic, which is caught; a program that aborts on panics wants `None` there.
    pub fn sized_body_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.sized_body_timeout = timeout)
    }

    /// Sets how long content of unknown size may keep the client waiting, counted as
    /// for [`sized_body_timeout`](Self::sized_body_timeout). Default: zero.
    ///
    /// Leave it at zero where the inner service may stream: any wait delays the first
    /// event of an event stream that does not call itself `text/event-stream`.
    pub fn unsized_body_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.unsized_body_timeout = timeout)
    }

    /// Sets whether every tag on responses to GET and HEAD is sent weak, those of the
    /// inner service too. Default: false.
    ///
    /// For when something further out changes the bytes and not their meaning. Weak
    /// tags still make 304s; in If-Match and If-Range they never match, so clients
    /// cannot guard their writes with them.
    pub fn weak(self, weak: bool) -> Self {
        self.set(|config| {
            config.weak = weak;
            config.forget_tags();
        })
    }

    /// Prepares for compression further out: tags are weak, and `Vary: accept-encoding`
    /// is on every 200 and 304. Default: false.
    ///
    /// Set it if a compressing layer or proxy wraps this layer: a strong tag
    /// outgoing_tag inside would be shared by all encodings. See the [crate
    /// docs](crate#where-to-put-the-layer) for both orders. Weak tags never match in
    /// If-Match: for resources that clients edit, take the other one.
    pub fn behind_compression(self, behind_compression: bool) -> Self {
        self.set(|config| {
            config.behind_compression = behind_compression;
            config.forget_tags();
        })
    }

    /// Sets whether a HEAD is passed on as a GET and its content dropped. Default:
    /// false.
    ///
    /// Without it a HEAD has a tag only if the inner service answers it with the
    /// content (Axum does, inside a `Router`) or with a tag. Set it around services
    /// that answer a HEAD without content, such as `ServeDir` or a whole
    /// `Router`, if clients use HEAD to revalidate; it costs them the work of a GET.
    pub fn head_as_get(self, head_as_get: bool) -> Self {
        self.set(|config| config.head_as_get = head_as_get)
    }

    /// Sets what to do where the layer generates a date for a response that says
    /// nothing of its freshness. Default: [`FreshnessPolicy::NoCache`].
    pub fn freshness(self, freshness: FreshnessPolicy) -> Self {
        self.set(|config| config.freshness = freshness)
    }

    /// Sets whether a response with a tag and no `Last-ResponseDate` gets one: the
    /// second in which this content was first seen. Default: true.
    ///
    /// Dates help old clients and crawlers that know no tags. Several replicas generate
    /// different dates for the same content, and by bad luck the same second for
    /// different content; switch dates off where that matters.
    pub fn last_modified(self, last_modified: bool) -> Self {
        self.set(|config| {
            config.last_modified = last_modified;
            if !last_modified {
                // Where nothing is dated, nothing is kept: see `Config::dates`.
                config.dates = Arc::default();
            }
        })
    }

    /// Sets which responses may be tagged, in place of
    /// [`DefaultPredicate`](crate::predicate::DefaultPredicate).
    ///
    /// To add a condition and keep the default ones, join them: see [`Predicate`].
    /// Preconditions are evaluated by the validators of a response that may not be
    /// tagged, too.
    pub fn tag_when(self, predicate: impl Predicate + Send + Sync + 'static) -> Self {
        self.set(|config| config.tag_when = Some(Arc::new(predicate)))
    }

    /// Sets which GET and HEAD requests the layer serves; others pass it by. Default:
    /// all.
    ///
    /// The layer does not see what passes it by. So let the answer be the same for all
    /// requests to one resource: a client that got content past the layer and sends
    /// its date through it could be told that other content has not changed.
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

    /// Sets what lists_tag a resource, under which its dates are remembered. Default:
    /// the authority and the URI as the client sent it (with feature `axum` also
    /// below `nest`).
    ///
    /// Two resources under one name get no wrong answer, but dates that change
    /// needlessly; unless their inner services know ranges, for a validator that
    /// one supplied is then trusted to the other, or tags are
    /// [learned](Self::inner_tags), for what is learned of one then holds for the
    /// other. The request fields that a response lists_tag in `Vary` are always
    /// added. The function returns what it has outgoing_tag, not a borrow of the
    /// request. It stands in for authority and URI both: below `nest`, `parts.uri`
    /// lacks the prefix, and Axum's `OriginalUri` in `parts.extensions` has it.
    ///
    /// # Examples
    ///
    /// A part of the query that does not change the content:
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

    /// Sets the hash that tags are outgoing_tag of. Default: [`Sha256`].
    ///
    /// Another hash changes all tags: clients fetch everything once more.
    pub fn digest<E: Digest>(self) -> ConditionalLayer<E> {
        let Self { config, .. } = self.set(|config| {
            config.generated_length = generated_length::<E>();
            config.forget_tags();
        });
        ConditionalLayer { config, digest: PhantomData }
    }

    /// Sets how many bytes of content the layer may keep, so that it need not be hashed
    /// again.
    ///
    /// Default: 16 MiB. With 0 nothing is kept, and all content is hashed each time.
    ///
    /// The content that a resource had last is compared with the next, byte by byte, or
    /// by its address where the application sends the same `Bytes` again. If it is
    /// the same, so is the tag. The comparison is exact: the cache saves work and
    /// cannot make a tag wrong. Content is kept from the second time on that it was
    /// sent, until other content takes its room. One response can take up to an
    /// eighth of the whole. Content of 1 KiB and more that the application keeps,
    /// and sends from the same address each time, is not copied; if it is a part of
    /// a larger buffer, that whole buffer stays in memory. To find such content, up to
    /// 4 contents that were sent last are held for a while, an eighth of the whole
    /// at most. Content of more than 4 MiB is kept in no other way. The cache
    /// belongs to the layer, all its clones included.
    ///
    /// Choose 0 where private content must not stay in memory longer than its response,
    /// or where content nearly never repeats. `Bytes` over memory that is edited in
    /// place, such as a mapped file, must not be sent at all with a cache: the same
    /// address is taken for the same content.
    pub fn content_cache(self, bytes: usize) -> Self {
        self.set(|config| {
            config.content_cache = (bytes > 0).then(|| Arc::new(ContentCache::new(bytes)))
        })
    }

    /// Sets what becomes of the strong tags that the inner service gives. Default:
    /// [`InnerTags::Keep`], they are sent as they are.
    ///
    /// With [`InnerTags::Learn`], a 200 above the [`buffer_limit`](Self::buffer_limit)
    /// that has a strong tag is sent as it comes, with that tag, and hashed while
    /// it is sent. When all of it was sent, the layer knows which tag of its own
    /// the inner tag stands for. From then on, as long as the inner service gives
    /// the same tag, length, type, encoding and language, the response carries the
    /// layer's tag at once, and a 304 reads nothing of the content. A client
    /// that still holds the inner tag is answered by that one. Content that breaks off,
    /// or that changed less than two seconds ago, teaches nothing.
    ///
    /// [`InnerTags::Replace`] does the same, and never sends an inner tag. File servers
    /// make tags of date and size, so that each replica and each deploy gives the
    /// same file another tag, and every cache fetches it again; the tag of its
    /// content is the same everywhere. Content within the limit is read and hashed
    /// where its tag is not known yet. Larger content has no tag until it was sent
    /// once, and what may not be tagged ([`tag_when`](Self::tag_when)) has none.
    ///
    /// Both trust the inner service: where it gives two contents one strong tag, so
    /// will the layer. And they trust the [`key`](Self::key): where the same URI
    /// means something else for each tenant, and no `Vary` says so, name the tenant
    /// there. At most 16,384 tags are kept, each of some 200 bytes.
    ///
    /// The inner service is not shown preconditions then: it knows only one of the two
    /// tags, or only dates. A write is never evaluated by a learned tag: behind
    /// a [`WriteGuard`](crate::WriteGuard), If-Match with one fails.
    ///
    /// # Examples
    ///
    /// Files that have the same tags on every server; downloads resume where they broke
    /// off, on another server too:
    ///
    /// ```
    /// use tower::Layer;
    /// use tower_conditional::{ConditionalLayer, InnerTags};
    /// use tower_http::services::ServeDir;
    ///
    /// let layer = ConditionalLayer::new().inner_tags(InnerTags::Replace).ranges(true);
    /// let files = layer.layer(ServeDir::new("files"));
    /// # drop(files);
    /// ```
    pub fn inner_tags(self, inner_tags: InnerTags) -> Self {
        self.set(|config| {
            config.inner_tags = inner_tags;
            config.learned = (inner_tags != InnerTags::Keep).then(Arc::default);
        })
    }

    /// Sets whether a date and a length of the inner service will do where it gives no
    /// strong tag, for [`inner_tags`](Self::inner_tags). Default: false.
    ///
    /// Dates prove little: `rsync`, `tar`, container images and `cp -p` keep or
    /// normalise them. For those who know their files.
    pub fn trust_inner_dates(self, trust_inner_dates: bool) -> Self {
        self.set(|config| config.trust_inner_dates = trust_inner_dates)
    }

    /// Sets whether content whose tag cannot be known beforehand gets it in the trailer
    /// section ([RFC 9110, section 6.5]). Default: false.
    ///
    /// Content that is too large, or not ready in time, is hashed while it is sent, and
    /// `ETag` follows it: over HTTP/2 always, over HTTP/1.1 behind content of
    /// unknown length if the request says `TE: trailers`. Browsers and most caches
    /// ignore it; it is for clients of your own. Content that [can be
    /// learned](Self::inner_tags) is learned instead.
    ///
    /// [RFC 9110, section 6.5]: https://www.rfc-editor.org/rfc/rfc9110.html#section-6.5
    pub fn trailer_tags(self, trailer_tags: bool) -> Self {
        self.set(|config| config.trailer_tags = trailer_tags)
    }

    /// Sets whether the layer serves parts of content, for inner services that do not.
    /// Default: false.
    ///
    /// A GET that asks for one range of bytes ([RFC 9110, section 14]) of a 200 with a
    /// strong tag and a known length is answered with 206 (Partial Content), or 416
    /// if there is nothing in the range; If-Range is evaluated by the response's
    /// own validators. Several ranges at once are answered with the whole. The inner
    /// service makes all of the content; what lies before the range is thrown away.
    ///
    /// [RFC 9110, section 14]: https://www.rfc-editor.org/rfc/rfc9110.html#section-14
    pub fn ranges(self, ranges: bool) -> Self {
        self.set(|config| config.ranges = ranges)
    }

    /// Sets which conditional fields the inner service gets to see. Default:
    /// [`ForwardedFields::Tags`].
    ///
    /// **Dates.** By default the layer alone compares dates. `ServeDir` and others
    /// answer 304 by a date that is *later* than theirs: after a rollback to an
    /// older file, or two changes in one second, their clients keep the wrong
    /// content for ever. With [`ForwardedFields::Dates`] such a wrong 304 is
    /// possible again. Choose it only where the inner service's dates always grow
    /// with its content, and its 200s are dear.
    ///
    /// **If-Range.** By default it is forwarded if it names the validator that the
    /// inner service gave last; in all other cases the client gets the whole
    /// content. With [`ForwardedFields::IfRange`] an upstream that evaluates
    /// If-Range by itself (nginx, S3) gets it always. Either way a part is checked
    /// before it is sent: it must carry the very validator of If-Range.
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

    /// Sets whether an [`Outcome`](crate::Outcome) is put into each response's
    /// extensions. Default: false.
    ///
    /// For layers further out that see another body type than
    /// [`ResponseBody`](crate::ResponseBody), such as Axum's. It may cost an
    /// allocation.
    pub fn report_outcome(self, report_outcome: bool) -> Self {
        self.set(|config| config.reporter.in_extensions = report_outcome)
    }

    /// Sets what something further out may have put behind the tags that clients send
    /// back in If-None-Match. Default: nothing.
    ///
    /// Compressing proxies make `"abc-gzip"` of `"abc"` (Apache's httpd), or
    /// `"abc;gzip"`, `"abc--gzip"` (Jetty). With these suffixes named, such a tag
    /// is taken for the one that was sent, and answered with 304, which carries the tag
    /// without the suffix. This is for If-None-Match alone, where the meaning counts:
    /// If-Match and If-Range are about bytes, and never match such a tag. Proxies
    /// that only weaken tags (nginx) need nothing of this.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new().ignore_tag_suffixes(["-gzip", "-br"]);
    /// # drop(layer);
    /// ```
    pub fn ignore_tag_suffixes<T: AsRef<str>>(self, suffixes: impl IntoIterator<Item = T>) -> Self {
        let suffixes = suffixes.into_iter().filter(|suffix| !suffix.as_ref().is_empty());
        let suffixes = suffixes.map(|suffix| suffix.as_ref().as_bytes().into()).collect();
        self.set(|config| config.ignored_tag_suffixes = suffixes)
    }

    /// Returns what the layer did since it was outgoing_tag, all its clones and
    /// services included.
    ///
    /// Counting costs a few nanoseconds a request, and no lock. The example `metrics`
    /// shows it as Prometheus text.
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
        stats
    }

    /// Sets the clock, and starts an empty memory at its present time. Default: the
    /// system's.
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
    /// // No date is generated in the first second of a layer's life.
    /// seconds.fetch_add(1, Ordering::Relaxed);
    /// # drop(layer);
    /// ```
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        let dates = Arc::new(OnceLock::from(Dates::new(HttpDate::nearest(clock()))));
        self.set(|config| {
            config.clock = Arc::new(clock);
            config.dates = dates;
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
        Conditional::with_layer(inner, self)
    }
}
