//! The preconditions of a request, for handlers and tests that evaluate them.

#[cfg(feature = "axum")]
use http::request;
use http::{HeaderMap, Method};

#[cfg(feature = "axum")]
use super::read_preconditions;
use super::Rejection;
use crate::{
    clock,
    rules::{Decision, EntityTag, HttpDate, PreconditionFields, Representation, State},
};

/// The preconditions of one request: its method, and If-Match, If-None-Match,
/// If-Modified-Since, If-Unmodified-Since and If-Range.
///
/// A tag from a client may have a content coding behind it, `"v1~gzip"`: that is how
/// [`compress_with`](crate::ConditionalLayer::compress_with) sends `"v1"` with an
/// encoded response. On writes it counts as `"v1"`. In If-None-Match of reads it does
/// if the `Accept-Encoding` of the request accepts that coding. In If-Range it matches
/// nothing.
///
/// With feature `axum` this is an extractor: a handler takes `preconditions:
/// Preconditions` as one of its arguments.
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
    /// Takes the preconditions from the method and the header fields of a request, all
    /// lines of each.
    ///
    /// The system's clock is read only to place a date with a two-digit year.
    #[must_use]
    pub fn new(method: &Method, headers: &HeaderMap) -> Self {
        let fields = PreconditionFields::from_headers_at(headers, clock::now);
        Self { method: method.clone(), fields }
    }

    /// Takes the preconditions of a request, including those that a layer outside
    /// withholds.
    #[cfg(feature = "axum")]
    pub(crate) fn of(parts: &request::Parts) -> Self {
        let fields = read_preconditions(parts, clock::now());
        Self { method: parts.method.clone(), fields }
    }

    /// Evaluates the preconditions against the current state of the resource.
    ///
    /// Call it for a request that would succeed (2xx) without preconditions (section
    /// 13.2.1). For a read of something missing the decision is therefore always
    /// [`Decision::Proceed`]: its 404 stays a 404.
    ///
    /// A field that cannot be parsed never helps the request. A list without a valid
    /// member makes If-Match fail, and If-None-Match still switches If-Modified-Since
    /// off. In If-None-Match of a write, a member that cannot be parsed fails too,
    /// since it may have named the current state. A date that is not exactly one HTTP
    /// date is ignored, as RFC 9110 demands.
    #[must_use]
    pub fn evaluate(&self, current: impl Into<Representation>) -> Decision {
        self.fields.evaluate(&self.method, State::from(&current.into()))
    }

    /// Evaluates the preconditions as [`evaluate`](Self::evaluate) does, and fails with
    /// the response to send if the method must not run.
    ///
    /// Call it where the state cannot change until the write is done: inside the
    /// transaction.
    ///
    /// # Errors
    ///
    /// Fails if the answer is 304 or 412.
    pub fn check(&self, current: impl Into<Representation>) -> Result<(), Rejection> {
        self.fields.check(false, &self.method, State::from(&current.into()))
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
    pub fn check_required(&self, current: impl Into<Representation>) -> Result<(), Rejection> {
        self.fields.check(true, &self.method, State::from(&current.into()))
    }

    /// Returns true if `Range` may be honoured: there is no If-Range, or it names the
    /// current representation.
    ///
    /// If not, ignore `Range` and send the whole representation ([RFC 9110, section
    /// 13.1.5]). A tag must match strongly. A date must be equal, and strong in the
    /// sense of section 8.8.2.2: a [`FirstSeen`](crate::LastModified::FirstSeen) date
    /// names one content only; a [`Given`](crate::LastModified::Given) one counts if it
    /// is at least a second before `now`.
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

    /// Returns true if If-Match is `*`: any representation will do, if there is one.
    #[must_use]
    pub fn is_if_match_any(&self) -> bool {
        self.fields.is_if_match_any()
    }

    /// Returns true if If-None-Match is `*`: there must be no representation.
    #[must_use]
    pub fn is_if_none_match_any(&self) -> bool {
        self.fields.is_if_none_match_any()
    }

    /// Returns the tags of If-Match that can be parsed.
    ///
    /// For what [`check`](Self::check) does not do: to look for the version that a
    /// client edited, say, and to merge.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{header::IF_MATCH, HeaderMap, Method};
    /// use tower_conditional::Preconditions;
    ///
    /// let headers = HeaderMap::from_iter([(IF_MATCH, "\"v6\", W/\"v7\"".parse()?)]);
    /// let preconditions = Preconditions::new(&Method::PUT, &headers);
    /// let tags: Vec<_> = preconditions.if_match_tags().map(|tag| tag.to_string()).collect();
    /// assert_eq!(tags, ["\"v6\"", "W/\"v7\""]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn if_match_tags(&self) -> impl Iterator<Item = EntityTag> + '_ {
        self.fields.if_match_tags()
    }

    /// Returns the tags of If-None-Match that can be parsed.
    pub fn if_none_match_tags(&self) -> impl Iterator<Item = EntityTag> + '_ {
        self.fields.if_none_match_tags()
    }

    /// Sets whether If-Match is compared weakly, so that `W/"3"` matches `"3"` and
    /// `W/"3"`. Default: false, as the RFC asks ([section 13.1.1]).
    ///
    /// For APIs whose tags are weak by agreement, as FHIR's are, and for clients behind
    /// a proxy that weakens tags. It is safe where a weak tag names one state of the
    /// resource: a version, or a hash of it. It is not where several states share one
    /// (a modification time, say): an edit of one of them can overwrite another.
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
    /// [section 13.1.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.1.1
    #[must_use]
    pub fn weak_if_match(self, weak_if_match: bool) -> Self {
        Self { fields: self.fields.weak_if_match(weak_if_match), ..self }
    }
}
