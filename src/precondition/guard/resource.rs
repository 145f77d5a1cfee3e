//! What names a resource where no key is set: the path, however it is spelt.

use std::hash::Hasher;

use http::{request, Extensions, Uri};

use crate::{rules::percent_decoded, store::original_uri};

/// Hashes the path as the client sent it, as far as it is known; `prefix` is what
/// routers outside of the guard have taken off.
///
/// A handler may send another request with the extensions of the one that it got.
/// These then tell of the path of the first, so that of the other counts.
pub(super) fn hash_path(parts: &request::Parts, prefix: Option<&str>, hasher: &mut impl Hasher) {
    let path = parts.uri.path().as_bytes();
    match prefix {
        Some(prefix) => hash_decoded(prefix.bytes().chain(path.iter().copied()), hasher),
        None => {
            let original = original_uri(&parts.uri, &parts.extensions).path();
            hash_decoded(original.bytes(), hasher);
        }
    }
}

/// Returns what routers have taken off a path so far, if anything.
pub(super) fn taken_prefix<'a>(uri: &Uri, extensions: &'a Extensions) -> Option<&'a str> {
    #[cfg(feature = "axum")]
    if let Some(::axum::extract::OriginalUri(original)) = extensions.get() {
        let (original, rest) = (original.path(), uri.path());
        let prefix = original.strip_suffix(rest).or((rest == "/").then_some(original));
        return prefix.filter(|prefix| !prefix.is_empty());
    }
    let _ = (uri, extensions);
    None
}

/// Hashes the bytes that a path stands for: `%6e` is `n`, several slashes are one, and
/// those at the end are none.
///
/// Two resources under one name wait for each other, which costs time. One resource
/// under two names would lose an edit: middleware inside may join slashes.
fn hash_decoded(path: impl Iterator<Item = u8>, hasher: &mut impl Hasher) {
    let mut is_after_slash = false;
    for byte in percent_decoded(path) {
        if byte == b'/' {
            is_after_slash = true;
            continue;
        }
        if std::mem::take(&mut is_after_slash) {
            hasher.write_u8(b'/');
        }
        hasher.write_u8(byte);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use http::Request;

    use super::*;

    fn resource(uri: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        let parts = Request::put(uri).body(()).unwrap().into_parts().0;
        hash_path(&parts, None, &mut hasher);
        hasher.finish()
    }

    #[test]
    fn one_resource_has_one_name_however_it_is_spelt() {
        for same in [
            "/note",
            "/%6eote",
            "/%6Eote",
            "/note/",
            "/note%2F",
            "/note//",
            "//note",
            "/%2F/note",
            "http://a/note",
            "http://A:80/note",
            "/note?x=1",
        ] {
            assert_eq!(resource("/note"), resource(same), "{same}");
        }
        for other in ["/notes", "/", "/no/te", "/a/note", "/%6", "/%zz", "/%", "/Note", "/not%65e"]
        {
            assert_ne!(resource("/note"), resource(other), "{other}");
        }
    }
}
