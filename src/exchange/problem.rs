//! The content of a 412 or 428: a text, plain or as `application/problem+json` (RFC
//! 9457).

use std::fmt::Write;

use http::{
    header::{
        HeaderName, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
    },
    response, HeaderValue, Method, Response, StatusCode,
};
use http_body::Body;

use super::{pass_on, Reporter};
use crate::{
    body::ResponseBody,
    fields::insert_field,
    outcome::Outcome,
    rules::{is_write, PreconditionFields, State},
};

/// Returns the text of a 428 (Precondition Required), which tells the client what to
/// send.
pub(super) fn text_of_428(method: &Method, current: State<'_>) -> &'static str {
    match (method, current) {
        // Only a PUT creates the resource at its URI.
        (&Method::PUT, State::Missing) => REQUIRED_TO_CREATE,
        (&Method::PUT, State::Unknown) => REQUIRED_TO_PUT,
        (&Method::DELETE, _) => REQUIRED_TO_DELETE,
        _ => REQUIRED,
    }
}

/// Returns the text of a 412 (Precondition Failed), which tells the client what to do
/// after `field` failed.
pub(super) fn text_of_412(method: &Method, field: &HeaderName, current: State<'_>) -> &'static str {
    match (field, current) {
        // The response to a HEAD has no content.
        _ if *method == Method::HEAD => "",
        (&IF_MATCH, State::Missing) if *method == Method::PUT => NOTHING_THERE_TO_REPLACE,
        (&IF_MATCH, State::Missing) => NOTHING_THERE,
        (&IF_NONE_MATCH, _) => SOMETHING_THERE,
        _ if is_write(method) => CHANGED,
        _ => CHANGED_SINCE_READ,
    }
}

/// Writes plain text, and sets the `Content-Type` of the response.
pub(super) fn write_plain_text(head: &mut response::Parts, text: &str) -> String {
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    insert_field(&mut head.headers, CONTENT_TYPE, media_type);
    format!("{text}\n")
}

/// Writes the content of a 412 to a read. The head must be complete.
pub(crate) fn write_failed_read(
    head: &mut response::Parts,
    preconditions: &PreconditionFields,
) -> String {
    // With If-Match the date is ignored (RFC 9110, 13.1.4), and on a read a match of
    // If-None-Match gives a 304.
    let field = if preconditions.has_if_match() { IF_MATCH } else { IF_UNMODIFIED_SINCE };
    write_problem(head, CHANGED_SINCE_READ, Some(&field))
}

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

/// Writes a JSON string. Each byte becomes the character with its number, as in field
/// values that scripts in browsers read and send.
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

const REQUIRED: &str = "This request changes a resource. Say which version of it: send \
    If-Match with the ETag that came with it.";

const REQUIRED_TO_DELETE: &str = "This request deletes a resource. Say which version of it: \
    send If-Match with the ETag that came with it.";

const REQUIRED_TO_PUT: &str = "This request changes a resource. Say which version of it: send \
    If-Match with the ETag that came with it, or If-None-Match: * to create a new resource.";

const REQUIRED_TO_CREATE: &str = "This request creates a resource. Say so: send \
    If-None-Match: *.";

const CHANGED: &str = "The resource may have changed since it was read. Get it again, make the \
    change to that, and send If-Match with its ETag.";

const CHANGED_SINCE_READ: &str = "The resource does not have the version that this request \
    names. Get it without preconditions.";

const SOMETHING_THERE: &str = "The resource is one of the versions that this request must not \
    change. To change it, get it, and send If-Match with its ETag.";

const NOTHING_THERE: &str = "There is nothing at this URI, but If-Match needs a resource.";

const NOTHING_THERE_TO_REPLACE: &str = "There is nothing at this URI, but If-Match needs a \
    resource. To create one, send If-None-Match: *.";
