//! The header fields of a response that the layer needs, read in one pass.

use http::{HeaderMap, HeaderValue};
use memchr::memchr_iter;

use super::cache_control;
use crate::{
    rules::{members, EntityTag, HttpDate, SingleField},
    store::{Fields, Keys},
};

#[derive(Debug)]
pub(crate) struct ResponseFields {
    pub(crate) etag: SingleField<EntityTag>,
    pub(crate) last_modified: SingleField<HttpDate>,
    /// The value of `Content-Length`, in bytes.
    pub(crate) content_length: SingleField<u64>,
    /// The request fields by which the response varies. `None` if they are not known.
    pub(crate) varied: Option<Fields>,
    pub(crate) has_content_range: bool,
    pub(crate) has_content_encoding: bool,
    /// The response has `Transfer-Encoding`, for example from an upstream.
    pub(crate) has_transfer_encoding: bool,
    pub(crate) has_accept_ranges: bool,
    /// The response has `Vary`, `Content-Encoding` or `Content-Language`, so other
    /// representations may have the same bytes.
    pub(crate) is_negotiated: bool,
    /// The media type is that of a stream, such as `text/event-stream`.
    pub(crate) is_streaming: bool,
    pub(crate) is_no_store: bool,
    /// The response is for one user: it has `Cache-Control: private` or `Set-Cookie`,
    /// or it varies by Cookie or Authorization.
    pub(crate) is_private: bool,
    /// `Content-Security-Policy` has a nonce, which the content contains.
    pub(crate) has_nonce: bool,
    /// The response states its freshness neither in `Cache-Control` nor in `Expires`.
    pub(crate) is_silent: bool,
}

impl ResponseFields {
    /// Reads all fields. `now` is called only for a date with a two-digit year.
    #[inline]
    pub(crate) fn read(headers: &HeaderMap, keys: &Keys, now: impl Fn() -> HttpDate) -> Self {
        let mut fields = Self {
            etag: SingleField::Absent,
            last_modified: SingleField::Absent,
            content_length: SingleField::Absent,
            varied: Some(0),
            has_content_range: false,
            has_content_encoding: false,
            has_transfer_encoding: false,
            has_accept_ranges: false,
            is_negotiated: false,
            is_streaming: false,
            is_no_store: false,
            is_private: false,
            has_nonce: false,
            is_silent: true,
        };
        for (name, value) in headers {
            match name.as_str() {
                "etag" => fields.etag.take_line(|| EntityTag::try_from(value).ok()),
                "last-modified" => {
                    fields.last_modified.take_line(|| HttpDate::parse_with(value.as_bytes(), &now));
                }
                "content-length" => fields.content_length.take_length(value),
                "content-range" => fields.has_content_range = true,
                "transfer-encoding" => fields.has_transfer_encoding = true,
                "accept-ranges" => fields.has_accept_ranges = true,
                "content-encoding" => {
                    fields.has_content_encoding = true;
                    fields.is_negotiated = true;
                }
                "content-language" => fields.is_negotiated = true,
                "content-type" => fields.is_streaming |= is_streaming(value),
                "expires" => fields.is_silent = false,
                "set-cookie" => fields.is_private = true,
                "content-security-policy" => {
                    fields.has_nonce |= has_nonce(value);
                }
                "cache-control" => fields.read_cache_control(value),
                "vary" => fields.read_vary(value, keys),
                _ => {}
            }
        }
        fields
    }

    fn read_cache_control(&mut self, value: &HeaderValue) {
        let said = cache_control::read(value);
        self.is_no_store |= said.no_store;
        self.is_silent &= !said.freshness;
        self.is_private |= said.private;
    }

    fn read_vary(&mut self, value: &HeaderValue, keys: &Keys) {
        self.is_negotiated = true;
        self.is_private |= members(value).any(is_personal);
        self.varied = self.varied.zip(keys.varied(value)).map(|(all, more)| all | more);
    }
}

/// Returns true if a line of `Content-Security-Policy` has a nonce, such as
/// `'nonce-r4nd0m'`. The word `nonce` is case-insensitive.
pub(super) fn has_nonce(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    memchr_iter(b'\'', value).any(|quote| {
        let keyword = value.get(quote + 1..quote + 7);
        keyword.is_some_and(|keyword| keyword.eq_ignore_ascii_case(b"nonce-"))
    })
}

/// Returns true if a request field identifies a user.
fn is_personal(field: &[u8]) -> bool {
    field.eq_ignore_ascii_case(b"cookie") || field.eq_ignore_ascii_case(b"authorization")
}

#[inline]
pub(super) fn is_streaming(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    let starts_with = |prefix: &[u8]| {
        value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    // For most media types the first letter is enough to decide.
    match value.first() {
        Some(b'a' | b'A') => starts_with(b"application/grpc"),
        Some(b'm' | b'M') => starts_with(b"multipart/x-mixed-replace"),
        Some(b't' | b'T') => starts_with(b"text/event-stream"),
        _ => false,
    }
}
