//! `PreconditionLayer` with a source of the state.

use std::{
    future::{ready, Ready},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        Arc,
    },
};

use axum::body::Body;
use http::{request::Parts, Request, Response, StatusCode};
use tower_conditional::{
    precondition::StateSource, EntityTag, Outcome, PreconditionLayer, Reason, Representation,
    Validators,
};

use crate::support::{
    handler::{self, day, exists},
    harness::{reply, request, run, Lines, IM, INM, IUS},
};

/// A closure says what it knows in the shortest form: a tag, validators, or a result.
#[test]
fn source_may_yield_a_tag() {
    let tag = || EntityTag::strong("v1").unwrap();
    let seen = [
        handler::send(&PreconditionLayer::new(|_| ready(tag())), "PUT", &[(IM, "\"v0\"")]),
        handler::send(
            &PreconditionLayer::new(|_| ready(Validators::from(tag()))),
            "PUT",
            &[(IM, "\"v0\"")],
        ),
        handler::send(
            &PreconditionLayer::new(|_| ready(Ok::<_, ()>(tag()))),
            "PUT",
            &[(IM, "\"v0\"")],
        ),
    ];
    assert!(seen.iter().all(|seen| !seen.ran()));
    let failing = PreconditionLayer::new(|_| ready(Err::<EntityTag, _>("no connection")));
    assert!(!handler::send(&failing, "PUT", &[(IM, "\"v1\"")]).ran());
    let same = PreconditionLayer::new(|_| ready(tag()));
    assert!(handler::send(&same, "PUT", &[(IM, "\"v1\"")]).ran());
}

#[test]
fn source_is_asked_only_if_its_answer_matters() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let layer = PreconditionLayer::new(move |_| {
        count.fetch_add(1, Relaxed);
        ready(exists("\"v1\""))
    });
    let (sparing, requiring) =
        (layer.clone().add_validators(false), layer.clone().require_preconditions(|_| true));
    let a = "\"v1\"";
    // A second time, where its tag is to be put on content: it must still be the same.
    for (method, lines, [plain, spared, required]) in [
        ("GET", &[][..], [2, 0, 2]),
        ("HEAD", &[], [2, 0, 2]),
        ("GET", &[(INM, a)], [1, 1, 1]),
        ("GET", &[("if-range", a)], [2, 1, 2]),
        ("GET", &[("range", "bytes=0-"), (IM, a)], [2, 1, 2]),
        ("QUERY", &[(INM, a)], [0, 0, 0]),
        ("PUT", &[], [0, 0, 0]),
        ("PUT", &[("if-range", a)], [0, 0, 0]),
        ("PUT", &[(IM, a)], [1, 1, 1]),
        ("POST", &[(INM, "*")], [1, 1, 1]),
        ("OPTIONS", &[(IM, a)], [0, 0, 0]),
    ] {
        for (layer, expected) in [(&layer, plain), (&sparing, spared), (&requiring, required)] {
            asked.store(0, Relaxed);
            handler::send(layer, method, lines);
            assert_eq!(asked.load(Relaxed), expected, "{method} {lines:?}");
        }
    }
}

#[test]
fn source_that_fails_lets_no_guarded_write_through() {
    let failing =
        PreconditionLayer::new(|_| async { Err::<Representation, _>("lost") }).report_outcome(true);
    let answering = failing.clone().on_error(|error| {
        let mut response = Response::new(format!("{error} it"));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    });
    let requiring = failing.clone().require_preconditions(|_| true);
    let left = Some(Outcome::LeftAlone(Reason::StateUnavailable));
    let (unavailable, proceeded) = (Some(Outcome::StateUnavailable), Some(Outcome::Proceeded));
    for (method, lines, status, outcome) in [
        ("GET", &[][..], 200, left),
        ("GET", &[(INM, "*")], 200, left),
        ("HEAD", &[(IM, "\"x\"")], 200, left),
        ("PUT", &[], 200, proceeded),
        ("PUT", &[(IM, "\"x\"")], 503, unavailable),
        ("PUT", &[(INM, "*")], 503, unavailable),
        ("DELETE", &[(IUS, "yesterday")], 503, unavailable),
    ] {
        let seen = handler::send(&failing, method, lines);
        assert_eq!((seen.status(), seen.outcome), (status, outcome), "{method} {lines:?}");
        assert_eq!(seen.ran(), status == 200, "{method} {lines:?}");

        let asked = outcome != proceeded;
        let seen = handler::send(&answering, method, lines);
        let expected = match (asked, method) {
            (true, "HEAD") => (418, ""),
            (true, _) => (418, "lost it"),
            (false, _) => (200, "content"),
        };
        assert_eq!((seen.status(), &**seen.response.body()), expected, "{method} {lines:?}");
    }
    assert_eq!(handler::send(&requiring, "PUT", &[]).status(), 428);
    assert_eq!(handler::send(&requiring, "PUT", &[(IM, "*")]).status(), 503);
    // It is not known of which version a part would be.
    for (name, keeps) in
        [("if-range", false), (IM, false), (IUS, false), (INM, true), ("accept", true)]
    {
        let seen = handler::send(&failing, "GET", &[("range", "bytes=0-1"), (name, "\"v1\"")]);
        assert_eq!((seen.forwards("range"), seen.ran()), (keeps, true), "{name}");
    }
}

#[test]
fn source_may_be_a_type_with_a_name() {
    struct Versions(u64);

    impl StateSource for Versions {
        type Error = &'static str;
        type Future = Ready<Result<Representation, &'static str>>;

        fn state(&self, parts: &Parts) -> Self::Future {
            ready(match parts.uri.path() {
                "/" => Ok(exists(&format!("\"v{}\"", self.0))),
                _ => Err("not one of mine"),
            })
        }
    }

    assert_eq!(
        handler::send(PreconditionLayer::from_source(Versions(1)), "GET", &[(INM, "\"v1\"")])
            .status(),
        304
    );
}

#[test]
fn source_that_changed_meanwhile_refuses_the_part() {
    let is_new = Arc::new(AtomicBool::new(false));
    let read = Arc::clone(&is_new);
    let layer = PreconditionLayer::new(move |_| {
        let tag: EntityTag = if read.load(Relaxed) { "\"v2\"" } else { "\"v1\"" }.parse().unwrap();
        ready(Validators::from(tag).last_modified(day(1)))
    });
    let date = day(1).to_string();
    let (range, if_range) = (("range", "bytes=1-"), ("if-range", "\"v1\""));
    let browser = ("sec-fetch-dest", "video");
    let bound: &[Lines<'_>] =
        &[&[range, if_range], &[range, (IM, "\"v1\"")], &[range, (IUS, &date)]];
    let refused = bound
        .iter()
        .flat_map(|lines| [(lines.to_vec(), 503), ([lines, &[browser][..]].concat(), 307)]);
    // These name no version, or ask for no part.
    let kept: &[Lines<'_>] = &[&[range], &[range, (IM, "*")], &[range, (INM, "\"v0\"")]];
    let kept = kept.iter().map(|lines| (lines.to_vec(), 206));
    let cases: Vec<_> = refused.chain(kept).collect();
    // Whether or not the layer adds what the source knows.
    for layer in [layer.clone(), layer.add_validators(false)] {
        for (lines, changed) in &cases {
            for (changes, sent, expected) in
                [(false, 206, 206), (true, 206, *changed), (false, 416, 416), (true, 200, 200)]
            {
                is_new.store(false, Relaxed);
                let is_new = Arc::clone(&is_new);
                let answer = move |_: &Request<Body>| {
                    is_new.store(changes, Relaxed);
                    reply(sent, &[], "ontent")
                };
                let seen = run(handler::ask(&layer, request("GET", "/", lines), Arc::new(answer)));
                assert_eq!(seen.status(), expected, "{lines:?} {changes} {sent}");
            }
        }
    }
}
