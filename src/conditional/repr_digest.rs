//! The digest of the content, for content that was hashed to make its tag ([RFC 9530,
//! section 3](https://www.rfc-editor.org/rfc/rfc9530.html#section-3)).

use http::{
    header::{ETAG, TRAILER},
    HeaderValue,
};

use super::respond::ResponseContext;
use crate::{
    body::TrailerFields,
    exchange::vary_by,
    fields::{append_field, insert_field},
    rules::{Decision, EntityTag, REPR_DIGEST, WANT_REPR_DIGEST},
};

impl ResponseContext<'_> {
    /// Sets `Repr-Digest`.
    ///
    /// `tag` is that of the selected representation, and was made of its content here.
    #[cold]
    pub(super) fn set_repr_digest(&mut self, tag: &EntityTag, decision: Decision) {
        // Whether a GET would get it encoded, the compression does not say on a HEAD.
        let is_unknown = self.request.is_head() && self.may_be_encoded();
        if is_unknown || !self.wants_digest() || decision != Decision::Proceed {
            return;
        }
        if let Some(digest) = self.request.config.tag_format.repr_digest(tag) {
            insert_field(&mut self.head.headers, REPR_DIGEST, digest);
        }
    }

    /// Returns what follows content of this length that is hashed while it is sent, and
    /// announces it; `None` if nothing does.
    pub(super) fn trailer_fields(&mut self, length: Option<u64>) -> Option<TrailerFields> {
        let request = self.request;
        // Outside, the content may become other bytes than those that are hashed.
        let is_possible = request.extras().takes_trailers.allows(length) && !self.may_be_encoded();
        if !is_possible || !self.wants_digest() {
            return None;
        }
        let with_tag = !self.head.headers.contains_key(ETAG);
        let names = if with_tag { "etag, repr-digest" } else { "repr-digest" };
        append_field(&mut self.head.headers, TRAILER, HeaderValue::from_static(names));
        Some(TrailerFields { with_tag, format: request.config.tag_format })
    }

    /// Returns true if the response lacks a digest, and the client does not refuse it.
    ///
    /// `Vary` says so if it does, on a 304 as on the 200. Deliberately only then: to a
    /// client that refuses it a cache may give a response with a digest, which costs a
    /// few bytes; and with `Vary` on all responses caches would keep them twice.
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
