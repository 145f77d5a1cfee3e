//! Checks in your own tests that a service handles HTTP conditional requests as RFC
//! 9110 says.
//!
//! [`check()`] sends requests to a Tower service or a router, in process and without
//! sockets, and makes over a hundred checks of the answers. The service need not use
//! [`ConditionalLayer`](tower_conditional::ConditionalLayer).
//!
//! ```
//! use axum::{routing::get, Router};
//! use tower_conditional::ConditionalLayer;
//!
//! fn app() -> Router {
//!     Router::new()
//!         .route("/feed", get(|| async { "news" }))
//!         .layer(ConditionalLayer::new())
//! }
//!
//! # /*
//! #[tokio::test]
//! # */
//! async fn feed_revalidates() {
//!     tower_conditional_conformance::check(app(), "/feed").await.assert_ok();
//! }
//! # let mut builder = tokio::runtime::Builder::new_current_thread();
//! # builder.enable_all().build().unwrap().block_on(feed_revalidates());
//! ```
//!
//! The report of a failure shows the clause, the request, the answer, and how to fix
//! the service:
//!
//! ```text
//! GET /feed: 53 checks passed, 1 failed, 50 not applicable
//!
//! FAILED  if-none-match/weak (MUST, RFC 9110, 13.1.2)
//!   If-None-Match compares weakly: W/"v1" and "v1" are the same to it.
//!     > GET /feed
//!     > if-none-match: W/"v1"
//!     < 200 OK
//!     < etag: "v1"
//!     < (4 bytes of content)
//!   wanted: 304 (Not Modified)
//!   hint: Leave `W/` out of the comparison, on both sides: `EntityTag::weak_eq`. ..
//! ```
//!
//! If possible, one fault of the service gives one failure. Checks that would only
//! repeat this failure are *not applicable*. The report says why.
//!
//! # What counts as a failure
//!
//! | severity | the checked behaviour |
//! |---|---|
//! | [`Must`] | is required by an RFC, or revalidation does not work without it |
//! | [`Should`] | is recommended by an RFC |
//! | [`Advice`] | is left open by the RFCs, but some clients have problems without it |
//!
//! If a check of severity `Must` or `Should` fails, that is a
//! [failure](Report::failures), unless you [expect](Check::expect) it.
//! [`assert_ok`](Report::assert_ok) panics only for severity `Must`.
//!
//! [`Must`]: Severity::Must
//! [`Should`]: Severity::Should
//! [`Advice`]: Severity::Advice
//!
//! Where an RFC leaves a choice, every choice passes. For example, a service may:
//!
//! - compare dates for equality (200 for a later If-Modified-Since),
//! - answer a GET with 200 if its If-Unmodified-Since is older than `Last-Modified`,
//! - answer a request for a part with 503, if the next request gets the whole content,
//! - omit the tag on a HEAD, if the tag is computed from the content.
//!
//! A service with [`ConditionalLayer`](tower_conditional::ConditionalLayer) inside its
//! router has no failures:
//!
//! ```
//! # use axum::{routing::get, Router};
//! # use tower_conditional::ConditionalLayer;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let app = Router::new().route("/feed", get(|| async { "news" }));
//! # let app = app.layer(ConditionalLayer::new());
//! let report = tower_conditional_conformance::check(app, "/feed").await;
//! assert_eq!(report.failures().count(), 0, "{report}");
//! # }
//! ```
//!
//! If a service fails a check for a good reason, pass the name of the check and the
//! reason to [`expect`](Check::expect). If the service passes this check later, the
//! check counts as failed, so that you remove the `expect`.
//!
//! # What is checked
//!
//! The name of a check is `group/name`. [`without`](Check::without) takes the name of a
//! check or of a group. [`rules`] lists all checks, with what they require.
//!
//! | group | what the checks are about |
//! |---|---|
//! | `answer` | a plain GET is answered with 200 |
//! | `validator` | there is a valid, stable validator; a strong tag names one content |
//! | `if-none-match` | current and other tags, `*`, lists, invalid values |
//! | `if-modified-since` | equal, older and later dates, old formats, invalid values |
//! | `if-unmodified-since` | equal and older dates, invalid values, no Last-Modified |
//! | `if-match` | current, other and weak tags, `*`, lists, invalid values |
//! | `precedence` | tags over dates, If-Match before If-None-Match before Range |
//! | `304` | no content; the fields that caches need; no wrong `Content-Length` |
//! | `head` | answers like those to GET, without content; `Content-Length` on a 304 |
//! | `encoding` | if encodings are offered: different or weak tags, `Vary`, 304 |
//! | `error` | preconditions do not change errors; see [`error_at`](Check::error_at) |
//! | `range` | if ranges are offered: If-Range, the bytes and the tag of parts, 416 |
//! | `digest` | if they are sent: `Repr-Digest` and `Content-Digest` (RFC 9530) |
//! | `cors` | if other origins may read the content: they can see the tag |
//! | `query` | QUERY (RFC 10008); see [`queries`](Check::queries) |
//! | `change` | a change and a rollback are detected; see [`changes`](Check::changes) |
//! | `write` | writes are checked; see [`writes`](Check::writes) |
//!
//! The check `change/rollback` also needs [`restores`](Check::restores).
//!
//! At most 1 MiB of the content of each answer is read, and only until the
//! [`timeout`](Check::timeout). The content of event streams, which are detected by
//! their media type, is not read.
//!
//! # Dates in tests
//!
//! A `ConditionalLayer` adds no `Last-Modified` in its first two seconds, so the checks
//! of dates are not applicable in this time. To run them each time, give the layer a
//! [`clock`](tower_conditional::ConditionalLayer::clock) that you advance:
//!
//! ```
//! use std::{
//!     sync::{atomic::{AtomicU64, Ordering}, Arc},
//!     time::{Duration, UNIX_EPOCH},
//! };
//! # use axum::{routing::get, Router};
//! # use tower_conditional::ConditionalLayer;
//! # use tower_conditional_conformance::{check, Verdict};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let seconds = Arc::new(AtomicU64::new(1_795_348_800));
//! let now = Arc::clone(&seconds);
//! let layer = ConditionalLayer::new()
//!     .clock(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed)));
//! seconds.fetch_add(10, Ordering::Relaxed);
//! let app = Router::new().route("/feed", get(|| async { "news" })).layer(layer);
//!
//! let report = check(app, "/feed").await;
//! report.assert_ok();
//! # let name = "if-modified-since/equal";
//! # let mut equal = report.iter().filter(|found| found.name() == name);
//! # assert!(equal.any(|found| *found.verdict() == Verdict::Passed));
//! # }
//! ```
//!
//! # Servers
//!
//! The binary `check-conditional` of this crate makes the same checks against any
//! server, by URL. In a copy of the repository:
//!
//! ```console
//! $ cargo install --path crates/conformance --features cli
//! $ check-conditional http://127.0.0.1:3000/feed
//! $ check-conditional --http2 --strict --format junit http://127.0.0.1:3000/feed
//! ```
//!
//! Its exit status is 0 if no MUST failed, 1 if a MUST failed, and 2 if nothing could
//! be checked. With `--strict`, a SHOULD counts like a MUST. The checks change nothing
//! on the server, except with `--put`, `--change` or `--restore`. Requests use
//! HTTP/1.1, or HTTP/2 with `--http2`, both without TLS.
//!
//! [`Report::to_json`] and [`Report::to_junit`] return the text that the binary prints
//! with `--format json` and `--format junit`.
//!
//! # Features
//!
//! - `cli`: adds the binary `check-conditional`, and its dependencies.

mod answer;
mod baseline;
mod check;
mod checks;
mod content;
mod fields;
mod format;
mod report;
mod rule;
mod run;
mod step;
mod target;
mod timeout;

pub use self::{
    check::{check, check_with, Check},
    checks::rules,
    content::Content,
    report::{Finding, Report, Severity, Verdict},
    rule::Rule,
};
