use http::header::{
    HeaderName, ACCEPT_ENCODING, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};

use self::oracle::{oracle, representations, DATE_FIELDS, TAG_FIELDS};
use super::*;
use crate::rules::LastModified;

#[path = "oracle.rs"]
mod oracle;

const DAY: i64 = 86_400;

fn date(day: i64) -> HttpDate {
    HttpDate::from_unix_seconds(784_111_777 + day * DAY).unwrap()
}

fn preconditions(lines: &[(HeaderName, String)]) -> PreconditionFields {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    PreconditionFields::from_headers_at(&headers, || date(10))
}

#[test]
fn every_combination_agrees_with_the_oracle() {
    let methods =
        ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"];
    let methods = methods.map(|name| Method::from_bytes(name.as_bytes()).unwrap());
    let representations = representations();
    let mut cases = 0;
    for if_match in TAG_FIELDS {
        for if_none_match in TAG_FIELDS {
            for if_modified_since in DATE_FIELDS {
                for if_unmodified_since in DATE_FIELDS {
                    let mut lines = Vec::new();
                    for (name, values) in [(IF_MATCH, if_match), (IF_NONE_MATCH, if_none_match)] {
                        lines.extend(
                            values.into_iter().flatten().map(|v| (name.clone(), (*v).to_owned())),
                        );
                    }
                    let dates = [
                        (IF_MODIFIED_SINCE, if_modified_since),
                        (IF_UNMODIFIED_SINCE, if_unmodified_since),
                    ];
                    for (name, days) in dates {
                        let values = days.into_iter().flatten();
                        lines.extend(values.map(|&day| (name.clone(), date(day).to_string())));
                    }
                    let asked = preconditions(&lines);
                    for method in &methods {
                        for current in &representations {
                            let expected = oracle(
                                method.as_str(),
                                current,
                                if_match,
                                if_none_match,
                                if_modified_since,
                                if_unmodified_since,
                            );
                            assert_eq!(
                                asked.evaluate(method, current.into()),
                                expected,
                                "{method} {current:?} {lines:?}"
                            );
                            cases += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cases, 14 * 14 * 5 * 5 * 10 * 11);
}

#[test]
fn a_date_that_is_not_one_valid_date_is_ignored() {
    let current = Representation::Exists(Validators::new().last_modified(date(2)));
    let good = date(3).to_string();
    for (lines, counts) in [
        (vec![good.clone()], true),
        (vec![good.replace("Wed,", "Mon,")], true),
        (vec!["Wednesday, 09-Nov-94 08:49:37 GMT".to_owned()], true),
        (vec!["Wed Nov  9 08:49:37 1994".to_owned()], true),
        (vec![format!("{good}; length=5")], false),
        (vec![format!("{good}, {good}")], false),
        (vec![good.clone(), good.clone()], false),
        (vec![good.replace("GMT", "UTC")], false),
        (vec![good.to_lowercase()], false),
        (vec![String::new()], false),
        (vec!["1".to_owned()], false),
    ] {
        let since: Vec<_> = lines.iter().map(|line| (IF_MODIFIED_SINCE, line.clone())).collect();
        let expected = if counts { Decision::NotModified } else { Decision::Proceed };
        assert_eq!(
            preconditions(&since).evaluate(&Method::GET, (&current).into()),
            expected,
            "{lines:?}"
        );

        let earlier: Vec<_> =
            lines.iter().map(|line| (IF_UNMODIFIED_SINCE, line.replace("09", "07"))).collect();
        let earlier: Vec<_> =
            earlier.into_iter().map(|(n, v)| (n, v.replace("Nov  9", "Nov  7"))).collect();
        let expected = if counts { Decision::PreconditionFailed } else { Decision::Proceed };
        assert_eq!(
            preconditions(&earlier).evaluate(&Method::PUT, (&current).into()),
            expected,
            "{lines:?}"
        );
    }
}

#[test]
fn if_range_wants_the_very_same_representation() {
    let tag = |text: &str| Validators::from(text.parse::<EntityTag>().unwrap());
    let dated = |last_modified: LastModified| Validators::new().last_modified(last_modified);
    let (two, three) = (date(2).to_string(), date(3).to_string());
    let seen = |day| LastModified::FirstSeen(date(day));
    for (value, current, expected) in [
        ("\"a\"", tag("\"a\""), true),
        ("\"a\"", tag("\"b\""), false),
        ("W/\"a\"", tag("\"a\""), false),
        ("\"a\"", tag("W/\"a\""), false),
        ("W/\"a\"", tag("W/\"a\""), false),
        ("\"a\", \"b\"", tag("\"a\""), false),
        ("*", tag("\"a\""), false),
        ("", tag("\"a\""), false),
        ("\"a\"", Validators::new(), false),
        (&two, dated(date(2).into()), true),
        (&three, dated(date(2).into()), false),
        (&two, dated(date(3).into()), false),
        (&two, dated(seen(2)), true),
        (&three, dated(seen(2)), false),
        (&two, tag("\"a\""), false),
    ] {
        let asked = preconditions(&[(IF_RANGE, value.to_owned())]);
        assert_eq!(
            asked.allows_range(&current.clone().into(), date(10)),
            expected,
            "{value:?} {current:?}"
        );
        assert!(!asked.allows_range(&Representation::Missing, date(10)));
        assert!(!asked.allows_range(&Representation::Unknown, date(10)));
    }

    // The client may hold encoded bytes, which have the same date.
    for (value, current, expected) in [("\"a\"", tag("\"a\""), true), (&two, dated(seen(2)), false)]
    {
        let accepts = (ACCEPT_ENCODING, "gzip".to_owned());
        let asked = preconditions(&[(IF_RANGE, value.to_owned()), accepts]);
        assert_eq!(asked.allows_range(&current.into(), date(10)), expected, "{value}");
    }
    // A given date is a weak validator during its own second, because the content may
    // change again in that second.
    let asked = preconditions(&[(IF_RANGE, two)]);
    assert!(!asked.allows_range(&dated(date(2).into()).into(), date(2)));
    assert!(asked.allows_range(&dated(date(2).into()).into(), date(2).next_second()));
    // Two lines are invalid. Without a line, there is no condition.
    let twice = preconditions(&[(IF_RANGE, "\"a\"".to_owned()), (IF_RANGE, "\"a\"".to_owned())]);
    assert!(!twice.allows_range(&tag("\"a\"").into(), date(10)));
    assert!(preconditions(&[]).allows_range(&Representation::Unknown, date(10)));
}

#[test]
fn an_observed_date_proves_unchanged_by_equality_and_in_doubt_refuses_writes_alone() {
    let observed = |unchanged_at: Option<i64>, changed_before: Option<i64>| {
        let (unchanged_at, changed_before) = (unchanged_at.map(date), changed_before.map(date));
        Current { etag: None, date: Some(DateEvidence::Observed { unchanged_at, changed_before }) }
    };
    let (proceed, failed) = (Decision::Proceed, Decision::PreconditionFailed);
    // Each row has the day of the client's date, and the decisions for
    // If-Modified-Since on GET, If-Unmodified-Since on GET, and
    // If-Unmodified-Since on PUT.
    for (current, day, modified, unmodified, write) in [
        (observed(None, None), 2, proceed, proceed, failed),
        (observed(Some(2), None), 2, Decision::NotModified, proceed, proceed),
        (observed(Some(2), None), 1, proceed, proceed, failed),
        (observed(Some(2), None), 3, proceed, proceed, failed),
        (observed(Some(2), Some(2)), 1, proceed, failed, failed),
        (observed(Some(2), Some(2)), 2, Decision::NotModified, proceed, proceed),
        (observed(Some(2), Some(2)), 3, proceed, proceed, failed),
        (observed(None, Some(2)), 1, proceed, failed, failed),
        (observed(None, Some(2)), 2, proceed, proceed, failed),
    ] {
        let since = preconditions(&[(IF_MODIFIED_SINCE, date(day).to_string())]);
        let until = preconditions(&[(IF_UNMODIFIED_SINCE, date(day).to_string())]);
        let state = State::Exists(current);
        assert_eq!(since.evaluate(&Method::GET, state), modified, "{current:?} {day}");
        assert_eq!(until.evaluate(&Method::GET, state), unmodified, "{current:?} {day}");
        assert_eq!(until.evaluate(&Method::PUT, state), write, "{current:?} {day}");
    }
}

/// Compares each tag that may have been sent with each current tag.
#[test]
fn a_tag_with_its_coding_counts_for_the_content_that_it_was_sent_with() {
    let owns = ["v", "w", "v~gzip", "v~gzip~gzip", "v~br", "v~identity", "~zstd"];
    let codings = ["", "gzip", "br", "zstd", "deflate", "compress"];
    let sent = |own: &str, coding: &str| {
        let ends_in_one = own.contains('~');
        match coding {
            "" if ends_in_one => format!("\"{own}~identity\""),
            "" => format!("\"{own}\""),
            coding => format!("\"{own}~{coding}\""),
        }
    };
    let accepting = [
        ("", &[""][..]),
        ("gzip, zstd", &["", "gzip", "zstd"]),
        ("*;q=0.5, br;q=0", &["", "gzip", "zstd", "deflate", "compress"]),
        ("identity;q=0, br", &["br"]),
    ];
    for current in owns {
        let etag = Representation::from(EntityTag::strong(current).unwrap());
        let state = State::from(&etag);
        for (own, coding) in owns.iter().flat_map(|own| codings.map(|coding| (*own, coding))) {
            let (held, is_same) = (sent(own, coding), own == current);
            for (accepts, accepted) in accepting {
                let ask = |name: HeaderName| {
                    let accepts = (ACCEPT_ENCODING, accepts.to_owned());
                    preconditions(&[accepts, (name, format!("\"x\", {held}"))])
                };
                let case = format!("{held} for {current}, accepting {accepts}");
                let get = ask(IF_NONE_MATCH).evaluate(&Method::GET, state);
                let is_usable = is_same && accepted.contains(&coding);
                assert_eq!(get == Decision::NotModified, is_usable, "{case}");
                let put = ask(IF_NONE_MATCH).evaluate(&Method::PUT, state);
                assert_eq!(put == Decision::PreconditionFailed, is_same, "{case}");
                let put = ask(IF_MATCH).evaluate(&Method::PUT, state);
                assert_eq!(put == Decision::Proceed, is_same, "{case}");
                let if_range = preconditions(&[(IF_RANGE, held.clone())]);
                let is_part = is_same && coding.is_empty();
                assert_eq!(if_range.allows_range(&etag, date(3)), is_part, "{case}");
                let with_match = ask(IF_MATCH).allows_range(&etag, date(3));
                assert_eq!(with_match, !is_same || coding.is_empty(), "{case}");
            }
        }
    }
}
