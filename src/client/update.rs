//! An edit that does not overwrite other edits: GET, edit, PUT with If-Match.

use std::{
    collections::hash_map::RandomState, hash::BuildHasher, ops::RangeInclusive, time::Duration,
};

use bytes::Bytes;
use http::{
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH},
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
};
use http_body::Body;
use tower_service::Service;

use super::{
    content::{self, CONTENT_LIMIT},
    error::ContentError,
    polled::retry_after,
    stored_head::OWN_QUESTIONS,
    Error, StoredHead,
};
use crate::{
    body::BoxError,
    header_map::insert_field,
    rules::{members, EntityTag},
    timer::Timer,
};

/// An edit of one resource that does not overwrite the edits of others.
///
/// The update reads the resource with a GET, and writes it with a PUT whose If-Match
/// has the tag that was read. If the answer is 412, another client has written in
/// between. The update then reads and edits again.
///
/// **Lost answers.** An answer counts as lost if it does not show whether the write was
/// done, or will still be done. These are the cases:
///
/// - The service fails.
/// - The status is 202 (Accepted), 302 (Found) or 303 (See Other).
/// - The status is 408 (Request Timeout). tower-http's `TimeoutLayer` sends it if the
///   handler takes too long, and by then the handler may have written.
/// - The status is a 5xx, except 501, 505, 507 and 511. A 503 counts as lost even if it
///   has `Retry-After`: Varnish sends such a 503 if the connection to the server
///   breaks.
///
/// If another attempt is left, the update then reads the resource again:
///
/// - If the resource has the content that was sent, the write was done.
/// - If the resource still has its old tag, the same write is sent again.
/// - Otherwise the update fails with [`Error::InDoubt`], because a second edit might
///   repeat the first.
///
/// **After `InDoubt`**, run the update again with a closure that first looks for its
/// own edit in the content. For this, each edit must store a unique identifier. If the
/// closure finds the identifier, it returns the content unchanged. If edits have no
/// identifiers, show the current content to the user, and let the user decide.
///
/// **The resource must exist.** An update cannot create it: if the GET is answered with
/// 404, the update fails with [`Error::Status`]. To create a resource, send a PUT with
/// `If-None-Match: *` yourself.
///
/// **Counters.** After a lost answer, the update assumes that equal content is its own
/// write, but another client may have written it. For a document that does not matter.
/// For a counter, one count would be lost, so store the number together with a unique
/// identifier of the last write. For the same reason, do not use
/// [`WriteGuard::idempotent_puts`](crate::WriteGuard::idempotent_puts) on the server of
/// a counter.
///
/// **Redirects.** The HTTP client should not follow redirects of a PUT. After such a
/// redirect, many clients send a GET, whose 200 would look like the answer to the PUT.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http::{header, Method, Request, Response, StatusCode};
/// use http_body_util::Full;
/// use tower::service_fn;
/// use tower_conditional::client::Update;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = service_fn(|request: Request<Full<Bytes>>| async move {
/// #     let response = Response::builder().header(header::ETAG, "\"v1\"");
/// #     if request.method() == Method::PUT {
/// #         assert_eq!(request.headers()[header::IF_MATCH], "\"v1\"");
/// #         return response.status(StatusCode::NO_CONTENT).body(Full::<Bytes>::default());
/// #     }
/// #     response.body(Full::from("{\"dark-mode\":false}"))
/// # });
/// let request = Request::get("http://localhost/flags").body(())?;
/// let written = Update::new(request)
///     .run(&mut client, |json| {
///         let mut flags: serde_json::Value = serde_json::from_slice(json)?;
///         flags["dark-mode"] = true.into();
///         serde_json::to_vec(&flags)
///     })
///     .await?;
/// assert_eq!(written, "{\"dark-mode\":true}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "an update does nothing unless run"]
pub struct Update {
    request: Request<()>,
    attempts: u32,
    backoff: RangeInclusive<Duration>,
    content_limit: usize,
}

impl Update {
    /// Makes an update of the resource that the URI of `request` names.
    ///
    /// The GET and the PUT have the fields of `request`, such as `Authorization`. The
    /// method, the preconditions and the `Range` of `request` are ignored.
    ///
    /// The update adds two fields, unless `request` has them:
    ///
    /// - The PUT has the `Content-Type` of the content that was read.
    /// - The GET has `Cache-Control: no-cache`. Otherwise, after a conflict, a cache on
    ///   the way could return the old content again.
    pub fn new(mut request: Request<()>) -> Self {
        for name in &OWN_QUESTIONS {
            request.headers_mut().remove(name);
        }
        let backoff = Duration::from_millis(50)..=Duration::from_secs(2);
        Self { request, attempts: 5, backoff, content_limit: CONTENT_LIMIT }
    }

    /// Sets the maximum number of attempts. Default: 5. 0 counts as 1.
    ///
    /// Each attempt reads the resource once, and writes it at most once. Another
    /// attempt follows in these cases:
    ///
    /// - The PUT has a conflict, its answer is lost, or its status is 429.
    /// - The GET fails for a reason that may pass: the service fails, the content
    ///   breaks off, or the status is 408, 429, 502, 503 or 504.
    ///
    /// If many clients edit one resource concurrently, set `attempts` to the number of
    /// clients.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::client::Update;
    ///
    /// let request = http::Request::get("http://localhost/flags").body(())?;
    /// let update = Update::new(request).attempts(20);
    /// # drop(update);
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets how long to wait before another attempt. Default: 50 ms to 2 s.
    ///
    /// Each wait is a random time between the lower bound and a limit. The limit starts
    /// at twice the lower bound, and doubles with each attempt up to the upper bound.
    /// If an answer has a longer `Retry-After`, the update waits for that time, but at
    /// most for the upper bound.
    ///
    /// Waiting needs a Tokio runtime with timers. Without one, the next attempt follows
    /// at once.
    pub fn backoff(mut self, bounds: RangeInclusive<Duration>) -> Self {
        self.backoff = bounds;
        self
    }

    /// Sets how many bytes of content are read at most. Default: 16 MiB.
    ///
    /// If the content is longer, the update fails with [`Error::TooLarge`].
    pub fn content_limit(mut self, bytes: usize) -> Self {
        self.content_limit = bytes;
        self
    }

    /// Reads, edits and writes the resource, and returns the written content.
    ///
    /// `edit` makes the new content from the current content. It is called again after
    /// a conflict, and after a 429. After a lost answer it is not called again, because
    /// a second edit might repeat the first. If the update then writes once more, it
    /// sends the same content.
    ///
    /// # Errors
    ///
    /// Fails with [`Error::InDoubt`] if it is not known whether the write was done. If
    /// `run` fails with another error, nothing was written:
    ///
    /// - The resource cannot be read, has no strong tag, or has a `Content-Encoding`.
    /// - `edit` fails.
    /// - Another client wrote in between, and no attempt is left ([`Error::Conflict`]).
    /// - The server refuses the write for another reason.
    pub async fn run<S, B, R, C, E>(
        &self,
        mut service: S,
        mut edit: impl FnMut(&[u8]) -> Result<C, E>,
    ) -> Result<Bytes, Error>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: From<Bytes>,
        R: Body,
        R::Error: Into<BoxError>,
        C: Into<Bytes>,
        E: Into<BoxError>,
    {
        let mut edit = |content: &[u8]| match edit(content) {
            Ok(content) => Ok(content.into()),
            Err(error) => Err(Error::Value(error.into())),
        };
        let timer = Timer::default();
        let (mut lost, mut error) = (None, Error::Conflict);
        for attempt in 0..self.attempts.max(1) {
            match self.attempt(&mut service, &mut edit, &mut lost).await {
                Ok(content) => return Ok(content),
                Err(Failed::Stop(error)) => return Err(in_doubt(lost.as_ref(), error)),
                Err(Failed::Again(again, after)) => {
                    error = again;
                    let is_last = attempt + 1 >= self.attempts;
                    let wait = self.wait(attempt).max(after.min(*self.backoff.end()));
                    let sleep = if is_last { None } else { timer.sleep(wait) };
                    if let Some(sleep) = sleep {
                        sleep.await;
                    }
                }
            }
        }
        Err(in_doubt(lost.as_ref(), error))
    }

    /// Reads and writes once. `lost` is the write of an earlier attempt, if its answer
    /// was lost.
    async fn attempt<S, B, R>(
        &self,
        service: &mut S,
        edit: &mut impl FnMut(&[u8]) -> Result<Bytes, Error>,
        lost: &mut Option<Write>,
    ) -> Result<Bytes, Failed>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: From<Bytes>,
        R: Body,
        R::Error: Into<BoxError>,
    {
        let (head, content) = self.read(service).await?;
        let content = match &*lost {
            Some(write) if write.content == content => return Ok(content),
            Some(write) if !head.strong_tag().is_some_and(|tag| tag.strong_eq(&write.tag)) => {
                return Err(Error::Conflict.into());
            }
            Some(write) => write.content.clone(),
            None if head.strong_tag().is_none() => return Err(Error::NoStrongTag.into()),
            None => edit(&content)?,
        };
        let request = self.put(&head, &content).ok_or(Error::NoStrongTag)?;
        // If this fails, nothing was sent.
        content::ready(service).await?;
        match content::answer(service.call(request)).await {
            Ok(response) => {
                let status = response.status();
                if is_lost(status) {
                    *lost = Write::of(&head, content);
                } else if status.is_success() {
                    return Ok(content);
                }
                Err(Failed::of_write(status, response.headers()))
            }
            Err(error) => {
                *lost = Write::of(&head, content);
                Err(Failed::Again(error, Duration::ZERO))
            }
        }
    }

    async fn read<S, B, R>(&self, service: &mut S) -> Result<(StoredHead, Bytes), Failed>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: From<Bytes>,
        R: Body,
        R::Error: Into<BoxError>,
    {
        let mut request = self.request.clone().map(|()| B::from(Bytes::new()));
        *request.method_mut() = Method::GET;
        // Otherwise a cache on the way could return the content whose tag the server
        // refused.
        if !request.headers().contains_key(CACHE_CONTROL) {
            insert_field(
                request.headers_mut(),
                CACHE_CONTROL,
                HeaderValue::from_static("no-cache"),
            );
        }
        // A service that fails before the call is not called again (`Service::poll_ready`).
        content::ready(service).await?;
        let answer = content::answer(service.call(request)).await;
        let (head, body) = answer.map_err(|error| Failed::of_read(error, None))?.into_parts();
        if head.status != StatusCode::OK {
            return Err(Failed::of_read(Error::Status(head.status), retry_after(&head.headers)));
        }
        // The PUT would have no `Content-Encoding`, so the server would store the
        // encoded bytes as plain content.
        if is_encoded(&head.headers) {
            return Err(Error::Value(ContentError::Encoded.into()).into());
        }
        let content = content::read(&head, body, self.content_limit).await;
        let content = content.map_err(|error| Failed::of_read(error, None))?;
        // The edit of incomplete content would remove the part that is missing.
        if !content.is_whole {
            return Err(Error::from(ContentError::UnknownEnd).into());
        }
        Ok((StoredHead::new(&head.headers), content.bytes))
    }

    /// Makes the PUT. Returns `None` if there is no strong tag for If-Match.
    fn put<B: From<Bytes>>(&self, head: &StoredHead, content: &Bytes) -> Option<Request<B>> {
        let mut request = self.request.clone().map(|()| B::from(content.clone()));
        *request.method_mut() = Method::PUT;
        let headers = request.headers_mut();
        if let Some(media_type) = head.headers().get(CONTENT_TYPE)
            && !headers.contains_key(CONTENT_TYPE)
        {
            insert_field(headers, CONTENT_TYPE, media_type.clone());
        }
        let is_guarded = head.guard(headers) && headers.contains_key(IF_MATCH);
        is_guarded.then_some(request)
    }

    /// Returns how long to wait after an attempt. The first attempt has the number 0.
    fn wait(&self, attempt: u32) -> Duration {
        let (start, end) = (*self.backoff.start(), *self.backoff.end());
        let factor = 2_u32.saturating_pow(attempt.saturating_add(1));
        let limit = start.saturating_mul(factor).min(end).max(start);
        // 16 random bits, so that clients in conflict do not retry at the same time.
        let random = (RandomState::new().hash_one(attempt) >> 48) as u32;
        start + (limit - start).mul_f64(f64::from(random) / 65_536.0)
    }
}

/// Returns true if the content has a coding other than `identity`.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter().flat_map(members);
    codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// A write whose answer was lost.
#[derive(Debug)]
struct Write {
    /// The tag of the content that the write replaces.
    tag: EntityTag,
    content: Bytes,
}

impl Write {
    fn of(head: &StoredHead, content: Bytes) -> Option<Self> {
        head.strong_tag().map(|tag| Self { tag: tag.clone(), content })
    }
}

/// Why an attempt failed.
enum Failed {
    /// Another attempt may succeed, after the wait that the answer asks for.
    Again(Error, Duration),
    Stop(Error),
}

impl Failed {
    /// Decides whether another attempt follows a read that failed. A GET may always be
    /// sent again.
    fn of_read(error: Error, after: Option<Duration>) -> Self {
        if is_passing(&error) {
            Self::Again(error, after.unwrap_or_default())
        } else {
            Self::Stop(error)
        }
    }

    /// Decides whether another attempt follows this answer to a write.
    fn of_write(status: StatusCode, headers: &HeaderMap) -> Self {
        let after = retry_after(headers).unwrap_or(Duration::ZERO);
        match status {
            StatusCode::PRECONDITION_FAILED => Self::Again(Error::Conflict, after),
            _ if is_lost(status) || status == StatusCode::TOO_MANY_REQUESTS => {
                Self::Again(Error::Status(status), after)
            }
            _ => Self::Stop(Error::Status(status)),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}

/// Returns true if it is not known whether a write with this answer was done.
///
/// - Most 5xx: a handler may fail after the write, and a gateway does not know what the
///   server did. But 501, 505, 507 and 511 are refusals. A 503 with `Retry-After` may
///   not be a refusal: Varnish also sends it if it got no answer from the server.
/// - 302 and 303: many handlers redirect after a write (RFC 9110, section 15.4.4).
/// - 202: the write may still be done or refused (section 15.3.3).
/// - 408: a layer that limits the time of a handler answers with it, and the handler
///   may have started the write.
fn is_lost(status: StatusCode) -> bool {
    match status {
        StatusCode::ACCEPTED
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::REQUEST_TIMEOUT => true,
        StatusCode::NOT_IMPLEMENTED
        | StatusCode::HTTP_VERSION_NOT_SUPPORTED
        | StatusCode::INSUFFICIENT_STORAGE
        | StatusCode::NETWORK_AUTHENTICATION_REQUIRED => false,
        _ => status.is_server_error(),
    }
}

/// Returns true if the error may be temporary, so that the same request may succeed
/// later.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Service(_) | Error::Content(_) => true,
        Error::Status(status) => matches!(
            *status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        ),
        _ => false,
    }
}

fn in_doubt(lost: Option<&Write>, error: Error) -> Error {
    match lost {
        Some(_) => Error::InDoubt(Box::new(error)),
        None => error,
    }
}
