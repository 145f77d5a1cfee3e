//! Checks whether If-None-Match matches the tags that it lists, and no other tags.

use http::{header::IF_NONE_MATCH, HeaderValue};
use tower_conditional::EntityTag;

use crate::{
    report::Severity::{Advice, Must},
    rule::Rule,
    step::{not_modified, value, whole, whole_or_bad_request, Expect, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "if-none-match/exact",
        section: "13.1.2",
        severity: Must,
        claim: "The current tag in If-None-Match is answered 304.",
        hint: "Compare the tag of the answer with the field before the content is sent: \
               `ConditionalLayer` does, for tags of a handler's own, too.",
        needs: &["validator/stable"],
        steps: |baseline| Ok(vec![revalidate(&baseline.tag()?.into(), not_modified)]),
    },
    Rule {
        name: "if-none-match/weak",
        section: "13.1.2",
        severity: Must,
        claim: "If-None-Match compares weakly: W/\"v1\" and \"v1\" are the same to it.",
        hint:
            "Leave `W/` out of the comparison, on both sides: `EntityTag::weak_eq`. Proxies that \
               compress make tags weak.",
        needs: &["if-none-match/exact"],
        steps: |baseline| {
            Ok(vec![revalidate(&baseline.tag().map(|tag| other_strength(&tag))?, not_modified)])
        },
    },
    Rule {
        name: "if-none-match/list",
        section: "13.1.2",
        severity: Must,
        claim: "The current tag is found in a list, wherever it stands.",
        hint: "Read the field as a list, with respect to quotes: `Preconditions::new`.",
        needs: &["if-none-match/exact"],
        steps: |baseline| {
            let tag = baseline.tag()?;
            let last = value(&[b"\"another,one\", W/\"\" ,", tag.as_bytes()]);
            let first = value(&[tag.as_bytes(), b",\"another,one\""]);
            Ok(vec![revalidate(&last, not_modified), revalidate(&first, not_modified)])
        },
    },
    Rule {
        name: "if-none-match/lines",
        section: "5.3",
        severity: Must,
        claim: "The current tag is found in the second line of the field: several lines are one \
               list.",
        hint: "Read all lines: `HeaderMap::get_all`, not `get`.",
        needs: &["if-none-match/exact"],
        steps: |baseline| {
            let step = revalidate(&baseline.another_tag(), not_modified);
            Ok(vec![step.with(IF_NONE_MATCH, baseline.tag()?)])
        },
    },
    Rule {
        name: "if-none-match/star",
        section: "13.1.2",
        severity: Must,
        claim: "`*` in If-None-Match is answered 304: it means that there is a representation, \
               with or without a tag.",
        hint: "Treat `*` as a match whenever the answer would be 200.",
        needs: &["if-none-match/exact"],
        steps: |baseline| {
            baseline.revalidation()?;
            Ok(vec![revalidate(&HeaderValue::from_static("*"), not_modified)])
        },
    },
    Rule {
        name: "if-none-match/miss",
        section: "13.1.2",
        severity: Must,
        claim: "Another tag in If-None-Match is answered with the content.",
        hint: "Answer 304 only if the tag of what would be sent is in the field.",
        needs: &["validator/etag"],
        steps: |baseline| {
            baseline.tag()?;
            Ok(vec![revalidate(&baseline.another_tag(), whole)])
        },
    },
    Rule {
        name: "if-none-match/comma",
        section: "8.8.3",
        severity: Must,
        claim: "A comma inside a tag does not end it: \"x,v1\" is another tag than \"v1\".",
        hint: "Do not split the field at commas: read a quoted tag, then the comma. \
               `Preconditions::new` does.",
        needs: &["if-none-match/miss"],
        steps: |baseline| {
            let tag = baseline.tag()?;
            let front = value(&[b"\"", tag.opaque(), b",x\""]);
            let back = value(&[b"\"x,", tag.opaque(), b"\""]);
            Ok(vec![revalidate(&front, whole), revalidate(&back, whole)])
        },
    },
    Rule {
        name: "if-none-match/quoted-star",
        section: "13.1.2",
        severity: Must,
        claim: "`*` means everything only as the whole value, not as a tag or inside one.",
        hint: "Compare the whole value with `*`, before it is read as a list.",
        needs: &["if-none-match/miss"],
        steps: |baseline| {
            baseline.tag()?;
            let tags = ["\"*\"", "\"x,*,y\""].map(HeaderValue::from_static);
            let others = tags.iter().filter(|tag| baseline.is_another(tag));
            Ok(others.map(|tag| revalidate(tag, whole)).collect())
        },
    },
    Rule {
        name: "if-none-match/malformed",
        section: "13.1.2",
        severity: Must,
        claim: "What cannot be read in If-None-Match matches nothing, and breaks nothing.",
        hint: "Let a member that is no entity tag match nothing; answer with the content, or with \
               400.",
        needs: &["if-none-match/miss"],
        steps: |baseline| {
            baseline.tag()?;
            let values = [&b"\"two words\""[..], b"\"x, \"zz\"", b"\"\xe9\", \"zz\"", b",", b""];
            Ok(values.map(|bytes| revalidate(&value(&[bytes]), whole_or_bad_request)).into())
        },
    },
    Rule {
        name: "if-none-match/unquoted",
        section: "8.8.3",
        severity: Advice,
        claim: "A tag without its quotes is no tag, and matches nothing.",
        hint: "Compare with the quotes on. What is harmless here lets writes through in If-Match.",
        needs: &["if-none-match/miss"],
        steps: |baseline| match baseline.tag()? {
            tag if tag.opaque().is_empty() || tag.opaque() == b"*" => {
                Err("the tag is nothing without its quotes".into())
            }
            tag => Ok(vec![revalidate(&value(&[tag.opaque()]), whole_or_bad_request)]),
        },
    },
];

fn revalidate(value: &HeaderValue, expect: Expect) -> Step {
    Step::get(expect).with(IF_NONE_MATCH, value.clone())
}

/// Returns a strong tag as a weak tag, and a weak tag as a strong one.
pub(super) fn other_strength(tag: &EntityTag) -> HeaderValue {
    let prefix: &[u8] = if tag.is_weak() { b"\"" } else { b"W/\"" };
    value(&[prefix, tag.opaque(), b"\""])
}
