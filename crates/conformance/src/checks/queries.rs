//! Checks whether the preconditions of QUERY are evaluated like those of GET.

use http::{
    header::{ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH},
    StatusCode,
};

use crate::{
    answer::{last_date, Answer},
    baseline::{Baseline, Why},
    report::Severity::{Advice, Must},
    rule::Rule,
    step::{anything, not_modified, refused, want, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "query/answers",
        section: "RFC 10008, 2",
        severity: Must,
        claim: "The QUERY that was given is answered 200.",
        hint: "Check its URI, its content and its Content-Type, which it must have.",
        needs: &["answer/get"],
        steps: |baseline| Ok(vec![query(baseline, is_answered)?]),
    },
    Rule {
        name: "query/etag",
        section: "RFC 10008, 2.6",
        severity: Advice,
        claim: "The answer to a QUERY has an ETag: else each poll brings all of it again.",
        hint: "`ConditionalLayer` makes one from the results. The tag of the resource that is \
               queried is not that of the results.",
        needs: &["query/answers", "validator/has-etag"],
        steps: |baseline| Ok(vec![query(baseline, has_tag)?]),
    },
    Rule {
        name: "query/304",
        section: "RFC 10008, 2.6",
        severity: Must,
        claim: "A QUERY with the tag of its answer in If-None-Match is answered 304.",
        hint: "QUERY is safe: its matching precondition is 304, not 412.",
        needs: &["query/answers", "if-none-match/exact"],
        steps: |baseline| {
            let again = query(baseline, not_modified)?.echoing(IF_NONE_MATCH, ETAG);
            Ok(vec![query(baseline, anything)?, again])
        },
    },
    Rule {
        name: "query/miss",
        section: "RFC 10008, 2.6",
        severity: Must,
        claim: "A QUERY with another tag in If-None-Match is answered with the results.",
        hint: "Compare with the tag of these results, and not with that of the URI: each query \
               has its own.",
        needs: &["query/answers", "if-none-match/miss"],
        steps: |baseline| {
            let another = baseline.another_tag();
            Ok(vec![query(baseline, is_answered)?.with(IF_NONE_MATCH, another)])
        },
    },
    Rule {
        name: "query/if-match-miss",
        section: "13.1.1",
        severity: Must,
        claim: "A QUERY with another tag in If-Match is answered 412.",
        hint: "Evaluate If-Match for each method that selects a representation.",
        needs: &["query/answers", "if-match/miss"],
        steps: |baseline| {
            Ok(vec![query(baseline, refused)?.with(IF_MATCH, baseline.another_tag())])
        },
    },
    Rule {
        name: "query/if-modified-since",
        section: "13.1.3",
        severity: Must,
        claim: "If-Modified-Since is ignored on a QUERY.",
        hint: "It is for GET and HEAD alone.",
        needs: &["query/answers", "if-modified-since/later"],
        steps: |baseline| {
            let step = query(baseline, is_answered)?.echoing(IF_MODIFIED_SINCE, http::header::DATE);
            let later = query(baseline, is_answered)?.with(IF_MODIFIED_SINCE, last_date());
            Ok(vec![later, step])
        },
    },
];

fn query(baseline: &Baseline, expect: Expect) -> Result<Step, Why> {
    Ok(Step::given(baseline.query()?, expect))
}

fn is_answered(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.status() == StatusCode::OK, "200 (OK), with the results")
}

fn has_tag(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.has(ETAG), "an ETag")
}
