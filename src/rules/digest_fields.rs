//! Digest fields ([RFC 9530](https://www.rfc-editor.org/rfc/rfc9530.html)): their
//! names, and the digests that a client wants.

use http::{HeaderMap, HeaderName};

use super::{range::number, token_list::members, trim_ows};

/// The digest of the whole selected representation, in its content coding.
pub(crate) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

pub(crate) const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// Returns true if this field is a digest of the content of one message.
pub(crate) fn is_content_digest(name: &HeaderName) -> bool {
    matches!(name.as_str(), "content-digest" | "content-md5")
}

/// Returns true if this field is a digest, of the content of a message or of the
/// selected representation.
#[inline]
pub(crate) fn is_digest(name: &str) -> bool {
    matches!(name, "content-digest" | "content-md5" | "digest" | "repr-digest")
}

/// Returns true if a text can name an algorithm in a digest field ([RFC 9651, section
/// 3.1.2](https://www.rfc-editor.org/rfc/rfc9651.html#section-3.1.2)).
pub(crate) fn is_algorithm_key(text: &str) -> bool {
    let is_later = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'*' | b'_' | b'-' | b'.');
    text.starts_with(|first: char| first == '*' || first.is_ascii_lowercase())
        && text.bytes().all(is_later)
}

/// Returns true if `Want-Repr-Digest` refuses a digest with this algorithm (section
/// 4). It does so if the weight of the algorithm is 0, or if the field asks only for
/// other algorithms.
///
/// The field is a hint. A member without a weight from 0 to 10 is ignored. If an
/// algorithm occurs more than once, its last member is used.
pub(crate) fn refuses_digest(headers: &HeaderMap, algorithm: &str) -> bool {
    let (mut own, mut wants_another) = (None, false);
    let lines = headers.get_all(WANT_REPR_DIGEST).iter();
    for (name, weight) in lines.flat_map(members).filter_map(preference) {
        if name == algorithm.as_bytes() {
            own = Some(weight);
        } else {
            wants_another |= weight > 0;
        }
    }
    own.map_or(wants_another, |weight| weight == 0)
}

/// Reads a member: an algorithm and its weight.
fn preference(member: &[u8]) -> Option<(&[u8], u64)> {
    let equals = member.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (member.get(..equals)?, member.get(equals + 1..)?);
    // Parameters may follow the weight. RFC 9530 defines none, so they are ignored.
    let weight = number(trim_ows(value.split(|&byte| byte == b';').next()?))?;
    (weight <= 10).then_some((name, weight))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_algorithm_is_named_by_a_key_of_a_structured_field() {
        for (text, expected) in [
            ("sha-256", true),
            ("*md5.a_b-9", true),
            ("", false),
            ("SHA-256", false),
            ("2sha", false),
            ("sha 256", false),
            ("sha=256", false),
            ("sha\n", false),
        ] {
            assert_eq!(is_algorithm_key(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_digest_is_refused_by_weight_0_or_where_only_others_are_wanted() {
        for (lines, expected) in [
            (&[][..], false),
            (&[""], false),
            (&["sha-256=1"], false),
            (&["sha-256=10, sha-512=3"], false),
            (&["sha-512=10, sha-256=1, unixsum=0"], false),
            (&["sha-256=0"], true),
            (&["sha-512=5, sha-256=0"], true),
            (&["sha-512=5", "sha-256=0"], true),
            (&["sha-512=5"], true),
            (&["md5=1", "sha-512=0"], true),
            // The client does not ask for another algorithm either.
            (&["sha-512=0"], false),
            // The last member with a name is used (RFC 9651, 4.2.2).
            (&["sha-256=0, sha-256=1"], false),
            (&["sha-256=1", "sha-256=0"], true),
            (&["sha-256=0;x=1"], true),
            // Members with an invalid weight are ignored.
            (&["sha-256=11"], false),
            (&["sha-256=-1, sha-512=99"], false),
            (&["sha-256, sha-512"], false),
            (&["sha-512=0.5, sha-256=?0"], false),
            // Names are lower-case, so this member is ignored.
            (&["SHA-256=0"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(WANT_REPR_DIGEST, HeaderValue::from_static(line));
            }
            assert_eq!(refuses_digest(&headers, "sha-256"), expected, "{lines:?}");
        }
    }
}
