//! What can be watched from outside: the counters, and tags that came through a proxy.
#![allow(clippy::unwrap_used, missing_docs)]

use self::ask::{ask, get, layer, reply, request, send, tag, IM, INM};

#[allow(dead_code)]
mod ask;

#[test]
fn every_request_is_counted_once() {
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
    assert_eq!(ask::layer().0.stats().served, 0);
}

#[test]
fn a_tag_that_a_proxy_added_to_is_known_in_if_none_match_alone() {
    let layer = layer().0.ignore_tag_suffixes(["-gzip", ";gzip", ""]);
    let opaque = tag("content");
    let opaque = opaque.trim_matches('"');
    for (name, line, status) in [
        (INM, format!("\"{opaque}\""), 304),
        (INM, format!("\"{opaque}-gzip\""), 304),
        (INM, format!("W/\"{opaque};gzip\""), 304),
        (INM, format!("\"x\", \"{opaque}-gzip\""), 304),
        (INM, format!("\"{opaque}-br\""), 200),
        (INM, format!("\"{opaque}-gzip-gzip\""), 200),
        (INM, format!("\"{opaque}-gzip"), 200),
        (INM, "\"-gzip\"".to_owned(), 200),
        (IM, format!("\"{opaque}-gzip\""), 412),
    ] {
        let seen = send(&layer, get(&[(name, &line)]), reply(200, &[], "content"));
        assert_eq!(seen.status(), status, "{name}: {line}");
        assert_eq!(seen.line("etag"), Some(&*tag("content")), "{name}: {line}");
    }
    let both = [(INM, format!("\"{opaque}-gzip\"")), (IM, "\"z\"".to_owned())];
    let both: Vec<_> = both.iter().map(|(name, line)| (*name, &**line)).collect();
    assert_eq!(send(&layer, get(&both), reply(200, &[], "content")).status(), 412);
    let range = [("range", "bytes=0-1"), ("if-range", &*format!("\"{opaque}-gzip\""))];
    let layer = layer.ranges(true);
    assert_eq!(send(&layer, get(&range), reply(200, &[], "content")).status(), 200);
    let plain = ask::layer().0;
    assert_eq!(
        ask(&plain, get(&[(INM, &format!("\"{opaque}-gzip\""))]), |_| reply(200, &[], "content"))
            .status(),
        200
    );
}
