//! `Range` (RFC 9110, 14): parts that the inner service serves, and those that the
//! layer cuts (`ranges`).

use axum::body::Body;
use http::{HeaderMap, Response};
use tower_conditional::{InnerTags, OuterCompression};

use crate::support::{
    harness::{ask, date, fetch, get, layer, reply, send, tag, Lines, IM, IMS, INM, IUS, LM},
    origin::{one, ours, tag_of, two, Site, OWN},
    scripted_body::{content, data, trailers, Step},
};

/// Answers as a service does that knows ranges and no validators.
pub(crate) fn ranges(content: &'static str) -> impl Fn(&HeaderMap) -> Response<Body> {
    move |headers| match headers.contains_key("range") {
        true => reply(206, &[("content-range", "bytes 1-2/3")], &content[1..]),
        false => reply(200, &[("accept-ranges", "bytes")], content),
    }
}

#[test]
fn range_is_not_served_for_a_stale_validator_of_the_layer() {
    // 14.2: a range is a part of what the preconditions selected.
    for (name, validator) in
        [("if-range", tag("one")), ("if-range", date(10)), (IM, tag("one")), (IUS, date(10))]
    {
        let (layer, _) = layer();
        assert_eq!(ask(&layer, get(&[]), ranges("one")).gist().3, Some(&*date(10)));
        let again = ask(&layer, get(&[(name, &validator), ("range", "bytes=1-")]), ranges("two"));
        // A date that was generated says nothing of what is there now: the whole is
        // right.
        assert_eq!(again.status(), if name == IM { 412 } else { 200 }, "{name}: {validator}");
        assert_eq!(again.content, if name == IM { &b""[..] } else { b"two" }, "{name}");
    }
}

/// With `Content-Range`, as some APIs send it for lists, the 200 may be a part already.
#[test]
fn range_is_not_cut_from_a_200_with_a_content_range() {
    for (fields, status) in
        [(&[("etag", OWN)][..], 206), (&[("etag", OWN), ("content-range", "items 0-9/100")], 200)]
    {
        let (layer, asked) = (layer().0.ranges(true), get(&[("range", "bytes=1-2")]));
        let seen = send(&layer, asked, reply(200, fields, "0123456789"));
        assert_eq!(seen.status(), status);
        let expected = if status == 206 { "bytes 1-2/10" } else { "items 0-9/100" };
        assert_eq!(seen.line("content-range"), Some(expected));
    }
}

#[test]
fn range_that_the_layer_cuts_is_bound_to_if_unmodified_since() {
    let (layer, _) = layer();
    let layer = layer.ranges(true);
    let part = |since: i64| {
        let asked = get(&[("range", "bytes=4-"), (IUS, &date(since))]);
        send(&layer, asked, reply(200, &[], "the news")).status()
    };
    assert_eq!(send(&layer, get(&[]), reply(200, &[], "the news")).line(LM), Some(&*date(10)));
    assert_eq!([part(10), part(9), part(11), part(-86_400)], [206, 200, 200, 200]);
}

#[test]
fn range_is_not_served_for_a_tag_that_nothing_has() {
    // 13.1.1: the same answer as without Range.
    let suffixed = format!("{}-gzip\"", tag("one").trim_end_matches('"'));
    for (name, line, status) in [
        ("if-range", &*suffixed, 200),
        (IM, &suffixed, 412),
        (IM, "\"v1\"", 412),
        (IM, "\"v1\", W/\"v2\"", 412),
        (IM, "v1", 412),
        (IM, "*", 206),
        (INM, "\"v1\"", 206),
    ] {
        let layer = layer().0.outer_compression(OuterCompression::new().adds_suffixes(["-gzip"]));
        assert_eq!(ask(&layer, get(&[]), ranges("one")).status(), 200);
        let part = ask(&layer, get(&[(name, line), ("range", "bytes=1-")]), ranges("two"));
        assert_eq!(part.status(), status, "{name}: {line}");
        let whole = ask(&layer, get(&[(name, line)]), ranges("two"));
        assert_eq!(whole.status() == 412, status == 412, "{name}: {line}, without Range");
    }
}

#[test]
fn range_is_evaluated_after_the_preconditions() {
    // 14.2 and 13.2.2, step 5.
    let own = [("etag", "\"a\""), (LM, &*date(-60)), ("content-range", "bytes 0-4/9")];
    let (on_date, before) = (date(-60), date(-90));
    for (name, text, expected) in [
        (INM, "\"a\"", 304),
        (INM, "\"z\"", 206),
        (IM, "\"a\"", 206),
        (IM, "\"z\"", 412),
        (IMS, &on_date, 304),
        (IUS, &before, 412),
    ] {
        let asked = (name, text);
        let seen = fetch(&[asked, ("range", "bytes=0-4")], reply(206, &own, "conte"));
        assert_eq!(
            (seen.status(), seen.content.len()),
            (expected, if expected == 206 { 5 } else { 0 }),
            "{asked:?}"
        );
        assert_eq!(seen.line("content-range").is_some(), expected == 206);
    }
    // A part is never hashed, and without validators it proves nothing.
    for code in [206, 200] {
        let seen = fetch(&[], reply(code, &[("content-range", "bytes 0-2/9")], "con"));
        assert_eq!(seen.gist(), (code, "con", None, None));
    }
    assert_eq!(fetch(&[(INM, "*")], reply(206, &[], "con")).status(), 206);
}

#[test]
fn range_is_not_forwarded_where_the_preconditions_are_not() {
    // The client holds all of it, and asks for more with the tag it has: 304 (RFC 9110,
    // 13.2.2 and 14.2).
    for learns in [false, true] {
        let site = Site::new(|layer| {
            layer.inner_tags(if learns { InnerTags::learn() } else { InnerTags::keep() })
        });
        site.answers(&[("etag", OWN)], &one(), Some(12));
        site.ask("GET", &[]);
        site.ask("GET", &[]);
        // A file server: it answers 416 unless the preconditions come first.
        let answer = || {
            site.origin.borrow_mut().status = 416;
            site.answers(&[("content-range", "bytes */12")], &[], Some(0));
        };
        answer();
        site.ask("GET", &[("range", "bytes=12-"), (INM, OWN)]);
        assert!(site.shows(INM) || !site.shows("range"), "learns: {learns}");
    }
}

#[test]
fn range_has_the_tag_of_the_whole() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
    let part = |lines: Lines<'_>, own: &str| {
        let mut origin = site.origin.borrow_mut();
        (origin.status, origin.steps, origin.size) = (206, vec![data(5)], Some(5));
        origin.lines = vec![
            ("etag".to_owned(), own.to_owned()),
            ("content-range".to_owned(), "bytes 0-4/12".to_owned()),
        ];
        drop(origin);
        let seen = site.ask("GET", &[lines, &[("range", "bytes=0-4")]].concat());
        (seen.status(), seen.line("etag").map(str::to_owned), site.shows("range"))
    };
    assert_eq!(part(&[], OWN), (206, None, true), "nothing is known yet");
    site.origin.borrow_mut().status = 200;
    site.answers(&[("etag", OWN)], &[data(5), data(7)], Some(12));
    site.ask("GET", &[]);

    assert_eq!(part(&[], OWN), (206, Some(ours()), true));
    assert_eq!(part(&[], "\"other\""), (206, None, true));
    assert_eq!(
        part(&[(INM, &ours())], OWN),
        (304, Some(ours()), false),
        "the whole is asked for, to be evaluated"
    );
    // The inner service is asked for a part of what it gave last, in its own terms, and
    // the part is checked.
    for (line, own, status) in [
        (("if-range", &*ours()), OWN, 206),
        (("if-range", &*ours()), "\"other\"", 503),
        (("if-range", "\"never-was\""), OWN, 206),
    ] {
        let seen = part(&[line], own);
        assert_eq!((seen.0, seen.2), (status, line.1 != "\"never-was\""), "{line:?} {own}");
    }
}

#[test]
fn range_is_served_by_the_layer_if_it_is_one_and_the_content_has_a_tag() {
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    let steps = [data(5), data(7)];
    let whole = content(&steps);
    site.answers(&[("content-digest", "x"), ("content-type", "a")], &steps, Some(12));
    let tag = tag_of(&steps);
    let (modified, later) = (date(10), date(9));
    for (lines, status, range) in [
        (&[("range", "bytes=0-0")][..], 206, Some(0..1)),
        (&[("range", "bytes=3-6")], 206, Some(3..7)),
        (&[("range", "bytes=5-")], 206, Some(5..12)),
        (&[("range", "bytes=-4")], 206, Some(8..12)),
        (&[("range", "bytes=0-99")], 206, Some(0..12)),
        (&[("range", "bytes=12-")], 416, None),
        (&[("range", "bytes=0-1,4-5")], 200, None),
        (&[("range", "bytes=0-1"), ("range", "bytes=0-1")], 200, None),
        (&[("range", "lines=0-1")], 200, None),
        (&[("range", "bytes=3-6"), ("if-range", &tag)], 206, Some(3..7)),
        (&[("range", "bytes=3-6"), ("if-range", "\"x\"")], 200, None),
        (&[("range", "bytes=3-6"), ("if-range", &format!("W/{tag}"))], 200, None),
        (&[("range", "bytes=3-6"), ("if-range", &modified)], 206, Some(3..7)),
        (&[("range", "bytes=3-6"), ("if-range", &later)], 200, None),
        (&[("range", "bytes=99-"), ("if-range", "\"x\"")], 200, None),
        (&[("range", "bytes=3-6"), (INM, &tag)], 304, None),
        (&[("range", "bytes=3-6"), (IM, "\"x\"")], 412, None),
        (&[("range", "bytes=3-6"), (IM, &tag)], 206, Some(3..7)),
    ] {
        site.ask("GET", &[]);
        let seen = site.ask("GET", lines);
        assert_eq!(seen.status(), status, "{lines:?}");
        let (expected, content_range) = match (status, range) {
            (206, Some(range)) => {
                let text = format!("bytes {}-{}/12", range.start, range.end - 1);
                assert_eq!(seen.line("content-length"), Some(&*range.len().to_string()));
                assert_eq!(seen.line("content-digest"), None);
                (&whole[range], Some(text))
            }
            (416, _) => (&[][..], Some("bytes */12".to_owned())),
            (200, _) => (&whole[..], None),
            _ => (&[][..], None),
        };
        assert_eq!(seen.content(), expected, "{lines:?}");
        assert_eq!(seen.line("content-range"), content_range.as_deref(), "{lines:?}");
        assert_eq!(seen.line("etag"), Some(&*tag), "{lines:?}");
        if matches!(status, 200 | 206) {
            assert_eq!(seen.line("accept-ranges"), Some("bytes"), "{lines:?}");
        }
    }
    let seen = site.ask("HEAD", &[("range", "bytes=0-1")]);
    assert_eq!(seen.status(), 200);
    site.answers(&[("accept-ranges", "none")], &steps, Some(12));
    assert_eq!(site.ask("GET", &[("range", "bytes=0-1")]).status(), 200, "none means none");
    site.answers(&[("etag", "W/\"weak\"")], &steps, Some(12));
    assert_eq!(
        site.ask("GET", &[("range", "bytes=0-1")]).status(),
        200,
        "a weak tag does not name bytes"
    );
    site.answers(&[], &steps, None);
    assert_eq!(
        site.ask("GET", &[("range", "bytes=0-1")]).status(),
        206,
        "it was read, so that its length is known"
    );
}

#[test]
fn range_that_the_layer_cuts_has_the_fields_of_the_200() {
    // 15.3.7. With If-Range it could do without some, and has them all the same.
    let layer = layer().0.ranges(true);
    let own = [
        ("cache-control", "max-age=9"),
        ("content-language", "en"),
        ("content-location", "/news.en"),
        ("content-type", "text/plain"),
        ("date", &*date(10)),
        ("expires", &*date(19)),
        ("vary", "accept"),
        ("vary", "accept-language"),
        ("x-request-id", "7"),
    ];
    let ask = |lines: Lines<'_>| send(&layer, get(lines), reply(200, &own, "the news"));
    let whole = ask(&[]);
    let current = whole.line("etag").unwrap();
    for lines in [&[("range", "bytes=4-")][..], &[("range", "bytes=4-"), ("if-range", current)]] {
        let part = ask(lines);
        assert_eq!((part.status(), &*part.content), (206, &b"news"[..]));
        for name in whole.head.headers.keys() {
            assert_eq!(part.lines(name.as_str()), whole.lines(name.as_str()), "{name}: {lines:?}");
        }
    }
}

#[test]
fn range_of_chunked_content_has_one_framing() {
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    site.answers(&[("transfer-encoding", "chunked")], &one(), None);
    let seen = site.ask("GET", &[("range", "bytes=3-6")]);
    assert_eq!(seen.status(), 206);
    assert_eq!((seen.line("content-length"), seen.line("transfer-encoding")), (Some("4"), None));
}

#[test]
fn range_announces_no_trailers() {
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    site.answers(&[("trailer", "x-sum"), ("content-length", "12")], &[data(12), trailers()], None);
    let seen = site.ask("GET", &[("range", "bytes=3-6")]);
    assert_eq!((seen.status(), seen.line("trailer")), (206, None));
}

#[test]
fn range_of_the_last_bytes_of_nothing_is_200() {
    // RFC 9110, 14.1.2: a suffix range is satisfiable if its length is not zero.
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    site.answers(&[], &[], Some(0));
    assert_eq!(site.ask("GET", &[("range", "bytes=-5")]).status(), 200);
}

#[test]
fn range_is_offered_in_the_response_to_head() {
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    site.answers(&[("content-length", "12")], &one(), Some(12));
    assert_eq!(site.ask("GET", &[]).line("accept-ranges"), Some("bytes"));
    assert_eq!(site.ask("HEAD", &[]).line("accept-ranges"), Some("bytes"));
}

#[test]
fn range_of_several_parts_gets_the_whole_where_the_layer_serves_parts() {
    // `ServeDir` answers 416.
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    let seen = site.ask("GET", &[("range", "bytes=0-1,4-5")]);
    let whole = content(&[data(5), data(7)]);
    assert_eq!((seen.status(), seen.content(), site.shows("range")), (200, whole, false));
}

#[test]
fn range_of_another_unit_reaches_the_inner_service() {
    let layer = layer().0.ranges(true);
    let items = |headers: &HeaderMap| match headers.get("range") {
        Some(range) if range == "items=0-9" => {
            reply(206, &[("etag", OWN), ("content-range", "items 0-9/20")], "0123456789")
        }
        _ => reply(200, &[("etag", OWN), ("accept-ranges", "items")], "0123456789abcdefghij"),
    };
    let part = ask(&layer, get(&[("range", "items=0-9")]), items);
    assert_eq!((part.status(), part.line("content-range")), (206, Some("items 0-9/20")));
    assert_eq!(part.content, b"0123456789");
    for lines in [&["bytes=0-1,4-5"][..], &["Bytes=x"], &["bytes"], &["items=0-9", "items=0-9"]] {
        let lines: Vec<_> = lines.iter().map(|line| ("range", *line)).collect();
        let whole = ask(&layer, get(&lines), items);
        assert_eq!((whole.status(), whole.content.len()), (200, 20), "{lines:?}");
        assert!(!whole.forwarded.headers.contains_key("range"), "{lines:?}");
    }
}

#[test]
fn range_far_into_content_gets_the_whole_where_only_the_layer_can_cut() {
    let large = vec![b'x'; 9 << 20];
    let layer = layer().0.ranges(true);
    for (range, status) in [("bytes=-1", 200), ("bytes=8388609-", 200), ("bytes=8388608-", 206)] {
        let asked = get(&[("range", range)]);
        let own = [("etag", "\"a\""), ("content-length", "9437184")];
        let seen = send(&layer, asked, reply(200, &own, large.clone()));
        assert_eq!(seen.status(), status, "{range}");
        assert_eq!(seen.content.len(), if status == 200 { 9 << 20 } else { 1 << 20 }, "{range}");
    }
}

#[test]
fn range_beside_a_matching_if_none_match_is_304_where_the_handler_cuts() {
    let (layer, _) = layer();
    let asked = get(&[(INM, &tag("one")), ("range", "bytes=1-")]);
    assert_eq!(ask(&layer, asked, ranges("one")).status(), 304);
    let asked = get(&[(INM, &tag("two")), ("range", "bytes=1-")]);
    assert_eq!(ask(&layer, asked, ranges("one")).gist().1, "one", "the whole is right, too");
}

#[test]
fn range_requests_teach_the_tag_of_content_that_is_only_asked_for_in_parts() {
    for cuts in [&[(0, 12)][..], &[(0, 5), (5, 12)], &[(0, 1), (1, 2), (2, 12)]] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
        let whole = content(&[data(12)]);
        for &(start, end) in cuts {
            let mut origin = site.origin.borrow_mut();
            let part = whole[start..end].to_vec();
            (origin.status, origin.size) = (206, Some(part.len() as u64));
            origin.steps = vec![Step::Data(part.into())];
            let range = format!("bytes {start}-{}/12", end - 1);
            origin.lines =
                vec![("etag".to_owned(), OWN.to_owned()), ("content-range".to_owned(), range)];
            drop(origin);
            let seen = site.ask("GET", &[("range", "bytes=0-")]);
            assert_eq!((seen.status(), seen.line("etag")), (206, None), "{cuts:?}");
        }
        site.origin.borrow_mut().status = 200;
        site.answers(&[("etag", OWN)], &[data(12)], Some(12));
        assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*tag_of(&[data(12)])), "{cuts:?}");
    }
}

#[test]
fn range_requests_with_a_gap_teach_nothing() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
    for range in ["bytes 0-4/12", "bytes 6-11/12"] {
        let mut origin = site.origin.borrow_mut();
        let bytes = if range.contains("0-4") { 5 } else { 6 };
        (origin.status, origin.size, origin.steps) = (206, Some(bytes), vec![data(bytes as usize)]);
        origin.lines = vec![
            ("etag".to_owned(), OWN.to_owned()),
            ("content-range".to_owned(), range.to_owned()),
        ];
        drop(origin);
        site.ask("GET", &[("range", "bytes=0-")]);
    }
    site.origin.borrow_mut().status = 200;
    site.answers(&[("etag", OWN)], &[data(12)], Some(12));
    assert_eq!(site.ask("GET", &[]).line("etag"), None);
}

#[test]
fn range_resumes_by_date_while_the_tag_is_not_learned() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()).ranges(true));
    let changed = date(-60);
    let own = [("etag", OWN), (LM, &*changed), ("accept-ranges", "bytes")];
    site.answers(&own, &one(), Some(12));
    site.break_off(&[]);
    let resume = [("range", "bytes=5-"), ("if-range", &*changed)];
    let mut origin = site.origin.borrow_mut();
    (origin.status, origin.steps, origin.size) = (206, vec![data(7)], Some(7));
    origin.lines.push(("content-range".to_owned(), "bytes 5-11/12".to_owned()));
    drop(origin);
    let seen = site.ask("GET", &resume);
    assert_eq!((seen.status(), site.shows("range")), (206, true), "nothing is read twice");
    // Another file with the same date.
    site.origin.borrow_mut().lines[0].1 = "\"other\"".to_owned();
    let seen = site.ask("GET", &resume);
    assert_eq!((seen.status(), seen.line("retry-after")), (503, Some("1")));
    site.origin.borrow_mut().status = 200;
    site.answers(&[("etag", "\"other\""), (LM, &changed)], &two(), Some(12));
    assert_eq!(site.ask("GET", &resume).status(), 200, "the next try gets the whole");
    assert!(!site.shows("range"));
}
