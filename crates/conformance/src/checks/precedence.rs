//! Checks whether several preconditions are evaluated in the order of RFC 9110, 13.2.2.

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE},
    HeaderValue,
};

use crate::{
    baseline::seconds_after,
    report::Severity::Must,
    rule::Rule,
    step::{not_modified, part, refused, whole, whole_or_bad_request, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "precedence/tag-over-date",
        section: "13.1.3",
        severity: Must,
        claim: "If-None-Match switches If-Modified-Since off: another tag is answered with the \
               content, whatever the date.",
        hint:
            "Ignore If-Modified-Since where If-None-Match is present. Two changes in one second, \
               or a rollback, have the old date and another tag.",
        needs: &["if-none-match/exact", "if-none-match/miss", "validator/stable"],
        steps: |baseline| {
            let step = Step::get(whole).with(IF_NONE_MATCH, baseline.another_tag());
            Ok(vec![step.with(IF_MODIFIED_SINCE, baseline.date()?)])
        },
    },
    Rule {
        name: "precedence/hit-over-date",
        section: "13.1.3",
        severity: Must,
        claim: "If-None-Match switches If-Modified-Since off: the current tag is answered 304, \
               whatever the date.",
        hint: "Ignore If-Modified-Since where If-None-Match is present.",
        needs: &["if-none-match/exact"],
        steps: |baseline| {
            let step = Step::get(not_modified).with(IF_NONE_MATCH, baseline.tag()?);
            Ok(vec![step.with(IF_MODIFIED_SINCE, seconds_after(baseline.date()?, -86_400))])
        },
    },
    Rule {
        name: "precedence/useless-tag-over-date",
        section: "13.1.3",
        severity: Must,
        claim: "If-None-Match switches If-Modified-Since off even if it cannot be read.",
        hint: "Ask whether the field is present, not whether it could be read.",
        needs: &["precedence/tag-over-date"],
        steps: |baseline| {
            let date = baseline.date()?;
            Ok(["no-tag", ""]
                .map(|text| {
                    let step = Step::get(whole_or_bad_request)
                        .with(IF_NONE_MATCH, HeaderValue::from_static(text));
                    step.with(IF_MODIFIED_SINCE, date)
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
        steps: |baseline| {
            let step = Step::get(whole).with(IF_MATCH, baseline.strong_tag()?);
            Ok(vec![step.with(IF_UNMODIFIED_SINCE, seconds_after(baseline.date()?, -86_400))])
        },
    },
    Rule {
        name: "precedence/match-before-none-match",
        section: "13.2.2",
        severity: Must,
        claim: "If-Match is evaluated before If-None-Match: 412, not 304.",
        hint: "Evaluate in the order of the section: `Preconditions::evaluate` does.",
        needs: &["if-match/miss", "if-none-match/exact"],
        steps: |baseline| {
            let step = Step::get(refused).with(IF_NONE_MATCH, baseline.tag()?);
            Ok(vec![step.with(IF_MATCH, baseline.another_tag())])
        },
    },
    Rule {
        name: "precedence/none-match-before-range",
        section: "14.2",
        severity: Must,
        claim: "If-None-Match is evaluated before Range: 304, not 206.",
        hint: "Look at Range when the preconditions have been evaluated.",
        needs: &["if-none-match/exact"],
        steps: |baseline| {
            let first = HeaderValue::from_static("bytes=0-0");
            let step = Step::get(not_modified).with(IF_NONE_MATCH, baseline.tag()?);
            Ok(vec![Step::get(part).with(RANGE, first.clone()), step.with(RANGE, first)])
        },
    },
];
