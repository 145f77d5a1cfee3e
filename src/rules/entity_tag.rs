//! An entity tag: its grammar, its text and the two comparisons ([RFC 9110, section
//! 8.8.3](https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8.3)).
//!
//! ```text
//! entity-tag = [ weak ] opaque-tag
//! weak       = %s"W/"
//! opaque-tag = DQUOTE *etagc DQUOTE
//! etagc      = %x21 / %x23-7E / obs-text
//! ```

use std::{fmt, str::FromStr};

use http::HeaderValue;
use memchr::memchr;

/// An entity tag: the name of one representation of a resource.
///
/// A value of this type is always a valid tag. A tag consists of bytes, not of text.
/// Between its quotes it may contain a comma and bytes above 0x7F, but no space, quote
/// or control character. The empty tag `""` is valid.
///
/// Two tags are compared in one of two ways ([RFC 9110, section 8.8.3.2]):
///
/// | first   | second  | [`strong_eq`](Self::strong_eq) | [`weak_eq`](Self::weak_eq) |
/// |---------|---------|--------------------------------|----------------------------|
/// | `W/"1"` | `W/"1"` | no                             | yes                        |
/// | `W/"1"` | `W/"2"` | no                             | no                         |
/// | `W/"1"` | `"1"`   | no                             | yes                        |
/// | `"1"`   | `"1"`   | yes                            | yes                        |
///
/// `==` is neither of these: it is true if two tags have the same bytes, `W/` included.
///
/// A strong tag must name one sequence of bytes, so a resource must not use the tag
/// `"1"` both for its JSON and for its HTML representation.
///
/// Your own tags should not end with `~` and the name of a content coding (`~gzip`).
/// [`compress_with`](crate::ConditionalLayer::compress_with) uses this ending to name
/// the coding of an encoded response. [`Preconditions`](crate::Preconditions) reads a
/// client's `"v1~gzip"` as the tag `"v1"` of content encoded with gzip. If your own tag
/// is `"v1~gzip"`, this crate sends it as `"v1~gzip~identity"`, so that it still has
/// one meaning. If a handler writes `ETag` itself, and no layer of this crate is around
/// it, the handler must append `~identity`.
///
/// # Examples
///
/// ```
/// use tower_conditional::EntityTag;
///
/// let tag = EntityTag::strong("v1")?;
/// assert_eq!(tag.to_string(), "\"v1\"");
/// assert!(tag.weak_eq(&"W/\"v1\"".parse()?));
/// assert!(EntityTag::strong("two words").is_err());
/// # Ok::<(), tower_conditional::InvalidEntityTag>(())
/// ```
///
/// [RFC 9110, section 8.8.3.2]: https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8.3.2
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct EntityTag {
    text: HeaderValue,
}

impl EntityTag {
    /// Makes a strong tag, `"opaque"`, from the bytes between the quotes.
    ///
    /// # Errors
    ///
    /// Fails if `opaque` holds a byte that is not legal in a tag: a space, a quote or a
    /// control character.
    pub fn strong(opaque: impl AsRef<[u8]>) -> Result<Self, InvalidEntityTag> {
        Self::quote(b"\"", opaque.as_ref())
    }

    /// Makes a weak tag, `W/"opaque"`, from the bytes between the quotes.
    ///
    /// # Errors
    ///
    /// Fails if `opaque` holds a byte that is not legal in a tag: a space, a quote or a
    /// control character.
    pub fn weak(opaque: impl AsRef<[u8]>) -> Result<Self, InvalidEntityTag> {
        Self::quote(b"W/\"", opaque.as_ref())
    }

    /// Makes a strong tag from several values, such as a version and a build number.
    ///
    /// Any bytes are accepted, and two different lists never give the same tag. The
    /// parts are joined with `:`. In each part, `:`, `%`, `"` and all bytes other than
    /// visible ASCII are percent-encoded.
    ///
    /// Include the build number of your program as one of the parts. If the tag is made
    /// from the data alone, clients keep the old page after a deploy that changes only
    /// the template. Also include the user, if users get [different content at one
    /// URI](crate#cookies-and-private-responses).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::EntityTag;
    ///
    /// let (version, build) = ("7", "build-12");
    /// let tag = EntityTag::of_parts([version, build]);
    /// assert_eq!(tag.to_string(), "\"7:build-12\"");
    ///
    /// // The boundaries between parts matter.
    /// assert_ne!(EntityTag::of_parts(["a", "b"]), EntityTag::of_parts(["a:b"]));
    /// assert_ne!(EntityTag::of_parts(["a", ""]), EntityTag::of_parts(["a"]));
    /// ```
    #[must_use]
    pub fn of_parts<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut text = vec![b'"'];
        let mut is_first = true;
        for part in parts {
            if !is_first {
                text.push(PART_SEPARATOR);
            }
            is_first = false;
            part.as_ref().iter().for_each(|byte| push_encoded(&mut text, *byte));
        }
        if is_first {
            // A `%` without digits stands for the empty list, because it never encodes
            // a byte. So the empty list differs from a list with one empty part.
            text.push(b'%');
        }
        text.push(b'"');
        Self::from_quoted(text)
    }

    /// Returns true if the tag is weak.
    ///
    /// A weak tag may name several sequences of bytes, if the server regards them
    /// as equivalent.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.text.as_bytes().first() == Some(&b'W')
    }

    /// Returns the bytes between the quotes.
    #[must_use]
    pub fn opaque(&self) -> &[u8] {
        self.as_member().opaque
    }

    /// Returns the tag as in a field, with its quotes and, if weak, its `W/`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Compares strongly, as RFC 9110 requires for If-Match and If-Range.
    ///
    /// Returns true if both tags are strong, and the bytes between the quotes are
    /// equal.
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        self.as_member().strong_eq(other.as_member())
    }

    /// Compares weakly, as RFC 9110 requires for If-None-Match.
    ///
    /// Returns true if the bytes between the quotes are equal, whether the tags are
    /// weak or not.
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.as_member().weak_eq(other.as_member())
    }

    /// Returns the tag as a weak tag.
    #[must_use]
    pub fn into_weak(self) -> Self {
        if self.is_weak() {
            self
        } else {
            Self::weak(self.opaque()).unwrap_or(self)
        }
    }

    /// Makes a tag from text that is known to be a valid tag.
    pub(crate) fn from_quoted(text: Vec<u8>) -> Self {
        debug_assert!(
            matches!(Member::split_from(&text), Some((_, []))),
            "{}",
            text.escape_ascii()
        );
        let text = HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .expect("a tag is a field value");
        Self { text }
    }

    /// Returns the tag with its quotes, but without `W/`.
    pub(super) fn quoted(&self) -> &[u8] {
        let text = self.text.as_bytes();
        text.strip_prefix(b"W/").unwrap_or(text)
    }

    /// Returns the tag as a [`Member`], which borrows the bytes.
    pub(super) fn as_member(&self) -> Member<'_> {
        let opaque = self
            .quoted()
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""))
            .unwrap_or_default();
        Member { weak: self.is_weak(), opaque }
    }

    fn quote(prefix: &[u8], opaque: &[u8]) -> Result<Self, InvalidEntityTag> {
        if !are_etagc(opaque) {
            return Err(InvalidEntityTag::in_opaque(opaque));
        }
        let text = [prefix, opaque, b"\""].concat();
        let text = HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .map_err(|_| InvalidEntityTag::in_opaque(opaque))?;
        Ok(Self { text })
    }
}

impl TryFrom<&HeaderValue> for EntityTag {
    type Error = InvalidEntityTag;

    /// Parses a field value. White space around the tag is removed.
    fn try_from(value: &HeaderValue) -> Result<Self, Self::Error> {
        let text = super::trim_ows(value.as_bytes());
        let member = Member::whole(text).ok_or_else(|| InvalidEntityTag::in_text(text))?;
        if text.len() == value.len() {
            Ok(Self { text: value.clone() })
        } else {
            member.to_owned()
        }
    }
}

impl FromStr for EntityTag {
    type Err = InvalidEntityTag;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Member::whole(text.as_bytes())
            .ok_or_else(|| InvalidEntityTag::in_text(text.as_bytes()))?
            .to_owned()
    }
}

macro_rules! from_number {
    ($($number:ty),*) => {$(
        /// Makes a strong tag from a version number: `7` becomes `"7"`.
        impl From<$number> for EntityTag {
            fn from(version: $number) -> Self {
                Self::from_quoted(format!("\"{version}\"").into_bytes())
            }
        }
    )*};
}

from_number!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl From<EntityTag> for HeaderValue {
    fn from(tag: EntityTag) -> Self {
        tag.text
    }
}

impl From<&EntityTag> for HeaderValue {
    #[inline]
    fn from(tag: &EntityTag) -> Self {
        tag.text.clone()
    }
}

impl fmt::Display for EntityTag {
    /// Writes the tag as in a field. Bytes that are not UTF-8 are replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityTag({})", self.as_bytes().escape_ascii())
    }
}

/// The error for bytes that are not an entity tag.
///
/// The message says what is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidEntityTag {
    problem: Problem,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Problem {
    /// The bytes between the quotes were expected, but the given bytes have
    /// quotes themselves.
    Quoted,
    /// The tag has no quotes.
    NotQuoted,
    /// This byte is not legal in a tag.
    Byte(u8),
}

impl InvalidEntityTag {
    /// Finds the problem in the bytes between the quotes.
    fn in_opaque(opaque: &[u8]) -> Self {
        let quoted = opaque.strip_prefix(b"W/").unwrap_or(opaque);
        let is_quoted = quoted.len() > 1 && quoted.starts_with(b"\"") && quoted.ends_with(b"\"");
        let wrong = opaque.iter().find(|byte| !are_etagc(&[**byte]));
        let problem = match wrong {
            Some(byte) if !is_quoted => Problem::Byte(*byte),
            _ => Problem::Quoted,
        };
        Self { problem }
    }

    /// Finds the problem in a tag with quotes.
    fn in_text(text: &[u8]) -> Self {
        let inside = open(text).and_then(|(_, inside)| inside.strip_suffix(b"\""));
        let wrong = inside.and_then(|inside| inside.iter().find(|byte| !are_etagc(&[**byte])));
        Self { problem: wrong.map_or(Problem::NotQuoted, |byte| Problem::Byte(*byte)) }
    }
}

impl fmt::Display for InvalidEntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            Problem::Quoted => f.write_str(
                "the tag is already quoted: pass only the text between the quotes, \
                 or use `parse`",
            ),
            Problem::NotQuoted => f.write_str("an entity tag must be in double quotes"),
            Problem::Byte(byte) => {
                write!(f, "an entity tag cannot contain the byte `{}`", byte.escape_ascii())
            }
        }
    }
}

impl std::error::Error for InvalidEntityTag {}

/// A tag that borrows its bytes from a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Member<'a> {
    pub(super) weak: bool,
    pub(super) opaque: &'a [u8],
}

impl<'a> Member<'a> {
    /// Reads the tag at the start of `input`, and returns it with the rest.
    pub(super) fn split_from(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, inside) = open(input)?;
        let (opaque, after) = inside.split_at_checked(memchr(b'"', inside)?)?;
        are_etagc(opaque).then_some((Self { weak, opaque }, after.get(1..)?))
    }

    /// Reads `input` as one tag, with nothing before or after it.
    pub(super) fn whole(input: &'a [u8]) -> Option<Self> {
        let (weak, inside) = open(input)?;
        let opaque = inside.strip_suffix(b"\"")?;
        are_etagc(opaque).then_some(Self { weak, opaque })
    }

    pub(super) fn strong_eq(self, other: Member<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    pub(super) fn weak_eq(self, other: Member<'_>) -> bool {
        self.opaque == other.opaque
    }

    pub(super) fn to_owned(self) -> Result<EntityTag, InvalidEntityTag> {
        if self.weak {
            EntityTag::weak(self.opaque)
        } else {
            EntityTag::strong(self.opaque)
        }
    }
}

/// Reads the start of a tag up to its first quote. Returns whether it is weak, and the
/// rest.
fn open(input: &[u8]) -> Option<(bool, &[u8])> {
    let (weak, quoted) = match input.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, input),
    };
    Some((weak, quoted.strip_prefix(b"\"")?))
}

/// The separator between the parts of a tag. Deliberately not a comma, because some
/// software splits a list of tags at each comma. Deliberately not `-`, `;` or `~`,
/// because some software puts one of these and a coding at the end of a tag.
const PART_SEPARATOR: u8 = b':';

/// Appends a byte of a part, percent-encoded if necessary.
///
/// Bytes above 0x7F are deliberately encoded, too: they are valid in a tag, but some
/// clients do not send them back unchanged.
fn push_encoded(text: &mut Vec<u8>, byte: u8) {
    let is_plain = byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%' | PART_SEPARATOR);
    if is_plain {
        text.push(byte);
    } else {
        text.extend_from_slice(format!("%{byte:02X}").as_bytes());
    }
}

/// Returns true if all bytes are valid in a tag. Checking all of them is faster than
/// stopping at the first invalid one.
fn are_etagc(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |valid, &byte| valid & (byte > 0x20) & (byte != b'"') & (byte != 0x7F))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_grammar_decides_what_is_a_tag() {
        for (input, expected) in [
            (&b"\"\""[..], true),
            (b"W/\"\"", true),
            (b"\"a\"", true),
            (b"W/\"a\"", true),
            (b"\"a,b\"", true),
            (b"\"*\"", true),
            (b"\"W/\"", true),
            (b"\"\xe9\xff\x80\"", true),
            (b"\"!#$%&'()~\"", true),
            (b"  \"a\"\t", true),
            (b"", false),
            (b"a", false),
            (b"\"", false),
            (b"\"a", false),
            (b"a\"", false),
            (b"w/\"a\"", false),
            (b"W\"a\"", false),
            (b"W/a", false),
            (b"W/ \"a\"", false),
            (b"\"a b\"", false),
            (b"\"a\tb\"", false),
            (b"\"a\"b\"", false),
            (b"\"a\", \"b\"", false),
            (b"'a'", false),
            (b"*", false),
        ] {
            let value = HeaderValue::from_bytes(input).unwrap();
            assert_eq!(
                EntityTag::try_from(&value).is_ok(),
                expected,
                "{:?}",
                input.escape_ascii().to_string()
            );
        }
        assert!(EntityTag::strong([0x7f]).is_err(), "DEL is a control character");
        assert!(EntityTag::strong([0x00]).is_err());
    }

    #[test]
    fn an_error_says_what_is_wrong_with_a_tag() {
        for (result, expected) in [
            (EntityTag::strong("\"v1\""), "the tag is already quoted"),
            (EntityTag::weak("W/\"v1\""), "the tag is already quoted"),
            (EntityTag::strong("two words"), "an entity tag cannot contain the byte ` `"),
            (EntityTag::strong("a\"b"), "an entity tag cannot contain the byte `\\\"`"),
            (EntityTag::strong("a\n"), "an entity tag cannot contain the byte `\\n`"),
            ("v1".parse(), "an entity tag must be in double quotes"),
            ("\"two words\"".parse(), "an entity tag cannot contain the byte ` `"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_number_is_a_tag() {
        assert_eq!(EntityTag::from(7_u64), EntityTag::strong("7").unwrap());
        assert_eq!(EntityTag::from(-7_i32).as_bytes(), b"\"-7\"");
    }

    #[test]
    fn different_lists_of_parts_give_different_tags() {
        for (parts, expected) in [
            (&["7", "build-12"][..], "\"7:build-12\""),
            (&[], "\"%\""),
            (&[""], "\"\""),
            (&["", ""], "\":\""),
            (&["a:b"], "\"a%3Ab\""),
            (&["50 %"], "\"50%20%25\""),
            (&["\"a\"", "\u{7f}\n"], "\"%22a%22:%7F%0A\""),
            (&["é"], "\"%C3%A9\""),
            (&["W/", ",~"], "\"W/:,~\""),
        ] {
            let tag = EntityTag::of_parts(parts);
            assert_eq!(tag.to_string(), expected, "{parts:?}");
            assert_eq!(expected.parse(), Ok(tag), "{parts:?}");
        }

        // No two lists of up to three of these parts give the same tag.
        let parts =
            ["", "a", "b", ":", "%", "%3A", "3A", "a:", ":a", "a:b", "%25", " ", "\"", "é", "\0"];
        let mut lists: Vec<Vec<&str>> = vec![vec![]];
        for len in 1..=3 {
            let shorter = lists.iter().filter(|list| list.len() == len - 1);
            let longer = shorter.flat_map(|list| parts.map(|part| [&list[..], &[part]].concat()));
            let longer: Vec<_> = longer.collect();
            lists.extend(longer);
        }
        let tags: HashSet<_> = lists.iter().map(EntityTag::of_parts).collect();
        assert_eq!(tags.len(), lists.len());
        assert_eq!(lists.len(), 1 + 15 + 15 * 15 + 15 * 15 * 15);
        assert!(tags.iter().all(|tag| !tag.is_weak() && tag.opaque().is_ascii()));
    }

    #[test]
    fn comparison_is_the_table_of_the_rfc() {
        // The table of section 8.8.3.2, which the documentation of
        // `EntityTag` shows, too.
        for (first, second, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let (a, b): (EntityTag, EntityTag) = (first.parse().unwrap(), second.parse().unwrap());
            for (a, b) in [(&a, &b), (&b, &a)] {
                assert_eq!(a.strong_eq(b), strong, "{first} {second}");
                assert_eq!(a.weak_eq(b), weak, "{first} {second}");
            }
        }
    }

    #[test]
    fn what_is_made_is_what_is_read() {
        for opaque in [&b""[..], b"a", b"a,b", b"\xff", b"W/", b"*"] {
            for tag in [EntityTag::strong(opaque).unwrap(), EntityTag::weak(opaque).unwrap()] {
                assert_eq!(tag.opaque(), opaque);
                assert_eq!(EntityTag::try_from(&HeaderValue::from(&tag)).unwrap(), tag);
                assert!(tag.clone().into_weak().is_weak());
                assert!(tag.clone().into_weak().weak_eq(&tag));
            }
        }
    }
}
