//! Checks whether there is a validator, whether it is valid, and whether it names
//! one content.

use http::{
    header::{DATE, ETAG, LAST_MODIFIED},
    StatusCode,
};
use tower_conditional::HttpDate;

use crate::{
    answer::{date, Answer},
    baseline::{Baseline, Why},
    report::Severity::{Must, Should},
    rule::Rule,
    step::{anything, moot, want, wrong, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "answer/get",
        section: "9.3.1",
        severity: Must,
        claim: "A plain GET is answered 200, and its content arrives unbroken.",
        hint:
            "Check the path, and give what the service asks for with `.header(..)`: a cookie, an \
               authorization, a host.",
        needs: &[],
        steps: |_| Ok(vec![Step::get(is_answered)]),
    },
    Rule {
        name: "validator/present",
        section: "8.8",
        severity: Must,
        claim: "There is an ETag or a Last-Modified: without one nothing can be revalidated.",
        hint: "Add `ConditionalLayer`, or set an ETag in the handler. If it is there, the content \
               may be a stream, too large, or `no-store`. Leave the check out for what is not \
               meant to be revalidated.",
        needs: &["answer/get"],
        steps: |_| Ok(vec![Step::get(has_validator)]),
    },
    Rule {
        name: "validator/etag",
        section: "8.8.3",
        severity: Must,
        claim: "The ETag is one entity tag: bytes in double quotes, without a space in them, with \
               W/ in front if weak.",
        hint: "Write the quotes: `ETag: \"v1\"`, not `ETag: v1`. `EntityTag::strong(\"v1\")` does.",
        needs: &["validator/present"],
        steps: |baseline| has(baseline.plain.has(ETAG), is_tag),
    },
    Rule {
        name: "validator/has-etag",
        section: "8.8.3.1",
        severity: Should,
        claim: "There is an ETag: dates tell nothing about two changes within one second.",
        hint: "Add `ConditionalLayer`, or make an ETag from a version or from the content, with \
               `EntityTag::of`.",
        needs: &["validator/present"],
        steps: |_| Ok(vec![Step::get(has_tag)]),
    },
    Rule {
        name: "validator/last-modified",
        section: "5.6.7",
        severity: Must,
        claim: "Last-Modified is one date as in `Sun, 06 Nov 1994 08:49:37 GMT`.",
        hint: "Print it with `HttpDate`. The zone is `GMT`, not `+0000` or `UTC`.",
        needs: &["validator/present"],
        steps: |baseline| has(baseline.plain.has(LAST_MODIFIED), is_fixdate),
    },
    Rule {
        name: "validator/not-in-future",
        section: "8.8.2.1",
        severity: Must,
        claim: "Last-Modified is not later than the Date of the answer.",
        hint: "Send the Date in its place, or none.",
        needs: &["validator/last-modified"],
        steps: |baseline| baseline.date().map(|_| vec![Step::get(is_not_in_future)]),
    },
    Rule {
        name: "validator/stable",
        section: "8.8.1",
        severity: Must,
        claim: "Two GETs in a row have the same ETag and the same Last-Modified.",
        hint: "What changes at each request (a nonce, the time of day, the order of a map) must \
               not go into the tag; make it from a version of what the answer says. Last-Modified \
               is not the time of the request.",
        needs: &["validator/etag", "validator/last-modified"],
        steps: |baseline| {
            baseline
                .revalidation()
                .map(|_| vec![Step::get(anything), Step::get(has_same_validators)])
        },
    },
    Rule {
        name: "validator/one-content",
        section: "8.8.1",
        severity: Must,
        claim: "Two answers with the same strong ETag have the same content.",
        hint: "Make the tag from the content, or mark it weak (W/) if the difference does not \
               matter.",
        needs: &["validator/etag"],
        steps: |baseline| {
            baseline.strong_tag().map(|_| vec![Step::get(anything), Step::get(has_content_of_tag)])
        },
    },
];

fn has(is_there: bool, expect: Expect) -> Result<Vec<Step>, Why> {
    if is_there {
        Ok(vec![Step::get(expect)])
    } else {
        Err("the field is not there".into())
    }
}

fn is_answered(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if seen.status() != StatusCode::OK {
        return wrong("200 (OK)");
    }
    if seen.is_broken() {
        return wrong("content that ends without an error");
    }
    Ok(())
}

fn has_validator(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if seen.has(ETAG) || seen.has(LAST_MODIFIED) {
        return Ok(());
    }
    wrong("an ETag or a Last-Modified")
}

fn has_tag(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.has(ETAG), "an ETag")
}

fn is_tag(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    seen.tag().map_or_else(|| wrong("one valid entity tag"), |_| Ok(()))
}

fn is_fixdate(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let text = seen.headers().get(LAST_MODIFIED).map(|value| value.as_bytes());
    match seen.last_modified() {
        Some(date) if text == Some(date.to_string().as_bytes()) => Ok(()),
        Some(date) => wrong(format!("the form {date}")),
        None => wrong("one valid date"),
    }
}

fn is_not_in_future(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    match (seen.last_modified(), date(seen.headers(), DATE)) {
        (Some(changed), Some(sent)) if changed > sent => {
            wrong("a Last-Modified that is not later than Date")
        }
        (Some(_), Some(_)) => Ok(()),
        _ => moot("the answer has no Date to compare with: Hyper adds it"),
    }
}

fn has_same_validators(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let Some(before) = before.last() else { return Ok(()) };
    // A date that only one of the answers has does not count as a difference, because a new layer
    // sends no date in its first seconds.
    let differ = |one: Option<HttpDate>, other: Option<HttpDate>| {
        one.is_some() && other != one && other.is_some()
    };
    if before.tag() == seen.tag() && !differ(before.last_modified(), seen.last_modified()) {
        return Ok(());
    }
    if before.differs_from(seen) {
        return wrong("the same validators; but the content differs, too");
    }
    wrong("the same validators for the same content")
}

fn has_content_of_tag(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if before.iter().any(|before| before.tag() == seen.tag() && before.differs_from(seen)) {
        return wrong("the same content for the same strong ETag");
    }
    Ok(())
}
