//! Answers range requests with 206 or 416 ([RFC 9110, section
//! 14](https://www.rfc-editor.org/rfc/rfc9110.html#section-14)). A 206 or 416 of the
//! inner service is checked in `respond`.

use http::{
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, TRAILER, TRANSFER_ENCODING},
    HeaderMap, HeaderValue, StatusCode,
};
use http_body::Body;

use super::respond::ResponseContext;
use crate::{
    body::{FrameSlicer, ResponseBody},
    header_map::insert_field,
    rules::{is_content_digest, remove_fields, retain_for_precondition_failed},
};

impl ResponseContext<'_> {
    /// Sets `Accept-Ranges`, and turns the response into a 206 or 416 if the request
    /// asks for one range (RFC 9110, sections 14 and 13.2.2, step 5).
    ///
    /// `is_allowed` is true if If-Range holds, or if there is none.
    pub(super) fn serve_range<B: Body>(&mut self, is_allowed: bool, body: &mut ResponseBody<B>) {
        let Some(length) = self.length(body) else { return };
        let headers = &mut self.head.headers;
        match headers.get(ACCEPT_RANGES) {
            None => insert_field(headers, ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            Some(units) if units == "bytes" => {}
            // The inner service supports other units than bytes, or sends `none`.
            Some(_) => return,
        }
        // Empty content has no parts, so it is sent whole.
        if !is_allowed || length == 0 {
            return;
        }
        let Some(range) = &self.request.extras().range else { return };
        match range.within(length) {
            // The inner service would generate many bytes that are then discarded, so
            // the client gets the whole content.
            Some(range) if range.start > MOST_SKIPPED => {}
            Some(range) => {
                let (first, last) = (range.start, range.end - 1);
                if !insert_content_range(headers, format!("bytes {first}-{last}/{length}")) {
                    return;
                }
                self.head.status = StatusCode::PARTIAL_CONTENT;
                // These digests describe the whole content.
                remove_fields(headers, is_content_digest);
                // A 206 has a known length, and trailers would describe the
                // whole content.
                headers.remove(TRANSFER_ENCODING);
                headers.remove(TRAILER);
                insert_field(headers, CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
                body.slice(FrameSlicer::new(range));
            }
            None => {
                self.head.status = StatusCode::RANGE_NOT_SATISFIABLE;
                retain_for_precondition_failed(headers);
                insert_content_range(headers, format!("bytes */{length}"));
                body.end(body.outcome());
            }
        }
    }
}

/// How many bytes before a range may be discarded.
const MOST_SKIPPED: u64 = 8 << 20;

/// Sets `Content-Range`. Returns false if the head has no room for it.
fn insert_content_range(headers: &mut HeaderMap, text: String) -> bool {
    if let Ok(value) = HeaderValue::try_from(text) {
        insert_field(headers, CONTENT_RANGE, value);
    }
    headers.contains_key(CONTENT_RANGE)
}
