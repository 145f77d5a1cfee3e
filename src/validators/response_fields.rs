//! What the head of a response says, read in one pass: most fields that matter here are absent from most responses.

use http::{HeaderMap, HeaderValue};

use super::freshness;
use crate::{
    rules::{EntityTag, HttpDate},
    store::{Fields, Keys},
};

/// What the header fields of a response say, as far as the layer asks.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) etag: Own<EntityTag>,
    pub(crate) last_modified: Own<HttpDate>,
    /// The value of `Content-Length`, in octets.
    pub(crate) content_length: Own<u64>,
    /// By which request fields the response varies; `None` if they cannot be known.
    pub(crate) varied: Option<Fields>,
    pub(crate) has_content_range: bool,
    /// The inner service says how the content is framed, as what came through a proxy may.
    pub(crate) has_transfer_encoding: bool,
    /// Parts of the content may be asked for.
    pub(crate) has_accept_ranges: bool,
    /// Other representations of the resource may have the same octets: there is `Vary`, `Content-Encoding` or
    /// `Content-Language`.
    pub(crate) is_negotiated: bool,
    /// The media type is one that is never finished.
    pub(crate) is_streaming: bool,
    /// `Cache-Control` says `no-store`.
    pub(crate) is_no_store: bool,
    /// Nothing says how long the response is fresh.
    pub(crate) is_silent: bool,
}

/// A field that the inner service may have given once.
#[derive(Debug)]
pub(crate) enum Own<T> {
    Absent,
    /// It cannot be read, or contradicts itself.
    Invalid,
    Valid(T),
}

impl<T> Own<T> {
    /// Returns the value, if there is one that can be read.
    pub(crate) fn valid(&self) -> Option<&T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Absent | Self::Invalid => None,
        }
    }

    /// Takes in a line of a field that must have only one.
    fn only(&mut self, value: Option<T>) {
        *self = match (&self, value) {
            (Self::Absent, Some(value)) => Self::Valid(value),
            _ => Self::Invalid,
        };
    }
}

impl Facts {
    /// Reads all fields. `now` is asked only for a date with a two-digit year.
    #[inline]
    pub(crate) fn read(headers: &HeaderMap, keys: &Keys, now: impl Fn() -> HttpDate) -> Self {
        let mut facts = Self {
            etag: Own::Absent,
            last_modified: Own::Absent,
            content_length: Own::Absent,
            varied: Some(0),
            has_content_range: false,
            has_transfer_encoding: false,
            has_accept_ranges: false,
            is_negotiated: false,
            is_streaming: false,
            is_no_store: false,
            is_silent: true,
        };
        for (name, value) in headers {
            match name.as_str() {
                "etag" => facts.etag.only(EntityTag::try_from(value).ok()),
                "last-modified" => facts.last_modified.only(HttpDate::parse_with(value.as_bytes(), &now)),
                "content-length" => facts.read_content_length(value),
                "content-range" => facts.has_content_range = true,
                "transfer-encoding" => facts.has_transfer_encoding = true,
                "accept-ranges" => facts.has_accept_ranges = true,
                "content-encoding" | "content-language" => facts.is_negotiated = true,
                "content-type" => facts.is_streaming |= is_streaming(value),
                "expires" => facts.is_silent = false,
                "cache-control" => {
                    let said = freshness::read(value);
                    facts.is_no_store |= said.no_store;
                    facts.is_silent &= !said.freshness;
                }
                "vary" => {
                    facts.is_negotiated = true;
                    facts.varied = facts.varied.zip(keys.varied(value)).map(|(all, more)| all | more);
                }
                _ => {}
            }
        }
        facts
    }

    fn read_content_length(&mut self, value: &HeaderValue) {
        let digit = |sum: u64, digit: &u8| match digit {
            b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        };
        let length = value.as_bytes().iter().try_fold(0, digit).filter(|_| !value.is_empty());
        self.content_length = match (&self.content_length, length) {
            (Own::Absent, Some(length)) => Own::Valid(length),
            (Own::Valid(before), Some(length)) if *before == length => Own::Valid(length),
            _ => Own::Invalid,
        };
    }
}

#[inline]
pub(super) fn is_streaming(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    let starts_with = |prefix: &[u8]| value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    // The first letter spares most types the comparison.
    match value.first() {
        Some(b'a' | b'A') => starts_with(b"application/grpc"),
        Some(b'm' | b'M') => starts_with(b"multipart/x-mixed-replace"),
        Some(b't' | b'T') => starts_with(b"text/event-stream"),
        _ => false,
    }
}
