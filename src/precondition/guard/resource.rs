//! The default key of a resource: its path, in a normal form.

use std::hash::Hasher;

use http::{request, Extensions, Uri};

use crate::{rules::percent_decoded, store::original_uri};

/// Hashes the path as the client sent it, if that is known.
///
/// For a nested request, this hashes the `prefix` that outer routers have removed from
/// paths, and then the path of the request's URI. A handler sends a nested request with
/// the extensions of the request that it handles. So the original path in these
/// extensions is not that of the nested request.
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

/// Returns the prefix that routers have removed from a path so far, if any.
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

/// Hashes a path in a normal form: `%6e` becomes `n`, several slashes become one, and
/// slashes at the end are removed. The segments `.` and `..` are resolved (RFC 3986,
/// section 5.2.4). The reason: inner middleware may join slashes, and an upstream may
/// resolve dot segments.
///
/// If two resources have one key, their writes wait for each other, which only costs
/// time. If one resource had two keys, an edit could be lost.
fn hash_decoded(path: impl Iterator<Item = u8>, hasher: &mut impl Hasher) {
    let decoded: Vec<u8> = percent_decoded(path).collect();
    // How many of the segments before this one are removed by a `..`.
    let mut removed = 0_usize;
    for segment in decoded.rsplit(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => removed += 1,
            _ if removed > 0 => removed -= 1,
            _ => {
                hasher.write(segment);
                hasher.write_u8(b'/');
            }
        }
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
    fn equal_paths_have_one_key() {
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
            "/note?",
            "/note/.",
            "/./note",
            "/a/../note",
            "/note/a/..",
            "/a/b/../../note",
            "/../note",
            "/a/%2e%2E/note",
            "/a%2f..//note",
        ] {
            assert_eq!(resource("/note"), resource(same), "{same}");
        }
        for other in [
            "/notes",
            "/",
            "/no/te",
            "/a/note",
            "/%6",
            "/%zz",
            "/%",
            "/Note",
            "/not%65e",
            "/note/..",
            "/note/...",
            "/.note",
            "/note..",
        ] {
            assert_ne!(resource("/note"), resource(other), "{other}");
        }
    }
}
