//! The setting `inner_tags`: what is learned of content that is not read ahead, and
//! what it takes.

use std::task::{Context, Waker};

use http::Request;
use http_body::Body;
use tower_conditional::{InnerTags, Outcome, Reason};

use crate::support::{
    harness::{date, IM, IMS, INM, IUS, LM},
    origin::{one, ours, tag_of, two, Site, OWN},
    scripted_body::{content, data, frames, Step},
};

#[test]
fn learning_ends_when_all_of_the_content_was_sent() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()));
    let first = site.ask("GET", &[]);
    assert_eq!((first.status(), first.line("etag")), (200, Some(OWN)));
    assert_eq!(
        (first.outcome, first.frames),
        (Outcome::LeftAlone(Reason::OwnTag), vec![data(5), data(7)])
    );

    let second = site.ask("GET", &[]);
    assert_eq!((second.status(), second.line("etag")), (200, Some(&*ours())));
    assert_eq!((second.outcome, second.frames), (Outcome::Tagged, vec![data(5), data(7)]));

    for (lines, status, etag) in [
        (&[(INM, &*ours())][..], 304, &*ours()),
        (&[(INM, OWN)], 304, OWN),
        (&[(INM, "\"x\"")], 200, &ours()),
        (&[(IM, &ours())], 200, &ours()),
        (&[(IM, OWN)], 200, OWN),
        (&[(IM, "\"x\"")], 412, &ours()),
        (&[(INM, "\"x\""), (IMS, &date(0))], 200, &ours()),
    ] {
        let seen = site.ask("GET", lines);
        assert_eq!((seen.status(), seen.line("etag")), (status, Some(etag)), "{lines:?}");
        if status != 200 {
            assert_eq!(site.polls(), 0, "no byte was read");
        }
        for name in [IM, INM, IMS, IUS] {
            assert!(!site.shows(name), "the inner service knows one tag of two");
        }
    }
    let head = || site.ask("HEAD", &[(INM, &ours())]).status();
    assert_eq!(head(), 304, "as an Axum handler answers it, with the content");
    site.answers(&[("etag", OWN)], &[], Some(0));
    assert_eq!(head(), 200, "without content it does not say how long it is");
    site.answers(&[("etag", OWN), ("content-length", "12")], &[], None);
    assert_eq!(head(), 304);
}

#[test]
fn learning_is_for_responses_that_are_the_same_in_all_the_inner_service_says() {
    let plain = &[("etag", OWN), ("content-type", "a")][..];
    for (lines, size, known) in [
        (plain, 12, true),
        (&[("etag", "\"other\""), ("content-type", "a")], 12, false),
        (&[("etag", "W/\"own\""), ("content-type", "a")], 12, false),
        (&[("etag", OWN), ("content-type", "b")], 12, false),
        (&[("etag", OWN), ("content-type", "a"), ("content-encoding", "gzip")], 12, false),
        (&[("etag", OWN), ("content-type", "a"), ("content-language", "de")], 12, false),
        (&[("etag", OWN), ("content-type", "a"), ("vary", "accept")], 12, true),
        (plain, 13, false),
    ] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()));
        site.answers(plain, &[data(12)], Some(12));
        site.ask("GET", &[]);
        site.answers(lines, &[data(size)], Some(size as u64));
        let seen = site.ask("GET", &[]);
        assert_eq!(seen.line("etag") == Some(&*tag_of(&[data(12)])), known, "{lines:?}");
        assert_eq!(seen.content(), content(&[data(size)]));
    }
}

#[test]
fn learning_takes_content_that_does_not_break_off() {
    for (steps, size) in [
        (&[data(5), Step::Error(7)][..], Some(12)),
        (&[data(5), data(6)], Some(12)),
        (&[], Some(12)),
    ] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
        site.answers(&[("etag", OWN)], steps, size);
        let seen = site.ask("GET", &[]);
        assert_eq!(seen.frames, frames(steps.to_vec()));
        site.answers(&[("etag", OWN)], &[data(5), data(7)], size);
        assert_eq!(site.ask("GET", &[]).line("etag"), None, "{steps:?}");
    }

    // The client leaves after any number of frames.
    for taken in 0..=2 {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()));
        site.answers(&[("etag", OWN)], &[data(5), data(4), data(3)], Some(12));
        {
            let mut body = Box::pin(site.head(Request::new(())).into_body());
            for _ in 0..taken {
                assert!(body
                    .as_mut()
                    .poll_frame(&mut Context::from_waker(Waker::noop()))
                    .is_ready());
            }
        }
        assert_eq!(site.ask("GET", &[]).line("etag"), Some(OWN), "{taken}");
    }
}

#[test]
fn learning_takes_content_that_does_not_end_with_an_error() {
    // Such as a checksum that is wrong.
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
    site.answers(&[("etag", OWN)], &[data(12), Step::Error(7)], Some(12));
    assert_eq!(site.ask("GET", &[]).frames.last(), Some(&Step::Error(7)));
    site.answers(&[("etag", OWN)], &one(), Some(12));
    assert_eq!(site.ask("GET", &[]).line("etag"), None);
}

#[test]
fn learning_takes_content_that_is_not_longer_than_its_head_says() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
    site.answers(&[("etag", OWN), ("content-length", "12")], &[data(12), data(5)], None);
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[]).line("etag"), None);
}

/// If the connection to an upstream breaks, content of unknown length just ends. The
/// hash of such a part must not become the tag of the whole.
#[test]
fn learning_takes_content_whose_length_is_known() {
    let (part, whole) = (&[data(9)][..], &[data(9), data(7)][..]);
    for (inner_tags, own) in [(InnerTags::replace(), None), (InnerTags::learn(), Some(OWN))] {
        for least in [0, 9] {
            let site = Site::new(|layer| layer.inner_tags(inner_tags.clone()));
            site.origin.borrow_mut().least = least;
            let lines = &[("etag", OWN)];
            let whole_tag = tag_of(whole);
            for (steps, size, etag) in [
                (part, None, own),
                (whole, None, own),
                (whole, None, own),
                (whole, Some(16), own),
                (whole, Some(16), Some(&*whole_tag)),
                (whole, None, own),
            ] {
                site.answers(lines, steps, size);
                let seen = site.ask("GET", &[]);
                assert_eq!(seen.line("etag"), etag, "{inner_tags:?} {least} {steps:?} {size:?}");
                assert_eq!(seen.content(), content(steps));
            }
        }
    }
}

#[test]
fn learning_does_not_need_the_end_of_the_body_to_be_polled() {
    // Hyper lets go of content whose length is known when it has all of it.
    let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()));
    {
        let mut body = Box::pin(site.head(Request::new(())).into_body());
        for _ in 0..2 {
            assert!(body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())).is_ready());
        }
    }
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*ours()));
}

#[test]
fn learning_waits_for_content_that_changed_a_moment_ago() {
    for (age, learned) in [(0, false), (1, false), (2, true), (3600, true)] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()));
        site.answers(&[("etag", OWN), (LM, &date(10 - age))], &[data(12)], Some(12));
        site.ask("GET", &[]);
        assert_eq!(site.ask("GET", &[]).line("etag") != Some(OWN), learned, "{age} s");
    }
}

#[test]
fn learning_sees_a_rollback_to_an_older_file() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
    let (old, new) = ([data(12)], [data(5), data(7)]);
    let answer = |steps: &[Step], etag, age: i64| {
        site.answers(&[("etag", etag), (LM, &date(10 - age))], steps, Some(12));
    };
    answer(&new, "\"new\"", 60);
    site.ask("GET", &[]);
    let held = site.ask("GET", &[]);
    let (etag, modified) =
        (held.line("etag").unwrap().to_owned(), held.line(LM).unwrap().to_owned());
    assert_eq!(etag, tag_of(&new));
    answer(&old, "\"old\"", 3600);
    for lines in [&[(INM, &*etag)][..], &[(IMS, &modified)], &[(INM, &etag), (IMS, &modified)]] {
        assert_eq!(site.ask("GET", lines).status(), 200, "{lines:?}");
    }
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*tag_of(&old)));
}

#[test]
fn learning_sees_a_weak_tag_that_changed() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace().trust_dates(true)));
    let changed = date(0);
    site.answers(&[("etag", "W/\"1\""), (LM, &changed)], &one(), Some(12));
    site.ask("GET", &[]);
    let held = site.ask("GET", &[]).line("etag").unwrap().to_owned();
    site.answers(&[("etag", "W/\"2\""), (LM, &changed)], &two(), Some(12));
    assert_eq!(site.ask("GET", &[(INM, &held)]).status(), 200);
}

#[test]
fn learning_goes_by_dates_only_with_trust_dates() {
    for (trusts, lines, size, learned) in [
        (true, &[(LM, &*date(0))][..], Some(12), true),
        (true, &[(LM, &date(0)), ("etag", "W/\"weak\"")], Some(12), true),
        // Two users may have files of one date and one length.
        (true, &[(LM, &date(0)), ("cache-control", "private")], Some(12), false),
        (true, &[(LM, &date(0)), ("set-cookie", "a=b")], Some(12), false),
        (true, &[(LM, &date(0)), ("cache-control", "private"), ("etag", OWN)], Some(12), true),
        (false, &[(LM, &date(0))], Some(12), false),
        (true, &[(LM, &date(0))], None, false),
        (true, &[(LM, &date(9))], Some(12), false),
        (true, &[], Some(12), false),
    ] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::replace().trust_dates(trusts)));
        site.answers(lines, &[data(12)], size);
        assert_eq!(site.ask("GET", &[]).line("etag"), None);
        assert_eq!(
            site.ask("GET", &[]).line("etag").is_some(),
            learned,
            "{trusts} {lines:?} {size:?}"
        );
    }
}

/// Two tenants may have files of one date and one length.
#[test]
fn learning_goes_by_dates_only_if_all_that_tells_variants_apart_counts() {
    let trusting = |policy: InnerTags| policy.trust_dates(true);
    for (etag, vary, learned) in [
        (None, None, true),
        (None, Some("accept-encoding"), true),
        (None, Some("Accept-Encoding, accept-encoding"), true),
        (None, Some("x-tenant"), false),
        (None, Some("accept-encoding, x-tenant"), false),
        (None, Some("accept"), false),
        (None, Some("*"), false),
        (Some("W/\"weak\""), Some("x-tenant"), false),
        (Some(OWN), Some("x-tenant"), true),
        (Some(OWN), Some("accept"), true),
    ] {
        let site = Site::new(|layer| layer.inner_tags(trusting(InnerTags::replace())));
        let modified = date(0);
        let mut lines = vec![(LM, &*modified)];
        lines.extend(etag.map(|etag| ("etag", etag)));
        lines.extend(vary.map(|vary| ("vary", vary)));
        site.answers(&lines, &[data(12)], Some(12));
        // The layer keeps the value of a field only once it knows the field.
        let ask = || site.ask("GET", &[("x-tenant", "a")]).line("etag").is_some();
        assert_eq!([ask(), ask(), ask()], [false, learned && vary != Some("x-tenant"), learned]);
    }
}

#[test]
fn learning_takes_variants_one_by_one() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
    let ask = |accept: &str, steps: &[Step]| {
        let lines = [("etag", OWN), ("vary", "accept"), ("content-type", accept)];
        site.answers(&lines, steps, Some(12));
        site.ask("GET", &[("accept", accept)]).line("etag").map(str::to_owned)
    };
    let (csv, json) = ([data(12)], [data(5), data(7)]);
    assert_eq!([ask("text/csv", &csv), ask("application/json", &json)], [None, None]);
    let (one, two) = (ask("text/csv", &csv).unwrap(), ask("application/json", &json).unwrap());
    assert_ne!(one, two);
    assert!(one.starts_with(&tag_of(&csv)[..65]) && one.len() == 66 + 9, "{one}");
}

#[test]
fn learning_works_with_ranges() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()).ranges(true));
    site.answers(&[("etag", OWN)], &one(), Some(12));
    assert_eq!(site.ask("GET", &[]).content(), content(&one()));
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*tag_of(&one())), "all of it was sent");
}

#[test]
fn learning_gives_no_tag_to_what_must_not_be_tagged() {
    for (name, text) in [("cache-control", "no-store"), ("", "")] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()));
        site.ask("GET", &[]);
        assert_ne!(site.ask("GET", &[]).line("etag"), Some(OWN));
        if name.is_empty() {
            site.origin.borrow_mut().untagged = true;
        } else {
            site.answers(&[("etag", OWN), (name, text)], &[data(5), data(7)], Some(12));
        }
        assert_eq!(site.ask("GET", &[]).line("etag"), Some(OWN), "{name}");
    }
}

#[test]
fn learning_never_shows_an_inner_tag_that_is_replaced() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
    let small = &[data(5)][..];
    for (lines, steps, size, etag) in [
        (&[("etag", OWN)][..], small, Some(5), Some(tag_of(small))),
        (&[("etag", OWN)], small, Some(5), Some(tag_of(small))),
        (&[("etag", "W/\"weak\"")], small, Some(5), Some(tag_of(small))),
        (&[("etag", "unquoted")], small, Some(5), Some(tag_of(small))),
        (&[("etag", "\"large\"")], &[data(12)], Some(12), None),
        (&[("etag", "\"large\"")], &[data(12)], Some(12), Some(tag_of(&[data(12)]))),
        (&[("etag", "W/\"large\"")], &[data(13)], Some(13), None),
        (&[("etag", "W/\"large\"")], &[data(13)], Some(13), None),
        (&[("etag", "\"chunked\"")], &[data(14)], None, None),
        (&[("etag", "\"chunked\"")], &[data(14)], None, None),
        (&[("etag", "\"stream\""), ("content-type", "text/event-stream")], small, None, None),
        (&[("etag", "\"private\""), ("cache-control", "no-store")], small, Some(5), None),
    ] {
        site.answers(lines, steps, size);
        let seen = site.ask("GET", &[(INM, OWN), (IM, "*"), (IUS, &date(9))]);
        assert_eq!((seen.status(), seen.line("etag")), (200, etag.as_deref()), "{lines:?}");
        assert_eq!(seen.content(), content(steps), "{lines:?}");
        for name in [IM, INM, IMS, IUS] {
            assert!(!site.shows(name));
        }
    }
    // Once it is known, small content is not read either.
    site.answers(&[("etag", OWN)], small, Some(5));
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[(INM, &tag_of(small))]).status(), 304);
    assert_eq!(site.polls(), 0);
}

/// Clients can begin as many downloads as they like.
#[test]
fn learning_from_parts_takes_little_memory_and_not_for_many() {
    let large = "x".repeat(4096);
    for others in [&[][..], &[("vary", "accept-encoding"), ("x-large", &large)]] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
        site.origin.borrow_mut().status = 206;
        let begin = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                let tag = format!("\"{number}\"");
                let lines = [("etag", &*tag), ("content-range", "bytes 0-4/12")];
                site.answers(&[&lines, others].concat(), &[data(5)], Some(5));
                site.ask("GET", &[("range", "bytes=0-4")]);
            }
        };
        begin(0..1);
        let kept = |numbers| allocation_counter::measure(|| begin(numbers)).bytes_current;
        let (first, more) = (kept(1..1024), kept(1024..3000));
        assert!(first / 1023 < 450 && more < 1000, "{first} bytes, then {more}");
    }
}
