//! The GET by which a guard finds out the state that a write would change.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Arc, Mutex,
    },
    time::{Duration, SystemTime},
};

use axum::body::Body;
use futures_util::stream;
use http::{request::Parts, Method, Request};
use http_body::Frame;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{
    ConditionalLayer, EntityTag, HttpDate, InnerTags, PreconditionLayer, Representation, Validators,
};

use crate::support::{
    guarded::{boxed, guarded, guarding},
    handler,
    harness::{date, layer, reply, request, run, streamed, tag, Lines, IM, INM, IUS, LM},
    note::{lose, note, put, service, status_of, text, write, Note},
};

#[test]
fn probe_has_the_fields_of_the_write_that_select_the_representation() {
    let note = Note::of("old");
    let service = guarded(ConditionalLayer::new().layer(note.service()));
    let lines = [
        (IM, "*"),
        ("accept", "text/html"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("content-type", "text/plain"),
        ("content-length", "3"),
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("range", "bytes=0-1"),
        ("if-range", "\"x\""),
        (IUS, "x"),
    ];
    run(service.oneshot(write("PUT", &lines, "new"))).unwrap();
    let log = note.log.lock().unwrap();
    // What waits for a 100 is not looked at before the first question.
    let [(_, early), (get, asked), (put, got)] = &log[..] else { panic!("{log:?}") };
    assert_eq!(early, asked);
    assert_eq!((get, put), (&Method::GET, &Method::PUT));
    let names: Vec<_> =
        asked.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(
        names,
        ["accept: text/html", "cookie: a=b", "cookie: c=d", "cache-control: no-cache"]
    );
    assert_eq!(got.len(), lines.len(), "the write has all of its own fields");
}

/// An inner cache must not answer the GET with an old response, and a hop-by-hop field
/// of the write must not be in the GET.
#[test]
fn probe_asks_no_cache_and_for_no_upgrade() {
    let asked = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&asked);
    let inner = service_fn(move |request: Request<Body>| {
        if request.method() == Method::GET {
            *seen.lock().unwrap() = Some(request.headers().clone());
        }
        ready(Ok::<_, Infallible>(reply(200, &[], "x")))
    });
    let lines = [
        (IM, "*"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("cache-control", "max-stale"),
        ("idempotency-key", "1"),
        ("x-http-method", "PUT"),
        ("x-http-method-override", "PUT"),
        ("x-method-override", "PUT"),
    ];
    run(guarded(inner).oneshot(put(&lines, "new"))).unwrap();
    let asked = asked.lock().unwrap().take().unwrap();
    let names: Vec<_> =
        asked.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(names, ["cache-control: no-cache"]);
}

/// In its own second, a date of the service proves nothing: two writes in one second
/// would have the same date.
#[test]
fn probe_takes_no_date_in_its_own_second() {
    let now = || HttpDate::try_from(SystemTime::now()).unwrap().unix_seconds();
    let source = |date| Representation::from(Validators::new().last_modified(date));
    let status_at = |date: i64| {
        let date = HttpDate::from_unix_seconds(date).unwrap();
        let text = date.to_string();
        let lines = [(IUS, &*text)];
        let service = service(&note("old"), move |old| reply(200, &[(LM, &date.to_string())], old));
        let stating = PreconditionLayer::new(move |_: &Parts| ready(source(date)));
        let own = run(status_of(guarded(service.clone()), put(&lines, "new")));
        let stated = run(status_of(guarded(stating.layer(service)), put(&lines, "new")));
        assert_eq!(own, stated);
        own
    };
    let (before, own, after) = loop {
        let start = now();
        let statuses = (status_at(start - 1), status_at(start), status_at(start + 60));
        if now() == start {
            break statuses;
        }
    };
    assert_eq!((before, own, after), (204, 412, 412));
}

#[test]
fn probe_decides() {
    let v1 = &[("etag", "\"v1\"")][..];
    let dated = &[(LM, "Sun, 06 Nov 1994 08:49:37 GMT")][..];
    let (if_v1, if_any, if_none) = ((IM, "\"v1\""), (IM, "*"), (INM, "*"));
    for (status, own, line, expected) in [
        (200, v1, if_v1, 204),
        (200, v1, (IM, "\"v2\""), 412),
        (200, &[("etag", "W/\"v1\"")], if_v1, 412),
        (200, &[("etag", "v1")], if_v1, 412),
        (200, &[("etag", "\"v1\""), ("etag", "\"v1\"")], if_v1, 412),
        (200, &[], if_v1, 412),
        // Nothing is known of it, so the write may be one that must not be done.
        (200, &[], (INM, "\"v1\""), 412),
        (200, &[("etag", "v1")], (INM, "\"v1\""), 412),
        (302, v1, (INM, "\"v1\""), 412),
        (200, v1, (INM, "\"v1\""), 412),
        (200, v1, (INM, "\"v2\""), 204),
        (404, &[], (INM, "\"v1\""), 204),
        (200, &[], if_any, 204),
        (200, dated, (IUS, "Sun, 06 Nov 1994 08:49:37 GMT"), 204),
        (200, dated, (IUS, "Sun, 06 Nov 1994 08:49:36 GMT"), 412),
        (204, v1, if_v1, 204),
        (404, v1, if_v1, 412),
        (404, &[], if_none, 204),
        (410, &[], if_none, 204),
        (405, &[], if_none, 204),
        (501, &[], if_none, 204),
        (405, &[], if_any, 412),
        (405, &[], if_v1, 412),
        (501, &[], if_v1, 412),
        (302, v1, if_v1, 412),
        (302, v1, if_none, 412),
        (401, v1, if_v1, 401),
        (403, &[], if_none, 403),
        (429, &[], if_any, 429),
        (500, v1, if_v1, 500),
        (503, &[], if_none, 503),
    ] {
        let own: Vec<_> =
            own.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        let answer = move |request: &Request<Body>| {
            let lines: Vec<_> = own.iter().map(|(name, text)| (&**name, &**text)).collect();
            if request.method() == Method::GET {
                reply(status, &lines, "the answer to the GET")
            } else {
                reply(204, &[], "")
            }
        };
        let layer = guarding();
        let seen = run(handler::ask(layer, write("PUT", &[line], "new"), Arc::new(answer)));
        assert_eq!(seen.status(), expected, "{status} {line:?}");
        let content =
            if status == expected && status != 204 { "the answer to the GET" } else { "" };
        assert_eq!(seen.response.body(), content, "{status} {line:?}");
    }
}

/// The question is put as reads are: where a source keeps what it knows to itself, tags
/// are left as they are.
#[test]
fn probe_is_answered_as_reads_are() {
    let note = note("old");
    let inner = service(&note, |content| reply(200, &[("etag", "\"own\"")], content));
    let inner = guarded(ConditionalLayer::new().inner_tags(InnerTags::replace()).layer(inner));
    let date = HttpDate::from_unix_seconds(784_111_777).unwrap();
    let current = Validators::new().etag(EntityTag::strong("own").unwrap()).last_modified(date);
    let known = PreconditionLayer::new(move |_| ready(Representation::from(current.clone())))
        .add_validators(false);
    let service = known.layer(inner);
    let read = run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
    assert_eq!(read.headers()["etag"], "\"own\"");
    assert_eq!(run(status_of(service, put(&[(IM, "\"own\"")], "new"))), 204);
}

/// Whether a write is allowed must not depend on how long the service takes. Only
/// content of unknown size may be a stream that never ends.
#[tokio::test(start_paused = true)]
async fn probe_waits_for_content_of_known_size() {
    const SIZED: Lines<'_> = &[("content-length", "4")];
    for (seconds, length, expected) in [(4, SIZED, 204), (4, &[], 412), (6, SIZED, 412)] {
        let is_slow = Arc::new(AtomicBool::new(false));
        let slow = Arc::clone(&is_slow);
        let inner = service_fn(move |request: Request<Body>| {
            let wait = Duration::from_secs(if slow.load(SeqCst) { seconds } else { 0 });
            ready(Ok::<_, Infallible>(if request.method() == Method::GET {
                let content = async move {
                    tokio::time::sleep(wait).await;
                    Ok(Frame::data("text".into()))
                };
                reply(200, length, streamed(stream::once(content)))
            } else {
                reply(204, &[], "")
            }))
        });
        let app = boxed(guarded(ConditionalLayer::new().layer(inner)));
        let write = || put(&[(IM, &tag("text"))], "new");
        assert_eq!(status_of(app.clone(), write()).await, 204);
        is_slow.store(true, SeqCst);
        assert_eq!(status_of(app.clone(), write()).await, expected, "{length:?}");
        // A read waits no longer than it did.
        let read = app.oneshot(request("GET", "/note", &[])).await.unwrap();
        assert_eq!(read.headers().get("etag"), None, "{length:?}");
    }
}

/// What an outer source knows is no answer to the question: the layer inside generates
/// its tag, and the date of the handler counts.
#[test]
fn probe_is_not_answered_by_what_the_outer_source_knows() {
    let known_date = HttpDate::from_unix_seconds(784_111_777).unwrap();
    let date = known_date.to_string();
    for (line, handler_date, expected) in [
        ((IM, tag("old")), None, 204),
        ((IM, tag("older")), None, 412),
        ((INM, tag("older")), None, 204),
        ((IUS, date.clone()), Some(date.clone()), 204),
        // Whether the date of the source still holds is not known here.
        ((IUS, date), None, 412),
    ] {
        let note = note("old");
        let given = handler_date.clone();
        let inner = service(&note, move |content| {
            let lines: Vec<_> = given.iter().map(|date| (LM, &**date)).collect();
            reply(200, &lines, content)
        });
        let inner = guarded(ConditionalLayer::new().layer(inner));
        let seen = Arc::clone(&note);
        let source = move |_: &Parts| {
            let tag = EntityTag::of(text(&seen).as_bytes());
            ready(Validators::new().etag(tag).last_modified(known_date))
        };
        let service = PreconditionLayer::new(source).layer(inner);
        let read = run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
        assert_eq!(read.headers()["etag"], tag("old"));
        let (name, value) = &line;
        let status = run(status_of(service, put(&[(name, value)], "new")));
        assert_eq!(status, expected, "{line:?} {handler_date:?}");
    }
}

/// A source in between that knows less must not hide what an inner layer knows: that
/// the date of the client is another one, in a second in which the date is not sent.
#[test]
fn probe_learns_what_is_known_behind_a_source() {
    for (name, state) in [
        ("unknown", Ok(Representation::Unknown)),
        ("no validators", Ok(Validators::new().into())),
        ("only a tag", Ok(EntityTag::strong("own").unwrap().into())),
        ("fails", Err(())),
    ] {
        for adds in [true, false] {
            let note = note("old");
            let (layer, clock) = layer();
            let state = state.clone();
            let source = move |_: &Parts| ready(state.clone());
            let known = PreconditionLayer::new(source).add_validators(adds);
            let dated = |content: String| {
                let changed = date(if content == "old" { -100 } else { 60 });
                reply(200, &[(LM, &changed)], content)
            };
            let service = guarded(known.layer(layer.layer(service(&note, dated))));
            let between = || *note.lock().unwrap() = "theirs".to_owned();
            let (seen, status) = run(lose(service, &clock, between));
            assert_eq!((seen, status), (Some(date(-100)), 412), "{name}, {adds}");
            assert_eq!(text(&note), "theirs", "{name}, {adds}");
        }
    }
}
