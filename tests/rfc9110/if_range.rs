//! `If-Range` (RFC 9110, 13.1.5): a part only of the version that the client holds.

use std::convert::Infallible;

use axum::body::Body;
use http::{HeaderMap, Request};
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{
    ConditionalLayer, EntityTag, ForwardedFields, InnerTags, Representation, Validators,
};

use crate::{
    range::ranges,
    support::{
        handler::{self, day, exists, known},
        harness::{ask, date, get, layer, reply, request, run, send, tag, LM},
        origin::{one, two, Site},
        scripted_body::{content, data, Step},
    },
};

#[test]
fn if_range_with_a_validator_of_the_layer_gets_the_whole() {
    // 13.1.5. The inner service does not know such a validator; one that ignores
    // If-Range would splice two versions.
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
    for foreign in ["\"6b0315fb.0d89f31a-c8\"", &made.to_uppercase(), "stale", ""] {
        assert!(!passes(&layer().0, "/", foreign), "{foreign}");
    }
    // The inner service can evaluate what it gave last, and nothing else.
    let (layer, clock) = layer();
    let own = [("etag", &*made), (LM, &*date(5)), ("accept-ranges", "bytes")];
    send(&layer, get(&[]), reply(200, &own, "whole"));
    assert!(passes(&layer, "/", &made) && passes(&layer, "/", &date(5)));
    assert!(!passes(&layer, "/", &format!("W/{made}")) && !passes(&layer, "/", &date(4)));
    assert!(!passes(&layer, "/elsewhere", &made));
    clock.set(20);
    let new = [("etag", "\"new\""), (LM, &*date(19)), ("accept-ranges", "bytes")];
    send(&layer, get(&[]), reply(200, &new, "other"));
    assert!(!passes(&layer, "/", &made) && !passes(&layer, "/", &date(5)));
    assert!(passes(&layer, "/", "\"new\"") && passes(&layer, "/", &date(19)));
}

#[test]
fn if_range_without_range_is_ignored() {
    // 13.1.5.
    let current = tag("whole");
    for layer in [layer().0, layer().0.ranges(true)] {
        let ask = |lines: &[(&'static str, &str)]| {
            let seen = send(&layer, get(lines), reply(200, &[], "whole"));
            (seen.status(), seen.content, seen.head.headers)
        };
        let plain = ask(&[]);
        for validator in [&*current, "\"stale\"", "W/\"x\"", &*date(5), "stale", ""] {
            assert_eq!(ask(&[("if-range", validator)]), plain, "{validator}");
        }
        let both = [("if-range", "\"stale\""), ("if-none-match", &*current)];
        assert_eq!(ask(&both).0, 304);
    }
}

#[test]
fn if_range_of_a_browser_is_refused_by_a_redirect_to_the_same_uri() {
    let part = |etag| {
        let fields = [
            ("etag", etag),
            ("content-range", "bytes 1-3/4"),
            ("cache-control", "max-age=9"),
            ("accept-ranges", "bytes"),
        ];
        reply(206, &fields, "art")
    };
    for (dest, status) in [(None, 503), (Some("audio"), 307), (Some("empty"), 307)] {
        let (layer, _) = layer();
        let old = [("etag", "\"old\""), ("accept-ranges", "bytes")];
        send(&layer, get(&[]), reply(200, &old, "part"));
        let mut lines = vec![("range", "bytes=1-"), ("if-range", "\"old\"")];
        lines.extend(dest.map(|dest| ("sec-fetch-dest", dest)));
        assert_eq!(send(&layer, get(&lines), part("\"old\"")).status(), 206);

        let seen = send(&layer, get(&lines), part("\"new\""));
        assert_eq!((seen.status(), &*seen.content), (status, &b""[..]));
        let (retry, location) = (seen.line("retry-after"), seen.line("location"));
        let stored = seen.line("cache-control");
        let expected = if dest.is_some() {
            (None, Some("#"), Some("no-store"))
        } else {
            (Some("1"), None, None)
        };
        assert_eq!((retry, location, stored), expected);
        for name in ["etag", "content-range", "accept-ranges", "content-length"] {
            assert_eq!(seen.line(name), None, "{dest:?}");
        }
        let next = send(&layer, get(&lines), reply(200, &[("etag", "\"new\"")], "part"));
        assert_eq!((next.status(), next.forwarded.headers.contains_key("range")), (200, false));
    }
}

#[test]
fn if_range_that_is_always_forwarded_is_refused_once() {
    let ours = tag("x");
    let learns = |layer: ConditionalLayer| layer.inner_tags(InnerTags::replace());
    for replaces in [false, true] {
        // A service that ignores If-Range, with parts that say their version or not.
        for own in [&[("etag", "\"new\"")][..], &[(LM, &date(-60))], &[]] {
            let layer = layer().0.forward(ForwardedFields::IfRange);
            let layer = if replaces { learns(layer) } else { layer };
            let passes = |value: &str| {
                let lines = [("range", "bytes=1-"), ("if-range", value)];
                let seen = ask(&layer, get(&lines), |headers| {
                    let range = [("content-range", "bytes 1-3/4")];
                    let fields = [own, &range].concat();
                    let is_part = headers.contains_key("range");
                    assert_eq!(is_part, headers.contains_key("if-range"), "{value}");
                    if is_part {
                        reply(206, &fields, "ew!")
                    } else {
                        reply(200, own, "new!")
                    }
                });
                (seen.status(), seen.forwarded.headers.contains_key("range"))
            };
            for matches_nothing in ["W/\"old\"", "garbage", "", &ours] {
                assert_eq!(passes(matches_nothing), (200, false), "{matches_nothing} {own:?}");
            }
            assert_eq!(passes("\"old\""), (503, true), "{own:?}");
            for value in ["\"old\"", &date(-90)] {
                assert_eq!(passes(value), (200, false), "{value} {own:?}");
            }
        }
    }
}

#[test]
fn if_range_with_the_tag_of_a_layer_inside_itself_gets_the_whole() {
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

/// Tools such as `cp -p` give a new file the date of the old one.
#[test]
fn if_range_with_a_date_is_refused_if_the_length_is_another() {
    let dated = date(-60);
    let whole = |length| {
        let fields = [(LM, &*dated), ("accept-ranges", "bytes"), ("content-length", length)];
        reply(200, &fields, "a".repeat(length.parse().unwrap()))
    };
    for (noted, range, seen) in [
        (&["8"][..], "bytes 6-7/8", [206, 206, 200]),
        (&["8"], "bytes 6-7/9", [503, 200, 200]),
        (&["8"], "bytes 6-7/*", [206, 206, 200]),
        (&["8", "9"], "bytes 6-7/9", [200, 200, 200]),
        (&[], "bytes 6-7/9", [206, 206, 206]),
    ] {
        let layer = layer().0.buffer_limit(1).forward(ForwardedFields::IfRange);
        noted.iter().for_each(|length| drop(send(&layer, get(&[]), whole(length))));
        let resume = || {
            let lines = [("range", "bytes=6-"), ("if-range", &*dated)];
            let answer = |headers: &HeaderMap| match headers.contains_key("range") {
                true => reply(206, &[(LM, &*dated), ("content-range", range)], "bb"),
                false => whole("9"),
            };
            ask(&layer, get(&lines), answer).status()
        };
        let (first, second) = (resume(), resume());
        // Another client comes later.
        send(&layer, get(&[]), whole("9"));
        assert_eq!([first, second, resume()], seen, "{noted:?} {range}");
    }
    // Another variant may have another length.
    let layer = layer().0.buffer_limit(1);
    for (accept, length) in [("text/csv", "8"), ("text/plain", "9")] {
        let fields = [
            (LM, &*dated),
            ("accept-ranges", "bytes"),
            ("content-length", length),
            ("vary", "accept"),
        ];
        let content = "a".repeat(length.parse().unwrap());
        send(&layer, get(&[("accept", accept)]), reply(200, &fields, content));
    }
    for (accept, length, status) in
        [("text/csv", "8", 206), ("text/plain", "9", 206), ("text/csv", "9", 503)]
    {
        let fields =
            [(LM, &*dated), ("content-range", &*format!("bytes 6-7/{length}")), ("vary", "accept")];
        let lines = [("accept", accept), ("range", "bytes=6-"), ("if-range", &*dated)];
        assert_eq!(send(&layer, get(&lines), reply(206, &fields, "aa")).status(), status);
    }
}

#[test]
fn if_range_is_evaluated_by_what_the_source_knows() {
    let (now, then) = (day(2).to_string(), day(1).to_string());
    let dated = Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(day(2));
    for (current, if_range, keeps) in [
        (Representation::from(dated.clone()), None, true),
        (dated.clone().into(), Some("\"v1\""), true),
        (dated.clone().into(), Some("\"v0\""), false),
        (dated.clone().into(), Some("W/\"v1\""), false),
        (dated.clone().into(), Some("v1"), false),
        (dated.clone().into(), Some(&*now), true),
        (dated.into(), Some(&*then), false),
        (exists("W/\"v1\""), Some("\"v1\""), false),
        (exists("\"v1\""), Some(&*now), false),
        (Representation::Missing, Some("\"v0\""), true),
        (Representation::Unknown, Some("\"v0\""), true),
    ] {
        let mut lines = vec![("range", "bytes=0-1")];
        lines.extend(if_range.map(|value| ("if-range", value)));
        let seen = handler::send(known(current.clone()), "GET", &lines);
        assert_eq!(seen.forwards("range"), keeps, "{current:?} {if_range:?}");
        assert_eq!(
            seen.forwards("if-range"),
            keeps && if_range.is_some(),
            "{current:?} {if_range:?}"
        );
    }
}

#[test]
fn if_range_resumes_on_another_server_and_never_with_another_version() {
    let server = |etag: &'static str, steps: &[Step]| {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()).ranges(true));
        site.answers(&[("etag", etag), ("accept-ranges", "bytes")], steps, Some(12));
        site.ask("GET", &[]);
        site
    };
    let (one, two) = (server("\"1\"", &[data(5), data(7)]), server("\"2\"", &[data(5), data(7)]));
    let first = one.ask("GET", &[("range", "bytes=0-6")]);
    let tag = first.line("etag").unwrap();
    let rest = two.ask("GET", &[("range", "bytes=7-"), ("if-range", tag)]);
    assert_eq!((first.status(), rest.status()), (206, 206));
    assert_eq!([first.content(), rest.content()].concat(), content(&[data(5), data(7)]));
    assert!(two.shows("range"), "it knows which inner tag this one stands for");

    // Swapped in between: not known yet, then known; never spliced.
    two.answers(&[("etag", "\"3\"")], &[data(12)], Some(12));
    for _ in 0..2 {
        let rest = two.ask("GET", &[("range", "bytes=7-"), ("if-range", tag)]);
        assert_eq!((rest.status(), rest.content()), (200, content(&[data(12)])));
    }
}

#[test]
fn if_range_with_a_date_does_not_resume_with_another_version() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()).ranges(true));
    let changed = date(5);
    // The client takes some bytes of the first version, and its date.
    site.answers(&[("etag", "\"a\""), (LM, &changed)], &one(), Some(12));
    site.break_off(&[]);
    site.answers(&[("etag", "\"b\""), (LM, &changed)], &two(), Some(12));
    site.ask("GET", &[]);
    let seen = site.ask("GET", &[("range", "bytes=7-"), ("if-range", &changed)]);
    assert_eq!((seen.status(), seen.content()), (200, content(&two())), "two versions in one file");
}
