//! Are errors left alone?

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
    HeaderValue,
};

use super::Rule;
use crate::conformance::{
    answer::Answer,
    ask::{wrong, Ask, Fault},
    facts::{Facts, Why},
    report::Severity::Must,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "error/not-304",
        section: "13.2.1",
        severity: Must,
        claim: "If-None-Match and If-Modified-Since do not turn an error into a 304.",
        hint: "Ignore preconditions where the answer without them is neither 2xx nor 412: an outage would be hidden.",
        needs: &[],
        asks: |facts| asks(facts, [(IF_NONE_MATCH, "*"), (IF_MODIFIED_SINCE, FAR_OFF)]),
    },
    Rule {
        name: "error/not-412",
        section: "13.2.1",
        severity: Must,
        claim: "If-Match and If-Unmodified-Since do not turn an error into a 412.",
        hint: "Ignore preconditions where the answer without them is neither 2xx nor 412: a 404 stays a 404.",
        needs: &[],
        asks: |facts| asks(facts, [(IF_MATCH, "\"another\""), (IF_UNMODIFIED_SINCE, LONG_AGO)]),
    },
];

/// Asks for the error with preconditions that would decide, and with the error's own validators.
fn asks(facts: &Facts, fields: [(http::HeaderName, &'static str); 2]) -> Result<Vec<Ask>, Why> {
    let (uri, error) =
        facts.error.as_ref().ok_or("no error was found: name one with `Check::error_at`")?;
    let own = error.tag().filter(|_| fields.iter().any(|(name, _)| *name == IF_NONE_MATCH));
    let own = own.map(|tag| Ask::get(same_status).at(uri).with(IF_NONE_MATCH, tag));
    let asks = fields.map(|(name, text)| {
        Ask::get(same_status).at(uri).with(name, HeaderValue::from_static(text))
    });
    Ok(asks.into_iter().chain(own).collect())
}

fn same_status(facts: &Facts, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    match &facts.error {
        Some((_, error)) if error.status() != seen.status() => {
            wrong(format!("{}, as without it", error.status()))
        }
        _ => Ok(()),
    }
}

const LONG_AGO: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const FAR_OFF: &str = "Fri, 31 Dec 9999 23:59:59 GMT";
