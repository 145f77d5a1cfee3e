//! The layer and its settings.

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
/// A [`ConditionalLayer`](crate::ConditionalLayer) decides only when it has the
/// response. This layer decides before the handler runs: it refuses writes, answers
/// reads with 304, and decides whether a part may be sent. Both layers can be combined
/// in any order; see [the crate docs](crate#writes).
///
/// It takes the validators from a [`StateSource`], for example from a version column in
/// a database. A [`WriteGuard`](crate::WriteGuard) takes them from the service itself,
/// with a GET.
///
/// The layer clones the service for each request for which it calls the source. Axum
/// clones its services anyway.
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
    ///   name the current state is removed together with `Range`. The response of the
    ///   handler gets the validators that it lacks.
    /// - Writes: if a precondition fails, the answer is 412, and the handler does not
    ///   run. So a PUT with `If-None-Match: *` can only create a resource. The closure
    ///   is called only if there is a precondition.
    /// - OPTIONS, TRACE and CONNECT pass through, and so does QUERY unless
    ///   [`query`](Self::query) is set.
    ///
    /// # What the tag must be
    ///
    /// **A version must never be used twice.** If a resource is deleted and created
    /// again, or rolled back, it must get a version that it never had. Otherwise a
    /// client with the old content gets a 304 for the new content, and its If-Match can
    /// overwrite a state that it has not seen. The usual mistake is a counter that
    /// starts at 1 again. Use a sequence of the whole table, a random id, or a hash.
    ///
    /// **The tag must also change with the template.** If a deploy renders the same row
    /// differently, the tag must change, too: [`EntityTag::of_parts([version,
    /// build])`](crate::EntityTag::of_parts). If the handler negotiates, JSON and HTML
    /// must have different tags.
    ///
    /// **The state must not be newer than what the handler reads.** If the handler
    /// reads from a replica that lags behind, old content gets a new tag. Clients then
    /// keep that old content until the next change.
    ///
    /// # The second call of the source
    ///
    /// The layer adds a tag to a response only if it is certain that the tag belongs to
    /// that content. So it calls the closure again if the handler answers with a 200 or
    /// 206 that lacks a validator. If the state is the same, the layer adds the
    /// validators. Otherwise the response is sent without them. If the client asked for
    /// a part with If-Range, a changed state is answered with 503 (Service Unavailable)
    /// and `Retry-After: 1`, because the client would join parts of two versions. The
    /// retry gets the whole content.
    ///
    /// That costs a second call for each response to which the handler sets no tag. A
    /// handler that sets its own tag avoids this call; see
    /// [`add_validators`](Self::add_validators).
    ///
    /// # What it does not do
    ///
    /// The check and the write are not atomic: another write may come in between. To
    /// lose no edit, also call [`Preconditions::check`](crate::Preconditions::check)
    /// inside the transaction. The layer then refuses most failing writes before the
    /// handler runs.
    ///
    /// If the closure returns
    /// [`Representation::Unknown`](crate::Representation::Unknown), the layer leaves
    /// the request to the handler. One exception: where a precondition is
    /// [required](Self::require_preconditions), a write that cannot be evaluated is
    /// refused with 503 (Service Unavailable).
    ///
    /// The content of a refused upload is not read. Over HTTP/1.1 the server then
    /// closes the connection, and a client that sends before it reads may see a reset
    /// instead of the 412. To avoid that, use `Expect: 100-continue` in the client,
    /// HTTP/2, or a [`WriteGuard`](crate::WriteGuard), which reads and discards up to 1
    /// MiB.
    ///
    /// # The closure
    ///
    /// It returns a future of a `Representation`, an `EntityTag` or `Validators`, or of
    /// a `Result` with one. The future cannot borrow `parts`: copy what it needs before
    /// the `async` block, for example `let path = parts.uri.path().to_owned();`. A type
    /// that implements [`StateSource`] goes to [`from_source`](Self::from_source).
    ///
    /// As in Tower's `AsyncFilter`, the inner service is ready while the closure runs.
    /// So the closure must not wait for a resource that a ready service holds, such as
    /// a permit of the same `ConcurrencyLimit`.
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

    /// Makes a layer from a [`StateSource`] that is not a closure.
    ///
    /// It is otherwise like [`new`](Self::new).
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

    /// Sets the answer to a request for which the source fails. Default: see below.
    ///
    /// By default a write gets 503 (Service Unavailable), and other requests are
    /// forwarded to the inner service.
    ///
    /// A write that cannot be evaluated must not run, because an edit could be lost. A
    /// read may run: it costs only a transfer. If it asks for a part with If-Range,
    /// If-Match or If-Unmodified-Since, it gets the whole content. With `on_error`,
    /// reads get the answer, too.
    ///
    /// A state of [`Unknown`](crate::Representation::Unknown) is not a failure, and
    /// does not get this answer.
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
    /// Without it a 304 has only the validators.
    ///
    /// A 304 must carry the `Cache-Control`, `Content-Location`, `Expires` and `Vary`
    /// of the 200 ([RFC 9110, section 15.4.5]). The layer does not know these fields,
    /// because the handler did not run. Set the function if the handler sets any of
    /// them.
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
    /// With true, the source is called for each GET and HEAD, and again after the
    /// handler if its response lacks a validator. With false it is called only if there
    /// is a precondition or an If-Range. Set it to false if the handler sets its own
    /// validators.
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
    /// The query is in the content, which the source does not see. So set it only if
    /// one tag is valid for all results at that URI, such as the version of the whole
    /// data set. The preconditions of a QUERY are then answered as those of a GET, with
    /// 304 or 412. Its responses get no validators.
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

    /// Sets which responses get the date of the source as `Last-Modified`.
    ///
    /// Default: [`AddLastModified::WithNoCache`].
    ///
    /// Only responses to GET and HEAD without a `Last-Modified` get one.
    ///
    /// A 304 of this layer counts as a response that does not state its freshness. The
    /// setting does not affect a 412, which always has the date, or the evaluation of
    /// preconditions, which always uses the date.
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
    /// 428 (Precondition Required; RFC 6585, section 3). Its content says what to send.
    /// See [`Preconditions::check_required`](crate::Preconditions::check_required) for
    /// the fields that count as a precondition. `required` is not called for safe
    /// methods.
    ///
    /// If `required` returns true and the state is
    /// [`Unknown`](crate::Representation::Unknown), the write is refused with 503
    /// (Service Unavailable), because its precondition cannot be evaluated. Clients
    /// that send no preconditions can no longer write, so do not set it for such
    /// clients.
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
    /// The media type is `application/problem+json` ([RFC 9457]).
    ///
    /// See [`Rejection::problem_details`](crate::Rejection::problem_details) for its
    /// members. With false a 428 has plain text, and the other refusals have no
    /// content.
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
    /// If a request only passes through, the outcome of an inner layer of this crate is
    /// kept. The extension may cost an allocation.
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
    /// Use it to test dates.
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

    /// Returns the counters of the layer, its clones and its services.
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
