//! Sets and adds header fields without a panic. A [`HeaderMap`] holds at most 24,576
//! lines, and its methods `insert` and `append` panic if it is full. The functions here
//! then leave out the new line.

use http::{
    header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE},
    HeaderMap, HeaderName, HeaderValue,
};

/// Sets a field, replacing all its lines.
#[inline]
pub(crate) fn insert_field(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if headers.len() >= FULL {
        // A full map accepts no new value, even for a field that it has, so the old
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

/// The number of lines in a full map.
const FULL: usize = 24_576;
