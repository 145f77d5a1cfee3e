//! Edits heads. A [`HeaderMap`] takes at most 24,576 lines: its own methods panic then,
//! these leave it as it is.

use http::{
    header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE},
    HeaderMap, HeaderName, HeaderValue,
};

/// Sets a field, replacing all its lines.
#[inline]
pub(crate) fn insert_field(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if headers.len() >= FULL {
        // A full head takes nothing, not even a replacement.
        headers.remove(&name);
    }
    drop(headers.try_insert(name, value));
}

/// Adds a line to a field.
#[inline]
pub(crate) fn append_field(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    drop(headers.try_append(name, value));
}

/// The response fields that tell representations with equal bytes apart.
pub(crate) const NEGOTIATED_FIELDS: [HeaderName; 3] =
    [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE];

/// How many lines a full head has at least.
const FULL: usize = 24_576;
