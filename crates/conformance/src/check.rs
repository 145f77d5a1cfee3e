//! What to check: a service, and the settings.

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

/// Checks how a service answers conditional requests for `uri`: `.await` it for the
/// [`Report`].
///
/// The service gets requests whose body is [`Content`]: routers and most layers take
/// that, and so does a closure that does not say what it takes. For others there is
/// [`check_with`]. It is called again and again, one request after the other; should it
/// panic, so does the check.
///
/// See the [crate docs](crate) for an example.
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
/// # use tower_conditional_conformance::check_with;
/// # type Service<B> = tower::util::BoxCloneSyncService<Request<B>, Response<Body>, String>;
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
        session: Session {
            target: Box::new(ServiceTarget::new(service, body)),
            uri: uri.try_into().expect("a URI to check"),
            headers: HeaderMap::new(),
            left_out: Vec::new(),
            encodings: ["gzip", "br", "zstd", "deflate"].map(HeaderValue::from_static).into(),
            error_uri: Uri::from_static("/there-is-no-such-page"),
            write: None,
            change: None,
            custom: Vec::new(),
            timeout: Duration::from_secs(10),
            may_be_endless: false,
        },
    }
}

/// Checks to be made, and settings for them; made by [`check()`], and done when
/// awaited.
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
/// The future is not `Send`, so that the service need not be; tests and `main` do not
/// ask for it.
#[must_use = "checks are made when they are awaited"]
pub struct Check<'a> {
    session: Session<'a>,
}

impl<'a> Check<'a> {
    /// Adds a header field to all requests: a cookie, an authorization, a host.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let check = check.header("cookie", "session=7");
    /// # }
    /// ```
    ///
    /// Values of `Authorization`, `Cookie`, `Proxy-Authorization`, `Set-Cookie` and of
    /// what [is sensitive](HeaderValue::set_sensitive) are not shown in the report.
    ///
    /// # Panics
    ///
    /// Panics if this is no header field.
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

    /// Leaves out a check, or a group of them.
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
        assert!(checks::all().any(|rule| rule.is_named(name)), "there is no check `{name}`");
        self.session.left_out.push(name.to_owned());
        self
    }

    /// Says how to change the resource, so that its content differs afterwards; it is
    /// called five times at most.
    ///
    /// Without it the group `change` is not applicable.
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
    /// # let app = Router::new().route("/visits", get(read)).with_state(visits.clone());
    /// # let app = app.layer(ConditionalLayer::new());
    /// let check = tower_conditional_conformance::check(app, "/visits").changes(async || {
    ///     visits.fetch_add(1, Ordering::Relaxed);
    /// });
    /// check.await.assert_ok();
    /// # }
    /// ```
    pub fn changes(mut self, change: impl AsyncFnMut() + 'a) -> Self {
        self.session.change = Some(Box::new(change));
        self
    }

    /// Gives a write that succeeds and changes the content, to see whether it is
    /// refused when it should be.
    ///
    /// It is sent with preconditions, to its own URI, about a dozen times; a guarded
    /// service performs it three or four times. Without it the group `write` is not
    /// applicable.
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

    /// Sets the content codings to ask for, one at a time; gzip, br, zstd and deflate
    /// by default.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
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
        self.session.encodings = codings
            .into_iter()
            .map(|coding| coding.try_into().expect("a content coding"))
            .collect();
        self
    }

    /// Says where an error is found; by default a page is asked for that is not likely
    /// to exist.
    ///
    /// ```
    /// # fn with(check: tower_conditional_conformance::Check<'_>) {
    /// let check = check.error_at("/feeds/unknown");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `uri` is none.
    pub fn error_at(mut self, uri: impl TryInto<Uri, Error: Debug>) -> Self {
        self.session.error_uri = uri.try_into().expect("a URI of an error");
        self
    }

    /// Adds a check of your own: a request, and what must hold for the head of its
    /// answer.
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

    /// Sets how long an answer is waited for, and then its content; 10 seconds by
    /// default.
    ///
    /// Content that does not end in that time is looked at no more, only its heads are.
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
