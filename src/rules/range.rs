//! The requested part of the content ([RFC 9110, section
//! 14](https://www.rfc-editor.org/rfc/rfc9110.html#section-14)).

use std::ops::Range;

use http::HeaderValue;

use super::trim_ows;

/// One range of bytes, as in `Range`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ByteRange {
    /// From the first byte to the last byte, both included.
    Between(u64, u64),
    /// From this byte to the end.
    From(u64),
    /// This many bytes at the end.
    Last(u64),
}

impl ByteRange {
    /// Reads the value of a `Range` field. `None` if it is not exactly one range of
    /// bytes.
    pub(crate) fn parse(value: &HeaderValue) -> Option<Self> {
        let (unit, set) = value.as_bytes().split_at_checked(6)?;
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return None;
        }
        let set = trim_ows(set);
        let dash = set.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (set.get(..dash)?, set.get(dash + 1..)?);
        match (first, last) {
            ([], last) => number(last).map(Self::Last),
            (first, []) => number(first).map(Self::From),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// Returns the positions of the bytes that the range selects in content of this
    /// length. `None` if it selects no byte.
    pub(crate) fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::Between(first, last) => first..last.saturating_add(1).min(length),
            Self::From(first) => first..length,
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Returns true if the value of a `Range` field has another unit than bytes.
pub(crate) fn has_other_unit(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    let unit = value.iter().position(|&byte| byte == b'=').and_then(|end| value.get(..end));
    unit.is_some_and(|unit| !trim_ows(unit).eq_ignore_ascii_case(b"bytes"))
}

/// Reads a number. A number that is too large becomes `u64::MAX`.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| match digit {
        b'0'..=b'9' => Some(sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
        _ => None,
    };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, add)
}

/// Reads the range and the complete length from the `Content-Range` of a 206.
pub(crate) fn content_range(value: &HeaderValue) -> Option<(Range<u64>, u64)> {
    let length = complete_length(value)?;
    let range = value.as_bytes().get(6..)?;
    let slash = range.iter().position(|&byte| byte == b'/')?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (number(range.get(..dash)?)?, number(range.get(dash + 1..slash)?)?);
    (first <= last && last < length).then_some((first..last + 1, length))
}

/// Reads the complete length from `Content-Range`, if it is known.
pub(crate) fn complete_length(value: &HeaderValue) -> Option<u64> {
    let value = value.as_bytes();
    let slash = value.iter().rposition(|&byte| byte == b'/')?;
    value.get(..6).filter(|unit| unit.eq_ignore_ascii_case(b"bytes "))?;
    number(value.get(slash + 1..)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_range_of_bytes_is_read() {
        for (value, range, of_ten) in [
            ("bytes=0-4", Some(ByteRange::Between(0, 4)), Some(0..5)),
            ("bytes=4-4", Some(ByteRange::Between(4, 4)), Some(4..5)),
            ("bytes=5-99", Some(ByteRange::Between(5, 99)), Some(5..10)),
            ("BYTES=5-", Some(ByteRange::From(5)), Some(5..10)),
            ("bytes=0-", Some(ByteRange::From(0)), Some(0..10)),
            ("bytes= 9- ", Some(ByteRange::From(9)), Some(9..10)),
            ("bytes=10-", Some(ByteRange::From(10)), None),
            ("bytes=10-12", Some(ByteRange::Between(10, 12)), None),
            ("bytes=-3", Some(ByteRange::Last(3)), Some(7..10)),
            ("bytes=-30", Some(ByteRange::Last(30)), Some(0..10)),
            ("bytes=-0", Some(ByteRange::Last(0)), None),
            ("bytes=0-99999999999999999999999", Some(ByteRange::Between(0, u64::MAX)), Some(0..10)),
            ("bytes=99999999999999999999999-", Some(ByteRange::From(u64::MAX)), None),
            ("bytes=4-3", None, None),
            ("bytes=0-1,3-4", None, None),
            ("bytes=", None, None),
            ("bytes=-", None, None),
            ("bytes=a-b", None, None),
            ("bytes=1", None, None),
            ("bytes=+1-2", None, None),
            ("bytes 0-1", None, None),
            ("seconds=0-1", None, None),
            ("", None, None),
        ] {
            let parsed = ByteRange::parse(&HeaderValue::from_static(value));
            assert_eq!(parsed, range, "{value:?}");
            assert_eq!(parsed.and_then(|range| range.within(10)), of_ten, "{value:?}");
            assert_eq!(parsed.and_then(|range| range.within(0)), None, "{value:?}");
        }
    }

    #[test]
    fn content_range_says_which_bytes_of_how_many() {
        for (value, range) in [
            ("bytes 0-4/10", Some((0..5, 10))),
            ("bytes 9-9/10", Some((9..10, 10))),
            ("bytes 0-10/10", None),
            ("bytes 4-3/10", None),
            ("bytes 0-4/*", None),
            ("bytes */10", None),
            ("bytes -4/10", None),
            ("lines 0-4/10", None),
        ] {
            assert_eq!(content_range(&HeaderValue::from_static(value)), range, "{value:?}");
        }
    }

    #[test]
    fn the_complete_length_is_read_from_content_range() {
        for (value, length) in [
            ("bytes 0-4/10", Some(10)),
            ("bytes 0-4/*", None),
            ("bytes */10", Some(10)),
            ("bytes 0-4", None),
            ("lines 0-4/10", None),
            ("", None),
        ] {
            assert_eq!(complete_length(&HeaderValue::from_static(value)), length, "{value:?}");
        }
    }
}
