//! `application/problem+json` (RFC 9457): what is wrong with a request, for programs.

use std::fmt::Write;

use http::{
    header::{HeaderName, CONTENT_TYPE, ETAG, LAST_MODIFIED},
    response, HeaderValue, Response, StatusCode,
};
use http_body::Body;

use super::{pass_on, Reporter};
use crate::{body::ResponseBody, fields::insert_field, outcome::Outcome};

/// Writes the document of a response, and sets its `Content-Type`.
///
/// The validators are those of the head, so that the two cannot differ.
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

/// Makes a response that refuses a request, with a document that says why.
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

/// Writes a string of JSON. Each byte stands for the character of its number, as in a
/// field value that a script in a browser reads, and sends back.
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
