//! A second, simple implementation of the rules, and the requests to compare it with.
//! It uses strings and numbers, and shares no code with the library.
//!
//! A module that includes this file needs a function `date`, which makes a date from a
//! number of days, and the names imported below.

use super::{date, Decision, EntityTag, LastModified, Representation, Validators};

/// The values of If-Match and If-None-Match that are tried with the tags of
/// `representations`.
pub(super) const TAG_FIELDS: [Option<&[&str]>; 14] = [
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

pub(super) const DATE_FIELDS: [Option<&[i64]>; 5] =
    [None, Some(&[1]), Some(&[2]), Some(&[3]), Some(&[2, 2])];

pub(super) fn representations() -> Vec<Representation> {
    let tags = [None, Some(EntityTag::strong("s").unwrap()), Some(EntityTag::weak("w").unwrap())];
    let dates = [None, Some(LastModified::Given(date(2))), Some(LastModified::FirstSeen(date(2)))];
    let mut all = vec![Representation::Missing, Representation::Unknown];
    for etag in &tags {
        for last_modified in dates {
            let mut validators = Validators::new();
            (validators.etag, validators.last_modified) = (etag.clone(), last_modified);
            all.push(Representation::Exists(validators));
        }
    }
    all
}

/// The second implementation of the rules, with one `if` for each sentence of the RFC.
pub(super) fn oracle(
    method: &str,
    representation: &Representation,
    if_match: Option<&[&str]>,
    if_none_match: Option<&[&str]>,
    if_modified_since: Option<&[i64]>,
    if_unmodified_since: Option<&[i64]>,
) -> Decision {
    let read = ["GET", "HEAD", "QUERY"].contains(&method);
    if ["OPTIONS", "TRACE", "CONNECT"].contains(&method) {
        return Decision::Proceed;
    }
    let (exists, tag, changed) = match representation {
        Representation::Unknown => return Decision::Proceed,
        Representation::Missing if read => return Decision::Proceed,
        Representation::Exists(v) => {
            (true, v.etag.as_ref().map_or(String::new(), ToString::to_string), v.last_modified)
        }
        _ => (false, String::new(), None),
    };
    if let Some(lines) = if_match {
        let strong = |member: &String| good(member) && *member == tag && !tag.starts_with("W/");
        if !(exists && (lines == ["*"] || members(lines).iter().any(strong))) {
            return Decision::PreconditionFailed;
        }
    } else if unchanged_since(if_unmodified_since, changed) == Some(false) {
        return Decision::PreconditionFailed;
    }

    let not_modified = if read { Decision::NotModified } else { Decision::PreconditionFailed };
    if let Some(lines) = if_none_match {
        if lines == ["*"] {
            return if exists { not_modified } else { Decision::Proceed };
        }
        let members = members(lines);
        if exists && members.iter().any(|member| names_weakly(member, &tag)) {
            return not_modified;
        }
        if !read && (members.is_empty() || members.iter().any(|m| !good(m))) {
            return Decision::PreconditionFailed;
        }
    } else if read && method != "QUERY" && unchanged_since(if_modified_since, changed) == Some(true)
    {
        return Decision::NotModified;
    }
    Decision::Proceed
}

/// Returns true if a member names a tag. The tags are compared weakly.
fn names_weakly(member: &str, tag: &str) -> bool {
    let is_same = member.trim_start_matches("W/") == tag.trim_start_matches("W/");
    good(member) && !tag.is_empty() && is_same
}

/// Returns the members of a list. The values above have no comma inside a tag, so it is
/// enough to split at commas.
fn members(lines: &[&str]) -> Vec<String> {
    let joined = lines.join(",");
    let members = joined.split(',').map(|member| member.trim().to_owned());
    members.filter(|member| !member.is_empty()).collect()
}

/// Returns true if a member is a tag.
fn good(member: &str) -> bool {
    let opaque = member.strip_prefix("W/").unwrap_or(member);
    opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"') && !opaque.contains(' ')
}

/// Returns true if the content was not modified since the date. `None` if the
/// field is ignored.
fn unchanged_since(dates: Option<&[i64]>, changed: Option<LastModified>) -> Option<bool> {
    let &[day] = dates? else { return None };
    Some(match changed? {
        LastModified::Given(changed) => date(day) == changed || date(day) > changed,
        LastModified::FirstSeen(seen) => date(day) == seen,
        #[allow(unreachable_patterns)] // It is reachable outside the crate.
        _ => false,
    })
}
