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
use crate::{stats::Stats, validators::FreshnessPolicy};

/// Evaluates preconditions before the service it wraps is called, by validators that
/// are known beforehand.
///
/// What a [`ConditionalLayer`](crate::ConditionalLayer) cannot do, because it sees only
/// responses: refuse a write before it is done, spare the handler its work, and say in
/// time whether a part may be sent. The two go together in any order; see [the crate
/// docs](crate#writes).
///
/// It takes the validators from a [`StateSource`]: the version in a database, say. A
/// [`WriteGuard`](crate::WriteGuard) takes them from the service itself, which it asks
/// with a GET.
///
/// The service is cloned for each request that takes more than one step, as Axum clones
/// it anyway.
#[derive(Clone)]
#[must_use]
pub struct PreconditionLayer<K> {
    kind: K,
    config: Arc<PreconditionConfig>,
}

impl<F: StateSource> PreconditionLayer<FromSource<F>> {
    /// Makes a layer that asks a closure for the state of the resource that a request
    /// is about.
    ///
    /// - GET and HEAD: a match is answered with 304 (Not Modified), and the handler
    ///   does not run; a failed If-Match or If-Unmodified-Since with 412 (Precondition
    ///   Failed). If-Range that does not name the current state goes away together with
    ///   `Range` before the handler sees them. A response that passes gets the
    ///   validators that it lacks.
    /// - Other methods: what fails is answered with 412, and nothing runs; so
    ///   `If-None-Match: *` lets a PUT only create. The closure is called only if there
    ///   is a precondition, or one is [required](Self::require_preconditions).
    /// - OPTIONS, TRACE and CONNECT pass.
    ///
    /// The validators must tell apart whatever the handler may answer: where it
    /// negotiates, the tag of the JSON is not to be that of the HTML. And they must
    /// not be newer than what the handler will read: a new tag on old content, from a
    /// replica that lags behind, would keep that content alive at the client until the
    /// next change.
    ///
    /// Between the check and the write another writer may come. What loses no edit
    /// whatever happens is [`Preconditions::check`](crate::Preconditions::check)
    /// inside the transaction; this layer in front of it spares the handler what is
    /// refused anyway.
    ///
    /// A handler that serves parts (206) has to set its own `ETag`: if the state
    /// changes between the question and the answer, the part would carry the tag of
    /// the state before, and a client would put the two together.
    ///
    /// [`Representation::Unknown`](crate::Representation::Unknown) leaves a request to
    /// the handler.
    ///
    /// As in Tower's `AsyncFilter`, the inner service is kept ready meanwhile. So the
    /// closure must not wait for what that holds, such as a permit of the same
    /// `ConcurrencyLimit`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{
    ///     atomic::{AtomicU64, Ordering},
    ///     Arc,
    /// };
    ///
    /// use axum::{body::Body, routing::get, Router};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_conditional::{
    ///     EntityTag, InvalidEntityTag, PreconditionLayer, Representation,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let version = Arc::new(AtomicU64::new(7));
    /// let layer = PreconditionLayer::new(move |_parts| {
    ///     let version = version.clone();
    ///     async move {
    ///         let tag =
    ///             EntityTag::strong(format!("v{}", version.load(Ordering::Relaxed)))?;
    ///         Ok::<_, InvalidEntityTag>(Representation::Exists(tag.into()))
    ///     }
    /// });
    /// let app: Router = Router::new()
    ///     .route("/", get(|| async { "text" }).put(|| async { "written" }))
    ///     .layer(layer);
    ///
    /// let stale = Request::put("/").header("if-match", "\"v6\"").body(Body::empty())?;
    /// assert_eq!(
    ///     app.clone().oneshot(stale).await?.status(),
    ///     StatusCode::PRECONDITION_FAILED
    /// );
    ///
    /// let poll =
    ///     Request::get("/").header("if-none-match", "\"v7\"").body(Body::empty())?;
    /// assert_eq!(app.oneshot(poll).await?.status(), StatusCode::NOT_MODIFIED);
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

    /// Makes a layer as [`new`](Self::new) does, from a [`StateSource`] that is no
    /// closure.
    pub fn from_source(source: F) -> Self {
        let kind = FromSource {
            source: Arc::new(source),
            on_error: None,
            on_not_modified: None,
            add_validators: true,
            query: false,
            freshness: FreshnessPolicy::NoCache,
        };
        Self { kind, config: Arc::default() }
    }

    /// Sets the answer to a request whose state could not be learned. Default: a write
    /// with preconditions is refused with 503 (Service Unavailable), for it may be
    /// one that should fail; any other request goes on as if nothing were known.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::{PreconditionLayer, Representation};
    /// use http::{Response, StatusCode};
    ///
    /// # let state = |_: &http::request::Parts| async { Err::<Representation, _>("no connection") };
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
    /// A 304 ought to carry the `Cache-Control`, `Content-Location`, `Expires` and
    /// `Vary` that the 200 would have borne ([RFC 9110, section 15.4.5](https://www.rfc-editor.org/rfc/rfc9110.html#section-15.4.5)); but the handler that knows
    /// them did not run.
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
    /// Where the handler sets all of them itself, false spares the source the requests
    /// without preconditions.
    pub fn add_validators(mut self, add_validators: bool) -> Self {
        self.kind.add_validators = add_validators;
        self
    }

    /// Sets whether the source is asked for the state of a QUERY (RFC 10008), too.
    /// Default: false.
    ///
    /// What a QUERY asks for stands in its content, which the source does not see. Set
    /// it where the state depends on the URI alone.
    pub fn query(mut self, query: bool) -> Self {
        self.kind.query = query;
        self
    }

    /// Sets what to do where a response gets a date here and says nothing of its
    /// freshness. Default: [`FreshnessPolicy::NoCache`].
    pub fn freshness(mut self, freshness: FreshnessPolicy) -> Self {
        self.kind.freshness = freshness;
        self
    }
}

impl<K> PreconditionLayer<K> {
    /// Sets which writes must have a precondition. Default: none.
    ///
    /// A write of which `required` says true, and that has none, is answered with 428
    /// (Precondition Required; RFC 6585, section 3); the content says what to send.
    /// What counts as one is said at
    /// [`Preconditions::check_required`](crate::Preconditions::check_required).
    /// Requests with a safe method are not preconditions about.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::PreconditionLayer;
    /// use http::Method;
    ///
    /// # let state = |_: &http::request::Parts| async { tower_conditional::Representation::Unknown };
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

    /// Sets whether an [`Outcome`](crate::Outcome) is put into the response's
    /// extensions, unless a layer further in put one there. Default: false.
    pub fn report_outcome(self, report_outcome: bool) -> Self {
        self.set(|config| config.reporter.in_extensions = report_outcome)
    }

    /// Sets the clock. Default: the system's. For tests of dates.
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.set(|config| config.clock = Arc::new(clock))
    }

    /// Returns what the layer did since it was made, all its clones and services
    /// included.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::PreconditionLayer;
    ///
    /// # let state = |_: &http::request::Parts| async { tower_conditional::Representation::Unknown };
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
