//! The name under which the memory keeps a resource, a keyed hash of its authority and its URI; and the variants that it
//! has, told apart by the request fields that its responses name in `Vary`.
//!
//! Two resources under one key, or two variants taken for one, cost work and no wrong answer: their contents look like one
//! that changes back and forth, and get a new date at each turn. Where tags are learnt it is the user who vouches for the
//! key, and 32 bits of a hash that tell variants apart of which the inner service says the same.
//!
//! The request is gone when the response says what it varied by. So the values of the fields that any response of this
//! layer ever named are hashed beforehand, one by one: a handful in practice. The first response to name a new field is
//! not remembered.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash, Hasher},
    sync::OnceLock,
};

use foldhash::{quality::SeedableRandomState, SharedSeed};
use http::{
    header::{HeaderName, ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HOST, ORIGIN},
    request, HeaderValue, Uri,
};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::rules::trim_ows;

/// The hash under which the dates of one resource are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Key(pub(super) u128);

impl Key {
    /// Returns half of the hash, for what is compared within one resource.
    pub(crate) fn short(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

/// A set of fields, by their places in [`Keys`].
pub(crate) type Fields = u16;

/// What names the resource of a request, and what may tell its variants apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestKey {
    pub(super) resource: Key,
    fields: [u32; SLOTS],
    /// How many fields were known when the request came.
    known: usize,
}

impl RequestKey {
    /// Returns what tells this request's variant from others of a resource that varies by `fields`; `None` if one of them
    /// was not known in time.
    pub(super) fn variant(&self, fields: Fields) -> Option<u64> {
        if fields == 0 {
            return Some(0);
        }
        if fields >> self.known != 0 {
            return None;
        }
        let named = self.fields.iter().zip(0..).filter(|(_, slot)| fields >> slot & 1 == 1);
        // The values are hashes; a product with odd numbers keeps two fields from cancelling each other out.
        Some(named.fold(0, |sum: u64, (value, slot)| sum.rotate_left(7) ^ u64::from(*value).wrapping_mul(2 * slot + 3)))
    }

    /// Returns a key for the content of a response that varies by `fields`; `None` if one of them was not known in time.
    pub(crate) fn content(&self, fields: Fields) -> Option<u128> {
        self.variant(fields).map(|variant| self.resource.0 ^ u128::from(variant))
    }

    /// Returns a key for something else that belongs to the same resource.
    pub(crate) fn with(&self, keys: &Keys, octets: &[u8]) -> Key {
        let mut hasher = keys.hasher();
        hasher.write_u128(self.resource.0);
        octets.hash(&mut hasher);
        Key(hasher.finish128().as_u128())
    }
}

/// Makes the keys of one layer.
#[derive(Debug)]
pub(crate) struct Keys {
    secret: (u64, u64),
    values: SeedableRandomState,
    /// The fields that responses varied by. They are only ever added to, so that a slot keeps its meaning.
    varied: [OnceLock<HeaderName>; SLOTS],
}

impl Keys {
    pub(crate) fn new() -> Self {
        let random = RandomState::new();
        let varied = [const { OnceLock::new() }; SLOTS];
        let usual = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ORIGIN];
        for (slot, name) in varied.iter().zip(usual) {
            slot.get_or_init(|| name);
        }
        let values = SeedableRandomState::with_seed(random.hash_one(2), SharedSeed::global_random());
        Self { secret: (random.hash_one(0), random.hash_one(1)), values, varied }
    }

    /// Hashes what names the resource of a request.
    ///
    /// `custom`, if given, feeds the hash in place of authority and URI.
    pub(crate) fn request(&self, parts: &request::Parts, custom: Option<&KeyFn>) -> RequestKey {
        // Most fields of a request are of no interest, and their length tells.
        let (mut known, mut lengths) = (0, length_bit(&HOST));
        for name in self.varied.iter().map_while(OnceLock::get) {
            known += 1;
            lengths |= length_bit(name);
        }
        let (mut fields, mut host) = ([0; SLOTS], None);
        for (name, line) in &parts.headers {
            if lengths & length_bit(name) == 0 {
                continue;
            }
            let mut slots = self.varied.iter().zip(&mut fields).take(known);
            if let Some((_, field)) = slots.find(|(varied, _)| varied.get() == Some(name)) {
                // Half of a plain hash will do: two values taken for one cost work, and browsers send long ones. Several
                // lines of a field follow each other in their order.
                [_, *field] = halves(self.values.hash_one((*field, line.as_bytes())));
            }
            if *name == HOST {
                host = host.or(Some(line));
            }
        }
        let mut hasher = self.hasher();
        match custom {
            Some(custom) => custom(parts, &mut hasher),
            None => hash_target(parts, host, &mut hasher),
        }
        RequestKey { resource: Key(hasher.finish128().as_u128()), fields, known }
    }

    /// Returns the fields that a line of `Vary` names; `None` if they cannot all be known.
    pub(super) fn varied(&self, line: &HeaderValue) -> Option<Fields> {
        let mut fields = 0;
        for member in line.as_bytes().split(|&octet| octet == b',').map(trim_ows) {
            if !member.is_empty() {
                fields |= 1 << self.slot(member)?;
            }
        }
        Some(fields)
    }

    /// Hashes something that only this layer has to recognise.
    pub(super) fn hash(&self, feed: impl FnOnce(&mut SipHasher13)) -> Key {
        let mut hasher = self.hasher();
        feed(&mut hasher);
        Key(hasher.finish128().as_u128())
    }

    /// Hashes octets that only this layer has to recognise.
    pub(crate) fn octets(&self, octets: &[u8]) -> u64 {
        let mut hasher = self.hasher();
        hasher.write(octets);
        hasher.finish()
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.secret.0, self.secret.1)
    }

    /// Returns the slot of a member of `Vary`. A new name takes a free slot for the requests to come, and has none yet.
    fn slot(&self, member: &[u8]) -> Option<usize> {
        for (slot, name) in self.varied.iter().enumerate() {
            match name.get() {
                Some(name) if name.as_str().as_bytes().eq_ignore_ascii_case(member) => return Some(slot),
                Some(_) => {}
                None => {
                    // `*` is a valid field name to this parser, and says that no field will do.
                    let name = HeaderName::from_bytes(member).ok().filter(|name| name.as_str() != "*")?;
                    // If another thread was faster, the next response tries again.
                    let _ = self.varied.get(slot)?.set(name);
                    return None;
                }
            }
        }
        None
    }
}

/// Feeds a hash with what the user takes for the name of a resource.
pub(crate) type KeyFn = dyn Fn(&request::Parts, &mut dyn Hasher) + Send + Sync;

/// Returns the URI as the client sent it, as far as it is known.
fn original_uri(parts: &request::Parts) -> &Uri {
    #[cfg(feature = "axum")]
    let uri = parts.extensions.get().map_or(&parts.uri, |axum::extract::OriginalUri(uri)| uri);
    #[cfg(not(feature = "axum"))]
    let uri = &parts.uri;
    uri
}

/// Returns the path as the client sent it, as far as it is known.
pub(crate) fn path(parts: &request::Parts) -> &str {
    original_uri(parts).path()
}

/// Hashes the authority and the path with its query, as the client sent them.
fn hash_target(parts: &request::Parts, host: Option<&HeaderValue>, hasher: &mut SipHasher13) {
    let uri = original_uri(parts);
    match uri.authority() {
        Some(authority) => authority.as_str().as_bytes().hash(hasher),
        None => host.map(HeaderValue::as_bytes).unwrap_or_default().hash(hasher),
    }
    match uri.path_and_query() {
        Some(target) => hasher.write(target.as_str().as_bytes()),
        None => hasher.write(uri.path().as_bytes()),
    }
}

/// Returns a bit for the length of a name.
fn length_bit(name: &HeaderName) -> u64 {
    1 << (name.as_str().len() % 64)
}

/// Cuts a hash in two.
fn halves(hash: u64) -> [u32; 2] {
    [hash >> 32, hash & u64::from(u32::MAX)].map(|half| u32::try_from(half).unwrap_or_default())
}

/// Hashes a key, which is a keyed hash already.
#[derive(Default)]
pub(super) struct TakeAsIs(u64);

impl Hasher for TakeAsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(octet);
        }
    }

    fn write_u128(&mut self, key: u128) {
        let [low, high] = [key, key >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
        self.0 = low ^ high;
    }
}

const SLOTS: usize = 8;

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(keys: &Keys, uri: &str, sent: &[(&'static str, &'static str)]) -> RequestKey {
        let mut request = Request::get(uri);
        for (name, value) in sent {
            request = request.header(*name, *value);
        }
        keys.request(&request.body(()).unwrap().into_parts().0, None)
    }

    fn varied(keys: &Keys, vary: &[&str]) -> Option<Fields> {
        vary.iter().try_fold(0, |all, line| Some(all | keys.varied(&HeaderValue::from_str(line).unwrap())?))
    }

    #[test]
    fn what_names_a_resource_tells_keys_apart() {
        let keys = Keys::new();
        let plain = request(&keys, "http://a/x?y", &[]).resource;
        assert_eq!(plain, request(&keys, "http://a/x?y", &[("accept", "text/csv")]).resource);
        let host = request(&keys, "/x?y", &[("host", "a")]).resource;
        assert_eq!(plain, host, "HTTP/1.1 and HTTP/2 name the host differently");
        for (uri, sent) in [
            ("http://b/x?y", &[][..]),
            ("http://a/xy", &[]),
            ("http://a/x?z", &[]),
            ("http://a/x", &[]),
            ("http://a/x?", &[]),
            ("/x?y", &[("host", "b")]),
        ] {
            assert_ne!(plain, request(&keys, uri, sent).resource, "{uri} {sent:?}");
        }
        let other = request(&Keys::new(), "http://a/x?y", &[]).resource;
        assert_ne!(plain, other, "each layer has a secret of its own");
    }

    #[test]
    fn variants_differ_by_the_fields_that_vary_names_and_by_no_other() {
        let keys = Keys::new();
        let variant = |sent, vary: &[&'static str]| {
            let fields = varied(&keys, vary).unwrap();
            request(&keys, "/", sent).variant(fields).unwrap()
        };
        let (csv, json) = (&[("accept", "text/csv")][..], &[("accept", "application/json")][..]);
        assert_ne!(variant(csv, &["Accept"]), variant(json, &["Accept"]));
        assert_ne!(variant(csv, &["accept"]), variant(&[], &["accept"]));
        assert_eq!(variant(csv, &["origin"]), variant(json, &["origin"]));
        assert_eq!(variant(csv, &[]), variant(json, &[]));
        assert_eq!(variant(csv, &["origin, accept"]), variant(csv, &["accept", ",origin"]));
        let swapped = [("accept", "b"), ("origin", "a")];
        assert_ne!(
            variant(&[("accept", "a"), ("origin", "b")], &["accept, origin"]),
            variant(&swapped, &["accept, origin"])
        );
    }

    #[test]
    fn a_new_field_is_learnt_and_a_flood_of_them_is_not() {
        let keys = Keys::new();
        let (one, two) = (&[("x-tenant", "1")][..], &[("x-tenant", "2")][..]);
        let early = request(&keys, "/", one);
        assert_eq!(varied(&keys, &["x-tenant"]), None);
        let fields = varied(&keys, &["x-tenant"]).unwrap();
        assert_ne!(request(&keys, "/", one).variant(fields), request(&keys, "/", two).variant(fields));
        assert!(request(&keys, "/", one).variant(fields).is_some());
        assert_eq!(early.variant(fields), None, "its field was not looked at");

        for i in (0..100).chain(0..100) {
            varied(&keys, &[&format!("x-{i}")]);
        }
        assert_eq!(varied(&keys, &["x-99"]), None);
        assert!(varied(&keys, &["x-tenant, accept"]).is_some());
    }

    #[test]
    fn what_cannot_be_a_field_is_not_remembered() {
        let keys = Keys::new();
        for vary in ["*", "accept, *", "a b", "é"] {
            let line = HeaderValue::from_bytes(vary.as_bytes()).unwrap();
            assert_eq!([keys.varied(&line), keys.varied(&line)], [None, None], "{vary}");
        }
    }
}
