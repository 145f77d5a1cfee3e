//! The directives of `Cache-Control` ([RFC 9111, section
//! 5.2.2](https://www.rfc-editor.org/rfc/rfc9111.html#section-5.2.2)): what a response
//! says about its freshness, and the `no-cache` that the layer adds.

#[cfg(feature = "client")]
use http::header::AGE;
use http::{
    header::{CACHE_CONTROL, EXPIRES},
    HeaderMap, HeaderValue,
};

use crate::{header_map::append_field, rules::trim_ows};

/// Adds `Cache-Control: no-cache`. Otherwise a cache could use a response with a date
/// for a while without revalidation (heuristic freshness).
#[inline]
pub(crate) fn add_no_cache(headers: &mut HeaderMap) {
    append_field(headers, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// The directives in a line of `Cache-Control` that matter here.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheControl {
    pub(super) no_store: bool,
    /// There is `private` without a list of fields, so it applies to the
    /// whole response.
    pub(super) private: bool,
    /// The line states the freshness of the response: it has `max-age`, `s-maxage`,
    /// `no-cache` or `no-store`.
    pub(super) freshness: bool,
}

/// Returns true if the response does not state its freshness.
pub(crate) fn are_silent(headers: &HeaderMap) -> bool {
    !headers.contains_key(EXPIRES)
        && !headers.get_all(CACHE_CONTROL).iter().any(|line| read(line).freshness)
}

/// Reads a line of `Cache-Control`.
pub(super) fn read(line: &HeaderValue) -> CacheControl {
    let mut said = CacheControl { no_store: false, private: false, freshness: false };
    for (name, argument) in directives(line) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        said.private |= is(b"private") && argument.is_none();
        said.no_store |= is(b"no-store");
        // `no-cache` with a list of fields applies only to those fields, so it does not
        // count here.
        said.freshness |= is(b"max-age")
            || is(b"s-maxage")
            || is(b"no-store")
            || is(b"no-cache") && argument.is_none();
    }
    said
}

/// Returns true if a message has `no-store`.
#[cfg(feature = "client")]
pub(crate) fn forbids_storing(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|line| read(line).no_store)
}

/// Returns for how many seconds a private cache may use a response without a request:
/// the response's `max-age` minus the `Age` of `message`. `message` is the 200 that
/// brought the response, or the 304 that confirmed it.
///
/// The result is 0 without `max-age`, and with `no-cache` or `no-store`. Deliberately,
/// `Expires` is not read, because it depends on the clocks of both server and client.
#[cfg(feature = "client")]
pub(crate) fn fresh_seconds(headers: &HeaderMap, message: &HeaderMap) -> u32 {
    let mut max_age = None;
    for (name, argument) in headers.get_all(CACHE_CONTROL).iter().flat_map(directives) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"no-store") || is(b"no-cache") && argument.is_none() {
            return 0;
        }
        if is(b"max-age") {
            // If there are several `max-age`, the shortest is used (RFC 9111, 4.2.1).
            let seconds = argument.and_then(seconds).unwrap_or(0);
            max_age = Some(max_age.unwrap_or(seconds).min(seconds));
        }
    }
    let age = message.get(AGE).and_then(|line| seconds(line.as_bytes()));
    max_age.unwrap_or(0).saturating_sub(age.unwrap_or(0))
}

/// Reads a number of seconds. A number that is too large becomes the maximum ([RFC
/// 9111, section 1.2.2](https://www.rfc-editor.org/rfc/rfc9111.html#section-1.2.2)).
#[cfg(feature = "client")]
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    let text = trim_ows(text);
    let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u32, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}

/// Reads the directives of a line of `Cache-Control`, as name and argument.
fn directives(line: &HeaderValue) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let (mut quoted, mut escaped) = (false, false);
    let members = line.as_bytes().split(move |&byte| {
        quoted ^= byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        byte == b',' && !quoted
    });
    members.map(|member| {
        let mut sides = member.splitn(2, |&byte| byte == b'=');
        (trim_ows(sides.next().unwrap_or_default()), sides.next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_on_freshness_ends_the_silence() {
        for (line, silent) in [
            ("private", true),
            ("public, must-revalidate", true),
            ("stale-while-revalidate=60", true),
            ("no-cache=\"set-cookie\"", true),
            ("ext=\"a, max-age=5, b\"", true),
            ("max-age", false),
            ("max-age=0", false),
            ("private, Max-Age=60", false),
            ("s-maxage=60", false),
            ("no-cache", false),
            ("NO-STORE", false),
            (" no-cache ", false),
            ("ext=\"a,b\",no-cache", false),
            (r#"ext="\"", no-cache"#, false),
            (r#"ext="\\", no-cache"#, false),
            (r#"ext="\", no-cache""#, true),
        ] {
            assert_eq!(read(&HeaderValue::from_static(line)).freshness, !silent, "{line:?}");
        }
    }

    #[cfg(feature = "client")]
    #[test]
    fn max_age_is_a_time_of_freshness_unless_revoked() {
        for (line, age, fresh) in [
            ("max-age=60", None, 60),
            ("private, Max-Age=\"60\"", None, 60),
            ("max-age=60", Some("20"), 40),
            ("max-age=60", Some("61"), 0),
            ("max-age=60", Some("x"), 60),
            ("max-age=60, no-cache", None, 0),
            ("max-age=60, no-cache=\"set-cookie\"", None, 60),
            ("max-age=60, no-store", None, 0),
            ("max-age=60, max-age=5", None, 5),
            ("max-age=99999999999999999999", None, u32::MAX),
            ("max-age=-1", None, 0),
            ("max-age", None, 0),
            ("max-age=", None, 0),
            ("s-maxage=60", None, 0),
            ("public", None, 0),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(line));
            age.and_then(|age| headers.insert(AGE, HeaderValue::from_static(age)));
            assert_eq!(fresh_seconds(&headers, &headers), fresh, "{line} {age:?}");
        }
    }
}
