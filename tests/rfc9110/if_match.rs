//! `If-Match` (RFC 9110, 13.1.1).

use axum::body::Body;
use http::Response;
use tower::ServiceBuilder;
use tower_conditional::ConditionalLayer;

use crate::{
    etag::compare,
    support::{
        guarded::guarded,
        harness::{run, status, tag, CC, IM},
        note::{note, plain, put, service, status_of},
    },
};

#[test]
fn if_match_compares_strongly_and_ignores_members_that_are_not_tags() {
    compare(IM, 1);
}

#[test]
fn if_match_is_compared_with_a_generated_tag() {
    let (generated, other) = (tag("content"), tag("other"));
    for (sent, expected) in [(&generated, 200), (&format!("W/{generated}"), 412), (&other, 412)] {
        assert_eq!(status(&[(IM, sent)], &[]), expected, "{sent}");
    }
}

#[test]
fn if_match_any_asks_for_a_representation_and_a_tag_fails_where_there_is_none() {
    let untagged = [(CC, "no-store")];
    assert_eq!([(IM, "*"), (IM, "\"x\"")].map(|line| status(&[line], &untagged)), [200, 412]);
}

/// What the client was told counts, and not what an inner layer had said before a layer
/// between changed it.
#[test]
fn if_match_is_compared_with_the_tag_that_the_client_got() {
    let note = note("old");
    let between = |mut response: Response<tower_conditional::ResponseBody<Body>>| {
        response.headers_mut().insert("etag", "\"mine\"".parse().unwrap());
        response
    };
    let inner = ServiceBuilder::new()
        .map_response(between)
        .layer(ConditionalLayer::new())
        .service(service(&note, plain));
    let service = guarded(inner);
    assert_eq!(run(status_of(service, put(&[(IM, "\"mine\"")], "new"))), 204);
}
