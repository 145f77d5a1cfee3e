//! Are several preconditions judged in the order of section 13.2.2?

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE},
    HeaderValue,
};

use super::Rule;
use crate::conformance::{
    ask::{not_modified, part, refused, whole, whole_or_bad_request, Ask},
    facts::seconds_after,
    report::Severity::Must,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "precedence/tag-over-date",
        section: "13.1.3",
        severity: Must,
        claim: "If-None-Match switches If-Modified-Since off: another tag is answered with the content, whatever the date.",
        hint: "Ignore If-Modified-Since where If-None-Match is present. Two changes in one second, or a rollback, have the \
               old date and another tag.",
        needs: &["if-none-match/exact", "if-none-match/miss", "validator/stable"],
        asks: |facts| {
            let ask = Ask::get(whole).with(IF_NONE_MATCH, HeaderValue::from_static("\"another\""));
            Ok(vec![ask.with(IF_MODIFIED_SINCE, facts.date()?)])
        },
    },
    Rule {
        name: "precedence/hit-over-date",
        section: "13.1.3",
        severity: Must,
        claim: "If-None-Match switches If-Modified-Since off: the current tag is answered 304, whatever the date.",
        hint: "Ignore If-Modified-Since where If-None-Match is present.",
        needs: &["if-none-match/exact"],
        asks: |facts| {
            let ask = Ask::get(not_modified).with(IF_NONE_MATCH, facts.tag()?);
            Ok(vec![ask.with(IF_MODIFIED_SINCE, seconds_after(facts.date()?, -86_400))])
        },
    },
    Rule {
        name: "precedence/useless-tag-over-date",
        section: "13.1.3",
        severity: Must,
        claim: "If-None-Match switches If-Modified-Since off even if it cannot be read.",
        hint: "Ask whether the field is present, not whether it could be read.",
        needs: &["precedence/tag-over-date"],
        asks: |facts| {
            let date = facts.date()?;
            Ok(["no-tag", ""]
                .map(|text| {
                    let ask = Ask::get(whole_or_bad_request).with(IF_NONE_MATCH, HeaderValue::from_static(text));
                    ask.with(IF_MODIFIED_SINCE, date)
                })
                .into())
        },
    },
    Rule {
        name: "precedence/match-over-date",
        section: "13.1.4",
        severity: Must,
        claim: "If-Match switches If-Unmodified-Since off.",
        hint: "Ignore If-Unmodified-Since where If-Match is present.",
        needs: &["if-match/miss", "if-match/current"],
        asks: |facts| {
            let ask = Ask::get(whole).with(IF_MATCH, facts.strong_tag()?);
            Ok(vec![ask.with(IF_UNMODIFIED_SINCE, seconds_after(facts.date()?, -86_400))])
        },
    },
    Rule {
        name: "precedence/match-before-none-match",
        section: "13.2.2",
        severity: Must,
        claim: "If-Match is judged before If-None-Match: 412, not 304.",
        hint: "Judge in the order of the section: `Preconditions::evaluate` does.",
        needs: &["if-match/miss", "if-none-match/exact"],
        asks: |facts| {
            let ask = Ask::get(refused).with(IF_NONE_MATCH, facts.tag()?);
            Ok(vec![ask.with(IF_MATCH, HeaderValue::from_static("\"another\""))])
        },
    },
    Rule {
        name: "precedence/none-match-before-range",
        section: "14.2",
        severity: Must,
        claim: "If-None-Match is judged before Range: 304, not 206.",
        hint: "Look at Range when the preconditions have been judged.",
        needs: &["if-none-match/exact"],
        asks: |facts| {
            let first = HeaderValue::from_static("bytes=0-0");
            let ask = Ask::get(not_modified).with(IF_NONE_MATCH, facts.tag()?);
            Ok(vec![Ask::get(part).with(RANGE, first.clone()), ask.with(RANGE, first)])
        },
    },
];
