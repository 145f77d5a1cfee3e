//! The request fields that decide which stored response a request may use ([RFC 9111,
//! section 4.1](https://www.rfc-editor.org/rfc/rfc9111.html#section-4.1)).

use http::{
    header::{HeaderName, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, COOKIE, HOST, VARY},
    HeaderMap, Request,
};

use crate::rules::members;

/// The fields that, with the URI, identify a resource and the user of the client. If
/// the URI is only a path, `Host` names the server (RFC 9110, section 7.1).
pub(super) const ALWAYS: [HeaderName; 3] = [HOST, AUTHORIZATION, COOKIE];

/// Returns the request fields that `Vary` of a response names, sorted. Returns `None`
/// if `Vary` has `*` or an invalid name.
///
/// If the content is encoded, `Accept-Encoding` is added even if `Vary` does not name
/// it. nginx names that field only with `gzip_vary on`, and nginx's tags for the plain
/// and the gzip content match weakly. Without this rule, a 304 could confirm gzip
/// content for a request that does not accept gzip.
pub(super) fn varied(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = names(response).collect::<Option<Vec<_>>>()?;
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    Some(names)
}

/// Returns the names in `Vary`, where `*` and invalid names are `None`. If the content
/// is encoded, adds `Accept-Encoding`.
fn names(response: &HeaderMap) -> impl Iterator<Item = Option<HeaderName>> {
    let lines = response.get_all(VARY).iter();
    let names = lines.flat_map(members).map(|member| match member {
        // `HeaderName` would accept `*` as a name.
        b"*" => None,
        member => HeaderName::from_bytes(member).ok(),
    });
    let is_encoded = response.contains_key(CONTENT_ENCODING);
    names.chain(is_encoded.then_some(Some(ACCEPT_ENCODING)))
}

/// Returns true if the response to one of two requests may be used for the other.
pub(super) fn is_same(one: &Request<()>, other: &Request<()>, response: &HeaderMap) -> bool {
    let same = |name: &HeaderName| {
        let lines = one.headers().get_all(name).iter();
        lines.eq(other.headers().get_all(name).iter())
    };
    // If `Vary` has `*` or an invalid name, only the server can decide whether the requests
    // have the same response. It decides that by the tag, so these names are skipped here.
    let mut varied = names(response).flatten();
    one.uri() == other.uri() && ALWAYS.iter().all(same) && varied.all(|name| same(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, lines: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::get(uri).body(()).unwrap();
        for (name, value) in lines {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn vary_names_fields_in_order_and_once() {
        for (lines, encoded, expected) in [
            (&[][..], false, Some(&[][..])),
            (&["Origin, accept", "ACCEPT,,"], false, Some(&["accept", "origin"])),
            (&["*"], false, None),
            (&["accept", " , *"], false, None),
            (&["accept, a b"], false, None),
            (&[], true, Some(&["accept-encoding"])),
            (&["Accept-Encoding"], true, Some(&["accept-encoding"])),
            (&["*"], true, None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(VARY, line.parse().unwrap());
            }
            if encoded {
                headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
            }
            let names = varied(&headers);
            let names = names.as_ref().map(|names| names.iter().map(HeaderName::as_str).collect());
            assert_eq!(names, expected.map(<[_]>::to_vec), "{lines:?}");
        }
    }

    #[test]
    fn requests_that_differ_where_it_counts_select_other_responses() {
        let one = request("http://a/x", &[("accept", "csv"), ("cookie", "1"), ("x-own", "1")]);
        for (other, vary, expected) in [
            (request("http://a/x", &[("accept", "json"), ("cookie", "1")]), "x", true),
            (request("http://a/x", &[("accept", "json"), ("cookie", "1")]), "accept", false),
            (request("http://a/x", &[("accept", "csv"), ("cookie", "1")]), "accept", true),
            (request("http://a/x", &[("accept", "json"), ("cookie", "1")]), "*", true),
            (request("http://a/x", &[("accept", "json"), ("cookie", "1")]), "accept, *", false),
            (request("http://a/x", &[("accept", "json"), ("cookie", "1")]), "a b, accept", false),
            (request("http://a/y", &[("cookie", "1")]), "x", false),
            (request("http://a/x", &[("cookie", "2")]), "x", false),
            (request("http://a/x", &[]), "x", false),
            (request("http://a/x", &[("cookie", "1"), ("cookie", "1")]), "x", false),
            (request("http://a/x", &[("cookie", "1"), ("authorization", "1")]), "x", false),
            (request("http://a/x", &[("cookie", "1"), ("host", "b")]), "x", false),
        ] {
            let response = HeaderMap::from_iter([(VARY, vary.parse().unwrap())]);
            assert_eq!(is_same(&one, &other, &response), expected, "{other:?} {vary}");
            assert_eq!(is_same(&other, &one, &response), expected, "{other:?} {vary}");
        }
    }
}
