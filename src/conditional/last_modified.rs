//! Decides which Last-Modified a response carries: that of the inner service, a
//! generated one, or none.

use http::{header::CONTENT_RANGE, HeaderMap, StatusCode};

use super::{request::ReadMethod, respond::ResponseContext};
use crate::{
    exchange::{insert_last_modified, remove_last_modified, GeneratedDate, KnownValidators},
    rules::{complete_length, ContentCoding, DateEvidence, EntityTag, HttpDate, SingleField},
    store::{date_text, Dates, InnerValidator, Inside, Observation, TagRef, WholeTag},
    trace::date_not_sent,
};

/// The date that is sent, and the evidence against which a client's date is compared.
#[derive(Clone, Copy)]
pub(super) struct DateOfResponse {
    pub(super) sent: SentDate,
    pub(super) evidence: DateEvidence,
}

/// The Last-Modified that is sent.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum SentDate {
    /// The date of the inner service, if there is one.
    AsGiven,
    /// This date, instead of that of the inner service.
    Generated(HttpDate),
    /// None. A date of the inner service is removed.
    Removed,
}

impl DateOfResponse {
    /// The result for a response that the memory of dates does not record.
    const UNCOUNTED: Self = Self { sent: SentDate::AsGiven, evidence: DateEvidence::DOUBT };
}

impl SentDate {
    /// Sets the `Last-Modified` to send. `given` is that of the inner service.
    #[inline]
    pub(super) fn set(self, headers: &mut HeaderMap, given: &SingleField<HttpDate>) {
        if self != Self::AsGiven && given.is_present() {
            date_not_sent!(given.value().map(ToString::to_string));
        }
        match self {
            Self::AsGiven => {}
            Self::Generated(date) => insert_last_modified(headers, date_text(date)),
            Self::Removed => remove_last_modified(headers, given),
        }
    }
}

impl ResponseContext<'_> {
    /// Returns the date to send, and the evidence against which a client's date
    /// is compared. `length` is that of the content of this response.
    #[inline]
    pub(super) fn last_modified(
        &self,
        tag: Option<TagRef<'_>>,
        may_generate: bool,
        length: Option<u64>,
    ) -> DateOfResponse {
        let (request, fields) = (self.request, self.fields);
        let config = &*request.config;
        // The response to a QUERY depends also on the content of the request, which is
        // not part of the key.
        if request.method == ReadMethod::Query {
            return DateOfResponse::UNCOUNTED;
        }
        // Another layer of this crate has given the date, for example a
        // `PreconditionLayer`. So this layer keeps the date, and does not compare it
        // with the memory of dates.
        if let Some(evidence) = self.stated_date() {
            self.record_stated(evidence);
            return DateOfResponse { sent: SentDate::AsGiven, evidence };
        }
        let given = fields.last_modified.value().copied();
        let dates = match config.dates.get() {
            Some(dates) => dates,
            // If dates are neither generated nor given, no memory is allocated.
            None if given.is_none() => return DateOfResponse::UNCOUNTED,
            None => config.dates.get_or_init(|| Dates::new(config.now())),
        };
        let Some(shown) = self.observation(tag, given, length) else {
            return DateOfResponse::UNCOUNTED;
        };
        let mut evidence = dates.record(shown, || config.now());
        let sent = match evidence.date() {
            Some(date) if given == Some(date) => SentDate::AsGiven,
            Some(date) if may_generate => SentDate::Generated(date),
            _ => SentDate::Removed,
        };
        let has_date = request.preconditions.has_if_unmodified_since();
        if has_date && self.head.extensions.get::<GeneratedDate>().is_some() {
            evidence = evidence.without_change();
        }
        DateOfResponse { sent, evidence }
    }

    /// Returns what the memory of dates records about this response. `None` for a
    /// response that it does not record: a 412, a 416, and the answer to a HEAD if it
    /// is an error or has no known tag.
    #[inline]
    fn observation(
        &self,
        tag: Option<TagRef<'_>>,
        given: Option<HttpDate>,
        length: Option<u64>,
    ) -> Option<Observation<'_>> {
        let (request, fields, status) = (self.request, self.fields, self.head.status);
        let learnable = self.learnable.as_ref().and_then(|learnable| learnable.identity());
        let (keys, is_head) = (&request.config.keys, request.is_head());
        // Content with one weak tag may have any length.
        let is_weak = tag.is_some_and(|tag| tag.tag.is_weak());
        // A strong tag of the inner service identifies the content, even if the tag is
        // not sent.
        let inner = || {
            let strong = fields.etag.value().filter(|etag| !etag.is_weak() && !is_head)?;
            Some(keys.bytes(strong.as_bytes()))
        };
        let tag = learnable.or_else(|| Some(tag?.id(keys))).or_else(inner);
        let has_known_content = match status {
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => return None,
            // A 304 has no content. Only its tag shows which content the client has.
            StatusCode::NOT_MODIFIED => tag.is_some(),
            _ if is_head && (tag.is_none() || !status.is_success()) => return None,
            _ => status.is_success() && !fields.is_private,
        };
        let varied = if has_known_content { fields.varied } else { None };
        let shows_date = status.is_success() && !is_head;
        let length = match status {
            // An encoding changes the length, and not the date.
            _ if !shows_date || fields.has_content_encoding || is_weak => None,
            StatusCode::PARTIAL_CONTENT => self.complete_length(),
            _ => length,
        };
        // An inner layer that adds its validators to the response also compares them in
        // writes. In the answer to a guard's GET (a probe), the validators are only for
        // the guard.
        let is_inside = self.head.extensions.get::<KnownValidators>().is_some()
            && request.extras().probe.is_none();
        let inside = if is_inside { Inside::Compares } else { Inside::Nothing };
        let request = &request.key;
        Some(Observation { request, tag, given, length, shows_date, varied, inside })
    }

    /// Records that an inner layer of this crate states the date of this resource. The
    /// inner layer also compares the dates of writes, so this layer need not refuse a
    /// write for its date.
    ///
    /// A redirect or an error states no date. It is recorded like a redirect or an
    /// error of any other service.
    fn record_stated(&self, evidence: DateEvidence) {
        let (request, status) = (self.request, self.head.status);
        let (DateEvidence::Stated(_), Some(dates)) = (evidence, request.config.dates.get()) else {
            return;
        };
        let shown = if status.is_success() || status == StatusCode::NOT_MODIFIED {
            Some(Observation::stated(&request.key))
        } else {
            self.observation(None, None, None)
        };
        if let Some(shown) = shown {
            dates.record(shown, || request.config.now());
        }
    }

    /// Returns true if a date may be generated for this response.
    pub(super) fn may_generate_date(&self, tag: Option<TagRef<'_>>, has_content: bool) -> bool {
        let (request, fields) = (self.request, self.fields);
        let config = &request.config;
        config.add_last_modified.adds_date(fields.is_silent)
            && self.head.status == StatusCode::OK
            && request.method != ReadMethod::Query
            && tag.is_some()
            && has_content
            && !fields.is_no_store
            // The date would tell one user when another user sent a request.
            && !fields.is_private
            && !matches!(fields.last_modified, SingleField::Invalid)
            // An outer layer that evaluates writes does not know a date that is
            // generated here. It would ignore that date in If-Unmodified-Since.
            && request.has_no_known_validators(self.head)
    }

    /// Remembers the validators of this response, if clients may send them in If-Range.
    pub(super) fn note_inner_validators(&self, tag: Option<TagRef<'_>>, date: DateEvidence) {
        let status = self.head.status;
        let is_part = status == StatusCode::PARTIAL_CONTENT;
        if !(is_part || status == StatusCode::OK && self.fields.has_accept_ranges) {
            return;
        }
        let (request, fields) = (self.request, self.fields);
        // The result of a QUERY depends on the content of the request, which is not
        // part of the key.
        if request.method == ReadMethod::Query {
            return;
        }
        let Some(variant) = fields.varied.and_then(|varied| request.key.variant(varied)) else {
            return;
        };
        let inner = fields.etag.value().filter(|tag| !tag.is_weak());
        let tag = tag.filter(|tag| !tag.tag.is_weak() && self.allows_parts());
        // The tag as it is sent to the client, with `~identity` if it needs that.
        let spelled = tag.filter(|tag| tag.tag.needs_identity());
        let spelled = spelled.map(|tag| tag.tag.with_coding(ContentCoding::Identity));
        let keys = &request.config.keys;
        let hash = match &spelled {
            Some(spelled) => Some(keys.bytes(spelled.as_bytes())),
            None => tag.map(|tag| tag.id(keys)),
        };
        let whole = match (hash, inner) {
            (Some(hash), Some(_)) => WholeTag::Known(hash),
            (Some(hash), None) => WholeTag::Generated(hash),
            (None, _) => WholeTag::None,
        };
        let sent = spelled.as_ref().or(tag.map(|tag| tag.tag));
        let is_replaced = |inner: &&EntityTag| sent != Some(*inner);
        let inner = inner.filter(is_replaced).map(|inner| inner.as_bytes().into());
        let given = fields.last_modified.value().copied();
        let length = match (is_part, &fields.content_length) {
            (true, _) => self.complete_length(),
            (false, SingleField::Value(length)) => Some(*length),
            (false, _) => None,
        };
        let date = given.filter(|given| date.date() == Some(*given));
        // The answer to a HEAD may have fewer validators than the answer to the GET.
        if request.is_head() && whole == WholeTag::None && date.is_none() {
            return;
        }
        let (tag, is_date_shared) = (whole, false);
        let new = InnerValidator { variant, tag, inner, date, is_date_shared, length };
        request.config.inner_validators.note(request.key.resource(), new);
    }

    /// Returns the evidence for a date that another layer of this crate has given, if
    /// there is one.
    fn stated_date(&self) -> Option<DateEvidence> {
        if let Some(known) = self.head.extensions.get::<KnownValidators>() {
            return known.date;
        }
        // The outer layer has already compared the date, so no date matches here.
        let known = self.request.extras().known.as_ref();
        known.is_some_and(|known| known.date.is_some()).then_some(DateEvidence::DOUBT)
    }

    /// Returns the length of the whole content, from the head of a 206 or 416.
    pub(super) fn complete_length(&self) -> Option<u64> {
        self.head.headers.get(CONTENT_RANGE).and_then(complete_length)
    }
}
