//! The layer against RFC 9110, clause by clause, and against the mistakes that others made in reading it.
//!
//! Each case gives the layer a request and the inner service's answer, and looks at what comes out. Numbers in comments
//! are sections of RFC 9110. What becomes of bodies that are slow, large or broken is in `bodies.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::convert::Infallible;

use axum::{
    body::Body,
    http::{HeaderMap, Request, Response, StatusCode},
    routing, Router,
};
use futures_util::stream;
use tower::{service_fn, Layer, Service, ServiceExt};
use tower_conditional::{ConditionalLayer, Digest, FreshnessPolicy, Outcome, Reason, Untagged};

use self::ask::{
    ask, date, fetch, get, layer, reply, request, rows, run, send, status, streamed, tag, value,
    Lines, CC, IM, IMS, INM, IUS, LM,
};

mod ask;

// 8.8: validators.

#[test]
fn content_gets_a_strong_tag_and_the_second_of_first_sight() {
    let (layer, clock) = layer();
    let at = |second, content: &'static str| {
        clock.set(second);
        send(&layer, get(&[]), reply(200, &[], content))
    };
    let first = at(10, "one");
    assert_eq!(first.gist(), (200, "one", Some(&*tag("one")), Some(&*date(10))));
    assert_eq!(first.outcome, Outcome::Tagged);
    assert_eq!(at(60, "one").gist(), first.gist(), "unchanged");
    // 8.8.2.2: in a second that saw two contents a date would be weak, and none is sent.
    assert_eq!(at(60, "two").gist(), (200, "two", Some(&*tag("two")), None));
    assert_eq!(at(61, "two").line(LM), Some(&*date(61)));
    assert_eq!(at(70, "three").line(LM), Some(&*date(70)), "nothing else was seen in this second");
    assert_eq!(at(70, "two").line(LM), None);
    // 8.8.2.1: never later than now, though the clock was set back.
    assert_eq!(at(5, "four").line(LM), None);
    // The first second of a layer may have been the last of another.
    let (layer, clock) = self::layer();
    clock.set(0);
    assert_eq!(send(&layer, get(&[]), reply(200, &[], "one")).line(LM), None);
}

#[test]
fn the_inner_tag_is_respected() {
    // A tag sent in If-None-Match, and the lines of the inner `ETag`.
    let table = r#"
        304 | "a" <- "a" | "a" <- W/"a" | "" <- "" | "a,b" <- "a,b" | "é" <- "é"
        # What is no tag, or not one, is left on the response, and is none.
        200 | a <- a | "a" <- a | "a" <- w/"a" | "a b" <- "a b" | "a" <- "a" & "b"
    "#;
    for row in rows(table) {
        for cell in &row[1..] {
            let (sent, own) = cell.split_once(" <- ").unwrap();
            let own: Vec<_> = own.split(" & ").map(|own| ("etag", own)).collect();
            let seen = fetch(&[], reply(200, &own, "content"));
            let reason = if row[0] == "304" { Reason::OwnTag } else { Reason::InvalidTag };
            assert_eq!((seen.status(), seen.content.len()), (200, 7), "{cell}");
            assert_eq!(seen.outcome, Outcome::LeftAlone(reason), "{cell}");
            let kept: Vec<_> = seen.head.headers.get_all("etag").iter().cloned().collect();
            assert_eq!(kept, own.iter().map(|own| value(own.1)).collect::<Vec<_>>());
            assert_eq!(status(&[(INM, sent)], &own).to_string(), row[0], "{cell}");
        }
    }
    // Longer than some parsers take: the hex of a SHA-256.
    assert_eq!(status(&[(INM, &tag("x"))], &[("etag", &tag("x"))]), 304);
}

#[test]
fn equal_octets_of_several_representations_have_several_tags() {
    let tag_of =
        |lines: Lines<'_>| fetch(&[], reply(200, lines, "[]")).line("etag").unwrap().to_owned();
    let json = tag_of(&[("content-type", "application/json"), ("vary", "accept")]);
    let csv = tag_of(&[("content-type", "text/csv"), ("vary", "accept")]);
    assert!(json != csv && json != tag("[]"), "{json} {csv}");
    assert_eq!(
        tag_of(&[("content-type", "text/csv")]),
        tag("[]"),
        "not negotiated: what sha256sum prints"
    );
}

// 13.1: the fields.

#[test]
fn tags_are_compared_as_each_field_asks() {
    // The status for If-None-Match and for If-Match, and then cells: the inner tag, and the lines sent.
    let table = r#"
        # 8.8.3.2, 13.1.1 and 13.1.2: weak and strong comparison.
        304 412 | W/"1" <- W/"1" | W/"1" <- "1" | "1" <- W/"1"
        304 200 | "1" <- "1"
        200 412 | W/"1" <- W/"2" | "1" <- "2"
        # 5.6.1: lists, over all lines; and 13.1.1: `*` as the whole value.
        304 200 | "1" <- "x", "1" | "1" <- "x" & "1" | "1" <- , "x",,"1" , | "1" <- * | unquoted <- *
        200 412 | "1" <- "x" & "y" | "1" <- *, "x" | "1" <- * & *
        # 8.8.3: a comma, obs-text and nothing at all are legal inside a tag.
        304 200 | "own,tag" <- "own,tag" | "" <- "" | "é" <- "é", "z" | "z" <- "é", "z"
        200 412 | "a" <- "x,a" | "a" <- x,a | "a" <- a | "a" <- "x,*,y" | "a" <- "*"
        # What is no tag matches nothing, and does not spoil its neighbours.
        304 200 | "z" <- "a b", "z" | "z" <- "x, "z"
        200 412 | "a" <- "a b" | "foo" <- "x, "foo | "1" <- w/"1" | "1" <- "1 | "" <- | unquoted <- unquoted
    "#;
    for row in rows(table) {
        for cell in &row[1..] {
            let (own, lines) = cell.split_once("<-").unwrap();
            for (name, expected) in [INM, IM].into_iter().zip(row[0].split(' ')) {
                let lines: Vec<_> = lines.split('&').map(|line| (name, line.trim())).collect();
                assert_eq!(
                    status(&lines, &[("etag", own.trim())]).to_string(),
                    expected,
                    "{name} {cell}"
                );
            }
        }
    }
    let (made, weak, other) = (tag("content"), format!("W/{}", tag("content")), tag("other"));
    for (sent, on_none_match, on_match) in
        [(&made, 304, 200), (&weak, 304, 412), (&other, 200, 412)]
    {
        assert_eq!(status(&[(INM, sent)], &[]), on_none_match, "made here: {sent}");
        assert_eq!(status(&[(IM, sent)], &[]), on_match, "made here: {sent}");
    }
    // `*` asks for a representation, not for a tag; anything else fails where there is none.
    let untagged = [(CC, "no-store")];
    assert_eq!(
        [(INM, "*"), (INM, "\"x\""), (IM, "*"), (IM, "\"x\"")]
            .map(|line| status(&[line], &untagged)),
        [304, 200, 200, 412]
    );
}

#[test]
fn a_given_date_is_compared_by_order_and_a_minted_one_by_equality() {
    // 13.1.3 and 13.1.4. Between the given date and noon the layer does not know what was sent: equality is asked.
    // The inner date, that of the client, and the status for each field.
    let table = "
        -3600 -3601 200 412 | -3600 -3600 304 200 | -3600 -10 200 412 | -3600 5 304 200 | -3600 999999 304 200
        minted 9 200 412 | minted 10 304 200 | minted 11 200 412 | minted 999999 200 412
    ";
    for cell in rows(table).flatten() {
        let words: Vec<_> = cell.split(' ').collect();
        let given = words[0].parse().map(date).ok();
        let own: Vec<_> = given.iter().map(|given| (LM, &**given)).collect();
        let seen = [IMS, IUS]
            .map(|name| status(&[(name, &date(words[1].parse().unwrap()))], &own).to_string());
        assert_eq!(seen, words[2..], "{cell}");
    }
    // Without a modification date there is no condition.
    for own in [[(CC, "no-store")], [(LM, "Sun, 22 Nov 2026 11:00:00 +0000")]] {
        assert_eq!(
            [IMS, IUS].map(|name| status(&[(name, &date(-3600))], &own)),
            [200, 200],
            "{own:?}"
        );
    }
    // While a date is pending, none matches.
    let (layer, _) = layer();
    let ask = |lines: Lines<'_>, content: &'static str| {
        send(&layer, get(lines), reply(200, &[], content)).status()
    };
    assert_eq!(ask(&[], "one"), 200);
    assert_eq!([IMS, IUS].map(|name| ask(&[(name, &date(10))], "two")), [200, 412]);
}

#[test]
fn a_date_is_one_of_three_forms_or_nothing() {
    // 5.6.7: the inner date, and the same in If-Modified-Since.
    let table = "
        Sun, 06 Nov 1994 08:49:37 GMT   | Sunday, 06-Nov-94 08:49:37 GMT
        Sun, 06 Nov 1994 08:49:37 GMT   | Sun Nov  6 08:49:37 1994
        Sunday, 06-Nov-94 08:49:37 GMT  | Sun, 06 Nov 1994 08:49:37 GMT
        Sun, 01 Jan 2017 00:00:00 GMT   | Sat, 31 Dec 2016 23:59:60 GMT
        Thu, 01 Jan 1970 00:00:00 GMT   | Thursday, 01-Jan-70 00:00:00 GMT
        Wed, 31 Dec 1969 23:59:59 GMT   | Wed, 31 Dec 1969 23:59:59 GMT
        Sat, 01 Jan 0000 00:00:00 GMT   | Sat, 01 Jan 0000 00:00:00 GMT
        Tue, 22 Nov 1977 12:00:00 GMT   | Tuesday, 22-Nov-77 12:00:00 GMT
        Fri, 31 Dec 9999 23:59:59 GMT   | Fri, 31 Dec 9999 23:59:59 GMT
    ";
    for row in rows(table) {
        assert_eq!(
            [IMS, IUS].map(|name| status(&[(name, row[1])], &[(LM, row[0])])),
            [304, 200],
            "{row:?}"
        );
    }
    // Refusing a valid date would let the request through.
    for since in [
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Sat, 31 Dec 2016 23:59:60 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        assert_eq!(status(&[(IUS, since)], &[(LM, &date(-60))]), 412, "{since}");
    }
    // Anything else voids the field, be it 11:59:00 in every other respect.
    let table = "
        Sun, 22 Nov 2026 11:59:00 GMT; length=7 | Sun, 22 Nov 2026 11:59:00 GMT, Sun, 22 Nov 2026 11:59:00 GMT
        Sun, 22 Nov 2026 11:59:00 GMT & Sun, 22 Nov 2026 11:59:00 GMT | Sun, 22 Nov 2026 11:59:00 +0000
        Sun, 22 Nov 2026 11:59:00 UTC | sun, 22 nov 2026 11:59:00 gmt | Sun, 31 Nov 2026 11:59:00 GMT
        Mon, 30 Feb 2026 11:59:00 GMT | Sun, 22 Nov 2026 11:58:61 GMT | Sun, 22 Nov 2026  11:59:00 GMT
        Sun, 22 Nov 2026 11:59:00 | 2026-11-22T11:59:00Z | 1795348740 | é |
    ";
    for cell in rows(table).flatten() {
        for name in [IMS, IUS] {
            let lines: Vec<_> = cell.split('&').map(|line| (name, line.trim())).collect();
            assert_eq!(status(&lines, &[(LM, &date(-60))]), 200, "{lines:?}");
        }
    }
}

#[test]
fn if_range_with_a_validator_of_the_layer_asks_for_the_whole() {
    // 13.1.5. The inner service does not know such a validator; one that ignores If-Range would splice two versions.
    let passes = |layer: &ConditionalLayer, uri, validator: &str| {
        let asked = request("GET", uri, &[("range", "bytes=0-4"), ("if-range", validator)]);
        let headers = send(layer, asked, reply(200, &[], "whole")).forwarded.headers;
        assert_eq!(headers.contains_key("range"), headers.contains_key("if-range"), "{validator}");
        headers.contains_key("range")
    };
    let (made, varied) = (tag("x"), format!("{}-0123abcd\"", tag("x").trim_end_matches('"')));
    for ours in [&made, &varied, &format!("W/{made}"), &date(5), "Sunday, 22-Nov-26 12:00:05 GMT"] {
        assert!(!passes(&layer().0, "/", ours), "{ours}");
    }
    for foreign in ["\"6b0315fb.0d89f31a-c8\"", &made.to_uppercase(), "stale"] {
        assert!(passes(&layer().0, "/", foreign), "{foreign}");
    }
    // What the inner service itself was seen to supply is its own business.
    let (layer, _) = layer();
    let own = [("etag", &*made), (LM, &*date(5)), ("accept-ranges", "bytes")];
    send(&layer, get(&[]), reply(200, &own, "whole"));
    assert!(passes(&layer, "/", &made) && passes(&layer, "/", &date(5)));
    assert!(!passes(&layer, "/elsewhere", &made));
}

/// Answers as a service does that knows ranges and no validators.
fn ranges(content: &'static str) -> impl Fn(&HeaderMap) -> Response<Body> {
    move |headers| match headers.contains_key("range") {
        true => reply(206, &[("content-range", "bytes 1-2/3")], &content[1..]),
        false => reply(200, &[("accept-ranges", "bytes")], content),
    }
}

#[test]
fn no_part_is_sent_for_a_stale_validator_of_the_layer() {
    // 14.2: a range is a part of what the preconditions selected.
    for (name, validator) in
        [("if-range", tag("one")), ("if-range", date(10)), (IM, tag("one")), (IUS, date(10))]
    {
        let (layer, _) = layer();
        assert_eq!(ask(&layer, get(&[]), ranges("one")).gist().3, Some(&*date(10)));
        let again = ask(&layer, get(&[(name, &validator), ("range", "bytes=1-")]), ranges("two"));
        assert_eq!(
            again.status(),
            if name == "if-range" { 200 } else { 412 },
            "{name}: {validator}"
        );
    }
}

#[test]
fn no_part_is_sent_for_a_tag_that_nothing_here_has() {
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
        let layer = layer().0.ignore_tag_suffixes(["-gzip"]);
        assert_eq!(ask(&layer, get(&[]), ranges("one")).status(), 200);
        let part = ask(&layer, get(&[(name, line), ("range", "bytes=1-")]), ranges("two"));
        assert_eq!(part.status(), status, "{name}: {line}");
        let whole = ask(&layer, get(&[(name, line)]), ranges("two"));
        assert_eq!(whole.status() == 412, status == 412, "{name}: {line}, without Range");
    }
}

#[test]
fn a_layer_inside_itself_takes_none_of_its_own_tags_for_an_inner_one() {
    let (layer, _) = layer();
    let inner = service_fn(|request: Request<Body>| {
        let response = ranges("one")(request.headers());
        async { Ok::<_, Infallible>(response) }
    });
    let twice = layer.layer(layer.layer(inner));
    assert_eq!(run(twice.clone().oneshot(get(&[]))).unwrap().headers()["etag"], *tag("one"));
    let again =
        run(twice.oneshot(get(&[("range", "bytes=1-"), ("if-range", &tag("one"))]))).unwrap();
    assert_eq!(again.status(), 200);
}

// 13.2: when, and in which order.

#[test]
fn an_answer_that_is_no_success_ignores_preconditions() {
    // 13.2.1: an outage must not be hidden from clients, caches and logs.
    let own = [("etag", "\"nf\""), (LM, &*date(-60)), ("content-type", "text/plain")];
    for code in [301, 302, 400, 401, 403, 404, 410, 416, 429, 500, 503] {
        let dates = [(IMS, &*date(5)), (IUS, &*date(-90))];
        for asked in [(INM, "*"), (INM, "\"nf\""), (IM, "\"z\"")].into_iter().chain(dates) {
            let seen = fetch(&[asked], reply(code, &own, "sorry"));
            assert_eq!(
                seen.gist(),
                (code, "sorry", Some("\"nf\""), Some(&*date(-60))),
                "{code} {asked:?}"
            );
            assert_eq!(seen.line("content-type"), Some("text/plain"));
        }
        let seen = fetch(&[(IM, "\"z\"")], reply(code, &[], "sorry"));
        assert_eq!(seen.gist(), (code, "sorry", None, None));
        assert_eq!(seen.outcome, Outcome::LeftAlone(Reason::Status));
    }
    // Other successes are not unmodified content, but If-Match counts where there is a tag.
    for (asked, expected) in [((INM, "*"), 201), ((INM, "\"nf\""), 201), ((IM, "\"z\""), 412)] {
        assert_eq!(fetch(&[asked], reply(201, &own, "")).status(), expected, "{asked:?}");
    }
    assert_eq!(fetch(&[(IM, "\"z\"")], reply(204, &[], "")).status(), 204);
}

#[test]
fn other_methods_pass_untouched() {
    // 13.2.1 for those that select no representation. 9.3.4: the reply to a PUT is not the representation; and a write
    // is done when its response is there: a 304 or a 412 would deny it.
    let (ours, then) = (tag("x"), date(5));
    let asked = [
        (IM, "\"z\""),
        (INM, "*"),
        (IMS, &*then),
        (IUS, &*then),
        ("if-range", &*ours),
        ("range", "bytes=0-1"),
    ];
    for method in
        ["PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PURGE"]
    {
        let request = request(method, if method == "CONNECT" { "a:1" } else { "/" }, &asked);
        let headers = request.headers().clone();
        let seen = send(&layer().0, request, reply(200, &[], "done"));
        assert_eq!(seen.gist(), (200, "done", None, None), "{method}");
        assert!(seen.head.headers.is_empty() && seen.forwarded.headers == headers, "{method}");
        assert_eq!(seen.outcome, Outcome::LeftAlone(Reason::Method));
    }
}

#[test]
fn preconditions_are_judged_in_order() {
    // 13.2.2, against a tag "a" and a date of 11:59, `hit`.
    let table = r#"
        # The status; If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since; `-` is absent and `()` is empty.
        200 "a" past -     -    | 412 "z" hit  -     -    | 412 a   hit  -     -    | 412 "z" -    "a"   -
        412 "z" -    -     hit  | 304 "a" -    "a"   -    | 304 "a" -    -     hit  | 200 "a" -    "z"   -
        412 -   past "a"   -    | 304 -   hit  "a"   -    | 412 -   past -     hit  | 304 -   hit  -     hit
        200 -   hit  -     past | 304 -   -    "a"   past | 200 -   -    "z"   hit  | 200 -   -    z     hit
        200 -   -    ()    hit  | 200 -   -    "x,*,y" hit  | 200 "a" past "z"   hit  | 304 "a" past "a"   past
    "#;
    let (past, hit) = (date(-90), date(-60));
    let text = |cell: &str| cell.replace("past", &past).replace("hit", &hit).replace("()", "");
    for cell in rows(table).flatten() {
        let texts: Vec<_> = cell.split_whitespace().map(text).collect();
        let lines = [IM, IUS, INM, IMS].into_iter().zip(texts[1..].iter().map(String::as_str));
        let lines: Vec<_> = lines.filter(|line| line.1 != "-").collect();
        assert_eq!(
            status(&lines, &[("etag", "\"a\""), (LM, &hit)]).to_string(),
            texts[0],
            "{lines:?}"
        );
    }
    // A response without a tag does not bring the date back.
    let own = [("etag", "unquoted"), (LM, &*hit)];
    assert_eq!(
        [status(&[(INM, "\"a\""), (IMS, &hit)], &own), status(&[(IMS, &hit)], &own)],
        [200, 304]
    );
}

#[test]
fn each_date_is_compared_on_its_own() {
    let own = [(LM, &*date(-60))];
    for other in [&[][..], &[(IMS, &*date(-90))], &[(INM, "\"x\""), (IMS, &*date(-90))]] {
        assert_eq!(status(&[other, &[(IUS, &*date(5))]].concat(), &own), 200, "{other:?}");
    }
}

#[test]
fn the_inner_service_does_not_judge_by_a_date_that_is_void() {
    let fields = [IM, INM, IMS, IUS];
    let (past, twice) =
        (date(-90), [(IMS, date(-90)), (IMS, date(-60)), (IUS, date(-90)), (IUS, date(-60))]);
    for (asked, valid, void) in [
        ("0123", "01", "01"),
        ("023", "02", "0"),
        ("123", "13", "1"),
        ("23", "23", ""),
        ("", "", ""),
    ] {
        for (text, expected) in [(&*past, valid), ("x", void)] {
            let lines: Vec<_> = (0..4)
                .filter(|i| asked.contains(&i.to_string()))
                .map(|i| (fields[i], text))
                .collect();
            let headers = fetch(&lines, reply(200, &[], "")).forwarded.headers;
            let left: String = (0..4)
                .filter(|&i| headers.contains_key(fields[i]))
                .map(|i| i.to_string())
                .collect();
            assert_eq!(left, expected, "{asked} {text}");
        }
    }
    // Some take the first of two.
    let twice: Vec<_> = twice.iter().map(|(name, text)| (*name, &**text)).collect();
    assert!(fetch(&twice, reply(200, &[], "")).forwarded.headers.is_empty());
}

#[test]
fn the_inner_service_gets_each_list_in_one_line() {
    let lines =
        [(IM, "\"a\""), (INM, "W/\"é\""), (IM, "\"b,c\", \"d\""), (INM, "\"x\""), (INM, "")];
    let headers = fetch(&lines, reply(200, &[], "")).forwarded.headers;
    assert_eq!(headers.get_all(IM).iter().collect::<Vec<_>>(), ["\"a\", \"b,c\", \"d\""]);
    assert_eq!(
        headers.get_all(INM).iter().map(|line| line.as_bytes()).collect::<Vec<_>>(),
        [b"W/\"\xE9\", \"x\", "]
    );
}

#[test]
fn the_inner_service_does_not_judge_by_a_date_that_was_minted() {
    // A page is made on the fly, and then a file with an older date takes its place.
    let (layer, _) = layer();
    assert_eq!(
        send(&layer, get(&[]), reply(200, &[], "made on the fly")).line(LM),
        Some(&*date(10))
    );
    let file = |headers: &HeaderMap| match headers.contains_key(IMS) {
        true => reply(304, &[], ""),
        false => reply(200, &[(LM, &date(-60))], "file"),
    };
    assert_eq!(
        ask(&layer, get(&[(IMS, &date(10))]), file).gist(),
        (200, "file", Some(&*tag("file")), Some(&*date(-60)))
    );
}

#[test]
fn not_modified_beats_a_part() {
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

// 15.4.5 and 15.5.13: the answers.

const FULL: &str = r#"
    etag: "a"                 | last-modified: Sun, 22 Nov 2026 11:00:00 GMT | date: Sun, 22 Nov 2026 12:00:00 GMT
    expires: Sun, 22 Nov 2026 13:00:00 GMT | vary: accept | vary: origin | cache-control: private
    cache-control: max-age=60 | content-location: /f.json | set-cookie: a=1 | set-cookie: b=2 | x-request-id: 7
    access-control-allow-origin: * | content-security-policy: default-src 'self' | link: </next>; rel=next
    strict-transport-security: max-age=1 | accept-ranges: bytes
    content-length: 7 | content-type: text/csv | content-encoding: gzip | content-language: de | content-language: en
    content-digest: sha-256=:x: | content-range: bytes 0-6/9 | transfer-encoding: chunked | trailer: x | trailer: y
"#;

#[derive(Clone, Debug, PartialEq)]
struct Mark(u8);

/// A response with all fields of `FULL`, and an extension.
fn full() -> (Vec<(&'static str, &'static str)>, Response<Body>) {
    let lines: Vec<_> = rows(FULL).flatten().map(|line| line.split_once(": ").unwrap()).collect();
    let mut response = reply(200, &lines, "content");
    response.extensions_mut().insert(Mark(7));
    (lines, response)
}

#[test]
fn a_304_keeps_all_but_what_describes_its_content() {
    let (lines, response) = full();
    let seen = fetch(&[(INM, "\"a\"")], response);
    assert_eq!((seen.status(), seen.content.len(), seen.outcome), (304, 0, Outcome::NotModified));
    assert_eq!(seen.head.extensions.get(), Some(&Mark(7)));
    let content = ["length", "type", "encoding", "language", "digest", "range"]
        .map(|name| format!("content-{name}"));
    for (name, _) in &lines {
        let gone = content.iter().any(|gone| gone == name)
            || ["transfer-encoding", "trailer"].contains(name);
        let all: Vec<_> =
            lines.iter().filter(|line| line.0 == *name && !gone).map(|line| line.1).collect();
        assert_eq!(seen.lines(name), all, "{name}");
    }
}

#[test]
fn a_304_has_the_fields_that_the_200_would_have_had() {
    for lines in [&[][..], &[(CC, "private")], &[(CC, "max-age=5")], &[("vary", "accept")]] {
        let (layer, _) = layer();
        let ok = send(&layer, get(&[]), reply(200, lines, "content"));
        let again = get(&[(INM, ok.line("etag").unwrap())]);
        let not_modified = send(&layer, again, reply(200, lines, "content"));
        assert_eq!(
            (not_modified.status(), &not_modified.head.headers),
            (304, &ok.head.headers),
            "{lines:?}"
        );
    }
}

#[test]
fn a_412_says_which_validators_would_have_matched() {
    let seen = fetch(&[(IM, "\"z\"")], full().1);
    assert_eq!(seen.gist(), (412, "", Some("\"a\""), Some("Sun, 22 Nov 2026 11:00:00 GMT")));
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

#[test]
fn an_inner_304_and_412_pass_through() {
    for code in [304, 412] {
        let seen =
            fetch(&[(INM, "\"a\"")], reply(code, &[("etag", "\"a\""), ("vary", "accept")], ""));
        assert_eq!(
            (seen.gist(), seen.line("vary")),
            ((code, "", Some("\"a\""), None), Some("accept"))
        );
    }
}

// RFC 9111, 4.2.2: heuristic freshness.

#[test]
fn a_minted_date_does_not_make_a_silent_response_fresh() {
    use FreshnessPolicy::{Leave, NoCache, OmitLastModified};
    let table = r#"
        silent | | private | public, must-revalidate | no-cache="set-cookie" | x="a, max-age=1"
        spoken | private & Max-Age=0 | s-maxage=9 | no-cache | private, no-cache
    "#;
    for (row, freshness) in rows(table)
        .flat_map(|row| [NoCache, OmitLastModified, Leave].map(|each| (row.clone(), each)))
    {
        for cell in &row[1..] {
            let mut control: Vec<_> = cell.split(" & ").filter(|line| !line.is_empty()).collect();
            let own: Vec<_> = control.iter().map(|line| (CC, *line)).collect();
            let seen = send(&layer().0.freshness(freshness), get(&[]), reply(200, &own, "content"));
            let silent = row[0] == "silent";
            control.extend((silent && freshness == NoCache).then_some("no-cache"));
            assert_eq!(seen.lines(CC), control, "{cell} {freshness:?}");
            assert_eq!(
                seen.line(LM).is_none(),
                silent && freshness == OmitLastModified,
                "{cell} {freshness:?}"
            );
        }
    }
    assert_eq!(fetch(&[], reply(200, &[("expires", "0")], "content")).line(CC), None);
    // Where the inner service gave the date, its freshness is its own affair.
    assert_eq!(fetch(&[], reply(200, &[(LM, &date(-60))], "content")).line(CC), None);
}

// Dates over time: a client's date belongs to the content that it holds.

#[test]
fn no_date_survives_a_rollback() {
    let (layer, clock) = layer();
    let ask = |second: u64, content: &'static str, given: i64, since: i64| {
        clock.set(second);
        send(&layer, get(&[(IMS, &date(since))]), reply(200, &[(LM, &date(given))], content))
            .status()
    };
    assert_eq!(ask(10, "new", -100, -100), 304);
    assert_eq!(ask(20, "old", -900, -100), 200, "the client's date belonged to newer content");
    assert_eq!([ask(20, "old", -900, -900), ask(20, "old", -900, 11)], [304, 304]);
    assert_eq!(ask(20, "other", -900, -900), 200, "one date, two contents");
}

#[test]
fn a_date_of_two_contents_still_proves_that_nothing_changed_since_the_last_sight_of_another() {
    let (layer, clock) = layer();
    let own = [(LM, &*date(-900))];
    send(&layer, get(&[]), reply(200, &own, "one"));
    clock.set(20);
    send(&layer, get(&[]), reply(200, &own, "two"));
    clock.set(50);
    assert_eq!(send(&layer, get(&[(IUS, &date(30))]), reply(200, &own, "two")).status(), 200);
}

#[test]
fn content_that_changes_is_never_not_modified() {
    let (layer, clock) = layer();
    let mut held: Option<(String, Option<String>)> = None;
    for (second, content) in
        [(10, "1"), (10, "2"), (10, "1"), (11, "3"), (11, "4"), (12, "5"), (13, "1")]
    {
        clock.set(second);
        let ask = |lines: Lines<'_>| send(&layer, get(lines), reply(200, &[], content));
        if let Some((tag, date)) = &held {
            assert_eq!(ask(&[(INM, tag)]).status(), 200, "{second} {content}");
            assert!(
                date.iter().all(|date| ask(&[(IMS, date)]).status() == 200),
                "{second} {content}"
            );
        }
        let seen = ask(&[]);
        held = Some((seen.line("etag").unwrap().to_owned(), seen.line(LM).map(str::to_owned)));
    }
}

#[test]
fn no_date_survives_a_change_of_what_a_response_varies_by() {
    let vary = ("vary", "accept");
    for (first, second) in [(&[vary][..], &[][..]), (&[], &[vary])] {
        // Two contents that are first seen in one second.
        let (layer, _) = layer();
        assert_eq!(send(&layer, get(&[]), reply(200, first, "new")).line(LM), Some(&*date(10)));
        assert_eq!(
            send(&layer, get(&[(IMS, &date(10))]), reply(200, second, "old")).status(),
            200,
            "minted"
        );
    }
    for (first, second) in [(&[vary][..], &[][..]), (&[], &[vary])] {
        // A rollback.
        let (layer, _) = layer();
        send(&layer, get(&[]), reply(200, &[first, &[(LM, &*date(5))]].concat(), "new"));
        let old = reply(200, &[second, &[(LM, &*date(-900))]].concat(), "old");
        assert_eq!(send(&layer, get(&[(IMS, &date(5))]), old).status(), 200, "given");
    }
}

#[test]
fn content_without_a_date_is_other_content_too() {
    // 13.1.3: a client that was given no date may send the Date of the response.
    for (name, layer, other) in [
        ("own tag, no-store", layer().0, &[("etag", "\"b\""), (CC, "private, no-store")][..]),
        ("no minted dates", layer().0.last_modified(false), &[]),
        ("omitted", layer().0.freshness(FreshnessPolicy::OmitLastModified), &[]),
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
fn a_request_that_came_before_its_field_was_known_mints_no_date() {
    let (layer, _) = layer();
    let mut service = layer.layer(service_fn(|request: Request<Body>| {
        let response = reply(
            200,
            &[("vary", "x-tenant")],
            request.headers()["x-content"].to_str().unwrap().to_owned(),
        );
        async { Ok::<_, Infallible>(response) }
    }));
    let slow = service.call(get(&[("x-tenant", "2"), ("x-content", "old")]));
    run(service.call(get(&[("x-tenant", "1"), ("x-content", "any")]))).unwrap();
    let held = run(slow).unwrap();
    if let Some(date) = held.headers().get(LM) {
        let again = get(&[("x-tenant", "2"), ("x-content", "new"), (IMS, date.to_str().unwrap())]);
        assert_eq!(run(service.call(again)).unwrap().status(), 200);
    }
}

#[test]
fn a_head_that_takes_no_more_lines_goes_without_them() {
    let full = |own: Lines<'_>| {
        let mut response = reply(200, own, "content");
        let lines = response.headers_mut();
        for number in 0.. {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            if lines.try_insert(name, value("1")).is_err() {
                break;
            }
        }
        response
    };
    for layer in
        [layer().0, layer().0.ranges(true).trailer_tags(true), layer().0.behind_compression(true)]
    {
        for (lines, status) in [
            (&[][..], 200),
            (&[(INM, &*tag("content"))], 304),
            (&[(IM, "\"z\"")], 412),
            (&[("range", "bytes=1-2")], 200),
        ] {
            let seen = send(&layer, get(lines), full(&[]));
            assert_eq!((seen.status(), seen.line("etag")), (status, None), "{lines:?}");
            assert_eq!(
                seen.content,
                if status == 200 { &b"content"[..] } else { b"" },
                "{lines:?}"
            );
        }
        let head = send(&layer.head_as_get(true), request("HEAD", "/", &[]), full(&[]));
        assert_eq!((head.status(), head.line("content-length")), (200, None));
    }
    // What is there makes room for what is put in its place.
    let own = full(&[("etag", "\"own\"")]);
    assert_eq!(send(&layer().0.weak(true), get(&[]), own).line("etag"), Some("W/\"own\""));
}

// 9.3.2: HEAD.

#[test]
fn head_without_content_is_not_tagged() {
    let head = |lines: Lines<'_>, reply| send(&layer().0, request("HEAD", "/", lines), reply);
    for (body, own) in [
        (Body::empty(), &[][..]),
        (Body::empty(), &[("content-length", "7")]),
        (streamed(stream::empty()), &[("content-length", "7")]),
        (streamed(stream::empty()), &[]),
    ] {
        let seen = head(&[(IM, "\"x\"")], reply(200, own, body));
        assert_eq!(seen.gist(), (200, "", None, None), "{own:?}: what GET would send is not known");
        assert_eq!(seen.line("content-length"), own.first().map(|line| line.1));
    }
    let seen =
        head(&[(INM, "\"a\"")], reply(200, &[("etag", "\"a\""), ("content-length", "7")], ""));
    assert_eq!(seen.gist(), (304, "", Some("\"a\""), None));
}

#[test]
fn head_as_get_asks_for_the_content_and_drops_it() {
    let layer = layer().0.head_as_get(true);
    let seen = send(&layer, request("HEAD", "/", &[]), reply(200, &[], "content"));
    assert_eq!(seen.forwarded.method, "GET");
    assert_eq!(seen.gist(), (200, "", Some(&*tag("content")), Some(&*date(10))));
    assert_eq!((seen.line("content-length"), seen.outcome), (Some("7"), Outcome::Tagged));
    let again = request("HEAD", "/", &[(INM, &tag("content"))]);
    assert_eq!(send(&layer, again, reply(200, &[], "content")).status(), 304);
    assert_eq!(send(&layer, get(&[]), reply(200, &[], "content")).content, b"content");
}

#[test]
fn head_as_get_puts_no_length_beside_another_framing() {
    // RFC 9112, 6.2.
    let own = [("etag", "\"own\""), ("transfer-encoding", "chunked")];
    let seen =
        send(&layer().0.head_as_get(true), request("HEAD", "/", &[]), reply(200, &own, "content"));
    assert_eq!(
        (seen.line("transfer-encoding"), seen.line("content-length")),
        (Some("chunked"), None)
    );
}

#[test]
fn head_as_get_asks_for_no_part() {
    // 14.2: Range is for GET.
    let layer = layer().0.head_as_get(true);
    assert_eq!(
        ask(&layer, request("HEAD", "/", &[("range", "bytes=1-")]), ranges("one")).status(),
        200
    );
}

#[test]
fn head_as_get_says_nothing_of_a_length_that_is_not_known() {
    // 8.6: a Content-Length on a HEAD is that of the GET.
    let app = Router::new()
        .route("/", routing::get(|| async { streamed(stream::pending()) }))
        .layer(layer().0.head_as_get(true));
    let response = run(app.oneshot(request("HEAD", "/", &[]))).unwrap();
    assert_eq!(response.headers().get("content-length"), None);
}

// Settings.

#[test]
fn weak_weakens_every_tag_that_leaves() {
    let layer = layer().0.weak(true);
    for (own, strong) in
        [(None, &*tag("content")), (Some("\"a\""), "\"a\""), (Some("W/\"a\""), "\"a\"")]
    {
        let own: Vec<_> = own.iter().map(|own| ("etag", *own)).collect();
        let ask = |lines: Lines<'_>| send(&layer, get(lines), reply(200, &own, "content"));
        assert_eq!(ask(&[]).line("etag"), Some(&*format!("W/{strong}")));
        assert_eq!([INM, IM].map(|name| ask(&[(name, strong)]).status()), [304, 412], "{own:?}");
    }
    assert_eq!(send(&layer, get(&[]), reply(200, &[("etag", "a")], "")).line("etag"), Some("a"));
}

#[test]
fn compressed_outside_varies_by_encoding_once() {
    let layer = layer().0.behind_compression(true);
    for (code, own, expected) in [
        (200, &[][..], &["accept-encoding"][..]),
        (304, &[], &["accept-encoding"]),
        (200, &[("vary", "accept")], &["accept", "accept-encoding"]),
        (
            200,
            &[("vary", "accept"), ("vary", "origin, Accept-Encoding")],
            &["accept", "origin, Accept-Encoding"],
        ),
        (200, &[("vary", "*")], &["*"]),
        (404, &[], &[]),
    ] {
        assert_eq!(
            send(&layer, get(&[]), reply(code, own, "")).lines("vary"),
            expected,
            "{code} {own:?}"
        );
    }
}

#[test]
fn what_is_not_wanted_is_left_alone_and_the_outcome_reported_on_demand() {
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
    let seen = send(&layer().0.last_modified(false).report_outcome(true), get(&[]), plain(&[]));
    assert_eq!(seen.gist(), (200, "content", Some(&*tag("content")), None));
    assert_eq!(seen.head.extensions.get(), Some(&Outcome::Tagged));
}

#[test]
fn a_quoted_pair_does_not_hide_no_store() {
    // 5.6.4.
    let seen = fetch(&[], reply(200, &[(CC, r#"ext="\"", no-store"#)], "content"));
    assert_eq!(seen.outcome, Outcome::LeftAlone(Reason::NoStore));
}

#[test]
fn a_key_says_what_one_resource_is() {
    for (merged, expected) in [(false, Some(date(10))), (true, None)] {
        let (layer, clock) = layer();
        let layer =
            if merged { layer.key(|parts| parts.uri.host().map(str::to_owned)) } else { layer };
        let ask = |uri, content: &'static str| {
            send(&layer, request("GET", uri, &[]), reply(200, &[], content))
                .line(LM)
                .map(str::to_owned)
        };
        assert_eq!(ask("http://h/a", "a"), Some(date(10)));
        clock.set(20);
        assert_eq!(ask("http://h/b", "b"), Some(date(20)));
        assert_eq!(ask("http://h/a", "a"), expected, "merged: {merged}");
    }
}

#[derive(Default)]
struct Sum(u32);

impl Digest for Sum {
    type Output = [u8; 4];

    fn update(&mut self, content: &[u8]) {
        self.0 += content.iter().map(|&octet| u32::from(octet)).sum::<u32>();
    }

    fn finish(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

#[test]
fn another_digest_makes_other_tags() {
    let layer = layer().0.digest::<Sum>();
    assert_eq!(send(&layer, get(&[]), reply(200, &[], "a")).line("etag"), Some("\"00000061\""));
    let asked = get(&[("range", "bytes=0-0"), ("if-range", "\"00000061\"")]);
    assert!(!send(&layer, asked, reply(200, &[], "a")).forwarded.headers.contains_key("range"));
}
