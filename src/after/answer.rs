//! From the inner response to the one that is sent.
//!
//! 1. [`plan`] says whether the content is to be read for a tag.
//! 2. [`answer`] gives the head its validators, judges the preconditions by them, and sends 304, 412 or the response.

use http::{
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, ETAG, LAST_MODIFIED, TRANSFER_ENCODING, VARY},
    response, HeaderMap, HeaderValue, Response, StatusCode,
};
use http_body::Body;

use super::{
    asked::Asked,
    config::Config,
    streams::{cut, hash_on_the_way, length, Lesson},
};
use crate::{
    body::{Buffer, ResponseBody},
    representation::{self, Digest, Facts, Freshness, Key, Made, Modified, Outcome, Own, Reason, Sighting},
    rules::{keep_for_not_modified, keep_for_precondition_failed, trim_ows, Decision, Validators},
    trace::decided,
};

/// What to do with the content of a response.
pub(super) enum Plan {
    /// Leave it as it is: it gets no tag of ours, and this is why.
    Leave(Reason),
    /// Send it as it comes: it has no tag of ours yet, but may get one while it is sent.
    Pass(Reason),
    /// There is none: the tag is that of nothing.
    Empty,
    /// Read it into this buffer.
    Read(Buffer),
}

/// Says whether the content of a response is to be read for a tag.
///
/// `may_learn`: whether the inner service says of it by what it could be known again.
pub(super) fn plan(asked: &Asked, head: &response::Parts, facts: &Facts, body: &impl Body, may_learn: bool) -> Plan {
    if head.status != StatusCode::OK {
        return Plan::Leave(Reason::Status);
    }
    let own = match facts.etag {
        Own::Valid(_) => Some(Reason::OwnTag),
        Own::Invalid => Some(Reason::InvalidTag),
        Own::Absent => None,
    };
    let own = own.filter(|_| !asked.replaces_tag(head));
    if let Some(own) = own.filter(|_| !may_learn) {
        return Plan::Leave(own);
    }
    let config = &asked.config;
    let objection =
        representation::objection(facts, head.version, &head.headers, &head.extensions, config.when.as_deref());
    if let Some(reason) = objection {
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
    let buffer = Buffer::new(config.buffer_limit, size);
    match (body.is_end_stream(), buffer.is_as_promised() && hint.lower() == 0) {
        (false, _) => Plan::Read(buffer),
        (true, true) => Plan::Empty,
        (true, false) => Plan::Leave(Reason::WrongLength),
    }
}

/// Sends a response that the layer has nothing to do with.
pub(super) fn pass<B: Body>(head: response::Parts, body: B, reason: Reason, config: &Config) -> Sent<B> {
    let outcome = Outcome::LeftAlone(reason);
    send(head, ResponseBody::inner(body, outcome), outcome, config)
}

/// Sends a response, and tells what was done.
fn send<B: Body>(mut head: response::Parts, body: ResponseBody<B>, outcome: Outcome, config: &Config) -> Sent<B> {
    config.counters.decided(outcome);
    decided!(outcome, head.status);
    if config.report_outcome {
        head.extensions.insert(outcome);
    }
    Response::from_parts(head, body)
}

/// Refuses a write.
pub(super) fn refuse<B: Body>(config: &Config) -> Sent<B> {
    let outcome = Outcome::PreconditionFailed;
    let mut head = Response::new(()).into_parts().0;
    head.status = StatusCode::PRECONDITION_FAILED;
    send(head, ResponseBody::empty(outcome), outcome, config)
}

/// Sends a response, or what its preconditions ask for in its place.
///
/// `made` is the tag made of its content, or why there is none; `lesson` is what to know the content by, if its tag is to
/// be learnt while it is sent.
pub(super) fn answer<D: Digest, B: Body>(
    asked: &Asked,
    mut head: response::Parts,
    facts: &mut Facts,
    made: Result<Made, Reason>,
    lesson: Option<Lesson>,
    body: ResponseBody<B>,
) -> Sent<B> {
    if facts.has_transfer_encoding && made.is_ok() && body.size_hint().exact().is_some() {
        // It came in chunks through a proxy, and has a length now. Both would be one framing too many.
        head.headers.remove(TRANSFER_ENCODING);
    }
    let has_content = !(asked.is_head && body.is_end_stream());
    let unread = made.as_ref().err().copied();
    let Judged { decision, may_cut } = judge(asked, &mut head, facts, made, lesson, has_content);
    let (outcome, body) = match decision {
        Decision::NotModified => {
            asked.config.counters.not_sent(length(asked, facts, &body).filter(|_| !asked.is_head).unwrap_or(0));
            (Outcome::NotModified, ResponseBody::empty(Outcome::NotModified))
        }
        Decision::PreconditionFailed => (Outcome::PreconditionFailed, ResponseBody::empty(Outcome::PreconditionFailed)),
        Decision::Proceed if asked.is_head && asked.config.head_as_get => {
            keep_length(&mut head, &body);
            (body.outcome(), body.absent())
        }
        Decision::Proceed => {
            let outcome = body.outcome();
            let body = match may_cut {
                Some(is_allowed) => cut(asked, &mut head, facts, is_allowed, body),
                None => body,
            };
            let body = match unread {
                Some(reason) => hash_on_the_way::<D, B>(asked, &mut head, facts, reason, lesson, body),
                None => body,
            };
            (outcome, body)
        }
    };
    send(head, body, outcome, &asked.config)
}

type Sent<B> = Response<ResponseBody<B>>;

/// What the preconditions of a request come to.
struct Judged {
    decision: Decision,
    /// `Some` if the layer serves parts of this content, true if If-Range does not forbid it.
    may_cut: Option<bool>,
}

/// Judges the preconditions by what is known of the response, and makes its head the one to send.
fn judge(
    asked: &Asked,
    head: &mut response::Parts,
    facts: &mut Facts,
    made: Result<Made, Reason>,
    lesson: Option<Lesson>,
    has_content: bool,
) -> Judged {
    let (made, unread, supplied) = match made {
        Ok(made) => (Some(made), None, false),
        Err(reason) if asked.replaces_tag(head) => {
            head.headers.remove(ETAG);
            (None, Some(reason), true)
        }
        Err(reason) => (asked.own_tag(facts), Some(reason), true),
    };
    if let Some(made) = made.as_ref().filter(|_| may_be_ranged(head.status, facts)) {
        note(asked, asked.tag_key(&made.tag), supplied);
    }
    let modified = modified(asked, head, facts, made.as_ref(), lesson, has_content);
    let last_modified = modified.as_ref().map(Modified::last_modified);
    let validators = Validators { etag: made.map(|made| made.tag), last_modified };
    if asked.is_probe {
        head.extensions.insert(asked.known_to_probe(validators.clone()));
    }

    let decision = decide(asked, head.status, &validators, unread);
    let is_cuttable = asked.config.ranges && head.status == StatusCode::OK;
    let may_cut = (is_cuttable && validators.etag.as_ref().is_some_and(|etag| !etag.is_weak()))
        .then(|| asked.preconditions.allows_range(&validators.clone().into(), asked.config.now()));
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
    if let Some(etag) = validators.etag.filter(|_| !supplied || asked.config.is_weak()) {
        headers.insert(ETAG, etag.into());
    }
    if let Some(Modified::Minted(_, text)) = modified {
        headers.insert(LAST_MODIFIED, text);
        let is_heuristic = facts.is_silent && asked.config.freshness == Freshness::NoCache;
        if is_heuristic && decision != Decision::PreconditionFailed {
            headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
    }
    Judged { decision, may_cut }
}

/// Says how a client's date compares with the response's, be it the inner service's or one to mint.
fn modified(
    asked: &Asked,
    head: &response::Parts,
    facts: &Facts,
    made: Option<&Made>,
    lesson: Option<Lesson>,
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
    let given = match facts.last_modified {
        Own::Valid(date) => Some(date),
        Own::Absent | Own::Invalid => None,
    };
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

/// Judges the preconditions of a request that would be answered with `status`.
fn decide(asked: &Asked, status: StatusCode, validators: &Validators, unread: Option<Reason>) -> Decision {
    // Preconditions are ignored where the answer without them would be no success (RFC 9110, 13.2.1).
    if asked.preconditions.is_empty() || !status.is_success() {
        return Decision::Proceed;
    }
    let (is_whole, is_partial) = (status == StatusCode::OK, status == StatusCode::PARTIAL_CONTENT);
    let is_validated = validators.etag.is_some() || validators.last_modified.is_some();
    let may_be_unmodified = is_whole || is_partial && is_validated;
    let has_unknown_tag = validators.etag.is_none() && (!is_whole || unread.is_some_and(Reason::leaves_tag_unknown));
    let is_broken = matches!(unread, Some(Reason::BodyError | Reason::WrongLength));
    if is_broken || has_unknown_tag && asked.preconditions.has_if_match() {
        return Decision::Proceed;
    }
    let decision = match (asked.preconditions.evaluate_read(validators), &validators.etag) {
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
