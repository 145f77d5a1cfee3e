//! Content codings: sets tags that name a coding, and prepares responses for
//! compression outside of the layer.

use std::borrow::Cow;

use http::{
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    },
    response::Parts,
    HeaderMap, HeaderValue, StatusCode,
};
use http_body::Body;

use super::respond::ResponseContext;
use crate::{
    body::ResponseBody,
    exchange::{insert_etag, insert_tag_with_coding, vary_by, BeforeCompression, CodedTag},
    header_map::insert_field,
    outcome::Reason,
    rules::{ContentCoding, Decision, EntityTag, SingleField},
};

impl<'a> ResponseContext<'a> {
    /// Returns the tag that the inner service gave, without the coding that an inner
    /// layer of this crate may have added. With `OuterCompression::keeps_tags`, which
    /// makes all tags weak, the result is weak.
    pub(super) fn inner_tag(&self) -> Option<Cow<'a, EntityTag>> {
        let sent = self.fields.etag.value()?;
        let plain = match CodedTag::plain_of(&self.head.extensions, sent) {
            Some(plain) => Cow::Owned(plain.clone()),
            None => Cow::Borrowed(sent),
        };
        Some(if self.request.config.outer_compression.keeps_tags {
            Cow::Owned(plain.into_owned().into_weak())
        } else {
            plain
        })
    }

    /// Returns true if the content was encoded on the fly inside of this layer, and its
    /// strong tag is that of the plain content.
    ///
    /// Content with a known length is taken for content that was encoded in advance.
    /// Its tag is that of the encoded bytes.
    #[inline]
    pub(super) fn is_encoded_on_the_fly(&self, body: &impl Body) -> bool {
        let fields = self.fields;
        fields.has_content_encoding
            && !fields.has_content_range
            && matches!(fields.content_length, SingleField::Absent)
            && fields.etag.value().is_some_and(|etag| !etag.is_weak())
            // The body in the answer to a HEAD may be empty, although there is content.
            && (body.size_hint().exact().is_none()
                || self.request.may_lack_content() && body.is_end_stream())
    }

    /// Returns true if the response may be encoded outside of this layer, and its tag
    /// would then have to name the coding.
    #[inline]
    pub(super) fn may_be_encoded(&self) -> bool {
        self.request.config.is_compressed && self.is_encodable() && self.head.status.is_success()
    }

    /// Returns true if a compression layer may encode the response: the client accepts
    /// a coding, and the content is not yet encoded and is not a part.
    #[inline]
    fn is_encodable(&self) -> bool {
        self.request.accepts_coding
            && !self.fields.has_content_encoding
            && !self.fields.has_content_range
    }

    /// Returns true if the content has a strong tag that this layer did not compute,
    /// and may be whole in memory. The caller then polls the first frame to see whether
    /// it is. Such content is encoded to the same bytes each time, so its tag
    /// stays strong.
    #[inline]
    pub(super) fn is_peeked(&self, reason: Reason, body: &impl Body) -> bool {
        let has_tag = || match reason {
            Reason::OwnTag => self.fields.etag.value().is_some_and(|etag| !etag.is_weak()),
            Reason::KnownState => true,
            _ => false,
        };
        self.may_be_encoded() && has_tag() && body.size_hint().exact().is_some_and(|size| size > 0)
    }

    /// Adds `Vary: accept-encoding` if an outer layer may choose the coding.
    ///
    /// A compression layer adds the field itself if it chooses a coding. It chooses
    /// none if the client accepts no coding, or if the response is a part (206) or has
    /// no content. In these cases this function adds the field. Without it, a cache
    /// could give the plain 200 to all clients. A 304 and a part must have the `Vary`
    /// of the 200 (RFC 9110, 15.4.5 and 15.3.7).
    pub(super) fn vary_by_coding(&mut self) {
        let (request, status) = (self.request, self.head.status);
        let is_whole = matches!(status, StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION);
        let is_other = matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED);
        let is_chosen = !self.fields.has_content_encoding
            && (is_other || !request.accepts_coding || request.is_head());
        if (is_whole || is_other) && (request.config.outer_compression.keeps_tags || is_chosen) {
            vary_by(&mut self.head.headers, ACCEPT_ENCODING);
        }
    }

    /// Sets `ETag` and returns true if the response needs another tag than `plain`, the
    /// tag without a coding. Otherwise returns false.
    ///
    /// `is_own` is true if `plain` is the tag of the inner service, and false if this
    /// layer generated it.
    #[inline]
    pub(super) fn set_coded_tag(
        &mut self,
        plain: Option<&EntityTag>,
        decision: Decision,
        is_own: bool,
        is_encoded: bool,
    ) -> bool {
        if is_encoded && self.fields.has_accept_ranges {
            self.head.headers.remove(ACCEPT_RANGES);
        }
        let (request, status) = (self.request, self.head.status);
        let is_not_modified =
            decision == Decision::NotModified || status == StatusCode::NOT_MODIFIED;
        let may_differ =
            is_encoded || request.preconditions.may_name_codings() || request.config.is_compressed;
        if is_not_modified && may_differ && self.set_matched_tag(plain) {
            return true;
        }
        match plain {
            Some(plain) if is_own && (is_encoded || plain.needs_identity()) => {
                self.set_own_tag(plain, is_encoded);
                true
            }
            _ => false,
        }
    }

    /// Sets the `ETag` of a 304 to the tag that the client holds. Returns false if that
    /// is the plain tag.
    #[inline(never)]
    fn set_matched_tag(&mut self, plain: Option<&EntityTag>) -> bool {
        let request = self.request;
        let inner = self.fields.etag.value();
        let is_matched = inner.is_some_and(|etag| {
            self.head.status == StatusCode::NOT_MODIFIED
                && CodedTag::plain_of(&self.head.extensions, etag).is_some()
        });
        if is_matched {
            // An inner layer of this crate, or a handler that calls
            // `Preconditions::check`, has set the tag.
            return true;
        }
        if let Some(plain) = plain {
            if let Some(sent) = request.preconditions.matched_tag(plain) {
                CodedTag::insert(self.head, plain, sent);
                return true;
            }
        } else if let Some(sent) = request.preconditions.only_coded_tag() {
            insert_etag(&mut self.head.headers, (&sent).into());
            return true;
        }
        // A date or `*` matched, so the coding of the client's copy is not known. The
        // 304 then has no tag.
        if request.config.is_compressed && request.accepts_coding {
            self.head.headers.remove(ETAG);
            return true;
        }
        false
    }

    /// Sets `ETag` to the tag of the inner service, followed by the coding.
    #[inline(never)]
    fn set_own_tag(&mut self, plain: &EntityTag, is_encoded: bool) {
        let sent = self.fields.etag.value();
        match sent.filter(|sent| CodedTag::plain_of(&self.head.extensions, sent).is_some()) {
            // An inner layer of this crate has already named the coding.
            Some(sent) if plain.is_weak() => {
                CodedTag::insert(self.head, plain, sent.clone().into_weak());
            }
            Some(_) => {}
            None if is_encoded => insert_tag_with_coding(self.head, plain, false),
            None => CodedTag::insert(self.head, plain, plain.with_coding(ContentCoding::Identity)),
        }
    }

    /// Prepares the response for the compression of `compress_with`, and for the
    /// service around it, which adds the coding to the tag.
    pub(super) fn prepare_for_compression<B: Body>(&mut self, body: &mut ResponseBody<B>) {
        let is_withheld = self.request.asks_as_get() && self.is_encodable();
        if is_withheld || self.head.status == StatusCode::NOT_MODIFIED {
            // The head may have the length of the content before it is encoded.
            self.head.headers.remove(CONTENT_LENGTH);
            body.end_of_unknown_size(body.outcome());
            if self.request.accepts_coding {
                prevent_encoding(self.head);
            }
        } else if self.may_be_encoded() {
            let before = BeforeCompression::MayBeEncoded { is_whole: body.is_in_memory() };
            self.head.extensions.insert(before);
        }
    }
}

/// Keeps the compression of `compress_with` from encoding a response without content.
///
/// Deliberately not a matter of the body's size: by its default predicate, tower-http's
/// `CompressionLayer` encodes no body of zero bytes, but with another predicate it may.
fn prevent_encoding(head: &mut Parts) {
    if !head.headers.contains_key(CONTENT_ENCODING) {
        insert_field(&mut head.headers, CONTENT_ENCODING, IDENTITY);
        head.extensions.insert(BeforeCompression::NoContent);
    }
}

/// Removes the field that [`prevent_encoding`] has added.
pub(super) fn remove_identity(headers: &mut HeaderMap) {
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == IDENTITY) {
        headers.remove(CONTENT_ENCODING);
    }
}

/// Prepares a response for the compression of `compress_with`, if this layer leaves the
/// response alone because of `handle_when`.
///
/// Prevents the encoding of a 304. Marks other successful responses that are neither
/// encoded nor parts: if the compression encodes such a response, the service around
/// the compression adds the coding to the tag.
#[cold]
pub(super) fn prepare_left_alone(head: &mut Parts) {
    if head.status == StatusCode::NOT_MODIFIED {
        prevent_encoding(head);
    }
    let headers = &head.headers;
    let is_left = headers.contains_key(CONTENT_ENCODING) || headers.contains_key(CONTENT_RANGE);
    if head.status.is_success() && !is_left {
        head.extensions.insert(BeforeCompression::MayBeEncoded { is_whole: false });
    }
}

/// The coding that stands for no coding.
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
