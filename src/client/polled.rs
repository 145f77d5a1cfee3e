//! A value that is kept up to date by asking whether it has changed.

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

/// The last value of a resource, with its validators: a refresh asks whether it has
/// changed, and reads and parses content only if it has.
///
/// Clones share the value, and [`get`](Self::get) never waits for a refresh. Any task
/// may refresh; of two refreshes at once, the one that began later counts.
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
/// // Whenever it may have changed; a 304 costs neither content nor parsing.
/// for _ in 0..2 {
///     flags.refresh(&mut client, &request, |json| serde_json::from_slice(json)).await?;
/// }
///
/// // Wherever it is needed.
/// assert_eq!(flags.get().unwrap()["dark-mode"], true);
/// # Ok(())
/// # }
/// ```
pub struct Polled<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    content_limit: usize,
    /// How many refreshes have begun.
    refreshes: AtomicU64,
    held: Mutex<Held<T>>,
}

struct Held<T> {
    current: Option<Current<T>>,
    /// The refresh that brought or confirmed it.
    refresh: u64,
    /// When the server expects the next request.
    next: Option<Instant>,
}

struct Current<T> {
    value: Arc<T>,
    head: Arc<StoredHead>,
    /// What selected it.
    request: Arc<Request<()>>,
    /// When it was last known to be current.
    confirmed: Instant,
}

impl<T> Polled<T> {
    /// Holds no value yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_content_limit(CONTENT_LIMIT)
    }

    /// Holds no value yet, and reads at most so many bytes of content; 16 MiB unless
    /// set.
    #[must_use]
    pub fn with_content_limit(bytes: usize) -> Self {
        let held = Mutex::new(Held { current: None, refresh: 0, next: None });
        let refreshes = AtomicU64::new(0);
        Self { shared: Arc::new(Shared { content_limit: bytes, refreshes, held }) }
    }

    /// Returns the value that came last; `None` if none has come yet.
    #[must_use]
    pub fn get(&self) -> Option<Arc<T>> {
        self.held().current.as_ref().map(|current| Arc::clone(&current.value))
    }

    /// Returns how long ago the value was current for certain; `None` if there is none.
    ///
    /// That was when the request was sent that brought or confirmed it, less the `Age`
    /// that a cache on the way gave to the answer.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.held().current.as_ref().map(|current| current.confirmed.elapsed())
    }

    /// Returns how long to wait for the next refresh: as long as the last answer says,
    /// within the given bounds.
    ///
    /// An answer says so with `max-age` in `Cache-Control`, from which `Age` is taken
    /// off, and an error with `Retry-After`. If it says nothing, this is the lower
    /// bound.
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

    /// Asks whether the value has changed, reads it if it has, and returns it.
    ///
    /// `request` is a GET with the fields that the server needs, such as
    /// `Authorization`, and is sent with an empty body. `parse` makes the value of new
    /// content. If a 304 turns out to be about other content, the request is sent again
    /// without a question.
    ///
    /// The server is asked about the value only if the request has the same URI, `Host`,
    /// `Authorization`, Cookie, and fields that `Vary` names as the one that brought it,
    /// and only if it was certain that its content had not broken off (it is not with
    /// HTTP/1 and neither `Content-Length` nor chunks). Else it is read anew.
    ///
    /// Redirects are an error here. A client that follows them by itself should not
    /// follow them to other places from one time to the next: a tag is valid for one
    /// resource only.
    ///
    /// # Errors
    ///
    /// Fails if there is no answer, if its status is neither 200, 203 nor the 304 that
    /// was asked for, if the content breaks off or is too long, or if `parse` fails.
    /// The value from before is kept, and the error says how old it is.
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
        self.held().finish(refresh, result)
    }

    /// Sends the request until the answer can be used: twice at most.
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
        let mut asked = self.held().current.as_ref().map(Current::share);
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
                    // It is about other content: ask for the whole.
                }
                (status, _) => return Err((Error::Status(status), retry_at(response.headers()))),
            }
        }
    }

    /// Reads new content.
    async fn read<R, P, E>(
        &self,
        request: &Request<()>,
        response: Response<R>,
        sent: Instant,
        parse: P,
    ) -> Result<(Current<T>, Option<Instant>), Failure>
    where
        R: Body,
        R::Error: Into<BoxError>,
        P: FnOnce(&[u8]) -> Result<T, E>,
        E: Into<BoxError>,
    {
        let (mut head, body) = response.into_parts();
        let confirmed = confirmed(&head.headers, sent);
        let pace = in_seconds(fresh_seconds(&head.headers, &head.headers));
        let content = content::read(&head, body, self.shared.content_limit).await;
        let content = content.map_err(|error| (error, None))?;
        let value = parse(&content.bytes).map_err(|error| (Error::Value(error.into()), None))?;
        if !content.is_whole {
            // A 304 would make it last.
            head.headers.remove(ETAG);
            head.headers.remove(LAST_MODIFIED);
        }
        let head = Arc::new(StoredHead::new(&head.headers));
        let request = Arc::new(request.clone());
        Ok((Current { value: Arc::new(value), head, request, confirmed }, pace))
    }

    fn held(&self) -> MutexGuard<'_, Held<T>> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Held<T> {
    /// Takes what came of a refresh, unless one that began later has brought its own.
    fn finish(
        &mut self,
        refresh: u64,
        result: Result<(Current<T>, Option<Instant>), Failure>,
    ) -> Result<Arc<T>, RefreshError> {
        let is_latest = refresh > self.refresh;
        match result {
            Ok((current, pace)) => {
                let value = Arc::clone(&current.value);
                if !is_latest {
                    return Ok(self
                        .current
                        .as_ref()
                        .map_or(value, |later| Arc::clone(&later.value)));
                }
                *self = Self { current: Some(current), refresh, next: pace };
                Ok(value)
            }
            Err((error, pace)) => {
                if is_latest {
                    self.next = pace;
                }
                let age = self.current.as_ref().map(|current| current.confirmed.elapsed());
                Err(RefreshError { error, age })
            }
        }
    }
}

/// What can be used of what the server answered.
enum Answer<T, R> {
    /// What is held is current.
    Current(Current<T>, Option<Instant>),
    /// There is new content, to a request of that time.
    New(Response<R>, Instant),
}

/// What failed, and when the server expects the next request.
type Failure = (Error, Option<Instant>);

impl<T> Current<T> {
    fn share(&self) -> Self {
        let (value, head) = (Arc::clone(&self.value), Arc::clone(&self.head));
        Self { value, head, request: Arc::clone(&self.request), confirmed: self.confirmed }
    }

    fn is_selected_by(&self, request: &Request<()>) -> bool {
        selection::is_same(&self.request, request, self.head.headers())
    }

    /// Takes over a 304; returns false if it is not about this value.
    fn confirm(&mut self, not_modified: &HeaderMap, sent: Instant) -> bool {
        let merged = self.head.merged(not_modified);
        let is_confirmed = merged.is_some();
        if let Some(merged) = merged {
            self.head = Arc::new(merged);
            self.confirmed = confirmed(not_modified, sent);
        }
        is_confirmed
    }
}

/// Returns when the answer to a request of this time was current for certain: an origin
/// server may have read its state at once, and caches say how old it is.
fn confirmed(answer: &HeaderMap, sent: Instant) -> Instant {
    let age = answer.get(AGE).and_then(|line| seconds(line.as_bytes())).unwrap_or(0);
    sent.checked_sub(Duration::from_secs(age.into())).unwrap_or(sent)
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

/// Reads `Retry-After`: seconds or a date ([RFC 9110, section
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
