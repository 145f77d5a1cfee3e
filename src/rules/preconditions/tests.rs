use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

use super::*;

const DAY: i64 = 86_400;

fn date(day: i64) -> HttpDate {
    HttpDate::from_unix_seconds(784_111_777 + day * DAY).unwrap()
}

fn preconditions(lines: &[(HeaderName, String)]) -> Preconditions {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    Preconditions::from_headers_at(&headers, || date(10))
}

/// How a tag field can look, against the tags of `current_tags`.
const TAG_FIELDS: [Option<&[&str]>; 14] = [
    None,
    Some(&["*"]),
    Some(&["\"s\""]),
    Some(&["W/\"s\""]),
    Some(&["\"w\""]),
    Some(&["\"other\""]),
    Some(&["\"other\", \"s\""]),
    Some(&["\"other\"", "\"s\""]),
    Some(&[""]),
    Some(&[" ,,"]),
    Some(&["s"]),
    Some(&["\"bad tag\", \"s\""]),
    Some(&["\"bad tag\", \"other\""]),
    Some(&["*, \"other\""]),
];

const DATE_FIELDS: [Option<&[i64]>; 5] = [None, Some(&[1]), Some(&[2]), Some(&[3]), Some(&[2, 2])];

fn representations() -> Vec<Representation> {
    let tags = [None, Some(EntityTag::strong("s").unwrap()), Some(EntityTag::weak("w").unwrap())];
    let dates = [
        None,
        Some(LastModified::Given(date(2))),
        Some(LastModified::FirstSeen(date(2))),
        Some(LastModified::Unsettled),
        Some(LastModified::Watched { date: date(2), since: date(2), unique: true }),
        Some(LastModified::Watched { date: date(1), since: date(2), unique: true }),
        Some(LastModified::Watched { date: date(2), since: date(1), unique: false }),
        Some(LastModified::Watched { date: date(2), since: date(3), unique: false }),
    ];
    let mut all = vec![Representation::Missing, Representation::Unknown];
    for etag in &tags {
        for last_modified in dates {
            all.push(Representation::Exists(Validators { etag: etag.clone(), last_modified }));
        }
    }
    all
}

/// The rules again, naively: strings and numbers, one `if` a sentence of the RFC, no code shared with what is tested.
fn oracle(
    method: &str,
    representation: &Representation,
    if_match: Option<&[&str]>,
    if_none_match: Option<&[&str]>,
    if_modified_since: Option<&[i64]>,
    if_unmodified_since: Option<&[i64]>,
) -> Decision {
    let read = method == "GET" || method == "HEAD";
    if ["OPTIONS", "TRACE", "CONNECT"].contains(&method) {
        return Decision::Proceed;
    }
    let (exists, tag, changed) = match representation {
        Representation::Unknown => return Decision::Proceed,
        Representation::Missing if read => return Decision::Proceed,
        Representation::Missing => (false, String::new(), None),
        Representation::Exists(v) => {
            (true, v.etag.as_ref().map_or(String::new(), ToString::to_string), v.last_modified)
        }
    };
    // None of the members above has a comma inside a tag, so that splitting will do.
    let members = |lines: &[&str]| -> Vec<String> {
        let joined = lines.join(",");
        joined.split(',').map(|member| member.trim().to_owned()).filter(|member| !member.is_empty()).collect()
    };
    let good = |member: &str| {
        let opaque = member.strip_prefix("W/").unwrap_or(member);
        opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"') && !opaque.contains(' ')
    };
    // `Some(true)`: not modified since; `None`: ignored.
    let unchanged_since = |dates: Option<&[i64]>| -> Option<bool> {
        let &[day] = dates? else { return None };
        Some(match changed? {
            LastModified::Given(changed) => date(day) == changed || date(day) > changed,
            LastModified::FirstSeen(seen) => date(day) == seen,
            LastModified::Watched { date: given, since, unique } => {
                (date(day) == given && unique) || (date(day) >= given && date(day) > since)
            }
            LastModified::Unsettled => false,
        })
    };

    if let Some(lines) = if_match {
        let strong = |member: &String| good(member) && *member == tag && !tag.starts_with("W/");
        if !(exists && (lines == ["*"] || members(lines).iter().any(strong))) {
            return Decision::PreconditionFailed;
        }
    } else if unchanged_since(if_unmodified_since) == Some(false) {
        return Decision::PreconditionFailed;
    }

    let not_modified = if read { Decision::NotModified } else { Decision::PreconditionFailed };
    if let Some(lines) = if_none_match {
        if lines == ["*"] {
            return if exists { not_modified } else { Decision::Proceed };
        }
        let members = members(lines);
        let opaque = tag.trim_start_matches("W/");
        if exists && members.iter().any(|m| good(m) && !tag.is_empty() && m.trim_start_matches("W/") == opaque) {
            return not_modified;
        }
        if !read && (members.is_empty() || members.iter().any(|m| !good(m))) {
            return Decision::PreconditionFailed;
        }
    } else if read && unchanged_since(if_modified_since) == Some(true) {
        return Decision::NotModified;
    }
    Decision::Proceed
}

#[test]
fn every_combination_agrees_with_the_oracle() {
    let methods = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"];
    let methods = methods.map(|name| Method::from_bytes(name.as_bytes()).unwrap());
    let representations = representations();
    let mut cases = 0;
    for if_match in TAG_FIELDS {
        for if_none_match in TAG_FIELDS {
            for if_modified_since in DATE_FIELDS {
                for if_unmodified_since in DATE_FIELDS {
                    let mut lines = Vec::new();
                    for (name, values) in [(IF_MATCH, if_match), (IF_NONE_MATCH, if_none_match)] {
                        lines.extend(values.into_iter().flatten().map(|v| (name.clone(), (*v).to_owned())));
                    }
                    let dates = [(IF_MODIFIED_SINCE, if_modified_since), (IF_UNMODIFIED_SINCE, if_unmodified_since)];
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
                            assert_eq!(asked.evaluate(method, current), expected, "{method} {current:?} {lines:?}");
                            cases += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cases, 14 * 14 * 5 * 5 * 10 * 26);
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
        assert_eq!(preconditions(&since).evaluate(&Method::GET, &current), expected, "{lines:?}");

        let earlier: Vec<_> = lines.iter().map(|line| (IF_UNMODIFIED_SINCE, line.replace("09", "07"))).collect();
        let earlier: Vec<_> = earlier.into_iter().map(|(n, v)| (n, v.replace("Nov  9", "Nov  7"))).collect();
        let expected = if counts { Decision::PreconditionFailed } else { Decision::Proceed };
        assert_eq!(preconditions(&earlier).evaluate(&Method::PUT, &current), expected, "{lines:?}");
    }
}

#[test]
fn if_range_wants_the_very_same_representation() {
    let tag = |text: &str| Validators::from(text.parse::<EntityTag>().unwrap());
    let dated = |last_modified: LastModified| Validators::new().last_modified(last_modified);
    let (two, three) = (date(2).to_string(), date(3).to_string());
    let seen = |day| LastModified::FirstSeen(date(day));
    let watched = |unique| LastModified::Watched { date: date(2), since: date(1), unique };
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
        (&two, dated(LastModified::Unsettled), false),
        (&two, dated(watched(true)), true),
        (&three, dated(watched(true)), false),
        (&two, dated(watched(false)), false),
        (&two, tag("\"a\""), false),
    ] {
        let asked = preconditions(&[(IF_RANGE, value.to_owned())]);
        assert_eq!(asked.allows_range(&current.clone().into(), date(10)), expected, "{value:?} {current:?}");
        assert!(!asked.allows_range(&Representation::Missing, date(10)));
        assert!(!asked.allows_range(&Representation::Unknown, date(10)));
    }

    // A given date is weak in the second that it names: the content may change again within it.
    let asked = preconditions(&[(IF_RANGE, two)]);
    assert!(!asked.allows_range(&dated(date(2).into()).into(), date(2)));
    assert!(asked.allows_range(&dated(date(2).into()).into(), date(2).next_second()));
    // Two lines are no value; no line asks for nothing.
    let twice = preconditions(&[(IF_RANGE, "\"a\"".to_owned()), (IF_RANGE, "\"a\"".to_owned())]);
    assert!(!twice.allows_range(&tag("\"a\"").into(), date(10)));
    assert!(preconditions(&[]).allows_range(&Representation::Unknown, date(10)));
}
