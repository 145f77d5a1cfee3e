//! Checks whether writes are refused if their preconditions fail, and only then.

use bytes::Bytes;
use http::{
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
    },
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
};

use crate::{
    answer::Answer,
    baseline::{seconds_after, Baseline, Why},
    report::Severity::{Advice, Must},
    rule::Rule,
    step::{self, anything, moot, want, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    // This check comes first, while the resource does not have the content of the write yet.
    Rule {
        name: "write/not-performed",
        section: "13.1.1",
        severity: Must,
        claim: "A write that was refused with 412 was not done.",
        hint: "Evaluate the precondition before the write, not when its answer is there: \
               `PreconditionLayer` does.",
        needs: &["validator/stable"],
        steps: |baseline| {
            let mut steps = write(baseline, is_refused, IF_MATCH, baseline.another_tag())?;
            steps.insert(0, Step::get(anything));
            steps.push(Step::get(is_unchanged));
            Ok(steps)
        },
    },
    Rule {
        name: "write/if-match-miss",
        section: "13.1.1",
        severity: Must,
        claim: "A write with another tag in If-Match is refused with 412.",
        hint: "Evaluate the precondition in the handler, with `Preconditions::check`, in one step \
               with the write, or put `PreconditionLayer` in front. A layer that sees the response \
               comes too late.",
        needs: &["answer/get"],
        steps: |baseline| write(baseline, refused_unless_stored, IF_MATCH, baseline.another_tag()),
    },
    Rule {
        name: "write/if-match-malformed",
        section: "13.1.1",
        severity: Must,
        claim: "A write with an If-Match that cannot be read is refused.",
        hint: "Answer 412 or 400. `Preconditions` lets an If-Match that names nothing fail.",
        needs: &["write/if-match-miss"],
        steps: |baseline| {
            let mut steps = write(
                baseline,
                refused_or_bad_request,
                IF_MATCH,
                HeaderValue::from_static("another"),
            )?;
            steps.extend(write(
                baseline,
                refused_or_bad_request,
                IF_MATCH,
                HeaderValue::from_static(""),
            )?);
            Ok(steps)
        },
    },
    Rule {
        name: "write/if-match-weak",
        section: "13.1.1",
        severity: Must,
        claim: "A write with a weak tag in If-Match is refused, even if it is the current one.",
        hint: "Compare strongly: `EntityTag::strong_eq`.",
        needs: &["write/if-match-miss"],
        steps: |baseline| {
            write(baseline, refused_unless_stored, IF_MATCH, baseline.tag()?.into_weak())
        },
    },
    Rule {
        name: "write/if-none-match-star",
        section: "13.1.2",
        severity: Must,
        claim: "A write with `If-None-Match: *` is refused with 412 where something exists.",
        hint: "`*` fails if there is a representation: that is how clients create without \
               overwriting.",
        needs: &["write/if-match-miss"],
        steps: |baseline| write(baseline, refused, IF_NONE_MATCH, HeaderValue::from_static("*")),
    },
    Rule {
        name: "write/if-none-match-current",
        section: "13.1.2",
        severity: Must,
        claim: "A write with the current tag in If-None-Match is refused with 412, not 304.",
        hint: "304 is for GET and HEAD alone.",
        needs: &["write/if-none-match-star", "validator/stable"],
        steps: |baseline| write(baseline, refused, IF_NONE_MATCH, baseline.tag()?),
    },
    Rule {
        name: "write/if-unmodified-since-older",
        section: "13.1.4",
        severity: Must,
        claim: "A write with an older date in If-Unmodified-Since is refused with 412.",
        hint: "Refuse the write if the resource was modified after the date.",
        needs: &["write/if-match-miss", "validator/stable"],
        steps: |baseline| {
            let date = seconds_after(baseline.date()?, -86_400);
            write(baseline, refused_unless_stored, IF_UNMODIFIED_SINCE, date)
        },
    },
    Rule {
        name: "write/if-match-current",
        section: "13.1.1",
        severity: Must,
        claim: "A write with the current tag in If-Match is done.",
        hint:
            "Compare with the tag that GET sends, the layer's included: both sides must mean the \
               same tag.",
        needs: &["validator/stable"],
        steps: |baseline| write(baseline, performed, IF_MATCH, baseline.strong_tag()?),
    },
    Rule {
        name: "write/encoded-tag",
        section: "13.1.1",
        severity: Advice,
        claim: "A write with the tag that came with encoded content is done: browsers and most \
                clients know no other.",
        hint: "Take what the compressor added off the tag in If-Match: \
               `ConditionalLayer::compress_with` does. Else each edit of a client that takes gzip \
               is refused.",
        needs: &["write/if-match-current", "encoding/tags"],
        steps: |baseline| {
            let (encoding, answer) = baseline.encoded()?;
            if answer.tag().is_none_or(|tag| tag.is_weak()) {
                return Err("the encoded answer has no strong entity tag".into());
            }
            let read = Step::get(anything).with(ACCEPT_ENCODING, encoding.clone());
            Ok(vec![read, Step::given(baseline.write()?, performed).echoing(IF_MATCH, ETAG)])
        },
    },
    Rule {
        name: "write/if-match-over-date",
        section: "13.1.4",
        severity: Must,
        claim: "If-Match switches If-Unmodified-Since off on writes, too.",
        hint: "Ignore If-Unmodified-Since where If-Match is present.",
        needs: &["write/if-match-miss", "write/if-match-current"],
        steps: |baseline| {
            let date = seconds_after(baseline.date()?, -86_400);
            let steps = write(baseline, performed, IF_MATCH, baseline.strong_tag()?)?;
            Ok(steps.into_iter().map(|step| step.with(IF_UNMODIFIED_SINCE, date)).collect())
        },
    },
    Rule {
        name: "write/if-modified-since",
        section: "13.1.3",
        severity: Must,
        claim: "If-Modified-Since is ignored on writes.",
        hint: "It is for GET and HEAD alone.",
        needs: &["write/if-match-current"],
        steps: |baseline| {
            let date = baseline.date()?;
            let steps = write(baseline, performed, IF_MATCH, baseline.strong_tag()?)?;
            Ok(steps.into_iter().map(|step| step.with(IF_MODIFIED_SINCE, date)).collect())
        },
    },
    Rule {
        name: "write/etag",
        section: "9.3.4",
        severity: Must,
        claim: "If the answer to a PUT has a validator, GET sends what was written from then on, \
                with this ETag.",
        hint: "Do not hash the answer to a write: it is not the representation. Send no validator \
               if the content was not stored exactly as it was sent.",
        needs: &["validator/one-content", "write/if-match-current"],
        steps: |baseline| {
            if baseline.write()?.method() != http::Method::PUT {
                return Err("the write is no PUT".into());
            }
            let mut steps = write(baseline, performed, IF_MATCH, baseline.strong_tag()?)?;
            steps.push(Step::get(is_as_written).at(baseline.write()?.uri()));
            Ok(steps)
        },
    },
];

/// Returns the step that sends the user's write with one precondition.
fn write(
    baseline: &Baseline,
    expect: Expect,
    name: HeaderName,
    value: impl Into<HeaderValue>,
) -> Result<Vec<Step>, Why> {
    Ok(vec![Step::given(baseline.write()?, expect).with(name, value)])
}

/// Returns an error if the service does not support the write: there is then
/// nothing to check.
fn is_served(seen: &Answer) -> Result<(), Fault> {
    match seen.status() {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            moot("the write that was given is not served")
        }
        _ => Ok(()),
    }
}

fn refused(baseline: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    is_served(seen)?;
    step::refused(baseline, before, seen)
}

/// Expects a refusal. If the resource already had the content of the write, a success
/// is right, too.
fn refused_unless_stored(
    baseline: &Baseline,
    before: &[Answer],
    seen: &Answer,
) -> Result<(), Fault> {
    is_no_repetition(baseline, seen)?;
    refused(baseline, before, seen)
}

fn refused_or_bad_request(
    baseline: &Baseline,
    before: &[Answer],
    seen: &Answer,
) -> Result<(), Fault> {
    is_served(seen)?;
    is_no_repetition(baseline, seen)?;
    step::refused_or_bad_request(baseline, before, seen)
}

/// Returns an error if the write succeeded, and the resource had the content of the
/// write before. Such a success is right (13.1.1), so there is nothing to check.
fn is_no_repetition(baseline: &Baseline, seen: &Answer) -> Result<(), Fault> {
    if seen.status().is_success() && baseline.was_written == Some(true) {
        return moot("the resource had the content of the write already: give another one");
    }
    Ok(())
}

fn performed(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    is_served(seen)?;
    want(seen.status().is_success(), "success (2xx)")
}

fn is_refused(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if seen.status() == StatusCode::PRECONDITION_FAILED {
        Ok(())
    } else {
        moot("the write was not refused with 412")
    }
}

/// Expects that the resource has not changed. Tags are compared if there are any,
/// because content may differ in each answer.
fn is_unchanged(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let Some(plain) = before.first() else { return Ok(()) };
    let is_same = match (plain.tag(), seen.tag()) {
        (Some(old), Some(new)) => old == new,
        _ => plain.status() == seen.status() && !plain.differs_from(seen),
    };
    want(is_same, "what was there before")
}

/// If the answer to the write had a validator, expects the content that was written,
/// and the same tag.
fn is_as_written(baseline: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let (Some(answer), Ok(write)) = (before.last(), baseline.write()) else { return Ok(()) };
    if answer.status() == StatusCode::ACCEPTED {
        return moot("the write may be done later than its answer (202)");
    }
    if seen.status() != StatusCode::OK || !answer.has(ETAG) && !answer.has(LAST_MODIFIED) {
        return moot("the answer to the write has no validator, or GET is not answered with 200");
    }
    if let Some(tag) = answer.headers().get(ETAG) {
        want(seen.headers().get(ETAG) == Some(tag), "the ETag of the answer to the write")?;
    }
    want(!is_changed(write, seen), "the content of the write, because its answer has a validator")
}

/// Returns the media type without its parameters.
fn essence(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

/// Returns true if the content of an answer is known to differ from that of the write.
/// Content of another coding or type cannot be compared, and neither can a part (14.5).
fn is_changed(write: &Request<Bytes>, seen: &Answer) -> bool {
    let is_whole = !write.headers().contains_key(CONTENT_RANGE);
    let has_same_coding =
        write.headers().get(CONTENT_ENCODING) == seen.headers().get(CONTENT_ENCODING);
    let has_same_type = match (essence(write.headers()), essence(seen.headers())) {
        (Some(sent), Some(seen)) => sent.eq_ignore_ascii_case(seen),
        _ => true,
    };
    is_whole
        && has_same_coding
        && has_same_type
        && seen.bytes().is_some_and(|bytes| bytes != write.body())
}
