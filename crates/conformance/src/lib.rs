//! Checks of HTTP conditional requests for your own tests: does this service revalidate
//! as RFC 9110 says?
//!
//! [`check()`] makes over a hundred checks of any Tower service or router, in process
//! and without sockets, whether or not it uses
//! [`ConditionalLayer`](tower_conditional::ConditionalLayer), and reports what it
//! found:
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
//! A failure shows the clause, what was sent and received, and how to fix it:
//!
//! ```text
//! GET /feed: 53 checks passed, 1 failed, 46 not applicable
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
//! One fault gives one failure, where possible: checks that would only repeat it are
//! *not applicable*, and say why.
//!
//! # What counts as a failure
//!
//! | severity | what it means |
//! |---|---|
//! | [`Must`] | an RFC demands it; [`assert_ok`](Report::assert_ok) panics |
//! | [`Should`] | an RFC recommends it; it is a [failure](Report::failures), too |
//! | [`Advice`] | the RFCs leave it open, and clients have had trouble without it |
//!
//! [`Must`]: Severity::Must
//! [`Should`]: Severity::Should
//! [`Advice`]: Severity::Advice
//!
//! So what an RFC allows is no failure: to compare dates for equality (200 for a later
//! If-Modified-Since), to answer a read with an older If-Unmodified-Since with the
//! whole 200, to refuse a part with 503 if the next request gets the whole, to leave a
//! HEAD without the tag that only the content shows. A service with
//! [`ConditionalLayer`](tower_conditional::ConditionalLayer) inside its router has
//! none:
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
//! Where a service deviates for a reason, [`expect`](Check::expect) names the check and
//! the reason. The test then fails only when the deviation is gone.
//!
//! # What is checked
//!
//! Names are `group/name`; [`without`](Check::without) takes a name or a group.
//!
//! | group | what |
//! |---|---|
//! | `answer` | a plain GET is answered 200 |
//! | `validator` | there is one; it is valid, stays the same, and names one content |
//! | `if-none-match` | exact, weak, list, lines, `*`, miss, commas, malformed |
//! | `if-modified-since` | equal, older, later, three forms, no dates, lines |
//! | `if-unmodified-since` | older, equal, no dates, no Last-Modified |
//! | `if-match` | current, miss, list, several lines, `*`, weak, malformed |
//! | `precedence` | tags over dates, If-Match before If-None-Match, both before Range |
//! | `304` | no content, its fields, Content-Length, other fields kept |
//! | `head` | like GET, without content; the length on its 304 |
//! | `encoding` | own tags or weak ones, `Vary`, 304; if encodings are offered |
//! | `error` | errors are left alone; see [`error_at`](Check::error_at) |
//! | `range` | If-Range, the bytes and the tag of parts, 416; if ranges are offered |
//! | `digest` | `Repr-Digest` and `Content-Digest` (RFC 9530); if they are sent |
//! | `cors` | other origins can see the tag; if they may read the content |
//! | `query` | QUERY (RFC 10008); see [`queries`](Check::queries) |
//! | `change` | a change and a rollback are seen; see [`changes`](Check::changes) |
//! | `write` | writes are checked; see [`writes`](Check::writes) |
//!
//! [`rules`] lists them all. A rollback needs [`restores`](Check::restores), too.
//!
//! At most 1 MiB of an answer is read, for at most the [`timeout`](Check::timeout). An
//! event stream, by its media type, is not read at all.
//!
//! # Dates in tests
//!
//! A layer sends no date in its first two seconds, and then the checks of dates are not
//! applicable. To run them, with the same verdicts each time, give the layer a
//! [`clock`](tower_conditional::ConditionalLayer::clock) that moves on:
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
//! The binary `check-conditional` of this crate makes the same checks against a server
//! by its URL, whatever the server is written in:
//!
//! ```console
//! $ cargo install tower-conditional-conformance --features cli
//! $ check-conditional http://127.0.0.1:3000/feed
//! $ check-conditional --http2 --strict --format junit http://127.0.0.1:3000/feed
//! ```
//!
//! Its exit status is 0 if no MUST failed (with `--strict`: and no SHOULD), 1 if one
//! did, and 2 if nothing could be checked. It changes nothing on the server unless it
//! is told how: `--put`, `--change`, `--restore`. It speaks HTTP/1.1, or HTTP/2 with
//! `--http2`, both without TLS.
//!
//! [`Report::to_json`] and [`Report::to_junit`] write what `--format` prints.
//!
//! # Features
//!
//! - `cli`: what the binary needs, and the library does not.

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
