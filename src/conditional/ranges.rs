//! 206 and 416, for content of a strong tag
//! ([RFC 9110, section 14](https://www.rfc-editor.org/rfc/rfc9110.html#section-14)).

use http::{
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, TRAILER, TRANSFER_ENCODING},
    HeaderMap, HeaderName, HeaderValue, StatusCode,
};
use http_body::Body;

use super::respond::ResponseContext;
use crate::{
    body::{FrameSlicer, ResponseBody},
    fields::insert_field,
    rules::retain_for_precondition_failed,
};

impl ResponseContext<'_> {
    /// Sends the part of the content that was asked for, and says that parts may be
    /// asked for (RFC 9110, sections 14 and 13.2.2, step 5).
    ///
    /// `is_allowed`: If-Range holds, or there is none.
    pub(super) fn serve_range<B: Body>(&mut self, is_allowed: bool, body: &mut ResponseBody<B>) {
        let Some(length) = self.length(body) else { return };
        let headers = &mut self.head.headers;
        match headers.get(ACCEPT_RANGES) {
            None => insert_field(headers, ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            Some(units) if units == "bytes" => {}
            // The inner service knows other units, or says `none`.
            Some(_) => return,
        }
        // Of nothing there are no parts; all of it is as good an answer as an error.
        if !is_allowed || length == 0 {
            return;
        }
        let Some(range) = &self.request.extras().range else { return };
        match range.within(length) {
            // The inner service makes all that is thrown away: one byte of a large file would cost
            // it the whole file.
            Some(range) if range.start > MOST_SKIPPED => {}
            Some(range) => {
                let (first, last) = (range.start, range.end - 1);
                if !insert_content_range(headers, format!("bytes {first}-{last}/{length}")) {
                    return;
                }
                self.head.status = StatusCode::PARTIAL_CONTENT;
                // These are about the bytes that are sent.
                for name in ["content-digest", "content-md5"] {
                    headers.remove(HeaderName::from_static(name));
                }
                // A part has a length, and the trailers are about the whole.
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

/// How many bytes may be thrown away before a part.
const MOST_SKIPPED: u64 = 8 << 20;

/// Sets `Content-Range`; returns false if the head has no room for it.
fn insert_content_range(headers: &mut HeaderMap, text: String) -> bool {
    if let Ok(value) = HeaderValue::try_from(text) {
        insert_field(headers, CONTENT_RANGE, value);
    }
    headers.contains_key(CONTENT_RANGE)
}
