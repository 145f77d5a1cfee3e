//! The head of a response, which a client keeps to make requests conditional. A 304
//! updates the head ([RFC 9111, section
//! 4.3](https://www.rfc-editor.org/rfc/rfc9111.html#section-4.3)).
//!
//! This module does no I/O and does not depend on Tower.

use std::collections::HashSet;

use http::{
    header::{
        HeaderName, AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
        LAST_MODIFIED, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SET_COOKIE, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE, VARY,
    },
    HeaderMap, HeaderValue,
};

use crate::{
    clock,
    header_map::{append_field, insert_field},
    rules::{is_digest, members, single_line, EntityTag, HttpDate, Validators},
};

/// The head of a response, which a client keeps to revalidate the content later.
///
/// Use it with any client that has a [`HeaderMap`]. Keep the `StoredHead` together with
/// the content, call [`ask`](Self::ask) before the next request, and call
/// [`merge`](Self::merge) if the answer is 304 (Not Modified).
/// [`Polled`](super::Polled) and [`RevalidateLayer`](super::RevalidateLayer) do that
/// for Tower clients.
///
/// All fields are copied and kept, except those about one message or one connection:
/// `Set-Cookie`, `Age`, `Transfer-Encoding`, `Connection` and the fields that it names,
/// and similar ones ([RFC 9111, section 3.1]).
///
/// # Examples
///
/// ```
/// use http::{header, HeaderMap};
/// use tower_conditional::client::StoredHead;
///
/// // The first answer is a 200 with these fields.
/// let mut response = HeaderMap::new();
/// response.insert(header::ETAG, "\"v1\"".parse().unwrap());
/// let mut stored = StoredHead::new(&response);
///
/// // The next request asks whether the content is still current.
/// let mut request = HeaderMap::new();
/// stored.ask(&mut request);
/// assert_eq!(request[header::IF_NONE_MATCH], "\"v1\"");
///
/// // The answer is a 304. If it is about this response, the content is current.
/// assert!(stored.merge(&response));
/// response.insert(header::ETAG, "\"v2\"".parse().unwrap());
/// assert!(!stored.merge(&response));
/// ```
///
/// [RFC 9111, section 3.1]: https://www.rfc-editor.org/rfc/rfc9111.html#section-3.1
#[derive(Clone, Debug, Default)]
pub struct StoredHead {
    headers: HeaderMap,
    validators: Validators,
}

impl StoredHead {
    /// Copies the head of a response with content, such as a 200.
    #[must_use]
    pub fn new(response: &HeaderMap) -> Self {
        let mut headers = HeaderMap::with_capacity(response.keys_len());
        for (name, value) in kept(response) {
            append_field(&mut headers, name.clone(), copied(value));
        }
        Self { validators: Validators::from_headers(&headers), headers }
    }

    /// Returns the kept fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the tag and the date of the content, if they are valid.
    pub fn validators(&self) -> &Validators {
        &self.validators
    }

    /// Makes a GET or HEAD conditional. Returns false if that is not possible.
    ///
    /// Adds If-None-Match with the tag. If there is no tag, this adds
    /// If-Modified-Since, but only if `Last-Modified` is at least two seconds before
    /// `Date`. Content that is sent in the second of its change can change again in
    /// that second. The new content then has the same date. RFC 9110, section 8.8.2.2,
    /// requires one second between the two dates. Here two seconds are required,
    /// because `Date` may be generated a second later than the content.
    ///
    /// A request that already has preconditions or a `Range` is not changed. A tag of
    /// more than 1 KiB is not added, because many servers would refuse such a request.
    pub fn ask(&self, request: &mut HeaderMap) -> bool {
        if OWN_QUESTIONS.iter().any(|name| request.contains_key(name)) {
            return false;
        }
        let question = self.question();
        let can_ask = question.is_some();
        if let Some((name, value)) = question {
            insert_field(request, name, value);
        }
        can_ask
    }

    /// Returns true if [`ask`](Self::ask) can make a request conditional.
    pub(super) fn can_ask(&self) -> bool {
        self.question().is_some()
    }

    fn question(&self) -> Option<(HeaderName, HeaderValue)> {
        match &self.validators.etag {
            Some(tag) if tag.opaque().len() > TAG_LIMIT => None,
            Some(tag) => Some((IF_NONE_MATCH, tag.into())),
            // The date is sent exactly as it was received (RFC 9110, 13.1.3).
            None => self.strong_date().map(|date| (IF_MODIFIED_SINCE, date.clone())),
        }
    }

    /// Makes a write conditional, with If-Match.
    ///
    /// Returns false if there is no strong tag. The write is then not protected.
    ///
    /// A weak tag never matches in If-Match (RFC 9110, section 13.1.1). A date is not
    /// used, because two edits within one second have the same date.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{header, HeaderMap};
    /// use tower_conditional::client::StoredHead;
    ///
    /// let mut response = HeaderMap::new();
    /// response.insert(header::ETAG, "\"v1\"".parse().unwrap());
    /// let mut put = HeaderMap::new();
    /// assert!(StoredHead::new(&response).guard(&mut put));
    /// assert_eq!(put[header::IF_MATCH], "\"v1\"");
    /// ```
    #[must_use = "without a strong tag the write is not protected"]
    pub fn guard(&self, request: &mut HeaderMap) -> bool {
        let tag = self.strong_tag();
        if let Some(tag) = tag {
            insert_field(request, IF_MATCH, tag.into());
        }
        tag.is_some()
    }

    /// Updates the kept fields from a 304 to a request that [`ask`](Self::ask) has
    /// made conditional.
    ///
    /// Returns false, and changes nothing, if the 304 is not about this response.
    ///
    /// | the 304 has | it confirms this response if |
    /// |---|---|
    /// | a tag, and this response has one, too | the tags are the same, compared weakly |
    /// | a tag, and this response has none | the dates are the same |
    /// | only a date | this response has the same date |
    /// | neither | always, because the request named only this response |
    /// | an invalid tag, or several tags | never |
    ///
    /// This table follows [RFC 9111, section 4.3.4], with two deviations for existing
    /// servers:
    ///
    /// - A 304 with neither tag nor date is accepted, because some servers send it.
    /// - Tags are compared weakly. When nginx compresses a 200, it makes the tag weak,
    ///   but the 304 still has the strong tag.
    ///
    /// Each field of the 304 replaces the stored field with the same name ([section
    /// 3.2]), with these exceptions:
    ///
    /// - Fields that describe the content are not replaced: `Content-Length`,
    ///   `Content-Type`, `Content-Encoding`, `Content-Range`, and digests.
    /// - Fields that are never kept, such as `Set-Cookie`, are ignored.
    /// - The tag of this response is not replaced, so it stays as strong or as weak as
    ///   it was.
    /// - The names in `Vary` of the 304 are added to the stored names, and none is
    ///   removed. For example, some servers omit the `Vary: Accept` of the 200 in the
    ///   304. The response must still not be used for a request with another `Accept`.
    ///
    /// If the head would become larger than 64 KiB, this returns false, so that a
    /// server cannot make it grow without limit.
    ///
    /// [RFC 9111, section 4.3.4]: https://www.rfc-editor.org/rfc/rfc9111.html#section-4.3.4
    /// [section 3.2]: https://www.rfc-editor.org/rfc/rfc9111.html#section-3.2
    #[must_use = "the content is current only if this returns true"]
    pub fn merge(&mut self, not_modified: &HeaderMap) -> bool {
        let merged = self.merged(not_modified);
        let is_confirmed = merged.is_some();
        if let Some(merged) = merged {
            *self = merged;
        }
        is_confirmed
    }

    /// Returns the head that a 304 has updated, or `None` if [`merge`](Self::merge)
    /// would return false.
    pub(super) fn merged(&self, not_modified: &HeaderMap) -> Option<Self> {
        if !self.is_confirmed_by(not_modified) {
            return None;
        }
        let mut headers = self.headers.clone();
        let has_tag = self.validators.etag.is_some();
        let replaces = |name: &HeaderName| {
            !(describes_content(name) || *name == VARY || has_tag && *name == ETAG)
        };
        let lines: Vec<_> = kept(not_modified).collect();
        let updates = || lines.iter().filter(|(name, _)| replaces(name));
        for (name, _) in updates() {
            headers.remove(*name);
        }
        for &(name, value) in updates() {
            append_field(&mut headers, name.clone(), copied(value));
        }
        add_vary(&mut headers, &lines);
        let is_short = bytes(&headers) <= HEAD_LIMIT;
        is_short.then(|| Self { validators: Validators::from_headers(&headers), headers })
    }

    /// Returns the tag, if it is strong.
    pub(super) fn strong_tag(&self) -> Option<&EntityTag> {
        self.validators.etag.as_ref().filter(|tag| !tag.is_weak())
    }

    /// Returns the number of bytes of the fields.
    pub(super) fn bytes(&self) -> usize {
        bytes(&self.headers)
    }

    /// Returns the date for If-Modified-Since, if it is at least two seconds before
    /// `Date`.
    fn strong_date(&self) -> Option<&HeaderValue> {
        let modified = self.validators.last_modified?.date();
        let sent = single_line(&self.headers, DATE)?;
        let sent = HttpDate::parse_with(sent.as_bytes(), clock::now)?;
        let is_strong = modified.next_second() < sent;
        is_strong.then(|| single_line(&self.headers, LAST_MODIFIED))?
    }

    fn is_confirmed_by(&self, not_modified: &HeaderMap) -> bool {
        let theirs = Validators::from_headers(not_modified);
        let same_date = || {
            let date = self.validators.last_modified;
            date.is_some() && date == theirs.last_modified
        };
        match (&self.validators.etag, &theirs.etag) {
            (Some(own), Some(tag)) => own.weak_eq(tag),
            (None, Some(_)) => same_date(),
            (_, None) if not_modified.contains_key(ETAG) => false,
            (_, None) if not_modified.contains_key(LAST_MODIFIED) => same_date(),
            (_, None) => true,
        }
    }
}

/// Returns the header lines of a response that are kept.
fn kept(response: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let named = response.get_all(CONNECTION).iter().flat_map(members);
    let lines = lines_not_named(response, named);
    lines.filter(|(name, _)| !is_about_the_message(name))
}

/// Returns the lines with none of the names in `Connection`. The names are read only
/// once: a server may send very many.
fn lines_not_named<'a>(
    response: &'a HeaderMap,
    named: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
    let names = named.filter_map(|name| HeaderName::from_bytes(name).ok());
    let names: HashSet<_> = names.filter(|name| response.contains_key(name)).collect();
    response.iter().filter(move |(name, _)| !names.contains(*name))
}

/// Adds the names in `Vary` of a 304 that the stored `Vary` does not have.
fn add_vary(stored: &mut HeaderMap, not_modified: &[(&HeaderName, &HeaderValue)]) {
    let names = stored.get_all(VARY).iter().flat_map(members);
    let mut known: HashSet<_> = names.map(<[u8]>::to_ascii_lowercase).collect();
    let lines = not_modified.iter().filter(|(name, _)| *name == VARY);
    for name in lines.flat_map(|(_, line)| members(line)) {
        if known.insert(name.to_ascii_lowercase())
            && let Ok(name) = HeaderValue::from_bytes(name)
        {
            append_field(stored, VARY, name);
        }
    }
}

/// Returns true for fields about one message or one connection.
///
/// `Set-Cookie` is one of them. If it were kept, each reuse of the response would set
/// the old cookie again, and could overwrite a newer one.
pub(super) fn is_about_the_message(name: &HeaderName) -> bool {
    const FIELDS: [HeaderName; 9] = [
        AGE,
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    FIELDS.contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "proxy-authentication-info")
}

/// Returns true for fields of the stored content that a 304 cannot change.
///
/// Digests are among them. The tags of the 304 and of the stored content may be equal
/// only weakly. A `Repr-Digest` in the 304 may then belong to other bytes.
fn describes_content(name: &HeaderName) -> bool {
    const FIELDS: [HeaderName; 4] = [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE];
    FIELDS.contains(name) || is_digest(name.as_str()) || name.as_str() == "unencoded-digest"
}

/// Copies a value. The original may share the buffer in which the whole response was
/// received, and would then keep that buffer in memory.
fn copied(value: &HeaderValue) -> HeaderValue {
    let copy = HeaderValue::from_bytes(value.as_bytes());
    copy.map_or_else(
        |_| value.clone(),
        |mut copy| {
            copy.set_sensitive(value.is_sensitive());
            copy
        },
    )
}

fn bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// The fields of a request that is already conditional, or that asks for a range.
pub(super) const OWN_QUESTIONS: [HeaderName; 6] =
    [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE];

/// The maximum number of bytes of a tag that is sent. Servers refuse requests with
/// large fields, usually above 8 KiB in total.
const TAG_LIMIT: usize = 1 << 10;

/// The maximum number of bytes of a head that a 304 has updated.
const HEAD_LIMIT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    type Lines<'a> = &'a [(&'static str, &'a str)];

    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const SECOND_AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const TWO_AFTER: &str = "Sun, 06 Nov 1994 08:49:39 GMT";

    fn headers(lines: Lines<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    fn stored(lines: Lines<'_>) -> StoredHead {
        StoredHead::new(&headers(lines))
    }

    #[test]
    fn a_read_is_asked_by_tag_or_else_by_a_strong_date() {
        const STRONG: [(&str, &str); 2] = [("last-modified", DAY), ("date", TWO_AFTER)];
        for (response, request, asked) in [
            (&[("etag", "\"v1\"")][..], &[][..], Some(("if-none-match", "\"v1\""))),
            (
                &[("etag", "W/\"v1\""), STRONG[0], STRONG[1]],
                &[],
                Some(("if-none-match", "W/\"v1\"")),
            ),
            (&STRONG, &[], Some(("if-modified-since", DAY))),
            (&[("etag", "v1"), STRONG[0], STRONG[1]], &[], Some(("if-modified-since", DAY))),
            (&[("last-modified", DAY), ("date", SECOND_AFTER)], &[], None),
            (&[("last-modified", DAY), ("date", DAY)], &[], None),
            (&[("last-modified", TWO_AFTER), ("date", DAY)], &[], None),
            (&[("last-modified", DAY)], &[], None),
            (&[("last-modified", DAY), ("date", "today")], &[], None),
            (&[("etag", "\"v1\""), ("etag", "\"v2\"")], &[], None),
            (&[("content-type", "text/plain")], &[], None),
            (&[("etag", "\"v1\"")], &[("range", "bytes=0-1")], None),
            (&[("etag", "\"v1\"")], &[("if-none-match", "\"own\"")], None),
            (&[("etag", "\"v1\"")], &[("if-match", "*")], None),
            (&[("etag", "\"v1\"")], &[("if-modified-since", DAY)], None),
            (&[("etag", "\"v1\"")], &[("if-unmodified-since", DAY)], None),
            (&[("etag", "\"v1\"")], &[("if-range", "\"own\"")], None),
        ] {
            let mut sent = headers(request);
            assert_eq!(
                stored(response).ask(&mut sent),
                asked.is_some(),
                "{response:?} {request:?}"
            );
            let mut expected = headers(request);
            if let Some((name, value)) = asked {
                expected.insert(name, value.parse().unwrap());
            }
            assert_eq!(sent, expected, "{response:?} {request:?}");
        }
    }

    #[test]
    fn a_tag_that_may_be_too_long_for_a_request_is_not_sent() {
        for (len, asks) in [(1 << 10, true), ((1 << 10) + 1, false), (60_000, false)] {
            let head = stored(&[("etag", &format!("\"{}\"", "x".repeat(len)))]);
            assert_eq!(head.ask(&mut HeaderMap::new()), asks, "{len}");
        }
    }

    #[test]
    fn a_write_is_guarded_by_a_strong_tag_only() {
        for (response, guarded) in [
            (&[("etag", "\"v1\"")][..], true),
            (&[("etag", "W/\"v1\"")], false),
            (&[("etag", "v1")], false),
            (&[("last-modified", DAY), ("date", TWO_AFTER)], false),
        ] {
            let mut sent = headers(&[("if-match", "\"old\"")]);
            assert_eq!(stored(response).guard(&mut sent), guarded, "{response:?}");
            assert_eq!(
                sent["if-match"],
                if guarded { "\"v1\"" } else { "\"old\"" },
                "{response:?}"
            );
        }
    }

    #[test]
    fn a_304_confirms_the_response_that_it_names() {
        const DATE: (&str, &str) = ("last-modified", DAY);
        const OTHER: (&str, &str) = ("last-modified", TWO_AFTER);
        const TAG: (&str, &str) = ("etag", "\"v1\"");
        const WEAK: (&str, &str) = ("etag", "W/\"v1\"");
        for (response, not_modified, confirms) in [
            (&[TAG][..], &[TAG][..], true),
            (&[TAG], &[WEAK], true),
            (&[WEAK], &[TAG], true),
            (&[TAG], &[("etag", "\"v2\"")], false),
            (&[TAG, DATE], &[("etag", "\"v2\""), DATE], false),
            (&[("etag", "\"v1~gzip\"")], &[TAG], false),
            (&[("etag", "\"v1-gzip\"")], &[TAG], false),
            (&[TAG], &[("etag", "\"v1-gzip\"")], false),
            (&[TAG], &[("etag", "v1")], false),
            (&[TAG], &[TAG, TAG], false),
            (&[TAG, DATE], &[TAG, OTHER], true),
            (&[TAG, DATE], &[DATE], true),
            (&[TAG, DATE], &[OTHER], false),
            (&[TAG], &[DATE], false),
            (&[TAG], &[], true),
            (&[DATE], &[], true),
            (&[DATE], &[DATE], true),
            (&[DATE], &[OTHER], false),
            (&[DATE], &[("last-modified", "never")], false),
            (&[DATE], &[DATE, TAG], true),
            (&[DATE], &[TAG], false),
            (&[DATE], &[OTHER, TAG], false),
        ] {
            let mut head = stored(response);
            let confirmed = head.merge(&headers(not_modified));
            assert_eq!(confirmed, confirms, "{response:?} {not_modified:?}");
            if !confirms {
                assert_eq!(head.headers(), &headers(response), "nothing changes");
            }
        }
    }

    #[test]
    fn a_304_changes_what_is_not_about_the_content() {
        for (name, stays) in [
            ("cache-control", false),
            ("date", false),
            ("expires", false),
            ("content-language", false),
            ("content-location", false),
            ("content-security-policy", false),
            ("x-anything", false),
            ("content-length", true),
            ("content-type", true),
            ("content-encoding", true),
            ("content-range", true),
            ("content-digest", true),
            ("content-md5", true),
            ("digest", true),
            ("repr-digest", true),
            ("unencoded-digest", true),
        ] {
            let mut head = stored(&[("etag", "\"v1\""), (name, "1"), (name, "2"), ("x-old", "1")]);
            assert!(head.merge(&headers(&[("etag", "W/\"v1\""), (name, "3"), (name, "4")])));
            let lines: Vec<_> = head.headers().get_all(name).iter().collect();
            assert_eq!(lines, if stays { ["1", "2"] } else { ["3", "4"] }, "{name}");
            assert_eq!(head.headers()["etag"], "\"v1\"", "{name}");
            assert_eq!(head.headers()["x-old"], "1", "{name}");
        }
    }

    #[test]
    fn a_304_adds_names_to_vary_and_takes_none_away() {
        for (first, second, expected) in [
            (&["accept"][..], &["origin"][..], &["accept", "origin"][..]),
            (&["accept"], &["Accept"], &["accept"]),
            (&["accept"], &[""], &["accept"]),
            (&["accept"], &[], &["accept"]),
            (&[], &["accept"], &["accept"]),
            (&["a, b"], &["B", "c,, A,C", "d"], &["a, b", "c", "d"]),
            (&["accept"], &["*"], &["accept", "*"]),
            (&["*"], &["accept"], &["*", "accept"]),
            (&["accept"], &["a b"], &["accept", "a b"]),
        ] {
            let lines = |values: &[&'static str]| -> HeaderMap {
                values.iter().map(|value| (VARY, HeaderValue::from_static(value))).collect()
            };
            let mut head = StoredHead::new(&lines(first));
            for _ in 0..2 {
                assert!(head.merge(&lines(second)));
                assert_eq!(head.headers(), &lines(expected), "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn what_is_about_one_message_is_never_kept() {
        let of_message = [
            ("age", "7"),
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "1"),
            ("proxy-authorization", "1"),
            ("proxy-connection", "close"),
            ("set-cookie", "a=b"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
        ];
        let mut head = stored(&of_message);
        assert_eq!(head.headers(), &HeaderMap::new());
        assert!(head.merge(&headers(&of_message)));
        assert_eq!(head.headers(), &HeaderMap::new());
    }

    #[test]
    fn names_in_connection_are_read_once_for_all_lines() {
        let mut response = HeaderMap::new();
        for i in 0..100 {
            let name: HeaderName = format!("x-{i}").parse().unwrap();
            response.append(name, HeaderValue::from_static("1"));
        }
        let read = std::cell::Cell::new(0);
        let names = ["X-7", "", "x-none", "no name", "x-98", "x-7"].map(str::as_bytes);
        let named = names.iter().copied().cycle().take(6_000);
        let counted = named.inspect(|_| read.set(read.get() + 1));
        let lines = lines_not_named(&response, counted);
        let left: Vec<_> = lines.map(|(name, _)| name.as_str()).collect();
        assert_eq!((left.len(), read.get()), (98, 6_000));
        assert!(!left.contains(&"x-7") && !left.contains(&"x-98"));
    }

    #[test]
    fn a_304_may_bring_the_tag_that_was_missing() {
        let mut head = stored(&[("last-modified", DAY)]);
        assert!(head.merge(&headers(&[("last-modified", DAY), ("etag", "\"v1\"")])));
        assert_eq!(head.validators().etag, Some(EntityTag::strong("v1").unwrap()));
    }

    #[test]
    fn no_flood_of_304s_makes_a_head_grow_without_bound() {
        let mut head = stored(&[("etag", "\"v1\"")]);
        let value = "x".repeat(1 << 10);
        let merged = (0..100).take_while(|i| {
            let mut not_modified = HeaderMap::new();
            let name: HeaderName = format!("x-{i}").parse().unwrap();
            not_modified.insert(name, value.parse().unwrap());
            head.merge(&not_modified)
        });
        assert_eq!(merged.count(), 63);
        assert!(head.bytes() <= HEAD_LIMIT);
    }

    #[test]
    fn a_full_head_is_no_panic() {
        let mut full = headers(&[("etag", "\"v1\"")]);
        for i in 0..20_000 {
            full.append(
                HeaderName::from_bytes(format!("x{i}").as_bytes()).unwrap(),
                HeaderValue::from_static("1"),
            );
        }
        let mut other = full.clone();
        for _ in 0..4_000 {
            other.append("y", HeaderValue::from_static("1"));
        }
        let mut head = StoredHead::new(&full);
        assert!(!head.merge(&other), "it is too long");
        assert!(head.ask(&mut HeaderMap::new()));
    }

    #[test]
    fn values_are_copied_and_stay_sensitive() {
        let buffer = bytes::Bytes::from(vec![b'x'; 1 << 10]);
        let mut value = HeaderValue::from_maybe_shared(buffer.slice(..8)).unwrap();
        value.set_sensitive(true);
        let head = StoredHead::new(&HeaderMap::from_iter([(ETAG, value)]));
        assert!(buffer.is_unique());
        assert!(head.headers()[ETAG].is_sensitive());
    }
}
