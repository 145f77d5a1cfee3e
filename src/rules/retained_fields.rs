//! The header fields that a 304 and a 412 keep from the response that they replace (RFC
//! 9110, sections [15.4.5] and [15.5.13]).
//!
//! Deliberately, this module lists the names of the fields to remove. A prefix such as
//! `content-` would also remove `Content-Security-Policy`. A list of fields to keep
//! would lose cookies and the fields of CORS and tracing.
//!
//! [15.4.5]: https://www.rfc-editor.org/rfc/rfc9110.html#section-15.4.5
//! [15.5.13]: https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.13

use http::{HeaderMap, HeaderName};

use super::digest_fields::is_digest;

/// Removes the fields that describe content, because a 304 has no content.
///
/// The fields that update a stored response are kept: `ETag`, `Last-Modified`, `Date`,
/// `Expires`, `Vary`, `Cache-Control` and `Content-Location`.
pub(crate) fn retain_for_not_modified(headers: &mut HeaderMap) {
    remove_fields(headers, describes_content);
}

/// Removes the fields that describe the content of the response that a 412 replaces.
///
/// Fields for freshness are removed, too: because of them a cache could store the 412
/// and send it to other clients. The validators are kept, so that the client learns the
/// current tag.
pub(crate) fn retain_for_precondition_failed(headers: &mut HeaderMap) {
    remove_fields(headers, |name| describes_content(name) || describes_selection(name));
}

/// Removes the fields for which `is_named` is true.
pub(crate) fn remove_fields(headers: &mut HeaderMap, is_named: impl Fn(&HeaderName) -> bool) {
    // Many responses have no other fields.
    if headers.keys().all(&is_named) {
        headers.clear();
        return;
    }
    while let Some(name) = headers.keys().find(|name| is_named(name)).cloned() {
        headers.remove(name);
    }
}

fn describes_content(name: &HeaderName) -> bool {
    let name = name.as_str();
    let describes_bytes = matches!(
        name,
        "content-length"
            | "content-type"
            | "content-encoding"
            | "content-language"
            | "content-range"
            | "transfer-encoding"
            | "trailer"
    );
    // A digest is removed, because the tag may have matched only weakly. Then the
    // client may hold other bytes than those that the digest describes.
    describes_bytes || is_digest(name)
}

fn describes_selection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "cache-control"
            | "expires"
            | "age"
            | "content-disposition"
            | "content-location"
            | "cdn-cache-control"
            | "surrogate-control"
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_fields_that_describe_content_are_removed() {
        // name, stays on a 304, stays on a 412
        for (name, on_304, on_412) in [
            ("content-length", false, false),
            ("content-type", false, false),
            ("content-encoding", false, false),
            ("content-language", false, false),
            ("content-range", false, false),
            ("content-digest", false, false),
            ("content-md5", false, false),
            ("repr-digest", false, false),
            ("digest", false, false),
            ("transfer-encoding", false, false),
            ("trailer", false, false),
            ("cache-control", true, false),
            ("expires", true, false),
            ("age", true, false),
            ("content-disposition", true, false),
            ("content-location", true, false),
            ("cdn-cache-control", true, false),
            ("surrogate-control", true, false),
            ("etag", true, true),
            ("last-modified", true, true),
            ("date", true, true),
            ("vary", true, true),
            ("set-cookie", true, true),
            ("content-security-policy", true, true),
            ("access-control-allow-origin", true, true),
            ("link", true, true),
            ("x-request-id", true, true),
        ] {
            let mut headers = HeaderMap::new();
            let key = HeaderName::from_static(name);
            headers.append(&key, HeaderValue::from_static("1"));
            headers.append(&key, HeaderValue::from_static("2"));

            let mut not_modified = headers.clone();
            retain_for_not_modified(&mut not_modified);
            assert_eq!(
                not_modified.get_all(&key).iter().count(),
                if on_304 { 2 } else { 0 },
                "304 {name}"
            );

            retain_for_precondition_failed(&mut headers);
            assert_eq!(
                headers.get_all(&key).iter().count(),
                if on_412 { 2 } else { 0 },
                "412 {name}"
            );
        }
    }
}
