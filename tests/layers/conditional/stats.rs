//! `Stats`: the counters of a layer.

use crate::support::harness::{self, get, layer, reply, request, send, tag, IM, INM};

#[test]
fn stats_count_every_request_once() {
    let (layer, _clock) = layer();
    let twin = layer.clone();
    let (small, etag) = ("x".repeat(100), tag(&"x".repeat(100)));
    let answer = |request| send(&layer, request, reply(200, &[], small.clone()));
    answer(get(&[]));
    answer(get(&[]));
    answer(get(&[(INM, &etag)]));
    send(&twin, request("HEAD", "/", &[(INM, &etag)]), reply(200, &[], small.clone()));
    answer(get(&[(IM, "\"z\"")]));
    answer(request("POST", "/", &[]));
    send(&layer, get(&[]), reply(404, &[], ""));
    send(&layer, get(&[]), reply(200, &[("etag", "\"own\"")], "large"));

    let stats = layer.stats();
    assert_eq!(
        (stats.served, stats.tagged, stats.not_modified, stats.precondition_failed),
        (8, 2, 2, 1)
    );
    assert_eq!(stats.bytes_not_sent, 100, "a HEAD would not have got them anyway");
    assert_eq!(stats.bytes_hashed + stats.bytes_compared, 500);
    assert!(stats.bytes_hashed >= 100 && stats.bytes_kept > 0);
    let left: Vec<_> = stats.left_alone().filter(|(_, count)| *count > 0).collect();
    let left: Vec<_> = left.iter().map(|(reason, count)| format!("{reason:?} {count}")).collect();
    assert_eq!(left, ["Method 1", "Status 1", "OwnTag 1"]);
    assert_eq!(format!("{stats:?}"), format!("{:?}", twin.stats()), "clones are the same layer");
    assert_eq!(harness::layer().0.stats().served, 0);
}
