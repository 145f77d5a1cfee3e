//! How the methods differ in conditional requests (RFC 9110, sections [9.2.1]
//! and [13.2.1]).
//!
//! [9.2.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-9.2.1
//! [13.2.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-13.2.1

use http::Method;

/// Returns true for GET and HEAD, whose successful response is a representation of the
/// target resource.
#[inline]
pub(crate) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Returns true if the method is QUERY, which is safe and has the query in its content
/// ([RFC 10008](https://www.rfc-editor.org/rfc/rfc10008.html)).
#[inline]
pub(crate) fn is_query(method: &Method) -> bool {
    method.as_str() == "QUERY"
}

/// Returns true if the method may change the resource: it is neither a safe method
/// nor CONNECT.
pub(crate) fn is_write(method: &Method) -> bool {
    let safe =
        ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "QUERY", "REPORT", "SEARCH"];
    !safe.contains(&method.as_str())
}

/// Returns true if the method does not select or change a representation, so that
/// preconditions are ignored (RFC 9110, 13.2.1).
pub(crate) fn ignores_preconditions(method: &Method) -> bool {
    matches!(*method, Method::CONNECT | Method::OPTIONS | Method::TRACE)
}
