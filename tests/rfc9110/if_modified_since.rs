//! `If-Modified-Since` (RFC 9110, 13.1.3).

use std::convert::Infallible;

use bytes::Bytes;
use http_body::Frame;
use tower_conditional::{AddLastModified, InnerTags};

use crate::{
    last_modified::{compare, while_pending},
    support::{
        harness::{date, get, layer, reply, request, send, streamed, CC, IMS, LM},
        origin::{one, tag_of, three, two, Site, OWN},
        scripted_body::content,
    },
};

#[test]
fn if_modified_since_is_compared_by_equality() {
    compare(IMS, 0);
}

#[test]
fn if_modified_since_does_not_match_while_a_date_is_pending() {
    assert_eq!(while_pending(IMS), 200);
}

#[test]
fn if_modified_since_is_200_after_a_rollback() {
    let (layer, clock) = layer();
    let ask = |second: u64, content: &'static str, given: i64, since: i64| {
        clock.set(second);
        send(&layer, get(&[(IMS, &date(since))]), reply(200, &[(LM, &date(given))], content))
            .status()
    };
    assert_eq!(ask(10, "new", -100, -100), 304);
    assert_eq!(ask(20, "old", -900, -100), 200, "the client's date belonged to newer content");
    // A date from before the start that came after other content may have been sent
    // with that.
    assert_eq!([ask(20, "old", -900, -900), ask(20, "old", -900, 11)], [200, 200]);
    assert_eq!(ask(20, "other", -900, -900), 200, "one date, two contents");
}

#[test]
fn if_modified_since_is_200_after_other_content_without_a_date() {
    // 13.1.3: a client that was given no date may send the Date of the response.
    for (name, layer, other) in [
        ("own tag, no-store", layer().0, &[("etag", "\"b\""), (CC, "private, no-store")][..]),
        ("no generated dates", layer().0.add_last_modified(AddLastModified::Never), &[]),
        ("omitted", layer().0.add_last_modified(AddLastModified::IfFreshnessStated), &[]),
        ("too large", layer().0.buffer_limit(3), &[]),
        ("invalid date", layer().0, &[(LM, "yesterday")]),
        ("untagged", layer().0, &[("content-type", "application/grpc")]),
    ] {
        let own = [(LM, &*date(-900))];
        send(&layer, get(&[]), reply(200, &own, "old"));
        assert_eq!(send(&layer, get(&[]), reply(200, other, "other")).content, b"other");
        assert_eq!(
            send(&layer, get(&[(IMS, &date(10))]), reply(200, &own, "old")).status(),
            200,
            "{name}"
        );
    }
}

#[test]
fn if_modified_since_is_200_after_a_change_within_its_second() {
    // The same with and without `InnerTags::replace()`: the inner tag says that the
    // content changed.
    for replaces in [false, true] {
        let site = Site::new(|layer| {
            layer.inner_tags(if replaces { InnerTags::replace() } else { InnerTags::keep() })
        });
        let changed = date(5);
        site.answers(&[("etag", "\"a\""), (LM, &changed)], &one(), Some(12));
        assert_eq!(site.ask("GET", &[]).line(LM), Some(&*changed));
        site.answers(&[("etag", "\"b\""), (LM, &changed)], &three(), Some(15));
        site.ask("GET", &[]);
        let seen = site.ask("GET", &[(IMS, &changed)]);
        assert_eq!(
            (seen.status(), seen.content()),
            (200, content(&three())),
            "replaces: {replaces}"
        );
    }
}

#[test]
fn if_modified_since_is_200_after_a_change_within_its_second_whose_tag_is_learned() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
    let changed = date(5);
    site.answers(&[("etag", "\"a\""), (LM, &changed)], &one(), Some(12));
    site.break_off(&[]);
    site.answers(&[("etag", "\"b\""), (LM, &changed)], &two(), Some(12));
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*tag_of(&two())));
    assert_eq!(site.ask("GET", &[(IMS, &changed)]).status(), 200);
}

/// Nothing is learned here, and no tag is sent. But the tags show that the content has
/// changed.
#[test]
fn if_modified_since_is_200_after_a_change_within_its_second_whose_tag_is_removed() {
    let same = date(-100);
    for (fields, size) in [
        (&[("content-encoding", "gzip")][..], None),
        (&[(CC, "no-store")], Some(12)),
        (&[("content-type", "text/event-stream")], None),
    ] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
        let answers = |tag, steps: &[_]| {
            let lines = [&[("etag", tag), (LM, &*same)], fields].concat();
            site.answers(&lines, steps, size);
        };
        answers("\"a\"", &one());
        let first = site.ask("GET", &[]);
        assert_eq!((first.line("etag"), first.line(LM)), (None, Some(&*same)), "{fields:?}");
        assert_eq!(site.ask("GET", &[(IMS, &same)]).status(), 304, "{fields:?}");
        answers("\"b\"", &two());
        let second = site.ask("GET", &[(IMS, &same)]);
        assert_eq!((second.status(), second.line(LM)), (200, None), "{fields:?}");
        assert_eq!(second.content(), content(&two()));
    }
}

#[test]
fn if_modified_since_is_304_where_the_tag_is_learned() {
    for learns in [false, true] {
        let site = Site::new(|layer| {
            layer.inner_tags(if learns { InnerTags::learn() } else { InnerTags::keep() })
        });
        let changed = date(-60);
        site.answers(&[("etag", OWN), (LM, &changed)], &one(), Some(12));
        site.ask("GET", &[]);
        site.ask("GET", &[]);
        assert_eq!(site.ask("GET", &[(IMS, &changed)]).status(), 304, "learns: {learns}");
    }
}

#[test]
fn if_modified_since_is_200_after_a_failure_in_the_same_second() {
    // A client that was given no date may send the Date of the response.
    for status in [301, 404, 410, 500, 503] {
        for own in [&[][..], &[(LM, &*date(10))]] {
            let (layer, clock) = layer();
            clock.set(14);
            send(&layer, get(&[]), reply(status, own, "missing"));
            send(&layer, get(&[]), reply(200, &[(LM, &date(10))], "content"));
            clock.set(20);
            for since in [10, 14] {
                let again = get(&[(IMS, &date(since))]);
                let seen = send(&layer, again, reply(200, &[(LM, &date(10))], "content"));
                assert_eq!(seen.status(), 200, "{status} {own:?} {since}");
            }
        }
    }
}

#[test]
fn if_modified_since_is_200_after_content_of_the_very_second_of_its_date() {
    // The file is written twice in second 14, and read in between.
    let (layer, clock) = layer();
    clock.set(14);
    let first = send(&layer, get(&[]), reply(200, &[(LM, &date(14))], "v1"));
    assert_eq!(first.line(LM), None, "its second is not over");
    clock.set(20);
    let seen = send(&layer, get(&[(IMS, &date(14))]), reply(200, &[(LM, &date(14))], "v2"));
    assert_eq!((seen.status(), seen.content), (200, b"v2".to_vec()));
}

#[test]
fn if_modified_since_is_200_for_dates_that_never_change() {
    // Nix says 1970, zip 1980, npm 1985 of all files.
    for constant in ["Thu, 01 Jan 1970 00:00:01 GMT", "Sat, 26 Oct 1985 08:15:00 GMT"] {
        let own = [(LM, constant)];
        let (layer, _) = layer();
        let seen = send(&layer, get(&[(IMS, constant)]), reply(200, &own, "v1"));
        assert_ne!(seen.line(LM), Some(constant));
        assert_eq!(seen.status(), 200);
    }
}

/// Tools such as `cp -p` give a new file the date of the old one.
#[test]
fn if_modified_since_is_200_for_a_date_of_two_lengths() {
    let own = (LM, &*date(-900));
    let whole = |content: &'static str| reply(200, &[own], content);
    let stream = || {
        let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"twelve bytes")))];
        streamed(futures_util::stream::iter(frames))
    };
    for (other, status) in [
        (whole("eight by"), 304),
        (whole("twelve bytes"), 200),
        (reply(200, &[own, ("content-length", "12")], stream()), 200),
        (reply(206, &[own, ("content-range", "bytes 0-1/12")], "tw"), 200),
        // These have no known length, or that of the same content.
        (reply(200, &[own], stream()), 304),
        (reply(206, &[own, ("content-range", "bytes 0-1/8")], "tw"), 304),
        (reply(206, &[own, ("content-range", "bytes 0-1/*")], "tw"), 304),
        (reply(200, &[own, ("content-encoding", "gzip")], "encoded"), 304),
    ] {
        let (layer, clock) = layer();
        let layer = layer.buffer_limit(1);
        let ask = |second: u64, content| {
            clock.set(second);
            send(&layer, get(&[(IMS, own.1)]), whole(content))
        };
        assert_eq!(ask(10, "eight by").status(), 304);
        let name = format!("{other:?}");
        clock.set(20);
        let seen = send(&layer, get(&[]), other);
        assert_eq!(seen.line(LM), (status == 304).then_some(own.1), "{name}");
        send(&layer, request("HEAD", "/", &[]), reply(200, &[own], ""));
        assert_eq!(ask(30, "eight by").status(), status, "{name}");
        assert_eq!(ask(40, "eight by").status(), status, "{name}");
    }
}

/// A weak tag says that the bytes may differ, so two lengths are no two contents.
#[test]
fn if_modified_since_holds_for_one_weak_tag_and_any_length() {
    let (layer, clock) = layer();
    let modified = date(-900);
    for (second, content) in [(10, "eight by"), (20, "twelve bytes"), (30, "eight by")] {
        clock.set(second);
        let own = reply(200, &[(LM, &*modified), ("etag", "W/\"v1\"")], content);
        let seen = send(&layer, get(&[(IMS, &modified)]), own);
        assert_eq!((seen.status(), seen.line(LM)), (304, Some(&*modified)), "{content}");
    }
}

#[test]
fn if_modified_since_is_not_evaluated_for_private_answers() {
    // A date would tell strangers to the second when another user was there.
    for own in [&[(CC, "private")][..], &[("set-cookie", "a=1")], &[("vary", "cookie")]] {
        let (layer, clock) = layer();
        let given = date(-60);
        let lines = [own, &[(LM, &*given)]].concat();
        assert_eq!(send(&layer, get(&[]), reply(200, &lines, "mine")).line(LM), None, "{own:?}");
        clock.set(20);
        let again = get(&[(IMS, &date(-60))]);
        assert_eq!(send(&layer, again, reply(200, &lines, "mine")).status(), 200, "{own:?}");
    }
}
