//! Content that is not read ahead: learnt, replaced, trailed and cut.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    pin::pin,
    task::{Context, Waker},
};

use bytes::Bytes;
use http::{Request, Version};
use http_body::Body;
use proptest::prelude::*;
use tower_conditional::{EntityTag, InnerTags, Outcome, Reason};

use self::{
    ask::{date, Lines, IM, IMS, INM, IUS, LM},
    script::{content, data, frames, trailers, Step},
    site::{Site, OWN},
};

#[allow(dead_code)]
mod ask;
#[allow(dead_code)]
mod script;
#[allow(dead_code)]
mod site;

fn tag_of(steps: &[Step]) -> String {
    EntityTag::of(&content(steps)).to_string()
}

fn ours() -> String {
    tag_of(&[data(5), data(7)])
}

#[test]
fn content_is_known_again_once_all_of_it_was_sent() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn));
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
            assert_eq!(site.polls(), 0, "no octet was read");
        }
        for name in [IM, INM, IMS, IUS] {
            assert!(!site.shows(name), "the inner service knows one tag of two");
        }
    }
    assert_eq!(
        site.ask("HEAD", &[(INM, &ours())]).status(),
        200,
        "a HEAD does not say how long it is"
    );
    site.answers(&[("etag", OWN), ("content-length", "12")], &[], None);
    assert_eq!(site.ask("HEAD", &[(INM, &ours())]).status(), 304);
}

#[test]
fn what_the_inner_service_says_must_be_the_same_in_all() {
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
        let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn));
        site.answers(plain, &[data(12)], Some(12));
        site.ask("GET", &[]);
        site.answers(lines, &[data(size)], Some(size as u64));
        let seen = site.ask("GET", &[]);
        assert_eq!(seen.line("etag") == Some(&*tag_of(&[data(12)])), known, "{lines:?}");
        assert_eq!(seen.content(), content(&[data(size)]));
    }
}

#[test]
fn what_breaks_off_teaches_nothing() {
    for (steps, size) in [
        (&[data(5), Step::Error(7)][..], Some(12)),
        (&[data(5), data(6)], Some(12)),
        (&[], Some(12)),
        (&[data(9), Step::Error(7)], None),
    ] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
        site.answers(&[("etag", OWN)], steps, size);
        let seen = site.ask("GET", &[]);
        assert_eq!(seen.frames, frames(steps.to_vec()));
        site.answers(&[("etag", OWN)], &[data(5), data(7)], size);
        assert_eq!(site.ask("GET", &[]).line("etag"), None, "{steps:?}");
    }

    // The client leaves after any number of frames.
    for taken in 0..=2 {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn));
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
fn a_body_that_nobody_asks_for_its_end_teaches_all_the_same() {
    // Hyper lets go of content whose length is known when it has all of it.
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn));
    {
        let mut body = Box::pin(site.head(Request::new(())).into_body());
        for _ in 0..2 {
            assert!(body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())).is_ready());
        }
    }
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*ours()));
}

#[test]
fn content_that_changed_a_moment_ago_is_not_learnt() {
    for (age, learnt) in [(0, false), (1, false), (2, true), (3600, true)] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn));
        site.answers(&[("etag", OWN), (LM, &date(10 - age))], &[data(12)], Some(12));
        site.ask("GET", &[]);
        assert_eq!(site.ask("GET", &[]).line("etag") != Some(OWN), learnt, "{age} s");
    }
}

#[test]
fn a_rollback_to_an_older_file_is_seen() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
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
fn a_tag_of_the_inner_service_is_never_seen_where_it_is_replaced() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
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
        (&[("etag", "\"chunked\"")], &[data(14)], None, Some(tag_of(&[data(14)]))),
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

#[test]
fn a_part_has_the_tag_of_the_whole() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
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
        "the whole is asked for, to be judged"
    );
    // Whether the part is the right one is not for the inner service to say.
    for line in [("if-range", &*ours()), ("if-range", OWN), (IM, &ours())] {
        assert!(!part(&[line], OWN).2, "{line:?}");
    }
}

#[test]
fn dates_are_evidence_only_for_those_who_say_so() {
    for (trusts, lines, size, learnt) in [
        (true, &[(LM, &*date(0))][..], Some(12), true),
        (true, &[(LM, &date(0)), ("etag", "W/\"weak\"")], Some(12), true),
        (false, &[(LM, &date(0))], Some(12), false),
        (true, &[(LM, &date(0))], None, false),
        (true, &[(LM, &date(9))], Some(12), false),
        (true, &[], Some(12), false),
    ] {
        let site =
            Site::new(|layer| layer.inner_tags(InnerTags::Replace).trust_inner_dates(trusts));
        site.answers(lines, &[data(12)], size);
        assert_eq!(site.ask("GET", &[]).line("etag"), None);
        assert_eq!(
            site.ask("GET", &[]).line("etag").is_some(),
            learnt,
            "{trusts} {lines:?} {size:?}"
        );
    }
}

#[test]
fn variants_are_learnt_one_by_one() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
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
fn a_tag_that_comes_too_late_for_the_head_follows_the_content() {
    let te = &[("te", "trailers")][..];
    let steps = &[data(5), data(7)][..];
    let merged = |tag: &str| {
        Step::Trailers({
            let Step::Trailers(mut all) = trailers() else { unreachable!() };
            all.insert("etag", tag.parse().unwrap());
            all
        })
    };
    for (version, lines, own, steps, size, trailed) in [
        (Version::HTTP_2, &[][..], &[][..], steps, None, true),
        (Version::HTTP_2, &[], &[], steps, Some(12), true),
        (Version::HTTP_11, te, &[], steps, None, true),
        (Version::HTTP_11, &[("te", "gzip;q=0.5, Trailers")], &[], steps, None, true),
        (Version::HTTP_11, te, &[], steps, Some(12), false),
        (Version::HTTP_11, &[], &[], steps, None, false),
        (Version::HTTP_11, &[("te", "gzip")], &[], steps, None, false),
        (Version::HTTP_10, te, &[], steps, None, false),
        (Version::HTTP_2, &[], &[("etag", OWN)], steps, None, false),
        (Version::HTTP_2, &[], &[("cache-control", "no-store")], steps, None, false),
        (Version::HTTP_2, &[], &[("content-type", "text/event-stream")], steps, None, false),
        (Version::HTTP_2, &[], &[], &[data(5), data(7), Step::Error(3)], None, false),
    ] {
        let site = Site::new(|layer| layer.trailer_tags(true));
        site.answers(own, steps, size);
        let seen = site.ask_over(version, "GET", lines);
        let tag = tag_of(steps);
        assert_eq!(
            seen.trailer(),
            trailed.then_some(&*tag),
            "{version:?} {lines:?} {own:?} {size:?}"
        );
        assert_eq!(seen.content(), content(steps));
        assert_eq!(
            seen.line("etag"),
            own.iter().find(|(name, _)| *name == "etag").map(|(_, text)| *text)
        );
        let announced = trailed || steps.contains(&Step::Error(3));
        assert_eq!(
            seen.line("trailer"),
            announced.then_some("etag"),
            "{version:?} {lines:?} {own:?} {size:?}"
        );
    }

    let site = Site::new(|layer| layer.trailer_tags(true));
    site.answers(&[("trailer", "x-sum")], &[data(12), trailers()], None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!(seen.frames, [data(12), merged(&tag_of(&[data(12)]))]);
    assert_eq!(seen.head.headers.get_all("trailer").iter().collect::<Vec<_>>(), ["x-sum", "etag"]);
    // Small content that is ready has its tag where it belongs.
    site.answers(&[], &[data(5)], None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!((seen.line("etag"), seen.trailer()), (Some(&*tag_of(&[data(5)])), None));
    // What it was told behind the content, a client can send when the content is ready in time.
    site.answers(&[], &[Step::Yield, data(2), Step::Yield, Step::Yield, data(3)], None);
    let late = site.ask_over(Version::HTTP_2, "GET", &[]);
    let trailer = late.trailer().unwrap();
    site.answers(&[], &[data(2), data(3)], None);
    assert_eq!(site.ask("GET", &[(INM, trailer)]).status(), 304);
}

#[test]
fn one_range_is_served_of_content_with_a_tag() {
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
        "a weak tag does not name octets"
    );
    site.answers(&[], &steps, None);
    assert_eq!(
        site.ask("GET", &[("range", "bytes=0-1")]).status(),
        206,
        "it was read, so that its length is known"
    );
}

#[test]
fn a_download_resumes_on_another_server_and_never_with_another_version() {
    let server = |etag: &'static str, steps: &[Step]| {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace).ranges(true));
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
    assert!(!two.shows("range"), "the other server's tag means nothing to it");

    // Swapped in between: not known yet, then known; never spliced.
    two.answers(&[("etag", "\"3\"")], &[data(12)], Some(12));
    for _ in 0..2 {
        let rest = two.ask("GET", &[("range", "bytes=7-"), ("if-range", tag)]);
        assert_eq!((rest.status(), rest.content()), (200, content(&[data(12)])));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_passes_is_the_same_octet_by_octet(
        lens in prop::collection::vec(0..100_000_usize, 0..5),
        end in 0..4,
        tells_size in any::<bool>(),
        tagged in any::<bool>(),
        limit in 0..200_000_usize,
        learns in any::<bool>(),
    ) {
        let mut steps: Vec<_> = lens.iter().flat_map(|&len| [data(len), Step::Yield]).collect();
        match end {
            1 => steps.push(trailers()),
            2 => steps.push(Step::Error(7)),
            3 => drop(steps.pop()),
            _ => {}
        }
        let size = tells_size.then(|| lens.iter().sum::<usize>() as u64);
        let own = if tagged { &[("etag", OWN)][..] } else { &[] };
        let site = Site::new(|layer| layer.inner_tags(if learns { InnerTags::Replace } else { InnerTags::Keep }).trailer_tags(true).buffer_limit(limit));
        for _ in 0..2 {
            site.answers(own, &steps, size);
            let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
            let octets = |frames: &[Step]| content(frames);
            prop_assert_eq!(octets(&seen.frames), octets(&steps));
            let ends = |frames: &[Step]| frames.iter().filter(|step| matches!(step, Step::Error(_))).count();
            prop_assert_eq!(ends(&seen.frames), ends(&steps));
            let sums = seen.frames.iter().filter(|step| matches!(step, Step::Trailers(all) if all.contains_key("x-sum")));
            prop_assert_eq!(sums.count(), usize::from(end == 1));
            if let Some(tag) = seen.trailer().or(seen.line("etag")).filter(|tag| *tag != OWN) {
                prop_assert_eq!(tag, tag_of(&steps));
            }
        }
    }
}

#[test]
fn one_poll_hashes_no_more_than_a_slice() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn));
    let large = Bytes::from(vec![7; 1 << 20]);
    site.answers(&[("etag", OWN)], &[Step::Data(large)], Some(1 << 20));
    let mut body = pin!(site.head(Request::new(())).into_body());
    let mut pending = 0;
    let mut cx = Context::from_waker(Waker::noop());
    while body.as_mut().poll_frame(&mut cx).is_pending() {
        assert_eq!(body.size_hint().exact(), Some(1 << 20), "what is held is still to come");
        assert!(!body.is_end_stream());
        pending += 1;
    }
    assert_eq!(pending, 15, "1 MiB is 16 slices");
}

#[test]
fn a_post_and_a_streamed_error_are_none_of_its_business() {
    let site =
        Site::new(|layer| layer.inner_tags(InnerTags::Replace).trailer_tags(true).ranges(true));
    let seen = site.ask_over(Version::HTTP_2, "POST", &[(IM, "\"x\""), ("range", "bytes=0-1")]);
    assert_eq!((seen.status(), seen.line("etag"), seen.trailer()), (200, Some(OWN), None));
    assert!(site.shows(IM) && site.shows("range"));
    site.origin.borrow_mut().status = 404;
    let seen = site.ask_over(Version::HTTP_2, "GET", &[("range", "bytes=0-1")]);
    assert_eq!((seen.status(), seen.trailer(), seen.content().len()), (404, None, 12));
}
