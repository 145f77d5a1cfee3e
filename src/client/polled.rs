//! A value that is kept up to date with conditional requests.

use std::{
    fmt,
    ops::RangeInclusive,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::Duration,
};

use http::{
    header::{AGE, DATE, ETAG, LAST_MODIFIED, RETRY_AFTER},
    HeaderMap, Request, Response, StatusCode,
};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    content::{self, CONTENT_LIMIT},
    selection, Error, RefreshError, StoredHead,
};
use crate::{
    body::BoxError,
    clock,
    rules::{single_line, HttpDate},
    validators::{fresh_seconds, seconds},
};

/// A value that is parsed from the content of a resource, and can be refreshed.
///
/// A refresh asks the server whether the content has changed. If the server answers 304
/// (Not Modified), the refresh keeps the value. Otherwise it reads and parses the
/// content.
///
/// Clones share the value, and [`get`](Self::get) never waits for a refresh. Any task
/// may refresh. If two refreshes run concurrently and both succeed, the value of the
/// one that began later is kept.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http::{header, Request, Response, StatusCode};
/// use http_body_util::Full;
/// use tower::service_fn;
/// use tower_conditional::client::Polled;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut client = service_fn(|request: Request<Full<Bytes>>| async move {
/// #     let response = Response::builder().header(header::ETAG, "\"v1\"");
/// #     if request.headers().contains_key(header::IF_NONE_MATCH) {
/// #         return response.status(StatusCode::NOT_MODIFIED).body(Full::<Bytes>::default());
/// #     }
/// #     response.body(Full::from("{\"dark-mode\":true}"))
/// # });
/// let flags: Polled<serde_json::Value> = Polled::new();
/// let request = Request::get("http://localhost/flags").body(())?;
///
/// // Refresh it when it may have changed. A 304 costs neither content nor parsing.
/// for _ in 0..2 {
///     let parse = |json: &[u8]| serde_json::from_slice(json);
///     flags.refresh(&mut client, &request, parse).await?;
/// }
///
/// // Use it where it is needed.
/// assert_eq!(flags.get().unwrap()["dark-mode"], true);
/// # Ok(())
/// # }
/// ```
pub struct Polled<T> {
    shared: Arc<PolledState<T>>,
}

struct PolledState<T> {
    content_limit: usize,
    /// The number of refreshes that have begun.
    refreshes: AtomicU64,
    held: Mutex<Held<T>>,
}

struct Held<T> {
    current: Option<HeldValue<T>>,
    /// The number of the refresh that brought or confirmed the value. The first refresh
    /// has the number 1. 0 if there is no value.
    refresh: u64,
    /// The time until which the server asks clients to wait, from `max-age` or
    /// `Retry-After`.
    next: Option<Instant>,
}

struct HeldValue<T> {
    value: Arc<T>,
    head: Arc<StoredHead>,
    /// The request that brought the value.
    request: Arc<Request<()>>,
    /// When the client sent the request that brought or confirmed the value.
    sent: Instant,
    /// The `Age` of the answer to this request: how long the answer was in caches.
    /// Without an `Age`, this is 0.
    age_of_answer: Duration,
}

impl<T> Polled<T> {
    /// Makes a `Polled` without a value.
    ///
    /// Each refresh reads at most 16 MiB of content.
    #[must_use]
    pub fn new() -> Self {
        Self::with_content_limit(CONTENT_LIMIT)
    }

    /// Makes a `Polled` without a value. Each refresh reads at most `bytes` of content.
    ///
    /// A refresh fails with [`Error::TooLarge`] if the content is longer.
    #[must_use]
    pub fn with_content_limit(bytes: usize) -> Self {
        let held = Mutex::new(Held { current: None, refresh: 0, next: None });
        let refreshes = AtomicU64::new(0);
        Self { shared: Arc::new(PolledState { content_limit: bytes, refreshes, held }) }
    }

    /// Returns the last value, or `None` before the first successful refresh.
    #[must_use]
    pub fn get(&self) -> Option<Arc<T>> {
        self.held().current.as_ref().map(|current| Arc::clone(&current.value))
    }

    /// Returns how long ago the server sent or confirmed the value.
    ///
    /// Returns `None` if there is no value. The time counts from the moment when the
    /// request was sent, because the value may have changed while the answer was on its
    /// way. If the answer comes from a cache, the `Age` of the answer is added.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.held().current.as_ref().map(HeldValue::age)
    }

    /// Returns how long to wait before the next refresh, within `bounds`.
    ///
    /// After a success, the wait is `max-age` in `Cache-Control` minus `Age`, or 0 with
    /// `no-cache` or `no-store`. If a 304 has no `Cache-Control`, the one of the answer
    /// before it still applies (RFC 9111, section 3.2). After an error, the wait is
    /// `Retry-After`. The time that has passed since the answer is subtracted.
    ///
    /// Returns the lower bound if there is no such field. The same applies before the
    /// first refresh, and after one that got no answer or no usable content.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_conditional::client::Polled;
    /// # let flags: Polled<()> = Polled::new();
    /// let wait = flags.wait(Duration::from_secs(10)..=Duration::from_secs(600));
    /// assert_eq!(wait, Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn wait(&self, bounds: RangeInclusive<Duration>) -> Duration {
        let now = Instant::now();
        let said = self.held().next.map_or(Duration::ZERO, |next| next - now);
        said.max(*bounds.start()).min(*bounds.end())
    }

    /// Asks the server whether the value has changed, and returns the current value.
    ///
    /// `request` is a GET with the fields that the server needs, such as
    /// `Authorization`. The refresh adds a precondition and an empty body. `parse`
    /// makes the value from new content. If a 304 is not about the kept value, such as
    /// a 304 with another tag, the refresh sends `request` again without the
    /// precondition.
    ///
    /// In these cases the refresh adds no precondition, so the server sends the whole
    /// content:
    ///
    /// - There is no value yet, or its response had no validator that
    ///   [`StoredHead::ask`] can send.
    /// - This request and the one that brought the value differ in the URI, `Host`,
    ///   `Authorization`, Cookie, or a field that `Vary` names. If the content is
    ///   encoded, `Accept-Encoding` is compared, too.
    /// - The content from which the value was made may be incomplete. For example, if
    ///   HTTP/1 content has neither `Content-Length` nor chunks, a broken connection
    ///   looks like the end of the content.
    ///
    /// A redirect is an error. The HTTP client should not follow redirects itself,
    /// because a tag is valid for one resource only. It may follow a redirect that
    /// always leads to the same resource.
    ///
    /// If another refresh begins later and succeeds earlier, this refresh returns the
    /// value of the other one. But if the two requests differ in the URI or in a field
    /// that is compared (see the list above), each refresh returns its own value.
    ///
    /// After a 304, the returned `Arc` is the one that [`get`](Self::get) returned
    /// before. Compare the two with [`Arc::ptr_eq`] to see whether new content
    /// was parsed.
    ///
    /// A refresh has no timeout. Its future may be dropped at any point, for example by
    /// `tokio::time::timeout`. The value then stays as it is.
    ///
    /// To test against an Axum router, pass `app.clone().into_service::<Body>()`.
    ///
    /// # Errors
    ///
    /// Fails in these cases, and keeps the previous value. The error contains the age
    /// of that value.
    ///
    /// - There is no answer, or its status is not 200, 203 or 304.
    /// - The status is 304, but the refresh added no precondition.
    /// - The content breaks off or is too long.
    /// - `parse` fails.
    pub async fn refresh<S, B, R, P, E>(
        &self,
        mut service: S,
        request: &Request<()>,
        parse: P,
    ) -> Result<Arc<T>, RefreshError>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: Default,
        R: Body,
        R::Error: Into<BoxError>,
        P: FnOnce(&[u8]) -> Result<T, E>,
        E: Into<BoxError>,
    {
        let refresh = self.shared.refreshes.fetch_add(1, Ordering::Relaxed) + 1;
        let result = match self.ask(&mut service, request).await {
            Ok(Answer::Current(current, pace)) => Ok((current, pace)),
            Ok(Answer::New(response, sent)) => self.read(request, response, sent, parse).await,
            Err(failure) => Err(failure),
        };
        self.held().finish(refresh, request, result)
    }

    /// Sends the request. If a 304 is not about the kept value, sends the request again
    /// without preconditions.
    async fn ask<S, B, R>(
        &self,
        service: &mut S,
        request: &Request<()>,
    ) -> Result<Answer<T, R>, Failure>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: Default,
    {
        let mut asked = self.held().current.as_ref().map(HeldValue::share);
        asked = asked.filter(|current| current.is_selected_by(request));
        loop {
            let mut request = request.clone().map(|()| B::default());
            asked = asked.filter(|current| current.head.ask(request.headers_mut()));
            let sent = Instant::now();
            let response = content::call(service, request).await.map_err(|error| (error, None))?;
            match (response.status(), asked.take()) {
                (StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION, _) => {
                    return Ok(Answer::New(response, sent));
                }
                (StatusCode::NOT_MODIFIED, Some(mut current)) => {
                    if current.confirm(response.headers(), sent) {
                        let head = current.head.headers();
                        let pace = in_seconds(fresh_seconds(head, response.headers()));
                        return Ok(Answer::Current(current, pace));
                    }
                    // Otherwise send the request again without preconditions.
                }
                (status, _) => return Err((Error::Status(status), retry_at(response.headers()))),
            }
        }
    }

    async fn read<R, P, E>(
        &self,
        request: &Request<()>,
        response: Response<R>,
        sent: Instant,
        parse: P,
    ) -> Result<(HeldValue<T>, Option<Instant>), Failure>
    where
        R: Body,
        R::Error: Into<BoxError>,
        P: FnOnce(&[u8]) -> Result<T, E>,
        E: Into<BoxError>,
    {
        let (mut head, body) = response.into_parts();
        let age_of_answer = age_of(&head.headers);
        let pace = in_seconds(fresh_seconds(&head.headers, &head.headers));
        let content = content::read(&head, body, self.shared.content_limit).await;
        let content = content.map_err(|error| (error, None))?;
        let value = parse(&content.bytes).map_err(|error| (Error::Value(error.into()), None))?;
        if !content.is_whole {
            // Content that may be incomplete must not be confirmed by a 304.
            head.headers.remove(ETAG);
            head.headers.remove(LAST_MODIFIED);
        }
        let head = Arc::new(StoredHead::new(&head.headers));
        let request = Arc::new(request.clone());
        Ok((HeldValue { value: Arc::new(value), head, request, sent, age_of_answer }, pace))
    }

    fn held(&self) -> MutexGuard<'_, Held<T>> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Held<T> {
    /// Records the result of a refresh, unless a refresh that began later has already
    /// succeeded. Returns the value for `request`.
    fn finish(
        &mut self,
        refresh: u64,
        request: &Request<()>,
        result: Result<(HeldValue<T>, Option<Instant>), Failure>,
    ) -> Result<Arc<T>, RefreshError> {
        let is_latest = refresh > self.refresh;
        match result {
            Ok((current, pace)) => {
                let value = Arc::clone(&current.value);
                if !is_latest {
                    // The later refresh may have had another request, such as one with
                    // another `Accept`.
                    let later = self.current.as_ref();
                    let later = later.filter(|later| later.is_selected_by(request));
                    return Ok(later.map_or(value, |later| Arc::clone(&later.value)));
                }
                *self = Self { current: Some(current), refresh, next: pace };
                Ok(value)
            }
            Err((error, pace)) => {
                if is_latest {
                    self.next = pace;
                }
                let age = self.current.as_ref().map(HeldValue::age);
                Err(RefreshError { error, age })
            }
        }
    }
}

/// An answer of the server that can be used.
enum Answer<T, R> {
    /// The kept value is current. The server asks clients to wait until this time.
    Current(HeldValue<T>, Option<Instant>),
    /// The response has new content. Its request was sent at this time.
    New(Response<R>, Instant),
}

/// The error, and the time until which the server asks clients to wait.
type Failure = (Error, Option<Instant>);

impl<T> HeldValue<T> {
    fn share(&self) -> Self {
        let (value, head) = (Arc::clone(&self.value), Arc::clone(&self.head));
        Self { value, head, request: Arc::clone(&self.request), ..*self }
    }

    fn age(&self) -> Duration {
        self.sent.elapsed().saturating_add(self.age_of_answer)
    }

    fn is_selected_by(&self, request: &Request<()>) -> bool {
        selection::is_same(&self.request, request, self.head.headers())
    }

    /// Updates the head from a 304. Returns false if the 304 is not about this value.
    fn confirm(&mut self, not_modified: &HeaderMap, sent: Instant) -> bool {
        let merged = self.head.merged(not_modified);
        let is_confirmed = merged.is_some();
        if let Some(merged) = merged {
            self.head = Arc::new(merged);
            self.sent = sent;
            self.age_of_answer = age_of(not_modified);
        }
        is_confirmed
    }
}

/// Reads `Age`. The result is 0 if the field is missing or invalid.
fn age_of(answer: &HeaderMap) -> Duration {
    let age = answer.get(AGE).and_then(|line| seconds(line.as_bytes()));
    Duration::from_secs(age.unwrap_or(0).into())
}

impl<T> Clone for Polled<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Default for Polled<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Polled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled")
            .field("value", &self.get())
            .field("age", &self.age())
            .finish_non_exhaustive()
    }
}

/// Reads `Retry-After`, which contains seconds or a date. From a date, this subtracts
/// `Date`, or the current time if there is no `Date` ([RFC 9110, section
/// 10.2.3](https://www.rfc-editor.org/rfc/rfc9110.html#section-10.2.3)).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let line = single_line(headers, RETRY_AFTER)?.as_bytes();
    let until = || {
        let date = HttpDate::parse_with(line, clock::now)?;
        let sent = single_line(headers, DATE)
            .and_then(|line| HttpDate::parse_with(line.as_bytes(), clock::now))
            .unwrap_or_else(clock::now);
        let seconds = date.unix_seconds() - sent.unix_seconds();
        Some(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
    };
    seconds(line).or_else(until).map(|seconds| Duration::from_secs(seconds.into()))
}

fn retry_at(headers: &HeaderMap) -> Option<Instant> {
    Instant::now().checked_add(retry_after(headers)?)
}

fn in_seconds(seconds: u32) -> Option<Instant> {
    if seconds == 0 {
        return None;
    }
    Instant::now().checked_add(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";
        for (line, expected) in [
            ("7", Some(7)),
            (LATER, Some(60)),
            (DAY, Some(0)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, DAY.parse().unwrap());
            headers.insert(RETRY_AFTER, line.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{line}");
        }
    }
}
