//! From the inner response to the one that is sent.
//!
//! 1. [`plan`] says whether the content is to be read for a tag.
//! 2. [`answer`] gives the head its validators, judges the preconditions by them, and sends 304, 412 or the response.

use http::{
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, ETAG, LAST_MODIFIED, TRANSFER_ENCODING, VARY},
    response, HeaderMap, HeaderValue, StatusCode,
};
use http_body::Body;

use super::{
    config::Config,
    learning::{cut, hash_on_the_way, length, Lesson},
    request::Asked,
};
use crate::{
    body::ResponseBody,
    fields::{add, put},
    outcome::{Outcome, Reason},
    rules::{keep_for_not_modified, keep_for_precondition_failed, trim_ows, Current, Decision},
    store::{Found, Key, Made, Modified, Sighting},
    trace::decided,
    validators::{self, Digest, Facts, Freshness, Own},
};

/// What to do with the content of a response.
pub(super) enum Plan {
    /// Leave it as it is: it gets no tag of ours, and this is why.
    Leave(Reason),
    /// Send it as it comes: it has no tag of ours yet, but may get one while it is sent.
    Pass(Reason),
    /// Send it as it comes: its tag was learnt.
    Tag(Made),
    /// There is none: the tag is that of nothing.
    Empty,
    /// Read it, so many octets if that is known.
    Read(Option<u64>),
}

/// Reads what the head of a response says, when it has the validators that a layer further out knows.
#[inline]
pub(super) fn read(asked: &Asked, head: &mut response::Parts) -> Facts {
    let config = &asked.config;
    if let Some(known) = &asked.rare().known {
        known.complete(head, config.now());
    }
    Facts::read(&head.headers, &config.memory.keys, || config.now())
}

/// Says whether the content of a response is to be read for a tag.
///
/// `lesson` is what the inner service says of it, by which it could be known again.
#[inline]
pub(super) fn plan(
    asked: &Asked,
    head: &response::Parts,
    facts: &Facts,
    body: &impl Body,
    lesson: Option<&Lesson>,
) -> Plan {
    if let Some(made) = lesson.and_then(|lesson| lesson.recall(asked, facts)) {
        return Plan::Tag(made);
    }
    if head.status != StatusCode::OK {
        return Plan::Leave(Reason::Status);
    }
    let own = match facts.etag {
        Own::Valid(_) => Some(Reason::OwnTag),
        Own::Invalid => Some(Reason::InvalidTag),
        Own::Absent => None,
    };
    let own = own.filter(|_| !asked.replaces_tag(head));
    if let Some(own) = own.filter(|_| lesson.is_none()) {
        return Plan::Leave(own);
    }
    let config = &asked.config;
    // For a lesson this was asked already.
    let objection =
        || validators::objection(facts, head.version, &head.headers, &head.extensions, config.when.as_deref());
    if let Some(reason) = if lesson.is_some() { None } else { objection() } {
        return Plan::Leave(own.unwrap_or(reason));
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
        return Plan::Pass(own.unwrap_or(Reason::TooLarge));
    }
    if let Some(own) = own {
        return Plan::Leave(own);
    }
    match (body.is_end_stream(), size.unwrap_or(0).max(hint.lower())) {
        (false, _) => Plan::Read(size),
        (true, 0) => Plan::Empty,
        (true, _) => Plan::Leave(Reason::WrongLength),
    }
}

/// Tells what was done with a request.
#[inline]
pub(super) fn tell(head: &mut response::Parts, outcome: Outcome, config: &Config) {
    config.counters.decided(outcome);
    decided!(outcome, head.status);
    if config.report_outcome {
        head.extensions.insert(outcome);
    }
}

/// Makes the head and the body of a response those to send, or what its preconditions ask for in its place.
///
/// `found` is the tag of its content, or why there is none; `lesson` is what to know the content by, if its tag is to be
/// learnt while it is sent.
#[inline(always)]
pub(super) fn answer<D: Digest, B: Body>(
    asked: &Asked,
    head: &mut response::Parts,
    facts: &Facts,
    found: Result<Found, Reason>,
    lesson: Option<&Lesson>,
    body: &mut ResponseBody<B>,
) {
    if facts.has_transfer_encoding && found.is_ok() && body.size_hint().exact().is_some() {
        // It came in chunks through a proxy, and has a length now. Both would be one framing too many.
        head.headers.remove(TRANSFER_ENCODING);
    }
    let has_content = !(asked.is_head && body.is_end_stream());
    let unread = found.as_ref().err().copied();
    let Judged { decision, may_cut } = judge(asked, head, facts, found, lesson, has_content);
    match decision {
        Decision::NotModified => {
            asked.config.counters.not_sent(length(asked, facts, body).filter(|_| !asked.is_head).unwrap_or(0));
            body.end(Outcome::NotModified);
        }
        Decision::PreconditionFailed => body.end(Outcome::PreconditionFailed),
        Decision::Proceed if asked.asks_as_get() => {
            keep_length(head, body);
            body.withhold();
        }
        Decision::Proceed => {
            if let Some(is_allowed) = may_cut {
                cut(asked, head, facts, is_allowed, body);
            }
            if let Some(reason) = unread {
                hash_on_the_way::<D, B>(asked, head, facts, reason, lesson, body);
            }
        }
    }
    tell(head, body.outcome(), &asked.config);
}

/// What the preconditions of a request come to.
struct Judged {
    decision: Decision,
    /// `Some` if the layer serves parts of this content, true if If-Range does not forbid it.
    may_cut: Option<bool>,
}

/// Judges the preconditions by what is known of the response, and makes its head the one to send.
#[inline]
fn judge(
    asked: &Asked,
    head: &mut response::Parts,
    facts: &Facts,
    found: Result<Found, Reason>,
    lesson: Option<&Lesson>,
    has_content: bool,
) -> Judged {
    let (found, unread) = match found {
        Ok(found) => (Some(found), None),
        Err(reason) if asked.replaces_tag(head) => {
            head.headers.remove(ETAG);
            (None, Some(reason))
        }
        Err(reason) => (asked.own_tag(facts).map(Found::Made), Some(reason)),
    };
    let made = found.as_deref();
    if let Some(made) = made.filter(|_| may_be_ranged(head.status, facts)) {
        note(asked, asked.tag_key(&made.tag), unread.is_some());
    }
    let modified = modified(asked, head, facts, made, lesson, has_content);
    let etag = made.map(|made| &made.tag);
    let current = || Current { etag, last_modified: modified.as_ref().map(Modified::last_modified) };
    if asked.rare().is_probe {
        head.extensions.insert(asked.known_to_probe(current()));
    }
    // Preconditions are ignored where the answer without them would be no success (RFC 9110, 13.2.1).
    let decision = if asked.preconditions.is_empty() || !head.status.is_success() {
        Decision::Proceed
    } else {
        decide(asked, head.status, current(), unread)
    };
    let is_cuttable = asked.config.ranges && head.status == StatusCode::OK;
    let may_cut = (is_cuttable && etag.is_some_and(|etag| !etag.is_weak()))
        .then(|| asked.preconditions.allows_range_of(current(), asked.config.now()));
    let headers = &mut head.headers;
    if asked.config.compressed_outside && matches!(head.status, StatusCode::OK | StatusCode::NOT_MODIFIED) {
        vary_by_encoding(headers);
    }
    // What goes is looked for before more comes.
    match decision {
        Decision::NotModified => {
            head.status = StatusCode::NOT_MODIFIED;
            keep_for_not_modified(headers);
        }
        Decision::PreconditionFailed => {
            head.status = StatusCode::PRECONDITION_FAILED;
            keep_for_precondition_failed(headers);
        }
        Decision::Proceed => {}
    }
    if let Some(found) = found.filter(|_| unread.is_none() || asked.config.is_weak()) {
        put(headers, ETAG, found.into_value());
    }
    if let Some(Modified::Minted(_, text)) = modified {
        put(headers, LAST_MODIFIED, text);
        let is_heuristic = facts.is_silent && asked.config.freshness == Freshness::NoCache;
        if is_heuristic && decision != Decision::PreconditionFailed {
            add(headers, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
    }
    Judged { decision, may_cut }
}

/// Says how a client's date compares with the response's, be it the inner service's or one to mint.
#[inline]
fn modified(
    asked: &Asked,
    head: &response::Parts,
    facts: &Facts,
    made: Option<&Made>,
    lesson: Option<&Lesson>,
    has_content: bool,
) -> Option<Modified> {
    let status = head.status;
    if !status.is_success() && status != StatusCode::NOT_MODIFIED {
        return None;
    }
    let (config, memory) = (&*asked.config, &*asked.config.memory);
    let mint = config.last_modified
        && matches!(facts.last_modified, Own::Absent)
        && made.is_some()
        && status == StatusCode::OK
        && has_content
        && !facts.is_no_store
        // Who judges writes knows of no date, and would ignore one that comes back.
        && asked.is_sole_judge(head)
        && !(facts.is_silent && config.freshness == Freshness::OmitLastModified);
    let given = facts.last_modified.valid().copied();
    let may_be_ranged = may_be_ranged(status, facts);
    if may_be_ranged {
        note(asked, given.and_then(|date| asked.date_key(date)), true);
    }
    // Where there are no dates, nothing asks for tags.
    let asks_for_tag = mint || given.is_some() || memory.is_used();
    let identity = || lesson.and_then(|lesson| lesson.identity()).or_else(|| Some(made?.id(&memory.keys)));
    let tag = if asks_for_tag { identity() } else { None };
    let modified = memory.see(&asked.key, Sighting { tag, given, mint, varied: facts.varied }, config.now());
    if let Some(Modified::Minted(date, _)) = &modified {
        if may_be_ranged {
            note(asked, asked.date_key(*date), false);
        }
    }
    modified
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

/// Judges the preconditions of a request that would be answered with `status`, which is a success.
fn decide(asked: &Asked, status: StatusCode, current: Current<'_>, unread: Option<Reason>) -> Decision {
    let (is_whole, is_partial) = (status == StatusCode::OK, status == StatusCode::PARTIAL_CONTENT);
    let is_validated = current.etag.is_some() || current.last_modified.is_some();
    let may_be_unmodified = is_whole || is_partial && is_validated;
    // A part can be of another version: it is sent for no tag that the layer cannot have made.
    let is_known = if is_partial { !asked.if_match_may_hold() } else { is_whole };
    let has_unknown_tag = current.etag.is_none() && (!is_known || unread.is_some_and(Reason::leaves_tag_unknown));
    let is_broken = matches!(unread, Some(Reason::BodyError | Reason::WrongLength));
    if is_broken || has_unknown_tag && asked.preconditions.has_if_match() {
        return Decision::Proceed;
    }
    let decision = match (asked.preconditions.evaluate_read(current), current.etag) {
        (Decision::Proceed, Some(etag)) if asked.names_with_suffix(etag) => Decision::NotModified,
        (decision, _) => decision,
    };
    match decision {
        Decision::NotModified if !may_be_unmodified => Decision::Proceed,
        decision => decision,
    }
}

/// Adds `accept-encoding` to `Vary`, if it is not there.
fn vary_by_encoding(headers: &mut HeaderMap) {
    let mut members = headers.get_all(VARY).iter().flat_map(|line| line.as_bytes().split(|&octet| octet == b','));
    let named = |member| matches!(trim_ows(member), member if member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding"));
    if !members.any(named) {
        add(headers, VARY, HeaderValue::from(ACCEPT_ENCODING));
    }
}

/// Says in the head how long the content would be that a HEAD does not get.
fn keep_length(head: &mut response::Parts, body: &impl Body) {
    if let Some(length) = body.size_hint().exact() {
        let may_have_length = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let is_framed = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| head.headers.contains_key(name));
        if may_have_length && !is_framed {
            put(&mut head.headers, CONTENT_LENGTH, length.into());
        }
    }
}
