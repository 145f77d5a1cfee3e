//! The layer and how it is set.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::request;
use tower_layer::Layer;

use super::{config::Config, service::Conditional};
use crate::{
    rules::HttpDate,
    stats::Stats,
    store::{Evidence, Memory},
    validators::{made_length, Digest, Freshness, Predicate, Sha256},
};

/// Makes conditional requests work for the service it wraps.
///
/// After the inner service answered a GET or HEAD with 200, the layer sees to it that the response carries a strong
/// `ETag` and a `Last-Modified`, judges the client's preconditions against them, and answers 304 (Not Modified), 412
/// (Precondition Failed), or the response itself.
///
/// A clone shares the memory of its original: it is the same layer, applied in another place.
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
    /// Sets how many octets of one response may be held in memory to make its tag. Default: 1 MiB.
    ///
    /// Content known to be larger is not touched; content that turns out to be larger is sent on as it comes. Either way
    /// it gets no tag. With 0 only empty content and responses with tags of their own have one.
    pub fn buffer_limit(self, octets: usize) -> Self {
        self.set(|config| config.buffer_limit = octets.try_into().unwrap_or(u64::MAX))
    }

    /// Sets how long content of known size may keep the client waiting, counted from the first time that it was not
    /// ready. Default: 500 ms; `None`: it must be ready at once.
    ///
    /// After that what was read is sent, the rest follows as it comes, and there is no tag. Waiting takes a Tokio timer;
    /// on another runtime nothing waits. In a Tokio runtime that was built without timers, the first wait shows that by a
    /// panic, which is caught; a program that aborts on panics wants `None` there.
    pub fn buffer_deadline(self, deadline: Option<Duration>) -> Self {
        self.set(|config| config.buffer_deadline = deadline)
    }

    /// Sets how long content of unknown size may keep the client waiting, counted as for
    /// [`buffer_deadline`](Self::buffer_deadline). Default: zero.
    ///
    /// Leave it at zero where the inner service may stream: any patience delays the first event of an event stream that
    /// does not call itself `text/event-stream`.
    pub fn unknown_size_patience(self, patience: Duration) -> Self {
        self.set(|config| config.unknown_size_patience = Some(patience).filter(|patience| !patience.is_zero()))
    }

    /// Sets whether every tag on responses to GET and HEAD is sent weak, those of the inner service too. Default: false.
    ///
    /// For when something further out changes the octets and not their meaning. Weak tags still make 304s; in If-Match and
    /// If-Range they never match, so clients cannot guard their writes with them.
    pub fn weak(self, weak: bool) -> Self {
        self.set(|config| {
            config.weak = weak;
            config.forget_tags();
        })
    }

    /// Prepares for compression further out: tags are weak, and `Vary: accept-encoding` is on every 200 and 304. Default:
    /// false.
    ///
    /// Set it if a compressing layer or proxy wraps this layer: a strong tag made inside would be shared by all
    /// encodings. See the [crate docs](crate#where-to-put-the-layer) for both orders. Weak tags never match in If-Match: for
    /// resources that clients edit, take the other one.
    pub fn compressed_outside(self, compressed_outside: bool) -> Self {
        self.set(|config| {
            config.compressed_outside = compressed_outside;
            config.forget_tags();
        })
    }

    /// Sets whether a HEAD is passed on as a GET and its content dropped. Default: false.
    ///
    /// Without it a HEAD has a tag only if the inner service answers it with the content (Axum does, inside a `Router`)
    /// or with a tag. Set it around services that answer a HEAD without content, such as `ServeDir` or a whole
    /// `Router`, if clients use HEAD to revalidate; it costs them the work of a GET.
    pub fn head_as_get(self, head_as_get: bool) -> Self {
        self.set(|config| config.head_as_get = head_as_get)
    }

    /// Sets what to do where the layer mints a date for a response that says nothing of its freshness. Default:
    /// [`Freshness::NoCache`].
    pub fn freshness(self, freshness: Freshness) -> Self {
        self.set(|config| config.freshness = freshness)
    }

    /// Sets whether a response with a tag and no `Last-Modified` gets one: the second in which this content was first
    /// seen. Default: true.
    ///
    /// Dates help old clients and crawlers that know no tags. Several replicas mint different dates for the same content,
    /// and by bad luck the same second for different content; switch dates off where that matters.
    pub fn last_modified(self, last_modified: bool) -> Self {
        self.set(|config| config.last_modified = last_modified)
    }

    /// Sets which responses may be tagged, in place of [`DefaultPredicate`](crate::DefaultPredicate).
    ///
    /// To add a condition and keep the default ones, join them: see [`Predicate`]. Preconditions are judged by the
    /// validators of a response that may not be tagged, too.
    pub fn when(self, predicate: impl Predicate + Send + Sync + 'static) -> Self {
        self.set(|config| config.when = Some(Arc::new(predicate)))
    }

    /// Sets which GET and HEAD requests the layer serves; others pass it by. Default: all.
    ///
    /// The layer does not see what passes it by. So let the answer be the same for all requests to one resource: a client
    /// that got content past the layer and sends its date through it could be told that other content has not changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new().when_request(|parts| parts.uri.path().starts_with("/api/"));
    /// # drop(layer);
    /// ```
    pub fn when_request(self, predicate: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.set(|config| config.when_request = Some(Arc::new(predicate)))
    }

    /// Sets what names a resource, under which its dates are remembered. Default: the authority and the URI as the client
    /// sent it (with feature `axum` also below `nest`).
    ///
    /// Two resources under one name get no wrong answer, but dates that change needlessly; unless their inner services
    /// know ranges, for a validator that one supplied is then trusted to the other, or tags are
    /// [learnt](Self::learn_inner_tags), for what is learnt of one then holds for the other. The request fields that a response
    /// names in `Vary` are always added. The function returns what it has made, not a borrow of the request. It stands in
    /// for authority and URI both: below `nest`, `parts.uri` lacks the prefix, and Axum's `OriginalUri` in
    /// `parts.extensions` has it.
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
        let hash_key = move |parts: &request::Parts, mut hasher: &mut dyn Hasher| key(parts).hash(&mut hasher);
        self.set(|config| config.key = Some(Arc::new(hash_key)))
    }

    /// Sets the hash that tags are made of. Default: [`Sha256`].
    ///
    /// Another hash changes all tags: clients fetch everything once more.
    pub fn digest<E: Digest>(self) -> ConditionalLayer<E> {
        let Self { config, .. } = self.set(|config| {
            config.made_length = made_length::<E>();
            config.forget_tags();
        });
        ConditionalLayer { config, digest: PhantomData }
    }

    /// Sets how many octets of content the layer may keep, to spare itself hashing it again. Default: 16 MiB.
    ///
    /// The content that a resource had last is compared with the next, octet by octet, or by its place in memory where the
    /// application sends the same `Bytes` again; if it is the same, so is the tag. The comparison is exact: whatever is
    /// kept here saves work and cannot make a tag wrong. Content is kept from the second time on that it was sent, until
    /// others take its room; that of one response up to an eighth of the whole. Content of 1 KiB and more that the
    /// application keeps, and sends from the same place each time, is not copied; if it is a part of a larger buffer, it
    /// keeps all of that in memory. To know it, up to 16 contents that were sent last are held for a while, an eighth of the
    /// whole at most. Content of more than 4 MiB is kept in no other way. The memory belongs to the layer, all its clones
    /// included.
    ///
    /// Choose [`without_memory`](Self::without_memory) where private content must not stay in memory longer than its
    /// response, or where content nearly never repeats. `Bytes` over memory that somebody edits in place, such as a mapped
    /// file, must not be sent at all with a memory: a place is taken for its content.
    pub fn memory(self, octets: usize) -> Self {
        self.set(|config| config.evidence = Some(Arc::new(Evidence::new(octets))))
    }

    /// Keeps no content: each is hashed anew. See [`memory`](Self::memory).
    pub fn without_memory(self) -> Self {
        self.set(|config| config.evidence = None)
    }

    /// Sets whether the tag of content that is too large to read ahead is learnt while it is sent. Default: false.
    ///
    /// A 200 above the limit that has a strong tag of the inner service's own is sent as it comes, with that tag, and hashed
    /// on its way. When all of it has passed, the layer knows which tag of its own the inner one stands for. From then on,
    /// as long as the inner service gives the same tag, length, type, encoding and language, the response bears the layer's
    /// tag at once, and a 304 costs not one octet of the content. A client that still holds the inner tag is answered by
    /// that one. What breaks off teaches nothing, nor does content that changed less than two seconds ago.
    ///
    /// This trusts the inner service: where it gives two contents one strong tag, so will the layer. And it trusts the
    /// [`key`](Self::key): where the same URI means something else for each tenant, and no `Vary` says so, name the tenant
    /// there. At most 16,384 tags are kept, each of some 200 octets.
    ///
    /// The inner service is not shown preconditions then: it knows only one of the two tags, or only dates. A write is never
    /// judged by a learnt tag: behind [`PreconditionLayer::from_get`](crate::PreconditionLayer::from_get), If-Match with one
    /// is refused.
    pub fn learn_inner_tags(self, learn_inner_tags: bool) -> Self {
        self.set(|config| config.learned = learn_inner_tags.then(Arc::default))
    }

    /// Sets whether a date and a length of the inner service will do where it gives no strong tag, for
    /// [`learn_inner_tags`](Self::learn_inner_tags). Default: false.
    ///
    /// Dates prove little: `rsync`, `tar`, container images and `cp -p` keep or normalise them. For those who know their
    /// files.
    pub fn trust_inner_dates(self, trust_inner_dates: bool) -> Self {
        self.set(|config| config.trust_inner_dates = trust_inner_dates)
    }

    /// Sets whether responses bear the layer's tag in place of the inner service's. Default: false.
    ///
    /// File servers make tags of date and size, so that each replica and each deploy gives the same file another tag, and
    /// all caches ask in vain. With this, the inner tag is only what the layer's tag is known by; it is never sent.
    /// Content within the limit is read and hashed where its tag is not known yet. Larger content has no tag until it was
    /// sent once, and what may not be tagged ([`when`](Self::when)) has none. Includes
    /// [`learn_inner_tags`](Self::learn_inner_tags), with all that is said there.
    ///
    /// # Examples
    ///
    /// Files that have the same tags on every server; downloads resume where they broke off, also on another one:
    ///
    /// ```
    /// use tower::Layer;
    /// use tower_conditional::ConditionalLayer;
    /// use tower_http::services::ServeDir;
    ///
    /// let files = ConditionalLayer::new().replace_inner_tags(true).ranges(true).layer(ServeDir::new("files"));
    /// # drop(files);
    /// ```
    pub fn replace_inner_tags(self, replace_inner_tags: bool) -> Self {
        self.set(|config| {
            config.replace_inner_tags = replace_inner_tags;
            if replace_inner_tags {
                config.learned.get_or_insert_default();
            }
        })
    }

    /// Sets whether content whose tag cannot be known beforehand gets it in the trailer section ([RFC 9110, section 6.5]).
    /// Default: false.
    ///
    /// Content that is too large, or not ready in time, is hashed while it is sent, and `ETag` follows it: over HTTP/2
    /// always, over HTTP/1.1 behind content of unknown length if the request says `TE: trailers`. Browsers and most caches
    /// ignore it; it is for clients of your own. Content that [can be learnt](Self::learn_inner_tags) is learnt instead.
    ///
    /// [RFC 9110, section 6.5]: https://www.rfc-editor.org/rfc/rfc9110.html#section-6.5
    pub fn trailer_tags(self, trailer_tags: bool) -> Self {
        self.set(|config| config.trailer_tags = trailer_tags)
    }

    /// Sets whether the layer serves parts of content, for inner services that do not. Default: false.
    ///
    /// A GET that asks for one range of octets ([RFC 9110, section 14]) of a 200 with a strong tag and a known length is
    /// answered with 206 (Partial Content), or 416 if there is nothing in the range; If-Range is judged by the response's
    /// own validators. Several ranges at once are answered with the whole. The inner service makes all of the content;
    /// what lies before the range is thrown away.
    ///
    /// [RFC 9110, section 14]: https://www.rfc-editor.org/rfc/rfc9110.html#section-14
    pub fn ranges(self, ranges: bool) -> Self {
        self.set(|config| config.ranges = ranges)
    }

    /// Sets whether an [`Outcome`](crate::Outcome) is put into each response's extensions. Default: false.
    ///
    /// For layers further out that see another body type than [`ResponseBody`](crate::ResponseBody), such as Axum's.
    /// It may cost an allocation.
    pub fn report_outcome(self, report_outcome: bool) -> Self {
        self.set(|config| config.report_outcome = report_outcome)
    }

    /// Sets what something further out may have put behind the tags that clients send back in If-None-Match. Default:
    /// nothing.
    ///
    /// Compressing proxies make `"abc-gzip"` of `"abc"` (Apache's httpd), or `"abc;gzip"`, `"abc--gzip"` (Jetty). With
    /// these suffixes named, such a tag is taken for the one that was sent, and answered with 304, which bears the tag
    /// without the suffix. This is for If-None-Match alone, where the meaning counts: If-Match and If-Range are about
    /// octets, and never match such a tag. Proxies that only weaken tags (nginx) need nothing of this.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let layer = ConditionalLayer::new().tolerate_suffixes(["-gzip", "-br"]);
    /// # drop(layer);
    /// ```
    pub fn tolerate_suffixes<T: AsRef<str>>(self, suffixes: impl IntoIterator<Item = T>) -> Self {
        let suffixes = suffixes.into_iter().filter(|suffix| !suffix.as_ref().is_empty());
        let suffixes = suffixes.map(|suffix| suffix.as_ref().as_bytes().into()).collect();
        self.set(|config| config.tolerated_suffixes = suffixes)
    }

    /// Returns what the layer did since it was made, all its clones and services included.
    ///
    /// Counting costs a few nanoseconds a request, and no lock. The example `metrics` shows it as Prometheus text.
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
        self.config.counters.sum(self.config.evidence.as_ref().map_or(0, |evidence| evidence.octets()))
    }

    /// Sets the clock, and starts an empty memory at its present time. Default: the system's.
    ///
    /// For tests of dates. On `wasm32-unknown-unknown`, which has no clock that the standard library can read, no date is
    /// minted without one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{sync::{atomic::{AtomicU64, Ordering}, Arc}, time::{Duration, UNIX_EPOCH}};
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let seconds = Arc::new(AtomicU64::new(1_780_000_000));
    /// let clock = { let seconds = seconds.clone(); move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed)) };
    /// let layer = ConditionalLayer::new().clock(clock);
    /// // No date is minted in the first second of a layer's life.
    /// seconds.fetch_add(1, Ordering::Relaxed);
    /// # drop(layer);
    /// ```
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        let memory = Arc::new(Memory::new(HttpDate::nearest(clock())));
        self.set(|config| {
            config.clock = Arc::new(clock);
            config.memory = memory;
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
