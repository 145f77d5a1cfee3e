//! Checks whether a 304 has the fields that caches need, and no fields that describe
//! the missing content.

use std::collections::BTreeSet;

use http::{
    header::{self, AsHeaderName, CONTENT_LENGTH, ETAG, LAST_MODIFIED},
    HeaderMap, HeaderName, StatusCode,
};

use crate::{
    answer::Answer,
    baseline::{Baseline, Why},
    fields::members,
    report::Severity::{Advice, Must, Should},
    rule::Rule,
    step::{anything, moot, want, wrong, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "304/no-content",
        section: "15.4.5",
        severity: Must,
        claim: "A 304 has no content and no trailers.",
        hint: "Send an empty body that says that it has ended. Over HTTP/2 whatever it has goes \
               out.",
        needs: &["validator/present"],
        steps: |baseline| after_plain(baseline, has_no_content),
    },
    Rule {
        name: "304/fields",
        section: "15.4.5",
        severity: Must,
        claim: "A 304 has the Cache-Control, Content-Location, Date, ETag, Expires and Vary that \
               the 200 has.",
        hint: "Edit the head of the 200, and keep all lines of a field: caches update what they \
               stored with it.",
        needs: &["validator/present"],
        steps: |baseline| after_plain(baseline, keeps_fields),
    },
    Rule {
        name: "304/length",
        section: "8.6",
        severity: Must,
        claim: "Content-Length on a 304 is that of the 200, or is not there.",
        hint: "Send the length of the 200 if it is known, or remove the field.",
        needs: &["validator/present"],
        steps: |baseline| after_plain(baseline, has_right_length),
    },
    Rule {
        name: "304/zero-length",
        section: "8.6",
        severity: Must,
        claim: "A 304 does not say `Content-Length: 0`, unless the 200 has no content.",
        hint: "Axum adds it to an empty body that leaves a Router: set the Content-Length of the \
               200, or send an empty body whose size is not exact. A cache that updates what it \
               stored takes 0 for the length of the content: Apache's drops its copy.",
        needs: &["304/length"],
        steps: |baseline| after_plain(baseline, has_no_zero_length),
    },
    Rule {
        name: "304/metadata",
        section: "15.4.5",
        severity: Should,
        claim: "A 304 does not describe content that it does not have.",
        hint: "Remove Content-Type, Content-Encoding, Content-Language, Content-Range and \
               Transfer-Encoding.",
        needs: &["validator/present"],
        steps: |baseline| after_plain(baseline, has_no_metadata),
    },
    Rule {
        name: "304/nothing-lost",
        section: "15.4.5",
        severity: Advice,
        claim: "A 304 keeps the other fields of the 200: cookies, CORS, security, tracing.",
        hint: "Remove what describes content by name; a list of what may stay breaks CORS and \
               policies.",
        needs: &["validator/present"],
        steps: |baseline| after_plain(baseline, keeps_others),
    },
];

/// Returns a step without a precondition, and one with a precondition for which the
/// answer should be 304.
fn after_plain(baseline: &Baseline, expect: Expect) -> Result<Vec<Step>, Why> {
    let (name, value) = baseline.revalidation()?;
    Ok(vec![Step::get(anything), Step::get(expect).with(name, value)])
}

/// Returns the 200 that the 304 replaces.
fn replaced<'a>(before: &'a [Answer], seen: &Answer) -> Result<&'a Answer, Fault> {
    match before.last() {
        Some(plain) if seen.status() == StatusCode::NOT_MODIFIED => Ok(plain),
        _ => moot("there was no 304"),
    }
}

fn has_no_content(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    replaced(before, seen)?;
    want(seen.is_empty(), "no content")
}

fn keeps_fields(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let plain = replaced(before, seen)?;
    let lost = |name: &HeaderName| {
        let (wanted, found) = (said(plain.headers(), name), said(seen.headers(), name));
        !wanted.is_subset(&found)
    };
    let lost: Vec<_> = [header::CACHE_CONTROL, header::CONTENT_LOCATION, ETAG, header::VARY]
        .into_iter()
        .filter(lost)
        .chain(
            [header::DATE, header::EXPIRES]
                .into_iter()
                .filter(|name| plain.has(name) && !seen.has(name)),
        )
        .map(|name| name.to_string())
        .collect();
    if lost.is_empty() {
        Ok(())
    } else {
        wrong(format!("the same as on the 200: {}", lost.join(", ")))
    }
}

/// Returns the values of all lines of a field, to compare them. `Cache-Control` and
/// `Vary` are split into members, in lower case. What follows `=` is left out, because
/// a `max-age` may change from one answer to the next.
fn said(headers: &HeaderMap, name: &HeaderName) -> BTreeSet<String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if *name != header::CACHE_CONTROL && *name != header::VARY {
        return headers.get_all(name).iter().map(|line| text(line.as_bytes())).collect();
    }
    let names = members(headers, name)
        .map(|member| member.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii());
    names.filter(|name| !name.is_empty()).map(|name| text(name).to_ascii_lowercase()).collect()
}

fn has_right_length(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let plain = replaced(before, seen)?;
    if !seen.has(CONTENT_LENGTH) || is_zero(seen) {
        return Ok(());
    }
    match (seen.content_length(), plain.length().or(plain.content_length())) {
        (Some(length), Some(wanted)) if length == wanted => Ok(()),
        (Some(_), None) => moot("the length of the content is not known"),
        _ => wrong("the Content-Length of the 200, or none"),
    }
}

fn has_no_zero_length(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let plain = replaced(before, seen)?;
    if !is_zero(seen) {
        return Ok(());
    }
    match plain.length().or(plain.content_length()) {
        Some(0) => Ok(()),
        None if !plain.has_content() => moot("the length of the content is not known"),
        _ => wrong("the Content-Length of the 200, or none"),
    }
}

/// Expects the `Content-Length` of the 200, or none.
pub(super) fn has_length_of_whole(
    baseline: &Baseline,
    before: &[Answer],
    seen: &Answer,
) -> Result<(), Fault> {
    has_no_zero_length(baseline, before, seen)?;
    has_right_length(baseline, before, seen)
}

fn is_zero(answer: &Answer) -> bool {
    answer.content_length() == Some(0)
}

fn has_no_metadata(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    replaced(before, seen)?;
    named(METADATA.into_iter().filter(|name| seen.has(name)), "none of: ")
}

fn keeps_others(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let plain = replaced(before, seen)?;
    let may_go = |name: &HeaderName| {
        METADATA.contains(name)
            || MAY_GO.contains(&name.as_str())
            || KEPT.contains(name)
            || is_date(plain, name)
    };
    named(
        plain.headers().keys().filter(|name| !may_go(name) && !seen.has(*name)),
        "the same as on the 200: ",
    )
}

/// Returns true for the Last-Modified of a 200 that also has an ETag. The 304 may omit
/// it, because the ETag is enough.
fn is_date(plain: &Answer, name: &HeaderName) -> bool {
    *name == LAST_MODIFIED && plain.has(ETAG)
}

/// Fails if `names` is not empty. These fields are missing, or should not be there. The
/// text `wanted` precedes them in the report.
fn named(
    names: impl Iterator<Item = impl ToString + AsHeaderName>,
    wanted: &str,
) -> Result<(), Fault> {
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    if names.is_empty() {
        Ok(())
    } else {
        wrong(wanted.to_owned() + &names.join(", "))
    }
}

const METADATA: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    header::TRANSFER_ENCODING,
    header::TRAILER,
];

/// The fields that the check `304/fields` compares.
const KEPT: [HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_LOCATION,
    header::DATE,
    ETAG,
    header::EXPIRES,
    header::VARY,
];

/// The fields that a 304 may omit: they describe the content, the connection, or the
/// stored copy.
const MAY_GO: [&str; 10] = [
    "accept-ranges",
    "age",
    "connection",
    "content-digest",
    "content-disposition",
    "content-length",
    "content-md5",
    "digest",
    "keep-alive",
    "repr-digest",
];
