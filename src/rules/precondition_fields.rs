//! The preconditions of a request, and the order in which they are evaluated
//! ([RFC 9110, section 13](https://www.rfc-editor.org/rfc/rfc9110.html#section-13)).
//!
//! For each field, one function decides whether the field's condition is ignored, holds
//! or fails. [`PreconditionFields::evaluate`] follows the steps of section 13.2.2.

use http::{
    header::{IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
    HeaderMap, HeaderName, HeaderValue, Method,
};

use super::{
    content_coding::{accepts_coding, coding_of},
    entity_tag::Member,
    entity_tag_list::{EntityTagList, QuickMatch},
    ignores_preconditions, is_query, is_read, split_coding, AcceptedCodings, ContentCoding,
    DateComparison, DateEvidence, EntityTag, HttpDate, Representation, SingleField, Validators,
};

/// What to do with a request after its preconditions were evaluated.
///
/// A write never gets `NotModified`. In a handler that writes, refuse the request
/// unless the decision is `Proceed`:
///
/// ```
/// # use tower_conditional::Decision;
/// # fn refuse(decision: Decision) -> http::StatusCode {
/// if decision != Decision::Proceed {
///     return http::StatusCode::PRECONDITION_FAILED;
/// }
/// # http::StatusCode::NO_CONTENT }
/// # assert_eq!(refuse(Decision::PreconditionFailed), 412);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// Run the method as if there were no preconditions.
    Proceed,
    /// Answer 304 (Not Modified), without content.
    NotModified,
    /// Answer 412 (Precondition Failed), and do not run the method.
    PreconditionFailed,
}

/// The conditional fields of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct PreconditionFields {
    if_none_match: EntityTagList,
    if_modified_since: SingleField<HttpDate>,
    /// The accepted codings. A tag in If-None-Match of a read counts only if the client
    /// accepts the coding that the tag names.
    accepted: AcceptedCodings,
    /// Boxed, because most requests have none of these fields, and this value is moved
    /// with each request.
    uncommon: Option<Box<UncommonFields>>,
}

/// The fields that browsers do not send when they load a page.
#[derive(Clone, Debug)]
struct UncommonFields {
    if_match: EntityTagList,
    if_unmodified_since: SingleField<HttpDate>,
    if_range: SingleField<HeaderValue>,
    weak_if_match: bool,
    accepts_coding: bool,
}

impl UncommonFields {
    const ABSENT: Self = Self {
        if_match: EntityTagList::ABSENT,
        if_unmodified_since: SingleField::Absent,
        if_range: SingleField::Absent,
        weak_if_match: false,
        accepts_coding: false,
    };
}

impl PreconditionFields {
    /// Reads the preconditions from header fields. `now` is called only for a date with
    /// a two-digit year.
    pub(crate) fn from_headers_at(headers: &HeaderMap, now: impl Fn() -> HttpDate) -> Self {
        let mut preconditions = Self::default();
        for (name, value) in headers {
            preconditions.take_line(name.as_str(), value, &now);
        }
        if preconditions.has_if_none_match() {
            preconditions.accepted = AcceptedCodings::read(headers);
        }
        if preconditions.uncommon.is_some() {
            preconditions.take_accepts_coding(accepts_coding(headers));
        }
        preconditions
    }

    /// Adds the codings that the request accepts.
    pub(crate) fn take_accepted(&mut self, accepted: AcceptedCodings) {
        self.accepted = accepted;
    }

    /// Adds whether the request accepts a coding other than identity.
    pub(crate) fn take_accepts_coding(&mut self, accepts_coding: bool) {
        if let Some(uncommon) = &mut self.uncommon {
            uncommon.accepts_coding = accepts_coding;
        }
    }

    /// Adds a line of a request, if it is a line of a precondition. `now` is called
    /// only for a date with a two-digit year.
    #[inline]
    pub(crate) fn take_line(
        &mut self,
        name: &str,
        value: &HeaderValue,
        now: impl FnOnce() -> HttpDate,
    ) {
        if let Some(name) = name.strip_prefix("if-") {
            self.take_precondition(name, value, now);
        }
    }

    /// Adds a line of the field `if-{name}`.
    fn take_precondition(
        &mut self,
        name: &str,
        value: &HeaderValue,
        now: impl FnOnce() -> HttpDate,
    ) {
        let date = || HttpDate::parse_with(value.as_bytes(), now);
        match name {
            "none-match" => self.if_none_match.push(value),
            "modified-since" => self.if_modified_since.take_line(date),
            "match" => self.uncommon_mut().if_match.push(value),
            "unmodified-since" => self.uncommon_mut().if_unmodified_since.take_line(date),
            "range" => self.uncommon_mut().if_range.take_line(|| Some(value.clone())),
            _ => {}
        }
    }

    fn uncommon_mut(&mut self) -> &mut UncommonFields {
        self.uncommon.get_or_insert_with(|| Box::new(UncommonFields::ABSENT))
    }

    fn uncommon(&self) -> &UncommonFields {
        static ABSENT: UncommonFields = UncommonFields::ABSENT;
        self.uncommon.as_deref().unwrap_or(&ABSENT)
    }

    /// Evaluates the preconditions against the current state of the resource.
    pub(crate) fn evaluate(&self, method: &Method, state: State<'_>) -> Decision {
        if ignores_preconditions(method) {
            return Decision::Proceed;
        }
        let kind = if is_read(method) {
            RequestKind::Read
        } else if is_query(method) {
            RequestKind::Query
        } else {
            RequestKind::Write
        };
        let current = match state {
            State::Exists(current) => Some(current),
            State::Missing if kind == RequestKind::Write => None,
            // A read of a missing resource gets the 404 of the handler, whatever its
            // preconditions. Without the state, nothing can be evaluated.
            State::Missing | State::Unknown => return Decision::Proceed,
        };
        self.evaluate_current(current, kind)
    }

    /// Evaluates the preconditions of a GET, HEAD or QUERY against a representation
    /// that exists.
    pub(crate) fn evaluate_read(&self, current: Current<'_>, is_query: bool) -> Decision {
        let kind = if is_query { RequestKind::Query } else { RequestKind::Read };
        self.evaluate_current(Some(current), kind)
    }

    /// For a request whose decision is 412: returns the field that failed.
    pub(crate) fn failed_field(&self, method: &Method, state: State<'_>) -> HeaderName {
        let current = match state {
            State::Exists(current) => Some(current),
            State::Missing | State::Unknown => None,
        };
        if self.if_match(current) == Condition::Fails {
            IF_MATCH
        } else if !self.has_if_match()
            && self.if_unmodified_since(current, !is_read(method)) == Condition::Fails
        {
            IF_UNMODIFIED_SINCE
        } else {
            IF_NONE_MATCH
        }
    }

    /// Evaluates in the order of section 13.2.2.
    fn evaluate_current(&self, current: Option<Current<'_>>, kind: RequestKind) -> Decision {
        let writes = kind == RequestKind::Write;
        // Steps 1 and 2.
        let unchanged = if self.uncommon.is_none() {
            Condition::Ignored
        } else {
            match self.if_match(current) {
                Condition::Ignored => self.if_unmodified_since(current, writes),
                condition => condition,
            }
        };
        if unchanged == Condition::Fails {
            return Decision::PreconditionFailed;
        }
        // Steps 3 and 4. If-Modified-Since is only for GET and HEAD (section 13.1.3).
        let changed = match self.if_none_match(current, writes) {
            Condition::Ignored if kind == RequestKind::Read => self.if_modified_since(current),
            condition => condition,
        };
        match changed {
            Condition::Fails if writes => Decision::PreconditionFailed,
            Condition::Fails => Decision::NotModified,
            // Step 5, If-Range: see `allows_range`.
            Condition::Ignored | Condition::Holds => Decision::Proceed,
        }
    }

    /// Returns true if there is no If-Range, or if it allows a part: a tag must match
    /// strongly, and a date must be equal and strong (RFC 9110, sections 13.1.5
    /// and 8.8.2.2).
    ///
    /// If the request accepts a coding, a date allows no part, because it does not show
    /// the coding of the content that the client holds.
    pub(crate) fn allows_range(&self, representation: &Representation, now: HttpDate) -> bool {
        match representation {
            Representation::Exists(current) => self.allows_range_of(current.into(), now),
            Representation::Missing | Representation::Unknown => !self.has_if_range(),
        }
    }

    /// Like [`allows_range`](Self::allows_range), for a representation that exists.
    pub(crate) fn allows_range_of(&self, current: Current<'_>, now: HttpDate) -> bool {
        // If-Match names a coding, so the client holds a part of encoded content. The
        // plain content has other bytes.
        if current.etag.is_some_and(|etag| self.if_match_names_coding(etag)) {
            return false;
        }
        let value = match &self.uncommon().if_range {
            SingleField::Absent => return true,
            SingleField::Invalid => return false,
            SingleField::Value(value) => value,
        };
        if let Ok(tag) = EntityTag::try_from(value) {
            let is_plain = |etag: &EntityTag| {
                coding_of(tag.opaque(), etag.opaque()) == Some(ContentCoding::Identity)
            };
            return current
                .etag
                .is_some_and(|etag| !tag.is_weak() && !etag.is_weak() && is_plain(etag));
        }
        let date = HttpDate::parse(value.as_bytes(), now);
        match (date, current.date) {
            (Some(date), Some(evidence)) => {
                !self.uncommon().accepts_coding && evidence.allows_range(date, now)
            }
            _ => false,
        }
    }

    /// Returns true if If-Unmodified-Since allows a part, in one of two cases:
    ///
    /// - The field is absent, or is ignored because there is an If-Match.
    /// - Its date proves that the content is unchanged, and the client accepts no
    ///   content coding. A date does not show the coding of the client's content.
    ///
    /// In all other cases the part might be of other content than the client's.
    pub(crate) fn date_allows_range_of(&self, current: Current<'_>) -> bool {
        !self.has_if_unmodified_since()
            || self.has_if_match()
            || !self.uncommon().accepts_coding
                && self.if_unmodified_since(Some(current), false) == Condition::Holds
    }

    /// Returns true if a field prevents a write to a state that the client has not
    /// seen.
    ///
    /// - If-None-Match with a list of tags does not prevent that: the write may
    ///   overwrite any state whose tag is not in the list.
    /// - A date that is ignored does not prevent it either.
    /// - `If-Match: *` counts, too, although it allows a write to any state: the client
    ///   says so explicitly.
    pub(crate) fn guards_write(&self, state: State<'_>) -> bool {
        let dated = match state {
            State::Exists(current) => current.date.is_some(),
            State::Unknown => true,
            State::Missing => false,
        };
        self.has_if_match()
            || self.if_none_match.is_any()
            || dated && self.uncommon().if_unmodified_since.value().copied().is_some()
    }

    /// Returns true if there is an If-Match field, of any value.
    pub(crate) fn has_if_match(&self) -> bool {
        self.uncommon().if_match.is_present()
    }

    /// Returns true if there is an If-None-Match field, of any value.
    pub(crate) fn has_if_none_match(&self) -> bool {
        self.if_none_match.is_present()
    }

    /// Returns true if there is an If-Modified-Since field, of any value.
    pub(crate) fn has_if_modified_since(&self) -> bool {
        self.if_modified_since.is_present()
    }

    /// Returns true if there is an If-Unmodified-Since field, of any value.
    pub(crate) fn has_if_unmodified_since(&self) -> bool {
        self.uncommon().if_unmodified_since.is_present()
    }

    /// Returns true if there is an If-Range field, of any value.
    pub(crate) fn has_if_range(&self) -> bool {
        self.uncommon().if_range.is_present()
    }

    /// Returns true if a field names the version of which the client requests a part:
    /// If-Range, If-Match or If-Unmodified-Since. An If-Match of `*` names no version.
    pub(crate) fn binds_range(&self) -> bool {
        self.has_if_range()
            || self.has_if_match() && !self.is_if_match_any()
            || self.has_if_unmodified_since()
    }

    /// Returns true if If-Match or If-None-Match has several lines.
    pub(crate) fn has_long_lists(&self) -> bool {
        self.uncommon().if_match.has_several_lines() || self.if_none_match.has_several_lines()
    }

    /// Returns true if there is any field except a single line of If-None-Match. Inner
    /// services may evaluate such a request in different ways.
    #[inline]
    pub(crate) fn may_be_misread(&self) -> bool {
        self.uncommon.is_some()
            || self.has_if_modified_since()
            || self.if_none_match.has_several_lines()
    }

    /// Returns true if there is no field to evaluate. If-Range does not count.
    pub(crate) fn is_empty(&self) -> bool {
        let has_uncommon =
            self.uncommon.is_some() && (self.has_if_match() || self.has_if_unmodified_since());
        !(has_uncommon || self.has_if_none_match() || self.has_if_modified_since())
    }

    /// Returns true if If-Match, If-None-Match or If-Range names this tag, with or
    /// without a coding.
    pub(crate) fn lists_tag(&self, etag: &EntityTag) -> bool {
        let is_in = |list: &EntityTagList| list.naming(etag).next().is_some();
        let in_if_range = self.if_range_value().is_some_and(|value| {
            let tag = EntityTag::try_from(value);
            tag.is_ok_and(|tag| coding_of(tag.opaque(), etag.opaque()).is_some())
        });
        in_if_range || is_in(&self.uncommon().if_match) || is_in(&self.if_none_match)
    }

    /// Returns true if a tag in If-None-Match may name a coding.
    #[inline]
    pub(crate) fn may_name_codings(&self) -> bool {
        self.if_none_match.may_name_codings
    }

    /// Returns true if If-Match or If-Range names a coding.
    pub(crate) fn binds_coding(&self) -> bool {
        let Some(UncommonFields { if_match, .. }) = self.uncommon.as_deref() else { return false };
        let is_coded = |opaque: &[u8]| split_coding(opaque).1 != ContentCoding::Identity;
        let in_if_range = self.if_range_value().is_some_and(|value| {
            EntityTag::try_from(value).is_ok_and(|tag| is_coded(tag.opaque()))
        });
        in_if_range || if_match.members().flatten().any(|member| is_coded(member.opaque))
    }

    /// For a request with If-Range: returns true if its value is not a tag (so a date),
    /// and the client may hold encoded content. See
    /// [`allows_range`](Self::allows_range).
    pub(crate) fn has_date_of_any_coding(&self) -> bool {
        let is_tag = |value| EntityTag::try_from(value).is_ok();
        self.uncommon().accepts_coding && !self.if_range_value().is_some_and(is_tag)
    }

    /// Returns true if If-Match names the encoded content of a plain tag: `"v1~gzip"`
    /// if the plain tag is `"v1"`.
    fn if_match_names_coding(&self, etag: &EntityTag) -> bool {
        let UncommonFields { if_match, .. } = self.uncommon();
        let mut named = if_match.naming(etag);
        if_match.may_name_codings && named.any(|(_, coding)| coding != ContentCoding::Identity)
    }

    /// Returns the tag of the client's copy, to send in a 304. It is the first member
    /// of If-None-Match that names the plain tag and a coding that the client accepts.
    pub(crate) fn matched_tag(&self, etag: &EntityTag) -> Option<EntityTag> {
        let mut named = self.if_none_match.naming(etag);
        match named.find(|(_, coding)| self.accepted.accepts(*coding))? {
            (_, ContentCoding::Identity) => Some(etag.with_coding(ContentCoding::Identity)),
            (member, _) => member.to_owned().ok(),
        }
    }

    /// Returns the only member of If-None-Match, if that member names a coding that the
    /// client accepts. If the inner service answers 304 without a tag, the 304 can only
    /// mean this member.
    pub(crate) fn only_coded_tag(&self) -> Option<EntityTag> {
        let mut members = self.if_none_match.members();
        let (Some(Some(member)), None) = (members.next(), members.next()) else { return None };
        let (_, coding) = split_coding(member.opaque);
        if coding == ContentCoding::Identity || !self.accepted.accepts(coding) {
            return None;
        }
        member.to_owned().ok()
    }

    /// Returns If-None-Match with the plain tag in place of each tag, for a service
    /// that does not know tags with codings. `None` if no tag is left.
    ///
    /// A tag with a coding that the client does not accept is left out. Nothing is lost
    /// by this, because the layer itself evaluates the whole list.
    pub(crate) fn plain_if_none_match(&self) -> Option<HeaderValue> {
        let mut list = Vec::new();
        for member in self.if_none_match.members().flatten() {
            let (plain, coding) = split_coding(member.opaque);
            let plain = Member { opaque: plain, ..member }.to_owned();
            // A tag that still ends with a coding is left out: `"v1~gzip~br"` would
            // become `"v1~gzip"`. An inner service that knows codings would read that
            // as the tag `"v1"`.
            let plain = plain.ok().filter(|plain| !plain.needs_identity());
            if let (Some(plain), true) = (plain, self.accepted.accepts(coding)) {
                if !list.is_empty() {
                    list.extend_from_slice(b", ");
                }
                list.extend_from_slice(plain.as_bytes());
            }
        }
        if list.is_empty() {
            return None;
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(list)).ok()
    }

    /// Returns true if If-None-Match has this tag followed by this suffix.
    pub(crate) fn lists_tag_with_suffix(&self, etag: &EntityTag, suffix: &[u8]) -> bool {
        let without_suffix = |opaque: &[u8]| opaque.strip_suffix(suffix) == Some(etag.opaque());
        self.if_none_match.members().flatten().any(|member| without_suffix(member.opaque))
    }

    /// Returns the date of If-Modified-Since, if it is valid.
    pub(crate) fn if_modified_since_date(&self) -> Option<HttpDate> {
        self.if_modified_since.value().copied()
    }

    /// Returns the date of If-Unmodified-Since, if it is valid.
    pub(crate) fn if_unmodified_since_date(&self) -> Option<HttpDate> {
        self.uncommon().if_unmodified_since.value().copied()
    }

    /// Returns true if If-Match is `*`.
    pub(crate) fn is_if_match_any(&self) -> bool {
        self.uncommon().if_match.is_any()
    }

    /// Returns true if If-Match could match some tag: it is `*`, or has a strong tag. A
    /// weak tag counts only with [`weak_if_match`](Self::weak_if_match).
    pub(crate) fn has_comparable_if_match(&self) -> bool {
        self.is_if_match_any() || self.if_match_tags().any(|tag| self.compares(&tag))
    }

    /// Returns true if no tag in If-Match can match the current representation, because
    /// it has no strong tag.
    pub(crate) fn is_never_matched_by(&self, current: Current<'_>) -> bool {
        !self.is_if_match_any() && !current.etag.is_some_and(|tag| self.compares(tag))
    }

    /// Returns true if If-Match may compare this tag: it is strong, or weak tags count.
    fn compares(&self, tag: &EntityTag) -> bool {
        self.uncommon().weak_if_match || !tag.is_weak()
    }

    /// Returns true if If-None-Match is `*`.
    pub(crate) fn is_if_none_match_any(&self) -> bool {
        self.if_none_match.is_any()
    }

    pub(crate) fn weak_if_match(mut self, weak_if_match: bool) -> Self {
        if let Some(uncommon) = &mut self.uncommon {
            uncommon.weak_if_match = weak_if_match;
        }
        self
    }

    /// Returns true if the current tag is needed: If-Match or If-None-Match is present
    /// and is not `*`.
    pub(crate) fn needs_tag(&self) -> bool {
        self.has_if_match() && !self.is_if_match_any()
            || self.has_if_none_match() && !self.is_if_none_match_any()
    }

    /// Returns the value of If-Range, if there is exactly one line.
    pub(crate) fn if_range_value(&self) -> Option<&HeaderValue> {
        self.uncommon().if_range.value()
    }

    /// Returns true if `claim` returns true for a tag in If-None-Match. The argument of
    /// `claim` is the plain tag, without quotes.
    pub(crate) fn any_if_none_match(&self, claim: impl Fn(&[u8]) -> bool) -> bool {
        self.if_none_match.members().flatten().any(|member| claim(split_coding(member.opaque).0))
    }

    /// Returns the valid tags of If-Match.
    pub(crate) fn if_match_tags(&self) -> impl Iterator<Item = EntityTag> + '_ {
        self.uncommon().if_match.members().flatten().filter_map(|member| member.to_owned().ok())
    }

    /// Returns the valid tags of If-None-Match.
    pub(crate) fn if_none_match_tags(&self) -> impl Iterator<Item = EntityTag> + '_ {
        self.if_none_match.members().flatten().filter_map(|member| member.to_owned().ok())
    }

    fn if_match(&self, current: Option<Current<'_>>) -> Condition {
        if !self.uncommon().if_match.is_present() {
            return Condition::Ignored;
        }
        let Some(current) = current else { return Condition::Fails };
        let UncommonFields { if_match, weak_if_match, .. } = self.uncommon();
        let names = |etag: &EntityTag| {
            let is_strong = |weak: bool| !weak && !etag.is_weak();
            if_match.naming(etag).any(|(member, _)| *weak_if_match || is_strong(member.weak))
        };
        Condition::holds_if(self.uncommon().if_match.is_any() || current.etag.is_some_and(names))
    }

    fn if_unmodified_since(&self, current: Option<Current<'_>>, writes: bool) -> Condition {
        let date = self.uncommon().if_unmodified_since.value().copied();
        // The field is ignored if the representation has no date (RFC 9110, 13.1.4).
        let (Some(date), Some(evidence)) = (date, current.and_then(|current| current.date)) else {
            return Condition::Ignored;
        };
        match evidence.compare(date) {
            DateComparison::Unchanged => Condition::Holds,
            DateComparison::Changed => Condition::Fails,
            // In doubt, a write is refused, and a read gets the whole content.
            DateComparison::Unknown if writes => Condition::Fails,
            DateComparison::Unknown => Condition::Ignored,
        }
    }

    fn if_none_match(&self, current: Option<Current<'_>>, writes: bool) -> Condition {
        if !self.if_none_match.is_present() {
            return Condition::Ignored;
        }
        if self.if_none_match.is_any() {
            return Condition::holds_if(current.is_none());
        }
        let counts = |coding| writes || self.accepted.accepts(coding);
        let etag = current.and_then(|current| current.etag);
        match etag.map(|etag| (self.if_none_match.quick_match(etag), etag)) {
            Some((QuickMatch::Just, _))
                if counts(ContentCoding::Identity) && !self.may_name_codings() =>
            {
                return Condition::Fails;
            }
            Some((QuickMatch::Nowhere, _)) | None if !writes => return Condition::Holds,
            _ => {}
        }
        let mut members = self.if_none_match.members().peekable();
        if writes && members.peek().is_none() {
            return Condition::Fails;
        }
        let matches = members.any(|member| match (member, etag) {
            (Some(member), Some(etag)) => {
                coding_of(member.opaque, etag.opaque()).is_some_and(counts)
            }
            (Some(_), None) => false,
            (None, _) => writes,
        });
        Condition::holds_if(!matches)
    }

    fn if_modified_since(&self, current: Option<Current<'_>>) -> Condition {
        let date = self.if_modified_since.value().copied();
        match (date, current.and_then(|current| current.date)) {
            (Some(date), Some(evidence)) => {
                Condition::holds_if(evidence.compare(date) != DateComparison::Unchanged)
            }
            _ => Condition::Ignored,
        }
    }
}

/// The kind of a request, which decides which preconditions are evaluated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RequestKind {
    /// GET and HEAD.
    Read,
    /// QUERY: like a read, but If-Modified-Since is ignored.
    Query,
    Write,
}

/// The validators of a representation that exists, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current<'a> {
    pub(crate) etag: Option<&'a EntityTag>,
    pub(crate) date: Option<DateEvidence>,
}

impl<'a> From<&'a Validators> for Current<'a> {
    fn from(validators: &'a Validators) -> Self {
        let date = validators.last_modified.map(DateEvidence::Stated);
        Self { etag: validators.etag.as_ref(), date }
    }
}

/// The state of a resource: a borrowed [`Representation`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum State<'a> {
    Missing,
    Exists(Current<'a>),
    Unknown,
}

impl<'a> From<&'a Representation> for State<'a> {
    fn from(representation: &'a Representation) -> Self {
        match representation {
            Representation::Missing => Self::Missing,
            Representation::Exists(validators) => Self::Exists(validators.into()),
            Representation::Unknown => Self::Unknown,
        }
    }
}

/// The result of evaluating one field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Condition {
    /// The field is absent, or must be ignored according to RFC 9110.
    Ignored,
    Holds,
    Fails,
}

impl Condition {
    fn holds_if(claim: bool) -> Self {
        if claim {
            Self::Holds
        } else {
            Self::Fails
        }
    }
}

#[cfg(test)]
mod tests;
