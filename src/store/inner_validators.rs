//! The last validators of the inner service, for each variant of a resource.
//!
//! By default, the layer forwards If-Range to the inner service only if its value is
//! one of these validators or a tag that an outer layer of this crate verifies. The
//! layer also forwards the tag of a file in a manifest, but not after a response with
//! another tag.
//!
//! The validators are kept for resources that clients may request in ranges. If a kept
//! validator is out of date, a client needs one more request. It never gets a 206 of
//! another version, because each 206 is checked before it is sent.

use std::{fmt, sync::Arc};

use http::HeaderValue;
use quick_cache::UnitWeighter;

use super::{
    evicting_cache::{evicting_cache, EvictingCache},
    resource_key::Keys,
};
use crate::rules::{EntityTag, HttpDate};

/// The last validators of one layer's resources, for up to four variants of
/// each resource.
///
/// Most tags are kept as hashes, so a resource takes about 150 bytes. A tag that is
/// kept whole has at most 256 bytes.
pub(crate) struct InnerValidators {
    cache: EvictingCache<u64, Arc<[InnerValidator]>, UnitWeighter>,
}

/// The validators of the inner service for one variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InnerValidator {
    pub(crate) variant: u64,
    pub(crate) tag: WholeTag,
    /// The strong tag of the inner service, if the client got another tag instead.
    pub(crate) inner: Option<Box<[u8]>>,
    /// The date of the inner service, if it identifies this content.
    pub(crate) date: Option<HttpDate>,
    /// True if the inner service may have given the date to other content, too.
    /// If-Range with this date then gets the whole content.
    pub(crate) is_date_shared: bool,
    /// The length of the whole content.
    pub(crate) length: Option<u64>,
}

/// The hash of the strong tag that the client got for the whole content, if any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WholeTag {
    None,
    /// The inner service gave a strong tag, too: the same tag, or another one.
    Known(u64),
    /// The layer generated the tag, and the inner service gave no strong tag. If a
    /// later response of the inner service has this tag, the layer is applied twice.
    Generated(u64),
}

impl InnerValidator {
    /// Returns true if `tag` is the strong tag of the inner service, or the tag that
    /// the client got in its place. Always false if the inner service gave no strong
    /// tag, even for a tag that the layer generated ([`WholeTag::Generated`]).
    pub(crate) fn is_tag(&self, tag: &EntityTag, keys: &Keys) -> bool {
        self.inner.as_deref() == Some(tag.as_bytes())
            || self.tag == WholeTag::Known(keys.bytes(tag.as_bytes()))
    }

    /// Returns true if the client got `tag`, and the inner service gave no strong tag.
    pub(crate) fn is_generated(&self, tag: &EntityTag, keys: &Keys) -> bool {
        self.tag == WholeTag::Generated(keys.bytes(tag.as_bytes()))
    }

    /// Returns true if a value of If-Range names this validator.
    pub(crate) fn is_named_by(&self, if_range: &HeaderValue, keys: &Keys, now: HttpDate) -> bool {
        match EntityTag::try_from(if_range) {
            Ok(tag) => !tag.is_weak() && self.is_tag(&tag, keys),
            Err(_) => self.has_own_date() && HttpDate::parse(if_range, now) == self.date,
        }
    }

    fn has_own_date(&self) -> bool {
        self.date.is_some() && !self.is_date_shared
    }

    /// Returns true if `other` has the same date, and this date does not identify one
    /// content: the two lengths differ, or the date was shared before.
    fn shares_date(&self, other: &Self) -> bool {
        let is_other_length = self.length.zip(other.length).is_some_and(|(one, two)| one != two);
        self.date.is_some() && self.date == other.date && (self.is_date_shared || is_other_length)
    }

    /// Removes both tags if `inner` has more than 256 bytes. An inner service can send
    /// tags of many kilobytes. If-Range with such a tag gets the whole content.
    fn without_long_tag(self) -> Self {
        if self.inner.as_ref().is_some_and(|inner| inner.len() > TAG_BYTES) {
            return Self { tag: WholeTag::None, inner: None, ..self };
        }
        self
    }

    /// Returns true if the content has a tag.
    pub(crate) fn has_tag(&self) -> bool {
        self.tag != WholeTag::None || self.inner.is_some()
    }

    fn is_empty(&self) -> bool {
        !self.has_tag() && self.date.is_none()
    }
}

impl Default for InnerValidators {
    fn default() -> Self {
        Self { cache: evicting_cache(UnitWeighter, RESOURCES, RESOURCES as u64) }
    }
}

impl InnerValidators {
    /// Remembers the validators of a variant, and replaces the previous ones.
    pub(crate) fn note(&self, resource: u64, new: InnerValidator) {
        let mut new = new.without_long_tag();
        let cached = self.cache.get(&resource);
        let variants = cached.as_deref().unwrap_or_default();
        let known = variants.iter().find(|known| known.variant == new.variant);
        new.is_date_shared |= known.is_some_and(|known| known.shares_date(&new));
        let is_applied_twice = |known: &InnerValidator| match (known.tag, new.tag) {
            (WholeTag::Generated(generated), WholeTag::Known(tag)) => generated == tag,
            _ => false,
        };
        // Most responses change nothing. A response without a validator replaces a
        // known variant, but does not add one.
        if known.map_or(new.is_empty(), |known| *known == new || is_applied_twice(known)) {
            return;
        }
        let others = variants.iter().filter(|known| known.variant != new.variant);
        let others: Vec<_> = others.take(VARIANTS - 1).cloned().collect();
        self.cache.insert(resource, [new].into_iter().chain(others).collect());
    }

    /// Adds the learned `tag` of content whose inner tag is `inner`. Does nothing if
    /// `inner` is no longer the last tag of this resource and variant.
    pub(crate) fn learn(
        &self,
        (resource, variant): (u64, u64),
        inner: &[u8],
        tag: &EntityTag,
        keys: &Keys,
    ) {
        let is_last = |known: &InnerValidator| {
            known.variant == variant
                && (known.inner.as_deref() == Some(inner)
                    || known.tag == WholeTag::Known(keys.bytes(inner)))
        };
        if let Some(known) = self.find(resource, is_last) {
            let tag = WholeTag::Known(keys.bytes(tag.as_bytes()));
            self.note(resource, InnerValidator { tag, inner: Some(inner.into()), ..known });
        }
    }

    /// Returns the validators of the first variant for which `claim` is true.
    pub(crate) fn find(
        &self,
        resource: u64,
        claim: impl Fn(&InnerValidator) -> bool,
    ) -> Option<InnerValidator> {
        self.cache.get(&resource)?.iter().find(|known| claim(known)).cloned()
    }

    /// Returns true if anything is remembered about a resource. That may be only that a
    /// 206 was refused.
    pub(crate) fn knows(&self, resource: u64) -> bool {
        self.cache.get(&resource).is_some()
    }

    /// Returns true if the resource is remembered, but no validator identifies its
    /// content: a 206 was refused, or two contents without a tag had the same date.
    pub(crate) fn is_refused(&self, resource: u64) -> bool {
        let is_void = |known: &InnerValidator| known.is_date_shared && !known.has_tag();
        self.cache.get(&resource).is_some_and(|variants| variants.iter().all(is_void))
    }

    /// Forgets the tags of a resource, and remembers that a 206 was refused. Dates are
    /// kept, but marked as shared: the content of the 206 may have had the same date.
    pub(crate) fn refuse_part(&self, resource: u64) {
        let cached = self.cache.get(&resource);
        let dated = cached.iter().flat_map(|variants| variants.iter());
        let void = dated.filter(|known| known.date.is_some()).map(|known| InnerValidator {
            tag: WholeTag::None,
            inner: None,
            is_date_shared: true,
            ..*known
        });
        self.cache.insert(resource, void.collect());
    }
}

impl fmt::Debug for InnerValidators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InnerValidators").finish_non_exhaustive()
    }
}

const RESOURCES: usize = 1 << 13;
const VARIANTS: usize = 4;
const TAG_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variant: u64, tag: u64) -> InnerValidator {
        let tag = WholeTag::Known(tag);
        let (inner, date, length) = (None, None, None);
        InnerValidator { variant, tag, inner, date, is_date_shared: false, length }
    }

    #[test]
    fn a_learned_tag_is_added_to_the_inner_one_that_it_stands_for() {
        let keys = Keys::new();
        let hash = |tag: &EntityTag| keys.bytes(tag.as_bytes());
        let tag = |text: &str| EntityTag::strong(text).unwrap();
        let (own, other, ours) = (tag("own"), tag("other"), tag("ours"));
        let replaced = |inner: &EntityTag| InnerValidator {
            inner: Some(inner.as_bytes().into()),
            tag: WholeTag::None,
            ..of(1, 0)
        };
        for (noted, is_known) in [
            (replaced(&own), true),
            (of(1, hash(&own)), true),
            (replaced(&other), false),
            (of(1, hash(&other)), false),
            (of(2, hash(&own)), false),
        ] {
            let known = InnerValidators::default();
            known.note(1, noted.clone());
            known.learn((1, 1), own.as_bytes(), &ours, &keys);
            let found = known.find(1, |one| one.is_tag(&ours, &keys));
            assert_eq!(found.is_some(), is_known, "{noted:?}");
            if let Some(found) = found {
                assert!(found.is_tag(&own, &keys) && !found.is_tag(&other, &keys));
            }
        }
    }

    #[test]
    fn a_long_inner_tag_is_not_kept() {
        let keys = Keys::new();
        let ours = EntityTag::strong("ours").unwrap();
        let hash = |tag: &EntityTag| WholeTag::Known(keys.bytes(tag.as_bytes()));
        for (length, is_kept) in [(254, true), (255, false), (60_000, false)] {
            let own = EntityTag::strong("x".repeat(length)).unwrap();
            let inner = Some(own.as_bytes().into());
            let find = |known: &InnerValidators, tag| known.find(1, |one| one.is_tag(tag, &keys));
            let known = InnerValidators::default();
            known.note(1, InnerValidator { inner, tag: hash(&ours), ..of(1, 0) });
            assert_eq!(find(&known, &ours).is_some(), is_kept, "{length}");
            // A tag that is sent as it is takes only its hash.
            known.note(1, InnerValidator { tag: hash(&own), ..of(1, 0) });
            assert!(find(&known, &own).is_some(), "{length}");
            known.learn((1, 1), own.as_bytes(), &ours, &keys);
            assert_eq!(find(&known, &ours).is_some(), is_kept, "{length}");
        }
    }

    #[test]
    fn the_last_validator_of_each_variant_is_known() {
        let known = InnerValidators::default();
        let has = |tag| known.find(1, |one| one.tag == WholeTag::Known(tag)).is_some();
        known.note(1, of(1, 1));
        known.note(1, of(2, 2));
        assert!(has(1) && has(2));
        known.note(1, of(1, 3));
        assert!(!has(1) && has(2) && has(3));
        for variant in 3..100 {
            known.note(1, of(variant, 4));
        }
        assert!(has(4));
        assert!(known.knows(1) && !known.knows(2));
        known.refuse_part(1);
        assert!(known.is_refused(1) && !known.is_refused(2));
        assert!(!has(4) && known.knows(1));
        known.note(1, of(1, 3));
        assert!(!known.is_refused(1));
        for resource in 0..100_000 {
            known.note(resource, of(0, 1));
        }
        assert!(known.cache.len() <= RESOURCES);
    }

    #[test]
    fn a_date_that_two_contents_had_names_neither() {
        let (keys, now) = (Keys::new(), HttpDate::MAX);
        let (one, two) = (now, HttpDate::from_unix_seconds(784_111_777).unwrap());
        let of = |variant, date, length| InnerValidator {
            tag: WholeTag::None,
            date: Some(date),
            length,
            ..of(variant, 0)
        };
        let is_named = |known: &InnerValidators, date: HttpDate| {
            known.find(1, |one| one.is_named_by(&HeaderValue::from(date), &keys, now)).is_some()
        };
        for (next, is_own) in [
            (of(1, two, Some(8)), true),
            (of(1, two, None), true),
            (of(1, two, Some(9)), false),
            (of(2, two, Some(9)), true),
        ] {
            let known = InnerValidators::default();
            known.note(1, of(1, two, Some(8)));
            known.note(1, next.clone());
            known.note(1, next.clone());
            assert_eq!(is_named(&known, two), is_own, "{next:?}");
            known.note(1, of(1, one, Some(9)));
            assert!(is_named(&known, one), "{next:?}");
        }
        // A part was refused, so the date may be that of two contents.
        let known = InnerValidators::default();
        known.note(1, of(1, two, Some(8)));
        known.refuse_part(1);
        assert!(known.is_refused(1) && !is_named(&known, two));
        known.note(1, of(1, two, Some(9)));
        assert!(!is_named(&known, two));
        known.note(1, of(1, one, Some(9)));
        assert!(is_named(&known, one) && !known.is_refused(1));
    }
}
