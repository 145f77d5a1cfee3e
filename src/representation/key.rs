//! The name under which the memory keeps a resource: a keyed hash of its authority, its URI and the request fields that
//! its response's `Vary` names.
//!
//! Two resources under one key cost work and never a wrong answer: their contents look like one resource that changes
//! back and forth, and get a new date at each turn.
//!
//! The request is gone when the response says what it varied by. So the values of the fields that any response of this
//! layer ever named are hashed beforehand, one by one: a handful in practice. The first response to name a new field is
//! not remembered.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash, Hasher},
    sync::OnceLock,
};

use http::{
    header::{HeaderName, ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HOST, ORIGIN, VARY},
    request, HeaderMap,
};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::rules::trim_ows;

/// The hash under which the dates of one resource are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Key(pub(super) u128);

/// What names the resource of a request, as far as it is known before the response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestKey {
    resource: Key,
    fields: [u64; SLOTS],
}

impl RequestKey {
    /// Returns the key of the resource whose response has these header fields; `None` if it cannot be remembered.
    pub(crate) fn for_response(&self, keys: &Keys, headers: &HeaderMap) -> Option<Key> {
        let mut named = 0_u16;
        for line in headers.get_all(VARY) {
            for member in line.as_bytes().split(|&octet| octet == b',').map(trim_ows) {
                if !member.is_empty() {
                    named |= 1 << keys.slot(member)?;
                }
            }
        }
        if named == 0 {
            return Some(self.resource);
        }
        let mut hasher = keys.hasher();
        hasher.write_u128(self.resource.0);
        for (slot, value) in self.fields.iter().enumerate().filter(|(slot, _)| named >> slot & 1 == 1) {
            hasher.write_usize(slot);
            hasher.write_u64(*value);
        }
        Some(Key(hasher.finish128().as_u128()))
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
    /// The fields that responses varied by. They are only ever added to, so that a slot keeps its meaning.
    varied: [OnceLock<HeaderName>; SLOTS],
}

impl Keys {
    pub(crate) fn new() -> Self {
        let random = RandomState::new();
        let varied = [const { OnceLock::new() }; SLOTS];
        for (slot, name) in varied.iter().zip([ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ORIGIN]) {
            slot.get_or_init(|| name);
        }
        Self { secret: (random.hash_one(0), random.hash_one(1)), varied }
    }

    /// Hashes what names the resource of a request.
    ///
    /// `custom`, if given, feeds the hash in place of authority and URI.
    pub(crate) fn request(&self, parts: &request::Parts, custom: Option<&KeyFn>) -> RequestKey {
        let mut hasher = self.hasher();
        match custom {
            Some(custom) => custom(parts, &mut hasher),
            None => hash_target(parts, &mut hasher),
        }
        let mut fields = [0; SLOTS];
        for (field, name) in fields.iter_mut().zip(&self.varied) {
            let Some(name) = name.get() else { break };
            let mut lines = parts.headers.get_all(name).iter().peekable();
            if lines.peek().is_some() {
                let mut hasher = self.hasher();
                lines.for_each(|line| line.as_bytes().hash(&mut hasher));
                *field = hasher.finish();
            }
        }
        RequestKey { resource: Key(hasher.finish128().as_u128()), fields }
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

/// Hashes the authority and the path with its query, as the client sent them.
fn hash_target(parts: &request::Parts, hasher: &mut SipHasher13) {
    #[cfg(feature = "axum")]
    let uri = parts.extensions.get().map_or(&parts.uri, |axum::extract::OriginalUri(uri)| uri);
    #[cfg(not(feature = "axum"))]
    let uri = &parts.uri;

    match uri.authority() {
        Some(authority) => authority.as_str().as_bytes().hash(hasher),
        None => parts.headers.get(HOST).map(|host| host.as_bytes()).unwrap_or_default().hash(hasher),
    }
    uri.path().hash(hasher);
    uri.query().hash(hasher);
}

const SLOTS: usize = 12;

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn key(keys: &Keys, uri: &str, sent: &[(&'static str, &'static str)], vary: &[&'static str]) -> Option<Key> {
        let mut request = Request::get(uri);
        for (name, value) in sent {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut headers = HeaderMap::new();
        for line in vary {
            headers.append(VARY, HeaderValue::from_static(line));
        }
        keys.request(&parts, None).for_response(keys, &headers)
    }

    #[test]
    fn what_names_a_resource_tells_keys_apart() {
        let keys = Keys::new();
        let plain = key(&keys, "http://a/x?y", &[], &[]);
        assert!(plain.is_some());
        assert_eq!(plain, key(&keys, "http://a/x?y", &[("accept", "text/csv")], &[]));
        assert_eq!(plain, key(&keys, "/x?y", &[("host", "a")], &[]), "HTTP/1.1 and HTTP/2 name the host differently");
        for (uri, sent) in [
            ("http://b/x?y", &[][..]),
            ("http://a/xy", &[]),
            ("http://a/x?z", &[]),
            ("http://a/x", &[]),
            ("http://a/x?", &[]),
            ("/x?y", &[("host", "b")]),
        ] {
            assert_ne!(plain, key(&keys, uri, sent, &[]), "{uri} {sent:?}");
        }
        assert_ne!(plain, key(&Keys::new(), "http://a/x?y", &[], &[]), "each layer has a secret of its own");
    }

    #[test]
    fn a_key_depends_on_the_fields_that_vary_names_and_on_no_other() {
        let keys = Keys::new();
        let (csv, json) = (&[("accept", "text/csv")][..], &[("accept", "application/json")][..]);
        assert_ne!(key(&keys, "/", csv, &["Accept"]), key(&keys, "/", json, &["Accept"]));
        assert_ne!(key(&keys, "/", csv, &["accept"]), key(&keys, "/", &[], &["accept"]));
        assert_eq!(key(&keys, "/", csv, &["origin"]), key(&keys, "/", json, &["origin"]));
        assert_eq!(key(&keys, "/", csv, &["origin, accept"]), key(&keys, "/", csv, &["accept", ",origin"]));
        assert_ne!(key(&keys, "/", csv, &["accept"]), key(&keys, "/", csv, &["accept, origin"]));
    }

    #[test]
    fn a_new_field_is_learnt_and_a_flood_of_them_is_not() {
        let keys = Keys::new();
        let (one, two) = (&[("x-tenant", "1")][..], &[("x-tenant", "2")][..]);
        assert_eq!(key(&keys, "/", one, &["x-tenant"]), None);
        assert!(key(&keys, "/", one, &["x-tenant"]).is_some());
        assert_ne!(key(&keys, "/", one, &["x-tenant"]), key(&keys, "/", two, &["x-tenant"]));

        let flood = (0..100).map(|i| &*format!("x-{i}").leak());
        for name in flood.clone().chain(flood) {
            key(&keys, "/", &[], &[name]);
        }
        assert_eq!(key(&keys, "/", &[], &["x-99"]), None);
        assert!(key(&keys, "/", &[], &["x-tenant, accept"]).is_some());
    }

    #[test]
    fn what_cannot_be_a_field_is_not_remembered() {
        let keys = Keys::new();
        for vary in ["*", "accept, *", "a b", "é"] {
            let vary: &'static str = vary;
            let line = HeaderValue::from_bytes(vary.as_bytes()).unwrap();
            let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
            let headers = HeaderMap::from_iter([(VARY, line)]);
            for _ in 0..2 {
                assert_eq!(keys.request(&parts, None).for_response(&keys, &headers), None, "{vary}");
            }
        }
    }
}
