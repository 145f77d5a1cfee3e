//! The validators that the inner service gave last, so that If-Range is forwarded only
//! if it names one of them.
//!
//! They are kept for resources whose parts clients may ask for. A wrong entry costs a
//! request, but never makes a wrong part: every part is checked before it is sent.

use std::{fmt, sync::Arc};

use http::HeaderValue;
use quick_cache::UnitWeighter;

use super::keyed_cache::{keyed_cache, KeyedCache};
use crate::rules::{EntityTag, HttpDate};

/// The last validators of one layer's resources, for up to four variants each.
pub(crate) struct InnerValidators {
    cache: KeyedCache<u64, Arc<Variants>, UnitWeighter>,
}

type Variants = [Option<InnerValidator>; 4];

static NONE: Variants = [const { None }; 4];

/// What the inner service said about one variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InnerValidator {
    pub(crate) variant: u64,
    /// The strong tag that was sent to the client.
    pub(crate) sent: Option<HeaderValue>,
    /// The strong tag of the inner service, as it gave it.
    pub(crate) inner: Option<HeaderValue>,
    /// The date of the inner service, if it names this content.
    pub(crate) date: Option<HttpDate>,
    /// The tag that the layer generated, where the inner service gave none. If the
    /// inner service seems to give it later, the layer is applied twice.
    pub(crate) generated: Option<HeaderValue>,
    /// The length of the whole content.
    pub(crate) length: Option<u64>,
}

impl InnerValidator {
    /// Copies the tags: a field value can hold the buffer that it was received in.
    fn copied(self) -> Self {
        let copy = |tag: Option<HeaderValue>| HeaderValue::from_bytes(tag?.as_bytes()).ok();
        let Self { sent, inner, generated, .. } = self;
        Self { sent: copy(sent), inner: copy(inner), generated: copy(generated), ..self }
    }

    /// Returns true if `tag` is the one that the client got, or that of the inner
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
        Self { cache: keyed_cache(UnitWeighter, RESOURCES, RESOURCES as u64) }
    }
}

impl InnerValidators {
    /// Remembers what the inner service said about a variant, replacing what it said
    /// before.
    pub(crate) fn note(&self, resource: u64, new: InnerValidator) {
        let cached = self.cache.get(&resource);
        let variants = cached.as_deref().unwrap_or(&NONE);
        let of_variant = |known: &Option<InnerValidator>| {
            known.as_ref().is_none_or(|known| known.variant == new.variant)
        };
        let place = variants.iter().position(of_variant).unwrap_or(0);
        let known = variants.get(place).and_then(Option::as_ref);
        let generated = known.and_then(|known| known.generated.as_ref());
        if generated.is_some() && generated == new.inner.as_ref() {
            return;
        }
        // An entry without a validator replaces one that had some, but takes no new
        // place.
        let is_empty = new.sent.is_none() && new.generated.is_none() && new.date.is_none();
        if is_empty && known.is_none_or(|known| known.variant != new.variant) {
            return;
        }
        // Most responses change nothing.
        if known == Some(&new) {
            return;
        }
        let mut variants = variants.clone();
        if let Some(known) = variants.get_mut(place) {
            *known = Some(new.copied());
        }
        self.cache.insert(resource, Arc::new(variants));
    }

    /// Returns what the inner service said last about a variant for which `claim` is
    /// true.
    pub(crate) fn find(
        &self,
        resource: u64,
        claim: impl Fn(&InnerValidator) -> bool,
    ) -> Option<InnerValidator> {
        self.cache.get(&resource)?.iter().flatten().find(|known| claim(known)).cloned()
    }

    /// Returns true if anything is remembered of a resource, if only that a part of it
    /// was refused.
    pub(crate) fn knows(&self, resource: u64) -> bool {
        self.cache.get(&resource).is_some()
    }

    /// Forgets the validators of a resource of which a part was refused.
    pub(crate) fn refuse_part(&self, resource: u64) {
        self.cache.insert(resource, Arc::new(NONE.clone()));
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
        assert!(known.knows(1) && !known.knows(2));
        known.refuse_part(1);
        assert!(!has("\"d\"") && known.knows(1));
        for resource in 0..100_000 {
            known.note(resource, of(0, "\"a\""));
        }
        assert!(known.cache.len() <= RESOURCES);
    }
}
