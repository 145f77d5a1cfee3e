//! Adds fields to heads. A head of 24,576 lines takes no more: the methods of [`HeaderMap`] that are used elsewhere would
//! panic there, and these leave it as it is.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Sets a field, in place of all its lines.
#[inline]
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if headers.len() >= FULL {
        make_room(headers, &name);
    }
    drop(headers.try_insert(name, value));
}

/// A full head takes nothing, not even in place of something.
#[cold]
fn make_room(headers: &mut HeaderMap, name: &HeaderName) {
    headers.remove(name);
}

/// Adds a line to a field.
#[inline]
pub(crate) fn add(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    drop(headers.try_append(name, value));
}

/// How many lines a head has at least that takes no more.
const FULL: usize = 24_576;
