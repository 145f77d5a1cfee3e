//! Names of files below a root folder, in a manifest and in a request.

use super::percent_decoded;

/// Returns the normal form of a file's path below the root: without `.` and without
/// empty components. The error says why the path does not name a file below the root.
pub(crate) fn file_name(path: &str) -> Result<String, &'static str> {
    if path.contains('\0') {
        return Err("the name contains a zero byte");
    }
    // On Windows, `\` separates components, and `:` follows the name of a drive.
    if cfg!(windows) && path.contains(['\\', ':']) {
        return Err("the name contains a backslash or a colon");
    }
    if path.starts_with('/') {
        return Err("the name is absolute: it must be relative to the root");
    }
    let mut name = String::with_capacity(path.len());
    for component in path.split('/') {
        match component {
            "" | "." => continue,
            ".." => return Err("the name contains `..`, and may leave the root"),
            _ => {}
        }
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(component);
    }
    if name.is_empty() || path.ends_with('/') {
        return Err("the name is not that of a file");
    }
    Ok(name)
}

/// Returns the name of the file that a file server sends for the path of a URI. For a
/// path that ends with `/`, that is the `index.html` of this folder.
pub(crate) fn requested_file(path: &str) -> Option<String> {
    let mut decoded: Vec<u8> = percent_decoded(path.trim_start_matches('/').bytes()).collect();
    if path.ends_with('/') {
        decoded.extend_from_slice(b"index.html");
    }
    file_name(std::str::from_utf8(&decoded).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name_however_a_list_spells_it() {
        for path in ["a/b c.js", "./a/b c.js", ".//a/./b c.js"] {
            assert_eq!(file_name(path).as_deref(), Ok("a/b c.js"), "{path}");
        }
        for path in ["...", "..a", "a..", "-", "%2e%2e", "\u{e9}"] {
            assert_eq!(file_name(path).as_deref(), Ok(path));
        }
        for path in ["", ".", "./", "a/", "/a", "//a", "..", "../a", "a/..", "a/../b", "a\0b"] {
            assert!(file_name(path).is_err(), "{path}");
        }
        assert_eq!(file_name("a\\..\\b").is_err(), cfg!(windows));
        assert_eq!(file_name("c:b").is_err(), cfg!(windows));
    }

    #[test]
    fn a_request_never_names_a_file_outside_of_the_root() {
        for (path, name) in [
            ("/a.js", "a.js"),
            ("//a.js", "a.js"),
            ("/a//b/./c", "a/b/c"),
            ("/a%20b%2Ejs", "a b.js"),
            ("/a%2Fb", "a/b"),
            ("/%C3%A9", "\u{e9}"),
            ("/100%", "100%"),
            ("/", "index.html"),
            ("/docs/", "docs/index.html"),
            ("", ""),
        ] {
            let expected = Some(name).filter(|name| !name.is_empty());
            assert_eq!(requested_file(path).as_deref(), expected, "{path}");
        }
        for path in [
            "/..",
            "/../a.js",
            "/a/../b",
            "/%2e%2e/a.js",
            "/%2E./a.js",
            "/a/%2e%2e%2fb",
            "/..%2f",
            "/%2Fetc/passwd",
            "/%2f%2fa",
            "/a%00.js",
            "/%FF",
            "/%C3",
            "/%2e%2e/",
        ] {
            assert_eq!(requested_file(path), None, "{path}");
        }
        assert_eq!(requested_file("/a%5c..%5cb").is_none(), cfg!(windows));
    }
}
