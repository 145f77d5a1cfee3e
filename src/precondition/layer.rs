//! `PreconditionLayer` and its settings.

use std::{fmt, future::Future, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{request, HeaderMap, Response};
use tower_layer::Layer;

use super::{
    config::{FromSource, PreconditionConfig},
    service::PreconditionService,
    source::{IntoRepresentation, StateSource},
};
use crate::{stats::Stats, validators::AddLastModified};

/// Evaluates preconditions before it calls the service that it wraps.
///
/// A [`ConditionalLayer`](crate::ConditionalLayer) evaluates preconditions only when it
/// has the response. This layer evaluates them before the handler runs: it refuses
/// writes, answers reads with 304, and removes a `Range` if no part (206) may be sent.
/// Both layers can be combined in any order; see [the crate docs](crate#writes).
///
/// This layer takes the validators from a [`StateSource`]: usually a closure that reads
/// them, for example from a version column in a database. A
/// [`WriteGuard`](crate::WriteGuard) takes them from the service itself, with a GET.
///
/// The layer clones the service for each request for which it calls the source. Axum
/// clones its services for each request anyway.
///
/// See [`new`](Self::new) for an example.
#[derive(Clone)]
#[must_use]
pub struct PreconditionLayer<K> {
    kind: K,
    config: Arc<PreconditionConfig>,
}

impl<F: StateSource> PreconditionLayer<FromSource<F>> {
    /// Makes a layer that calls a closure for the current state of a resource.
    ///
    /// - GET and HEAD: if a precondition fails, the answer is 304 (Not Modified) or 412
    ///   (Precondition Failed), and the handler does not run. An If-Range that does not
    ///   name the current state is removed together with `Range`, so the handler sends
    ///   the whole content. If the response of the handler lacks validators, the layer
    ///   adds them.
    /// - Writes: if a precondition fails, the answer is 412, and the handler does not
    ///   run. For example, a PUT with `If-None-Match: *` can only create a resource.
    ///   The layer does not call the closure for a write without preconditions.
    /// - OPTIONS, TRACE and CONNECT pass through, and so does QUERY unless
    ///   [`query`](Self::query) is set.
    ///
    /// # What the tag must be
    ///
    /// **A version must never be used twice.** If a resource is deleted and created
    /// again, or rolled back, it must get a version that it never had. Otherwise a
    /// client with the old content gets a 304 for the new content. With If-Match, that
    /// client can even overwrite a state that it has not seen. The usual mistake is a
    /// counter that starts at 1 again. Use a database sequence that all rows of the
    /// table share, a random id, or a hash.
    ///
    /// **The tag must also change with the template.** If a new build renders the same
    /// row differently, the tag must change, too, so make it from the version and the
    /// build: [`EntityTag::of_parts([version, build])`](crate::EntityTag::of_parts). If
    /// the handler can send several formats, such as JSON and HTML, each format must
    /// have its own tag.
    ///
    /// **The tag must also name the user**, if users get different content at one URI.
    /// Otherwise a browser may show the page of another user; see [the crate
    /// docs](crate#cookies-and-private-responses).
    ///
    /// **The state must not be newer than what the handler reads.** If the closure
    /// reads from the main database, and the handler from a replica that lags
    /// behind, old content gets a new tag. Clients then keep that old content until
    /// the next change.
    ///
    /// # The second call of the source
    ///
    /// If the handler answers with a 200 or 206 that lacks a validator, the layer calls
    /// the closure again. If the closure returns the same state as before, the layer
    /// adds the validators. Otherwise it sends the response without them, because they
    /// may belong to other content.
    ///
    /// A GET with `Range` may also name a version in If-Range, If-Match or
    /// If-Unmodified-Since. For such a GET, the layer calls the closure again before
    /// it sends a 206 or 416. If the state has changed, or is not known any more, the
    /// client gets 503 (Service Unavailable) with `Retry-After: 1`. Otherwise it
    /// could join parts of two versions. A browser gets 307 (Temporary Redirect) to
    /// the same URI, because browsers follow a redirect at once. When the client
    /// sends the request again, it gets the whole content, or 412 if it sent If-Match
    /// or If-Unmodified-Since.
    ///
    /// If the handler sets all validators itself, a 200 needs no second call; see
    /// [`add_validators`](Self::add_validators).
    ///
    /// # What it does not do
    ///
    /// The check and the write are not atomic: another write may come in between. To
    /// lose no edit, also call [`Preconditions::check`](crate::Preconditions::check)
    /// inside the transaction. The layer still saves work then: before the handler
    /// runs, it refuses most writes whose preconditions fail.
    ///
    /// If the closure returns
    /// [`Representation::Unknown`](crate::Representation::Unknown), the layer leaves
    /// the request to the handler. One exception: if a write [requires a
    /// precondition](Self::require_preconditions), the layer refuses it with 503
    /// (Service Unavailable), because the precondition cannot be evaluated.
    ///
    /// The content of a refused upload is not read. Over HTTP/1.1 the server then
    /// closes the connection. A client that sends all its content before it reads the
    /// response may see a connection error instead of the 412. Over HTTP/2 only the
    /// stream is reset, which some clients also report as an error. To avoid these
    /// errors, clients can send `Expect: 100-continue`. A
    /// [`WriteGuard`](crate::WriteGuard) avoids them for most clients: it reads and
    /// discards up to 1 MiB of refused content.
    ///
    /// # The closure
    ///
    /// The closure returns a future of a `Representation`, an `EntityTag` or
    /// `Validators`, or of a `Result` with one of these. The future cannot borrow
    /// `parts`, the argument of the closure. So before the `async` block, copy what the
    /// future needs, for example with `let path = parts.uri.path().to_owned();`. For a
    /// type of your own that implements [`StateSource`], use
    /// [`from_source`](Self::from_source).
    ///
    /// As in Tower's `AsyncFilter`, the inner service is ready while the closure runs.
    /// So the closure must not wait for anything that the ready service already holds,
    /// such as a permit of the same `ConcurrencyLimit`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{
    ///     future::ready,
    ///     sync::{
    ///         atomic::{AtomicU64, Ordering},
    ///         Arc,
    ///     },
    /// };
    ///
    /// use axum::{body::Body, routing::get, Router};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_conditional::{EntityTag, PreconditionLayer};
    ///
    /// const BUILD: &str = "build-12";
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let version = Arc::new(AtomicU64::new(7));
    /// let layer = PreconditionLayer::new(move |_parts| {
    ///     let version = version.load(Ordering::Relaxed).to_string();
    ///     ready(EntityTag::of_parts([&*version, BUILD]))
    /// });
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "text" }).put(|| async { "written" }))
    ///     .layer(layer);
    ///
    /// let stale =
    ///     Request::put("/").header("if-match", "\"6:build-12\"").body(Body::empty())?;
    /// let stale = app.clone().oneshot(stale).await?;
    /// assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
    ///
    /// let poll = Request::get("/").header("if-none-match", "\"7:build-12\"");
    /// let poll = app.oneshot(poll.body(Body::empty())?).await?;
    /// assert_eq!(poll.status(), StatusCode::NOT_MODIFIED);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<Fut>(state: F) -> Self
    where
        F: Fn(&request::Parts) -> Fut,
        Fut: Future<Output: IntoRepresentation>,
    {
        Self::from_source(state)
    }

    /// Makes a layer from a value of a type that implements [`StateSource`].
    ///
    /// Otherwise the layer works like one from [`new`](Self::new).
    pub fn from_source(source: F) -> Self {
        let kind = FromSource {
            source: Arc::new(source),
            on_error: None,
            on_not_modified: None,
            add_validators: true,
            query: false,
            add_last_modified: AddLastModified::WithNoCache,
        };
        Self { kind, config: Arc::default() }
    }

    /// Sets a function that makes the answer if the source (such as the closure)
    /// returns an error. Default: none.
    ///
    /// Without such a function, a write gets 503 (Service Unavailable) if the source
    /// fails, and other requests are forwarded to the inner service.
    ///
    /// The reason: a write whose preconditions cannot be evaluated must not run,
    /// because an edit could be lost. A read may run: at worst it transfers content
    /// that the client already has. If a read has If-Range, If-Match or
    /// If-Unmodified-Since, the layer removes `Range`, so the client gets the whole
    /// content. If you set a function, it also makes the answer to reads.
    ///
    /// A state of [`Unknown`](crate::Representation::Unknown) is not a failure, so the
    /// function is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// use http::{Response, StatusCode};
    ///
    /// # let state = |_: &http::request::Parts| async {
    /// #     Err::<Representation, _>("no connection")
    /// # };
    /// let layer = PreconditionLayer::new(state).on_error(|error| {
    ///     let mut response = Response::new(format!("try again: {error}"));
    ///     *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    ///     response
    /// });
    /// # drop(layer);
    /// ```
    pub fn on_error<T: Into<Bytes>>(
        mut self,
        answer: impl Fn(F::Error) -> Response<T> + Send + Sync + 'static,
    ) -> Self {
        self.kind.on_error = Some(Arc::new(move |error| answer(error).map(Into::into)));
        self
    }

    /// Sets a function that adds fields to a 304 of this layer. Default: none.
    ///
    /// Without such a function, a 304 of this layer has only the validators. If the tag
    /// names a content coding, the 304 also has `Vary: accept-encoding`.
    ///
    /// A 304 must have the `Cache-Control`, `Content-Location`, `Expires` and `Vary`
    /// that the 200 would have ([RFC 9110, section 15.4.5]). The layer does not know
    /// these fields, because the handler did not run. Set the function if the handler
    /// sets any of them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// use http::{header::VARY, HeaderValue};
    ///
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state).on_not_modified(|_parts, headers| {
    ///     headers.insert(VARY, HeaderValue::from_static("accept"));
    /// });
    /// # drop(layer);
    /// ```
    ///
    /// [RFC 9110, section 15.4.5]: https://www.rfc-editor.org/rfc/rfc9110.html#section-15.4.5
    pub fn on_not_modified(
        mut self,
        edit: impl Fn(&request::Parts, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.kind.on_not_modified = Some(Arc::new(edit));
        self
    }

    /// Sets whether responses to GET and HEAD get the validators that they lack.
    /// Default: true.
    ///
    /// With true, the layer calls the source for each GET and HEAD. It calls the source
    /// again after the handler if the response lacks a validator. With false, the layer
    /// calls the source only for requests with a precondition or an If-Range. Set it to
    /// false if the handler sets its own validators.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state).add_validators(false);
    /// # drop(layer);
    /// ```
    pub fn add_validators(mut self, add_validators: bool) -> Self {
        self.kind.add_validators = add_validators;
        self
    }

    /// Sets whether the source is also called for a QUERY ([RFC 10008]). Default:
    /// false.
    ///
    /// Set this to true only if one tag is valid for all results at that URI, such as
    /// the version of the whole data set. The reason: the query is in the content,
    /// which the source does not see. With true, the preconditions of a QUERY are
    /// evaluated like those of a GET, and the answer is 304 or 412 if one fails. The
    /// layer adds no validators to the handler's response to a QUERY, so the handler
    /// must set the `ETag` itself. If the state is known, the layer also removes
    /// `Range` from a request with If-Range or another field that names a version. The
    /// client then gets the whole result.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state).query(true);
    /// # drop(layer);
    /// ```
    ///
    /// [RFC 10008]: https://www.rfc-editor.org/rfc/rfc10008.html
    pub fn query(mut self, query: bool) -> Self {
        self.kind.query = query;
        self
    }

    /// Sets which responses get a `Last-Modified` with the date from the source.
    ///
    /// Default: [`AddLastModified::WithNoCache`].
    ///
    /// Of the handler's responses, only those to GET and HEAD get the date, and only if
    /// the handler has set no `Last-Modified`.
    ///
    /// A 304 of this layer counts as a response that does not state its freshness, so
    /// it gets no date with [`IfFreshnessStated`](AddLastModified::IfFreshnessStated).
    /// This setting does not apply to a 412, which always has the date. It does not
    /// change how preconditions are evaluated.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::{AddLastModified, PreconditionLayer};
    ///
    /// # use tower_conditional::Representation;
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state)
    ///     .add_last_modified(AddLastModified::Never);
    /// # drop(layer);
    /// ```
    pub fn add_last_modified(mut self, add: AddLastModified) -> Self {
        self.kind.add_last_modified = add;
        self
    }
}

impl<K> PreconditionLayer<K> {
    /// Sets which writes must have a precondition. Default: none.
    ///
    /// If `required` returns true for a write that has no precondition, the answer is
    /// 428 (Precondition Required; RFC 6585, section 3). The content of the 428 says
    /// what to send. See
    /// [`Preconditions::check_required`](crate::Preconditions::check_required) for the
    /// fields that count as a precondition. `required` is not called for safe methods.
    ///
    /// If `required` returns true and the state is
    /// [`Unknown`](crate::Representation::Unknown), the write is refused with 503
    /// (Service Unavailable), because its precondition cannot be evaluated.
    ///
    /// Return true only for writes whose clients all send a precondition. A client that
    /// sends none can no longer do these writes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::PreconditionLayer;
    /// use http::Method;
    ///
    /// # use tower_conditional::Representation;
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state)
    ///     .require_preconditions(|parts| parts.method != Method::POST);
    /// # drop(layer);
    /// ```
    pub fn require_preconditions(
        self,
        required: impl Fn(&request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.required = Some(Arc::new(required)))
    }

    /// Sets whether If-Match is compared weakly. Default: false.
    ///
    /// See [`Preconditions::weak_if_match`](crate::Preconditions::weak_if_match) for
    /// when that is safe.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state).weak_if_match(true);
    /// # drop(layer);
    /// ```
    pub fn weak_if_match(self, weak_if_match: bool) -> Self {
        self.set(|config| config.weak_if_match = weak_if_match)
    }

    /// Sets whether a refusal has a problem document as content. Default: false.
    ///
    /// The media type is `application/problem+json` ([RFC 9457]). A refusal is a 412 or
    /// 428, or the 503 to a write whose precondition cannot be evaluated.
    ///
    /// See [`Rejection::problem_details`](crate::Rejection::problem_details) for the
    /// members of this document. With false, a 428 has plain text, and the other
    /// refusals have no content.
    ///
    /// For a text of your own, replace the content, `Content-Type` and `Content-Length`
    /// of a refusal in an outer layer. With [`report_outcome`](Self::report_outcome),
    /// the extensions of the response have an [`Outcome`](crate::Outcome), such as
    /// `PreconditionFailed` or `PreconditionRequired`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state).problem_details(true);
    /// # drop(layer);
    /// ```
    ///
    /// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457.html
    pub fn problem_details(self, problem_details: bool) -> Self {
        self.set(|config| config.problem_details = problem_details)
    }

    /// Sets whether each response has an [`Outcome`](crate::Outcome) extension.
    /// Default: false.
    ///
    /// If this layer only forwards a request, it keeps the outcome that an inner layer
    /// of this crate has set. The extension may cost one allocation for each response.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state).report_outcome(true);
    /// # drop(layer);
    /// ```
    pub fn report_outcome(self, report_outcome: bool) -> Self {
        self.set(|config| config.reporter.in_extensions = report_outcome)
    }

    /// Sets the clock. Default: the system's clock.
    ///
    /// Set another clock in tests of dates.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let time = UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    /// let layer = PreconditionLayer::new(state).clock(move || time);
    /// # drop(layer);
    /// ```
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.set(|config| config.clock = Arc::new(clock))
    }

    /// Returns the counters that the layer, its clones and its services share.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::PreconditionLayer;
    ///
    /// # use tower_conditional::Representation;
    /// # let state = |_: &http::request::Parts| async { Representation::Unknown };
    /// let layer = PreconditionLayer::new(state);
    /// assert_eq!(layer.stats().precondition_failed, 0);
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.config.reporter.stats(0)
    }

    fn set(mut self, change: impl FnOnce(&mut PreconditionConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<S, F: StateSource> Layer<S> for PreconditionLayer<FromSource<F>> {
    type Service = PreconditionService<S, FromSource<F>>;

    fn layer(&self, inner: S) -> Self::Service {
        PreconditionService::with_layer(inner, self.kind.clone(), Arc::clone(&self.config))
    }
}

impl<K: fmt::Debug> fmt::Debug for PreconditionLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreconditionLayer")
            .field("kind", &self.kind)
            .field("config", &self.config)
            .finish()
    }
}
