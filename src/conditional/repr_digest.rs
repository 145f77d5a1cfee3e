//! The digest of content that was hashed for its tag ([RFC 9530, section
//! 3](https://www.rfc-editor.org/rfc/rfc9530.html#section-3)).

use http::{
    header::{ETAG, TRAILER},
    HeaderValue,
};

use super::respond::ResponseContext;
use crate::{
    body::TrailerFields,
    exchange::vary_by,
    header_map::{append_field, insert_field},
    rules::{Decision, EntityTag, REPR_DIGEST, WANT_REPR_DIGEST},
};

impl ResponseContext<'_> {
    /// Sets `Repr-Digest`.
    ///
    /// `tag` is the tag of the selected representation. The layer made this tag from
    /// the content, so the tag contains the hash that the field needs.
    #[cold]
    pub(super) fn set_repr_digest(&mut self, tag: &EntityTag, decision: Decision) {
        // On a HEAD it is not known whether the content of the GET would be encoded.
        let is_unknown = self.request.is_head() && self.may_be_encoded();
        if is_unknown || !self.wants_digest() || decision != Decision::Proceed {
            return;
        }
        if let Some(digest) = self.request.config.tag_format.repr_digest(tag) {
            insert_field(&mut self.head.headers, REPR_DIGEST, digest);
        }
    }

    /// Returns the trailers to send after content that is hashed while it is sent, and
    /// names them in `Trailer`. `None` if no trailers can be sent.
    pub(super) fn trailer_fields(&mut self, length: Option<u64>) -> Option<TrailerFields> {
        let request = self.request;
        // If an outer layer encodes the content, the hash does not describe the
        // sent bytes.
        let is_possible = request.extras().takes_trailers.allows(length) && !self.may_be_encoded();
        if !is_possible || !self.wants_digest() {
            return None;
        }
        let with_tag = !self.head.headers.contains_key(ETAG);
        let names = if with_tag { "etag, repr-digest" } else { "repr-digest" };
        append_field(&mut self.head.headers, TRAILER, HeaderValue::from_static(names));
        Some(TrailerFields { with_tag, format: request.config.tag_format })
    }

    /// Returns true if the response has no digest yet, and the client does not
    /// refuse one.
    ///
    /// If the client refuses the digest, this adds `Vary: want-repr-digest`. Other
    /// responses deliberately get no such `Vary`: with it, a cache would keep a second
    /// copy for clients that send `Want-Repr-Digest`. So a cache may give a response
    /// with a digest to a client that refuses it. That costs only a few bytes.
    fn wants_digest(&mut self) -> bool {
        let headers = &mut self.head.headers;
        if headers.contains_key(REPR_DIGEST) {
            return false;
        }
        let refuses_digest = self.request.extras().refuses_digest;
        if refuses_digest {
            vary_by(headers, WANT_REPR_DIGEST);
        }
        !refuses_digest
    }
}
