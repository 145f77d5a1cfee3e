//! Are the encodings of one resource told apart?

use http::{
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, IF_NONE_MATCH, VARY},
    HeaderValue, StatusCode,
};

use super::Rule;
use crate::conformance::{
    answer::Answer,
    ask::{anything, not_modified, wrong, Ask, Fault, Wants},
    facts::{Facts, Why},
    report::Severity::{Must, Should},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "encoding/tags",
        section: "8.8.3.3",
        severity: Must,
        claim: "Encodings have strong tags of their own, or weak ones.",
        hint: "Put `ConditionalLayer` outside the compression, or inside with `behind_compression(true)`. Where the tag is \
               the service's own, serve precompressed files, or none: two byte streams under one strong tag get spliced.",
        needs: &["validator/etag"],
        asks: |facts| facts.tag().and_then(|_| each(facts, has_tag_of_its_own)),
    },
    Rule {
        name: "encoding/vary",
        section: "12.5.5",
        severity: Should,
        claim: "All encodings say `Vary: Accept-Encoding`, the plain one too.",
        hint: "Add the field wherever the encoding may be chosen; caches else give gzip to those who cannot read it.",
        needs: &["answer/get"],
        asks: |facts| each(facts, says_vary),
    },
    Rule {
        name: "encoding/304",
        section: "13.1.2",
        severity: Must,
        claim: "The tag of an encoded answer is answered 304 when the same encoding is asked for.",
        hint: "Compare with the tag that is sent in the end: a compressor may have changed it.",
        needs: &["if-none-match/exact"],
        asks: |facts| {
            let (encoding, answer) = facts.encoded()?;
            let tag = answer.tag().ok_or("the encoded answer has no valid entity tag")?;
            Ok(vec![Ask::get(not_modified).with(ACCEPT_ENCODING, encoding.clone()).with(IF_NONE_MATCH, tag)])
        },
    },
];

/// Asks for the plain content, then for each encoding.
fn each(facts: &Facts, wants: Wants) -> Result<Vec<Ask>, Why> {
    facts.encoded()?;
    let plain = Ask::get(anything).with(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let asks = facts
        .encodings
        .iter()
        .map(|encoding| Ask::get(wants).with(ACCEPT_ENCODING, encoding.clone()));
    Ok([plain].into_iter().chain(asks).collect())
}

fn has_tag_of_its_own(_: &Facts, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
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

fn says_vary(_: &Facts, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    for answer in before.iter().chain([seen]).filter(|answer| answer.status() == StatusCode::OK) {
        let names = |line: &HeaderValue| {
            let mut members = line.as_bytes().split(|octet| *octet == b',').map(<[u8]>::trim_ascii);
            members.any(|member| member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding"))
        };
        if !answer.headers().get_all(VARY).iter().any(names) {
            return wrong("Vary: Accept-Encoding on each of these");
        }
    }
    Ok(())
}
