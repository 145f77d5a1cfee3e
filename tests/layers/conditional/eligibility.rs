//! Which responses are tagged at all.

use http::StatusCode;
use tower_conditional::{AddLastModified, Outcome, Reason, Untagged};

use crate::support::harness::{fetch, get, layer, reply, send, tag, CC};

#[test]
fn eligibility_is_decided_by_response_request_and_settings() {
    let plain = |own| reply(200, own, "content");
    let mut untagged = plain(&[]);
    untagged.extensions_mut().insert(Untagged);
    let none = |_: StatusCode, _, _: &_, _: &_| false;
    for (layer, reply, reason) in [
        (layer().0, untagged, Reason::Untagged),
        (layer().0, plain(&[(CC, "no-store")]), Reason::NoStore),
        (layer().0, plain(&[(CC, "private"), (CC, "x=\"a,b\", No-Store")]), Reason::NoStore),
        (layer().0, plain(&[("content-type", "application/grpc")]), Reason::Streaming),
        (layer().0.tag_when(none), plain(&[]), Reason::Predicate),
        (layer().0.handle_when(|parts| parts.uri.path() != "/"), plain(&[]), Reason::Request),
        (layer().0.buffer_limit(6), plain(&[]), Reason::TooLarge),
    ] {
        let seen = send(&layer, get(&[]), reply);
        assert_eq!(seen.gist(), (200, "content", None, None), "{reason:?}");
        assert_eq!(seen.outcome, Outcome::LeftAlone(reason));
        assert_eq!(seen.head.extensions.get::<Outcome>(), None);
    }
    let seen = send(
        &layer().0.add_last_modified(AddLastModified::Never).report_outcome(true),
        get(&[]),
        plain(&[]),
    );
    assert_eq!(seen.gist(), (200, "content", Some(&*tag("content")), None));
    assert_eq!(seen.head.extensions.get(), Some(&Outcome::Tagged));
}

#[test]
fn eligibility_ends_with_no_store_behind_a_quoted_pair() {
    // 5.6.4.
    let seen = fetch(&[], reply(200, &[(CC, r#"ext="\"", no-store"#)], "content"));
    assert_eq!(seen.outcome, Outcome::LeftAlone(Reason::NoStore));
}
