//! Header fields that may have at most one line.

use http::{
    header::{AsHeaderName, CONTENT_LENGTH},
    HeaderMap, HeaderValue,
};

/// The value of a field that has at most one line in a valid message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum SingleField<T> {
    #[default]
    Absent,
    /// The value is invalid, or there are several lines.
    Invalid,
    Value(T),
}

impl<T> SingleField<T> {
    /// Adds a line of the field. `read` parses the line, if it is the first one.
    pub(crate) fn take_line(&mut self, read: impl FnOnce() -> Option<T>) {
        *self = match self {
            Self::Absent => read().map_or(Self::Invalid, Self::Value),
            Self::Invalid | Self::Value(_) => Self::Invalid,
        };
    }

    /// Returns the value, if it is valid.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// Returns true if there is a line of the field, of any value.
    pub(crate) fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl SingleField<u64> {
    /// Reads `Content-Length`.
    pub(crate) fn content_length(headers: &HeaderMap) -> Self {
        let mut length = Self::Absent;
        headers.get_all(CONTENT_LENGTH).iter().for_each(|line| length.take_length(line));
        length
    }

    /// Adds a line of `Content-Length`. Equal lines count as one (RFC 9110, section
    /// 8.6).
    pub(crate) fn take_length(&mut self, line: &HeaderValue) {
        let digit = |sum: u64, digit: &u8| match digit {
            b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        };
        let number = line.as_bytes().iter().try_fold(0, digit);
        let length = if line.is_empty() { None } else { number };
        *self = match (&*self, length) {
            (Self::Absent, Some(length)) => Self::Value(length),
            (Self::Value(before), Some(length)) if *before == length => Self::Value(length),
            _ => Self::Invalid,
        };
    }
}

/// Returns the only line of a field. `None` if there is no line, or more than one.
pub(crate) fn single_line(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut field = SingleField::Absent;
    for line in headers.get_all(name) {
        field.take_line(|| Some(line));
    }
    field.value().copied()
}
