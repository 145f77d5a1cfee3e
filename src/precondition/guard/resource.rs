//! The default key of a resource: its path, in a normal form.

use std::hash::Hasher;

use http::Uri;

use crate::rules::percent_decoded;

/// Hashes the path that the inner service gets.
///
/// Deliberately not the path that the client sent (Axum's `OriginalUri`): middleware
/// may rewrite the path, and a handler may send a request for another resource with the
/// extensions of its own request. Then one resource would have two keys.
pub(super) fn hash_path(uri: &Uri, hasher: &mut impl Hasher) {
    hash_decoded(uri.path().bytes(), hasher);
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

    use super::*;

    fn resource(uri: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash_path(&uri.parse().unwrap(), &mut hasher);
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
