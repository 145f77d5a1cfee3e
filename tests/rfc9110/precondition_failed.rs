//! 412 (RFC 9110, 15.5.13): what it carries.

use tower_conditional::Outcome;

use crate::{
    not_modified::{full, Mark},
    support::harness::{fetch, CC, IM},
};

#[test]
fn precondition_failed_has_the_validators_that_would_have_matched() {
    let seen = fetch(&[(IM, "\"z\"")], full().1);
    assert_eq!(seen.gist(), (412, "", Some("\"a\""), None), "it has a cookie");
    assert_eq!(
        (seen.outcome, seen.head.extensions.get()),
        (Outcome::PreconditionFailed, Some(&Mark(7)))
    );
    for name in
        ["content-length", "content-type", "content-encoding", "transfer-encoding", "expires", CC]
    {
        assert_eq!(seen.line(name), None, "{name}: said of other content");
    }
    assert_eq!(
        (seen.lines("vary"), seen.lines("set-cookie")),
        (vec!["accept", "origin"], vec!["a=1", "b=2"])
    );
}
