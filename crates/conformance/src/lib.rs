//! Checks of conditional requests for your own tests: does this service revalidate as RFC 9110 says?
//!
//! [`check`] sends some seventy requests to any Tower service or router, in process and without sockets, whether or not
//! it uses [`ConditionalLayer`](crate::ConditionalLayer), and reports what it found:
//!
//! ```
//! use axum::{routing::get, Router};
//! use tower_conditional::{conformance, ConditionalLayer};
//!
//! fn app() -> Router {
//!     Router::new().route("/feed", get(|| async { "news" })).layer(ConditionalLayer::new())
//! }
//!
//! # /*
//! #[tokio::test]
//! # */
//! async fn feed_revalidates() {
//!     conformance::check(app(), "/feed").await.assert_ok();
//! }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(feed_revalidates());
//! ```
//!
//! What fails is shown with what was sent and seen, the clause, and how to mend it:
//!
//! ```text
//! GET /feed: 49 checks passed, 1 failed, 27 not applicable
//!
//! FAILED  if-none-match/weak (MUST, RFC 9110, 13.1.2)
//!   If-None-Match compares weakly: W/"v1" and "v1" are the same to it.
//!     > GET /feed
//!     > if-none-match: W/"v1"
//!     < 200 OK
//!     < etag: "v1"
//!     < (4 octets of content)
//!   wanted: 304 (Not Modified)
//!   hint: Leave `W/` out of the comparison, on both sides: `EntityTag::weak_eq`. Proxies that compress make tags weak.
//! ```
//!
//! One fault gives one failure, as far as that can be told: checks that would only repeat it are *not applicable*, and say
//! why.
//!
//! # What is checked
//!
//! Names are `group/name`; [`without`](Check::without) takes a name or a group.
//!
//! | group                 | what                                                                              |
//! |-----------------------|-----------------------------------------------------------------------------------|
//! | `answer`              | a plain GET is answered 200                                                       |
//! | `validator`           | there is one, it can be read, it stays the same, and names one content            |
//! | `if-none-match`       | exact, weak, list, several lines, `*`, miss, commas and stars in tags, malformed  |
//! | `if-modified-since`   | equal, older, later (SHOULD), the three forms, no dates, two lines                |
//! | `if-unmodified-since` | older, equal, no dates, no Last-Modified                                          |
//! | `if-match`            | current, miss, list, several lines, `*`, weak, malformed                          |
//! | `precedence`          | tags over dates, If-Match before If-None-Match, both before Range                 |
//! | `304`                 | no content, the six fields, Content-Length, no description of content, other fields kept |
//! | `head`                | like GET, without content                                                         |
//! | `encoding`            | tags of their own or weak ones, `Vary`, revalidation; if encodings are offered    |
//! | `error`               | errors are left alone; see [`error_at`](Check::error_at)                          |
//! | `range`               | If-Range, the tag of parts; if ranges are offered                                 |
//! | `change`              | a change is seen; see [`changes`](Check::changes)                                 |
//! | `write`               | writes are guarded; see [`writes`](Check::writes)                                 |
//!
//! Not more than 1 MiB of an answer is read, and it is waited for no longer than [`timeout`](Check::timeout); what is an
//! event stream by its type is not read at all.
//!
//! # Dates in tests
//!
//! A layer that was made just now has no date to give yet, and the checks of dates are not applicable. To have them, and
//! the same verdicts at each run, give the layer a [`clock`](crate::ConditionalLayer::clock) that moves on:
//!
//! ```
//! use std::{
//!     sync::{atomic::{AtomicU64, Ordering}, Arc},
//!     time::{Duration, UNIX_EPOCH},
//! };
//! # use axum::{routing::get, Router};
//! # use tower_conditional::{conformance::{self, Verdict}, ConditionalLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let seconds = Arc::new(AtomicU64::new(1_795_348_800));
//! let now = Arc::clone(&seconds);
//! let layer = ConditionalLayer::new().clock(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed)));
//! seconds.fetch_add(10, Ordering::Relaxed);
//! let app = Router::new().route("/feed", get(|| async { "news" })).layer(layer);
//!
//! let report = conformance::check(app, "/feed").await;
//! report.assert_ok();
//! # assert!(report.iter().any(|found| found.name() == "if-modified-since/equal" && *found.verdict() == Verdict::Passed));
//! # }
//! ```
//!
//! # Servers
//!
//! The example `check` of this crate makes the same checks against a server by its URL:
//! `cargo run --features conformance --example check -- http://127.0.0.1:3000/feed`.

mod answer;
mod ask;
mod checks;
mod content;
mod facts;
mod patience;
mod report;
mod run;
mod target;

use std::{
    fmt::{self, Debug},
    future::IntoFuture,
    time::Duration,
};

use bytes::Bytes;
use http::{response, HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use self::target::{Change, Later, Served, Target};
pub use self::{
    content::Content,
    report::{Finding, Report, Severity, Verdict},
};

/// Checks how a service answers conditional requests for `uri`: `.await` it for the [`Report`].
///
/// The service gets requests whose body is [`Content`]: routers and most layers take that, and so does a closure that does
/// not say what it takes. For others there is [`check_with`]. It is called again and again, one request after the other;
/// should it panic, so does the check.
///
/// See the [module](self) for an example.
///
/// # Panics
///
/// Panics if `uri` is none.
pub fn check<'a, S, B>(service: S, uri: impl TryInto<Uri, Error: Debug>) -> Check<'a>
where
    S: Service<Request<Content>, Response = Response<B>, Error: Debug> + 'a,
    B: Body<Error: Debug> + 'a,
{
    check_with(service, uri, |content| content)
}

/// Checks a service with a request body of its own, made by `body`.
///
/// ```
/// # use axum::body::Body;
/// # use http::{Request, Response};
/// # use tower_conditional::conformance::check_with;
/// # async fn run(service: tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, std::io::Error>) {
/// check_with(service, "/feed", Body::new).await.assert_ok();
/// # }
/// # async fn run_unit(service: tower::util::BoxCloneSyncService<Request<()>, Response<Body>, std::io::Error>) {
/// check_with(service, "/feed", drop).await.assert_ok(); // `Request<()>`
/// # }
/// # use http_body_util::Full;
/// # async fn run_full(service: tower::util::BoxCloneSyncService<Request<Full<bytes::Bytes>>, Response<Body>, String>) {
/// check_with(service, "/feed", |content| Full::new(content.into())).await.assert_ok();
/// # }
/// ```
///
/// # Panics
///
/// Panics if `uri` is none.
pub fn check_with<'a, S, R, B>(
    service: S,
    uri: impl TryInto<Uri, Error: Debug>,
    body: impl FnMut(Content) -> R + 'a,
) -> Check<'a>
where
    S: Service<Request<R>, Response = Response<B>, Error: Debug> + 'a,
    R: 'a,
    B: Body<Error: Debug> + 'a,
{
    Check {
        target: Box::new(Served::new(service, body)),
        uri: uri.try_into().expect("a URI to check"),
        headers: HeaderMap::new(),
        left_out: Vec::new(),
        encodings: ["gzip", "br", "zstd", "deflate"].map(HeaderValue::from_static).into(),
        error_uri: Uri::from_static("/there-is-no-such-page"),
        write: None,
        change: None,
        also: Vec::new(),
        patience: Duration::from_secs(10),
        may_be_endless: false,
    }
}

/// Checks to be made, and settings for them; made by [`check`], and done when awaited.
///
/// ```
/// # use axum::{routing::get, Router};
/// # use tower_conditional::{conformance, ConditionalLayer};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let app = Router::new().route("/feed", get(|| async { "news" })).layer(ConditionalLayer::new());
/// conformance::check(app, "/feed")
///     .header("authorization", "Bearer test")
///     .without("head")
///     .error_at("/broken")
///     .await
///     .assert_ok();
/// # }
/// ```
///
/// The future is not `Send`, so that the service need not be; tests and `main` do not ask for it.
#[must_use = "checks are made when they are awaited"]
pub struct Check<'a> {
    target: Box<dyn Target + 'a>,
    uri: Uri,
    headers: HeaderMap,
    left_out: Vec<String>,
    encodings: Vec<HeaderValue>,
    error_uri: Uri,
    write: Option<Request<Bytes>>,
    change: Option<Box<dyn Change + 'a>>,
    also: Vec<Also<'a>>,
    patience: Duration,
    may_be_endless: bool,
}

/// A check of the user's own.
struct Also<'a> {
    name: String,
    request: Request<Bytes>,
    holds: Box<dyn Fn(&response::Parts) -> bool + 'a>,
}

impl<'a> Check<'a> {
    /// Adds a header field to all requests: a cookie, an authorization, a host.
    ///
    /// ```
    /// # fn with(check: tower_conditional::conformance::Check<'_>) {
    /// let check = check.header("cookie", "session=7");
    /// # }
    /// ```
    ///
    /// Values of `Authorization`, `Cookie`, `Proxy-Authorization`, `Set-Cookie` and of what
    /// [is sensitive](HeaderValue::set_sensitive) are not shown in the report.
    ///
    /// # Panics
    ///
    /// Panics if this is no header field.
    pub fn header(
        mut self,
        name: impl TryInto<HeaderName, Error: Debug>,
        value: impl TryInto<HeaderValue, Error: Debug>,
    ) -> Self {
        self.headers.append(
            name.try_into().expect("a field name"),
            value.try_into().expect("a field value"),
        );
        self
    }

    /// Leaves out a check, or a group of them.
    ///
    /// ```
    /// # fn with(check: tower_conditional::conformance::Check<'_>) {
    /// let check = check.without("head"); // an endpoint for GET alone
    /// # let check =
    /// check.without("if-none-match/unquoted");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if there is no such check.
    pub fn without(mut self, name: &str) -> Self {
        assert!(checks::all().any(|rule| rule.is_named(name)), "there is no check `{name}`");
        self.left_out.push(name.to_owned());
        self
    }

    /// Says how to change the resource, so that its content differs afterwards; it is called three times at most.
    ///
    /// Without it the group `change` is not applicable.
    ///
    /// ```
    /// # use axum::{extract::State, routing::get, Router};
    /// # use std::sync::{atomic::{AtomicUsize, Ordering}, Arc};
    /// # use tower_conditional::{conformance, ConditionalLayer};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let visits = Arc::new(AtomicUsize::new(0));
    /// # let read = |State(visits): State<Arc<AtomicUsize>>| async move { visits.load(Ordering::Relaxed).to_string() };
    /// # let app = Router::new().route("/visits", get(read)).with_state(visits.clone()).layer(ConditionalLayer::new());
    /// let check = conformance::check(app, "/visits").changes(async || {
    ///     visits.fetch_add(1, Ordering::Relaxed);
    /// });
    /// check.await.assert_ok();
    /// # }
    /// ```
    pub fn changes(mut self, change: impl AsyncFnMut() + 'a) -> Self {
        self.change = Some(Box::new(change));
        self
    }

    /// Gives a write that succeeds and changes the content, to see whether it is refused when it should be.
    ///
    /// It is sent with preconditions, to its own URI, about a dozen times; a guarded service performs it three or four
    /// times. Without it the group `write` is not applicable.
    ///
    /// ```
    /// # use http::Request;
    /// # fn with(check: tower_conditional::conformance::Check<'_>) {
    /// let write = Request::put("/flags").header("content-type", "application/json").body(r#"{"dark-mode":false}"#).unwrap();
    /// let check = check.writes(write);
    /// # }
    /// ```
    pub fn writes(mut self, write: Request<impl Into<Bytes>>) -> Self {
        self.write = Some(write.map(Into::into));
        self
    }

    /// Sets the content codings to ask for, one at a time; gzip, br, zstd and deflate by default.
    ///
    /// ```
    /// # fn with(check: tower_conditional::conformance::Check<'_>) {
    /// let check = check.encodings(["gzip"]);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if one of them is no field value.
    pub fn encodings(
        mut self,
        codings: impl IntoIterator<Item = impl TryInto<HeaderValue, Error: Debug>>,
    ) -> Self {
        self.encodings = codings
            .into_iter()
            .map(|coding| coding.try_into().expect("a content coding"))
            .collect();
        self
    }

    /// Says where an error is found; by default a page is asked for that is not likely to exist.
    ///
    /// ```
    /// # fn with(check: tower_conditional::conformance::Check<'_>) {
    /// let check = check.error_at("/feeds/unknown");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `uri` is none.
    pub fn error_at(mut self, uri: impl TryInto<Uri, Error: Debug>) -> Self {
        self.error_uri = uri.try_into().expect("a URI of an error");
        self
    }

    /// Adds a check of your own: a request, and what must hold for the head of its answer.
    ///
    /// ```
    /// # use http::{header::CACHE_CONTROL, Request};
    /// # fn with(check: tower_conditional::conformance::Check<'_>) {
    /// let request = Request::get("/feed").body("").unwrap();
    /// let check = check.also("it says how long it is fresh", request, |head| head.headers.contains_key(CACHE_CONTROL));
    /// # }
    /// ```
    pub fn also(
        mut self,
        name: impl Into<String>,
        request: Request<impl Into<Bytes>>,
        holds: impl Fn(&response::Parts) -> bool + 'a,
    ) -> Self {
        self.also.push(Also {
            name: name.into(),
            request: request.map(Into::into),
            holds: Box::new(holds),
        });
        self
    }

    /// Sets how long an answer is waited for, and then its content; 10 seconds by default.
    ///
    /// Content that does not end in that time is looked at no more, only its heads are.
    ///
    /// ```
    /// # fn with(check: tower_conditional::conformance::Check<'_>) {
    /// let check = check.timeout(std::time::Duration::from_secs(1));
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience = timeout;
        self
    }
}

impl<'a> IntoFuture for Check<'a> {
    type Output = Report;
    type IntoFuture = Later<'a, Report>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Debug for Check<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("uri", &self.uri)
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}
