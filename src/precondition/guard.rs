//! `WriteGuard`: asks the service itself, with a GET, for the state that a write would
//! change, and holds the resource's lock meanwhile.

use std::{
    any::type_name,
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use http::{request, Request, Response};
use http_body::Body;
use tower_service::Service;

#[cfg(feature = "axum")]
mod axum;
mod content;
mod future;
mod probe;
mod refusal;
mod resource;
mod streamed;
mod write;

#[cfg(feature = "axum")]
pub use self::axum::{AxumGuardFuture, AxumRouter};
pub use self::future::GuardFuture;
use self::{content::WriteContent, resource::hash_path, write::PendingWrite};
use super::{
    config::PreconditionConfig,
    locks::{Access, Locks, Marks, WriteLock},
};
use crate::{
    body::{BoxError, Budget, RequestBody, ResponseBody},
    exchange::{read_preconditions, KnownValidators, Rejection},
    rules::{is_read, is_write, State, Validators},
    stats::Stats,
    store::KeyFn,
    timer::Timer,
    validators::AddLastModified,
};

/// Protects any service that has GET and its writes on the same URIs from lost edits.
///
/// Before a write with preconditions (If-Match, If-None-Match, If-Unmodified-Since) it
/// asks the service with a GET: same URI, same header fields but for those about
/// content, ranges and preconditions, same extensions. The write is evaluated by the
/// validators of that response, and runs only if it may; if not, the answer is 412
/// (Precondition Failed). A [`ConditionalLayer`](crate::ConditionalLayer) inside makes
/// the validators if the service has none.
///
/// The check and the write are one step: while a write with preconditions runs, no
/// other write to the same resource does. Writes without preconditions run side by
/// side, and wait only for one with preconditions that runs. Reads wait for nothing.
///
/// # Examples
///
/// With Axum: authorization, traces and metrics by route stand inside, as
/// `Router::layer`. See [`new`](Self::new) for other services.
///
/// ```no_run
/// # #[cfg(feature = "axum")] {
/// use axum::{
///     extract::{MatchedPath, Request},
///     middleware::{from_fn, Next},
///     response::Response,
///     routing::get,
///     Router, ServiceExt,
/// };
/// use http::StatusCode;
/// use tower_conditional::{ConditionalLayer, WriteGuard};
///
/// async fn trace(path: MatchedPath, request: Request, next: Next) -> Response {
///     println!("{} {}", request.method(), path.as_str());
///     next.run(request).await
/// }
///
/// async fn authorize(request: Request, next: Next) -> Result<Response, StatusCode> {
///     if request.headers().contains_key("authorization") {
///         Ok(next.run(request).await)
///     } else {
///         Err(StatusCode::UNAUTHORIZED)
///     }
/// }
///
/// # async fn run() -> std::io::Result<()> {
/// let router = Router::new()
///     .route("/note", get(|| async { "now" }).put(|_new: String| async {}))
///     .layer(ConditionalLayer::new())
///     .layer(from_fn(authorize))
///     .layer(from_fn(trace));
/// let app = WriteGuard::axum(router).require_preconditions(|_| true);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(listener, ServiceExt::<Request>::into_make_service(app)).await
/// # }
/// # }
/// ```
///
/// # What is asked, and what is read
///
/// A write with preconditions goes through these steps:
///
/// 1. The service is asked with a GET, without a lock, and what fails is refused. This
///    step is left out if the content is there already and the lock is free.
/// 2. The content is read, up to [`body_limit`](Self::body_limit). All requests
///    together may hold 64 MiB; those of up to 64 KiB do not count. Beyond that the
///    answer is 503 (Service Unavailable).
/// 3. The lock is taken. After [`lock_timeout`](Self::lock_timeout) the answer is 503,
///    with `Retry-After`.
/// 4. The service is asked once more, and then runs the write.
/// 5. The lock is given back with the head of the response.
///
/// So nothing that a client can be slow with is waited for under the lock. Writes
/// without preconditions are not read ahead, but for DELETE. Their content is passed on
/// as it comes, but for its end: that is held back until the lock is held, so that a
/// write that never ends holds nothing. A handler that changes something before the
/// content has come to its end, or without looking at it, is not covered while it
/// streams.
///
/// While content is read ahead, 10 KiB have to come within ten seconds. Slower content
/// is answered with 408 (Request Timeout), so that silent clients do not keep the 64
/// MiB. Where there are no Tokio timers, it is waited for.
///
/// A server resets the connection, or the stream over HTTP/2, if content is left behind
/// a response, and some clients then never see the response. So up to 1 MiB of refused
/// content is read away before the answer, for at most a second. No lock is held
/// meanwhile. Content that is known to be longer is not read away, and a client that
/// sends `Expect: 100-continue` is answered at once: large uploads should send it.
///
/// A GET answered 404 or 410 says that there is no representation, and so do 405 and
/// 501: `If-None-Match: *` then lets the write through, and If-Match does not. Any
/// other 4xx or 5xx is the answer to the write. Deliberately, a failed precondition is
/// 412 also where the write without it would be 404 or 405: the guard cannot know that
/// without running it ([RFC 9110, section 13.2.1]). A response without a tag (content
/// too large, say) matches no tag, so that the write is refused.
///
/// The GET has no content, and reading its body is an error. So a service that takes
/// it for a write by mistake stores nothing.
///
/// # The new tag
///
/// If the content of a PUT with preconditions was stored exactly as it was sent, the
/// response carries the new `ETag`, and the next edit needs no GET ([section 9.3.4]).
/// For that the guard asks with one more GET under the lock, where tags are hashes as a
/// [`ConditionalLayer`](crate::ConditionalLayer) makes them, and compares. A handler's
/// own `ETag` stands.
///
/// # What it does not cover
///
/// Other processes, other guards, and whatever changes the resource without a request
/// to its URI through this guard: a batch job, a write to the collection above, a task
/// that a handler left behind. What covers these is
/// [`Preconditions::check`](crate::Preconditions::check) inside the transaction.
///
/// **Writes within writes.** A handler may send further writes through the guard, with
/// the extensions of the request that it got. Each is evaluated for itself. One to the
/// same resource does not wait for the one around it; two that a handler sends side by
/// side do not wait for each other either. A write without preconditions that sends one
/// with them to the same resource leaves the lock to it, and should not go on writing
/// itself. A handler keeps its own resource while it waits for another: if two wait for
/// each other's, [`lock_timeout`](Self::lock_timeout) ends that.
///
/// **Another method inside.** The guard goes by the method that it sees. Middleware
/// that takes the method from a field (`X-HTTP-Method-Override`) has to stand outside
/// of it: inside, a GET that becomes a DELETE is not evaluated. The guard's own GET
/// goes without such fields.
///
/// **Content without a length.** Over HTTP/2, Hyper takes a stream that the client
/// resets with `NO_ERROR` for one that has ended. Where a `Content-Length` says that
/// something is missing, the write is refused with 400 (Bad Request), or its content
/// ends in an error; where there is none, the two cannot be told apart.
///
/// **Limits inside.** A `ConcurrencyLimit` inside the guard counts writes whose content
/// is still being streamed. Where it is small, put it outside.
///
/// [RFC 9110, section 13.2.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.2.1
/// [section 9.3.4]: https://www.rfc-editor.org/rfc/rfc9110.html#section-9.3.4
#[derive(Clone)]
#[must_use]
pub struct WriteGuard<S> {
    inner: S,
    config: Arc<GuardConfig>,
}

impl<S> WriteGuard<S> {
    /// Guards a service. The service must be `Clone`, and gets
    /// `Request<RequestBody<B>>` where the guard gets `Request<B>`.
    ///
    /// Deliberately there is no `tower::Layer`: a guard must stand around the service
    /// that has both GET and the writes, and `Router::layer` would put it around the
    /// handler of each method.
    ///
    /// # Panics
    ///
    /// Panics if it is given a service for one method, as Axum's `Router::layer` does
    /// with a `tower::layer::layer_fn` of this constructor.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bytes::Bytes;
    /// use http::{Method, Request, Response, StatusCode};
    /// use http_body_util::{BodyExt, Full};
    /// use tower::{service_fn, Layer, ServiceExt};
    /// use tower_conditional::{ConditionalLayer, EntityTag, RequestBody, WriteGuard};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// type Sent = RequestBody<Full<Bytes>>;
    ///
    /// let note = service_fn(|request: Request<Sent>| async {
    ///     if request.method() == Method::PUT {
    ///         let _new = request.into_body().collect().await.unwrap().to_bytes();
    ///     }
    ///     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("now"))))
    /// });
    /// let guard = WriteGuard::new(ConditionalLayer::new().layer(note));
    ///
    /// let tag = EntityTag::of(b"now");
    /// for (tag, status) in [
    ///     (tag.to_string(), StatusCode::OK),
    ///     ("\"another\"".to_owned(), StatusCode::PRECONDITION_FAILED),
    /// ] {
    ///     let write = Request::put("/note").header("if-match", tag).body(Full::from("new"))?;
    ///     assert_eq!(guard.clone().oneshot(write).await?.status(), status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(inner: S) -> Self {
        assert!(!names_one_method(type_name::<S>()), "{GUARD_THE_ROUTER}");
        Self { inner, config: Arc::default() }
    }

    /// Sets which writes must have a precondition. Default: none.
    ///
    /// A write of which `required` says true, and that has none, is answered with 428
    /// (Precondition Required; RFC 6585, section 3); the content says what to send.
    /// What counts as one is said at
    /// [`Preconditions::check_required`](crate::Preconditions::check_required).
    pub fn require_preconditions(
        self,
        required: impl Fn(&request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.base.required = Some(Arc::new(required)))
    }

    /// Sets what names a resource, and with it which writes wait for each other.
    /// Default: the path as the client sent it.
    ///
    /// `/%6eote` and `/note/` are the resource `/note`, and so is `/note?draft=1`: two
    /// resources under one name wait for each other, while one under two names would
    /// not be protected.
    ///
    /// # Examples
    ///
    /// Where the host names the tenant:
    ///
    /// ```
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let guard = WriteGuard::new(service).key(|parts| {
    ///     (parts.headers.get("host").cloned(), parts.uri.path().to_owned())
    /// });
    /// # drop(guard);
    /// ```
    pub fn key<T: Hash>(self, key: impl Fn(&request::Parts) -> T + Send + Sync + 'static) -> Self {
        let hash_key =
            move |parts: &request::Parts, mut hasher: &mut dyn Hasher| key(parts).hash(&mut hasher);
        self.set(|config| config.key = Some(Arc::new(hash_key)))
    }

    /// Sets how many bytes the content of a write with preconditions, or of a DELETE,
    /// may have. Default: 2 MiB.
    ///
    /// Longer content is answered with 413 (Content Too Large), once the preconditions
    /// were found to hold; if they fail, with 412. See
    /// [`stream_uploads`](Self::stream_uploads) for uploads that are not to be held in
    /// memory.
    pub fn body_limit(self, bytes: u64) -> Self {
        self.set(|config| config.body_limit = bytes)
    }

    /// Sets how long a write waits for others at most. Default: 10 seconds.
    ///
    /// After that it is answered with 503 (Service Unavailable) and `Retry-After`. The
    /// GET for the new tag may take as long; if it takes longer, the response goes
    /// without. Where there are no Tokio timers, it waits on.
    pub fn lock_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.lock_timeout = timeout)
    }

    /// Sets whether the content of a write with preconditions is passed on while it
    /// comes, in place of being read first. Default: false.
    ///
    /// For large uploads. The end of the content is held back until the lock is held
    /// and the preconditions were found to hold once more. If they do not, the content
    /// ends in an error and the answer is 412, whatever the handler says. **Only if
    /// handlers change nothing before the content has ended**: write to a temporary
    /// file, and rename it then. A DELETE is read first all the same: its handler
    /// seldom looks at the content. And a handler that answers before has the rest of
    /// its content end in an error. The response has no new tag.
    pub fn stream_uploads(self, stream_uploads: bool) -> Self {
        self.set(|config| config.stream_uploads = stream_uploads)
    }

    /// Sets whether a PUT whose If-Match fails is answered with 204 (No Content) if its
    /// content is what is stored already. Default: false.
    ///
    /// So a client that got no answer can send the same PUT again ([RFC 9110, section
    /// 13.1.1]). The content has to be read for that, up to
    /// [`body_limit`](Self::body_limit), and tags have to be hashes of the content, as
    /// a [`ConditionalLayer`](crate::ConditionalLayer) makes them. It never applies to
    /// If-None-Match. **Not for resources whose writes count or lock something**: of
    /// two clients that send the same, both would be told that they succeeded.
    ///
    /// The handler is not called for it, and neither is middleware inside the guard that
    /// says who may PUT: it has to refuse the GET, too, or to stand outside.
    ///
    /// [RFC 9110, section 13.1.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.1.1
    pub fn idempotent_puts(self, idempotent_puts: bool) -> Self {
        self.set(|config| config.idempotent_puts = idempotent_puts)
    }

    /// Sets whether If-Match is compared weakly. Default: false. See
    /// [`Preconditions::weak_if_match`](crate::Preconditions::weak_if_match) for when
    /// that is safe.
    pub fn weak_if_match(self, weak_if_match: bool) -> Self {
        self.set(|config| config.base.weak_if_match = weak_if_match)
    }

    /// Sets whether refused requests are answered with content for programs:
    /// `application/problem+json` ([RFC 9457]). Default: false.
    ///
    /// See [`Rejection::problem_details`](crate::Rejection::problem_details) for its
    /// members. Without it a 428 has plain text, and the others have no content.
    ///
    /// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457.html
    pub fn problem_details(self, problem_details: bool) -> Self {
        self.set(|config| config.base.problem_details = problem_details)
    }

    /// Sets whether an [`Outcome`](crate::Outcome) is put into the response's
    /// extensions, unless an inner layer put one there. Default: false.
    pub fn report_outcome(self, report_outcome: bool) -> Self {
        self.set(|config| config.base.reporter.in_extensions = report_outcome)
    }

    /// Sets the clock. Default: the system's. For tests of dates.
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.set(|config| config.base.clock = Arc::new(clock))
    }

    /// Returns what the guard and its clones did since it was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.config.base.reporter.stats(0);
        stats.bytes_buffered = self.config.budget.used();
        stats
    }

    /// Returns the guarded service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the guarded service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the service.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn set(mut self, change: impl FnOnce(&mut GuardConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<S, B, ResBody> Service<Request<B>> for WriteGuard<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = GuardFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        call(&mut self.inner, &self.config, request)
    }
}

/// Starts to answer a request.
fn call<S, B>(inner: &mut S, config: &Arc<GuardConfig>, request: Request<B>) -> GuardFuture<S, B>
where
    S: Service<Request<RequestBody<B>>> + Clone,
    B: Body,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    if !is_write(&parts.method) {
        let known = is_read(&parts.method).then(|| nothing_known(&parts));
        if cfg!(feature = "axum") {
            // Its handler may send a write with these extensions.
            config.mark(&mut parts, None);
        }
        let request = Request::from_parts(parts, RequestBody::new(body));
        return GuardFuture::passing(inner.call(request), known, config);
    }
    let preconditions = read_preconditions(&parts, config.base.now());
    let preconditions = preconditions.weak_if_match(config.base.weak_if_match);
    // A plain write, without preconditions, runs beside others and is not evaluated.
    let is_guarded = !preconditions.is_empty();
    let is_required = config.base.requires(&parts);
    if is_required && !is_guarded {
        let rejection = Rejection::required(&parts.method, State::Unknown);
        let rest = WriteContent::new(body).into_refused(&parts, &config.timer);
        return GuardFuture::rejected(rejection, rest, config);
    }
    let access = if is_guarded { Access::Exclusive } else { Access::Shared };
    let lock = config.lock_for(&mut parts, access);
    // The service that is ready is the one to call; another takes its place.
    let another = inner.clone();
    let inner = std::mem::replace(inner, another);
    GuardFuture::writing(PendingWrite {
        config: Arc::clone(config),
        inner,
        is_ready: true,
        parts,
        content: WriteContent::new(body),
        preconditions,
        is_guarded,
        is_required,
        lock,
        timeout: None,
        sent: None,
        response: None,
    })
}

/// Tells other layers that writes are evaluated by a guard which does not know the
/// validators that they make.
fn nothing_known(parts: &request::Parts) -> KnownValidators {
    let add = AddLastModified::WithNoCache;
    KnownValidators::new(&parts.uri, &parts.extensions, Validators::new(), add)
}

/// The settings of a guard, and what its clones share.
#[derive(Clone)]
struct GuardConfig {
    base: PreconditionConfig,
    key: Option<Arc<KeyFn>>,
    body_limit: u64,
    lock_timeout: Duration,
    stream_uploads: bool,
    idempotent_puts: bool,
    /// The bytes of requests that are read ahead, all together.
    budget: Arc<Budget>,
    hash: RandomState,
    locks: Arc<Locks>,
    timer: Arc<Timer>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            base: PreconditionConfig::default(),
            key: None,
            body_limit: 2 << 20,
            lock_timeout: Duration::from_secs(10),
            stream_uploads: false,
            idempotent_puts: false,
            budget: Arc::new(Budget::new(64 << 20)),
            hash: RandomState::new(),
            locks: Arc::default(),
            timer: Arc::default(),
        }
    }
}

impl GuardConfig {
    /// Makes a lock to write what a request is about, and notes it in the extensions.
    fn lock_for(&self, parts: &mut request::Parts, access: Access) -> WriteLock {
        let marks = parts.extensions.get::<Marks>();
        let mut hasher = self.hash.build_hasher();
        match &self.key {
            Some(key) => key(parts, &mut hasher),
            None => {
                let prefix = marks.and_then(|marks| marks.prefix(&self.locks));
                hash_path(parts, prefix, &mut hasher);
            }
        }
        let lock = WriteLock::new(&self.locks, hasher.finish(), access, marks);
        self.mark(parts, Some(&lock));
        lock
    }

    /// Notes in the extensions of a request that it went through this guard, and which
    /// lock it holds.
    fn mark(&self, parts: &mut request::Parts, lock: Option<&WriteLock>) {
        let marks = parts.extensions.get::<Marks>();
        let marked = marks.and_then(|marks| marks.prefix(&self.locks));
        if lock.is_none() && marked.is_some() {
            return;
        }
        let taken = || resource::taken_prefix(&parts.uri, &parts.extensions);
        let prefix = marked.or_else(taken).map(Into::into);
        let marks = parts.extensions.get_or_insert_default::<Marks>();
        marks.add(&self.locks, prefix, lock.map(|lock| Arc::clone(lock.hold())));
    }
}

impl<S: fmt::Debug> fmt::Debug for WriteGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        f.debug_struct("WriteGuard")
            .field("inner", &self.inner)
            .field("body_limit", &config.body_limit)
            .field("lock_timeout", &config.lock_timeout)
            .field("stream_uploads", &config.stream_uploads)
            .field("idempotent_puts", &config.idempotent_puts)
            .field("weak_if_match", &config.base.weak_if_match)
            .field("problem_details", &config.base.problem_details)
            .field("report_outcome", &config.base.reporter.in_extensions)
            .finish_non_exhaustive()
    }
}

/// Returns true if the name of a type has in it a service that answers whatever it gets
/// with the handler of one method: a GET would run the write.
fn names_one_method(name: &str) -> bool {
    ONE_METHOD.iter().flat_map(|one| name.match_indices(one)).any(|(start, one)| {
        // `RouteFuture` is the future of a whole router, too.
        let next = name.get(start + one.len()..).and_then(|rest| rest.chars().next());
        !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
    })
}

const ONE_METHOD: [&str; 2] =
    ["axum::routing::route::Route", "axum::handler::service::HandlerService"];

const GUARD_THE_ROUTER: &str = "a WriteGuard asks the service that it guards with a GET, and \
    Axum's `Router::layer` wraps the handler of each method by itself. Guard the whole router: \
    `WriteGuard::axum(router)`";
