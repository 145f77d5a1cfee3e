//! Checks whether If-Modified-Since and If-Unmodified-Since are compared as dates.

use http::{
    header::{HeaderName, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, LAST_MODIFIED},
    HeaderValue,
};
use tower_conditional::HttpDate;

use crate::{
    answer::{last_date, now},
    baseline::{seconds_after, Why},
    report::Severity::{Must, Should},
    rule::Rule,
    step::{not_modified, not_modified_or_whole, refused_or_whole, value, whole, Expect, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "if-modified-since/equal",
        section: "13.1.3",
        severity: Should,
        claim: "The date of Last-Modified in If-Modified-Since is answered 304.",
        hint: "Compare dates in whole seconds: a file's date has a fraction that the field has \
               not.",
        needs: &["validator/stable"],
        steps: |baseline| Ok(vec![since(IF_MODIFIED_SINCE, baseline.date()?, not_modified)]),
    },
    Rule {
        name: "if-modified-since/older",
        section: "13.1.3",
        severity: Must,
        claim: "An older date in If-Modified-Since is answered with the content.",
        hint: "Answer 304 only if Last-Modified is not later than the date.",
        needs: &["validator/stable"],
        steps: |baseline| {
            Ok(vec![since(IF_MODIFIED_SINCE, seconds_after(baseline.date()?, -DAY), whole)])
        },
    },
    Rule {
        name: "if-modified-since/later",
        section: "13.1.3",
        severity: Must,
        claim: "A later date in If-Modified-Since is answered 304 or with the content.",
        hint: "Compare as dates (304) or for equality (200), as the section allows. Equality is \
               safe where content is rolled back: `ConditionalLayer` and nginx compare so. An \
               error is wrong.",
        needs: &["validator/stable"],
        steps: |baseline| {
            // RFC 2616 required servers to ignore a date in the future. RFC 9110 does not.
            let steps = [seconds_after(baseline.date()?, 3600), last_date()];
            Ok(steps.map(|date| since(IF_MODIFIED_SINCE, date, not_modified_or_whole)).into())
        },
    },
    Rule {
        name: "if-modified-since/forms",
        section: "5.6.7",
        severity: Must,
        claim: "The two old forms of a date are read, too.",
        hint: "Read `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`: \
               `HttpDate::parse` does.",
        needs: &["if-modified-since/equal"],
        steps: |baseline| {
            let forms = old_forms(baseline.date()?);
            Ok(forms
                .iter()
                .map(|form| Step::get(not_modified).with(IF_MODIFIED_SINCE, text(form)))
                .collect())
        },
    },
    Rule {
        name: "if-modified-since/invalid",
        section: "13.1.3",
        severity: Must,
        claim: "What is no HTTP date in If-Modified-Since is ignored.",
        hint: "Read dates to the letter: `HttpDate::parse`. General date parsers take zones, ISO \
               8601 and trailing text.",
        needs: &["if-modified-since/older"],
        steps: |baseline| invalid(&IF_MODIFIED_SINCE, baseline.date()?, 0),
    },
    Rule {
        name: "if-modified-since/lines",
        section: "13.1.3",
        severity: Must,
        claim: "Two dates in If-Modified-Since are none.",
        hint: "Ignore the field if it has more than one line.",
        needs: &["if-modified-since/invalid"],
        steps: |baseline| {
            let date = baseline.date()?;
            Ok(vec![since(IF_MODIFIED_SINCE, date, whole).with(IF_MODIFIED_SINCE, date)])
        },
    },
    Rule {
        name: "if-unmodified-since/older",
        section: "13.1.4",
        severity: Must,
        claim: "A GET with an older date in If-Unmodified-Since is answered 412, or 200 with the \
                whole content: a read is never harmed by that.",
        hint: "Refuse the request if Last-Modified is later than the date. A server that made the \
               date itself does not know that the resource was modified, and may send the whole: \
               `ConditionalLayer` does. It must send no part (`range/if-unmodified-since`), and \
               refuse a write (`write/if-unmodified-since-older`).",
        needs: &["validator/stable"],
        steps: |baseline| {
            let date = seconds_after(baseline.date()?, -DAY);
            Ok(vec![since(IF_UNMODIFIED_SINCE, date, refused_or_whole)])
        },
    },
    Rule {
        name: "if-unmodified-since/equal",
        section: "13.1.4",
        severity: Must,
        claim: "The date of Last-Modified in If-Unmodified-Since is answered as without it.",
        hint: "Compare dates in whole seconds: a file's date has a fraction that the field has \
               not.",
        needs: &["validator/stable"],
        steps: |baseline| Ok(vec![since(IF_UNMODIFIED_SINCE, baseline.date()?, whole)]),
    },
    Rule {
        name: "if-unmodified-since/invalid",
        section: "13.1.4",
        severity: Must,
        claim: "What is no HTTP date in If-Unmodified-Since is ignored.",
        hint: "Read dates to the letter: `HttpDate::parse`. What is no date must not be taken for \
               1970.",
        needs: &["if-unmodified-since/equal"],
        steps: |baseline| invalid(&IF_UNMODIFIED_SINCE, baseline.date()?, -DAY),
    },
    Rule {
        name: "if-unmodified-since/without-date",
        section: "13.1.4",
        severity: Should,
        claim: "If-Unmodified-Since is ignored where there is no modification date.",
        hint:
            "Compare with a date that clients were told, not with the present, with Date or with \
               1970. A server that knows a date and does not tell it, as `ConditionalLayer` in the \
               second of a change, may refuse.",
        needs: &["validator/present"],
        steps: |baseline| {
            if baseline.plain.has(LAST_MODIFIED) {
                return Err("there is a Last-Modified".into());
            }
            Ok(vec![
                Step::get(whole).with(IF_UNMODIFIED_SINCE, text("Sun, 06 Nov 1994 08:49:37 GMT"))
            ])
        },
    },
];

fn since(name: HeaderName, date: HttpDate, expect: Expect) -> Step {
    Step::get(expect).with(name, date)
}

/// Returns steps with invalid dates. Most of them look like the date that is `seconds`
/// after `date`. A service that reads one as that date does not send the whole content.
fn invalid(name: &HeaderName, date: HttpDate, seconds: i64) -> Result<Vec<Step>, Why> {
    let date = seconds_after(date, seconds).to_string();
    let values = [
        date.replace("GMT", "+0000"),
        date.replace("GMT", "UTC"),
        format!("{date}; length=7"),
        format!("{date}, {date}"),
        iso(&date),
        "Sun, 30 Feb 2020 00:00:00 GMT".to_owned(),
        "0".to_owned(),
        String::new(),
    ];
    Ok(values.iter().map(|invalid| Step::get(whole).with(name.clone(), text(invalid))).collect())
}

fn text(text: &str) -> HeaderValue {
    value(&[text.as_bytes()])
}

/// Converts an IMF-fixdate to the format of ISO 8601.
fn iso(date: &str) -> String {
    let [_, day, month, year, time] = words(date);
    let number = MONTHS.iter().position(|name| *name == month).map_or(0, |index| index + 1);
    format!("{year}-{number:02}-{day}T{time}Z")
}

/// Returns a date in the formats of RFC 850 and `asctime`. A format is left out if its
/// text would be read as another date.
pub(super) fn old_forms(date: HttpDate) -> Vec<String> {
    let imf = date.to_string();
    let [weekday, day, month, year, time] = words(&imf);
    let weekday = weekday.trim_end_matches(',');
    let full = DAYS.iter().find(|name| name.starts_with(weekday)).copied().unwrap_or_default();
    let short = year.get(2..).unwrap_or_default();
    let asctime = format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0'));
    let forms = [format!("{full}, {day}-{month}-{short} {time} GMT"), asctime];
    forms.into_iter().filter(|form| HttpDate::parse(form, now()) == Some(date)).collect()
}

/// Returns weekday, day, month, year and time of an IMF-fixdate.
fn words(date: &str) -> [&str; 5] {
    let mut words = date.split(' ');
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

const DAY: i64 = 86_400;
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_in_its_other_forms() {
        let date = HttpDate::from_unix_seconds(784_111_777).unwrap();
        assert_eq!(old_forms(date), ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]);
        assert_eq!(iso(&date.to_string()), "1994-11-06T08:49:37Z");
        let long_ago = HttpDate::from_unix_seconds(-2_000_000_000).unwrap();
        assert_eq!(old_forms(long_ago), ["Thu Aug 16 20:26:40 1906"], "two digits would say 2006");
    }
}
