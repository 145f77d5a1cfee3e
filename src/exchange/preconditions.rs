//! The preconditions of a request, for handlers and tests that evaluate them
//! themselves.

#[cfg(feature = "axum")]
use http::request;
use http::{
    header::{IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
    HeaderMap, HeaderName, Method,
};

#[cfg(feature = "axum")]
use super::read_preconditions;
use super::Rejection;
use crate::{
    clock,
    rules::{is_write, Decision, EntityTag, HttpDate, PreconditionFields, Representation, State},
};

/// The preconditions of one request.
///
/// A value of this type contains the method of the request, and the fields If-Match,
/// If-None-Match, If-Modified-Since, If-Unmodified-Since and If-Range.
///
/// A tag from a client may end with a content coding:
/// [`compress_with`](crate::ConditionalLayer::compress_with) sends `"v1"` as
/// `"v1~gzip"` with an encoded response. On writes and in If-Match, `"v1~gzip"` counts
/// as `"v1"`. In If-None-Match of a read, it counts as `"v1"` if the request's
/// `Accept-Encoding` accepts gzip. In If-Range it never matches.
///
/// With feature `axum` this is an extractor: a handler can take an argument
/// `preconditions: Preconditions`.
///
/// # Examples
///
/// ```
/// use http::{header::IF_NONE_MATCH, HeaderMap, Method};
/// use tower_conditional::{Decision, EntityTag, Preconditions, Representation};
///
/// let headers = HeaderMap::from_iter([(IF_NONE_MATCH, "\"v6\", W/\"v7\"".parse()?)]);
/// let current = EntityTag::strong("v7")?;
///
/// let get = Preconditions::new(&Method::GET, &headers);
/// assert_eq!(get.evaluate(&current), Decision::NotModified);
/// assert_eq!(get.evaluate(Representation::Missing), Decision::Proceed);
/// let put = Preconditions::new(&Method::PUT, &headers);
/// assert_eq!(put.evaluate(&current), Decision::PreconditionFailed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Preconditions {
    method: Method,
    fields: PreconditionFields,
}

impl Preconditions {
    /// Reads the preconditions from the method and the header fields of a request.
    ///
    /// If a field has several lines, all of them are read. The system's clock is used
    /// only to complete a date with a two-digit year.
    #[must_use]
    pub fn new(method: &Method, headers: &HeaderMap) -> Self {
        let fields = PreconditionFields::from_headers_at(headers, clock::now);
        Self { method: method.clone(), fields }
    }

    /// Reads the preconditions of a request, including dates that an outer
    /// layer removed.
    #[cfg(feature = "axum")]
    pub(crate) fn of(parts: &request::Parts) -> Self {
        let fields = read_preconditions(parts, clock::now());
        Self { method: parts.method.clone(), fields }
    }

    /// Evaluates the preconditions against the current state of the resource.
    ///
    /// Call this only if the same request without preconditions would get a 2xx (RFC
    /// 9110, section 13.2.1). For a read with [`Representation::Missing`] the decision
    /// is always [`Decision::Proceed`], so that the 404 stays a 404.
    ///
    /// Invalid fields are handled as follows. In doubt, a write is refused.
    ///
    /// - If-Match fails if it is not `*` and contains no valid tag.
    /// - On a read, an invalid tag in If-None-Match matches nothing. If all tags in
    ///   If-None-Match are invalid, If-Modified-Since is still ignored.
    /// - On a write, an invalid tag makes If-None-Match fail, because the client may
    ///   have meant the tag of the current state.
    /// - A date field that is not exactly one HTTP date is ignored, as RFC
    ///   9110 requires.
    ///
    /// If the state is [`Unknown`](Representation::Unknown), no precondition can be
    /// evaluated. The decision for a write with a precondition is then
    /// [`Decision::PreconditionFailed`], and for a read [`Decision::Proceed`].
    #[must_use]
    pub fn evaluate(&self, current: impl Into<Representation>) -> Decision {
        let current = current.into();
        match self.unknown_field(&current) {
            Some(_) => Decision::PreconditionFailed,
            None => self.fields.evaluate(&self.method, State::from(&current)),
        }
    }

    /// Evaluates the preconditions, and fails if the request must not run.
    ///
    /// The error is the response to send. Call `check` where the state cannot change
    /// until the write is done, for example inside the transaction.
    ///
    /// For a resource that does not exist, pass [`Representation::Missing`] if the
    /// method creates it, as most PUTs do. Otherwise answer 404 and do not call this.
    ///
    /// # Errors
    ///
    /// Fails if the decision of [`evaluate`](Self::evaluate) is 304 or 412.
    ///
    /// A [`Rejection`] also converts into a `StatusCode`, but then the client does not
    /// get the current tag.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{header::IF_MATCH, HeaderMap, Method, StatusCode};
    /// use tower_conditional::{EntityTag, Preconditions};
    ///
    /// let headers = HeaderMap::from_iter([(IF_MATCH, "\"v6\"".parse()?)]);
    /// let preconditions = Preconditions::new(&Method::PUT, &headers);
    /// assert!(preconditions.check(&EntityTag::strong("v6")?).is_ok());
    /// let rejection = preconditions.check(&EntityTag::strong("v7")?).unwrap_err();
    /// assert_eq!(rejection.status(), StatusCode::PRECONDITION_FAILED);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self, current: impl Into<Representation>) -> Result<(), Rejection> {
        self.check_as(false, &current.into())
    }

    /// Evaluates the preconditions, and also fails if a write has none.
    ///
    /// These fields count as a precondition, because they prevent a lost edit:
    /// If-Match, `If-None-Match: *`, and If-Unmodified-Since if it is a valid date and
    /// the current state has a date. `If-Match: *` counts, too, because with it the
    /// client says that any state may be overwritten. A request with a safe method
    /// needs no precondition.
    ///
    /// # Errors
    ///
    /// Fails as [`check`](Self::check) does, or with 428 ([RFC 6585, section 3]) if a
    /// write has no precondition. The content of the 428 says what to send.
    ///
    /// [RFC 6585, section 3]: https://www.rfc-editor.org/rfc/rfc6585.html#section-3
    pub fn check_required(&self, current: impl Into<Representation>) -> Result<(), Rejection> {
        self.check_as(true, &current.into())
    }

    fn check_as(&self, required: bool, current: &Representation) -> Result<(), Rejection> {
        match self.unknown_field(current) {
            Some(field) => {
                Err(Rejection::failed(&self.method, field, &self.fields, State::Unknown))
            }
            None => self.fields.check(required, &self.method, State::from(current)),
        }
    }

    /// Returns a precondition of a write that cannot be evaluated, because the state is
    /// unknown. `None` if the state is known, or if there is no such precondition.
    ///
    /// Deliberately not in [`PreconditionFields`]: a layer forwards such a write to the
    /// handler, but here the handler itself asks.
    fn unknown_field(&self, current: &Representation) -> Option<HeaderName> {
        let fields = &self.fields;
        if !matches!(current, Representation::Unknown) || !is_write(&self.method) {
            None
        } else if fields.has_if_match() {
            Some(IF_MATCH)
        } else if fields.if_unmodified_since_date().is_some() {
            Some(IF_UNMODIFIED_SINCE)
        } else {
            fields.has_if_none_match().then_some(IF_NONE_MATCH)
        }
    }

    /// Returns true if the `Range` of the request may be used.
    ///
    /// If this returns false, ignore `Range` and send the whole representation ([RFC
    /// 9110, section 13.1.5]).
    ///
    /// `Range` may be used if there is no If-Range, or if If-Range names the
    /// current representation:
    ///
    /// - A tag in If-Range must match the current tag strongly.
    /// - A date in If-Range must equal the current date, and this date must be a strong
    ///   validator (section 8.8.2.2). A [`FirstSeen`](crate::LastModified::FirstSeen)
    ///   date is always strong. A [`Given`](crate::LastModified::Given) date is strong
    ///   if it is at least a second before `now`.
    /// - A date does not show in which content coding the client got the content. So if
    ///   `Accept-Encoding` accepts a coding, this returns false for every date.
    ///
    /// This also returns false if If-Match shows that the client has encoded content.
    /// For example, If-Match is `"v1~gzip"`, and the current tag is `"v1"`.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{header::IF_RANGE, HeaderMap, Method};
    /// use tower_conditional::{EntityTag, HttpDate, Preconditions};
    ///
    /// let now = HttpDate::try_from(std::time::SystemTime::now()).unwrap();
    /// let headers = HeaderMap::from_iter([(IF_RANGE, "\"v1\"".parse()?)]);
    /// let preconditions = Preconditions::new(&Method::GET, &headers);
    /// assert!(!preconditions.allows_range(EntityTag::strong("v2")?, now));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [RFC 9110, section 13.1.5]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.1.5
    #[must_use]
    pub fn allows_range(&self, current: impl Into<Representation>, now: HttpDate) -> bool {
        self.fields.allows_range(&current.into(), now)
    }

    /// Returns true if If-Match is `*`. That precondition holds if a
    /// representation exists.
    #[must_use]
    pub fn is_if_match_any(&self) -> bool {
        self.fields.is_if_match_any()
    }

    /// Returns true if If-None-Match is `*`. That precondition holds if no
    /// representation exists.
    #[must_use]
    pub fn is_if_none_match_any(&self) -> bool {
        self.fields.is_if_none_match_any()
    }

    /// Returns the valid tags of If-Match.
    ///
    /// Use them to find the version that a client has edited, for example to merge this
    /// edit with later edits.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{header::IF_MATCH, HeaderMap, Method};
    /// use tower_conditional::Preconditions;
    ///
    /// let headers = HeaderMap::from_iter([(IF_MATCH, "\"v6\", W/\"v7\"".parse()?)]);
    /// let preconditions = Preconditions::new(&Method::PUT, &headers);
    /// let tags = preconditions.if_match_tags().map(|tag| tag.to_string());
    /// assert!(tags.eq(["\"v6\"", "W/\"v7\""]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn if_match_tags(&self) -> impl Iterator<Item = EntityTag> + '_ {
        self.fields.if_match_tags()
    }

    /// Returns the valid tags of If-None-Match.
    pub fn if_none_match_tags(&self) -> impl Iterator<Item = EntityTag> + '_ {
        self.fields.if_none_match_tags()
    }

    /// Sets whether If-Match is compared weakly. Default: false, as [RFC 9110, section
    /// 13.1.1] requires.
    ///
    /// With true, `W/"3"` matches `"3"` and `W/"3"`.
    ///
    /// Set this to true for APIs that specify weak tags, such as FHIR, and for clients
    /// behind a proxy that weakens tags. This is safe if each weak tag names one state
    /// of the resource, as a version or a hash does. This is not safe if several states
    /// can share a weak tag, as with a modification time: an edit of one state could
    /// overwrite another state.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{header::IF_MATCH, HeaderMap, Method};
    /// use tower_conditional::{Decision, EntityTag, Preconditions};
    ///
    /// let headers = HeaderMap::from_iter([(IF_MATCH, "W/\"3\"".parse()?)]);
    /// let preconditions = Preconditions::new(&Method::PUT, &headers);
    /// let current = EntityTag::weak("3")?;
    /// assert_eq!(preconditions.evaluate(&current), Decision::PreconditionFailed);
    /// let preconditions = preconditions.weak_if_match(true);
    /// assert_eq!(preconditions.evaluate(&current), Decision::Proceed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [RFC 9110, section 13.1.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.1.1
    #[must_use]
    pub fn weak_if_match(self, weak_if_match: bool) -> Self {
        Self { fields: self.fields.weak_if_match(weak_if_match), ..self }
    }
}
