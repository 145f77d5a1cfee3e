//! HTTP conditional requests ([RFC 9110, section 13]) for any Tower service: Axum,
//! Hyper, and everything else that takes an `http::Request`.
//!
//! [`ConditionalLayer`] wraps a service and adds an `ETag` and a `Last-Modified` to its
//! responses. A client sends these validators back with its next request. The layer
//! then compares them with those of the current response. If they match, the client
//! already has the content, and the layer answers 304 (Not Modified) without content.
//! The service itself needs no change.
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
//! A client that edits a resource with PUT sends the tag of the version that it has
//! read. If another client has changed the resource since, the PUT must be refused with
//! 412 (Precondition Failed). [`PreconditionLayer`] refuses it [before the handler
//! runs](#writes). You can also evaluate preconditions without a layer, in a handler or
//! in a unit test:
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
//!    WebSockets and gRPC calls work as without the layer.
//! 2. By default, it forwards If-Match and If-None-Match to the inner service, and
//!    removes If-Modified-Since and If-Unmodified-Since (not from a QUERY). If there is
//!    an If-Range, the layer compares it with the latest validator that the inner
//!    service sent for this resource. If they are equal, it forwards If-Range and
//!    `Range`. Otherwise it removes both fields, and the inner service sends the whole
//!    content. To change what is forwarded, set [`forward`](ConditionalLayer::forward).
//! 3. A 200 without an `ETag` gets one: the SHA-256 of its content in hex, in quotes.
//!    If the inner service sends `Vary`, `Content-Encoding` or `Content-Language`, the
//!    response was negotiated. Its tag then also has `-` and eight hex digits for the
//!    type, encoding and language. If the inner service sets a tag, the layer keeps
//!    that tag and does not read the content.
//! 4. A 200 that has a tag and no `Last-Modified` gets a `Last-Modified`: the second in
//!    which the layer first saw this content. A `Last-Modified` of the inner service is
//!    sent only if no other content can have been sent with the same date. See
//!    [dates](#dates).
//! 5. It evaluates the preconditions in the order of section 13.2.2. The answer is
//!    304, 412, or the response of the inner service. A 304 can replace a 200, a 203,
//!    or a 206 that has a validator. A 412 can replace any 2xx. A 404 stays a 404.
//! 6. A 304 keeps the fields of the 200, except those that describe the content, such
//!    as `Content-Type`. It has a `Content-Length` only if the length of the 200 is
//!    known. With [`compress_with`](ConditionalLayer::compress_with) or
//!    [`OuterCompression::keeps_tags`] it has none.
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
//! With Axum, a later call of `Router::layer` adds an outer layer. In a
//! `ServiceBuilder`, the first layer is the outermost. `Router::layer`, `route_layer`,
//! a layer on a `MethodRouter`, and a layer around the whole `Router` all work. A layer
//! around the whole `Router` sees responses to HEAD without their content, so it needs
//! [`head_as_get`](ConditionalLayer::head_as_get) to tag them.
//!
//! **Layers that set `Cache-Control` or `Content-Security-Policy`** belong inside, next
//! to the handlers, because this layer decides by the fields that it sees:
//!
//! - If an outer layer sets `Cache-Control` only where it is missing, it often sets
//!   nothing, because this layer has already added `no-cache`.
//! - If `private`, `Set-Cookie` or `Vary: Cookie` is set outside, the response does not
//!   count as [private](#cookies-and-private-responses), and may get a date. So if a
//!   session layer is outside, set `private` in the handlers.
//! - A nonce that is set outside is not seen. If the handler sets a tag, a browser may
//!   get a 304 with a new nonce. It then runs no script of its copy.
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
//! A strong tag names exact bytes, and a page encoded with gzip has other bytes than
//! the plain page. So the tag of an encoded response names the coding: `"v1"` becomes
//! `"v1~gzip"`. Both tags name the same version of the resource, and both match in
//! If-Match, also where a [handler checks it](#writes). In If-None-Match, a tag with a
//! coding matches if the client accepts that coding. A 304 costs no compression. See
//! [`compress_with`](ConditionalLayer::compress_with).
//!
//! Compression may also be inside this layer, around the handlers. Then the content is
//! compressed even for a 304, and large content may be [ready too
//! late](#what-happens-to-bodies) to be tagged. If a handler sets the tag, the layer
//! adds the coding to the tag, as above. If the layer generates the tag, the tag is a
//! hash of the encoded bytes, so each encoding has its own tag. Before a PUT, a
//! [`WriteGuard`] sends a GET with the `Accept-Encoding` of the PUT, and compares the
//! tag of the response with If-Match. If that field selects another encoding than the
//! client read, the tags differ, and the guard refuses the PUT although nothing has
//! changed.
//!
//! Do not put a plain `ConditionalLayer::new()` inside a `CompressionLayer`. One
//! strong tag would then name both the plain and the encoded bytes, and a client could
//! join parts of the two. If a proxy compresses, see
//! [`outer_compression`](ConditionalLayer::outer_compression).
//!
//! Let **CORS** expose `ETag`, and allow If-Match and If-None-Match. Otherwise scripts
//! of other origins cannot use the tag. See [a
//! recipe](guide::recipes#sessions-and-cors).
//!
//! **Two layers** around one handler hash the content once: the outer layer keeps the
//! tag that the inner layer made. Use clones of one layer in both places, so that both
//! layers share one [memory](#memory). A clone may have other settings, such as
//! `layer.clone().ranges(true)`, and each layer applies its own. It is simpler to add
//! one layer to each nested router, and none around all of them.
//!
//! **Proxies.** If the layer adds a `Last-Modified` to a response without freshness
//! information, it also adds `Cache-Control: no-cache`. See [`AddLastModified`] for the
//! reason, and [the page on proxies](guide::proxies) for a configuration of nginx.
//!
//! # What happens to bodies
//!
//! The tag is sent before the content, but it is the hash of the whole content. So the
//! layer reads the content first, up to
//! [`buffer_limit`](ConditionalLayer::buffer_limit) (by default 1 MiB). Then it sends
//! what it has read: the same frames, with trailers and errors. The size of the
//! content matters:
//!
//! - Content that is known to be larger than the limit is passed through as it comes.
//!   Its tag can be [learned](#large-content) for later responses.
//! - Content of **unknown** size is read as long as it is ready. When the layer would
//!   have to wait for more content, it sends what it has read, and the rest follows as
//!   it comes. Such a response has no tag. So event streams and streamed pages start as
//!   early as without the layer. To tag such content, let the handler set
//!   `Content-Length`, or let the layer wait with [`BodyTimeout::unknown_size`].
//! - For content of **known** size within the limit, the layer waits at most the
//!   [`body_timeout`](ConditionalLayer::body_timeout) (by default 500 ms).
//! - A body that fails, or whose length differs from its `Content-Length`, gets no tag.
//!   It is sent unchanged.
//!
//! The head of the response waits for the content that is read first. So an outer
//! `TimeoutLayer` also limits the time for this content. If reading this content
//! panics, an outer `CatchPanicLayer` answers 500.
//!
//! # Large content
//!
//! Content above the limit, such as a video, is not read before it is sent. These
//! settings give such content tags or ranges:
//!
//! - [`inner_tags(InnerTags::replace())`](ConditionalLayer::inner_tags), for file
//!   servers and upstreams that set their own tags. The layer hashes the content while
//!   it is sent for the first time. From then on it recognises the content by the tag
//!   of the inner service, and answers 304 without reading the content. The same
//!   content has the same tag on all replicas, and after each deploy. With
//!   `InnerTags::learn()` instead, clients may also use the tags of the inner service.
//!   The length of the content must be known, for example from a `Content-Length`.
//!   `ServeDir` of tower-http 0.7 sends tags. `ServeDir` of 0.6 sends only dates, so it
//!   also needs [`trust_dates(true)`](InnerTags::trust_dates).
//! - [`repr_digest`](ConditionalLayer::repr_digest), for content whose tag is not known
//!   yet. Over HTTP/2, the tag and a digest follow the content as trailers. With the
//!   digest, the client can verify that all bytes arrived. Over HTTP/1.1, trailers need
//!   content of unknown length, and a client that sends `TE: trailers`.
//! - [`ranges`](ConditionalLayer::ranges), for handlers that do not support range
//!   requests.
//!
//! **A resumed download is never made of two versions**, if the client sends If-Range.
//! By default the layer compares If-Range with the validator that the inner service
//! gave this resource last. If they are equal, the inner service sends the requested
//! part. Otherwise it sends the whole content.
//!
//! - The content may change between this comparison and the response. The inner service
//!   then sends a part of the new version. In that case the layer answers 503 (Service
//!   Unavailable) with `Retry-After: 1`, and the next request gets the whole content. A
//!   browser gets a redirect to the same URI instead of the 503, so that playback of
//!   audio or video continues.
//! - A client that sends a date in If-Range, and accepts a content coding, gets the
//!   whole content: it may hold encoded bytes, and the date does not show that.
//! - A client that sends a date also gets the whole content if the date is unreliable.
//!   A date is unreliable if the inner service has sent it with contents of different
//!   lengths. The current date of a resource also becomes unreliable when the layer
//!   answers 503 or a redirect, as above.
//! - `curl -C -`, `wget -c` and aria2c send no If-Range, so a server cannot
//!   protect them.
//!
//! # Content that never matches
//!
//! A page that contains a CSRF token or the time of day differs at each request. Its
//! tag never matches, so it is useless to hash the page. Exclude such pages with the
//! response extension [`Untagged`], with a [`Predicate`](predicate::Predicate), or with
//! [`handle_when`](ConditionalLayer::handle_when). Better still, set the page's `ETag`
//! in the handler: [`EntityTag::of_parts`] makes a tag from the versions of the data
//! that the page shows.
//!
//! After a 304 the browser shows its old page, with the old CSRF token. So set such a
//! tag only if the server still accepts the old token. If the token changes with each
//! login, put the [user](#cookies-and-private-responses) into the tag, and a number
//! that each login increases. (A tag is no secret, so do not put the session's id into
//! it.) If the server accepts a token only once, send the page with `no-store`.
//!
//! JSON from a `HashMap` that is made for each response never matches either, because
//! the order of each new map is random. Use a `BTreeMap` instead.
//!
//! By default the layer does not tag a page whose `Content-Security-Policy` has a
//! nonce, and never answers 304 in its place. The 304 would carry a new nonce, but the
//! browser's copy has the old one, so the browser would run none of its scripts. The
//! layer sees the nonce only if it is set [inside](#where-to-put-the-layer).
//!
//! # Cookies and private responses
//!
//! The layer does not decide who may see the content. It answers 304 only in place of a
//! response that the handler has just given to the same request. `Set-Cookie` stays on
//! a 304. `no-store` responses are not tagged. A response for one user should have
//! `Cache-Control: private, no-cache`, with or without tags. Set both yourself: the
//! layer adds neither to a private response.
//!
//! Some responses are private: those with `Cache-Control: private`, with `Set-Cookie`,
//! or with a `Vary` that names Cookie or Authorization. (These fields must be set
//! inside this layer.) Private responses have no `Last-Modified`, not even the
//! handler's, and dates in the requests for them are ignored. The reason is that the
//! date of one user's page proves nothing about another user's page. The tags of
//! private responses work like all other tags.
//!
//! **A tag that you make must name the user**, if users get different content at one
//! URI. When a second user signs in, the browser may send the tag of the first user's
//! page. If both pages had the same tag, the answer would be a 304, and the second user
//! would see the first user's page. Neither `private` nor `Vary: Cookie` prevents that.
//! Generated tags are safe, because they are hashes of the content.
//!
//! [Learned tags](#large-content) need care if one URI has different content for each
//! tenant, and `Vary` does not show that. Add the tenant to the
//! [`key`](ConditionalLayer::key). Otherwise the layer could send files of two tenants
//! with one tag: many file servers make a tag from only the date and length of a file.
//!
//! The layer keeps recent content in memory, to compare later content with it, and
//! never sends the content that it keeps. With
//! [`content_cache(0)`](ConditionalLayer::content_cache) it keeps no content.
//!
//! A generated tag is a hash of the content, without any secret, and so is
//! [`EntityTag::of`]. Somebody who sees such a tag, for example in a log, can find out
//! short content, such as a PIN, by trial. A client that may write but not read gets
//! the tag with the 412 of [`Preconditions::check`]. If that matters, make the tag from
//! a version, or exclude the response with [`Untagged`].
//!
//! # QUERY
//!
//! QUERY ([RFC 10008]) is like a GET whose content is the query. Its results get tags,
//! and a request whose If-None-Match matches gets a 304. For QUERY the layer neither
//! adds nor evaluates dates. It remembers nothing about the results, because the URI
//! alone does not identify a result. A [`PreconditionLayer`] passes QUERY through,
//! unless [`query`](PreconditionLayer::query) is set.
//!
//! # Writes
//!
//! A client may send a tag back with a PUT, in If-Match. **`ConditionalLayer` cannot
//! check that.** It learns the tag of the resource only from a response, and the
//! response to a write comes when the write is done. So the layer passes writes
//! through.
//!
//! There is one exception: a write that has If-Unmodified-Since and no If-Match. The
//! inner service does not know the dates that the layer generates, so it could not
//! check such a date. In these cases the layer answers 412, whether the content has
//! changed or not:
//!
//! - The layer may have generated the date in this field.
//! - The current `Last-Modified` of the resource is a generated date. Then the date in
//!   this field may be generated, too: before a restart, or by another server.
//!
//! An inner `WriteGuard`, or an inner `PreconditionLayer` whose closure returns a date,
//! compares dates itself. The outer layer passes the write on if the `Last-Modified` of
//! the last response to a GET is a date that this inner guard or layer compares.
//!
//! There are three ways to check writes:
//!
//! | | what it prevents | what it takes |
//! |---|---|---|
//! | [`Preconditions::check_required`] in the handler, inside the transaction | every lost edit | one line in each handler that writes |
//! | [`WriteGuard`] | lost edits by writes through this guard | nothing in the handlers |
//! | [`PreconditionLayer::new`] | edits of an old version, unless another write comes between the check and the write | a closure that knows the validators |
//!
//! `WriteGuard` sends the service a GET to learn the current state. While a write with
//! preconditions runs, the guard lets no other write to the same resource run. A slow
//! client does not delay the writes of others. The guard is a service, not a layer: it
//! wraps a service that answers both GET and the writes, such as a whole router.
//!
//! A client that sends no precondition can overwrite any edit. So all three ways can
//! require a precondition: a write without one then gets 428 (Precondition Required).
//! [`check`](Preconditions::check) lets such a write run, and so do `WriteGuard` and
//! `PreconditionLayer` by default. By default a 412 has no content, and a 428 has a
//! text that says what to send. All three ways can send a problem document
//! (`application/problem+json`) instead: in the handler with
//! `.map_err(Rejection::problem_details)?`, and on the layer and the guard with the
//! setting `problem_details`. [A recipe](guide::recipes#notes-that-lose-no-edit)
//! shows the first way as a whole program. [A page of the guide](guide::writes)
//! compares the three ways.
//!
//! Put a `PreconditionLayer` inside the authorization, because its answers reveal the
//! state of the resource. A `WriteGuard` may be outside: its GET passes through the
//! authorization. If the handlers authorize in an extractor, such as an argument
//! `user: User`, a `PreconditionLayer` answers before this extractor runs. So let the
//! closure of [`PreconditionLayer::from_extractor`] take the extractor, too, in a
//! tuple. If the extractor rejects the request, the client gets the rejection.
//!
//! A `PreconditionLayer` may be inside or outside a `ConditionalLayer`. In either
//! order, if the handler sets no tag, both layers use the tag that the closure of the
//! `PreconditionLayer` returns. Middleware that changes the URI of a request must not
//! be between these two layers, or between a `WriteGuard` and a layer. What the outer
//! one tells the inner one is about the first URI only, so writes may then be refused
//! with 412.
//!
//! The diagram calls the closure of the `PreconditionLayer` the *source*:
//!
//! ```text
//!    WriteGuard                             PreconditionLayer::new(source)
//!      ConditionalLayer::new()                ConditionalLayer::new()
//!        handlers                               handlers
//!
//!    evaluates writes by the tags that      answers 304 and 412 before the handler
//!    the inner layer generates              runs; the inner layer generates a tag
//!                                           only if the source gives none
//! ```
//!
//! The response to the GET and the check of the write must use the same tag:
//!
//! - A `WriteGuard` takes the tag from the response to its own GET, so it also works
//!   with generated tags.
//! - A `PreconditionLayer` adds the tag of its closure to the response.
//! - For a check in the handler, set the `ETag` in the GET handler, from a version or
//!   with [`EntityTag::of`], and compare with the same tag. Do not rely on a generated
//!   tag there: for negotiated content it differs from `EntityTag::of`.
//!
//! If a client's tag ends with a coding, such as `~gzip`, all three ways read it as the
//! plain tag.
//!
//! A weak tag never matches in If-Match, unless
//! [`weak_if_match`](Preconditions::weak_if_match) is set. So if clients edit a
//! resource, do not set [`OuterCompression::keeps_tags`] for it: the layer then makes
//! all tags weak.
//!
//! # Several servers
//!
//! All replicas generate the same tags without any shared state, after a deploy too. A
//! tag is made from the response alone: from its content and, if it was negotiated, its
//! type, encoding and language. Dates are not shared: each replica remembers when *it*
//! first saw the content. This makes no difference to a client that sends tags. A
//! client that sends only dates gets fewer 304s when its requests reach another
//! replica. In rare cases it gets a wrong 304; see [dates](#dates).
//!
//! Each server learns the tags of large files for itself. With a [`Manifest`], such as
//! `SHA256SUMS`, a server knows these tags from the first request on. With a store
//! ([`InnerTags::store`]), servers share the tags that one of them has learned. See the
//! page [several servers](guide::several_servers).
//!
//! # Dates
//!
//! The layer compares dates **for equality**, like tags, whether it generated the date
//! or the inner service gave it. A client's date that is later than `Last-Modified`
//! does not prove that the content is unchanged. If the layer accepted such a date, a
//! client could keep wrong content after a rollback to an older file.
//!
//! A read with If-Unmodified-Since gets a 412 only if the client's date is *earlier*
//! than the date that the handler gave with this response: only then has the content
//! certainly changed. In doubt, a read gets the whole content. For the dates of writes,
//! see [writes](#writes).
//!
//! Most services do not compare dates for equality, so the layer does not forward
//! dates, unless you set [`forward`](ConditionalLayer::forward). The extractor
//! [`Preconditions`] and an inner [`PreconditionLayer`] still see the dates. They
//! compare them with the application's own dates, and the layer does not change
//! their decisions.
//!
//! - A generated date is the second in which the layer first saw the content. If other
//!   content was sent just before, the date is a few seconds later. Until that second
//!   has come, the layer sends no date.
//! - In the first two seconds after the layer was made, it sends no generated date. An
//!   earlier process may have sent other content just before that, with the same date.
//! - A date of the inner service is sent if it is in 1990 or later, is before the
//!   current second, and cannot have been sent with other content. Any other date of
//!   the inner service is replaced by a generated date, or removed.
//! - Some responses have no `Last-Modified`: errors, private responses, and responses
//!   with `Vary: *`. A response without a tag has a `Last-Modified` only if the inner
//!   service gives a date that is at least two seconds old.
//!
//! A date can still match wrong content in these cases:
//!
//! - Two replicas generate the same second for different content.
//! - The inner service gives the same date to two contents, and the layer cannot tell
//!   them apart: one of them has no tag and no other length, or the layer has forgotten
//!   it.
//! - The clock was set back during a restart.
//! - A client sends a date from before a restart of the layer: the `Last-Modified` of a
//!   response, or the time at which it got the response. Other content now has this
//!   date as its `Last-Modified`.
//! - A client sends the time at which it got a response. By the client's clock, this
//!   was more than a second after the layer sent the response: the network was slow, or
//!   the clock is fast.
//! - A client ignores `Vary`, or invents a date that happens to match.
//! - The inner service answers 304 by itself.
//! - A [write](#writes) has a generated date in If-Unmodified-Since, and this layer has
//!   not yet seen a read of the resource: the client read it under another URI, or from
//!   another server. The layer then passes the write on, and the inner service may
//!   ignore the date.
//!
//! With [`AddLastModified::Never`] no date is generated.
//!
//! # Memory
//!
//! All memory is bounded. Each layer that you make with `new()` has a memory of its
//! own, which its clones share:
//!
//! | | at most |
//! |---|---|
//! | responses read before they are sent | 64 MiB, plus 64 KiB for each response |
//! | requests that a [`WriteGuard`] reads ahead | 64 MiB, plus 64 KiB for each request |
//! | [content cache](ConditionalLayer::content_cache) | by default 16 MiB |
//! | dates | 2 MiB, for 65,536 contents |
//! | validators of the inner service, for If-Range | 8,192 resources, 4 variants each |
//! | [learned tags](ConditionalLayer::inner_tags) | 16,384 tags, about 200 bytes each |
//! | pending requests to the [store of tags](InnerTags::store) | 1,024, about 300 bytes each |
//! | files of a [`Manifest`] | all files, about 400 bytes each |
//! | unfinished hashes of files that clients request in parts (206) | 1,024 files |
//!
//! Content in a single frame does not count towards the 64 MiB: the inner service
//! holds it anyway. To use less memory, lower
//! [`buffer_limit`](ConditionalLayer::buffer_limit) and
//! [`content_cache`](ConditionalLayer::content_cache). The 64 MiB cannot be changed.
//!
//! If something in this memory was evicted, the next response is hashed again, has
//! another date or none, or is sent as a whole instead of a part. An evicted date can
//! make a response wrong only if the inner service gives the same date to two contents
//! (see [dates](#dates)). When the responses that are being read ahead take 64 MiB,
//! further responses of more than 64 KiB pass through without a tag
//! ([`Reason::Busy`]). [`Stats`] shows how many bytes are read ahead, and how many are
//! in the content cache.
//!
//! # What it does not do
//!
//! - It is not a cache. It serves no stored content, and with a `ConditionalLayer` the
//!   handler always runs: a 304 saves the transfer, not the database query.
//!   [`PreconditionLayer::new`] saves the query, too. So does a GET handler that calls
//!   `preconditions.check(&tag)?` before the query: the error is the 304. Add the
//!   `Cache-Control` and `Vary` of the 200 to it, as [`Rejection`] says. (With
//!   `InnerTags::learn` or `replace`, the handler does not see the client's tags.)
//! - It serves ranges only if [`ranges`](ConditionalLayer::ranges) is set, and only one
//!   range at a time. To serve ranges yourself, use [`Preconditions::allows_range`].
//! - It does not decide how long a response is fresh. Where it adds a
//!   `Last-Modified`, it also prevents caches from guessing a freshness from that
//!   date; see [`AddLastModified`].
//! - It does not tag event streams. It tags responses above the `buffer_limit` only
//!   with the settings for [large content](#large-content).
//! - It does not answer 304 for a date that is later than `Last-Modified`.
//!
//! # Tests
//!
//! Wrap the service in the layer and call it with `tower::ServiceExt::oneshot`, as
//! above. To test dates, give the layer a [`clock`](ConditionalLayer::clock). Three
//! things may surprise you:
//!
//! - In the first two seconds after the layer was made, by that clock, responses have
//!   no generated date, but the same `Cache-Control` as later. If the clock stands
//!   still, snapshots of headers stay the same.
//! - A 304 from an Axum `Router` may have `content-length: 0`, which Axum adds and
//!   Hyper removes over HTTP/1.1.
//! - With `tokio::time::pause`, Tokio may end the `body_timeout` at once. Content that
//!   is not ready then has no tag.
//!
//! The crate [tower-conditional-conformance] checks whether a service handles
//! conditional requests as RFC 9110 says, whether the service uses this crate or not.
//! It takes one line in a test:
//! `tower_conditional_conformance::check(app(), "/feed").await.assert_ok()`.
//!
//! # In production
//!
//! [`ConditionalLayer::stats`] counts the answers, the bytes that were hashed or not
//! sent, and the reasons why responses have no tag. [A
//! recipe](guide::recipes#in-production) writes these counters as Prometheus text. With
//! the feature `tracing`, the layer emits an event for each decision.
//!
//! # Features
//!
//! - `axum`: [`Preconditions`] is an extractor and [`Rejection`] is a response.
//!   [`EntityTag`], [`HttpDate`] and [`Validators`] are response parts:
//!   `(tag, Json(item))`. [`WriteGuard::axum`] guards a router.
//!   [`PreconditionLayer::from_extractor`] takes the parameters of the path.
//!
//!   With this feature a layer identifies a resource by Axum's `OriginalUri`, too, so
//!   `/a/note` and `/b/note` are two resources even inside of `nest`. Without this
//!   feature, a layer inside `nest` sees a path without its prefix, so it takes these
//!   two for one resource. This resource then gets new dates more often than necessary.
//!   Also, a `PreconditionLayer` outside of `nest` and a `ConditionalLayer` inside it
//!   know one resource by different paths. The inner layer may then send a tag of its
//!   own, and the `PreconditionLayer` refuses a write with that tag.
//! - `blake3`: adds the hash `Blake3`, for [`ConditionalLayer::digest`]. It is faster
//!   than SHA-256 for new content of more than a few KiB. It needs a C compiler.
//! - [`client`]: adds types for programs that call HTTP services.
//!   [`Polled`](client::Polled) is a value that is read and parsed only when it has
//!   changed. [`RevalidateLayer`](client::RevalidateLayer) is a layer for Tower clients
//!   that revalidates each response. [`Update`](client::Update) is an edit that does
//!   not overwrite other edits. [`StoredHead`](client::StoredHead) has only the rules,
//!   for clients that are not built on Tower. The feature adds no dependency. See [the
//!   page on calling an API](guide::client).
//! - `shared-tags`: adds [`SharedTags`], for [`InnerTags::store`]. Servers share the
//!   tags of large content that one of them has hashed.
//! - `tracing`: emits events with the target `tower_conditional`. At level DEBUG, there
//!   is one for each decision, with outcome and status, and one for each
//!   `Last-Modified` of the inner service that is not sent. At level WARN, there is one
//!   for each file whose hash differs from the manifest, and one for each shared tag
//!   that was not made with the secret in [`SharedTags`].
//!
//! # Versions
//!
//! The crate follows semantic versioning. Before 1.0, a new minor version may contain
//! breaking changes. Changes of names and signatures, of defaults, and of **the
//! generated tags** are breaking. Code still compiles after a change of the generated
//! tags, but every client fetches all content once more. So the
//! [changelog](guide::changelog) lists changes of the tags first. A new major version
//! of a crate in the public API is also a breaking change: `bytes`, `http`,
//! `http-body`, `tower-layer`, `tower-service`, and `axum` with the feature `axum`.
//!
//! These changes are not breaking: an answer that is closer to RFC 9110, a new setting
//! whose default keeps the behaviour, a new variant of a `non_exhaustive` enum, the
//! texts of errors and of `Debug`, and the amount of memory that is used.
//!
//! The minimum supported Rust version is 1.88, because `sha2` needs it. It is raised in
//! minor releases only.
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
