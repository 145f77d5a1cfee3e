//! Learned tags that servers share: asks the store for a tag, and publishes a tag
//! to it.

use super::{learning::Learner, respond::ResponseContext};
use crate::{
    rules::EntityTag,
    store::{Key, YEAR_1990},
    trace::shared_tag_found,
};

impl ResponseContext<'_> {
    /// Returns true if the tag of this content is worth sharing, and safe to share.
    ///
    /// `length` is the length of the whole content, if it is known.
    pub(super) fn may_share(&self, length: Option<u64>) -> bool {
        let config = &self.request.config;
        let date = self.fields.last_modified.value();
        // Content within the limit is read ahead, so each server makes its tag at once.
        let is_large = length.is_some_and(|length| length > config.buffer_limit);
        let has_strong_tag = self.fields.etag.value().is_some_and(|tag| !tag.is_weak());
        // A strong tag distinguishes all representations of a resource, but a date does
        // not. Other servers do not know how this layer distinguishes variants. So
        // content without a strong tag is shared only if it has no `Vary`.
        let is_named = has_strong_tag || self.fields.varied == Some(0);
        // A build tool may have set one fixed date for all files. Such a date stays the
        // same when the content changes, and so does a tag that a file server makes
        // from it.
        let is_real = date.is_none_or(|date| date.unix_seconds() >= i64::from(YEAR_1990));
        config.inner_tags.shared().is_some() && is_large && is_named && is_real
    }

    /// Asks the store for the tag of this content, if the tag is not known. This
    /// response is sent without the tag.
    ///
    /// Must be called after the validators of this response were stored, because the
    /// answer of the store adds the tag to them.
    pub(super) fn ask_store(&self) {
        let Some(learnable) = &*self.learnable else { return };
        let config = &self.request.config;
        if !(learnable.is_shared && learnable.is_unknown()) {
            return;
        }
        let (Some(resource), Some(shared)) =
            (self.request.extras().learned_key, config.inner_tags.shared())
        else {
            return;
        };
        let content = (resource, learnable.fingerprint);
        let Some(question) = shared.question(content, config.now()) else { return };
        let learner = learnable.learner(self);
        question.ask(&config.hash_of_nothing, move |tag| {
            shared_tag_found!(tag.is_some());
            if let Some(tag) = tag {
                learner.learn(&tag);
            }
        });
    }
}

impl Learner {
    /// Publishes the tag for the other servers. `resource` is `None` if the tag must
    /// not be shared.
    pub(super) fn publish(&self, resource: Option<Key>, tag: &EntityTag) {
        let config = &self.config;
        if let (Some(resource), Some(store)) = (resource, config.inner_tags.shared()) {
            store.publish((resource, self.fingerprint), &config.hash_of_nothing, tag);
        }
    }
}
