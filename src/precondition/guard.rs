//! `WriteGuard` sends the service a GET for the state that a write would change. It
//! holds a lock for the resource from the last such GET to the response to the write.

use std::{
    any::type_name,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::request;

#[cfg(feature = "axum")]
mod axum;
mod config;
mod content;
mod future;
mod probe;
mod refusal;
mod resource;
mod service;
mod streamed;
mod write;

#[cfg(feature = "axum")]
pub use self::axum::{AxumGuardFuture, AxumRouter};
use self::config::GuardConfig;
pub use self::future::GuardFuture;
use crate::stats::Stats;

/// Prevents lost edits in a service that has GET and writes on the same URIs.
///
/// Before a write with preconditions (If-Match, If-None-Match, If-Unmodified-Since),
/// the guard sends the service a GET. This GET has the URI, the extensions and most
/// header fields of the write. It lacks the fields about content, preconditions,
/// ranges, caches, the connection, retries, and method overrides. It also has
/// `Cache-Control: no-cache`.
///
/// The guard evaluates the preconditions against the validators in the response to the
/// GET. If a precondition fails, the answer is 412 (Precondition Failed), and the write
/// does not run. If the service sends no validators, put a
/// [`ConditionalLayer`](crate::ConditionalLayer) inside the guard to generate them.
///
/// The check and the write are atomic within this guard: while a write with
/// preconditions runs, no other write to the same resource runs. Writes without
/// preconditions run concurrently with each other. They wait only for a running write
/// with preconditions. Reads never wait.
///
/// # Examples
///
/// With Axum, the guard wraps the whole router. Add authorization, traces and metrics
/// to the router with `Router::layer`. They are then inside the guard, where the
/// matched route is known. See [`new`](Self::new) for other services.
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
/// # The steps of a write
///
/// A write with preconditions goes through these steps:
///
/// 1. The guard sends the GET while it holds no lock. If a precondition fails, it
///    refuses the write. This step is skipped if all of the content has arrived and the
///    lock is free.
/// 2. It reads the content, up to [`body_limit`](Self::body_limit). All requests of
///    this guard together may hold 64 MiB of content. Requests with at most 64 KiB
///    of content do not count. If the 64 MiB are used up, the answer is 503
///    (Service Unavailable).
/// 3. It takes the lock. If that takes longer than
///    [`lock_timeout`](Self::lock_timeout), the answer is 503 with `Retry-After`.
/// 4. It sends the GET again. If the preconditions still hold, it runs the write.
/// 5. It releases the lock when it returns the head of the response.
///
/// So the guard never waits for a client while it holds the lock.
///
/// A write without preconditions goes through fewer steps:
///
/// - For a DELETE, the guard reads all content, takes the lock, and runs the write.
/// - For other methods, the guard forwards the content as it comes. It takes the lock
///   before it forwards the end of the content, so an upload that never ends holds no
///   lock. If a handler changes the resource before it has read the end of the content,
///   the lock does not protect that change.
///
/// While the guard reads content before the handler runs, at least 10 KiB must arrive
/// in each period of ten seconds. Slower content is answered with 408 (Request
/// Timeout), so that idle clients do not use up the 64 MiB. Without Tokio timers there
/// is no such limit. In a Tokio runtime that was built without `enable_time`, the first
/// timer panics inside Tokio, and the guard catches the panic. But with
/// `panic = "abort"`, this panic ends the process.
///
/// Before the guard refuses a write, it reads and discards up to 1 MiB of its content,
/// for at most a second. It holds no lock meanwhile. If the content stayed unread, the
/// server would reset the connection (over HTTP/2, the stream), and some clients would
/// never see the response. If the content is known to be longer than 1 MiB, or if the
/// client still waits for 100 (Continue), the guard refuses the write at once. So
/// clients should send `Expect: 100-continue` with large uploads.
///
/// If the GET is answered with 404, 410, 405 or 501, the guard treats the resource as
/// missing: `If-None-Match: *` holds, and If-Match fails. Any other 4xx or 5xx response
/// to the GET becomes the answer to the write. (If a streamed upload has already begun,
/// the answer is 503 instead.)
///
/// If the response to the GET has no tag, the guard refuses a write that names a tag in
/// If-Match or If-None-Match. The reason: the guard cannot compare the tags. For
/// example, content that is too large to be hashed has no tag, but a client may know
/// one from elsewhere.
///
/// If the `Last-Modified` in the response to the GET is that of the current second, or
/// of a later one, the guard refuses a write that has only If-Unmodified-Since. The
/// reason: the service may change the content again in that second, with the same date.
/// reason: the service may change the content again in that second, with the same date.
/// A second later, the same write can succeed. So a service should not send a date
/// during its own second: a client could hold that date for an older version, and its
/// write would succeed. A `ConditionalLayer` inside the guard holds such dates back.
///
/// Deliberately, a failed precondition is answered with 412 even if the handler would
/// answer the write with 404 or 405. By [RFC 9110, section 13.2.1], the answer of the
/// handler takes precedence. But to know that answer, the guard would have to run the
/// write.
///
/// If a service reads the body of the GET, it gets an error. So a service that handles
/// the GET as a write by mistake does not store empty content.
///
/// # The new tag
///
/// If the content of a PUT with preconditions was stored exactly as it was sent, the
/// response has the new `ETag` ([RFC 9110, section 9.3.4]). The client then needs no
/// GET before its next edit. To find the new tag, the guard sends one more GET while it
/// holds the lock. This works only if tags are hashes of the content, like those of a
/// [`ConditionalLayer`](crate::ConditionalLayer). If the handler sets an `ETag` itself,
/// the client gets that `ETag`, and the guard sends no such GET.
///
/// # What it does not cover
///
/// The guard covers only writes that go through it to the URI of the resource. It does
/// not cover other processes, other guards, a batch job, a write to the parent
/// collection, or a background task of a handler. For these, use
/// [`Preconditions::check`](crate::Preconditions::check) inside the transaction.
///
/// **Clients that leave.** A client may close its connection, or a timeout outside of
/// the guard may end the request. The handler is then dropped, and the guard releases
/// the lock. But what the handler has started elsewhere goes on: a call of `tokio::fs`,
/// `spawn_blocking`, or a spawned task. This work is not covered, and may overwrite the
/// next write. To keep the handler of a write from being dropped, call the guard in a
/// separate task:
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{extract::Request, ServiceExt};
/// use tower::{service_fn, ServiceExt as _};
/// use tower_conditional::WriteGuard;
///
/// # async fn run(router: axum::Router) -> std::io::Result<()> {
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// let guard = WriteGuard::axum(router);
/// let app = service_fn(move |request: Request| {
///     let guard = guard.clone();
///     async move {
///         if request.method().is_safe() {
///             return guard.oneshot(request).await;
///         }
///         tokio::spawn(guard.oneshot(request)).await.expect("the handler panicked")
///     }
/// });
/// axum::serve(listener, ServiceExt::<Request>::into_make_service(app)).await
/// # }
/// # }
/// ```
///
/// Put timeouts outside of this task. A timeout inside the guard would still drop
/// the handler.
///
/// **Nested writes.** A handler may send more writes through the guard, with the
/// extensions of its own request. Each of these nested writes is evaluated separately.
///
/// - A nested write to the same resource shares the lock of the outer write, so it does
///   not wait. Two concurrent nested writes that share the lock do not wait for each
///   other either.
/// - A nested write with preconditions cannot share the lock of an outer write without
///   preconditions. The outer write then loses the lock. After that, the handler of the
///   outer write should not change the resource itself.
/// - A handler keeps the lock of its own resource while a nested write waits for the
///   lock of another resource. If two handlers wait for each other in this way,
///   [`lock_timeout`](Self::lock_timeout) ends the wait.
///
/// **Method override.** Put middleware that takes the method from a field
/// (`X-HTTP-Method-Override`) outside of the guard. If it is inside and turns a GET
/// into a DELETE, the guard sees only a GET, and does not evaluate the DELETE. The
/// guard's own GET does not have this field, so it stays a GET.
///
/// **Proofs that are bound to a method.** Authorization inside the guard must accept
/// the GET, which has the fields of the write. A proof that is bound to the method of
/// the write, or that may be used only once, fails there. Examples are a DPoP proof and
/// a signed request. Verify such proofs outside of the guard.
///
/// **Content without a length.** Without a `Content-Length`, the guard cannot always
/// detect that content is missing. The reason: over HTTP/2, Hyper treats a stream that
/// the client resets with `NO_ERROR` as complete. If the content is shorter than its
/// `Content-Length`, the guard refuses the write with 400 (Bad Request). If the guard
/// forwards the content as it comes, the handler gets an error at the end of the
/// content instead.
///
/// Some parsers, such as Axum's `Multipart`, may stop before the end of the content.
/// With a `Content-Length`, the guard holds back the bytes that complete it. Without
/// one, it holds back only the end, which such a parser does not wait for. The handler
/// may then change the resource before the guard holds the lock. This concerns content
/// that the guard forwards as it comes: let the handler read it to its end, or answer
/// requests without a `Content-Length` with 411 (Length Required).
///
/// **Concurrency limits.** Put a `ConcurrencyLimit` with few permits outside of the
/// guard. If it is inside, a write whose content is forwarded as it comes holds a
/// permit until its handler answers. If such writes hold all permits, a write with
/// preconditions waits for a permit while it holds the lock. After
/// [`lock_timeout`](Self::lock_timeout) it gets 503.
///
/// [RFC 9110, section 13.2.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.2.1
/// [RFC 9110, section 9.3.4]: https://www.rfc-editor.org/rfc/rfc9110.html#section-9.3.4
#[derive(Clone)]
#[must_use]
pub struct WriteGuard<S> {
    inner: S,
    config: Arc<GuardConfig>,
}

impl<S> WriteGuard<S> {
    /// Guards a service.
    ///
    /// The service must be `Clone`. It gets a `Request<RequestBody<B>>` if the guard
    /// gets a `Request<B>`.
    ///
    /// Deliberately there is no `tower::Layer` that makes a guard. A guard must wrap a
    /// service that has both GET and the writes, but Axum's `Router::layer` wraps the
    /// handler of each method separately.
    ///
    /// # Panics
    ///
    /// Panics if the type of the service contains Axum's `Route` or `HandlerService`.
    /// These call the same handler for every method, so the GET of the guard would run
    /// the write. For example, this panics if you pass
    /// `tower::layer::layer_fn(WriteGuard::new)` to Axum's `Router::layer`.
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
    /// If `required` returns true for a write that has no precondition, the answer is
    /// 428 (Precondition Required; RFC 6585, section 3). The content of the 428 says
    /// what to send. See
    /// [`Preconditions::check_required`](crate::Preconditions::check_required) for the
    /// fields that count as a precondition.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    ///
    /// let guard = WriteGuard::new(service)
    ///     .require_preconditions(|parts| parts.method != Method::POST);
    /// # drop(guard);
    /// ```
    pub fn require_preconditions(
        self,
        required: impl Fn(&request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|config| config.base.required = Some(Arc::new(required)))
    }

    /// Sets the key of a resource. Default: a normal form of the path in the request
    /// that the guard gets. Inside `nest`, this path has no prefix. So with
    /// `nest("/{tenant}", ..)`, equal paths of two tenants have one key. If that is too
    /// slow, set a key that also has the tenant.
    ///
    /// Writes with the same key wait for each other.
    ///
    /// By default, `/%6eote`, `/note/`, `/a/../note` and `/note?draft=1` all have the
    /// key of `/note`. Set the key if the service accepts still other URIs for the same
    /// resource, for example if it ignores the case of letters. If one resource had two
    /// keys, its writes would not be protected. If two resources have the same key,
    /// their writes only wait for each other.
    ///
    /// # Examples
    ///
    /// If the host names the tenant, writes of two tenants need not wait for each
    /// other:
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

    /// Sets how many bytes of content a write may have. Default: 2 MiB.
    ///
    /// The limit is for content that the guard reads before it calls the handler: that
    /// of writes with preconditions, and of every DELETE. (Of other content, the guard
    /// holds back only the end. Most handlers of DELETE would not wait for that end.)
    ///
    /// A write with longer content gets 413 (Content Too Large) if the preconditions
    /// hold, and 412 if they fail. For uploads that should not be held in memory, see
    /// [`stream_uploads`](Self::stream_uploads).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let guard = WriteGuard::new(service).body_limit(16 << 20);
    /// # drop(guard);
    /// ```
    pub fn body_limit(self, bytes: u64) -> Self {
        self.set(|config| config.body_limit = bytes)
    }

    /// Sets how long a write waits for other writes. Default: 10 seconds.
    ///
    /// After that, the answer is 503 (Service Unavailable) with `Retry-After`. The same
    /// timeout limits the GET that asks for [the new tag](WriteGuard#the-new-tag) after
    /// a PUT. If this GET takes longer, the response has no new tag. Without Tokio
    /// timers there is no timeout.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let guard = WriteGuard::new(service).lock_timeout(Duration::from_secs(2));
    /// # drop(guard);
    /// ```
    pub fn lock_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.lock_timeout = timeout)
    }

    /// Sets whether the content of a write with preconditions is streamed. Default:
    /// false.
    ///
    /// Set this to true for large uploads. If the preconditions hold, the guard then
    /// forwards the content as it comes. Before the guard forwards the end of the
    /// content, it takes the lock and evaluates the preconditions again. If one of them
    /// fails now, the content ends in an error, and the client gets 412, whatever the
    /// handler answers.
    ///
    /// **Set it only if handlers change nothing before the content has ended.** For
    /// example, a handler can write to a temporary file, and rename the file after the
    /// end of the content. If a handler answers before the content has ended, the rest
    /// of the content ends in an error.
    ///
    /// The guard still reads all content of a DELETE before it calls the handler. Most
    /// handlers of DELETE do not read the content, so they would not wait for its end.
    ///
    /// The response to a streamed write gets no [new tag](WriteGuard#the-new-tag) from
    /// the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let guard = WriteGuard::new(service).stream_uploads(true);
    /// # drop(guard);
    /// ```
    pub fn stream_uploads(self, stream_uploads: bool) -> Self {
        self.set(|config| config.stream_uploads = stream_uploads)
    }

    /// Sets whether a PUT succeeds if its content is already stored. Default: false.
    ///
    /// With true, a PUT whose If-Match fails is answered with 204 (No Content) if its
    /// content equals the stored content. So a client that got no answer to a PUT can
    /// send the same PUT again ([RFC 9110, section 13.1.1]). The setting does not apply
    /// to a PUT with If-None-Match.
    ///
    /// To compare the content, the guard reads it, up to
    /// [`body_limit`](Self::body_limit). Tags must be hashes of the content, like those
    /// of a [`ConditionalLayer`](crate::ConditionalLayer).
    ///
    /// **Do not set it if clients use writes to count or to lock something**: if two
    /// clients send the same content, both are told that they succeeded.
    ///
    /// The handler is not called for such a PUT. Middleware inside the guard sees only
    /// the GET of the guard, not the PUT. So middleware that decides who may PUT must
    /// also refuse the GET, or must be outside of the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let guard = WriteGuard::new(service).idempotent_puts(true);
    /// # drop(guard);
    /// ```
    ///
    /// [RFC 9110, section 13.1.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.1.1
    pub fn idempotent_puts(self, idempotent_puts: bool) -> Self {
        self.set(|config| config.idempotent_puts = idempotent_puts)
    }

    /// Sets whether If-Match is compared weakly. Default: false.
    ///
    /// See [`Preconditions::weak_if_match`](crate::Preconditions::weak_if_match) for
    /// when that is safe.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let guard = WriteGuard::new(service).weak_if_match(true);
    /// # drop(guard);
    /// ```
    pub fn weak_if_match(self, weak_if_match: bool) -> Self {
        self.set(|config| config.base.weak_if_match = weak_if_match)
    }

    /// Sets whether a refusal has a problem document as content. Default: false.
    ///
    /// The media type is `application/problem+json` ([RFC 9457]). A refusal is a 400,
    /// 408, 412, 413, 428 or 503 that the guard itself makes. An answer of the service
    /// that the guard passes on, such as a 401, is not changed.
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
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let guard = WriteGuard::new(service).problem_details(true);
    /// # drop(guard);
    /// ```
    ///
    /// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457.html
    pub fn problem_details(self, problem_details: bool) -> Self {
        self.set(|config| config.base.problem_details = problem_details)
    }

    /// Sets whether each response has an [`Outcome`](crate::Outcome) extension.
    /// Default: false.
    ///
    /// If the guard only forwards a request, it keeps the outcome that an inner layer
    /// of this crate has set.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let guard = WriteGuard::new(service).report_outcome(true);
    /// # drop(guard);
    /// ```
    pub fn report_outcome(self, report_outcome: bool) -> Self {
        self.set(|config| config.base.reporter.in_extensions = report_outcome)
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
    /// # use tower_conditional::WriteGuard;
    /// # let service = ();
    /// let time = UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    /// let guard = WriteGuard::new(service).clock(move || time);
    /// # drop(guard);
    /// ```
    pub fn clock(self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.set(|config| config.base.clock = Arc::new(clock))
    }

    /// Returns the counters that the guard and its clones share.
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

    /// Returns a mutable reference to the guarded service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the guarded service.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn set(mut self, change: impl FnOnce(&mut GuardConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
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

/// Returns true if the name of a type contains a service that calls the same handler
/// for every method. With such a service, the GET of the guard would run the write.
fn names_one_method(name: &str) -> bool {
    ONE_METHOD.iter().flat_map(|one| name.match_indices(one)).any(|(start, one)| {
        // A longer name is another type, such as `RouteFuture`, the future of a
        // whole router.
        let next = name.get(start + one.len()..).and_then(|rest| rest.chars().next());
        !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
    })
}

const ONE_METHOD: [&str; 2] =
    ["axum::routing::route::Route", "axum::handler::service::HandlerService"];

const GUARD_THE_ROUTER: &str = "a WriteGuard sends the service that it guards a GET, but \
    Axum's `Router::layer` wraps the handler of each method separately. Guard the whole router: \
    `WriteGuard::axum(router)`";
