//! `Last-Modified` (RFC 9110, 8.8.2): when a date is generated, and when none is.

use std::{
    future::ready,
    sync::{Arc, Mutex},
};

use tower::{Layer, ServiceExt};
use tower_conditional::{InnerTags, Outcome, PreconditionLayer, Representation, Validators};

use crate::support::{
    guarded::guarded,
    handler::exists,
    harness::{
        date, get, layer, reply, request, rows, run, send, status, tag, Lines, CC, IMS, INM, IUS,
        LM,
    },
    note::{lose, note, plain, put, service, status_of, text},
    origin::{Site, OWN},
};

#[test]
fn last_modified_is_the_second_in_which_content_was_first_seen() {
    let (layer, clock) = layer();
    let at = |second, content: &'static str| {
        clock.set(second);
        send(&layer, get(&[]), reply(200, &[], content))
    };
    let first = at(10, "one");
    assert_eq!(first.gist(), (200, "one", Some(&*tag("one")), Some(&*date(10))));
    assert_eq!(first.outcome, Outcome::Tagged);
    assert_eq!(at(60, "one").gist(), first.gist(), "unchanged");
    // 8.8.2.2: in a second that saw two contents a date would be weak, and none is
    // sent.
    assert_eq!(at(60, "two").gist(), (200, "two", Some(&*tag("two")), None));
    // The one second more is that between the evaluation and the client's clock.
    assert_eq!([at(61, "two").line(LM), at(62, "two").line(LM)], [None, Some(&*date(62))]);
    assert_eq!(at(70, "three").line(LM), Some(&*date(70)), "nothing else was seen in this second");
    assert_eq!(at(70, "two").line(LM), None);
    // 8.8.2.1: never later than now, though the clock was set back.
    assert_eq!(at(5, "four").line(LM), None);
    // The first second of a layer may have been the last of another.
    let (layer, clock) = self::layer();
    clock.set(0);
    assert_eq!(send(&layer, get(&[]), reply(200, &[], "one")).line(LM), None);
}

/// The inner service made it for what it compared, which may be another state.
#[test]
fn last_modified_of_a_304_is_not_sent_unless_a_tag_says_of_what_it_is() {
    let own = date(-60);
    for (lines, expected) in
        [(&[(LM, &*own)][..], None), (&[(LM, &*own), ("etag", "\"a\"")], Some(&*own))]
    {
        assert_eq!(send(&layer().0, get(&[]), reply(304, lines, "")).line(LM), expected);
    }
}

#[test]
fn last_modified_of_the_future_is_not_sent() {
    // 8.8.2.1. The date of the message would be of a second in which content may still
    // change.
    let (layer, clock) = layer();
    let ask = |given: i64, content: &'static str| {
        send(&layer, get(&[]), reply(200, &[(LM, &*date(given))], content))
    };
    for ahead in [1, 60, 31_536_000] {
        let seen = ask(10 + ahead, "one");
        assert!(seen.line(LM).is_none_or(|sent| *sent == *date(10)), "{ahead}");
    }
    clock.set(30);
    assert_eq!(ask(25, "two").line(LM), Some(&*date(25)), "it is over");
}

#[test]
fn last_modified_stays_when_the_tag_is_learned() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()));
    site.ask("GET", &[]);
    site.ask("GET", &[]);
    site.at(20);
    let generated = site.ask("GET", &[]).line(LM).unwrap().to_owned();
    for second in 20..30 {
        site.at(second);
        // One client still holds the inner tag.
        site.ask("GET", &[(INM, OWN)]);
        assert_eq!(
            site.ask("GET", &[]).line(LM),
            Some(&*generated),
            "the content never changed ({second})"
        );
    }
}

/// Where a `PreconditionLayer` asks the service, a `ConditionalLayer` outside must not
/// give dates that it ignores.
#[test]
fn last_modified_outside_of_a_guard_is_not_generated_where_it_would_be_ignored() {
    let (conditional, clock) = layer();
    let note = note("old");
    let service = conditional.layer(guarded(service(&note, plain)));
    let seen = run(lose(service, &clock, || *note.lock().unwrap() = "theirs".to_owned()));
    assert_ne!(seen.1, 204, "{seen:?}");
}

/// The same for a source that was not asked, or knew nothing, when the client read.
#[test]
fn last_modified_is_not_generated_where_the_source_does_not_know_it() {
    let mut lost = Vec::new();
    for (case, first, add) in [
        ("add_validators(false)", None, false),
        ("unknown", Some(Ok(Representation::Unknown)), true),
        ("missing", Some(Ok(Representation::Missing)), true),
        ("failed", Some(Err("failed")), true),
    ] {
        for outside in [false, true] {
            let (conditional, clock) = layer();
            let (note, first) = (note("old"), Arc::new(Mutex::new(first.clone())));
            let (current, early) = (Arc::clone(&note), Arc::clone(&first));
            let known = PreconditionLayer::new(move |_| {
                let now = exists(&tag(&text(&current)));
                ready(early.lock().unwrap().clone().unwrap_or(Ok(now)))
            });
            let known = known.add_validators(add);
            let service =
                service(&note, |content| reply(200, &[("etag", &*tag(&content))], content));
            let change = || {
                *note.lock().unwrap() = "theirs".to_owned();
                *first.lock().unwrap() = None;
            };
            let seen = if outside {
                run(lose(conditional.layer(known.layer(service)), &clock, change))
            } else {
                run(lose(known.layer(conditional.layer(service)), &clock, change))
            };
            if seen.1 == 204 {
                lost.push((
                    case,
                    if outside { "ConditionalLayer outside" } else { "inside" },
                    seen,
                ));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// A date within its own second does not tell two contents apart, so it is not sent:
/// what a source gives is no exception.
#[test]
fn last_modified_of_a_source_is_sent_only_when_its_second_is_over() {
    let now = || tower_conditional::HttpDate::try_from(std::time::SystemTime::now()).unwrap();
    for ahead in [0, 3600] {
        let note = note("first");
        let layer = PreconditionLayer::new(move |_| {
            let date = tower_conditional::HttpDate::from_unix_seconds(now().unix_seconds() + ahead)
                .unwrap();
            ready(Representation::from(Validators::new().last_modified(date)))
        });
        let service = layer.layer(service(&note, plain));
        let read = run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
        let Some(date) = read.headers().get(LM) else { continue };
        let date = date.to_str().unwrap();
        *note.lock().unwrap() = "second".to_owned();
        let seen = [
            run(status_of(service.clone(), request("GET", "/note", &[(IMS, date)]))),
            run(status_of(service, put(&[(IUS, date)], "mine"))),
        ];
        assert_eq!(seen, [200, 412], "{date}, {ahead} seconds ahead");
    }
}

/// How a field compares the date that is sent in it with the current one.
///
/// The inner date, that of the client, and the status for If-Modified-Since and
/// If-Unmodified-Since. A date proves "unchanged" by equality, and "changed" if it is
/// earlier than one that the handler gave. In doubt a read gets the whole.
const COMPARISONS: &str = "
    -3600 -3601 200 412 | -3600 -3600 304 200 | -3600 -10 200 200 | -3600 5 200 200 | -3600 999999 200 200
    generated 9 200 200 | generated 10 304 200 | generated 11 200 200 | generated 999999 200 200
";

/// Sends every row of the table in a field; `column` is where its status stands.
pub(crate) fn compare(name: &str, column: usize) {
    for cell in rows(COMPARISONS).flatten() {
        let words: Vec<_> = cell.split(' ').collect();
        let given = words[0].parse().map(date).ok();
        let own: Vec<_> = given.iter().map(|given| (LM, &**given)).collect();
        let seen = status(&[(name, &date(words[1].parse().unwrap()))], &own);
        assert_eq!(seen.to_string(), words[2 + column], "{name} {cell}");
    }
    // Without a modification date there is no condition.
    for own in [[(CC, "no-store")], [(LM, "Sun, 22 Nov 2026 11:00:00 +0000")]] {
        assert_eq!(status(&[(name, &date(-3600))], &own), 200, "{name} {own:?}");
    }
}

/// Returns the status of a request with the date of the content before, where the
/// present one has no date yet.
pub(crate) fn while_pending(name: &str) -> u16 {
    let (layer, _) = layer();
    let ask = |lines: Lines<'_>, content: &'static str| {
        send(&layer, get(lines), reply(200, &[], content)).status()
    };
    assert_eq!(ask(&[], "one"), 200);
    ask(&[(name, &date(10))], "two")
}
