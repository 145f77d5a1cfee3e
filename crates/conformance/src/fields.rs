//! Reads header fields.

use http::{header::AsHeaderName, HeaderMap, HeaderValue};

/// Returns the only line of a field. `None` if there is no line, or more than one.
pub(crate) fn single_line(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let only = lines.next()?;
    if lines.next().is_none() {
        Some(only)
    } else {
        None
    }
}

/// Returns the members of all lines of a list field (RFC 9110, 5.6.1). Members must not
/// contain a comma.
pub(crate) fn members(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    lines
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}
