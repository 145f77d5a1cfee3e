//! The check of a service, and its settings.

use std::{
    fmt::{self, Debug},
    future::IntoFuture,
    time::Duration,
};

use bytes::Bytes;
use http::{response, HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use crate::{
    checks,
    content::Content,
    report::Report,
    run::{CustomCheck, Session},
    target::{LocalBoxFuture, ServiceTarget},
};

/// Checks how a service answers conditional requests for `uri`.
///
/// `.await` the result to get the [`Report`].
///
/// The service gets requests with the body [`Content`]. Axum's `Router` and most layers
/// accept this body. So does a closure that does not name the type of its request. For
/// a service that needs another body, use [`check_with`]. The service is called many
/// times, one request after the other. If it panics, the check panics, too.
///
/// See the [crate docs](crate) for an example.
///
/// # Panics
///
/// Panics if `uri` is not a valid URI.
pub fn check<'a, S, B>(service: S, uri: impl TryInto<Uri, Error: Debug>) -> Check<'a>
where
    S: Service<Request<Content>, Response = Response<B>, Error: Debug> + 'a,
    B: Body<Error: Debug> + 'a,
{
    check_with(service, uri, |content| content)
}

/// Like [`check()`], for a service whose request body is not [`Content`].
///
/// The function `body` converts `Content` to the body of the service.
///
/// ```
/// # use axum::body::Body;
/// # use http::{Request, Response};
/// # use tower_conditional_conformance::check_with;
/// # type Service<B> =
/// #     tower::util::BoxCloneSyncService<Request<B>, Response<Body>, String>;
/// # async fn run(service: Service<Body>) {
/// check_with(service, "/feed", Body::new).await.assert_ok();
/// # }
/// # async fn run_unit(service: Service<()>) {
/// check_with(service, "/feed", drop).await.assert_ok(); // `Request<()>`
/// # }
/// # use http_body_util::Full;
/// # async fn run_full(service: Service<Full<bytes::Bytes>>) {
/// check_with(service, "/feed", |content| Full::new(content.into())).await.assert_ok();
/// # }
/// ```
///
/// # Panics
///
/// Panics if `uri` is not a valid URI.
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
        session: Session {
            target: Box::new(ServiceTarget::new(service, body)),
            uri: uri.try_into().expect("a URI to check"),
            headers: HeaderMap::new(),
            left_out: Vec::new(),
            encodings: ["gzip", "br", "zstd", "deflate"].map(HeaderValue::from_static).into(),
            error_uri: Uri::from_static("/there-is-no-such-page"),
            expected: Vec::new(),
            query: None,
            write: None,
            change: None,
            restore: None,
            custom: Vec::new(),
            timeout: Duration::from_secs(10),
            may_be_endless: false,
        },
    }
}

/// All checks of a service, and their settings. [`check()`] returns this value, and
/// `.await` runs the checks.
///
/// ```
/// # use axum::{routing::get, Router};
/// # use tower_conditional::ConditionalLayer;
/// # use tower_conditional_conformance::check;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let app = Router::new().route("/feed", get(|| async { "news" }));
/// # let app = app.layer(ConditionalLayer::new());
/// check(app, "/feed")
///     .header("authorization", "Bearer test")
///     .without("head")
///     .error_at("/broken")
///     .await
///     .assert_ok();
/// # }
/// ```
///
/// The future is not `Send`, so the service need not be `Send`. Tests and `main` do not
/// need a `Send` future.
#[must_use = "checks are made when they are awaited"]
pub struct Check<'a> {
    session: Session<'a>,
}

impl<'a> Check<'a> {
    /// Adds a header field to all requests, such as `Cookie`, `Authorization` or
    /// `Host`.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let check = check.header("cookie", "session=7");
    /// # }
    /// ```
    ///
    /// The report does not show the values of `Authorization`, `Cookie`,
    /// `Proxy-Authorization`, `Set-Cookie` and of [sensitive
    /// fields](HeaderValue::set_sensitive).
    ///
    /// # Panics
    ///
    /// Panics if `name` or `value` is not valid in a header field.
    pub fn header(
        mut self,
        name: impl TryInto<HeaderName, Error: Debug>,
        value: impl TryInto<HeaderValue, Error: Debug>,
    ) -> Self {
        self.session.headers.append(
            name.try_into().expect("a field name"),
            value.try_into().expect("a field value"),
        );
        self
    }

    /// Excludes a check, or a group of checks.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
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
        assert!(checks::rules().any(|rule| rule.is_named(name)), "there is no check `{name}`");
        self.session.left_out.push(name.to_owned());
        self
    }

    /// Marks a check, or a group of checks, as expected to fail, with the reason.
    ///
    /// If the check fails, that does not count as a [failure](Report::failures), and
    /// [`assert_ok`](Report::assert_ok) does not panic. If the check passes, it counts
    /// as failed, so that you remove the `expect`. If `name` is a group, each check of
    /// the group may fail or pass.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let check = check.expect("304/fields", "the proxy in front adds `Vary`");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if there is no such check.
    pub fn expect(mut self, name: &str, why: impl Into<String>) -> Self {
        assert!(checks::rules().any(|rule| rule.is_named(name)), "there is no check `{name}`");
        self.session.expected.push((name.to_owned(), why.into()));
        self
    }

    /// Sets a function that changes the content of the resource.
    ///
    /// The function is called at most eight times. Without this function, the group
    /// `change` is not applicable.
    ///
    /// ```
    /// # use axum::{extract::State, routing::get, Router};
    /// # use std::sync::{atomic::{AtomicUsize, Ordering}, Arc};
    /// # use tower_conditional::ConditionalLayer;
    /// # use tower_conditional_conformance::check;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let visits = Arc::new(AtomicUsize::new(0));
    /// # let read = |State(visits): State<Arc<AtomicUsize>>| async move {
    /// #     visits.load(Ordering::Relaxed).to_string()
    /// # };
    /// # let app = Router::new().route("/visits", get(read));
    /// # let app = app.with_state(visits.clone());
    /// # let app = app.layer(ConditionalLayer::new());
    /// let check = check(app, "/visits").changes(async || {
    ///     visits.fetch_add(1, Ordering::Relaxed);
    /// });
    /// check.await.assert_ok();
    /// # }
    /// ```
    pub fn changes(mut self, change: impl AsyncFnMut() + 'a) -> Self {
        self.session.change = Some(Box::new(change));
        self
    }

    /// Sets a function that restores older content with its old date, as the rollback
    /// of a deployment does.
    ///
    /// The function is called once, after a [change](Self::changes). Without this
    /// function, the check `change/rollback` is not applicable.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// # fn copy(_: &str) {}
    /// let check = check
    ///     .changes(async || copy("releases/2/feed.txt"))
    ///     .restores(async || copy("releases/1/feed.txt"));
    /// # }
    /// ```
    pub fn restores(mut self, restore: impl AsyncFnMut() + 'a) -> Self {
        self.session.restore = Some(Box::new(restore));
        self
    }

    /// Sets a QUERY ([RFC 10008](https://www.rfc-editor.org/rfc/rfc10008.html)) that
    /// succeeds. The method of `query` is ignored.
    ///
    /// The query is sent to its own URI, with preconditions. Without a query, the group
    /// `query` is not applicable.
    ///
    /// ```
    /// # use http::Request;
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let query = Request::post("/notes").header("content-type", "application/json");
    /// let check = check.queries(query.body(r#"{"title":"news"}"#).unwrap());
    /// # }
    /// ```
    pub fn queries(mut self, query: Request<impl Into<Bytes>>) -> Self {
        let mut query = query.map(Into::into);
        *query.method_mut() = crate::step::query_method();
        self.session.query = Some(query);
        self
    }

    /// Sets a write that succeeds and changes the content.
    ///
    /// The checks then verify that this write is refused when its preconditions fail.
    /// Without a write, the group `write` is not applicable.
    ///
    /// The write is sent to its own URI at most 13 times, with preconditions. A service
    /// that checks preconditions runs it at most five times, and refuses it the other
    /// times.
    ///
    /// ```
    /// # use http::Request;
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let write = Request::put("/flags").header("content-type", "application/json");
    /// let write = write.body(r#"{"dark-mode":false}"#).unwrap();
    /// let check = check.writes(write);
    /// # }
    /// ```
    pub fn writes(mut self, write: Request<impl Into<Bytes>>) -> Self {
        self.session.write = Some(write.map(Into::into));
        self
    }

    /// Sets the content codings to request, one at a time. Default: gzip, br, zstd,
    /// deflate.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let check = check.encodings(["gzip"]);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a coding is not a valid field value.
    pub fn encodings(
        mut self,
        codings: impl IntoIterator<Item = impl TryInto<HeaderValue, Error: Debug>>,
    ) -> Self {
        self.session.encodings = codings
            .into_iter()
            .map(|coding| coding.try_into().expect("a content coding"))
            .collect();
        self
    }

    /// Sets the URI of a resource that is answered with an error. Default: a path that
    /// probably does not exist.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let check = check.error_at("/feeds/unknown");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `uri` is not a valid URI.
    pub fn error_at(mut self, uri: impl TryInto<Uri, Error: Debug>) -> Self {
        self.session.error_uri = uri.try_into().expect("a URI of an error");
        self
    }

    /// Adds your own check: a request, and a condition for the head of its answer.
    ///
    /// ```
    /// # use http::{header::CACHE_CONTROL, Request};
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let request = Request::get("/feed").body("").unwrap();
    /// let check = check.also("it says how long it is fresh", request, |head| {
    ///     head.headers.contains_key(CACHE_CONTROL)
    /// });
    /// # }
    /// ```
    pub fn also(
        mut self,
        name: impl Into<String>,
        request: Request<impl Into<Bytes>>,
        holds: impl Fn(&response::Parts) -> bool + 'a,
    ) -> Self {
        self.session.custom.push(CustomCheck {
            name: name.into(),
            request: request.map(Into::into),
            holds: Box::new(holds),
        });
        self
    }

    /// Sets the timeout for the head of an answer, and for its content. Default: 10
    /// seconds.
    ///
    /// If the content of the first answer does not end in that time, the checks read
    /// only the heads of later successful answers.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let check = check.timeout(std::time::Duration::from_secs(1));
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.session.timeout = timeout;
        self
    }
}

impl<'a> IntoFuture for Check<'a> {
    type Output = Report;
    type IntoFuture = LocalBoxFuture<'a, Report>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.session.run())
    }
}

impl Debug for Check<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("uri", &self.session.uri)
            .field("left_out", &self.session.left_out)
            .finish_non_exhaustive()
    }
}
