//! HTTP conditional requests ([RFC 9110, section 13]) for any Tower service: Axum,
//! Hyper, and everything else that takes an `http::Request`.
//!
//! A client that holds a copy asks "has this changed?". [`ConditionalLayer`] gives the
//! responses of the service it wraps an `ETag` and a `Last-Modified`, compares them
//! with what the client sends, and answers 304 (Not Modified) in place of content that
//! the client already has. The service need not know about it.
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
//! // The SHA-256 of the content, as `sha256sum` prints it.
//! assert_eq!(tag, EntityTag::of(b"dark-mode").as_bytes());
//!
//! let again = Request::get("/flags").header(header::IF_NONE_MATCH, tag);
//! let second = app.oneshot(again.body(Body::empty())?).await?;
//! assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
//! # Ok(())
//! # }
//! ```
//!
//! A client that edits names the version that it edited, and a PUT is refused with 412
//! (Precondition Failed) if another client was faster. That is for
//! [`PreconditionLayer`], which evaluates [before the handler runs](#writes), and for
//! the rules alone, which work without any layer, and in unit tests:
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
//! 1. It handles GET, HEAD and [QUERY](#query). Other requests pass.
//! 2. It forwards to the inner service only the conditional fields that the inner
//!    service can evaluate rightly: If-Match and If-None-Match, but no dates, and
//!    `Range` with If-Range only if that names a validator of the inner service. In all
//!    other cases the inner service sends the whole, and the layer decides.
//!    [`forward`](ConditionalLayer::forward) changes that.
//! 3. A 200 without an `ETag` gets one: `"`, the SHA-256 of its content in hex, `"`. If
//!    the response shows that it was negotiated (`Vary`, `Content-Encoding`,
//!    `Content-Language`), eight more digits name the variant. A tag of the inner
//!    service is kept, and nothing is read then.
//! 4. A 200 with a tag and without `Last-Modified` gets one: the second in which this
//!    content was first seen. A date of the inner service is sent only where it is safe
//!    to compare by. See [dates](#dates).
//! 5. The preconditions are evaluated in the order of section 13.2.2. The answer is
//!    304, 412, or the response. Only a 200 (or 203), or a 206 with validators, becomes
//!    a 304; only a 2xx becomes a 412; a 404 stays a 404.
//! 6. A 304 keeps the fields of the 200 that do not describe content, and says its
//!    `Content-Length` where that is known.
//!
//! [`ResponseBody::outcome`] says what was done and why. With
//! [`report_outcome`](ConditionalLayer::report_outcome) the response's extensions do,
//! too.
//!
//! # Where to put the layer
//!
//! Inside whatever decides who may see a response, and outside whatever makes its
//! content:
//!
//! ```text
//!            request
//!               │
//!  ┌── tracing, metrics ───────────┐  sees the 304s
//!  │  ┌── timeout, load shedding ─┐│  longer than `body_timeout`
//!  │  │  ┌── CORS ───────────────┐││  its fields are on the 401 and the 304
//!  │  │  │  ┌── sessions, auth ─┐│││  a stranger gets 401, never 304
//!  │  │  │  │ ConditionalLayer  ││││  with compression, see below
//!  │  │  │  │     handlers      ││││
//! ```
//!
//! With Axum, a later call of `Router::layer` is an outer layer. `Router::layer`,
//! `route_layer`, a layer on a `MethodRouter` and one around the whole `Router` all
//! work. The last sees HEAD requests answered without content, and needs
//! [`head_as_get`](ConditionalLayer::head_as_get) to tag them.
//!
//! **Compression** is one call, and belongs to this layer:
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
//! A strong tag names bytes, and gzip has other bytes than the page. So an encoded
//! response has a tag that names its coding: `"v1"` becomes `"v1~gzip"`. Both stand for
//! the same state, in reads and in writes, and a 304 costs no compression. See
//! [`compress_with`](ConditionalLayer::compress_with).
//!
//! Compression may also stand inside the layer, around the handlers. Then a 304 costs
//! the compression, and large content may be [ready too late](#what-happens-to-bodies)
//! to be tagged. Tags of the handlers name the coding there, too; tags of the layer are
//! made of the encoded bytes, so that a client's edit of one encoding is refused if
//! its PUT accepts another. The wrong order is a plain `ConditionalLayer::new()` inside
//! of compression that it does not know: one strong tag would name two sequences of
//! bytes, and a client could glue them together. For a proxy that does so there is
//! [`outer_compression`](ConditionalLayer::outer_compression).
//!
//! **Proxies.** A response that gets a date here and says nothing about its freshness
//! also gets `Cache-Control: no-cache`. See [`AddLastModified`] for why, and [the page
//! on proxies](guide::proxies) for a configuration of nginx.
//!
//! # What happens to bodies
//!
//! A tag in the head needs the whole content. So the layer reads it ahead, up to
//! [`buffer_limit`](ConditionalLayer::buffer_limit) (1 MiB), and sends it on frame by
//! frame as it came, trailers and errors included:
//!
//! - Content known to be larger is not touched, unless it can be
//!   [learned](#large-content).
//! - Content of **unknown** size is read as long as it is ready. When it makes the
//!   layer wait, what was read is sent, the rest follows as it comes, and there is no
//!   tag. So event streams and streamed pages start as early as without the layer.
//! - Content of **known** size may make the client wait for the
//!   [`body_timeout`](ConditionalLayer::body_timeout) (500 ms) at most.
//! - A body that fails, or is not as long as it said, gets no tag, and is sent as it
//!   is.
//!
//! # Large content
//!
//! Downloads, exports and videos are not read ahead. These settings, each for itself,
//! give them tags and ranges:
//!
//! - [`inner_tags(InnerTags::replace())`](ConditionalLayer::inner_tags), for file servers
//!   and upstreams that make tags of their own: the content is hashed while it is sent
//!   for the first time, and recognised by the inner tag from then on. All replicas and
//!   all deploys give it the same tag, and a 304 costs nothing. `InnerTags::learn()` does
//!   the same and leaves the inner tags valid.
//! - [`repr_digest`](ConditionalLayer::repr_digest), for content about which nothing is
//!   known: its tag follows it, with a digest by which the client sees that all of it
//!   came.
//! - [`ranges`](ConditionalLayer::ranges), for handlers that cannot cut parts.
//!
//! **A download that is resumed is never made of two versions**, if the client sends
//! If-Range. By default the part comes from the inner service, if If-Range names the
//! validator that it gave last; if not, the client gets the whole. If the content
//! changes at that very moment, the inner service sends a part of the new version: the
//! layer answers 503 (Service Unavailable) with `Retry-After: 1` in its place, and the
//! retry gets the whole. A browser is redirected to the same URI instead, so that a
//! sound or video plays on. `curl -C -`, `wget -c` and aria2c send no If-Range: nothing
//! on a server can help them.
//!
//! # Content that never matches
//!
//! A page with a CSRF token or the time of day in it differs at each request. Its tag
//! never matches, and hashing it is work for nothing. Leave it out: with the response
//! extension [`Untagged`], with a [`Predicate`](predicate::Predicate), or with
//! [`handle_when`](ConditionalLayer::handle_when). Better still, give such a page a tag
//! made of what it was made from, with [`EntityTag::of_parts`]: a handler's own `ETag`
//! is used.
//!
//! A page whose `Content-Security-Policy` has a nonce is left alone by default. It is
//! never answered with 304, even with a tag of its own: the 304 would bring a new nonce
//! for the old page, and the browser would run none of its scripts.
//!
//! # Cookies and private responses
//!
//! A tag says nothing about who may see the content, and neither does the layer: it
//! answers 304 only in place of a response that the handler just gave to this very
//! request. `Set-Cookie` stays on a 304. A response for one user should say so
//! (`Cache-Control: private`), with or without tags. `no-store` responses are not
//! tagged.
//!
//! A response with `private`, `Set-Cookie`, or `Vary` by Cookie or Authorization has no
//! `Last-Modified`, not even the handler's, and is not evaluated by date: a date of one
//! user's page would prove nothing about another's. Its tag works as any other.
//!
//! The layer keeps recent content in memory to compare it with the next, and never
//! sends it. [`content_cache(0)`](ConditionalLayer::content_cache) keeps none.
//!
//! # QUERY
//!
//! QUERY ([RFC 10008]) is a GET with content that says what is asked for. Its results
//! get tags, and a match is answered with 304. They get no dates, and nothing is
//! remembered by their URI, because it does not name them. A [`PreconditionLayer`] lets
//! QUERY pass, unless its source [is asked for it](PreconditionLayer::query).
//!
//! # Writes
//!
//! A tag invites clients to send it back with a PUT, as If-Match. **`ConditionalLayer`
//! cannot check that**: it sees a write's response when the write is done, and so lets
//! writes pass; except those that depend on a date that it generated
//! (If-Unmodified-Since without If-Match), which no inner service knows: they get 412.
//! So do those with any other date, for a resource whose date the layer generated last:
//! it may be one from before a restart, or of another server. There are three
//! ways to check, and the later ones cover less and cost less work:
//!
//! | | what it keeps from happening | what it takes |
//! |---|---|---|
//! | [`Preconditions::check`] in the handler, inside the transaction | every lost edit | a line in each handler that writes |
//! | [`PreconditionLayer::new`] | stale edits, up to a race between the check and the write | a closure that knows the validators |
//! | [`WriteGuard`] | lost edits by writers in this process, through this guard | nothing |
//!
//! The last asks the service itself with a GET, and runs writes of one resource one
//! after the other. It is no layer: it stands around a service that has both GET and
//! the writes, such as a whole router. No client holds up the writes of others. The
//! second also spares the handler the reads that are answered with
//! 304. All can insist on a precondition, and answer 428 (Precondition Required), and
//! all can say to programs what is wrong, and what to send
//! ([`problem_details`](Rejection::problem_details)). [A
//! recipe](guide::recipes#notes-that-lose-no-edit) shows the first as a whole program.
//! [A page of the guide](guide::writes) compares the three.
//!
//! Put a `PreconditionLayer` where authorization has been seen to: what it answers
//! tells of the resource. Around a `WriteGuard` nothing need be: its GET goes through
//! the authorization inside. With a `ConditionalLayer` it goes in any order, outside or
//! inside; both then take the tag that the source knows:
//!
//! ```text
//!    WriteGuard                             PreconditionLayer::new(source)
//!      ConditionalLayer::new()                ConditionalLayer::new()
//!        handlers                               handlers
//!
//!    evaluates writes by the tags that         answers 304 and 412 before the handler runs;
//!    the layer inside makes                 the layer inside makes tags where the source
//!                                           is not asked, or says `Unknown`
//! ```
//!
//! Both sides must mean the same tag. For a resource that clients edit, set its `ETag`
//! in the GET handler, from a version or with [`EntityTag::of`], and compare with that
//! one; a tag that the layer makes of negotiated content is another. A coding behind
//! the tag does no harm, wherever it is checked. A weak tag never matches in If-Match,
//! so keep such a resource away from
//! [`outer_compression`](ConditionalLayer::outer_compression).
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
//! A date is compared **by equality**, like a tag, whether the layer generated it or
//! the inner service gave it. "Later than Last-Modified" proves nothing: after a
//! rollback to an older file, or two changes within one second, it would keep the wrong
//! content alive. A date proves that content has *changed* (412) only if it is earlier
//! than the date that the handler itself gave with this very response. In doubt, a read
//! gets the whole content.
//!
//! So dates do not reach the inner service, unless you
//! [forward](ConditionalLayer::forward) them. The extractor for Axum and a
//! [`PreconditionLayer`] inside still see them, and what these decide by the
//! application's own dates stands.
//!
//! - A generated date is the second in which the layer first saw the content.
//! - No date is sent in the first two seconds of the layer's life: within one second a
//!   date cannot tell two contents apart.
//! - A date of the inner service is sent if it is from 1990 on, not in the future, and
//!   not one that may have been sent with other content. If not, it is replaced or
//!   removed.
//! - Errors, private responses, `Vary: *`, and responses whose content the layer does
//!   not know have no `Last-Modified`.
//!
//! What cannot be excluded: two replicas that give the same second to different
//! content; an inner service that gives one date to two contents without a tag, or to
//! two of which one was forgotten; a clock that was set back over a restart; a date or
//! time of receipt from before a restart that equals a date of now; a client that
//! invents a date which hits exactly, that ignores `Vary`, or whose clock is more than
//! a second off; an inner service that answers 304 by itself; a [write](#writes) with a
//! generated date under a name, or on a server, by which this layer has not seen the
//! resource yet. With [`AddLastModified::Never`] no date is generated.
//!
//! # Memory
//!
//! All of it is bounded, and belongs to the layer with all its clones:
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
//! What is forgotten costs a hash, a date or a part, never a wrong answer. Beyond 64
//! MiB, large responses pass without a tag ([`Reason::Busy`]). [`Stats`] has the
//! present figures.
//!
//! # What it does not do
//!
//! - It is no cache: it serves no stored content, and `ConditionalLayer` saves no
//!   handler its work. Its 304 saves the transfer, not the database query.
//!   [`PreconditionLayer::new`] saves that, too.
//! - It cuts no ranges unless [asked to](ConditionalLayer::ranges), and several at once
//!   never. [`Preconditions::allows_range`] is for your own code.
//! - It does not decide how long a response is fresh, except against being
//!   heuristically so; see [`AddLastModified`].
//! - It tags no event stream, and no response larger than its limit unless [told
//!   how](#large-content).
//! - It does not answer "not modified since" for dates later than `Last-Modified`.
//!
//! # Tests
//!
//! Wrap the service in the layer and call it with `tower::ServiceExt::oneshot`, as
//! above. For dates, give the layer a [`clock`](ConditionalLayer::clock). Two
//! surprises: in the first two seconds of the clock there is no date; and on a 304 from
//! an Axum `Router` you may see a `content-length: 0`, which Axum adds and Hyper
//! removes over HTTP/1.1.
//!
//! The crate [tower-conditional-conformance] checks whether a service, with or without
//! the layer, revalidates as RFC 9110 says. One line in a test or in CI:
//! `tower_conditional_conformance::check(app(), "/feed").await.assert_ok()`.
//!
//! # In production
//!
//! [`ConditionalLayer::stats`] counts the answers, the reasons why responses were left
//! alone, and the bytes that were not sent, hashed, compared, kept and buffered; [a
//! recipe](guide::recipes#in-production) shows it as Prometheus text. Feature `tracing` gives an event for
//! each decision. [`OuterCompression::adds_suffixes`] is for proxies that append `-gzip`
//! to tags.
//!
//! # Features
//!
//! - `axum`: [`Preconditions`] is an extractor, [`Rejection`] a response, and
//!   [`EntityTag`], [`HttpDate`] and [`Validators`] are parts of one: `(tag,
//!   Json(item))`. [`WriteGuard::axum`] guards a router, and
//!   [`PreconditionLayer::from_extractor`] takes the parameters of the path. A resource
//!   is named by Axum's `OriginalUri`, so that equal paths under different `nest`
//!   prefixes do not share their dates. Without it they do, and get new dates more
//!   often than they need; and a layer inside `nest` does not know what one outside
//!   knows of the prefix itself, so that a client may get a tag there by which its
//!   writes are refused.
//! - `blake3`: the hash `Blake3`, for [`ConditionalLayer::digest`]: faster than SHA-256
//!   from some KiB on, for content that was not seen before. It needs a C compiler.
//! - [`client`]: for programs that call HTTP services. A value that is read and parsed
//!   only when it has changed ([`Polled`](client::Polled)), a layer for Tower clients
//!   that asks each time and gets 304s ([`RevalidateLayer`](client::RevalidateLayer)),
//!   an edit that overwrites no other ([`Update`](client::Update)), and the rules alone
//!   for other clients ([`StoredHead`](client::StoredHead)). It adds no dependency. See
//!   [its page](guide::client).
//! - `shared-tags`: [`SharedTags`], for [`InnerTags::store`]: servers share the tags of
//!   large content that one of them has hashed.
//! - `tracing`: one event for each decision, at level DEBUG, with outcome and status,
//!   and one for each `Last-Modified` of the inner service that is not sent; one at
//!   level WARN for each shared tag that no server of ours made; target
//!   `tower_conditional`.
//!
//! # Versions
//!
//! Semantic versioning; before 1.0, a new minor version may break what a new major one
//! may later. Breaking are changes of names and signatures, of a default, and **of the
//! tags that are made**: no code notices these, but every client fetches everything
//! once more. They are announced in the [changelog](guide::changelog) first of all.
//! So is a new major version of what the API shows of others: `bytes`, `http`,
//! `http-body`, `tower-layer`, `tower-service`, and Axum with its feature.
//!
//! Not breaking are: an answer that is closer to RFC 9110, new settings whose default
//! is as before, new variants of enums that are `non_exhaustive`, texts of errors and
//! of `Debug`, and how much is remembered. The minimum supported Rust version is 1.88.
//! It is raised in minor releases only.
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
mod fields;
#[cfg(any(doc, doctest))]
pub mod guide;
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

/// The message of the panic if a future is polled again.
const POLLED_AGAIN: &str = "a future is not polled after it is ready";

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
