//! HTTP conditional requests ([RFC 9110, section 13]) for any Tower service: Axum,
//! Hyper, and everything else that takes an `http::Request`.
//!
//! [`ConditionalLayer`] wraps a service and adds an `ETag` and a `Last-Modified` to its
//! responses. When a client sends these validators back, the layer compares them with
//! the current ones. If the client already has the content, the answer is 304 (Not
//! Modified) without content. The service itself needs no change.
//!
//! ```
//! use axum::{body::Body, routing::get, Router};
//! use http::{header, Request, StatusCode};
//! use tower::ServiceExt;
//! use tower_conditional::{ConditionalLayer, EntityTag};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = Router::new()
//!     .route("/flags", get(|| async { "dark-mode" }))
//!     .layer(ConditionalLayer::new());
//!
//! let first = Request::get("/flags").body(Body::empty())?;
//! let first = app.clone().oneshot(first).await?;
//! assert_eq!(first.status(), StatusCode::OK);
//! let tag = first.headers()[header::ETAG].clone();
//! // The tag is the SHA-256 of the content, as `sha256sum` prints it.
//! assert_eq!(tag, EntityTag::of(b"dark-mode").as_bytes());
//!
//! let again = Request::get("/flags").header(header::IF_NONE_MATCH, tag);
//! let second = app.oneshot(again.body(Body::empty())?).await?;
//! assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
//! # Ok(())
//! # }
//! ```
//!
//! A client that edits a resource sends the tag of the version that it edited. If
//! another client has changed the resource since, the PUT must be refused with 412
//! (Precondition Failed). [`PreconditionLayer`] does that [before the handler
//! runs](#writes). The rules also work without a layer, in a handler or in a unit test:
//!
//! ```
//! use http::{header::IF_MATCH, HeaderMap, Method, StatusCode};
//! use tower_conditional::{EntityTag, Preconditions};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert(IF_MATCH, "\"v6\"".parse().unwrap());
//! let preconditions = Preconditions::new(&Method::PUT, &headers);
//!
//! let current = EntityTag::strong("v7")?;
//! let refusal = preconditions.check(&current).unwrap_err();
//! assert_eq!(refusal.status(), StatusCode::PRECONDITION_FAILED);
//! # Ok::<(), tower_conditional::InvalidEntityTag>(())
//! ```
//!
//! Contents: [what the layer does](#what-the-layer-does) · [where to put
//! it](#where-to-put-the-layer) · [bodies](#what-happens-to-bodies) · [large content
//! and ranges](#large-content) · [content that never
//! matches](#content-that-never-matches) · [cookies and private
//! responses](#cookies-and-private-responses) · [QUERY](#query) · [writes](#writes) ·
//! [several servers](#several-servers) · [dates](#dates) · [memory](#memory) · [what it
//! does not do](#what-it-does-not-do) · [tests](#tests) · [in
//! production](#in-production) · [features](#features) · [versions](#versions)
//!
//! Longer pages: [recipes](guide::recipes) · [edits that are not lost](guide::writes) ·
//! [calling an API](guide::client) · [several servers](guide::several_servers) · [nginx
//! and other proxies](guide::proxies) · [something looks wrong](guide::troubleshooting)
//! · [migrating](guide::migrating) · [compared with others](guide::compare) · [other
//! servers, checked](guide::peers) · [what it costs](guide::benchmarks) ·
//! [design](guide::design) · [the RFCs, sentence by sentence](guide::rfc_coverage) ·
//! [what changed](guide::changelog)
//!
//! # What the layer does
//!
//! 1. It handles GET, HEAD and [QUERY](#query). Other requests pass through.
//! 2. It forwards only the conditional fields that the inner service can evaluate
//!    correctly: If-Match and If-None-Match. It removes the dates. It removes If-Range
//!    together with `Range` unless If-Range names a validator of the inner service; the
//!    response is then the whole content. [`forward`](ConditionalLayer::forward)
//!    changes that.
//! 3. A 200 without an `ETag` gets one: the SHA-256 of its content in hex, in quotes.
//!    If the response was negotiated (it has `Vary`, `Content-Encoding` or
//!    `Content-Language`), eight more digits name the variant. If the inner service
//!    sets a tag, the layer keeps that tag and does not read the content.
//! 4. A 200 that has a tag and no `Last-Modified` gets one: the second in which the
//!    layer first saw this content. A date of the inner service is sent only if it is
//!    safe to compare. See [dates](#dates).
//! 5. It evaluates the preconditions in the order of section 13.2.2. The answer is 304,
//!    412, or the response itself. Only a 200, a 203, or a 206 with validators becomes
//!    a 304. Only a 2xx becomes a 412. A 404 stays a 404.
//! 6. A 304 keeps the fields of the 200 that do not describe content. It has the
//!    `Content-Length` of the 200 if that is known.
//!
//! [`ResponseBody::outcome`] tells what the layer did and why. With
//! [`report_outcome`](ConditionalLayer::report_outcome) the outcome is also in the
//! response's extensions.
//!
//! # Where to put the layer
//!
//! Put it inside the layers that decide who may see a response, and outside the layers
//! and handlers that generate the content:
//!
//! ```text
//!            request
//!               │
//!  ┌── tracing, metrics ───────────┐  sees the 304s
//!  │  ┌── timeout, load shedding ─┐│  allow more time than `body_timeout`
//!  │  │  ┌── CORS ───────────────┐││  its fields are on the 401 and the 304
//!  │  │  │  ┌── sessions, auth ─┐│││  without credentials: 401, never 304
//!  │  │  │  │ ConditionalLayer  ││││  with compression, see below
//!  │  │  │  │     handlers      ││││
//! ```
//!
//! With Axum, a later call of `Router::layer` adds an outer layer. `Router::layer`,
//! `route_layer`, a layer on a `MethodRouter`, and a layer around the whole `Router`
//! all work. Around the whole `Router`, the responses to HEAD have no content, so the
//! layer needs [`head_as_get`](ConditionalLayer::head_as_get) to tag them.
//!
//! **Compression** is one call on this layer:
//!
//! ```
//! use axum::{routing::get, Router};
//! use tower_conditional::ConditionalLayer;
//! use tower_http::compression::CompressionLayer;
//!
//! let app: Router = Router::new()
//!     .route("/", get(|| async { "page" }))
//!     .layer(ConditionalLayer::new().compress_with(CompressionLayer::new()));
//! # drop(app);
//! ```
//!
//! A strong tag names exact bytes, and the gzip form of a page has different bytes. So
//! the tag of an encoded response names the coding: `"v1"` becomes `"v1~gzip"`. Both
//! tags name the same state, in reads and in writes. A 304 costs no compression. See
//! [`compress_with`](ConditionalLayer::compress_with).
//!
//! Compression may also be inside this layer, around the handlers. Then each 304 costs
//! the compression, and large content may be [ready too late](#what-happens-to-bodies)
//! to be tagged. Tags that the handlers set name the coding in this order, too. Tags
//! that the layer generates are hashes of the encoded bytes. A client that got one
//! encoding and sends a PUT that accepts another is therefore refused.
//!
//! Do not put a plain `ConditionalLayer::new()` inside compression that it does not
//! know about. One strong tag would then name two sequences of bytes, and a client
//! could join a part of one with a part of the other. If a proxy compresses, see
//! [`outer_compression`](ConditionalLayer::outer_compression).
//!
//! **Proxies.** If the layer adds a date to a response without freshness information,
//! it also adds `Cache-Control: no-cache`. See [`AddLastModified`] for the reason, and
//! [the page on proxies](guide::proxies) for a configuration of nginx.
//!
//! # What happens to bodies
//!
//! The tag is sent before the content, but it is the hash of all of the content. So the
//! layer reads the content first, up to
//! [`buffer_limit`](ConditionalLayer::buffer_limit) (1 MiB). Then it sends the same
//! frames, trailers and errors included:
//!
//! - Content that is known to be larger is passed through unread, unless its tag can be
//!   [learned](#large-content).
//! - Content of **unknown** size is read as long as it is ready. When the layer would
//!   have to wait, it sends what it has read, and the rest follows as it comes. Such a
//!   response has no tag. So event streams and streamed pages start as early as without
//!   the layer.
//! - Content of **known** size delays the response by at most the
//!   [`body_timeout`](ConditionalLayer::body_timeout) (500 ms).
//! - A body that fails, or whose length differs from the announced length, gets no tag.
//!   It is sent unchanged.
//!
//! # Large content
//!
//! Downloads, exports and videos are larger than the limit, so they are not read ahead.
//! Each of these settings gives them tags or ranges:
//!
//! - [`inner_tags(InnerTags::replace())`](ConditionalLayer::inner_tags), for file
//!   servers and upstreams that set their own tags. The layer hashes the content while
//!   it is sent for the first time. After that it recognises the content by the inner
//!   tag. All replicas and all deploys give the same content the same tag, and a 304
//!   reads no content. `InnerTags::learn()` does the same and leaves the inner tags
//!   valid.
//! - [`repr_digest`](ConditionalLayer::repr_digest), for content whose tag is not known
//!   yet. The tag follows the content as a trailer, together with a digest by which the
//!   client can verify that all bytes arrived.
//! - [`ranges`](ConditionalLayer::ranges), for handlers that do not support range
//!   requests.
//!
//! **A resumed download is never made of two versions**, if the client sends If-Range.
//! By default the inner service sends the part, if If-Range names the validator that it
//! gave last. Otherwise the client gets the whole content. If the content changes at
//! that moment, the inner service sends a part of the new version. The layer then
//! answers 503 (Service Unavailable) with `Retry-After: 1` instead, and the retry gets
//! the whole content. A browser is redirected to the same URI instead, so that playback
//! of audio or video continues. `curl -C -`, `wget -c` and aria2c send no If-Range, so
//! a server cannot protect them.
//!
//! # Content that never matches
//!
//! A page that contains a CSRF token or the time of day differs at each request. Its
//! tag never matches, so hashing it is wasted work. Exclude such pages with the
//! response extension [`Untagged`], with a [`Predicate`](predicate::Predicate), or with
//! [`handle_when`](ConditionalLayer::handle_when). Better still, set the page's `ETag`
//! in the handler: [`EntityTag::of_parts`] makes it from the data behind the page.
//!
//! By default the layer does not tag a page whose `Content-Security-Policy` has a
//! nonce. It never answers such a page with 304, even if the handler sets a tag. The
//! 304 would carry a new nonce for the old page, and the browser would run none of its
//! scripts.
//!
//! # Cookies and private responses
//!
//! The layer does not decide who may see the content. It answers 304 only in place of a
//! response that the handler has just given to the same request. `Set-Cookie` stays on
//! a 304. A response for one user should have `Cache-Control: private`, with or without
//! tags. `no-store` responses are not tagged.
//!
//! Some responses are private: those with `private`, with `Set-Cookie`, or with a
//! `Vary` that names Cookie or Authorization. They have no `Last-Modified`, not even
//! the handler's, and are not evaluated by date. The date of one user's page proves
//! nothing about another user's page. Their tags work like all others.
//!
//! The layer keeps recent content in memory, only to compare it with later content. It
//! never sends what it keeps. [`content_cache(0)`](ConditionalLayer::content_cache)
//! turns that off.
//!
//! # QUERY
//!
//! QUERY ([RFC 10008]) is like a GET whose content is the query. Its results get tags,
//! and a match is answered with 304. Results get no dates, and the layer remembers
//! nothing about them, because the URI alone does not identify a result. A
//! [`PreconditionLayer`] passes QUERY through, unless
//! [`query`](PreconditionLayer::query) is set.
//!
//! # Writes
//!
//! A client may send a tag back with a PUT, in If-Match. **`ConditionalLayer` cannot
//! check that.** It sees only the response, when the write is already done, so it
//! passes writes through.
//!
//! One exception: a write that has If-Unmodified-Since and no If-Match. If it names a
//! date that the layer generated, it gets 412, because the inner service does not know
//! that date. It also gets 412 with any other date, if the layer generated the date
//! that it sent last for this resource. That other date may be from before a restart,
//! or from another server.
//!
//! There are three ways to check writes. Each takes less work than the one above it,
//! and covers less:
//!
//! | | what it prevents | what it takes |
//! |---|---|---|
//! | [`Preconditions::check`] in the handler, inside the transaction | every lost edit | one line in each handler that writes |
//! | [`PreconditionLayer::new`] | stale edits, except for a race between the check and the write | a closure that knows the validators |
//! | [`WriteGuard`] | lost edits by writers in this process, through this guard | nothing |
//!
//! `WriteGuard` sends the service a GET to learn the current state, and runs the writes
//! of one resource one after the other. It is a service, not a layer: it wraps a
//! service that answers both GET and the writes, such as a whole router. A slow client
//! does not delay the writes of others. `PreconditionLayer` also answers reads with 304
//! before the handler runs.
//!
//! All three can require a precondition, and answer 428 (Precondition Required) without
//! one. All three can describe the failure as a problem document
//! ([`problem_details`](Rejection::problem_details)). [A
//! recipe](guide::recipes#notes-that-lose-no-edit) shows the first way as a whole
//! program. [A page of the guide](guide::writes) compares the three.
//!
//! Put a `PreconditionLayer` inside the authorization, because its answers reveal the
//! state of the resource. A `WriteGuard` may be outside: its GET passes through the
//! authorization. A `PreconditionLayer` may be inside or outside a `ConditionalLayer`;
//! both then use the tag that the source knows:
//!
//! ```text
//!    WriteGuard                             PreconditionLayer::new(source)
//!      ConditionalLayer::new()                ConditionalLayer::new()
//!        handlers                               handlers
//!
//!    evaluates writes by the tags that      answers 304 and 412 before the handler
//!    the inner layer generates              runs; the inner layer generates tags if
//!                                           the source is not called, or if it
//!                                           returns `Unknown`
//! ```
//!
//! The GET and the check must use the same tag. For a resource that clients edit, set
//! the `ETag` in the GET handler, from a version or with [`EntityTag::of`], and compare
//! with that tag. The tag that the layer generates for negotiated content is a
//! different one. A coding at the end of the tag, such as `~gzip`, is understood by all
//! three. A weak tag never matches in If-Match, so do not use
//! [`outer_compression`](ConditionalLayer::outer_compression) for such a resource.
//!
//! # Several servers
//!
//! Tags are made from content alone, so all replicas agree on them, after a deploy too,
//! without any shared state. Dates are not shared: each replica remembers when *it*
//! first saw the content. A client that knows tags never notices. One that sends dates
//! only gets fewer 304s when it changes replicas; see [what remains](#dates).
//!
//! Tags of large files are learned by each server for itself. A [`Manifest`], such as
//! `SHA256SUMS`, gives them their tags from the first request on, and a store
//! ([`InnerTags::store`]) shares what one server has learned: see the page [several
//! servers](guide::several_servers).
//!
//! # Dates
//!
//! The layer compares dates **for equality**, like tags, whether it generated the date
//! or the inner service gave it. A date later than `Last-Modified` proves nothing:
//! after a rollback to an older file, or two changes within one second, the client
//! would keep the wrong content. A date proves that content has *changed* (412) only if
//! it is earlier than the date that the handler gave with this response. In doubt, a
//! read gets the whole content.
//!
//! So the inner service does not see dates, unless you
//! [forward](ConditionalLayer::forward) them. The extractor for Axum and an inner
//! [`PreconditionLayer`] still see them. The layer does not change what they decide by
//! the application's own dates.
//!
//! - A generated date is the second in which the layer first saw the content.
//! - The layer sends no date in the first two seconds after it was made: a date cannot
//!   tell apart two contents of the same second.
//! - A date of the inner service is sent if it is in 1990 or later, is not in the
//!   future, and cannot have been sent with other content. Otherwise it is replaced or
//!   removed.
//! - Some responses have no `Last-Modified`: errors, private responses, responses with
//!   `Vary: *`, and responses whose content the layer does not know.
//!
//! A date can still match wrong content in these cases:
//!
//! - Two replicas generate the same second for different content.
//! - An inner service gives one date to two contents without a tag, or to two contents
//!   of which the layer has forgotten one.
//! - The clock was set back during a restart.
//! - A date, or a time of receipt, from before a restart equals a current date.
//! - A client invents a date that happens to match, ignores `Vary`, or has a clock that
//!   is more than a second off.
//! - The inner service answers 304 by itself.
//! - A [write](#writes) has a generated date, and this layer has not yet seen the
//!   resource under that name or on that server.
//!
//! With [`AddLastModified::Never`] no date is generated.
//!
//! # Memory
//!
//! All memory is bounded. A layer and its clones share it:
//!
//! | | at most |
//! |---|---|
//! | responses that are being read ahead | 64 MiB, and 64 KiB for each |
//! | requests that a [`WriteGuard`] reads ahead | 64 MiB, and 64 KiB for each |
//! | [content cache](ConditionalLayer::content_cache) | 16 MiB, or as set |
//! | dates | 65,536 contents, 2 MiB |
//! | inner validators, for If-Range | 8,192 resources |
//! | [learned tags](ConditionalLayer::inner_tags) | 16,384, of some 200 bytes |
//! | questions to the [store of tags](InnerTags::store) | 1,024, of some 300 bytes |
//! | files of a [`Manifest`] | all of them, some 400 bytes each |
//!
//! When an entry is evicted, the next response is hashed again, has no date, or is sent
//! as a whole instead of a part. It is never wrong. Beyond 64 MiB, large responses pass
//! through without a tag ([`Reason::Busy`]). [`Stats`] has the current figures.
//!
//! # What it does not do
//!
//! - It is not a cache. It serves no stored content, and with a `ConditionalLayer` the
//!   handler always runs: a 304 saves the transfer, not the database query.
//!   [`PreconditionLayer::new`] saves the query, too.
//! - It serves ranges only if [`ranges`](ConditionalLayer::ranges) is set, and only one
//!   range at a time. To serve ranges yourself, use [`Preconditions::allows_range`].
//! - It does not decide how long a response is fresh. It only prevents heuristic
//!   freshness where it adds a date; see [`AddLastModified`].
//! - It does not tag event streams. It tags responses above its limit only with the
//!   settings for [large content](#large-content).
//! - It does not answer 304 for a date that is later than `Last-Modified`.
//!
//! # Tests
//!
//! Wrap the service in the layer and call it with `tower::ServiceExt::oneshot`, as
//! above. To test dates, give the layer a [`clock`](ConditionalLayer::clock). Two
//! things may surprise you. In the first two seconds of the clock there is no date. A
//! 304 from an Axum `Router` may have `content-length: 0`, which Axum adds and Hyper
//! removes over HTTP/1.1.
//!
//! The crate [tower-conditional-conformance] checks whether a service handles
//! conditional requests as RFC 9110 says, with or without this crate. It takes one line
//! in a test or in CI: `tower_conditional_conformance::check(app(),
//! "/feed").await.assert_ok()`.
//!
//! # In production
//!
//! [`ConditionalLayer::stats`] counts the answers and the reasons why responses have no
//! tag. It also counts the bytes that were not sent, hashed, compared, kept and
//! buffered. [A recipe](guide::recipes#in-production) writes these counters as
//! Prometheus text. Feature `tracing` emits an event for each decision. Behind a proxy
//! that appends `-gzip` to tags, use [`OuterCompression::adds_suffixes`].
//!
//! # Features
//!
//! - `axum`: [`Preconditions`] is an extractor and [`Rejection`] is a response.
//!   [`EntityTag`], [`HttpDate`] and [`Validators`] are response parts: `(tag,
//!   Json(item))`. [`WriteGuard::axum`] guards a router.
//!   [`PreconditionLayer::from_extractor`] takes the parameters of the path. With this
//!   feature the layers name a resource by Axum's `OriginalUri`, so equal paths under
//!   different `nest` prefixes are different resources. Without it they share their
//!   dates, and get new dates more often than necessary. A layer inside `nest` then
//!   also does not recognise a resource that a layer outside knows under its full path.
//!   A client may get a tag there with which its writes are refused.
//! - `blake3`: adds the hash `Blake3`, for [`ConditionalLayer::digest`]. It is faster
//!   than SHA-256 for new content of more than a few KiB. It needs a C compiler.
//! - [`client`]: adds types for programs that call HTTP services.
//!   [`Polled`](client::Polled) is a value that is read and parsed only when it has
//!   changed. [`RevalidateLayer`](client::RevalidateLayer) is a layer for Tower clients
//!   that revalidates each response. [`Update`](client::Update) is an edit that does
//!   not overwrite other edits. [`StoredHead`](client::StoredHead) has the rules alone,
//!   for other clients. The feature adds no dependency. See [its page](guide::client).
//! - `shared-tags`: adds [`SharedTags`], for [`InnerTags::store`]. Servers share the
//!   tags of large content that one of them has hashed.
//! - `tracing`: emits one event for each decision, with outcome and status, and one for
//!   each `Last-Modified` of the inner service that is not sent, at level DEBUG. Wrong
//!   entries of a manifest, and shared tags that none of your servers made, are events
//!   at level WARN. The target is `tower_conditional`.
//!
//! # Versions
//!
//! The crate follows semantic versioning. Before 1.0, a new minor version may contain
//! breaking changes. These changes are breaking: names and signatures, defaults, and
//! **the generated tags**. Code still compiles after a change of tags, but every client
//! fetches everything once more, so the [changelog](guide::changelog) lists such
//! changes first. A new major version of a crate in the public API is also breaking:
//! `bytes`, `http`, `http-body`, `tower-layer`, `tower-service`, and Axum with its
//! feature.
//!
//! These changes are not breaking: an answer that is closer to RFC 9110, a new setting
//! whose default keeps the behaviour, a new variant of a `non_exhaustive` enum, the
//! texts of errors and of `Debug`, and the amount of memory that is used. The minimum
//! supported Rust version is 1.88. It is raised in minor releases only.
//!
//! [RFC 10008]: https://www.rfc-editor.org/rfc/rfc10008.html
//! [tower-conditional-conformance]: https://docs.rs/tower-conditional-conformance
//! [RFC 9110, section 13]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod body;
#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;
mod clock;
pub mod conditional;
mod exchange;
#[cfg(any(doc, doctest))]
pub mod guide;
mod header_map;
mod outcome;
pub mod precondition;
mod rules;
mod stats;
mod store;
mod timer;
mod trace;
mod validators;

#[cfg(feature = "shared-tags")]
pub use self::store::{SecretTooShort, SharedTags, TagAnswer, TagStore};
#[cfg(feature = "blake3")]
pub use self::validators::Blake3;
pub use self::{
    body::{RequestBody, ResponseBody},
    conditional::{
        BodyTimeout, ConditionalLayer, ForwardedFields, InnerTags, Manifest, ManifestError,
        OuterCompression,
    },
    exchange::{Preconditions, Rejection},
    outcome::{Outcome, Reason},
    precondition::{PreconditionLayer, WriteGuard},
    rules::{
        Decision, EntityTag, HttpDate, HttpDateOutOfRange, InvalidEntityTag, InvalidHttpDate,
        LastModified, Representation, Validators,
    },
    stats::Stats,
    validators::{AddLastModified, Digest, Sha256, Untagged},
};

/// Which responses may be tagged.
pub mod predicate {
    pub use crate::validators::{And, DefaultPredicate, Predicate};
}

/// The panic message of a future that is polled after it has completed.
const POLLED_AGAIN: &str = "a future must not be polled after it has completed";

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
