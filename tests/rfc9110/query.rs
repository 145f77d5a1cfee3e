//! QUERY and other safe methods: they write nothing, and what they answer is not what
//! GET would.

use std::{convert::Infallible, future::ready};

use axum::body::Body;
use http::Request;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::PreconditionLayer;

use crate::support::{
    handler::exists,
    harness::{date, layer, reply, request, run, send, tag, Lines, IM, IMS, INM},
    note::status_of,
};

/// The answer to a QUERY is another representation for each query; the tag of the
/// source is not its tag.
#[test]
fn query_gets_no_tag_of_the_source() {
    let layer = PreconditionLayer::new(|_| ready(exists("\"v1\"")));
    let inner = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(reply(200, &[], "found"))));
    let seen = run(layer.layer(inner).oneshot(request("QUERY", "/", &[]))).unwrap();
    assert_eq!(seen.headers().get("etag"), None);
}

/// A safe method writes nothing, so no precondition is required of it.
#[test]
fn query_is_not_a_write() {
    let layer = PreconditionLayer::new(|_| ready(exists("\"v1\""))).require_preconditions(|_| true);
    let inner = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(reply(200, &[], "found"))));
    let seen = ["QUERY", "PROPFIND", "REPORT", "SEARCH"]
        .map(|method| run(status_of(layer.layer(inner), request(method, "/", &[]))));
    assert_eq!(seen, [200; 4]);
}

#[test]
fn query_is_a_read_and_its_results_are_told_apart() {
    // RFC 10008: the content of the request decides what is asked for, so nothing is
    // known by the URI alone.
    let (layer, _) = layer();
    let ask = |content: &'static str, lines: Lines<'_>| {
        send(
            &layer,
            request("QUERY", "/", lines),
            reply(200, &[("accept-ranges", "bytes")], content),
        )
    };
    let (one, two) = (ask("one", &[]), ask("two", &[]));
    assert_eq!(one.gist(), (200, "one", Some(&*tag("one")), None));
    assert_eq!(two.gist(), (200, "two", Some(&*tag("two")), None));
    assert_eq!(ask("one", &[(INM, &tag("one"))]).status(), 304);
    assert_eq!(ask("two", &[(INM, &tag("one"))]).status(), 200);
    assert_eq!(ask("one", &[(IM, &tag("two"))]).status(), 412);
    // 13.1.3: If-Modified-Since is for GET and HEAD, and the inner service sees it.
    let since = ask("one", &[(IMS, &date(10))]);
    assert_eq!((since.status(), since.forwarded.headers.contains_key(IMS)), (200, true));
}

/// The source is called only before a QUERY, so a part could be of a later version than
/// the one that the client names.
#[test]
fn query_gets_no_part_if_a_field_names_the_version() {
    let layer = PreconditionLayer::new(|_| ready(exists("\"v1\""))).query(true);
    let cut = service_fn(|request: Request<Body>| {
        let is_part = request.headers().contains_key("range");
        ready(Ok::<_, Infallible>(reply(if is_part { 206 } else { 200 }, &[], "found")))
    });
    let range = ("range", "bytes=0-1");
    for (fields, expected) in [
        (&[range][..], 206),
        (&[range, ("if-range", "\"v0\"")], 200),
        (&[range, ("if-range", "\"v1\"")], 200),
        (&[range, (IM, "\"v1\"")], 200),
    ] {
        let seen = run(status_of(layer.layer(cut), request("QUERY", "/", fields)));
        assert_eq!(seen, expected, "{fields:?}");
    }
}
