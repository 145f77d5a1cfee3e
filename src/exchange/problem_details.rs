//! The problem document (RFC 9457) that is the content of a refusal.

use std::fmt::Write;

use http::{
    header::{HeaderName, CONTENT_TYPE, ETAG, IF_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED},
    response, HeaderValue, Response, StatusCode,
};
use http_body::Body;

use super::{pass_on, rejection_text::CHANGED_SINCE_READ, Reporter};
use crate::{
    body::ResponseBody, header_map::insert_field, outcome::Outcome, rules::PreconditionFields,
};

/// Writes the problem document for a read that is answered with 412. The head must
/// already have its validators.
pub(crate) fn write_failed_read(
    head: &mut response::Parts,
    preconditions: &PreconditionFields,
) -> String {
    // If there is an If-Match, If-Unmodified-Since is ignored (RFC 9110, 13.1.4).
    // If-None-Match cannot have failed, because on a read its match gives a 304.
    let field = if preconditions.has_if_match() { IF_MATCH } else { IF_UNMODIFIED_SINCE };
    write_problem(head, CHANGED_SINCE_READ, Some(&field))
}

/// Writes the problem document of a response, and sets `Content-Type`.
///
/// The document takes the validators from the head, so that head and document
/// cannot differ.
pub(super) fn write_problem(
    head: &mut response::Parts,
    detail: &str,
    failed_field: Option<&HeaderName>,
) -> String {
    let title = head.status.canonical_reason().unwrap_or_default();
    let mut document = String::from("{\"title\":");
    push_text(&mut document, title.as_bytes());
    let _ = write!(document, ",\"status\":{}", head.status.as_u16());
    let of_head = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let failed_field = failed_field.map(|name| name.as_str().as_bytes());
    for (member, text) in [
        ("detail", Some(detail.as_bytes())),
        ("failed_field", failed_field),
        ("current_etag", of_head(ETAG)),
        ("current_last_modified", of_head(LAST_MODIFIED)),
    ] {
        if let Some(text) = text {
            let _ = write!(document, ",\"{member}\":");
            push_text(&mut document, text);
        }
    }
    document.push('}');
    let media_type = HeaderValue::from_static("application/problem+json");
    insert_field(&mut head.headers, CONTENT_TYPE, media_type);
    document
}

/// Makes a response that refuses a request, with a problem document.
pub(crate) fn respond_problem<B: Body>(
    status: StatusCode,
    detail: &str,
    outcome: Outcome,
    reporter: &Reporter,
) -> Response<ResponseBody<B>> {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status;
    let document = write_problem(&mut head, detail, None);
    pass_on(head, ResponseBody::whole(document.into(), outcome), reporter)
}

/// Writes a JSON string. Each byte becomes the Unicode character with that number.
/// Scripts in browsers read and send field values in the same way.
fn push_text(document: &mut String, text: &[u8]) {
    document.push('"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => document.extend(['\\', char::from(byte)]),
            b' '..=b'~' => document.push(char::from(byte)),
            _ => {
                let _ = write!(document, "\\u{byte:04x}");
            }
        }
    }
    document.push('"');
}
