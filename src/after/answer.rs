//! From the inner response to the one that is sent.
//!
//! 1. [`plan`] says whether the content is to be read for a tag.
//! 2. [`answer`] gives the head its validators, judges the preconditions by them, and sends 304, 412 or the response.

use http::{
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, ETAG, LAST_MODIFIED, VARY},
    response, HeaderMap, HeaderValue, Method, Response, StatusCode,
};
use http_body::Body;

use super::asked::Asked;
use crate::{
    body::{Buffer, ResponseBody},
    representation::{self, Facts, Freshness, Key, Known, Made, Modified, Outcome, Own, Reason, Sighting},
    rules::{
        keep_for_not_modified, keep_for_precondition_failed, trim_ows, Decision, LastModified, Representation,
        Validators,
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
pub(super) fn plan(asked: &Asked, head: &response::Parts, facts: &Facts, body: &impl Body) -> Plan {
    if head.status != StatusCode::OK {
        return Plan::Leave(Reason::Status);
    }
    match facts.etag {
        Own::Valid(_) => return Plan::Leave(Reason::OwnTag),
        Own::Invalid => return Plan::Leave(Reason::InvalidTag),
        Own::Absent => {}
    }
    let config = &asked.config;
    let objection =
        representation::objection(facts, head.version, &head.headers, &head.extensions, config.when.as_deref());
    if let Some(reason) = objection {
        return Plan::Leave(reason);
    }
    let hint = body.size_hint();
    if asked.is_head && (body.is_end_stream() || hint.exact() == Some(0)) {
        return Plan::Leave(Reason::EmptyHead);
    }
    let size = match (&facts.content_length, hint.exact()) {
        (Own::Invalid, _) => return Plan::Leave(Reason::WrongLength),
        (Own::Valid(length), Some(exact)) if *length != exact => return Plan::Leave(Reason::WrongLength),
        (Own::Valid(length), _) => Some(*length),
        (Own::Absent, exact) => exact,
    };
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
    mut facts: Facts,
    made: Result<Made, Reason>,
    body: ResponseBody<B>,
) -> Sent<B> {
    let (made, unread) = match made {
        Ok(made) => (Some(made), None),
        Err(reason) => (None, Some(reason)),
    };
    let etag = give_tag(asked, &mut head, &mut facts, made);
    let has_content = !(asked.is_head && body.is_end_stream());
    let last_modified = give_date(asked, &mut head, &facts, etag.as_ref().map(|made| made.id), has_content);
    if asked.config.compressed_outside && matches!(head.status, StatusCode::OK | StatusCode::NOT_MODIFIED) {
        vary_by_encoding(&mut head.headers);
    }

    let validators = Validators { etag: etag.map(|made| made.tag), last_modified };
    if asked.is_probe {
        head.extensions.insert(Known { validators: validators.clone(), freshness: asked.config.freshness });
    }

    let (outcome, body) = match decide(asked, head.status, validators, unread) {
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
fn give_tag(asked: &Asked, head: &mut response::Parts, facts: &mut Facts, made: Option<Made>) -> Option<Made> {
    let (made, is_new, supplied) = match made {
        Some(made) => (made, true, false),
        None => {
            let own = std::mem::replace(&mut facts.etag, Own::Absent).valid()?;
            let weaken = asked.config.is_weak() && !own.is_weak();
            (asked.made(own), weaken, true)
        }
    };
    if may_be_ranged(head.status, facts) {
        note(asked, asked.tag_key(&made.tag), supplied);
    }
    if is_new {
        head.headers.insert(ETAG, HeaderValue::from(&made.tag));
    }
    Some(made)
}

/// Sees to the `Last-Modified` field, and says how a client's date compares with it.
fn give_date(
    asked: &Asked,
    head: &mut response::Parts,
    facts: &Facts,
    tag: Option<u64>,
    has_content: bool,
) -> Option<LastModified> {
    if !head.status.is_success() && head.status != StatusCode::NOT_MODIFIED {
        return None;
    }
    let config = &asked.config;
    let now = config.now();
    let mint = config.last_modified
        && matches!(facts.last_modified, Own::Absent)
        && tag.is_some()
        && head.status == StatusCode::OK
        && has_content
        && !facts.is_no_store
        // Who judges writes knows of no date, and would ignore one that comes back.
        && asked.known.is_none()
        && head.extensions.get::<Known>().is_none()
        && !(facts.is_silent && config.freshness == Freshness::OmitLastModified);
    let given = match facts.last_modified {
        Own::Valid(date) => Some(date),
        Own::Absent | Own::Invalid => None,
    };
    if may_be_ranged(head.status, facts) {
        note(asked, given.and_then(|date| asked.date_key(date)), true);
    }
    let modified = config.memory.see(&asked.key, Sighting { tag, given, mint, varied: facts.varied }, now)?;
    if let Modified::Minted(date, text) = &modified {
        if may_be_ranged(head.status, facts) {
            note(asked, asked.date_key(*date), false);
        }
        head.headers.insert(LAST_MODIFIED, text.clone());
        if facts.is_silent && config.freshness == Freshness::NoCache {
            head.headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
    }
    Some(modified.last_modified())
}

/// Returns true if clients may ask for parts of this content, and send its validators in If-Range.
fn may_be_ranged(status: StatusCode, facts: &Facts) -> bool {
    status == StatusCode::PARTIAL_CONTENT || facts.has_accept_ranges
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
    if asked.preconditions.is_empty() || !status.is_success() {
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
