//! Checks whether clients get changed content.

use http::{
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED},
    HeaderValue, StatusCode,
};

use super::ranges::range;
use crate::{
    answer::Answer,
    baseline::Baseline,
    report::Severity::{Advice, Must},
    rule::Rule,
    step::{anything, moot, part, want, wrong, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "change/etag",
        section: "8.8.1",
        severity: Must,
        claim: "After a change there is another ETag.",
        hint: "Make the tag from the content, or from a version that every change moves on.",
        needs: &["validator/etag"],
        steps: |baseline| {
            baseline.tag()?;
            Ok(vec![Step::get(anything), Step::get(has_another_tag).after_change()])
        },
    },
    Rule {
        name: "change/304",
        section: "13.1.2",
        severity: Must,
        claim: "After a change the old tag is not answered 304.",
        hint: "Look at the resource before answering 304. A stored tag must go when the resource \
               changes.",
        needs: &["change/etag", "if-none-match/miss"],
        steps: |baseline| {
            let tag = baseline.tag()?;
            Ok(vec![
                Step::get(anything),
                Step::get(anything).with(IF_NONE_MATCH, tag).after_change(),
                Step::get(was_not_stale),
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
        steps: |baseline| {
            let date = baseline.date()?;
            Ok(vec![
                Step::get(anything),
                Step::get(anything).with(IF_MODIFIED_SINCE, date).after_change(),
                Step::get(was_not_stale_by_date),
            ])
        },
    },
    Rule {
        name: "change/second",
        section: "8.8.2.2",
        severity: Advice,
        claim: "After two changes within one second, a client with the date of the first change \
                gets the second.",
        hint: "Send no Last-Modified in the second of a change, as `ConditionalLayer` does, or \
               do not answer 304 to a date of the current second.",
        needs: &["change/date"],
        steps: |_| {
            Ok(vec![
                Step::get(anything).after_change(),
                Step::get(anything).echoing(IF_MODIFIED_SINCE, LAST_MODIFIED).after_change(),
                Step::get(was_not_stale_within_second),
            ])
        },
    },
    Rule {
        name: "change/rollback",
        section: "13.1.3",
        severity: Advice,
        claim: "After a rollback to an older file, the date of the newer one is not answered 304.",
        hint: "Compare dates for equality, as the section allows: `ConditionalLayer` and nginx do.",
        needs: &["change/date"],
        steps: |_| {
            Ok(vec![
                Step::get(anything).after_change(),
                Step::get(anything).echoing(IF_MODIFIED_SINCE, LAST_MODIFIED).after_restore(),
                Step::get(was_not_stale_by_date),
            ])
        },
    },
    Rule {
        name: "change/if-range",
        section: "13.1.5",
        severity: Must,
        claim: "After a change If-Range with the old tag brings the whole of the new content.",
        hint: "Compare with the tag of the content that the part would be of. Where that is known \
               only when the part is there, answer 503, and send the whole from then on.",
        needs: &["change/etag", "range/if-range-stale"],
        steps: |baseline| Ok(resumed(baseline.strong_tag()?.into(), sent_no_stale_part)),
    },
    Rule {
        name: "change/if-range-date",
        section: "13.1.5",
        severity: Must,
        claim: "After a change that moved Last-Modified on, If-Range with the old date brings the \
                whole of the new content.",
        hint: "Compare for equality with the date that a plain GET would be given now.",
        needs: &["validator/stable", "range/if-range-date"],
        steps: |baseline| Ok(resumed(baseline.date()?.into(), sent_no_stale_part_by_date)),
    },
];

/// Returns an error if the two answers have the same content: there is then
/// nothing to check.
fn changed(before: &Answer, after: &Answer) -> Result<(), Fault> {
    if after.differs_from(before) {
        Ok(())
    } else {
        moot("what `Check::changes` was given did not change the content")
    }
}

fn was_not_stale(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let [old, asked] = before else { return Ok(()) };
    changed(old, seen)?;
    want(asked.status().is_success(), "200 (OK) with the new content, for the old validator")
}

fn was_not_stale_by_date(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let [old, asked] = before else { return Ok(()) };
    changed(old, seen)?;
    if old.last_modified() == seen.last_modified() {
        return moot("Last-Modified is the same: dates are whole seconds");
    }
    want(asked.status().is_success(), "200 (OK) with the new content, for the old date")
}

fn was_not_stale_within_second(
    baseline: &Baseline,
    before: &[Answer],
    seen: &Answer,
) -> Result<(), Fault> {
    let is_same = |old: &Answer| old.last_modified() == seen.last_modified();
    if before.first().is_some_and(is_same) {
        was_not_stale(baseline, before, seen)
    } else {
        moot("the changes were not within one second")
    }
}

/// Returns steps that resume a download after a change. First they get a part and the
/// whole of the old content. After the change they request the part twice, with
/// `validator` in If-Range. The last step gets the whole of the new content.
fn resumed(validator: HeaderValue, expect: Expect) -> Vec<Step> {
    let resume = range(anything).with(IF_RANGE, validator);
    vec![range(part), Step::get(anything), resume.clone().after_change(), resume, Step::get(expect)]
}

fn sent_no_stale_part(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let [_, old, asked, again] = before else { return Ok(()) };
    changed(old, seen)?;
    let may_come_later = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
    want(
        may_come_later.contains(&asked.status()) && again.status() == StatusCode::OK,
        "200 (OK) with the whole of the new content, at the latest when asked again after a 503",
    )
}

fn sent_no_stale_part_by_date(
    baseline: &Baseline,
    before: &[Answer],
    seen: &Answer,
) -> Result<(), Fault> {
    let [_, old, ..] = before else { return Ok(()) };
    changed(old, seen)?;
    if old.last_modified() == seen.last_modified() {
        return moot("Last-Modified is the same: dates are whole seconds");
    }
    sent_no_stale_part(baseline, before, seen)
}

fn has_another_tag(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let [old] = before else { return Ok(()) };
    changed(old, seen)?;
    if old.tag() == seen.tag() {
        wrong("another ETag than before")
    } else {
        Ok(())
    }
}
