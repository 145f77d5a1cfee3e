//! Checks whether the encodings of one resource have different tags.

use http::{
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, IF_NONE_MATCH, VARY},
    HeaderValue, StatusCode,
};

use super::not_modified::has_length_of_whole;
use crate::{
    answer::Answer,
    baseline::{Baseline, Why},
    fields::members,
    report::Severity::{Must, Should},
    rule::Rule,
    step::{anything, not_modified, whole, wrong, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "encoding/tags",
        section: "8.8.3.3",
        severity: Must,
        claim: "Encodings have strong tags of their own, or weak ones.",
        hint: "`ConditionalLayer::new().compress_with(CompressionLayer::new())` names the coding \
               in the tag. Elsewhere, make the tag of each encoding another one, or weak: two byte \
               streams under one strong tag get spliced.",
        needs: &["validator/etag"],
        steps: |baseline| baseline.tag().and_then(|_| each(baseline, has_tag_of_its_own)),
    },
    Rule {
        name: "encoding/vary",
        section: "12.5.5",
        severity: Should,
        claim: "All encodings say `Vary: Accept-Encoding`, the plain one too.",
        hint: "Add the field wherever the encoding may be chosen; caches else give gzip to those \
               who cannot read it.",
        needs: &["answer/get"],
        steps: |baseline| each(baseline, says_vary),
    },
    Rule {
        name: "encoding/304",
        section: "13.1.2",
        severity: Must,
        claim: "The tag of an encoded answer is answered 304 when the same encoding is asked for.",
        hint: "Compare with the tag that is sent in the end: a compressor may have changed it. \
               `ConditionalLayer::compress_with` knows what it added.",
        needs: &["if-none-match/exact"],
        steps: |baseline| {
            let (encoding, answer) = baseline.encoded()?;
            let tag = answer.tag().ok_or("the encoded answer has no valid entity tag")?;
            Ok(vec![Step::get(not_modified)
                .with(ACCEPT_ENCODING, encoding.clone())
                .with(IF_NONE_MATCH, tag)])
        },
    },
    Rule {
        name: "encoding/other-tag",
        section: "13.1.2",
        severity: Must,
        claim: "The tag of an encoded answer is not answered 304 where the plain one is asked \
                for.",
        hint: "Compare with the tag of the encoding that would be sent: the client that holds \
               gzip asks for what it can read now.",
        needs: &["encoding/304"],
        steps: |baseline| {
            let (_, answer) = baseline.encoded()?;
            let tag = answer.tag().ok_or("the encoded answer has no valid entity tag")?;
            if baseline.tag()?.weak_eq(&tag) {
                return Err("all encodings have one tag".into());
            }
            let identity = HeaderValue::from_static("identity");
            Ok(vec![Step::get(whole).with(ACCEPT_ENCODING, identity).with(IF_NONE_MATCH, tag)])
        },
    },
    Rule {
        name: "encoding/304-length",
        section: "8.6",
        severity: Must,
        claim: "Content-Length on the 304 of an encoded answer is that of the encoded 200, or is \
                not there.",
        hint: "`ConditionalLayer::compress_with` removes it. Elsewhere, remove it where the \
               encoding is applied: the length of the plain content is another, and 0 is wrong, \
               too.",
        needs: &["304/length", "304/zero-length", "encoding/tags", "encoding/304"],
        steps: |baseline| {
            let (encoding, answer) = baseline.encoded()?;
            let tag = answer.tag().ok_or("the encoded answer has no valid entity tag")?;
            let get = |expect| Step::get(expect).with(ACCEPT_ENCODING, encoding.clone());
            Ok(vec![get(anything), get(has_length_of_whole).with(IF_NONE_MATCH, tag)])
        },
    },
];

/// Returns one step for the plain content, and then one for each encoding.
fn each(baseline: &Baseline, expect: Expect) -> Result<Vec<Step>, Why> {
    baseline.encoded()?;
    let plain = Step::get(anything).with(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let steps = baseline
        .encodings
        .iter()
        .map(|encoding| Step::get(expect).with(ACCEPT_ENCODING, encoding.clone()));
    Ok([plain].into_iter().chain(steps).collect())
}

fn has_tag_of_its_own(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let coding = |answer: &Answer| answer.headers().get(CONTENT_ENCODING).cloned();
    let Some(tag) = seen.tag() else { return Ok(()) };
    let shared = |other: &&Answer| {
        coding(other) != coding(seen)
            && other.differs_from(seen)
            && other.tag().is_some_and(|it| it.strong_eq(&tag))
    };
    if before.iter().any(|other| shared(&other)) {
        return wrong("a strong ETag that no other encoding has, or a weak one");
    }
    Ok(())
}

fn says_vary(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    for answer in before.iter().chain([seen]).filter(|answer| answer.status() == StatusCode::OK) {
        let mut names = members(answer.headers(), VARY);
        if !names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")) {
            return wrong("Vary: Accept-Encoding on each of these");
        }
    }
    Ok(())
}
