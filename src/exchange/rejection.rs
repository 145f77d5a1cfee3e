//! The response to a request that must not run: 304, 412 or 428.

use std::{error, fmt};

use http::{
    header::{HeaderName, ACCEPT_ENCODING},
    response, Method, Response, StatusCode,
};

use super::{
    insert_validators,
    problem_details::write_problem,
    rejection_text::{text_of_412, text_of_428, write_plain_text},
    vary_by, CodedTag,
};
use crate::{
    clock,
    rules::{
        is_write, retain_for_precondition_failed, Current, DateEvidence, Decision, EntityTag,
        HttpDate, LastModified, PreconditionFields, State, Validators,
    },
};

/// The response to a request that must not run: 304, 412 or 428.
///
/// It is the error of [`Preconditions::check`](crate::Preconditions::check). With
/// feature `axum` a `Rejection` is an `IntoResponse`. Without that feature, convert it
/// into an `http::Response`, with any body type that implements `From<String>`.
///
/// The response carries the validators of the current state, so that the client learns
/// the current tag. A 304 must also carry the `Cache-Control`, `Content-Location`,
/// `Expires` and `Vary` of the 200 ([RFC 9110, section 15.4.5]). If the 200 has any of
/// these fields, add them to the 304 yourself.
///
/// To send a text of your own with a 412 or 428, convert the `Rejection` into a
/// response, and set its body and `Content-Type`. [`status`](Self::status) and
/// [`failed_field`](Self::failed_field) show what the text must say.
///
/// In Axum, a handler with errors of several types can return `axum::response::Result`.
/// An error type of your own can hold the `Rejection`, as in the second example. A 304
/// comes as a `Rejection`, too, and must stay without content.
///
/// # Examples
///
/// ```
/// use http::{header::IF_MATCH, HeaderMap, Method, Response, StatusCode};
/// use tower_conditional::{EntityTag, Preconditions};
///
/// let headers = HeaderMap::from_iter([(IF_MATCH, "\"v6\"".parse()?)]);
/// let current = EntityTag::strong("v7")?;
/// let preconditions = Preconditions::new(&Method::PUT, &headers);
/// let rejection = preconditions.check(&current).unwrap_err();
///
/// let response: Response<String> = rejection.into();
/// assert_eq!(response.status(), StatusCode::PRECONDITION_FAILED);
/// assert_eq!(response.headers()["etag"], "\"v7\"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With this `AppError`, a handler that returns `Result<_, AppError>` can call
/// `preconditions.check(tag)?`:
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::response::{IntoResponse, Response};
/// use http::StatusCode;
/// use tower_conditional::Rejection;
///
/// enum AppError {
///     NotFound,
///     Refused(Rejection),
/// }
///
/// impl From<Rejection> for AppError {
///     fn from(rejection: Rejection) -> Self {
///         Self::Refused(rejection)
///     }
/// }
///
/// impl IntoResponse for AppError {
///     fn into_response(self) -> Response {
///         match self {
///             Self::NotFound => StatusCode::NOT_FOUND.into_response(),
///             Self::Refused(rejection) => rejection.problem_details().into_response(),
///         }
///     }
/// }
/// # }
/// ```
///
/// [RFC 9110, section 15.4.5]: https://www.rfc-editor.org/rfc/rfc9110.html#section-15.4.5
#[derive(Clone, Debug)]
pub struct Rejection {
    status: StatusCode,
    current: Validators,
    /// The tag of the client's copy, for a 304. It is the tag of `current`, followed by
    /// a coding if the copy is encoded. Boxed, like the next field, because both are
    /// rare and a `Result` with this type should be small.
    matched: Option<Box<EntityTag>>,
    /// The field that failed, for a 412.
    failed_field: Option<Box<HeaderName>>,
    /// The text that tells the client what to do. Empty for a 304, and for the answer
    /// to a HEAD.
    advice: &'static str,
    is_problem: bool,
}

impl Rejection {
    /// Returns the status: 304, 412 or 428.
    ///
    /// Their names are Not Modified, Precondition Failed and Precondition Required.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the validators of the current state, as far as they are known.
    pub fn current(&self) -> &Validators {
        &self.current
    }

    /// Returns the field that failed, for a 412.
    #[must_use]
    pub fn failed_field(&self) -> Option<&HeaderName> {
        self.failed_field.as_deref()
    }

    /// Makes the content of the response a problem document ([RFC 9457]).
    ///
    /// The media type is `application/problem+json`. By default a 412 has no content,
    /// and a 428 has plain text. A 304 and the answer to a HEAD never have content.
    ///
    /// The members are `title`, `status`, `detail` (a text that tells the client what
    /// to send), `failed_field`, `current_etag` and `current_last_modified`. A member
    /// is left out if its value is not known.
    ///
    /// The document is ASCII. A byte above 0x7F in a tag is written as the Unicode
    /// character with that number, in the form `\u00e9`. Scripts in browsers read
    /// header fields in the same way.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{header::IF_MATCH, HeaderMap, Method, Response};
    /// use tower_conditional::{EntityTag, Preconditions, Rejection};
    ///
    /// let headers = HeaderMap::from_iter([(IF_MATCH, "\"v6\"".parse()?)]);
    /// let checked = Preconditions::new(&Method::PUT, &headers)
    ///     .check(EntityTag::strong("v7")?)
    ///     .map_err(Rejection::problem_details);
    ///
    /// let response: Response<String> = checked.unwrap_err().into();
    /// assert_eq!(response.headers()["content-type"], "application/problem+json");
    /// let problem: serde_json::Value = serde_json::from_str(response.body())?;
    /// assert_eq!(problem["failed_field"], "if-match");
    /// assert_eq!(problem["current_etag"], "\"v7\"");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457.html
    #[must_use]
    pub fn problem_details(self) -> Self {
        self.with_problem(true)
    }

    pub(crate) fn with_problem(mut self, is_problem: bool) -> Self {
        self.is_problem = is_problem;
        self
    }

    /// Makes the 428 that asks for a precondition.
    pub(crate) fn required(method: &Method, current: State<'_>) -> Self {
        let advice = text_of_428(method, current);
        Self { advice, ..Self::new(StatusCode::PRECONDITION_REQUIRED, current) }
    }

    /// Makes the 412 for a field that failed, one of those in `sent`.
    pub(crate) fn failed(
        method: &Method,
        field: HeaderName,
        sent: &PreconditionFields,
        current: State<'_>,
    ) -> Self {
        let advice = text_of_412(method, &field, sent, current);
        let failed_field = Some(Box::new(field));
        Self { failed_field, advice, ..Self::new(StatusCode::PRECONDITION_FAILED, current) }
    }

    fn new(status: StatusCode, state: State<'_>) -> Self {
        let mut current = Validators::new();
        if let State::Exists(Current { etag, date }) = state {
            current.etag = etag.cloned();
            current.last_modified = match date {
                Some(DateEvidence::Stated(stated)) => Some(stated),
                Some(observed) => observed.date().map(LastModified::FirstSeen),
                None => None,
            };
        }
        Self { status, current, matched: None, failed_field: None, advice: "", is_problem: false }
    }

    /// Makes the response. `body` makes the body of the response from a text.
    pub(crate) fn respond<B>(self, now: HttpDate, body: impl FnOnce(String) -> B) -> Response<B> {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = self.status;
        if self.status == StatusCode::PRECONDITION_FAILED {
            make_precondition_failed(&mut head);
        }
        insert_validators(&mut head, &self.current, now);
        if self.status == StatusCode::NOT_MODIFIED {
            self.insert_matched_tag(&mut head);
        }
        let content = if self.advice.is_empty() {
            String::new()
        } else if self.is_problem {
            write_problem(&mut head, self.advice, self.failed_field.as_deref())
        } else if self.status == StatusCode::PRECONDITION_REQUIRED {
            write_plain_text(&mut head, self.advice)
        } else {
            String::new()
        };
        Response::from_parts(head, body(content))
    }

    fn insert_matched_tag(&self, head: &mut response::Parts) {
        if let (Some(plain), Some(matched)) = (&self.current.etag, &self.matched) {
            CodedTag::insert(head, plain, EntityTag::clone(matched));
        }
        if head.extensions.get::<CodedTag>().is_some() {
            // The coding of the 200 depends on `Accept-Encoding`.
            vary_by(&mut head.headers, ACCEPT_ENCODING);
        }
    }
}

impl<B: From<String>> From<Rejection> for Response<B> {
    fn from(rejection: Rejection) -> Self {
        rejection.respond(clock::now(), B::from)
    }
}

/// Turns a head into that of a 412. Every 412 of this crate is made here.
pub(crate) fn make_precondition_failed(head: &mut response::Parts) {
    head.status = StatusCode::PRECONDITION_FAILED;
    retain_for_precondition_failed(&mut head.headers);
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.status {
            StatusCode::NOT_MODIFIED => "the representation has not been modified",
            StatusCode::PRECONDITION_REQUIRED => "a precondition is required",
            _ => "a precondition failed",
        })
    }
}

impl error::Error for Rejection {}

/// Returns the status code alone, for handlers whose error type is `StatusCode`.
///
/// The client then gets neither the current tag nor the other fields that a 304 needs.
/// If you can, return the [`Rejection`] itself.
impl From<Rejection> for StatusCode {
    fn from(rejection: Rejection) -> Self {
        rejection.status
    }
}

impl PreconditionFields {
    /// Evaluates the preconditions, and fails if the request must not run.
    fn check_current(&self, method: &Method, current: State<'_>) -> Result<(), Rejection> {
        match self.evaluate(method, current) {
            Decision::Proceed => Ok(()),
            Decision::NotModified => {
                let mut rejection = Rejection::new(StatusCode::NOT_MODIFIED, current);
                let plain = rejection.current.etag.as_ref();
                // The client stored its copy under this tag, so the 304 must name it.
                let matched = plain.and_then(|tag| self.matched_tag(tag));
                rejection.matched = matched.map(Box::new);
                Err(rejection)
            }
            Decision::PreconditionFailed => {
                Err(Rejection::failed(method, self.failed_field(method, current), self, current))
            }
        }
    }

    /// Evaluates the preconditions. If `required` is true, a write must have one.
    pub(crate) fn check(
        &self,
        required: bool,
        method: &Method,
        current: State<'_>,
    ) -> Result<(), Rejection> {
        self.check_current(method, current)?;
        if required && is_write(method) && !self.guards_write(current) {
            return Err(Rejection::required(method, current));
        }
        Ok(())
    }
}
