//! Do parts belong to the whole that the client has begun to fetch?

use http::{
    header::{ETAG, IF_RANGE, RANGE},
    HeaderValue, StatusCode,
};

use super::if_none_match::other_strength;
use crate::{
    answer::Answer,
    baseline::{seconds_after, Baseline},
    report::Severity::{Must, Should},
    rule::Rule,
    step::{part, want, whole, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "range/etag",
        section: "15.3.7",
        severity: Must,
        claim: "A part has the ETag of the whole.",
        hint: "Keep the tag of the whole on a 206, and hash no part.",
        needs: &["validator/stable"],
        steps: |baseline| baseline.tag().map(|_| vec![range(part), range(has_tag_of_whole)]),
    },
    Rule {
        name: "range/if-range-stale",
        section: "13.1.5",
        severity: Must,
        claim: "If-Range with another tag brings the whole: a part would be glued to something \
               else.",
        hint: "Honour Range only if `Preconditions::allows_range`. `ConditionalLayer` takes care \
               of tags that it made itself.",
        needs: &["answer/get"],
        steps: |_| {
            Ok(vec![
                range(part),
                range(whole).with(IF_RANGE, HeaderValue::from_static("\"another\"")),
            ])
        },
    },
    Rule {
        name: "range/if-range-weak",
        section: "13.1.5",
        severity: Must,
        claim: "If-Range with a weak tag brings the whole.",
        hint: "Compare strongly: `EntityTag::strong_eq`.",
        needs: &["range/if-range-stale"],
        steps: |baseline| {
            Ok(vec![
                range(part),
                range(whole).with(IF_RANGE, other_strength(&baseline.strong_tag()?)),
            ])
        },
    },
    Rule {
        name: "range/if-range-date",
        section: "13.1.5",
        severity: Must,
        claim: "If-Range with any date but that of Last-Modified brings the whole.",
        hint: "Compare for equality: `later than` is not enough to glue two parts together.",
        needs: &["range/if-range-stale"],
        steps: |baseline| {
            let date = baseline.date()?;
            let dated = |seconds| range(whole).with(IF_RANGE, seconds_after(date, seconds));
            Ok(vec![range(part), dated(3600), dated(-3600)])
        },
    },
    Rule {
        name: "range/if-range-current",
        section: "13.1.5",
        severity: Should,
        claim: "If-Range with the current strong tag brings the part.",
        hint:
            "It is allowed to send the whole, but downloads start again. `ConditionalLayer` does \
               so for tags that it made itself, since the inner service cannot evaluate them.",
        needs: &["validator/stable"],
        steps: |baseline| {
            Ok(vec![range(part), range(is_part).with(IF_RANGE, baseline.strong_tag()?)])
        },
    },
];

fn range(expect: Expect) -> Step {
    Step::get(expect).with(RANGE, HeaderValue::from_static("bytes=0-0"))
}

fn is_part(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.status() == StatusCode::PARTIAL_CONTENT, "206 (Partial Content)")
}

fn has_tag_of_whole(baseline: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.headers().get(ETAG) == baseline.plain.headers().get(ETAG), "the ETag of the whole")
}
