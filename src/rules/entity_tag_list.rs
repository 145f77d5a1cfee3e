//! The value of If-Match and If-None-Match: `*`, or a list of tags over all field lines
//! (RFC 9110, sections [5.6.1] and [13.1.1]).
//!
//! ```text
//! If-Match = "*" / #entity-tag
//! ```
//!
//! A tag may contain a comma, so a line cannot be split at its commas: its members are
//! parsed one by one. A member that is not a tag is reported as invalid. Parsing then
//! continues after the next comma, so that a stray quote does not hide the valid
//! members that follow.
//!
//! [5.6.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.1
//! [13.1.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.1.1

use std::cmp::Ordering;

use http::HeaderValue;
use memchr::memmem;

use super::{
    content_coding::{coding_of, may_name_codings},
    entity_tag::{EntityTag, Member},
    trim_ows, ContentCoding,
};

/// All lines of an If-Match or If-None-Match field, as they were sent.
#[derive(Clone, Debug, Default)]
pub(super) struct EntityTagList {
    first: Option<HeaderValue>,
    /// The other lines. Boxed, because most fields have only one line.
    #[expect(
        clippy::box_collection,
        reason = "a list is moved with its request, and a `Vec` is three times as large"
    )]
    others: Option<Box<Vec<HeaderValue>>>,
    /// True if a member may name a coding.
    pub(super) may_name_codings: bool,
}

impl EntityTagList {
    pub(super) const ABSENT: Self = Self { first: None, others: None, may_name_codings: false };

    /// Adds a line. The first line needs no allocation.
    pub(super) fn push(&mut self, line: &HeaderValue) {
        self.may_name_codings |= may_name_codings(line);
        if self.first.is_none() {
            self.first = Some(line.clone());
        } else {
            self.others.get_or_insert_default().push(line.clone());
        }
    }

    pub(super) fn is_present(&self) -> bool {
        self.first.is_some()
    }

    pub(super) fn has_several_lines(&self) -> bool {
        self.others.is_some()
    }

    /// Returns true if the whole value, over all lines, is `*`.
    pub(super) fn is_any(&self) -> bool {
        self.others.is_none()
            && self.first.as_ref().is_some_and(|line| trim_ows(line.as_bytes()) == b"*")
    }

    /// Searches the lines for the bytes of a tag, which is much faster than parsing
    /// the members.
    #[inline]
    pub(super) fn quick_match(&self, tag: &EntityTag) -> QuickMatch {
        let text = tag.as_bytes();
        match (&self.first, &self.others) {
            (Some(line), None) if line.as_bytes() == text => QuickMatch::Just,
            (Some(line), None) if line.len() == text.len() && !tag.is_weak() => QuickMatch::Nowhere,
            _ if self.holds(tag.quoted()) || self.may_name_codings => QuickMatch::Maybe,
            _ => QuickMatch::Nowhere,
        }
    }

    /// Returns the members with this plain tag, each with its coding.
    pub(super) fn naming<'a>(
        &'a self,
        plain: &'a EntityTag,
    ) -> impl Iterator<Item = (Member<'a>, ContentCoding)> + 'a {
        let plain = plain.opaque();
        let coding = move |member: Member<'a>| Some((member, coding_of(member.opaque, plain)?));
        self.members().flatten().filter_map(coding)
    }

    /// Returns true if a line may contain the bytes of a tag with their quotes. False
    /// means that no line contains them.
    fn holds(&self, quoted: &[u8]) -> bool {
        // Only the last bytes of the tag are searched for, which is fastest. They are
        // enough for tags that are hashes: such tags rarely have equal last bytes.
        let end = quoted.get(quoted.len().saturating_sub(END)..).unwrap_or(quoted);
        self.lines().map(HeaderValue::as_bytes).any(|line| match line.len().cmp(&quoted.len()) {
            Ordering::Less => false,
            Ordering::Equal => line == quoted,
            Ordering::Greater => memmem::find(line, end).is_some(),
        })
    }

    fn lines(&self) -> impl Iterator<Item = &HeaderValue> {
        self.first.iter().chain(self.others.as_deref().into_iter().flatten())
    }

    /// Parses the members of all lines. An invalid member is `None`.
    pub(super) fn members(&self) -> impl Iterator<Item = Option<Member<'_>>> {
        self.lines().flat_map(|line| Members { line: trim_ows(line.as_bytes()) })
    }
}

/// The result of the search for the bytes of a tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum QuickMatch {
    /// The whole value is exactly this tag, as in most revalidations.
    Just,
    /// No member is this tag.
    Nowhere,
    /// A member may be this tag, so the members must be parsed.
    Maybe,
}

struct Members<'a> {
    line: &'a [u8],
}

impl<'a> Iterator for Members<'a> {
    type Item = Option<Member<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.line.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let (_, member) = self.line.split_at_checked(start)?;
        if let Some((tag, after)) = Member::split_from(member) {
            let next =
                after.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(after.len());
            match after.split_at_checked(next).and_then(|(_, rest)| rest.split_first()) {
                None => {
                    self.line = &[];
                    return Some(Some(tag));
                }
                Some((b',', rest)) => {
                    self.line = rest;
                    return Some(Some(tag));
                }
                Some(_) => {}
            }
        }
        self.line = member.splitn(2, |&byte| byte == b',').nth(1).unwrap_or_default();
        Some(None)
    }
}

/// How many bytes at the end of a tag are searched for.
const END: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(lines: &[&[u8]]) -> EntityTagList {
        let mut list = EntityTagList::default();
        for line in lines {
            list.push(&HeaderValue::from_bytes(line).unwrap());
        }
        list
    }

    /// Writes what was parsed: `W` and `S` for weak and strong members, `!` for one
    /// that is not a tag.
    fn read(lines: &[&[u8]]) -> String {
        let list = list(lines);
        let members = list.members().map(|member| match member {
            Some(tag) => {
                format!("{}{}", if tag.weak { 'W' } else { 'S' }, tag.opaque.escape_ascii())
            }
            None => "!".to_owned(),
        });
        members.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn members_are_read_not_split() {
        for (lines, expected) in [
            (&[&b"\"a\""[..]][..], "Sa"),
            (&[b"\"a\", W/\"b\",\"c\""], "Sa Wb Sc"),
            (&[b"\"a,b\", \"c\""], "Sa,b Sc"),
            (&[b"\"\""], "S"),
            (&[b"\"a\"", b"\"b\""], "Sa Sb"),
            (&[b", ,\"a\",,\t\"b\" ,"], "Sa Sb"),
            (&[b"\"a\"\t,\t\"b\""], "Sa Sb"),
            (&[b""], ""),
            (&[b" ,, "], ""),
            (&[b"\"\xe9\", \"zz\""], "S\\xe9 Szz"),
            (&[b"\"a b\", \"zz\""], "! Szz"),
            (&[b"\"x, \"zz\""], "! Szz"),
            (&[b"\"x, \"foo"], "! !"),
            (&[b"x,a"], "! !"),
            (&[b"\"x,a\""], "Sx,a"),
            (&[b"*, \"x\""], "! Sx"),
            (&[b"\"x\", *"], "Sx !"),
            (&[b"\"x,*,y\""], "Sx,*,y"),
            (&[b"w/\"x\", \"y\""], "! Sy"),
            (&[b"\"x\" \"y\", \"z\""], "! Sz"),
            (&[b"\"x\"junk, \"z\""], "! Sz"),
            (&[b"W/\"x", b"\"y\""], "! Sy"),
        ] {
            let shown: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
            assert_eq!(read(lines), expected, "{shown:?}");
        }
    }

    #[test]
    fn a_star_counts_only_as_the_whole_value() {
        for (lines, expected) in [
            (&[&b"*"[..]][..], true),
            (&[b" *\t"], true),
            (&[b"*, \"x\""], false),
            (&[b"*", b"*"], false),
            (&[b"*", b""], false),
            (&[b"\"*\""], false),
            (&[b"**"], false),
            (&[b"*,"], false),
            (&[], false),
        ] {
            assert_eq!(list(lines).is_any(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_glance_misses_no_tag_that_is_named() {
        let tag = |len: usize, first: &str| format!("\"{first}{}\"", "x".repeat(len));
        for len in [0, 1, 5, 6, 7, 8, 9, 64] {
            let etag: EntityTag = tag(len, "a").parse().unwrap();
            let (named, other) = (tag(len, "a"), tag(len, "b"));
            for (line, expected) in [
                (named.clone(), true),
                (format!(" {named}\t"), true),
                (format!("W/{named}"), true),
                (format!("{other}, {named}"), true),
                (format!("{named},{other}"), true),
                (format!("{other}, W/{named},{other}"), true),
                (other.clone(), false),
                (format!("W/{other}, {other}"), false),
            ] {
                for list in [list(&[line.as_bytes()]), list(&[b"\"y\"", line.as_bytes()])] {
                    let is_named =
                        list.members().flatten().any(|member| member.weak_eq(etag.as_member()));
                    assert_eq!(is_named, expected, "{line}");
                    for etag in [&etag, &etag.clone().into_weak()] {
                        let (quick_match, is_alike) =
                            (list.quick_match(etag), line == etag.to_string());
                        assert_eq!(
                            quick_match == QuickMatch::Just,
                            is_alike && !list.has_several_lines(),
                            "{etag}: {line}"
                        );
                        assert!(quick_match != QuickMatch::Nowhere || !is_named, "{etag}: {line}");
                    }
                }
            }
        }
    }

    #[test]
    fn long_hostile_values_are_read_in_linear_time() {
        for unit in ["\"a,", "\",", ",\"", "W/\"a,", "\"a\" x,", "\"\"", "\"a\"\t"] {
            for tail in ["", " ", "\" "] {
                let line = unit.repeat(300_000 / unit.len()) + &tail.repeat(300_000);
                assert!(list(&[line.as_bytes()]).members().count() <= 300_000, "{unit}");
            }
        }
    }
}
