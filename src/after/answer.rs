//! From the inner response to the one that is sent.
//!
//! 1. [`plan`] says whether the content is to be read for a tag.
//! 2. [`answer`] gives the head its validators, judges the preconditions by them, and sends 304, 412 or the response.

use http::{
    header::{ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, ETAG, LAST_MODIFIED, VARY},
    response, HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
};
use http_body::Body;

use super::asked::Asked;
use crate::{
    body::{known_size, Buffer, ResponseBody},
    representation::{self, is_no_store, is_silent, Freshness, Key, Made, Modified, Outcome, Reason, Sighting},
    rules::{
        keep_for_not_modified, keep_for_precondition_failed, trim_ows, Decision, EntityTag, HttpDate, LastModified,
        Representation, Validators,
    },
};

/// What to do with the content of a response.
pub(super) enum Plan {
    /// Leave it as it is: it gets no tag of ours, and this is why.
    Leave(Reason),
    /// There is none: the tag is that of nothing.
    Empty(Buffer),
    /// Read it into this buffer.
    Read(Buffer),
}

/// Says whether the content of a response is to be read for a tag.
pub(super) fn plan(asked: &Asked, head: &response::Parts, body: &impl Body) -> Plan {
    if head.status != StatusCode::OK {
        return Plan::Leave(Reason::Status);
    }
    match own_tag(&head.headers) {
        Own::Valid(_) => return Plan::Leave(Reason::OwnTag),
        Own::Invalid => return Plan::Leave(Reason::InvalidTag),
        Own::Absent => {}
    }
    let config = &asked.config;
    let objection = representation::objection(head.version, &head.headers, &head.extensions, config.when.as_deref());
    if let Some(reason) = objection {
        return Plan::Leave(reason);
    }
    let hint = body.size_hint();
    if asked.is_head && (body.is_end_stream() || hint.exact() == Some(0)) {
        return Plan::Leave(Reason::EmptyHead);
    }
    let Ok(size) = known_size(body, &head.headers) else { return Plan::Leave(Reason::WrongLength) };
    if size.unwrap_or(0).max(hint.lower()) > config.buffer_limit {
        return Plan::Leave(Reason::TooLarge);
    }
    let buffer = Buffer::new(config.buffer_limit, size);
    match (body.is_end_stream(), buffer.is_as_promised() && hint.lower() == 0) {
        (false, _) => Plan::Read(buffer),
        (true, true) => Plan::Empty(buffer),
        (true, false) => Plan::Leave(Reason::WrongLength),
    }
}

/// Sends a response that the layer has nothing to do with.
pub(super) fn pass<B: Body>(mut head: response::Parts, body: B, reason: Reason, report: bool) -> Sent<B> {
    let outcome = Outcome::LeftAlone(reason);
    if report {
        head.extensions.insert(outcome);
    }
    Response::from_parts(head, ResponseBody::inner(body, outcome))
}

/// Sends a response, or what its preconditions ask for in its place.
///
/// `made` is the tag made of its content, or why there is none.
pub(super) fn answer<B: Body>(
    asked: &Asked,
    mut head: response::Parts,
    made: Result<Made, Reason>,
    body: ResponseBody<B>,
) -> Sent<B> {
    let (made, unread) = match made {
        Ok(made) => (Some(made), None),
        Err(reason) => (None, Some(reason)),
    };
    let etag = give_tag(asked, &mut head, made);
    let has_content = !(asked.is_head && body.is_end_stream());
    let last_modified = give_date(asked, &mut head, etag.as_ref().map(|made| made.id), has_content);
    if asked.config.compressed_outside && matches!(head.status, StatusCode::OK | StatusCode::NOT_MODIFIED) {
        vary_by_encoding(&mut head.headers);
    }

    let (outcome, body) =
        match decide(asked, head.status, Validators { etag: etag.map(|made| made.tag), last_modified }, unread) {
            Decision::NotModified => {
                head.status = StatusCode::NOT_MODIFIED;
                keep_for_not_modified(&mut head.headers);
                (Outcome::NotModified, ResponseBody::empty(Outcome::NotModified))
            }
            Decision::PreconditionFailed => {
                head.status = StatusCode::PRECONDITION_FAILED;
                keep_for_precondition_failed(&mut head.headers);
                (Outcome::PreconditionFailed, ResponseBody::empty(Outcome::PreconditionFailed))
            }
            Decision::Proceed if asked.is_head && asked.config.head_as_get => {
                keep_length(&mut head, &body);
                (body.outcome(), body.absent())
            }
            Decision::Proceed => (body.outcome(), body),
        };
    if asked.config.report_outcome {
        head.extensions.insert(outcome);
    }
    Response::from_parts(head, body)
}

type Sent<B> = Response<ResponseBody<B>>;

/// Sees to the `ETag` field: `made` goes in, and all tags leave weak if so configured.
fn give_tag(asked: &Asked, head: &mut response::Parts, made: Option<Made>) -> Option<Made> {
    let (made, is_new, supplied) = match made {
        Some(made) => (made, true, false),
        None => {
            let own = own_tag(&head.headers).valid()?;
            let weaken = asked.config.is_weak() && !own.is_weak();
            (asked.made(own), weaken, true)
        }
    };
    if may_be_ranged(head) {
        note(asked, asked.tag_key(&made.tag), supplied);
    }
    if is_new {
        head.headers.insert(ETAG, HeaderValue::from(&made.tag));
    }
    Some(made)
}

/// Sees to the `Last-Modified` field, and says how a client's date compares with it.
fn give_date(asked: &Asked, head: &mut response::Parts, tag: Option<u64>, has_content: bool) -> Option<LastModified> {
    if !head.status.is_success() && head.status != StatusCode::NOT_MODIFIED {
        return None;
    }
    let config = &asked.config;
    let now = config.now();
    let own = own_date(&head.headers, now);
    let silent = is_silent(&head.headers);
    let mint = config.last_modified
        && matches!(own, Own::Absent)
        && tag.is_some()
        && head.status == StatusCode::OK
        && has_content
        && !is_no_store(&head.headers)
        && !(silent && config.freshness == Freshness::OmitLastModified);
    let given = own.valid();
    if may_be_ranged(head) {
        note(asked, given.and_then(|date| asked.date_key(date)), true);
    }
    let modified = config.memory.see(&asked.key, Sighting { tag, given, mint, varied: asked.varied }, now)?;
    if let Modified::Minted(date) = modified {
        head.headers.insert(LAST_MODIFIED, date.into());
        if silent && config.freshness == Freshness::NoCache {
            head.headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
    }
    Some(modified.last_modified())
}

/// Returns true if clients may ask for parts of this content, and send its validators in If-Range.
fn may_be_ranged(head: &response::Parts) -> bool {
    head.status == StatusCode::PARTIAL_CONTENT || head.headers.contains_key(ACCEPT_RANGES)
}

/// Remembers whether the inner service supplied a validator, if it is one that looks like one of the layer's.
fn note(asked: &Asked, validator: Option<Key>, supplied: bool) {
    if let Some(validator) = validator {
        asked.config.memory.note(validator, supplied);
    }
}

/// Judges the preconditions of a request that would be answered with `status`.
fn decide(asked: &Asked, status: StatusCode, validators: Validators, unread: Option<Reason>) -> Decision {
    // Preconditions are ignored where the answer without them would be no success (RFC 9110, 13.2.1).
    if !status.is_success() {
        return Decision::Proceed;
    }
    let (is_whole, is_partial) = (status == StatusCode::OK, status == StatusCode::PARTIAL_CONTENT);
    let may_be_unmodified = is_whole || is_partial && validators != Validators::new();
    let has_unknown_tag = validators.etag.is_none() && (!is_whole || unread.is_some_and(Reason::leaves_tag_unknown));
    let is_broken = matches!(unread, Some(Reason::BodyError | Reason::WrongLength));
    let representation = if is_broken || has_unknown_tag && asked.preconditions.has_if_match() {
        Representation::Unknown
    } else {
        Representation::Exists(validators)
    };
    let method = if asked.is_head { Method::HEAD } else { Method::GET };
    let decision = asked.preconditions.evaluate(&method, &representation);
    if decision == Decision::NotModified && !may_be_unmodified {
        return Decision::Proceed;
    }
    decision
}

/// Adds `accept-encoding` to `Vary`, if it is not there.
fn vary_by_encoding(headers: &mut HeaderMap) {
    let mut members = headers.get_all(VARY).iter().flat_map(|line| line.as_bytes().split(|&octet| octet == b','));
    let named = |member| matches!(trim_ows(member), member if member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding"));
    if !members.any(named) {
        headers.append(VARY, HeaderValue::from(ACCEPT_ENCODING));
    }
}

/// Says in the head how long the content would be that a HEAD does not get.
fn keep_length(head: &mut response::Parts, body: &impl Body) {
    if let Some(length) = body.size_hint().exact() {
        let may_have_length = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if may_have_length && !head.headers.contains_key(CONTENT_LENGTH) {
            head.headers.insert(CONTENT_LENGTH, length.into());
        }
    }
}

/// A validator that the inner service may have given.
enum Own<T> {
    Absent,
    /// It cannot be read, or stands there twice.
    Invalid,
    Valid(T),
}

impl<T> Own<T> {
    fn valid(self) -> Option<T> {
        match self {
            Self::Valid(validator) => Some(validator),
            Self::Absent | Self::Invalid => None,
        }
    }
}

fn own_tag(headers: &HeaderMap) -> Own<EntityTag> {
    own(headers, ETAG, |value| EntityTag::try_from(value).ok())
}

fn own_date(headers: &HeaderMap, now: HttpDate) -> Own<HttpDate> {
    own(headers, LAST_MODIFIED, |value| HttpDate::parse(value, now))
}

fn own<T>(headers: &HeaderMap, name: HeaderName, read: impl FnOnce(&HeaderValue) -> Option<T>) -> Own<T> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Own::Absent,
        (Some(line), None) => read(line).map_or(Own::Invalid, Own::Valid),
        (Some(_), Some(_)) => Own::Invalid,
    }
}
