//! QUERY and other safe methods: they write nothing, and what they answer is not what GET would.

use std::{convert::Infallible, future::ready};

use axum::body::Body;
use http::Request;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::PreconditionLayer;

use crate::support::{
    handler::exists,
    harness::{reply, request, run},
    note::status_of,
};

/// The answer to a QUERY is another representation for each query; the tag of the source is not its
/// tag.
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
