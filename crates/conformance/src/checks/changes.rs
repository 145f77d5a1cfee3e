//! Is a change seen?

use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};

use super::Rule;
use crate::conformance::{
    answer::Answer,
    ask::{anything, moot, want, wrong, Ask, Fault},
    facts::Facts,
    report::Severity::Must,
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "change/etag",
        section: "8.8.1",
        severity: Must,
        claim: "After a change there is another ETag.",
        hint: "Make the tag from the content, or from a version that every change moves on.",
        needs: &["validator/etag"],
        asks: |facts| {
            facts.tag()?;
            Ok(vec![Ask::get(anything), Ask::get(has_another_tag).after_change()])
        },
    },
    Rule {
        name: "change/304",
        section: "13.1.2",
        severity: Must,
        claim: "After a change the old tag is not answered 304.",
        hint: "Look at the resource before answering 304. A stored tag must go when the resource changes.",
        needs: &["change/etag", "if-none-match/miss"],
        asks: |facts| {
            let tag = facts.tag()?;
            Ok(vec![
                Ask::get(anything),
                Ask::get(anything).with(IF_NONE_MATCH, tag).after_change(),
                Ask::get(was_not_stale),
            ])
        },
    },
    Rule {
        name: "change/date",
        section: "13.1.3",
        severity: Must,
        claim: "After a change that moved Last-Modified on, the old date is not answered 304.",
        hint: "Compare with the date that a plain GET would be given now.",
        needs: &["validator/stable", "if-modified-since/older"],
        asks: |facts| {
            let date = facts.date()?;
            Ok(vec![
                Ask::get(anything),
                Ask::get(anything).with(IF_MODIFIED_SINCE, date).after_change(),
                Ask::get(was_not_stale_by_date),
            ])
        },
    },
];

/// Says of a change that cannot be seen that there is nothing to judge.
fn changed(before: &Answer, after: &Answer) -> Result<(), Fault> {
    if after.differs_from(before) {
        Ok(())
    } else {
        moot("what `Check::changes` was given did not change the content")
    }
}

fn was_not_stale(_: &Facts, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let [old, asked] = before else { return Ok(()) };
    changed(old, seen)?;
    want(asked.status().is_success(), "200 (OK) with the new content, for the old tag")
}

fn was_not_stale_by_date(_: &Facts, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let [old, asked] = before else { return Ok(()) };
    changed(old, seen)?;
    if old.last_modified() == seen.last_modified() {
        return moot("the change did not move Last-Modified on: dates are whole seconds");
    }
    want(asked.status().is_success(), "200 (OK) with the new content, for the old date")
}

fn has_another_tag(_: &Facts, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let [old] = before else { return Ok(()) };
    changed(old, seen)?;
    if old.tag() == seen.tag() {
        wrong("another ETag than before")
    } else {
        Ok(())
    }
}
