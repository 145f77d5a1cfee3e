//! One entity tag: its grammar, its text and the two comparisons
//! ([RFC 9110, section 8.8.3](https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8.3)).
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
/// Holding one means that the grammar held. A tag is made of bytes, not of text: a
/// comma and an byte above 0x7F are legal inside it, and so is no byte at all; a
/// space, a quote and a control character are not.
///
/// Two tags are compared in one of two ways ([RFC 9110, section 8.8.3.2]):
///
/// | first    | second   | [`strong_eq`](Self::strong_eq) | [`weak_eq`](Self::weak_eq) |
/// |----------|----------|--------------------------------|----------------------------|
/// | `W/"1"`  | `W/"1"`  | no                             | yes                        |
/// | `W/"1"`  | `W/"2"`  | no                             | no                         |
/// | `W/"1"`  | `"1"`    | no                             | yes                        |
/// | `"1"`    | `"1"`    | yes                            | yes                        |
///
/// `==` asks whether two tags are written alike.
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
    /// Makes a strong tag, `"opaque"`, from what stands between the quotes.
    ///
    /// # Errors
    ///
    /// Fails if `opaque` holds an byte that no tag may hold: a space, a quote or a
    /// control character.
    pub fn strong(opaque: impl AsRef<[u8]>) -> Result<Self, InvalidEntityTag> {
        Self::quote(b"\"", opaque.as_ref())
    }

    /// Makes a weak tag, `W/"opaque"`, from what stands between the quotes.
    ///
    /// # Errors
    ///
    /// Fails if `opaque` holds an byte that no tag may hold: a space, a quote or a
    /// control character.
    pub fn weak(opaque: impl AsRef<[u8]>) -> Result<Self, InvalidEntityTag> {
        Self::quote(b"W/\"", opaque.as_ref())
    }

    /// Returns true if the tag is weak: the same tag may stand for other bytes that
    /// mean the same.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.text.as_bytes().first() == Some(&b'W')
    }

    /// Returns the bytes between the quotes.
    #[must_use]
    pub fn opaque(&self) -> &[u8] {
        self.as_member().opaque
    }

    /// Returns the tag as it stands in a field: with its quotes and, if it is weak, its
    /// `W/`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Compares as If-Match and If-Range ask: both are strong and their bytes are the
    /// same.
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        self.as_member().strong_eq(other.as_member())
    }

    /// Compares as If-None-Match asks: their bytes are the same, weak or not.
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.as_member().weak_eq(other.as_member())
    }

    /// Returns the same tag, weak.
    #[must_use]
    pub fn into_weak(self) -> Self {
        if self.is_weak() {
            self
        } else {
            Self::weak(self.opaque()).unwrap_or(self)
        }
    }

    /// Takes text that is known to be a tag.
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

    /// Returns the bytes with the quotes around them: what the tag has in common with
    /// its weak twin.
    pub(super) fn quoted(&self) -> &[u8] {
        let text = self.text.as_bytes();
        text.strip_prefix(b"W/").unwrap_or(text)
    }

    /// Returns the parts to compare, without a copy.
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

    /// Reads a whole field value; white space around the tag is no part of it.
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
        /// Makes the strong tag of a version that is a number: `7` becomes `"7"`.
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
    fn from(tag: &EntityTag) -> Self {
        tag.text.clone()
    }
}

impl fmt::Display for EntityTag {
    /// Writes the tag as it stands in a field; bytes that are no UTF-8 are replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityTag({})", self.as_bytes().escape_ascii())
    }
}

/// The bytes given are no entity tag; `Display` says why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidEntityTag {
    problem: Problem,
}

/// What is wrong with a tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Problem {
    /// Bytes that go between the quotes come with quotes.
    Quoted,
    /// A whole tag comes without quotes.
    NotQuoted,
    /// There is a byte that no tag may hold.
    Byte(u8),
}

impl InvalidEntityTag {
    /// Says what is wrong with the bytes between the quotes.
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

    /// Says what is wrong with a whole tag.
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
                "the tag is quoted already: give only what stands between the quotes, \
                 or read it with `parse`",
            ),
            Problem::NotQuoted => f.write_str("an entity tag stands in double quotes"),
            Problem::Byte(byte) => {
                write!(f, "no entity tag holds the byte `{}`", byte.escape_ascii())
            }
        }
    }
}

impl std::error::Error for InvalidEntityTag {}

/// A tag that still lies in the field it was read from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Member<'a> {
    pub(super) weak: bool,
    pub(super) opaque: &'a [u8],
}

impl<'a> Member<'a> {
    /// Reads the tag that `input` starts with, and returns it with what follows.
    pub(super) fn split_from(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, inside) = open(input)?;
        let (opaque, after) = inside.split_at_checked(memchr(b'"', inside)?)?;
        are_etagc(opaque).then_some((Self { weak, opaque }, after.get(1..)?))
    }

    /// Reads a tag that is all there is.
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

/// Reads what stands before the bytes of a tag, and says whether it is weak.
fn open(input: &[u8]) -> Option<(bool, &[u8])> {
    let (weak, quoted) = match input.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, input),
    };
    Some((weak, quoted.strip_prefix(b"\"")?))
}

/// Returns true if all bytes may stand in a tag. To look at each is faster than to
/// stop at the first that may not.
fn are_etagc(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |valid, &byte| valid & (byte > 0x20) & (byte != b'"') & (byte != 0x7F))
}

#[cfg(test)]
mod tests {
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
            (EntityTag::strong("\"v1\""), "the tag is quoted already"),
            (EntityTag::weak("W/\"v1\""), "the tag is quoted already"),
            (EntityTag::strong("two words"), "no entity tag holds the byte ` `"),
            (EntityTag::strong("a\"b"), "no entity tag holds the byte `\\\"`"),
            (EntityTag::strong("a\n"), "no entity tag holds the byte `\\n`"),
            ("v1".parse(), "an entity tag stands in double quotes"),
            ("\"two words\"".parse(), "no entity tag holds the byte ` `"),
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
    fn comparison_is_the_table_of_the_rfc() {
        // Section 8.8.3.2, row by row, as on `EntityTag`.
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
