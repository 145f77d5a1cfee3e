//! The response in place of the one that a request asked for: 304, 412 or 428.

use std::{error, fmt};

use http::{
    header::{ACCEPT_ENCODING, CONTENT_TYPE},
    HeaderValue, Method, Response, StatusCode,
};

use super::{insert_validators, vary_by, CodedTag};
use crate::{
    clock,
    rules::{
        is_write, ContentCoding, Current, DateEvidence, Decision, EntityTag, HttpDate,
        LastModified, Preconditions, Representation, State, Validators,
    },
};

/// The response to a request whose method must not run: 304, 412 or 428.
///
/// [`Preconditions::check`] fails with it. With feature `axum` it is an `IntoResponse`;
/// elsewhere convert it into an `http::Response` of any body that text converts into.
///
/// It carries the validators of the current state, so that the client learns which tag
/// it should have sent. A 304 must also carry the `Cache-Control`, `Content-Location`,
/// `Expires` and `Vary` of the 200 ([RFC 9110, section 15.4.5]): where the 200 has any,
/// add them to both.
///
/// # Examples
///
/// ```
/// use http::{header::IF_MATCH, HeaderMap, Method, Response, StatusCode};
/// use tower_conditional::{EntityTag, Preconditions};
///
/// let headers = HeaderMap::from_iter([(IF_MATCH, "\"v6\"".parse()?)]);
/// let current = EntityTag::strong("v7")?;
/// let rejection = Preconditions::from_headers(&headers)
///     .check(&Method::PUT, &current)
///     .unwrap_err();
///
/// let response: Response<String> = rejection.into();
/// assert_eq!(response.status(), StatusCode::PRECONDITION_FAILED);
/// assert_eq!(response.headers()["etag"], "\"v7\"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [RFC 9110, section 15.4.5]: https://www.rfc-editor.org/rfc/rfc9110.html#section-15.4.5
#[derive(Clone, Debug)]
pub struct Rejection {
    status: StatusCode,
    current: Validators,
    /// The tag to send, if it is not that of `current` as it is: it names a coding.
    coded: Option<EntityTag>,
    content: &'static str,
}

impl Rejection {
    /// Returns 304 (Not Modified), 412 (Precondition Failed) or 428 (Precondition
    /// Required).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Asks for the precondition that a method has to have.
    pub(crate) fn required(method: &Method, current: State<'_>) -> Self {
        // Only a PUT creates what its URI names.
        let content = if *method == Method::PUT { REQUIRED_TO_PUT } else { REQUIRED };
        Self { content, ..Self::new(StatusCode::PRECONDITION_REQUIRED, current) }
    }

    pub(crate) fn failed(current: State<'_>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, current)
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
        let coded = current.etag.as_ref().filter(|tag| tag.needs_identity());
        let coded = coded.map(|tag| tag.with_coding(ContentCoding::Identity));
        Self { status, current, coded, content: "" }
    }

    /// Makes the response; `body` makes its body from text.
    pub(crate) fn respond<B>(
        self,
        now: HttpDate,
        body: impl FnOnce(&'static str) -> B,
    ) -> Response<B> {
        let Self { status, current, coded, content } = self;
        let (mut head, body) = Response::new(body(content)).into_parts();
        head.status = status;
        insert_validators(&mut head.headers, &current, now);
        if let (Some(plain), Some(coded)) = (&current.etag, coded) {
            if status == StatusCode::NOT_MODIFIED && coded != *plain {
                // The 200 was chosen by it.
                vary_by(&mut head.headers, ACCEPT_ENCODING);
            }
            CodedTag::insert(&mut head, plain, coded);
        }
        if !content.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            head.headers.insert(CONTENT_TYPE, text);
        }
        Response::from_parts(head, body)
    }
}

impl<B: From<&'static str>> From<Rejection> for Response<B> {
    fn from(rejection: Rejection) -> Self {
        rejection.respond(clock::now(), B::from)
    }
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

impl Preconditions {
    /// Evaluates the preconditions as [`evaluate`](Self::evaluate) does, and fails with
    /// the response to send if the method must not run.
    ///
    /// Call it where the state cannot change until the write is done: inside the
    /// transaction.
    ///
    /// # Errors
    ///
    /// Fails if the answer is 304 or 412.
    pub fn check(
        &self,
        method: &Method,
        current: impl Into<Representation>,
    ) -> Result<(), Rejection> {
        self.check_as(false, method, State::from(&current.into()))
    }

    /// Evaluates the preconditions, and fails if the method must not run.
    fn check_current(&self, method: &Method, current: State<'_>) -> Result<(), Rejection> {
        match self.evaluate_state(method, current) {
            Decision::Proceed => Ok(()),
            Decision::NotModified => {
                let mut rejection = Rejection::new(StatusCode::NOT_MODIFIED, current);
                let plain = rejection.current.etag.as_ref();
                // The client knows its copy by this tag.
                if let Some(matched) = plain.and_then(|tag| self.matched_tag(tag)) {
                    rejection.coded = Some(matched);
                }
                Err(rejection)
            }
            Decision::PreconditionFailed => Err(Rejection::failed(current)),
        }
    }

    /// Evaluates the preconditions as [`check`](Self::check) does, and requires that a
    /// write has one.
    ///
    /// If-Match and `If-None-Match: *` count, and If-Unmodified-Since if it is a valid
    /// date and the current state has a date, too: these keep an edit from being lost.
    /// A request with a safe method needs none.
    ///
    /// # Errors
    ///
    /// Fails if the answer is 304, 412, or 428 ([RFC 6585, section 3]). The content of
    /// the 428 says what to send.
    ///
    /// [RFC 6585, section 3]: https://www.rfc-editor.org/rfc/rfc6585.html#section-3
    pub fn check_required(
        &self,
        method: &Method,
        current: impl Into<Representation>,
    ) -> Result<(), Rejection> {
        self.check_as(true, method, State::from(&current.into()))
    }

    /// Evaluates the preconditions; if `required` is true, a write must have one.
    pub(crate) fn check_as(
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

const REQUIRED: &str = "This request changes a resource, and has to say which state of it \
    it means to change. Send If-Match with the ETag that you got with it.\n";

const REQUIRED_TO_PUT: &str = "This request changes a resource, and has to say which state of \
    it it means to change. Send If-Match with the ETag that you got with it, or \
    If-None-Match: * to create what does not exist yet.\n";
