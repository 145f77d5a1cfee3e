//! Checks whether HEAD is answered like GET, without the content.

use http::{
    header::{CONTENT_LENGTH, ETAG},
    StatusCode,
};

use super::not_modified::has_length_of_whole;
use crate::{
    answer::Answer,
    baseline::Baseline,
    report::Severity::{Advice, Must},
    rule::Rule,
    step::{anything, moot, not_modified, want, wrong, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "head/answers",
        section: "9.3.2",
        severity: Must,
        claim: "HEAD is answered 200, as GET is.",
        hint: "Axum's `get` takes HEAD, too. Leave the group `head` out for what is meant to be \
               fetched with GET alone.",
        needs: &["answer/get"],
        steps: |_| Ok(vec![Step::head(is_answered)]),
    },
    Rule {
        name: "head/no-content",
        section: "9.3.2",
        severity: Must,
        claim: "The answer to HEAD has no content.",
        hint: "Drop the body. Hyper does so over HTTP/1.1 and an Axum Router always; over HTTP/2 \
               whatever it has goes out.",
        needs: &["head/answers"],
        steps: |_| Ok(vec![Step::head(has_no_content)]),
    },
    Rule {
        name: "head/length",
        section: "8.6",
        severity: Must,
        claim: "Content-Length on HEAD is that of GET, or is not there.",
        hint: "Do not send 0 for content that was left out. An Axum handler of its own for HEAD \
               does so; `get` alone does not.",
        needs: &["head/answers"],
        steps: |_| Ok(vec![Step::get(anything), Step::head(has_right_length)]),
    },
    Rule {
        name: "head/etag",
        section: "9.3.2",
        severity: Must,
        claim: "HEAD has no other ETag than GET.",
        hint: "Do not hash the empty content of HEAD. Put the layer inside the Router, or use \
               `head_as_get(true)`.",
        needs: &["head/answers", "validator/stable"],
        steps: |baseline| {
            baseline.tag().map(|_| vec![Step::get(anything), Step::head(has_no_other_tag)])
        },
    },
    Rule {
        name: "head/has-etag",
        section: "9.3.2",
        // Section 9.3.2 allows HEAD to omit a field whose value is known only from
        // the content.
        severity: Advice,
        claim: "HEAD has an ETag if GET has one.",
        hint: "Put the layer inside the Router, where HEAD still has its content, or use \
               `head_as_get(true)`.",
        needs: &["head/answers"],
        steps: |baseline| baseline.tag().map(|_| vec![Step::head(has_tag)]),
    },
    Rule {
        name: "head/304",
        section: "13.1.2",
        severity: Must,
        claim: "HEAD with the current validator is answered 304.",
        hint: "Evaluate preconditions for HEAD as for GET.",
        needs: &["head/has-etag", "if-none-match/exact"],
        steps: |baseline| {
            baseline.tag()?;
            let (name, value) = baseline.revalidation()?;
            Ok(vec![Step::head(not_modified).with(name, value)])
        },
    },
    Rule {
        name: "head/304-length",
        section: "8.6",
        severity: Must,
        claim: "Content-Length on the 304 of a HEAD is that of the 200, or is not there.",
        hint: "Axum adds 0 to an empty body that leaves a Router, and over HTTP/1.1 it is sent \
               with HEAD alone: set the length of the 200, or send an empty body whose size is \
               not exact.",
        needs: &["head/304", "304/length", "304/zero-length"],
        steps: |baseline| {
            let (name, value) = baseline.revalidation()?;
            Ok(vec![Step::get(anything), Step::head(has_length_of_whole).with(name, value)])
        },
    },
];

fn is_answered(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.status() == StatusCode::OK, "200 (OK)")
}

fn has_no_content(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.is_empty(), "no content")
}

fn has_right_length(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let wanted = before.last().and_then(|plain| plain.length().or(plain.content_length()));
    match (seen.has(CONTENT_LENGTH), wanted) {
        (false, _) => moot("HEAD has no Content-Length"),
        (true, None) => moot("the length of the content is not known"),
        (true, wanted) if seen.content_length() == wanted => Ok(()),
        (true, Some(wanted)) => wrong(format!("Content-Length: {wanted}, or none")),
    }
}

fn has_no_other_tag(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let plain = before.last().and_then(Answer::tag);
    if !seen.has(ETAG) {
        return moot("HEAD has no ETag");
    }
    want(seen.tag() == plain, "the ETag of GET")
}

fn has_tag(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.has(ETAG), "the ETag of GET")
}
