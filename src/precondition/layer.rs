//! The layer, its settings and their defaults.

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

/// Evaluates preconditions before the service it wraps is called, by validators that
/// are known by then.
///
/// A [`ConditionalLayer`](crate::ConditionalLayer) sees only responses. This layer can
/// refuse a write before it runs, spare the handler the reads that end in a 304, and
/// decide in time whether a part may be sent. The two go together in any order; see
/// [the crate docs](crate#writes).
///
/// It takes the validators from a [`StateSource`]: the version in a database, say. A
/// [`WriteGuard`](crate::WriteGuard) takes them from the service itself, which it asks
/// with a GET.
///
/// The service is cloned for each request that takes more than one step. Axum clones
/// its services anyway.
#[derive(Clone)]
#[must_use]
pub struct PreconditionLayer<K> {
    kind: K,
    config: Arc<PreconditionConfig>,
}

impl<F: StateSource> PreconditionLayer<FromSource<F>> {
    /// Makes a layer that asks a closure for the current state of the resource that a
    /// request is about.
    ///
    /// - GET and HEAD: if a precondition says so, the answer is 304 (Not Modified) or
    ///   412 (Precondition Failed), and the handler does not run. An If-Range that does
    ///   not name the current state is removed together with `Range`. A response that
    ///   passes gets the validators that it lacks.
    /// - Writes: if a precondition fails, the answer is 412, and nothing runs. So
    ///   `If-None-Match: *` lets a PUT only create. The closure is called only if there
    ///   is a precondition.
    /// - OPTIONS, TRACE and CONNECT pass, and so does QUERY unless
    ///   [`query`](Self::query) is set.
    ///
    /// # What the tag must be
    ///
    /// **A version must never come back.** If a resource is deleted and created again,
    /// or rolled back, its version must be one that it never had. Otherwise a client
    /// that holds the old content gets a 304 for the new one, and its If-Match lets it
    /// overwrite a state that it has not seen. A counter that starts at 1 again is the
    /// usual mistake: use a sequence of the whole table, a random id, or a hash.
    ///
    /// **A tag made of data says nothing about the template.** After a deploy that
    /// renders the same row in another way, the tag must be another one, too:
    /// [`EntityTag::of_parts([version, build])`](crate::EntityTag::of_parts). Where the
    /// handler negotiates, the tag of the JSON must not be that of the HTML.
    ///
    /// **The state must not be newer than what the handler reads.** A new tag on old
    /// content, from a replica that lags behind, keeps that content alive at clients
    /// until the next change.
    ///
    /// # The source is asked again
    ///
    /// A tag is added to a response only if it is known to be the tag of that content.
    /// So the closure is called again once the handler has answered with a 200 or 206
    /// that lacks a validator. If the state is still the same, the validators are
    /// added; if not, the response goes without. A part that the client asked for with
    /// If-Range is refused then: 503 (Service Unavailable) with `Retry-After: 1`,
    /// because the client would glue two versions together. The retry gets the whole.
    ///
    /// That costs a second call for each response whose handler sets no tag. A handler
    /// that sets its own spares it; see [`add_validators`](Self::add_validators).
    ///
    /// # What it does not do
    ///
    /// Between the check and the write, another writer may come.
    /// [`Preconditions::check`](crate::Preconditions::check) inside the transaction
    /// loses no edit. This layer in front of it spares the handler the work for writes
    /// that fail anyway.
    ///
    /// [`Representation::Unknown`](crate::Representation::Unknown) leaves the request
    /// to the handler, with one exception: where a precondition is
    /// [required](Self::require_preconditions), a write that cannot be evaluated is
    /// refused with 503 (Service Unavailable).
    ///
    /// A refused upload is not read. Over HTTP/1.1 the server then closes the
    /// connection, and a client that sends before it reads may see a reset in place of
    /// the 412. `Expect: 100-continue` in the client, HTTP/2, or a
    /// [`WriteGuard`](crate::WriteGuard), which reads a little away, are cures.
    ///
    /// As in Tower's `AsyncFilter`, the inner service is ready while the closure runs.
    /// So the closure must not wait for what that holds, such as a permit of the same
    /// `ConcurrencyLimit`.
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
    /// use tower_conditional::{EntityTag, PreconditionLayer, Representation};
    ///
    /// const BUILD: &str = "build-12";
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let version = Arc::new(AtomicU64::new(7));
    /// let layer = PreconditionLayer::new(move |_parts| {
    ///     let version = version.load(Ordering::Relaxed).to_string();
    ///     ready(Representation::from(EntityTag::of_parts([&*version, BUILD])))
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

    /// Makes a layer as [`new`](Self::new) does, from a [`StateSource`] that is not a
    /// closure.
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

    /// Sets the answer to a request for which the source failed. Default: 503 (Service
    /// Unavailable) for a write; other requests go on as if nothing were known.
    ///
    /// A write that cannot be evaluated must not run: it may be the lost edit. A read
    /// that goes on costs a transfer; a part that it asks for with If-Range, If-Match
    /// or If-Unmodified-Since becomes the whole. With this set, reads fail as well.
    ///
    /// [`Unknown`](crate::Representation::Unknown) is not a failure, and does not get
    /// this answer.
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

    /// Sets what else a 304 of this layer carries. Default: nothing but the validators.
    ///
    /// A 304 must carry the `Cache-Control`, `Content-Location`, `Expires` and `Vary`
    /// of the 200 ([RFC 9110, section 15.4.5]), but the handler that knows them did not
    /// run. Set it if the handler sets any of these.
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
    /// With true, the source is asked for each GET and HEAD, and again after the
    /// handler if its response lacks a validator. With false it is asked only if there
    /// is a precondition or an If-Range. Set false where the handler sets its own
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

    /// Sets whether the source is asked for a QUERY ([RFC 10008]), too. Default: false.
    ///
    /// The content of a QUERY says what it asks for, and the source does not see that.
    /// So set it only where one tag stands for all results at that URI, such as the
    /// version of the whole data set. The preconditions of a QUERY are then answered as
    /// those of a GET, with 304 or 412; its responses get no validators.
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

    /// Sets which responses to GET and HEAD get the date of the source as their
    /// `Last-Modified`, if they have none. Default: [`AddLastModified::WithNoCache`].
    ///
    /// A 304 of this layer counts as a response that does not state its freshness. A
    /// 412 has the date in any case. Preconditions are compared with it in any case,
    /// too.
    pub fn add_last_modified(mut self, add: AddLastModified) -> Self {
        self.kind.add_last_modified = add;
        self
    }
}

impl<K> PreconditionLayer<K> {
    /// Sets which writes must have a precondition. Default: none.
    ///
    /// A write for which `required` returns true and that has no precondition is
    /// answered with 428 (Precondition Required; RFC 6585, section 3). The content says
    /// what to send. See
    /// [`Preconditions::check_required`](crate::Preconditions::check_required) for what
    /// counts. `required` is not called for requests with a safe method.
    ///
    /// Where it returns true, a write whose state is
    /// [`Unknown`](crate::Representation::Unknown) is refused with 503 (Service
    /// Unavailable), because its precondition cannot be evaluated. Clients that send no
    /// preconditions cannot write any more: do not require what they do not know.
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

    /// Sets whether If-Match is compared weakly. Default: false. See
    /// [`Preconditions::weak_if_match`](crate::Preconditions::weak_if_match) for when
    /// that is safe.
    pub fn weak_if_match(self, weak_if_match: bool) -> Self {
        self.set(|config| config.weak_if_match = weak_if_match)
    }

    /// Sets whether refused requests are answered with content for programs:
    /// `application/problem+json` ([RFC 9457]). Default: false.
    ///
    /// See [`Rejection::problem_details`](crate::Rejection::problem_details) for its
    /// members. Without it a 428 has plain text, and the others have no content.
    ///
    /// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457.html
    pub fn problem_details(self, problem_details: bool) -> Self {
        self.set(|config| config.problem_details = problem_details)
    }

    /// Sets whether each response carries an [`Outcome`](crate::Outcome) in its
    /// extensions. Default: false.
    ///
    /// If a request only passed, the outcome of an inner layer of this crate stays.
    pub fn report_outcome(self, report_outcome: bool) -> Self {
        self.set(|config| config.reporter.in_extensions = report_outcome)
    }

    /// Sets the clock, for tests of dates. Default: the system's clock.
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.set(|config| config.clock = Arc::new(clock))
    }

    /// Returns what the layer has done so far, all its clones and services included.
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
