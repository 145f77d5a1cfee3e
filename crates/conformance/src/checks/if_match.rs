//! Does If-Match hold for what it names, and fail for all else?

use http::{header::IF_MATCH, HeaderValue};

use super::{if_none_match::current, Rule};
use crate::conformance::{
    ask::{refused, refused_or_bad_request, value, whole, Ask, Wants},
    facts::{Facts, Why},
    report::Severity::{Must, Should},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "if-match/miss",
        section: "13.1.1",
        severity: Must,
        claim: "Another tag in If-Match is answered 412.",
        hint:
            "Judge If-Match on reads, too: a client that fetches the rest of a file relies on it.",
        needs: &["validator/etag"],
        asks: |facts| {
            Ok(vec![only(
                &current(facts).map(|_| HeaderValue::from_static("\"another\""))?,
                refused,
            )])
        },
    },
    Rule {
        name: "if-match/current",
        section: "13.1.1",
        severity: Must,
        claim: "The current strong tag in If-Match is answered as without it.",
        hint: "Compare with the tag that a plain GET is given.",
        needs: &["validator/stable"],
        asks: |facts| Ok(vec![only(&facts.strong_tag()?.into(), whole)]),
    },
    Rule {
        name: "if-match/list",
        section: "13.1.1",
        severity: Must,
        claim: "The current tag is found in a list in If-Match, wherever it stands.",
        hint: "Read the field as a list, with respect to quotes: `Preconditions::from_headers`.",
        needs: &["if-match/current"],
        asks: |facts| {
            let tag = facts.strong_tag()?;
            let last = value(&[b"\"another,one\", W/\"\" ,", tag.as_bytes()]);
            let first = value(&[tag.as_bytes(), b",\"another,one\""]);
            Ok(vec![only(&last, whole), only(&first, whole)])
        },
    },
    Rule {
        name: "if-match/lines",
        section: "5.3",
        severity: Must,
        claim:
            "The current tag is found in the second line of If-Match: several lines are one list.",
        hint: "Read all lines: `HeaderMap::get_all`, not `get`.",
        needs: &["if-match/current"],
        asks: |facts| {
            let ask = only(&HeaderValue::from_static("\"another\""), whole);
            Ok(vec![ask.with(IF_MATCH, facts.strong_tag()?)])
        },
    },
    Rule {
        name: "if-match/star",
        section: "13.1.1",
        severity: Must,
        claim: "`*` in If-Match holds for what exists, with or without a tag.",
        hint: "Treat `*` as a match whenever the answer would be 200.",
        needs: &["answer/get"],
        asks: |_| Ok(vec![only(&HeaderValue::from_static("*"), whole)]),
    },
    Rule {
        name: "if-match/weak",
        section: "13.1.1",
        severity: Must,
        claim: "If-Match compares strongly: a weak tag never matches.",
        hint: "Refuse if either tag has `W/`: `EntityTag::strong_eq`.",
        needs: &["if-match/miss", "validator/stable"],
        asks: weak,
    },
    Rule {
        name: "if-match/malformed",
        section: "13.1.1",
        severity: Should,
        claim: "What cannot be read in If-Match does not match.",
        hint: "Answer 412 or 400. What is read as \"no condition\" lets writes through.",
        needs: &["if-match/miss"],
        asks: |facts| {
            facts.tag()?;
            Ok(["another", "\"two words\"", ""]
                .map(|text| only(&HeaderValue::from_static(text), refused_or_bad_request))
                .into())
        },
    },
];

fn only(value: &HeaderValue, wants: Wants) -> Ask {
    Ask::get(wants).with(IF_MATCH, value.clone())
}

/// Sends the current tag, weak; a tag that is weak by itself must not match either.
fn weak(facts: &Facts) -> Result<Vec<Ask>, Why> {
    Ok(vec![only(&facts.tag()?.into_weak().into(), refused)])
}
