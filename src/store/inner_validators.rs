//! The validators that the inner service gave last, by which it can evaluate If-Range.
//!
//! Kept for resources of which parts may be asked for. A wrong entry costs a request
//! and never makes a wrong part: what the inner service sends is checked once more.

use std::{fmt, hash::BuildHasherDefault};

use http::HeaderValue;
use quick_cache::{
    sync::{Cache, DefaultLifecycle},
    OptionsBuilder, UnitWeighter,
};

use super::resource_key::IdentityHasher;
use crate::rules::{EntityTag, HttpDate};

/// The validators of one layer's resources, the last of each of four variants.
pub(crate) struct InnerValidators {
    cache:
        Cache<u64, [Option<InnerValidator>; 4], UnitWeighter, BuildHasherDefault<IdentityHasher>>,
}

/// What the inner service said of one variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InnerValidator {
    pub(crate) variant: u64,
    /// The strong tag that was sent to the client.
    pub(crate) sent: Option<HeaderValue>,
    /// The strong tag of the inner service, as it gave it.
    pub(crate) inner: Option<HeaderValue>,
    /// The date of the inner service, if it stands for this content.
    pub(crate) date: Option<HttpDate>,
    /// The tag that the layer generated, where the inner service gave none. If it seems to give
    /// this one, the layer is applied twice.
    pub(crate) generated: Option<HeaderValue>,
    /// The bytes of the whole content.
    pub(crate) length: Option<u64>,
}

impl InnerValidator {
    /// Returns true if this is the tag that the client got, or that of the inner
    /// service.
    pub(crate) fn is_tag(&self, tag: &EntityTag) -> bool {
        let is_tag =
            |known: &Option<HeaderValue>| known.as_ref().is_some_and(|k| k == tag.as_bytes());
        is_tag(&self.sent) || is_tag(&self.inner)
    }

    /// Returns true if this is the validator that a value of If-Range names.
    pub(crate) fn is_named_by(&self, if_range: &HeaderValue, now: HttpDate) -> bool {
        match EntityTag::try_from(if_range) {
            Ok(tag) => !tag.is_weak() && self.is_tag(&tag),
            Err(_) => self.date.is_some() && HttpDate::parse(if_range, now) == self.date,
        }
    }
}

impl Default for InnerValidators {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .shards(4)
            .estimated_items_capacity(RESOURCES)
            .weight_capacity(RESOURCES as u64)
            .build()
            .expect("all that it asks for is set");
        let hasher = BuildHasherDefault::default();
        let lifecycle = DefaultLifecycle::default();
        Self { cache: Cache::with_options(options, UnitWeighter, hasher, lifecycle) }
    }
}

impl InnerValidators {
    /// Notes what the inner service said, in place of what it said of this variant
    /// before.
    pub(crate) fn note(&self, resource: u64, new: InnerValidator) {
        let mut variants = self.cache.get(&resource).unwrap_or_default();
        let of_variant = |known: &Option<InnerValidator>| {
            known.as_ref().is_none_or(|known| known.variant == new.variant)
        };
        let place = variants.iter().position(of_variant).unwrap_or(0);
        let Some(known) = variants.get_mut(place) else { return };
        let generated = known.as_ref().and_then(|known| known.generated.as_ref());
        if generated.is_some() && generated == new.inner.as_ref() {
            return;
        }
        // What has no validator replaces what had one, and is not worth a place of its own.
        let is_empty = new.sent.is_none() && new.generated.is_none() && new.date.is_none();
        if is_empty && known.as_ref().is_none_or(|known| known.variant != new.variant) {
            return;
        }
        // Most responses say the same again.
        if known.as_ref() != Some(&new) {
            *known = Some(new);
            self.cache.insert(resource, variants);
        }
    }

    /// Returns what the inner service said last that fulfils `claim`.
    pub(crate) fn find(
        &self,
        resource: u64,
        claim: impl Fn(&InnerValidator) -> bool,
    ) -> Option<InnerValidator> {
        self.cache.get(&resource)?.into_iter().flatten().find(claim)
    }

    /// Forgets what the inner service said of a resource.
    pub(crate) fn forget(&self, resource: u64) {
        self.cache.remove(&resource);
    }
}

impl fmt::Debug for InnerValidators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InnerValidators").finish_non_exhaustive()
    }
}

const RESOURCES: usize = 1 << 13;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variant: u64, tag: &'static str) -> InnerValidator {
        let tag = Some(HeaderValue::from_static(tag));
        let (sent, inner) = (tag.clone(), tag);
        InnerValidator { variant, sent, inner, date: None, generated: None, length: None }
    }

    #[test]
    fn the_last_validator_of_each_variant_is_known() {
        let known = InnerValidators::default();
        let has = |tag: &str| known.find(1, |one| one.sent.as_ref().unwrap() == tag).is_some();
        known.note(1, of(1, "\"a\""));
        known.note(1, of(2, "\"b\""));
        assert!(has("\"a\"") && has("\"b\""));
        known.note(1, of(1, "\"c\""));
        assert!(!has("\"a\"") && has("\"b\"") && has("\"c\""));
        for variant in 3..100 {
            known.note(1, of(variant, "\"d\""));
        }
        assert!(has("\"d\""));
        known.forget(1);
        assert!(!has("\"b\""));
        for resource in 0..100_000 {
            known.note(resource, of(0, "\"a\""));
        }
        assert!(known.cache.len() <= RESOURCES);
    }
}
