//! HTTP conditional requests ([RFC 9110, section 13]) for any Tower service: Axum,
//! Hyper, and what else speaks `http::Request`.
//!
//! A client that holds a copy asks "has this changed?". [`ConditionalLayer`] gives the
//! responses of the service it wraps an `ETag` and a `Last-Modified`, compares them
//! with what the client sends, and answers 304 (Not Modified) in place of content that
//! the client has already. The service knows nothing of it.
//!
//! ```
//! use axum::{body::Body, routing::get, Router};
//! use http::{header, Request, StatusCode};
//! use tower::ServiceExt;
//! use tower_conditional::{ConditionalLayer, EntityTag};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = Router::new().route("/flags", get(|| async { "dark-mode" })).layer(ConditionalLayer::new());
//!
//! let first = app.clone().oneshot(Request::get("/flags").body(Body::empty())?).await?;
//! assert_eq!(first.status(), StatusCode::OK);
//! let tag = first.headers()[header::ETAG].clone();
//! assert_eq!(tag, EntityTag::of(b"dark-mode").as_bytes()); // the SHA-256 of the content, as `sha256sum` prints it
//!
//! let again = Request::get("/flags").header(header::IF_NONE_MATCH, tag).body(Body::empty())?;
//! let second = app.oneshot(again).await?;
//! assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
//! # Ok(())
//! # }
//! ```
//!
//! A client that edits names the version that it edited, and a PUT is refused with 412
//! (Precondition Failed) if somebody else was faster. That is for
//! [`PreconditionLayer`], which evaluates [before the handler runs](#writes), and for
//! the rules alone, which work without any layer, and in unit tests:
//!
//! ```
//! use http::{header::IF_MATCH, HeaderMap, Method, StatusCode};
//! use tower_conditional::{EntityTag, Preconditions, Representation};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert(IF_MATCH, "\"v6\"".parse().unwrap());
//!
//! let stored = Representation::Exists(EntityTag::strong("v7")?.into());
//! let refusal =
//!     Preconditions::from_headers(&headers).check(&Method::PUT, &stored).unwrap_err();
//! assert_eq!(refusal.status(), StatusCode::PRECONDITION_FAILED);
//! # Ok::<(), tower_conditional::InvalidEntityTag>(())
//! ```
//!
//! Contents: [what the layer does](#what-the-layer-does) · [where to put
//! it](#where-to-put-the-layer) · [bodies](#what-happens-to-bodies) · [large
//! content](#large-content) · [content that never matches](#content-that-never-matches)
//! · [cookies and private responses](#cookies-and-private-responses) ·
//! [writes](#writes) · [several servers](#several-servers) · [dates](#dates) · [what it
//! does not do](#what-it-does-not-do) · [tests](#tests) · [features](#features) ·
//! [versions](#versions)
//!
//! Longer reads: [something looks wrong](guide::troubleshooting) · [nginx and other
//! proxies](guide::proxies) · [compared with others](guide::compare) ·
//! [migrating](guide::migrating) · [why it is as it is](guide::design) ·
//! [what it costs](guide::benchmarks) · [what changed](guide::changelog)
//!
//! # What the layer does
//!
//! 1. It serves GET and HEAD. Other requests pass it by untouched.
//! 2. Where If-None-Match is present, If-Modified-Since is void and is taken out of the
//!    request that the inner service sees; likewise If-Unmodified-Since beside
//!    If-Match, and dates that the layer generated. Where a validator that may be of
//!    the layer's making says whether a part may be sent (If-Range, or If-Match with
//!    `Range`), `Range` goes too, and the whole is sent: the inner service cannot
//!    evaluate it.
//! 3. A 200 without an `ETag` gets one: `"`, the SHA-256 of its content in hex, `"`.
//!    Where the response shows that it was negotiated (`Vary`, `Content-Encoding`,
//!    `Content-Language`), eight more digits name the variant. A tag of the inner
//!    service is respected, and nothing is read then.
//! 4. A 200 with a tag and without `Last-Modified` gets one: the second in which this
//!    content was first seen. See [dates](#dates).
//! 5. The preconditions are evaluated in the order of section 13.2.2. The answer is
//!    304, 412, or the response. Only a 200, or a 206 with validators, becomes a 304;
//!    only a 2xx becomes a 412; a 404 stays a 404.
//!
//! What it did can be read from [`ResponseBody::outcome`], or from the response's
//! extensions ([`report_outcome`](ConditionalLayer::report_outcome)).
//!
//! # Where to put the layer
//!
//! Inside whatever decides who may see a response, and outside whatever makes its
//! content:
//!
//! ```text
//!              request
//!                 │
//!    ┌── tracing, metrics ───────────┐   sees the 304s
//!    │  ┌── timeout, load shedding ─┐│   a timeout longer than `sized_body_timeout`
//!    │  │  ┌── CORS ───────────────┐││   answers preflights; its fields are on the 401 and the 304, too
//!    │  │  │  ┌── sessions, auth ─┐│││   a stranger gets 401, never 304; cookies are kept on a 304
//!    │  │  │  │ ConditionalLayer  ││││
//!    │  │  │  │  ┌─ compression ─┐││││   see below
//!    │  │  │  │  │   handlers    │││││
//! ```
//!
//! With Axum, `Router::layer` calls further down in the source are further out.
//! `Router::layer`, `route_layer`, a layer on a `MethodRouter` and one around the whole
//! `Router` all work; the last sees HEAD requests answered without content, and
//! needs [`head_as_get`](ConditionalLayer::head_as_get) to tag them.
//!
//! **Compression.** Two orders are right.
//!
//! ```text
//!    ConditionalLayer::new()                    CompressionLayer
//!      CompressionLayer                           ConditionalLayer::new().behind_compression(true)
//!        handlers                                   handlers
//!
//!    a strong tag for each encoding;            one weak tag for all encodings;
//!    a 304 costs the compression                a 304 costs no compression
//! ```
//!
//! The wrong one is a plain `ConditionalLayer::new()` inside compression: one strong
//! tag would then name two different sequences of bytes, and a cache may glue them
//! together. A compressing proxy in front counts as compression outside.
//! The first order is right for tags that the layer makes. A tag from further inside is
//! passed on as it is: `ServeDir` makes strong ones, and compression around it leaves
//! them alone, so let it serve precompressed files or none. Content compressed from
//! files or sockets may not be [ready at once](#what-happens-to-bodies) and then has no
//! tag in the first order.
//!
//! **Proxies.** A response that gets a date here, and is silent about its freshness,
//! also gets `Cache-Control: no-cache`; see [`FreshnessPolicy`] for why, and [the page
//! on proxies](guide::proxies) for a configuration of nginx.
//!
//! # What happens to bodies
//!
//! A tag in the head takes the whole content. So the layer reads it ahead, up to
//! [`buffer_limit`](ConditionalLayer::buffer_limit) (1 MiB), and sends it on frame by
//! frame as it came, trailers and errors included:
//!
//! - Content known to be larger is not touched, unless it is to be
//!   [learned](#large-content).
//! - Content of **unknown** size is read as long as it is ready. When it makes the
//!   layer wait, what was read is sent, the rest follows as it comes, and there is no
//!   tag. So event streams and streamed pages start as early as without the layer.
//! - Content of **known** size may make the client wait for
//!   [`sized_body_timeout`](ConditionalLayer::sized_body_timeout) (500 ms) at most.
//! - A body that errs, or is not as long as it said, gets no tag, and is sent as it is.
//!
//! # Large content
//!
//! Downloads, exports and videos are not read ahead. Three settings, each for itself,
//! give them tags all the same:
//!
//! - [`inner_tags(InnerTags::Replace)`](ConditionalLayer::inner_tags), for file servers
//!   and upstreams that make tags of their own: the content is hashed while it is sent
//!   for the first time, and known again by the inner tag from then on. All replicas
//!   and all deploys give it the same tag, and a 304 costs nothing. `InnerTags::Learn`
//!   does the same and leaves the inner tags valid.
//! - [`trailer_tags`](ConditionalLayer::trailer_tags), for content of which nothing is
//!   known: the tag follows it.
//! - [`ranges`](ConditionalLayer::ranges): a download that broke off goes on where it
//!   was, on another server too, and never with a part of another version.
//!
//! # Content that never matches
//!
//! A page with a CSRF token, a nonce or the time of day in it differs at each request.
//! Its tag never matches, and hashing it is work for nothing. Leave it out: with the
//! response extension [`Untagged`], with a [`Predicate`](predicate::Predicate), or with
//! [`handle_when`](ConditionalLayer::handle_when). Better still, give such a page a tag
//! of what it was made from: a handler's own `ETag` is used.
//!
//! # Cookies and private responses
//!
//! A tag says nothing about who may see the content, and neither does the layer: it
//! never stores content, and answers 304 only in place of a response that the handler
//! just gave to this very request. `Set-Cookie` stays on a 304. A response for one user
//! alone should say so (`Cache-Control: private`) with or without tags. `no-store`
//! responses are not tagged.
//!
//! # Writes
//!
//! A tag invites clients to send it back with a PUT, as If-Match. **`ConditionalLayer`
//! cannot check that**: it sees a write's response when the write is done, and so lets
//! writes pass; but for those that hang on a date of its own making
//! (If-Unmodified-Since without If-Match), which nobody further in knows: they get 412.
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
//! after the other. It is no layer: it stands around a service that has both GET and the
//! writes, such as a whole router. No client holds up the writes of others. The second also spares the handler the reads that are answered with
//! 304. All can insist on a precondition, and answer 428 (Precondition Required). The
//! example `axum` and the package `lost-update`, with a database, show the first.
//!
//! Put a `PreconditionLayer` where authorization has been seen to: what it answers
//! tells of the resource. Around a `WriteGuard` nothing need be: its GET goes through the
//! authorization inside. With a `ConditionalLayer` it goes in any order, outside or
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
//! one; a tag that the layer makes of compressed or negotiated content is another. A
//! weak tag never matches in If-Match, so keep such a resource away from
//! [`weak`](ConditionalLayer::weak) and
//! [`behind_compression`](ConditionalLayer::behind_compression).
//!
//! # Several servers
//!
//! Tags are made from content alone, so all replicas agree on them, after a deploy too.
//! Dates are not shared: each replica remembers when *it* first saw the content. A
//! client that knows tags never notices; one that sends dates only gets fewer 304s when
//! it changes replicas.
//!
//! # Dates
//!
//! A date that the layer generates is compared by equality: it stands for exactly one
//! content, and any other date proves nothing about it. A date that the inner service
//! gives is compared as the RFC says ("not modified since") where the layer has watched
//! the resource long enough to know that this is safe, and by equality otherwise; after
//! a rollback to an older file, a client with the newer one gets the file. A new date
//! is sent from the second after the change on, and none in the first second of the
//! layer's life: within one second a date cannot tell two contents apart.
//!
//! What cannot be excluded: two replicas that first see different content in the same
//! second; replicas whose inner services give dates of their own and serve different
//! versions at once; a clock that was set back across a restart; a client that makes up
//! a date which hits exactly (one that sends the time of receipt is served, unless its
//! clock or the network adds seconds); an inner service whose own validators are wrong,
//! or that answers 304 by its own dates alone; a [write](#writes) with a generated date
//! under a name, or on a server, by which this layer has not seen the resource yet.
//! [`last_modified(false)`](ConditionalLayer::last_modified) does without generated
//! dates.
//!
//! At most 65,536 resources are remembered, with some 400 bytes each (26 MiB); what is
//! forgotten costs a date.
//!
//! # What it does not do
//!
//! - It stores no content, and `ConditionalLayer` saves no handler its work: its 304
//!   saves the transfer, not the database query. [`PreconditionLayer::new`] saves that,
//!   too.
//! - It serves no ranges unless [asked to](ConditionalLayer::ranges), and several at
//!   once never. [`Preconditions::allows_range`] is there for those who do.
//! - It makes no decision on how long a response is fresh, except against being
//!   heuristically so; see [`FreshnessPolicy`].
//! - It tags no event stream, and no response larger than its limit unless [told
//!   how](#large-content).
//!
//! # Tests
//!
//! Wrap the service in the layer and call it with `tower::ServiceExt::oneshot`, as
//! above. For dates, give the layer a [`clock`](ConditionalLayer::clock). Surprises:
//! the first second of the clock generates no date, and adds no `Cache-Control`
//! for its sake; and on a 304 from an Axum `Router` you see a `content-length: 0`,
//! which Axum adds and Hyper drops again over HTTP/1.1.
//!
//! The crate [tower-conditional-conformance](https://docs.rs/tower-conditional-conformance) checks
//! whether a service, with or without the layer, revalidates as the RFC says; in one
//! line, for a test or CI: `tower_conditional_conformance::check(app(),
//! "/feed").await.assert_ok()`.
//!
//! # In production
//!
//! [`ConditionalLayer::stats`] counts what was answered, why responses were left alone,
//! and how many bytes were not sent, hashed, compared and kept; the example `metrics`
//! shows it as Prometheus text. Feature `tracing` gives an event for each
//! decision. [`ignore_tag_suffixes`](ConditionalLayer::ignore_tag_suffixes) is for
//! proxies that put `-gzip` behind tags.
//!
//! # Features
//!
//! - `axum`: [`Preconditions`] is an extractor, [`Rejection`] a response, and
//!   [`EntityTag`], [`HttpDate`] and [`Validators`] are parts of one: `(tag,
//!   Json(item))`. And a resource is named by Axum's `OriginalUri`, so that equal paths
//!   under different `nest` prefixes do not share their dates. Without it they do, and
//!   get new dates more often than they need; and a layer inside `nest` does not know
//!   what one outside knows of the very prefix, so that a client may get a tag there
//!   that its writes are refused by.
//! - `blake3`: the hash `Blake3`, for [`ConditionalLayer::digest`]: faster than SHA-256
//!   from some KiB on, for content that was not seen before. It wants a C compiler.
//! - `tracing`: one event for each decision, at level DEBUG, with outcome and status;
//!   target `tower_conditional`.
//!
//! # Versions
//!
//! Semantic versioning; before 1.0, a new minor version may break what a new major one
//! may later. Breaking are changes of names and signatures, of a default, and **of the
//! tags that are made**: no code notices these, but every client fetches everything
//! once more. They are announced in the [changelog](guide::changelog) above all else.
//! So is a new major version of what the API shows of others: `bytes`, `http`,
//! `http-body`, `tower-layer`, `tower-service`, and Axum with its feature.
//!
//! Not breaking are: an answer that comes nearer to what the RFC asks, new settings
//! whose default is as before, new variants of enums that are `non_exhaustive`, texts
//! of errors and of `Debug`, and how much is remembered. The minimum supported Rust
//! version is 1.88. It is raised in minor releases only.
//!
//! [RFC 9110, section 13]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod body;
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

#[cfg(feature = "blake3")]
pub use self::validators::Blake3;
pub use self::{
    body::{RequestBody, ResponseBody},
    conditional::{ConditionalLayer, ForwardedFields, InnerTags},
    exchange::Rejection,
    outcome::{Outcome, Reason},
    precondition::{PreconditionLayer, WriteGuard},
    rules::{
        Decision, EntityTag, HttpDate, HttpDateOutOfRange, InvalidEntityTag, InvalidHttpDate,
        LastModified, Preconditions, Representation, Validators,
    },
    stats::Stats,
    validators::{Digest, FreshnessPolicy, Sha256, Untagged},
};

/// Which responses may be tagged.
pub mod predicate {
    pub use crate::validators::{And, DefaultPredicate, Predicate};
}

/// What our futures say in a panic, as all futures may.
const POLLED_AGAIN: &str = "a future is not polled after it is ready";

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
