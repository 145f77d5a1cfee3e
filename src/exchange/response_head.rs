//! Writes validators into the head of a response, and turns a head into that of a 304,
//! 503 or 307. The module [`rejection`](super::rejection) makes the head of a 412.

use http::{
    header::{ACCEPT_RANGES, CACHE_CONTROL, ETAG, LAST_MODIFIED, LOCATION, RETRY_AFTER, VARY},
    response, HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
};
use http_body::Body;

use super::{rejection::make_precondition_failed, CodedTag, Rejection, Reporter};
use crate::{
    body::ResponseBody,
    header_map::{append_field, insert_field},
    outcome::Outcome,
    rules::{
        members, retain_for_not_modified, retain_for_precondition_failed, ContentCoding, Decision,
        HttpDate, LastModified, SingleField, Validators,
    },
    validators::{add_no_cache, are_silent, AddLastModified},
};

/// Turns the head of a response into the head that the decision requires.
pub(crate) fn apply_decision(head: &mut response::Parts, decision: Decision) {
    match decision {
        Decision::NotModified => {
            head.status = StatusCode::NOT_MODIFIED;
            retain_for_not_modified(&mut head.headers);
        }
        Decision::PreconditionFailed => make_precondition_failed(head),
        Decision::Proceed => {}
    }
}

/// Sets `ETag`, replacing all its lines.
#[inline]
pub(crate) fn insert_etag(headers: &mut HeaderMap, tag: HeaderValue) {
    insert_field(headers, ETAG, tag);
}

/// Sets `Last-Modified`, replacing all its lines.
#[inline]
pub(crate) fn insert_last_modified(headers: &mut HeaderMap, date: HeaderValue) {
    insert_field(headers, LAST_MODIFIED, date);
}

/// Sets `ETag` and `Last-Modified` for content without a content coding. Existing lines
/// of these fields are replaced.
pub(crate) fn insert_validators(
    head: &mut response::Parts,
    validators: &Validators,
    now: HttpDate,
) {
    if let Some(etag) = &validators.etag {
        CodedTag::insert(head, etag, etag.with_coding(ContentCoding::Identity));
    }
    let date = validators.last_modified.map(LastModified::date);
    if let Some(date) = date_to_send(date, now) {
        insert_last_modified(&mut head.headers, HeaderValue::from(date));
    }
}

/// Adds `Last-Modified` to a response that has none, if the setting `add` allows it.
/// `date` comes from the application.
pub(super) fn complete_date(
    headers: &mut HeaderMap,
    date: Option<HttpDate>,
    add: AddLastModified,
    now: HttpDate,
) {
    if headers.contains_key(LAST_MODIFIED) {
        return;
    }
    let Some(date) = date_to_send(date, now) else { return };
    let is_silent = are_silent(headers);
    if add.adds_date(is_silent) {
        insert_last_modified(headers, HeaderValue::from(date));
        if add.adds_no_cache(is_silent) {
            add_no_cache(headers);
        }
    }
}

/// Returns the date, if it is before the current second. Otherwise it must not be sent.
///
/// In the current second another change may get the same date (RFC 9110, section
/// 8.8.2.2), and a date in the future must not be sent (section 8.8.2.1). This function
/// is for dates from the application. Rule 6 of [`Dates`](crate::store::Dates) is for
/// all other dates.
fn date_to_send(date: Option<HttpDate>, now: HttpDate) -> Option<HttpDate> {
    date.filter(|date| *date < now)
}

/// Adds the name of a request field to `Vary`, if `Vary` does not name it yet.
pub(crate) fn vary_by(headers: &mut HeaderMap, field: HeaderName) {
    let is_named =
        |member: &[u8]| member == b"*" || member.eq_ignore_ascii_case(field.as_str().as_bytes());
    if !headers.get_all(VARY).iter().flat_map(members).any(is_named) {
        append_field(headers, VARY, HeaderValue::from(field));
    }
}

/// Makes the response to a request that is rejected before the inner service runs.
pub(crate) fn reject<B: Body>(
    rejection: Rejection,
    now: HttpDate,
    accepts_coding: bool,
    reporter: &Reporter,
) -> Response<ResponseBody<B>> {
    let outcome = match rejection.status() {
        StatusCode::NOT_MODIFIED => Outcome::NotModified,
        StatusCode::PRECONDITION_REQUIRED => Outcome::PreconditionRequired,
        _ => Outcome::PreconditionFailed,
    };
    let mut response =
        rejection.respond(now, |content| ResponseBody::whole(content.into(), outcome));
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED && !accepts_coding {
        // Axum adds `Content-Length: 0` to a body of exactly zero bytes. On a 304 that
        // would be wrong (RFC 9110, 8.6), so the body gets an unknown size.
        // Deliberately not if the client accepts a coding: then a compression layer
        // would encode the body of unknown size.
        response.body_mut().end_of_unknown_size(outcome);
    }
    reporter.report(outcome, status, response.extensions_mut());
    response
}

/// How a 206 or 416 is refused, if it may be of another version than the one that the
/// request names. The client then sends the request again, and gets the whole content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PartRefusal {
    /// 503: the client may try again.
    Unavailable,
    /// 307 to the same URI: the client tries again automatically.
    Redirect,
}

impl PartRefusal {
    /// Returns the refusal for the client that sent these request fields.
    ///
    /// A browser, recognised by `Sec-Fetch-Dest`, is redirected: on a 503 it would end
    /// the playback of audio or video. Other clients get the 503: they may not follow a
    /// redirect, and may even take it for a success, as `curl -f` does.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key("sec-fetch-dest") {
            Self::Redirect
        } else {
            Self::Unavailable
        }
    }
}

/// Turns the head of a 206 or 416 that may be of another version into that of a 503
/// or 307.
///
/// Deliberately not a 412, which clients take for final, and not a 416, which they take
/// for a complete download.
pub(crate) fn refuse_part(head: &mut response::Parts, refusal: PartRefusal) {
    retain_for_precondition_failed(&mut head.headers);
    for name in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
        head.headers.remove(name);
    }
    match refusal {
        PartRefusal::Unavailable => {
            head.status = StatusCode::SERVICE_UNAVAILABLE;
            insert_retry_after(&mut head.headers);
        }
        PartRefusal::Redirect => {
            head.status = StatusCode::TEMPORARY_REDIRECT;
            // A `Location` of `#` means the URI of the request as the client knows it,
            // even if a proxy changed the path.
            insert_field(&mut head.headers, LOCATION, HeaderValue::from_static("#"));
            // If a cache stored the redirect, the client would be redirected forever.
            insert_field(&mut head.headers, CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
}

/// Removes the `Last-Modified` of the inner service, if there is one.
#[inline]
pub(crate) fn remove_last_modified(headers: &mut HeaderMap, given: &SingleField<HttpDate>) {
    if given.is_present() {
        headers.remove(LAST_MODIFIED);
    }
}

/// Sets `Retry-After: 1`. The client may try again after one second.
pub(crate) fn insert_retry_after(headers: &mut HeaderMap) {
    insert_field(headers, RETRY_AFTER, HeaderValue::from_static("1"));
}

/// Makes a response without content, which is sent instead of one from the
/// inner service.
pub(crate) fn respond_empty<B: Body>(
    status: StatusCode,
    outcome: Outcome,
    reporter: &Reporter,
) -> Response<ResponseBody<B>> {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status;
    pass_on(head, ResponseBody::empty(outcome), reporter)
}

/// Makes the response of a middleware from a head and a body, and reports its outcome.
#[inline(always)]
pub(crate) fn pass_on<B: Body>(
    mut head: response::Parts,
    body: ResponseBody<B>,
    reporter: &Reporter,
) -> Response<ResponseBody<B>> {
    reporter.report(body.outcome(), head.status, &mut head.extensions);
    Response::from_parts(head, body)
}
