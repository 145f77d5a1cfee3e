//! The key under which a resource is remembered: a keyed hash of its authority and URI.
//! The variants of a resource are distinguished by the request fields that its
//! responses name in `Vary`.
//!
//! If two resources or variants have the same key, this costs work, but no answer is
//! wrong. The two look like one resource whose content changes back and forth, and get
//! a new date each time.
//!
//! For learned tags, two resources must not have the same key, so these keys have 128
//! bits. If the user sets a key function, that function must distinguish all resources.
//!
//! Two variants of a resource may still have the same key. So a tag is learned only if
//! the inner service's response distinguishes the variants itself: by a strong tag, or
//! by `Content-Encoding` if the response varies at most by `Accept-Encoding`.
//!
//! When the layer sees the response's `Vary`, the request is no longer available. So
//! for each request, the layer hashes the values of all fields that earlier responses
//! have named. In practice, these fields are few. The first response that names a new
//! field is not remembered.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash, Hasher},
    sync::{
        atomic::{AtomicU64, AtomicU8, Ordering},
        Mutex, OnceLock, PoisonError,
    },
};

use foldhash::{quality::SeedableRandomState, SharedSeed};
use http::{
    header::{HeaderName, ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HOST, ORIGIN, RANGE},
    request,
    uri::PathAndQuery,
    Extensions, HeaderValue, Uri,
};
use siphasher::{
    sip,
    sip128::{Hasher128, SipHasher13},
};

use crate::rules::{has_weights, members, names_coding};

/// A keyed hash of 128 bits, for which an attacker cannot find a collision.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key(pub(super) u128);

impl Key {
    /// Returns half of the hash, which is enough to compare the variants of
    /// one resource.
    pub(crate) fn short(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// Returns the key of a variant of this resource.
    pub(crate) fn of_variant(self, variant: u64) -> Self {
        Self(self.0 ^ u128::from(variant))
    }
}

/// A set of the fields that responses name in `Vary`: one bit for each slot
/// of [`Keys`].
pub(crate) type Fields = u16;

/// Returns true if the head of a response that varies by `fields` shows which variant
/// it is. That is so if it varies at most by `Accept-Encoding`: `Content-Encoding` then
/// distinguishes the variants.
pub(crate) fn shows_variant(fields: Fields) -> bool {
    let codings = PRESENT.iter().position(|name| *name == ACCEPT_ENCODING);
    codings.is_some_and(|slot| fields & !(1 << slot) == 0)
}

/// The key of a request: the hash of its resource, and the hashes of the fields that
/// may distinguish variants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestKey {
    pub(super) resource: u64,
    fields: [u16; SLOTS],
    /// The fields that earlier responses had named in `Vary` when the request came.
    known: Fields,
}

impl RequestKey {
    /// Returns the hash of the resource's name.
    pub(crate) fn resource(&self) -> u64 {
        self.resource
    }

    /// Returns the hash that identifies the variant of this request, for a response
    /// that varies by `fields`. `None` if one of the fields was not known when the
    /// request came: no earlier response had named it in `Vary`, so its value was not
    /// hashed.
    #[inline]
    pub(crate) fn variant(&self, fields: Fields) -> Option<u64> {
        if fields == 0 {
            return Some(0);
        }
        if fields & !self.known != 0 {
            return None;
        }
        let slots = self.fields.iter().zip(0..).take_while(|(_, slot)| fields >> slot > 0);
        let named = slots.filter(|(_, slot)| fields >> slot & 1 == 1);
        // Each slot has its own odd factor, so that equal values of two fields do not
        // cancel each other out.
        Some(named.fold(0, |sum: u64, (value, slot)| {
            sum.rotate_left(7) ^ u64::from(*value).wrapping_mul(2 * slot + 3)
        }))
    }

    /// Returns the key for the content of a response that varies by `fields`. `None` if
    /// one of the fields was not known when the request came.
    ///
    /// The keys of all contents of the resource have the same upper half: that of the
    /// resource's hash.
    #[inline]
    pub(crate) fn content(&self, fields: Fields) -> Option<u64> {
        let lower_half = |hash: u64| hash & u64::from(u32::MAX);
        self.variant(fields).map(|hash| self.resource ^ lower_half(hash ^ hash >> 32))
    }
}

/// The name of the resource of a request.
#[derive(Clone, Copy)]
pub(crate) enum Name<'a> {
    /// The authority and the URI of the request, and the URI that the client sent, if
    /// that is known.
    Uri { own: &'a Uri, original: Option<&'a Uri> },
    /// The value of the user's key function for the request.
    Custom(&'a KeyFn, &'a request::Parts),
}

impl<'a> Name<'a> {
    #[inline]
    pub(crate) fn of(uri: &'a Uri, extensions: &'a Extensions) -> Self {
        Self::Uri { own: uri, original: original_uri(extensions) }
    }

    #[inline]
    fn hash(self, host: Option<&HeaderValue>, hasher: &mut impl Hasher) {
        match self {
            Self::Custom(custom, parts) => custom(parts, hasher),
            Self::Uri { own, original } => {
                let authority = match (own.authority(), host, original.map(Uri::authority)) {
                    (Some(authority), _, _) | (None, None, Some(Some(authority))) => {
                        authority.as_str().as_bytes()
                    }
                    (None, Some(host), _) => host.as_bytes(),
                    (None, None, _) => b"",
                };
                authority.hash(hasher);
                let (path, rest) = (path_and_query(original.unwrap_or(own)), path_and_query(own));
                hasher.write(path);
                // A handler may send a request for another resource with the extensions of
                // its own request. A path from which `nest` has removed a prefix is not
                // another resource, so the depth of the layer does not change the key.
                if original.is_some() && !path.ends_with(rest) && own.path() != "/" {
                    rest.hash(hasher);
                }
            }
        }
    }
}

/// Makes the keys of one layer.
#[derive(Debug)]
pub(crate) struct Keys {
    secret: (u64, u64),
    plain: SeedableRandomState,
    /// The fields that responses have named in `Vary`, each in its slot. A field is
    /// never removed, so that a slot keeps its meaning.
    varied: [OnceLock<HeaderName>; SLOTS],
    /// The number of these fields. `count` is written after `lengths`, and read before
    /// `lengths`, so that the length of each counted field is known.
    count: AtomicU8,
    /// The lengths of their names, and of the names `Host` and `Range`: one bit for
    /// each length, modulo 64. A line whose name has another length can be skipped.
    lengths: AtomicU64,
    adding: Mutex<()>,
    /// How often a response named a field in `Vary` for which no slot was left.
    unlisted: AtomicU64,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let random = RandomState::new();
        Self::with_secret((random.hash_one(0), random.hash_one(1)))
    }

    /// Makes keys with a given secret, which other layers may have, too.
    pub(crate) fn with_secret(secret: (u64, u64)) -> Self {
        let random = RandomState::new();
        let keys = Self {
            secret,
            plain: SeedableRandomState::with_seed(random.hash_one(2), SharedSeed::global_random()),
            varied: [const { OnceLock::new() }; SLOTS],
            count: AtomicU8::new(0),
            lengths: AtomicU64::new(length_bit(HOST.as_str()) | length_bit(RANGE.as_str())),
            adding: Mutex::new(()),
            unlisted: AtomicU64::new(0),
        };
        PRESENT.into_iter().for_each(|name| keys.add(name));
        keys
    }

    /// Makes a reader for the lines of a request.
    #[inline]
    pub(crate) fn reader(&self) -> KeyReader<'_, '_> {
        let count = self.count.load(Ordering::Acquire);
        let lengths = self.lengths.load(Ordering::Relaxed);
        KeyReader {
            keys: self,
            fields: [0; SLOTS],
            count,
            lengths,
            host: None,
            has_range: false,
            accepts_coding: false,
            weighs_codings: false,
        }
    }

    /// Returns the fields that a line of `Vary` names. `None` if not all of them are
    /// known.
    pub(crate) fn varied(&self, line: &HeaderValue) -> Option<Fields> {
        let mut fields = 0;
        for member in members(line) {
            fields |= 1 << self.slot(member)?;
        }
        Some(fields)
    }

    /// Returns how often a response named a field in `Vary` that could not be added to
    /// the known fields, because all slots were taken.
    ///
    /// Such a response gets no date.
    pub(crate) fn unlisted_fields(&self) -> u64 {
        self.unlisted.load(Ordering::Relaxed)
    }

    /// Hashes a value with this layer's secret, to 128 bits.
    pub(super) fn hash(&self, feed: impl FnOnce(&mut SipHasher13)) -> Key {
        let mut hasher = self.hasher();
        feed(&mut hasher);
        Key(hasher.finish128().as_u128())
    }

    /// Hashes bytes with this layer's secret, to 64 bits.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = sip::SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(bytes);
        hasher.finish()
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.secret.0, self.secret.1)
    }

    /// Returns the slot of a member of `Vary`. A name without a slot gets one for later
    /// requests, and `None` is returned.
    fn slot(&self, member: &[u8]) -> Option<usize> {
        let mut names = self.varied.iter().map_while(OnceLock::get);
        let slot = names.position(|name| name.as_str().as_bytes().eq_ignore_ascii_case(member));
        if slot.is_some() {
            return slot;
        }
        // `*` is a valid field name for the parser, but in `Vary` it means that the
        // fields are not known.
        self.add(HeaderName::from_bytes(member).ok().filter(|name| name.as_str() != "*")?);
        None
    }

    /// Gives a name a slot, if it has none and a slot is left.
    fn add(&self, name: HeaderName) {
        let _one_by_one = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.varied.iter();
        match slots.find(|slot| slot.get().is_none_or(|taken| *taken == name)) {
            Some(slot) if slot.get().is_none() => {
                self.lengths.fetch_or(length_bit(name.as_str()), Ordering::Relaxed);
                slot.get_or_init(|| name);
                self.count.fetch_add(1, Ordering::Release);
            }
            // Another thread has added the name in the meantime.
            Some(_) => {}
            None => drop(self.unlisted.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Reads the lines of one request, for its [`RequestKey`].
pub(crate) struct KeyReader<'k, 'r> {
    keys: &'k Keys,
    fields: [u16; SLOTS],
    /// How many fields were known when the request came.
    count: u8,
    lengths: u64,
    host: Option<&'r HeaderValue>,
    /// There is a `Range`.
    pub(crate) has_range: bool,
    /// There is an `Accept-Encoding` that names a coding.
    pub(crate) accepts_coding: bool,
    /// There is an `Accept-Encoding` with weights, so it may refuse a coding.
    pub(crate) weighs_codings: bool,
}

impl<'r> KeyReader<'_, 'r> {
    /// Adds a line. Most lines are skipped quickly, because no known field has a name
    /// of that length.
    #[inline]
    pub(crate) fn take_line(&mut self, name: &HeaderName, line: &'r HeaderValue) {
        if self.lengths & length_bit(name.as_str()) != 0 {
            self.take_varied(name, line);
        }
    }

    fn take_varied(&mut self, name: &HeaderName, line: &'r HeaderValue) {
        let mut slots = self.keys.varied.iter().zip(&mut self.fields).take(usize::from(self.count));
        if let Some((_, field)) = slots.find(|(varied, _)| varied.get() == Some(name)) {
            // A short hash is sufficient, because a collision only costs work. Several
            // lines of a field are hashed in order.
            *field = short(self.keys.plain.hash_one((*field, line.as_bytes())));
        }
        match *name {
            HOST => self.host = self.host.or(Some(line)),
            RANGE => self.has_range = true,
            ACCEPT_ENCODING => {
                self.accepts_coding |= names_coding(line);
                self.weighs_codings |= has_weights(line);
            }
            _ => {}
        }
    }

    /// Makes the key of the request, once all its lines have been added.
    #[inline]
    pub(crate) fn key(&self, name: Name<'_>) -> RequestKey {
        let mut hasher = self.keys.plain.build_hasher();
        name.hash(self.host, &mut hasher);
        // If all slots are taken, the shift would overflow, and all bits are known.
        let known = !Fields::MAX.checked_shl(self.count.into()).unwrap_or_default();
        RequestKey { resource: hasher.finish(), fields: self.fields, known }
    }

    /// Makes a key of 128 bits for the resource, so that no other resource has
    /// the same key.
    pub(crate) fn collision_resistant_key(&self, name: Name<'_>) -> Key {
        self.keys.hash(|hasher| name.hash(self.host, hasher))
    }
}

/// The user's key function: it feeds a hasher with a value that identifies the resource
/// of a request.
pub(crate) type KeyFn = dyn Fn(&request::Parts, &mut dyn Hasher) + Send + Sync;

#[inline]
fn path_and_query(uri: &Uri) -> &[u8] {
    uri.path_and_query().map_or_else(|| uri.path(), PathAndQuery::as_str).as_bytes()
}

/// Returns the URI as the client sent it, if that is known.
#[cfg(feature = "axum")]
fn original_uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get().map(|axum::extract::OriginalUri(uri)| uri)
}

#[cfg(not(feature = "axum"))]
fn original_uri(_: &Extensions) -> Option<&Uri> {
    None
}

/// Returns a bit for the length of a name.
fn length_bit(name: &str) -> u64 {
    1 << (name.len() % 64)
}

fn short(hash: u64) -> u16 {
    u16::try_from(hash >> 48).unwrap_or_default()
}

/// A hasher for keys that are keyed hashes already. A key of 64 bits is returned
/// unchanged, and the halves of a key of 128 bits are joined.
#[derive(Default)]
pub(crate) struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = Key(key ^ key << 64).short();
    }
}

/// The fields that have the first slots from the start.
const PRESENT: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ORIGIN];

/// The number of slots, which is the number of bits of [`Fields`].
const SLOTS: usize = Fields::BITS as usize;

/// Makes the key of a request.
#[cfg(test)]
pub(super) fn request_key(keys: &Keys, parts: &request::Parts) -> RequestKey {
    let mut reader = keys.reader();
    parts.headers.iter().for_each(|(name, line)| reader.take_line(name, line));
    reader.key(Name::of(&parts.uri, &parts.extensions))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(keys: &Keys, uri: &str, sent: &[(&'static str, &'static str)]) -> RequestKey {
        let mut request = Request::get(uri);
        for (name, value) in sent {
            request = request.header(*name, *value);
        }
        request_key(keys, &request.body(()).unwrap().into_parts().0)
    }

    fn varied(keys: &Keys, vary: &[&str]) -> Option<Fields> {
        vary.iter().try_fold(0, |all, line| {
            Some(all | keys.varied(&HeaderValue::from_str(line).unwrap())?)
        })
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

    #[cfg(feature = "axum")]
    #[test]
    fn resources_differ_by_the_whole_path_and_by_their_own() {
        let keys = Keys::new();
        let resource = |original: Option<&str>, uri: &str| {
            let mut parts = Request::get(uri).body(()).unwrap().into_parts().0;
            if let Some(original) = original {
                let original = original.parse().unwrap();
                parts.extensions.insert(axum::extract::OriginalUri(original));
            }
            request_key(&keys, &parts).resource
        };
        assert_eq!(resource(None, "/note"), resource(Some("/note"), "/note"));
        // Layers at several depths.
        for rest in ["/a/note?x", "/note?x", "/?x"] {
            assert_eq!(resource(Some("/a/note?x"), "/a/note?x"), resource(Some("/a/note?x"), rest));
        }
        for (one, two) in [
            // Routers nested under two prefixes.
            (("/a/note", "/note"), ("/b/note", "/note")),
            // A handler that sends two requests with its own extensions.
            (("/bundle", "/a"), ("/bundle", "/b")),
            (("/bundle", "http://a/"), ("/bundle", "http://b/")),
            (("http://a/bundle", "http://a/x"), ("http://a/bundle", "http://b/x")),
            (("http://a/bundle", "/x"), ("http://b/bundle", "/x")),
        ] {
            assert_ne!(resource(Some(one.0), one.1), resource(Some(two.0), two.1), "{one:?}");
        }
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
    fn a_new_field_is_learned_and_a_flood_of_them_is_not() {
        let keys = Keys::new();
        let (one, two) = (&[("x-tenant", "1")][..], &[("x-tenant", "2")][..]);
        let early = request(&keys, "/", one);
        assert_eq!(varied(&keys, &["x-tenant"]), None);
        let fields = varied(&keys, &["x-tenant"]).unwrap();
        assert_ne!(
            request(&keys, "/", one).variant(fields),
            request(&keys, "/", two).variant(fields)
        );
        assert!(request(&keys, "/", one).variant(fields).is_some());
        assert_eq!(early.variant(fields), None, "its field was not looked at");

        assert_eq!(keys.unlisted_fields(), 0);
        for i in (0..100).chain(0..100) {
            varied(&keys, &[&format!("x-{i}")]);
        }
        assert_eq!(varied(&keys, &["x-99"]), None);
        assert!(varied(&keys, &["x-tenant, accept"]).is_some());
        // Four names have a slot from the start, and `x-tenant` took another one.
        let listed = 16 - 4 - 1;
        assert_eq!(keys.unlisted_fields(), 2 * (100 - listed) + 1);
        let all = varied(&keys, &["accept", "x-0", "x-10", "x-tenant"]).unwrap();
        assert_ne!(
            request(&keys, "/", one).variant(all),
            request(&keys, "/", two).variant(all),
            "the table is full"
        );
        let last = [&[("x-10", "1")][..], &[("x-10", "2")]]
            .map(|sent| request(&keys, "/", sent).variant(all));
        assert_ne!(last[0], last[1]);
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
