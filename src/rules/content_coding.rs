//! Content codings: the codings that a request accepts, and tags that name a coding.
//!
//! Encoded content has other bytes than the plain content, so it must have another
//! strong tag (RFC 9110, section [8.8.3.3]). For content that is encoded on the fly,
//! that tag is the tag of the plain content followed by the coding: `"v1"` becomes
//! `"v1~gzip"`. The plain tag can be read from this tag, so a client may send either
//! tag in the If-Match of a write.
//!
//! | tag of the application | content as it is | encoded with gzip |
//! |------------------------|------------------|-------------------|
//! | `"v1"`                 | `"v1"`           | `"v1~gzip"`       |
//! | `"v1~gzip"`            | `"v1~gzip~identity"` | `"v1~gzip~gzip"` |
//!
//! The second row shows why `~identity` is needed. Without it, `"v1~gzip"` could name
//! the plain content of the second row, or the encoded content of the first.
//!
//! [8.8.3.3]: https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8.3.3

use http::{
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
    HeaderMap, HeaderValue,
};
use memchr::memrchr;

use super::{members, single_line, trim_ows, EntityTag};

/// A content coding that a tag can name (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ContentCoding {
    /// No coding: the content is as the application gave it.
    Identity,
    Brotli,
    Compress,
    Deflate,
    Gzip,
    Zstd,
}

impl ContentCoding {
    const ALL: [Self; 6] =
        [Self::Identity, Self::Brotli, Self::Compress, Self::Deflate, Self::Gzip, Self::Zstd];

    /// Returns the registered name, as in a tag.
    fn name(self) -> &'static [u8] {
        match self {
            Self::Identity => b"identity",
            Self::Brotli => b"br",
            Self::Compress => b"compress",
            Self::Deflate => b"deflate",
            Self::Gzip => b"gzip",
            Self::Zstd => b"zstd",
        }
    }

    /// Reads the name of a coding in a tag. The name is case-sensitive.
    fn from_tag(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.name() == name)
    }

    /// Reads the name of a coding in a header field. The name is not case-sensitive,
    /// and the old names `x-gzip` and `x-compress` are accepted (section 8.4.1).
    fn from_field(name: &[u8]) -> Option<Self> {
        let is_old = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"x-"));
        let registered = if is_old { name.get(2..)? } else { name };
        let coding =
            Self::ALL.into_iter().find(|coding| registered.eq_ignore_ascii_case(coding.name()))?;
        let has_old_name = matches!(coding, Self::Compress | Self::Gzip);
        (!is_old || has_old_name).then_some(coding)
    }

    /// Returns the coding of a message. `None` if there are several codings, or if a
    /// tag cannot name the coding.
    pub(crate) fn of_message(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(CONTENT_ENCODING) {
            return Some(Self::Identity);
        }
        Self::from_field(trim_ows(single_line(headers, CONTENT_ENCODING)?.as_bytes()))
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The content codings that a request accepts (RFC 9110, section 12.5.3).
///
/// Without `Accept-Encoding` only identity is accepted. The RFC would allow any coding
/// then, but such a client may not be able to decode content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AcceptedCodings(u8);

impl AcceptedCodings {
    /// Reads all lines of `Accept-Encoding`.
    ///
    /// A coding is not accepted if its weight is invalid, or if it is named both with
    /// weight zero and with another weight. Identity is accepted by default. It is
    /// refused only by weight zero: that of `identity`, or that of `*` if `identity` is
    /// not named.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let (mut accepted, mut refused, mut others) = (0, 0, None);
        for member in headers.get_all(ACCEPT_ENCODING).iter().flat_map(members) {
            let (name, is_accepted) = preference(member);
            if name == b"*" {
                others = is_accepted.map(|accepts| accepts && others != Some(false)).or(others);
            }
            let Some(coding) = ContentCoding::from_field(name) else { continue };
            match is_accepted {
                Some(true) => accepted |= coding.bit(),
                None if coding == ContentCoding::Identity => {}
                Some(false) | None => refused |= coding.bit(),
            }
        }
        // `*` stands for all codings that are not named.
        let unnamed = !(accepted | refused);
        match others {
            Some(true) => accepted |= unnamed,
            Some(false) => refused |= unnamed,
            None => accepted |= ContentCoding::Identity.bit(),
        }
        Self(accepted & !refused)
    }

    pub(crate) fn accepts(self, coding: ContentCoding) -> bool {
        self.0 & coding.bit() != 0
    }
}

impl Default for AcceptedCodings {
    fn default() -> Self {
        Self(ContentCoding::Identity.bit())
    }
}

/// Splits a member of `Accept-Encoding` into the name of the coding, and whether it is
/// accepted. The latter is `None` if the weight is invalid.
fn preference(member: &[u8]) -> (&[u8], Option<bool>) {
    let mut parts = member.splitn(2, |&byte| byte == b';');
    let name = trim_ows(parts.next().unwrap_or_default());
    (name, parts.next().map_or(Some(true), is_positive))
}

/// Returns true if a weight is more than zero. `None` if the weight is invalid
/// (section 12.4.2).
fn is_positive(weight: &[u8]) -> Option<bool> {
    let [b'q' | b'Q', b'=', whole @ (b'0' | b'1'), fraction @ ..] = trim_ows(weight) else {
        return None;
    };
    let digits = match fraction {
        [] => fraction,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let is_zero = digits.iter().all(|digit| *digit == b'0');
    if !digits.iter().all(u8::is_ascii_digit) || *whole == b'1' && !is_zero {
        return None;
    }
    Some(*whole == b'1' || !is_zero)
}

/// Returns true if a request accepts a coding other than identity, so that its response
/// may be encoded.
pub(crate) fn accepts_coding(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().any(names_coding)
}

/// Returns true if a line of `Accept-Encoding` accepts a coding other than identity.
///
/// In doubt, for example if a weight is invalid, this returns true, whereas
/// [`AcceptedCodings`] does not accept the coding.
pub(crate) fn names_coding(line: &HeaderValue) -> bool {
    members(line).any(|member| {
        let (name, is_accepted) = preference(member);
        is_accepted != Some(false) && !name.eq_ignore_ascii_case(b"identity")
    })
}

/// Returns true if a line of `Accept-Encoding` has weights, and so may refuse a coding
/// with weight zero.
pub(crate) fn has_weights(line: &HeaderValue) -> bool {
    holds(line, b';')
}

/// Returns the coding that a listed tag names, if the rest of that tag is the given
/// plain tag. Otherwise returns `None`.
///
/// Both arguments are the bytes between the quotes. The layers, the checks of handlers,
/// and the write guard all compare tags from clients with this function.
pub(super) fn coding_of(listed: &[u8], plain: &[u8]) -> Option<ContentCoding> {
    let (named, coding) = split_coding(listed);
    (named == plain).then_some(coding)
}

/// Splits the bytes between the quotes of a tag into the plain tag and the coding.
///
/// At most one coding is removed, because the plain tag may itself end with one.
pub(crate) fn split_coding(sent: &[u8]) -> (&[u8], ContentCoding) {
    match split_name(sent) {
        // `~identity` is added only to a tag that itself ends with a coding.
        Some((plain, ContentCoding::Identity)) if split_name(plain).is_none() => {
            (sent, ContentCoding::Identity)
        }
        Some(split) => split,
        None => (sent, ContentCoding::Identity),
    }
}

/// Splits off `~` and the name of a coding.
fn split_name(opaque: &[u8]) -> Option<(&[u8], ContentCoding)> {
    let (plain, name) = opaque.split_at_checked(memrchr(SEPARATOR, opaque)?)?;
    Some((plain, ContentCoding::from_tag(name.get(1..)?)?))
}

/// Returns true if a line of If-Match or If-None-Match may name a coding.
#[inline]
pub(super) fn may_name_codings(line: &HeaderValue) -> bool {
    holds(line, SEPARATOR)
}

/// Returns true if a line contains a byte. Lines are short, so checking each byte is
/// faster than stopping at the first match.
#[inline]
fn holds(line: &HeaderValue, searched: u8) -> bool {
    line.as_bytes().iter().fold(false, |found, &byte| found | (byte == searched))
}

impl EntityTag {
    /// Returns true if the tag ends like one that names a coding, so it is sent with
    /// `~identity` at its end.
    #[inline]
    pub(crate) fn needs_identity(&self) -> bool {
        // Most tags have no `~` where the name of a coding would start, so a few bytes
        // are enough to exclude them.
        let may_end_in_one = matches!(
            self.as_bytes(),
            [.., SEPARATOR, _, _, b'"']
                | [.., SEPARATOR, _, _, _, _, b'"']
                | [.., SEPARATOR, _, _, _, _, _, _, _, b'"']
                | [.., SEPARATOR, _, _, _, _, _, _, _, _, b'"']
        );
        may_end_in_one && split_name(self.opaque()).is_some()
    }

    /// Returns the tag to send with content in a coding, if `self` is the plain tag.
    pub(crate) fn with_coding(&self, coding: ContentCoding) -> Self {
        if coding == ContentCoding::Identity && !self.needs_identity() {
            return self.clone();
        }
        let text = self.as_bytes();
        let open = text.strip_suffix(b"\"").unwrap_or(text);
        Self::from_quoted([open, &[SEPARATOR], coding.name(), b"\""].concat())
    }
}

/// The separator between a plain tag and the coding. Other software uses `-`, `;` and
/// `--`.
const SEPARATOR: u8 = b'~';

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn accepted(lines: &[&'static str]) -> String {
        let field = |line: &&'static str| (ACCEPT_ENCODING, HeaderValue::from_static(line));
        let accepted = AcceptedCodings::read(&lines.iter().map(field).collect());
        let names = ContentCoding::ALL.into_iter().filter(|coding| accepted.accepts(*coding));
        let names = names.map(|coding| std::str::from_utf8(coding.name()).unwrap());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn accept_encoding_says_which_codings_a_client_can_decode() {
        const ALL: &str = "identity br compress deflate gzip zstd";
        for (lines, expected) in [
            (&[][..], "identity"),
            (&[""], "identity"),
            (&["gzip"], "identity gzip"),
            (&["gzip, deflate, br, zstd"], "identity br deflate gzip zstd"),
            (&["gzip", "br"], "identity br gzip"),
            (&["GZip"], "identity gzip"),
            (&["x-gzip, X-COMPRESS"], "identity compress gzip"),
            (&["x-br"], "identity"),
            (&["lzma, x-"], "identity"),
            (&["gzip;q=0"], "identity"),
            (&["gzip; q=0.000 , br\t;\tQ=0.001"], "identity br"),
            (&["gzip;q=0."], "identity"),
            (&["gzip;q=1.000"], "identity gzip"),
            // A weight that cannot be read accepts nothing.
            (&["gzip;q=1.001"], "identity"),
            (&["gzip;q=2"], "identity"),
            (&["gzip;q=0.5000"], "identity"),
            (&["gzip;q=.5"], "identity"),
            (&["gzip;q= 0.5"], "identity"),
            (&["gzip;level=9"], "identity"),
            (&["gzip;q=0.5;x"], "identity"),
            // If there are two weights and one is zero, the coding is refused.
            (&["gzip, gzip;q=0"], "identity"),
            (&["gzip;q=0", "x-gzip"], "identity"),
            (&["*"], ALL),
            (&["*;q=0.1"], ALL),
            (&["*, gzip;q=0"], "identity br compress deflate zstd"),
            (&["*;q=0"], ""),
            (&["gzip, *;q=0"], "gzip"),
            (&["*;q=0, identity"], "identity"),
            (&["*, *;q=0"], ""),
            (&["*;q=x"], "identity"),
            (&["identity"], "identity"),
            (&["identity;q=0"], ""),
            (&["identity;q=0, gzip"], "gzip"),
            (&["identity;q=x"], "identity"),
            (&["identity;q=0, *"], "br compress deflate gzip zstd"),
        ] {
            assert_eq!(accepted(lines), expected, "{lines:?}");
        }
    }

    /// In doubt, a response may be encoded. For tags it is the other way round: in
    /// doubt, a coding is not accepted.
    #[test]
    fn a_response_may_be_encoded_unless_every_coding_is_refused() {
        for (lines, expected) in [
            (&[][..], false),
            (&["", "identity, IDENTITY;q=0.5"], false),
            (&["identity;q=1, *;q=0"], false),
            (&["gzip;q=0", "br; q=0.000"], false),
            (&["gzip"], true),
            (&["identity", "lzma"], true),
            (&["*;q=0, br;q=0.001"], true),
            (&["*"], true),
            (&["gzip, gzip;q=0"], true),
            (&["gzip;q=x"], true),
        ] {
            let field = |line: &&'static str| (ACCEPT_ENCODING, HeaderValue::from_static(line));
            let headers = lines.iter().map(field).collect();
            assert_eq!(accepts_coding(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn content_encoding_names_one_coding_or_none_that_a_tag_can() {
        for (lines, expected) in [
            (&[][..], Some(ContentCoding::Identity)),
            (&["gzip"], Some(ContentCoding::Gzip)),
            (&["X-GZIP"], Some(ContentCoding::Gzip)),
            (&["identity"], Some(ContentCoding::Identity)),
            (&["br"], Some(ContentCoding::Brotli)),
            (&["gzip, br"], None),
            (&["gzip", "br"], None),
            (&["dcb"], None),
            (&[""], None),
        ] {
            let field = |line: &&'static str| (CONTENT_ENCODING, HeaderValue::from_static(line));
            let headers = lines.iter().map(field).collect();
            assert_eq!(ContentCoding::of_message(&headers), expected, "{lines:?}");
        }
        let other = (HeaderName::from_static("x-coding"), HeaderValue::from_static("gzip"));
        let headers = HeaderMap::from_iter([other]);
        assert_eq!(ContentCoding::of_message(&headers), Some(ContentCoding::Identity));
    }

    /// All tags that are made of up to three of these pieces.
    fn tags() -> Vec<EntityTag> {
        let pieces = [
            "",
            "v1",
            "v2",
            "~",
            "~gzip",
            "~br",
            "~zstd",
            "~deflate",
            "~compress",
            "~identity",
            "~GZIP",
            "gzip",
            "identity",
        ];
        let mut texts = vec![String::new()];
        for _ in 0..3 {
            let longer = texts.iter().flat_map(|text| pieces.map(|piece| format!("{text}{piece}")));
            texts = longer.collect();
            texts.sort();
            texts.dedup();
        }
        let strong = texts.iter().map(|text| EntityTag::strong(text).unwrap());
        let weak = texts.iter().map(|text| EntityTag::weak(text).unwrap());
        strong.chain(weak).collect()
    }

    #[test]
    fn a_tag_with_its_coding_names_one_plain_tag_and_one_coding() {
        let tags = tags();
        assert!(tags.len() > 1_000, "{}", tags.len());
        let mut sent = std::collections::HashMap::new();
        for plain in &tags {
            for coding in ContentCoding::ALL {
                let tag = plain.with_coding(coding);
                assert_eq!(tag.is_weak(), plain.is_weak());
                assert_eq!(split_coding(tag.opaque()), (plain.opaque(), coding), "{tag}");
                assert_eq!(coding_of(tag.opaque(), plain.opaque()), Some(coding), "{tag}");
                let others = sent.insert(tag.clone(), (plain.clone(), coding));
                assert_eq!(others, None, "{tag}");
                let is_escaped = coding == ContentCoding::Identity && tag != *plain;
                assert_eq!(is_escaped || coding != ContentCoding::Identity, tag.needs_identity());
            }
        }
    }

    #[test]
    fn a_tag_names_no_coding_unless_it_ends_in_one() {
        for (opaque, expected) in [
            ("v1", ("v1", ContentCoding::Identity)),
            ("", ("", ContentCoding::Identity)),
            ("~", ("~", ContentCoding::Identity)),
            ("gzip", ("gzip", ContentCoding::Identity)),
            ("~gzip", ("", ContentCoding::Gzip)),
            ("v1~gzip", ("v1", ContentCoding::Gzip)),
            ("v1~GZIP", ("v1~GZIP", ContentCoding::Identity)),
            ("v1~x-gzip", ("v1~x-gzip", ContentCoding::Identity)),
            ("v1-gzip", ("v1-gzip", ContentCoding::Identity)),
            ("v1~gzip2", ("v1~gzip2", ContentCoding::Identity)),
            ("v1~gzip~gzip", ("v1~gzip", ContentCoding::Gzip)),
            ("v1~gzip~br", ("v1~gzip", ContentCoding::Brotli)),
            ("v1~gzip~identity", ("v1~gzip", ContentCoding::Identity)),
            // `"v1"` does not need `~identity`, so this tag was not made from `"v1"`.
            ("v1~identity", ("v1~identity", ContentCoding::Identity)),
        ] {
            let (plain, coding) = split_coding(opaque.as_bytes());
            assert_eq!((std::str::from_utf8(plain).unwrap(), coding), expected, "{opaque}");
        }
    }
}
