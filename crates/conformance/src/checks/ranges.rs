//! Checks whether a 206 has bytes of the version that the client has.

use http::{
    header::{CONTENT_RANGE, ETAG, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE},
    HeaderValue, StatusCode,
};

use crate::{
    answer::{last_date, now, Answer},
    baseline::{seconds_after, Baseline},
    fields::single_line,
    report::Severity::{Must, Should},
    rule::Rule,
    step::{
        anything, moot, part, refused_or_whole, value, want, whole, whole_or_bad_request, wrong,
        Expect, Fault, Step,
    },
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "range/etag",
        section: "15.3.7",
        severity: Must,
        claim: "A part has the ETag of the whole.",
        hint: "Keep the tag of the whole on a 206, and hash no part.",
        needs: &["validator/stable"],
        steps: |baseline| baseline.tag().map(|_| vec![range(part), range(has_tag_of_whole)]),
    },
    Rule {
        name: "range/content",
        section: "15.3.7.1",
        severity: Must,
        claim: "A part has the bytes of the whole that its Content-Range names.",
        hint: "Count the first and the last byte in, and cut from the content that a plain GET \
               brings: a part of an encoded form is another one.",
        needs: &["validator/stable", "validator/one-content"],
        steps: |baseline| {
            baseline.plain.bytes().ok_or("the content was not read to its end")?;
            let last =
                Step::get(is_part_of_whole).with(RANGE, HeaderValue::from_static("bytes=-1"));
            Ok([Step::get(anything), range(part), Step::get(anything), range(is_part_of_whole)]
                .into_iter()
                .chain([Step::get(anything), last])
                .collect())
        },
    },
    Rule {
        name: "range/unsatisfiable",
        section: "15.5.17",
        severity: Should,
        claim: "A range behind the end is answered 416, with the length in Content-Range.",
        hint: "Send `Content-Range: bytes */LENGTH`: a client that holds all of it sees so.",
        needs: &["range/content"],
        steps: |baseline| {
            let length = baseline.plain.length().ok_or("the content was not read to its end")?;
            let behind = value(&[format!("bytes={length}-").as_bytes()]);
            Ok(after_part([Step::get(is_unsatisfiable).with(RANGE, behind)]))
        },
    },
    Rule {
        name: "range/if-range-stale",
        section: "13.1.5",
        severity: Must,
        claim: "If-Range with another tag brings the whole: a client would append the part to \
                something else.",
        hint: "Honour Range only if `Preconditions::allows_range`. `ConditionalLayer` around a \
               service that ignores If-Range removes Range from such requests.",
        needs: &["answer/get"],
        steps: |baseline| {
            let tags = [baseline.another_tag(), HeaderValue::from_static("\"\"")];
            let others = tags.into_iter().filter(|tag| baseline.is_another(tag));
            Ok(after_part(others.flat_map(|tag| twice(&if_range(tag)))))
        },
    },
    Rule {
        name: "range/if-range-weak",
        section: "13.1.5",
        severity: Must,
        claim: "If-Range with a weak tag brings the whole, even if it is the current one.",
        hint: "Compare strongly: `EntityTag::strong_eq`.",
        needs: &["range/if-range-stale"],
        steps: |baseline| {
            let weak = if_range(baseline.tag()?.into_weak().into());
            Ok(after_part(twice(&weak)))
        },
    },
    Rule {
        name: "range/if-range-date",
        section: "13.1.5",
        severity: Must,
        claim: "If-Range with any date but that of Last-Modified brings the whole; without a \
                Last-Modified, any date does.",
        hint: "Compare for equality: a later date does not prove that two parts belong together.",
        needs: &["range/if-range-stale"],
        steps: |baseline| {
            if baseline.plain.has(LAST_MODIFIED) {
                let date = baseline.date()?;
                let others = [3600, 1, -1, -3600].map(|seconds| seconds_after(date, seconds));
                return Ok(after_part(
                    others.into_iter().flat_map(|other| twice(&if_range(other.into()))),
                ));
            }
            let dates = [now(), seconds_after(now(), -DAY), last_date()];
            Ok(after_part(dates.into_iter().flat_map(|date| twice(&if_range(date.into())))))
        },
    },
    Rule {
        name: "range/if-range-malformed",
        section: "13.1.5",
        severity: Must,
        claim: "What cannot be read in If-Range matches nothing: no part is sent.",
        hint: "If-Range is one entity tag or one date, to the letter. What is neither must not be \
               taken for an absent field: ignore Range, or answer 400.",
        needs: &["range/if-range-stale"],
        steps: |baseline| {
            let mut values = ["another", "\"two words\"", "W/", "*", "0", ""]
                .map(HeaderValue::from_static)
                .to_vec();
            // If-Range with two tags, or with a tag without quotes, is invalid.
            if let Ok(tag) = baseline.strong_tag() {
                values.push(value(&[tag.as_bytes(), b", \"another\""]));
                values.push(value(&[b"\"another\", ", tag.as_bytes()]));
                values.push(value(&[tag.as_bytes(), b"x"]));
                if !tag.opaque().is_empty() {
                    values.push(value(&[tag.opaque()]));
                }
            }
            Ok(after_part(values.into_iter().flat_map(|value| twice_or_bad(&if_range(value)))))
        },
    },
    Rule {
        name: "range/if-range-lines",
        section: "5.3",
        severity: Must,
        claim: "Two different validators in If-Range match nothing: no part is sent.",
        hint: "Ignore Range where If-Range has more than one line, or answer 400.",
        needs: &["range/if-range-malformed"],
        steps: |baseline| {
            let tag = HeaderValue::from(baseline.strong_tag()?);
            let another = baseline.another_tag();
            let pairs = [(&tag, &another), (&another, &tag)];
            Ok(after_part(pairs.into_iter().flat_map(|(first, second)| {
                twice_or_bad(&if_range(first.clone()).with(IF_RANGE, second.clone()))
            })))
        },
    },
    Rule {
        name: "range/if-range-current",
        section: "13.1.5",
        severity: Should,
        claim: "If-Range with the current strong tag brings the part.",
        hint: "It is allowed to send the whole, but downloads start again.",
        needs: &["validator/stable"],
        steps: |baseline| Ok(after_part([range(is_part).with(IF_RANGE, baseline.strong_tag()?)])),
    },
    Rule {
        name: "range/if-unmodified-since",
        section: "13.1.4",
        severity: Must,
        claim: "An older date in If-Unmodified-Since brings no part: 412, or the whole.",
        hint: "Evaluate If-Unmodified-Since before Range. Clients send it with Range so that they \
               append no part of another version.",
        needs: &["if-unmodified-since/older"],
        steps: |baseline| {
            let date = seconds_after(baseline.date()?, -DAY);
            Ok(after_part([range(refused_or_whole).with(IF_UNMODIFIED_SINCE, date)]))
        },
    },
    Rule {
        name: "range/if-match",
        section: "13.1.1",
        severity: Must,
        claim: "Another tag in If-Match brings no part: 412.",
        hint: "Evaluate If-Match before Range. Clients send it with Range so that they append no \
               part of another version.",
        needs: &["if-match/miss"],
        steps: |baseline| {
            baseline.tag()?;
            let another = baseline.another_tag();
            Ok(after_part([range(refused_or_later).with(IF_MATCH, another)]))
        },
    },
];

const DAY: i64 = 86_400;

pub(super) fn range(expect: Expect) -> Step {
    Step::get(expect).with(RANGE, HeaderValue::from_static("bytes=0-0"))
}

/// Adds a first step that checks whether the service sends 206 responses.
fn after_part(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    [range(part)].into_iter().chain(steps).collect()
}

fn if_range(value: HeaderValue) -> Step {
    range(whole).with(IF_RANGE, value)
}

/// Sends a request twice. The first answer may be 503, because some servers notice a
/// change of the content only when they send a part of it. The second answer must be
/// the whole content.
fn twice(step: &Step) -> [Step; 2] {
    [Step { expect: whole_or_later, ..step.clone() }, step.clone()]
}

/// Like [`twice`], but 400 (Bad Request) is accepted, too.
fn twice_or_bad(step: &Step) -> [Step; 2] {
    [
        Step { expect: whole_or_later_or_bad_request, ..step.clone() },
        Step { expect: whole_or_bad_request, ..step.clone() },
    ]
}

/// Expects the whole content, or 503 (Service Unavailable).
fn whole_or_later(baseline: &Baseline, seen: &[Answer], last: &Answer) -> Result<(), Fault> {
    match last.status() {
        StatusCode::SERVICE_UNAVAILABLE => Ok(()),
        StatusCode::OK => whole(baseline, seen, last),
        _ => wrong("200 (OK) with the whole content"),
    }
}

fn whole_or_later_or_bad_request(
    baseline: &Baseline,
    seen: &[Answer],
    last: &Answer,
) -> Result<(), Fault> {
    match last.status() {
        StatusCode::BAD_REQUEST => Ok(()),
        _ => whole_or_later(baseline, seen, last),
    }
}

fn refused_or_later(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let is_refused =
        matches!(seen.status(), StatusCode::PRECONDITION_FAILED | StatusCode::SERVICE_UNAVAILABLE);
    want(is_refused, "412 (Precondition Failed)")
}

/// Compares a 206 with the previous answer, which has the whole content.
fn is_part_of_whole(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if seen.status() != StatusCode::PARTIAL_CONTENT {
        return moot("not all ranges are served");
    }
    let whole = before.last().and_then(Answer::bytes);
    let (Some(whole), Some(bytes)) = (whole, seen.bytes()) else {
        return moot("the content was not read to its end");
    };
    let Some((first, last, length)) = content_range(seen) else {
        return wrong("a Content-Range with the first and the last byte, and the length");
    };
    let named = whole.get(first..last.saturating_add(1));
    let is_right = named == Some(bytes) && length.is_none_or(|length| length == whole.len());
    want(is_right, "the bytes that Content-Range names")
}

/// Reads a value such as `bytes 0-4/9`. The length may be `*`.
fn content_range(answer: &Answer) -> Option<(usize, usize, Option<usize>)> {
    let text = single_line(answer.headers(), CONTENT_RANGE)?.to_str().ok()?;
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let length = if length == "*" { None } else { Some(length.parse().ok()?) };
    Some((first.parse().ok()?, last.parse().ok()?, length))
}

fn is_unsatisfiable(baseline: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let length = baseline.plain.length().unwrap_or_default();
    let said = single_line(seen.headers(), CONTENT_RANGE).map(HeaderValue::as_bytes);
    let wanted = format!("bytes */{length}");
    want(
        seen.status() == StatusCode::RANGE_NOT_SATISFIABLE && said == Some(wanted.as_bytes()),
        "416 (Range Not Satisfiable), with the length of the content in Content-Range",
    )
}

fn is_part(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.status() == StatusCode::PARTIAL_CONTENT, "206 (Partial Content)")
}

fn has_tag_of_whole(baseline: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.headers().get(ETAG) == baseline.plain.headers().get(ETAG), "the ETag of the whole")
}
