//! Checks whether If-Match holds for the current tag, and fails for other tags.

use http::{header::IF_MATCH, HeaderValue};

use crate::{
    baseline::{Baseline, Why},
    report::Severity::{Advice, Must},
    rule::Rule,
    step::{refused, refused_or_bad_request, value, whole, Expect, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "if-match/miss",
        section: "13.1.1",
        severity: Must,
        claim: "Another tag in If-Match is answered 412.",
        hint:
            "Evaluate If-Match on reads, too: a client that fetches the rest of a file relies on \
               it.",
        needs: &["validator/etag"],
        steps: |baseline| {
            baseline.tag()?;
            Ok(vec![only(&baseline.another_tag(), refused)])
        },
    },
    Rule {
        name: "if-match/current",
        section: "13.1.1",
        severity: Must,
        claim: "The current strong tag in If-Match is answered as without it.",
        hint: "Compare with the tag that a plain GET is given.",
        needs: &["validator/stable"],
        steps: |baseline| Ok(vec![only(&baseline.strong_tag()?.into(), whole)]),
    },
    Rule {
        name: "if-match/list",
        section: "13.1.1",
        severity: Must,
        claim: "The current tag is found in a list in If-Match, wherever it stands.",
        hint: "Read the field as a list, with respect to quotes: `Preconditions::new`.",
        needs: &["if-match/current"],
        steps: |baseline| {
            let tag = baseline.strong_tag()?;
            let last = value(&[b"\"another,one\", W/\"\" ,", tag.as_bytes()]);
            let first = value(&[tag.as_bytes(), b",\"another,one\""]);
            Ok(vec![only(&last, whole), only(&first, whole)])
        },
    },
    Rule {
        name: "if-match/lines",
        section: "5.3",
        severity: Must,
        claim: "The current tag is found in the second line of If-Match: several lines are one \
               list.",
        hint: "Read all lines: `HeaderMap::get_all`, not `get`.",
        needs: &["if-match/current"],
        steps: |baseline| {
            let step = only(&baseline.another_tag(), whole);
            Ok(vec![step.with(IF_MATCH, baseline.strong_tag()?)])
        },
    },
    Rule {
        name: "if-match/star",
        section: "13.1.1",
        severity: Must,
        claim: "`*` in If-Match holds for what exists, with or without a tag.",
        hint: "Treat `*` as a match whenever the answer would be 200.",
        needs: &["answer/get"],
        steps: |_| Ok(vec![only(&HeaderValue::from_static("*"), whole)]),
    },
    Rule {
        name: "if-match/weak",
        section: "13.1.1",
        severity: Must,
        claim: "If-Match compares strongly: a weak tag never matches.",
        hint: "Refuse if either tag has `W/`: `EntityTag::strong_eq`.",
        needs: &["if-match/miss", "validator/stable"],
        steps: weak,
    },
    Rule {
        name: "if-match/malformed",
        section: "13.1.1",
        severity: Advice,
        claim: "What cannot be read in If-Match does not match.",
        hint: "Answer 412 or 400. What is read as \"no condition\" lets writes through.",
        needs: &["if-match/miss"],
        steps: |baseline| {
            baseline.tag()?;
            Ok(["another", "\"two words\"", ""]
                .map(|text| only(&HeaderValue::from_static(text), refused_or_bad_request))
                .into())
        },
    },
];

fn only(value: &HeaderValue, expect: Expect) -> Step {
    Step::get(expect).with(IF_MATCH, value.clone())
}

/// Sends the current tag as a weak tag. If the current tag is weak itself, it must not
/// match, either.
fn weak(baseline: &Baseline) -> Result<Vec<Step>, Why> {
    Ok(vec![only(&baseline.tag()?.into_weak().into(), refused)])
}
