//! `If-None-Match` (RFC 9110, 13.1.2).

use std::sync::{
    atomic::{AtomicBool, Ordering::SeqCst},
    Arc,
};

use tower::Layer;
use tower_conditional::ConditionalLayer;

use crate::{
    etag::compare,
    support::{
        guarded::guarded,
        harness::{run, status, tag, CC, INM},
        note::{moody, note, plain, put, service, status_of},
    },
};

#[test]
fn if_none_match_compares_weakly_and_ignores_members_that_are_not_tags() {
    compare(INM, 0);
}

#[test]
fn if_none_match_is_compared_with_a_generated_tag() {
    let (generated, other) = (tag("content"), tag("other"));
    for (sent, expected) in [(&generated, 304), (&format!("W/{generated}"), 304), (&other, 200)] {
        assert_eq!(status(&[(INM, sent)], &[]), expected, "{sent}");
    }
}

#[test]
fn if_none_match_any_asks_for_a_representation_and_not_for_a_tag() {
    let untagged = [(CC, "no-store")];
    assert_eq!([(INM, "*"), (INM, "\"x\"")].map(|line| status(&[line], &untagged)), [304, 200]);
}

/// A tag in If-None-Match that may be the present one refuses a write, as in `rules`:
/// what is not known does not pass.
#[test]
fn if_none_match_fails_for_a_write_where_the_current_tag_is_not_known() {
    let (note, slow) = (note("old"), Arc::new(AtomicBool::new(false)));
    let is_slow = Arc::clone(&slow);
    let answer =
        move |content| if is_slow.load(SeqCst) { moody("slow".to_owned()) } else { plain(content) };
    let service = guarded(ConditionalLayer::new().layer(service(&note, answer)));
    assert_eq!(run(status_of(service.clone(), put(&[(INM, &*tag("old"))], "new"))), 412);
    slow.store(true, SeqCst);
    assert_ne!(run(status_of(service, put(&[(INM, &*tag("old"))], "new"))), 204);
}
