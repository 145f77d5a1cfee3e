//! The evaluation of preconditions: the naive rules agree, for any fields that they can
//! read.

use http::{
    header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
    HeaderMap, Method,
};
use tower_conditional::{
    Decision, EntityTag, HttpDate, LastModified, Preconditions, Representation, Validators,
};

use self::oracle::{oracle, representations, DATE_FIELDS, TAG_FIELDS};
use super::input::Input;

#[path = "../../../src/rules/precondition_fields/oracle.rs"]
mod oracle;

pub fn holds(input: &[u8]) {
    let mut input = Input(input);
    let mut headers = HeaderMap::new();
    let if_match = tags(&mut input, 0);
    let if_none_match = tags(&mut input, 1);
    let if_modified_since = dates(&mut input, 0);
    let if_unmodified_since = dates(&mut input, 1);
    for (name, lines) in [(IF_MATCH, &if_match), (IF_NONE_MATCH, &if_none_match)] {
        append(&mut headers, &name, lines.iter().flatten().cloned());
    }
    for (name, days) in
        [(IF_MODIFIED_SINCE, &if_modified_since), (IF_UNMODIFIED_SINCE, &if_unmodified_since)]
    {
        append(&mut headers, &name, days.iter().flatten().map(|&day| date(day).to_string()));
    }
    let method = Method::from_bytes(input.pick(&METHODS).as_bytes()).unwrap();
    let current = state(&mut input);

    let lines: Vec<Option<Vec<&str>>> = [&if_match, &if_none_match]
        .into_iter()
        .map(|lines| lines.as_ref().map(|lines| lines.iter().map(String::as_str).collect()))
        .collect();
    let expected = oracle(
        method.as_str(),
        &current,
        lines[0].as_deref(),
        lines[1].as_deref(),
        if_modified_since.as_deref(),
        if_unmodified_since.as_deref(),
    );
    // A layer leaves this to the handler, and this is the handler.
    let is_write =
        !matches!(method.as_str(), "GET" | "HEAD" | "QUERY" | "OPTIONS" | "TRACE" | "CONNECT");
    let is_dated = matches!(if_unmodified_since.as_deref(), Some([_]));
    let is_guarded = if_match.is_some() || if_none_match.is_some() || is_dated;
    let expected = match current {
        Representation::Unknown if is_write && is_guarded => Decision::PreconditionFailed,
        _ => expected,
    };
    let asked = Preconditions::new(&method, &headers);
    assert_eq!(asked.evaluate(&current), expected, "{method} {current:?} {headers:?}");
    assert_eq!(asked.check(&current).is_ok(), expected == Decision::Proceed);
    // More fields, lines and members never turn a refused write into one that passes.
    if expected == Decision::PreconditionFailed {
        assert!(asked.check_required(&current).is_err());
    }
}

fn append(headers: &mut HeaderMap, name: &HeaderName, lines: impl Iterator<Item = String>) {
    for line in lines {
        headers.append(name, line.parse().unwrap());
    }
}

/// Makes the lines of a field: one that the oracle comes with, or any of members that
/// it can read.
fn tags(input: &mut Input<'_>, other: usize) -> Option<Vec<String>> {
    let choice = input.below(TAG_FIELDS.len() * 2 + other);
    if let Some(lines) = TAG_FIELDS.get(choice) {
        return lines.map(|lines| lines.iter().map(|&line| line.to_owned()).collect());
    }
    let lines = 1 + input.below(3);
    Some((0..lines).map(|_| line(input)).collect())
}

fn line(input: &mut Input<'_>) -> String {
    let count = input.below(6);
    let mut line = String::new();
    for _ in 0..count {
        line += input.pick(&MEMBERS);
        line += input.pick(&[",", ", ", " ,\t", ",,", " , ,"]);
    }
    line + input.pick(&MEMBERS)
}

fn dates(input: &mut Input<'_>, other: usize) -> Option<Vec<i64>> {
    let choice = input.below(DATE_FIELDS.len() * 2 + other);
    if let Some(days) = DATE_FIELDS.get(choice) {
        return days.map(<[_]>::to_vec);
    }
    let count = 1 + usize::from(input.one_in(8));
    Some((0..count).map(|_| i64::from(input.byte() % 7) - 1).collect())
}

fn state(input: &mut Input<'_>) -> Representation {
    let all = representations();
    if let Some(usual) = all.get(input.below(all.len() * 2)) {
        return usual.clone();
    }
    let mut validators = Validators::new();
    validators.etag = input
        .pick(&[None, Some("\"s\""), Some("W/\"s\""), Some("\"w\""), Some("W/\"w\""), Some("\"\"")])
        .map(tag);
    let mut day = || date(i64::from(input.byte() % 7) - 1);
    let changed = day();
    validators.last_modified = input.pick(&[
        None,
        Some(LastModified::Given(changed)),
        Some(LastModified::FirstSeen(changed)),
    ]);
    validators.into()
}

fn tag(text: &str) -> EntityTag {
    text.parse().unwrap()
}

fn date(day: i64) -> HttpDate {
    HttpDate::from_unix_seconds(784_111_777 + day * 86_400).unwrap()
}

const METHODS: [&str; 10] =
    ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"];

/// Members without a comma or a stray quote in them: the oracle splits.
const MEMBERS: [&str; 12] = [
    "\"s\"",
    "W/\"s\"",
    "\"w\"",
    "W/\"w\"",
    "\"other\"",
    "W/\"other\"",
    "s",
    "",
    "\"bad tag\"",
    "w/\"s\"",
    "*",
    "\"\"",
];
