//! Checks whether errors stay errors in requests with preconditions.

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
    HeaderValue,
};

use crate::{
    answer::Answer,
    baseline::{Baseline, Why},
    report::Severity::Must,
    rule::Rule,
    step::{wrong, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "error/not-304",
        section: "13.2.1",
        severity: Must,
        claim: "If-None-Match and If-Modified-Since do not turn an error into a 304.",
        hint: "Ignore preconditions where the answer without them is neither 2xx nor 412: an \
               outage would be hidden.",
        needs: &[],
        steps: |baseline| steps(baseline, [(IF_NONE_MATCH, "*"), (IF_MODIFIED_SINCE, FAR_OFF)]),
    },
    Rule {
        name: "error/not-412",
        section: "13.2.1",
        severity: Must,
        claim: "If-Match and If-Unmodified-Since do not turn an error into a 412.",
        hint: "Ignore preconditions where the answer without them is neither 2xx nor 412: a 404 \
               stays a 404.",
        needs: &[],
        steps: |baseline| {
            steps(baseline, [(IF_MATCH, "\"another\""), (IF_UNMODIFIED_SINCE, LONG_AGO)])
        },
    },
];

/// Returns steps that request the error, with preconditions that would turn a 200 into
/// a 304 or 412. If `fields` has If-None-Match and the error has a tag, one more step
/// sends this tag.
fn steps(
    baseline: &Baseline,
    fields: [(http::HeaderName, &'static str); 2],
) -> Result<Vec<Step>, Why> {
    let (uri, error) =
        baseline.error.as_ref().ok_or("no error was found: name one with `Check::error_at`")?;
    let lists_tags = fields.iter().any(|(name, _)| *name == IF_NONE_MATCH);
    let own = if lists_tags { error.tag() } else { None };
    let own = own.map(|tag| Step::get(same_status).at(uri).with(IF_NONE_MATCH, tag));
    let steps = fields.map(|(name, text)| {
        Step::get(same_status).at(uri).with(name, HeaderValue::from_static(text))
    });
    Ok(steps.into_iter().chain(own).collect())
}

fn same_status(baseline: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    match &baseline.error {
        Some((_, error)) if error.status() != seen.status() => {
            wrong(format!("{}, as without it", error.status()))
        }
        _ => Ok(()),
    }
}

const LONG_AGO: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const FAR_OFF: &str = "Fri, 31 Dec 9999 23:59:59 GMT";
