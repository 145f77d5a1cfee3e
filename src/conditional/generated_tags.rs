//! The tags of this layer, and how they are recognised when a client sends them back.

use http::response;

use super::request::{ReadMethod, RequestContext};
use crate::{
    exchange::KnownValidators,
    rules::{split_coding, Current, DateEvidence, EntityTag},
    store::HashedTag,
    validators::{AddLastModified, ResponseFields},
};

impl RequestContext {
    /// Returns the tag to send. It is weak if the setting
    /// `OuterCompression::keeps_tags` requires weak tags.
    #[inline]
    pub(super) fn outgoing_tag(&self, tag: EntityTag) -> HashedTag {
        let is_weak = self.config.outer_compression.keeps_tags;
        HashedTag::from(if is_weak { tag.into_weak() } else { tag })
    }

    /// Returns true if the tag of the inner service must not be sent with
    /// this response.
    #[inline]
    pub(super) fn replaces_tag(&self, head: &response::Parts) -> bool {
        self.config.inner_tags.replaces() && self.has_no_known_validators(head)
    }

    /// Returns true if no other layer of this crate knows the validators of the
    /// representation.
    #[inline]
    pub(super) fn has_no_known_validators(&self, head: &response::Parts) -> bool {
        self.extras().known.is_none() && head.extensions.get::<KnownValidators>().is_none()
    }

    /// Returns true if the request names the tag, with or without a suffix that a
    /// proxy appends.
    pub(super) fn lists_tag(&self, etag: &EntityTag) -> bool {
        self.preconditions.lists_tag(etag) || self.lists_tag_with_suffix(etag)
    }

    /// Returns true if If-None-Match names the tag with a configured suffix.
    pub(super) fn lists_tag_with_suffix(&self, etag: &EntityTag) -> bool {
        let mut suffixes = self.config.outer_compression.suffixes();
        suffixes.any(|suffix| self.preconditions.lists_tag_with_suffix(etag, suffix))
    }

    /// Returns true if If-Match names a strong tag that the layer may have generated.
    pub(super) fn if_match_may_hold(&self) -> bool {
        let mut tags = self.preconditions.if_match_tags();
        tags.any(|tag| !tag.is_weak() && self.looks_generated(split_coding(tag.opaque()).0))
    }

    /// Returns true if the bytes between the quotes of a tag look like a generated tag.
    fn looks_generated(&self, opaque: &[u8]) -> bool {
        self.config.tag_format.looks_generated(opaque)
    }

    /// Returns true if the bytes between the quotes of a tag look like a generated tag,
    /// with or without a configured suffix.
    pub(super) fn may_be_generated(&self, opaque: &[u8]) -> bool {
        let mut suffixes = self.config.outer_compression.suffixes();
        self.looks_generated(opaque)
            || suffixes.any(|suffix| {
                let stripped = opaque.strip_suffix(suffix);
                stripped.is_some_and(|opaque| self.looks_generated(opaque))
            })
    }

    /// Returns the key under which the content is cached. `None` if such content is
    /// never cached.
    #[inline]
    pub(super) fn content_key(&self, fields: &ResponseFields) -> Option<u64> {
        if self.method == ReadMethod::Query {
            return None;
        }
        self.key.content(fields.varied?)
    }

    /// Returns the validators that an outer layer needs to evaluate a write.
    pub(super) fn answer_probe(&self, current: Current<'_>) -> KnownValidators {
        // Without a date the outer layer would ignore If-Unmodified-Since. But the
        // client may hold a date that this layer generated and has forgotten. With
        // `DOUBT` the field is evaluated, and no date matches.
        let generates = self.config.add_last_modified != AddLastModified::Never;
        let doubt = generates.then_some(DateEvidence::DOUBT);
        let date = current.date.or(doubt);
        KnownValidators::answer(current.etag.cloned(), date, self.config.add_last_modified)
    }
}
