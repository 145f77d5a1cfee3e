//! The texts of 412 and 428 responses, which tell the client what to send.

use http::{
    header::{HeaderName, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH},
    response, HeaderValue, Method,
};

use crate::{
    header_map::insert_field,
    rules::{is_write, PreconditionFields, State},
};

/// Returns the text of a 428 (Precondition Required).
pub(super) fn text_of_428(method: &Method, current: State<'_>) -> &'static str {
    match (method, current) {
        // Only a PUT creates the resource at its URI.
        (&Method::PUT, State::Missing) => REQUIRED_TO_CREATE,
        (&Method::PUT, State::Unknown) => REQUIRED_TO_PUT,
        (&Method::DELETE, _) => REQUIRED_TO_DELETE,
        _ => REQUIRED,
    }
}

/// Returns the text of a 412 (Precondition Failed). `field` is the field that failed,
/// one of those in `sent`.
pub(super) fn text_of_412(
    method: &Method,
    field: &HeaderName,
    sent: &PreconditionFields,
    current: State<'_>,
) -> &'static str {
    match (field, current) {
        // The response to a HEAD has no content.
        _ if *method == Method::HEAD => "",
        (&IF_MATCH, State::Missing) if *method == Method::PUT => NOTHING_THERE_TO_REPLACE,
        (&IF_MATCH, State::Missing) => NOTHING_THERE,
        (&IF_MATCH, _) if !sent.has_comparable_if_match() => NO_STRONG_TAG,
        (&IF_MATCH, State::Exists(current)) if sent.is_never_matched_by(current) => NO_STRONG_ETAG,
        (&IF_NONE_MATCH, State::Unknown) => NOTHING_KNOWN,
        (&IF_NONE_MATCH, _) if sent.is_if_none_match_any() => SOMETHING_THERE,
        (&IF_NONE_MATCH, _) if sent.if_none_match_tags().next().is_none() => NO_TAG,
        (&IF_NONE_MATCH, _) => VERSION_THERE,
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

pub(super) const CHANGED_SINCE_READ: &str =
    "The resource does not have the version that this request \
    names. Get it without preconditions.";

const NO_STRONG_TAG: &str = "If-Match has no strong tag, so it never matches. Send the ETag as it \
    came, with its quotes. A weak tag, which begins with W/, does not count.";

const NO_STRONG_ETAG: &str = "The resource has no strong ETag, so no tag in If-Match matches.";

const NOTHING_KNOWN: &str = "The state of the resource is not known, so If-None-Match may fail.";

const NO_TAG: &str = "If-None-Match has no tag. Send *, or an ETag as it came, with its quotes.";

const SOMETHING_THERE: &str = "There is something at this URI already, so nothing was created. To \
    change it, get it, and send If-Match with its ETag.";

const VERSION_THERE: &str = "The resource is, or may be, one of the versions that this request \
    must not change. To change it, get it, and send If-Match with its ETag.";

const NOTHING_THERE: &str = "There is nothing at this URI, but If-Match needs a resource.";

const NOTHING_THERE_TO_REPLACE: &str = "There is nothing at this URI, but If-Match needs a \
    resource. To create one, send If-None-Match: *.";
