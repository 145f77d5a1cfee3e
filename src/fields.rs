//! Edits heads. One of 24,576 lines takes no more: the methods of [`HeaderMap`] that are used elsewhere would panic there,
//! and these leave it as it is.

use http::{
    header::{IF_RANGE, RANGE},
    HeaderMap, HeaderName, HeaderValue,
};

/// Sets a field, in place of all its lines.
#[inline]
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if headers.len() >= FULL {
        // A full head takes nothing, not even in place of something.
        headers.remove(&name);
    }
    drop(headers.try_insert(name, value));
}

/// Adds a line to a field.
#[inline]
pub(crate) fn add(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    drop(headers.try_append(name, value));
}

/// Makes a request one for the whole, which is always right to send.
pub(crate) fn ask_for_all(headers: &mut HeaderMap) {
    headers.remove(RANGE);
    headers.remove(IF_RANGE);
}

/// How many lines a head has at least that takes no more.
const FULL: usize = 24_576;
