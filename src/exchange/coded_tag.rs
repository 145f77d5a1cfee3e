//! Tags that name a content coding, such as `"v1~gzip"`. The plain tag is the tag
//! without the coding, here `"v1"`. All layers of this crate evaluate preconditions
//! against the plain tag, and share it through the extensions of the response.

use http::{
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG},
    response, Extensions, HeaderMap,
};

use super::insert_etag;
use crate::rules::{ContentCoding, EntityTag};

/// In the extensions of a response whose `ETag` names a coding: the plain tag.
#[derive(Clone, Debug)]
pub(crate) struct CodedTag {
    /// The `ETag` that a layer set. If the response has another `ETag` now, another
    /// layer has replaced it, and `plain` is not valid.
    sent: EntityTag,
    plain: EntityTag,
}

/// In the extensions of a response: the content was encoded on the fly, so the tag must
/// name the coding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodedOnTheFly {
    /// The encoded bytes may differ each time.
    pub(crate) is_weak: bool,
}

/// In the extensions of a response that goes to the compression of `compress_with`:
/// tells the service around the compression what to do with the response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BeforeCompression {
    /// The compression may encode the response. Add the coding to the tag then.
    ///
    /// `is_whole` is true if the plain content is whole in memory, so that it is
    /// encoded to the same bytes each time.
    MayBeEncoded { is_whole: bool },
    /// A 304 or the answer to a HEAD, which must not be encoded. It has
    /// `Content-Encoding: identity`, because a compression leaves responses alone that
    /// already have a coding. Remove this field.
    NoContent,
}

impl CodedTag {
    /// Sets `ETag` to `sent`, and adds the extension if `plain` differs.
    pub(crate) fn insert(head: &mut response::Parts, plain: &EntityTag, sent: EntityTag) {
        insert_etag(&mut head.headers, (&sent).into());
        if sent == *plain {
            return;
        }
        head.extensions.insert(Self { sent, plain: plain.clone() });
    }

    /// Returns the plain tag of the `ETag` of a response, if a layer of this crate set
    /// that `ETag`. `extensions` are those of the response.
    pub(crate) fn plain_of<'a>(
        extensions: &'a Extensions,
        etag: &EntityTag,
    ) -> Option<&'a EntityTag> {
        let coded = extensions.get::<Self>()?;
        (coded.sent == *etag).then_some(&coded.plain)
    }
}

/// Sets `ETag` to `plain`, followed by the coding of the response if the response was
/// encoded on the fly.
///
/// A response was encoded on the fly if it has the extension [`EncodedOnTheFly`], or if
/// it has `Content-Encoding`, but neither a length nor `Content-Range`.
pub(crate) fn insert_plain_tag(head: &mut response::Parts, plain: &EntityTag, is_sized: bool) {
    let headers = &head.headers;
    let has_length = is_sized || headers.contains_key(CONTENT_LENGTH);
    let is_encoded = |headers: &HeaderMap| {
        headers.contains_key(CONTENT_ENCODING) && !headers.contains_key(CONTENT_RANGE)
    };
    match head.extensions.get::<EncodedOnTheFly>() {
        Some(encoded) => {
            let is_weak = encoded.is_weak;
            insert_tag_with_coding(head, plain, is_weak);
        }
        None if !has_length && is_encoded(headers) => insert_tag_with_coding(head, plain, false),
        None => CodedTag::insert(head, plain, plain.with_coding(ContentCoding::Identity)),
    }
}

/// Sets `ETag` to a plain tag followed by the coding of the message. Removes `ETag` if
/// a tag cannot name this coding.
pub(crate) fn insert_tag_with_coding(head: &mut response::Parts, plain: &EntityTag, is_weak: bool) {
    match ContentCoding::of_message(&head.headers) {
        Some(coding) => {
            let sent = plain.with_coding(coding);
            CodedTag::insert(head, plain, if is_weak { sent.into_weak() } else { sent });
        }
        None => drop(head.headers.remove(ETAG)),
    }
}
