//! Edits heads. A [`HeaderMap`] holds at most 24,576 lines. When a line is added to a
//! full map, the map's own methods panic. The functions here leave the line out.

use http::{
    header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE},
    HeaderMap, HeaderName, HeaderValue,
};

/// Sets a field, replacing all its lines.
#[inline]
pub(crate) fn insert_field(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if headers.len() >= FULL {
        // A full map does not accept a new value for a field that it has, so the old
        // lines are removed first.
        headers.remove(&name);
    }
    drop(headers.try_insert(name, value));
}

/// Adds a line to a field.
#[inline]
pub(crate) fn append_field(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    drop(headers.try_append(name, value));
}

/// The response fields that distinguish representations with equal bytes.
pub(crate) const NEGOTIATED_FIELDS: [HeaderName; 3] =
    [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE];

/// The number of lines that a full map has.
const FULL: usize = 24_576;
