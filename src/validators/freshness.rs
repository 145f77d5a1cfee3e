//! What a response says about its freshness ([RFC 9111, section
//! 4.2](https://www.rfc-editor.org/rfc/rfc9111.html#section-4.2)), and what is added to
//! it: `no-cache`, so that a date does not make it fresh.

#[cfg(feature = "client")]
use http::header::AGE;
use http::{
    header::{CACHE_CONTROL, EXPIRES},
    HeaderMap, HeaderValue,
};

use crate::{fields::append_field, rules::trim_ows};

/// Which responses get a `Last-Modified` that they lack, and what else they get with
/// it.
///
/// A response with a date that says nothing about its freshness is *heuristically
/// fresh* ([RFC 9111, section 4.2.2]): a browser that sees an old `Last-Modified` and
/// neither `max-age` nor `no-cache` may use its copy for a while without asking. So
/// adding the date alone would switch revalidation off for clients that asked every
/// time before.
///
/// A response states its freshness with `max-age`, `s-maxage`, `no-cache` or
/// `no-store` in `Cache-Control`, or with `Expires`. `private` alone does not.
///
/// [RFC 9111, section 4.2.2]: https://www.rfc-editor.org/rfc/rfc9111.html#section-4.2.2
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddLastModified {
    /// All, and those that do not state their freshness get `Cache-Control: no-cache`,
    /// too: caches may store them, and ask every time, which is what a 304 is for. The
    /// default.
    ///
    /// A shared cache whose own configuration gives silent responses a lifetime
    /// (nginx's `proxy_cache_valid`, stock Varnish) stops storing them then. Behind
    /// such a proxy, state `Cache-Control` in the application or choose
    /// [`IfFreshnessStated`](Self::IfFreshnessStated).
    #[default]
    WithNoCache,
    /// Only those that state their freshness: a tag alone makes nothing fresh.
    IfFreshnessStated,
    /// All, and nothing else is added. Only if you know all clients and caches.
    Alone,
    /// None.
    Never,
}

impl AddLastModified {
    /// Returns true if a response gets a date; `is_silent` if it does not state its
    /// freshness.
    pub(crate) fn adds_date(self, is_silent: bool) -> bool {
        match self {
            Self::WithNoCache | Self::Alone => true,
            Self::IfFreshnessStated => !is_silent,
            Self::Never => false,
        }
    }

    /// Returns true if a response that gets a date gets `no-cache`, too.
    pub(crate) fn adds_no_cache(self, is_silent: bool) -> bool {
        self == Self::WithNoCache && is_silent
    }
}

/// Adds `Cache-Control: no-cache`, so that a date does not make the response
/// heuristically fresh.
#[inline]
pub(crate) fn add_no_cache(headers: &mut HeaderMap) {
    append_field(headers, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// What a line of `Cache-Control` says.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheControl {
    /// It says `no-store`.
    pub(super) no_store: bool,
    /// It says `private`, of the whole response.
    pub(super) private: bool,
    /// It says how long the response is fresh.
    pub(super) freshness: bool,
}

/// Returns true if nothing in a head says how long the response is fresh.
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
        // With a list of fields, `no-cache` is about those only.
        said.freshness |= is(b"max-age")
            || is(b"s-maxage")
            || is(b"no-store")
            || is(b"no-cache") && argument.is_none();
    }
    said
}

/// Returns true if a message says `no-store`.
#[cfg(feature = "client")]
pub(crate) fn forbids_storing(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|line| read(line).no_store)
}

/// Returns for how many seconds a private cache may use a response without asking: its
/// `max-age`, less the `Age` of the message that brought or confirmed it.
///
/// It is 0 if the response says nothing, or `no-cache` or `no-store`. Deliberately,
/// `Expires` is not read: it needs clocks that agree.
#[cfg(feature = "client")]
pub(crate) fn fresh_seconds(headers: &HeaderMap, message: &HeaderMap) -> u32 {
    let mut max_age = None;
    for (name, argument) in headers.get_all(CACHE_CONTROL).iter().flat_map(directives) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"no-store") || is(b"no-cache") && argument.is_none() {
            return 0;
        }
        if is(b"max-age") {
            // Of several, the shortest counts (RFC 9111, 4.2.1).
            let seconds = argument.and_then(seconds).unwrap_or(0);
            max_age = Some(max_age.unwrap_or(seconds).min(seconds));
        }
    }
    let age = message.get(AGE).and_then(|line| seconds(line.as_bytes()));
    max_age.unwrap_or(0).saturating_sub(age.unwrap_or(0))
}

/// Reads a number of seconds; one that is too large is the largest ([RFC 9111, section
/// 1.2.2](https://www.rfc-editor.org/rfc/rfc9111.html#section-1.2.2)).
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
