//! `If-Unmodified-Since` (RFC 9110, 13.1.4): above all with dates that a layer
//! generated, which nothing else can evaluate.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use axum::body::{Body, Bytes};
use http::{Method, Request, Response};
use tower::{service_fn, Layer, ServiceBuilder, ServiceExt};
use tower_conditional::{
    AddLastModified, ConditionalLayer, HttpDate, PreconditionLayer, Representation, Validators,
};

use crate::{
    last_modified::{compare, while_pending},
    support::{
        guarded::guarded,
        handler::exists,
        harness::{
            self, date, get, layer, reply, request, run, send, status, tag, Lines, CC, IM, IMS,
            INM, IUS, LM,
        },
        note::{lose, moody, note, plain, put, service, status_of, write, Note},
    },
};

#[test]
fn if_unmodified_since_fails_only_before_a_date_that_the_handler_gave() {
    compare(IUS, 1);
}

#[test]
fn if_unmodified_since_of_a_read_gets_the_whole_while_a_date_is_pending() {
    assert_eq!(while_pending(IUS), 200);
}

#[test]
fn if_unmodified_since_does_not_depend_on_if_modified_since() {
    let own = [(LM, &*date(-60))];
    for other in [&[][..], &[(IMS, &*date(-90))], &[(INM, "\"x\""), (IMS, &*date(-90))]] {
        assert_eq!(status(&[other, &[(IUS, &*date(5))]].concat(), &own), 200, "{other:?}");
    }
}

#[test]
fn if_unmodified_since_holds_after_the_last_sight_of_other_content() {
    let (layer, clock) = layer();
    let own = [(LM, &*date(-900))];
    send(&layer, get(&[]), reply(200, &own, "one"));
    clock.set(20);
    send(&layer, get(&[]), reply(200, &own, "two"));
    clock.set(50);
    assert_eq!(send(&layer, get(&[(IUS, &date(30))]), reply(200, &own, "two")).status(), 200);
}

#[test]
fn if_unmodified_since_with_a_generated_date_is_compared_by_equality() {
    let (conditional, clock) = layer();
    let note = Note::of("old");
    let service = guarded(conditional.layer(note.service()));
    let put = |line: &str| {
        let request = write("PUT", &[(IUS, line)], "old");
        run(service.clone().oneshot(request)).unwrap().status().as_u16()
    };
    run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
    clock.set(60);
    let read = run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
    assert_eq!(read.headers()[LM], date(10));
    assert_eq!([put(&date(10)), put(&date(9)), put(&date(11))], [204, 412, 412]);
    // In the second of a change no date can stand for the content.
    *note.content.lock().unwrap() = Some("new".to_owned());
    assert_eq!([put(&date(10)), put(&date(60))], [412, 412]);
}

/// A date that the client got is not ignored when it comes back, whatever the content
/// is now.
#[test]
fn if_unmodified_since_with_a_generated_date_is_412_whatever_the_content_has_become() {
    let mut lost = Vec::new();
    for theirs in ["other", "larger than the limit is", "slow", "secret", "varied", "untagged"] {
        let (conditional, clock) = layer();
        let note = note("old");
        let conditional = conditional.buffer_limit(16);
        let service = guarded(conditional.layer(service(&note, moody)));
        let (date, status) =
            run(lose(service, &clock, || *note.lock().unwrap() = theirs.to_owned()));
        assert_eq!(date, Some(harness::date(10)));
        if status != 412 {
            lost.push((theirs, status));
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
}

/// What the handler dates is evaluated by that date, whatever another layer knows, or
/// does not.
#[test]
fn if_unmodified_since_is_compared_with_the_handlers_date_where_the_source_knows_none() {
    for known in [Representation::Unknown, exists("\"v1\"")] {
        let note = note("old");
        let service =
            service(&note, |content| reply(200, &[(LM, "Mon, 07 Nov 1994 08:49:37 GMT")], content));
        let state = known.clone();
        let service = PreconditionLayer::new(move |_| ready(state.clone())).layer(service);
        let service = guarded(service);
        for (date, expected) in
            [("Sun, 06 Nov 1994 08:49:37 GMT", 412), ("Mon, 07 Nov 1994 08:49:37 GMT", 204)]
        {
            let status = run(status_of(service.clone(), put(&[(IUS, date)], "new")));
            assert_eq!(status, expected, "{known:?}: {date}");
        }
    }
}

/// A date that is not sent yet counts, too, where a layer in between changed the tag.
#[test]
fn if_unmodified_since_is_412_while_a_date_is_pending_behind_a_layer_that_weakens_tags() {
    let weaken = |mut response: Response<tower_conditional::ResponseBody<Body>>| {
        if let Some(tag) = response.headers_mut().get_mut("etag") {
            *tag = format!("W/{}", tag.to_str().unwrap()).parse().unwrap();
        }
        response
    };
    let (conditional, clock) = layer();
    let note = note("old");
    let inner = ServiceBuilder::new()
        .map_response(weaken)
        .layer(conditional)
        .service(service(&note, plain));
    let service = guarded(inner);
    let get = || run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
    let held = get().headers()[LM].to_str().unwrap().to_owned();
    clock.set(20);
    get();
    *note.lock().unwrap() = "theirs".to_owned();
    assert_eq!(run(status_of(service.clone(), put(&[(IUS, &*held)], "mine"))), 412);
}

/// A layer that was made after a deploy, or on another server, does not know the dates
/// that the first one generated. It can tell that they are none of the inner service's,
/// once it has seen that this gives none; and lets pass what it cannot tell.
#[test]
fn if_unmodified_since_with_a_date_of_another_layer_is_412_once_the_resource_was_seen() {
    let dated = [(LM, "Sun, 06 Nov 1994 08:49:37 GMT")];
    let fetch = |layer: &ConditionalLayer, uri: &str, own: Lines<'_>| {
        send(layer, request("GET", uri, &[]), reply(200, own, "content"));
    };
    for (case, seen, expected) in [
        ("nothing was seen", &[][..], 204),
        ("another one was", &[("/", &[][..])], 204),
        ("the inner service does not date it", &[("/note", &[])], 412),
        ("it dates it", &[("/note", &dated)], 204),
        ("it dates others", &[("/file", &dated), ("/note", &[])], 412),
        ("it was dated before", &[("/note", &dated), ("/note", &[])], 412),
        // The date that was generated first is still sent for this content.
        ("it is dated now", &[("/note", &[]), ("/note", &dated)], 412),
    ] {
        let (layer, clock) = layer();
        let held = send(&layer, request("GET", "/note", &[]), reply(200, &[], "old"));
        let held = held.line(LM).unwrap();
        clock.set(20);
        let layer = clock.layer();
        clock.set(30);
        seen.iter().for_each(|(uri, own)| fetch(&layer, uri, own));
        let inner = service_fn(|_: Request<Body>| {
            ready(Ok::<_, Infallible>(reply(204, &[], Body::empty())))
        });
        assert_eq!(
            run(status_of(layer.layer(inner), put(&[(IUS, held)], "mine"))),
            expected,
            "{case}"
        );
        let elsewhere = layer
            .clone()
            .handle_when(|parts| parts.method != Method::GET || parts.uri.path() != "/note");
        assert_eq!(
            run(status_of(elsewhere.layer(inner), put(&[(IUS, held)], "mine"))),
            204,
            "{case}, it is left alone"
        );
        let undated = layer.add_last_modified(AddLastModified::Never);
        assert_eq!(
            run(status_of(undated.layer(inner), put(&[(IUS, held)], "mine"))),
            204,
            "{case}, nothing is generated"
        );
    }
}

/// The handler compares its own dates. A HEAD or a 304 without a date does not say that
/// it no longer does.
#[test]
fn if_unmodified_since_with_the_handlers_date_passes_whatever_head_and_304_leave_out() {
    let (dated, undated) = ([(LM, &*date(-60)), ("etag", "\"a\"")], [("etag", "\"a\"")]);
    for (method, status, expected) in [("HEAD", 200, 204), ("GET", 304, 204), ("GET", 200, 412)] {
        let (layer, _clock) = layer();
        send(&layer, request("GET", "/note", &[]), reply(200, &dated, "old"));
        send(&layer, request(method, "/note", &[]), reply(status, &undated, ""));
        let inner = service_fn(|_: Request<Body>| {
            ready(Ok::<_, Infallible>(reply(204, &[], Body::empty())))
        });
        let write = put(&[(IUS, &date(-60))], "mine");
        assert_eq!(run(status_of(layer.layer(inner), write)), expected, "{method} {status}");
    }
}

/// A write has other fields than a read. What was generated for the read is known all
/// the same.
#[test]
fn if_unmodified_since_with_a_generated_date_is_412_whatever_handle_when_says() {
    let (layer, clock) = layer();
    let layer = layer.handle_when(|parts| parts.headers.contains_key("accept"));
    let read = send(&layer, request("GET", "/note", &[("accept", "*/*")]), reply(200, &[], "old"));
    clock.set(60);
    let inner =
        service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(reply(204, &[], Body::empty()))));
    let write = put(&[(IUS, read.line(LM).unwrap())], "mine");
    assert_eq!(run(status_of(layer.layer(inner), write)), 412);
}

/// A handler that checks inside its transaction, as the documentation asks, knows
/// nothing of a generated date.
#[cfg(feature = "axum")]
#[test]
fn if_unmodified_since_with_a_generated_date_does_not_reach_a_handler_that_ignores_it() {
    use axum::{extract::State, routing::get, Router};
    use http::StatusCode;
    use tower_conditional::{EntityTag, Preconditions};

    use crate::support::note::{text, Text};

    async fn read(State(note): State<Text>) -> (EntityTag, String) {
        (EntityTag::of(text(&note).as_bytes()), text(&note))
    }
    async fn write(
        State(note): State<Text>,
        asked: Preconditions,
        new: String,
    ) -> axum::response::Result<StatusCode> {
        let mut note = note.lock().unwrap();
        asked.check(EntityTag::of(note.as_bytes()))?;
        *note = new;
        Ok(StatusCode::NO_CONTENT)
    }

    let (conditional, clock) = layer();
    let note = note("old");
    let app = Router::new()
        .route("/note", get(read).put(write))
        .with_state(note.clone())
        .layer(conditional);
    let seen = run(lose(app, &clock, || *note.lock().unwrap() = "theirs".to_owned()));
    assert_ne!(seen.1, 204, "{seen:?}");
}

#[test]
fn if_unmodified_since_of_months_ago_is_200_for_an_older_file() {
    let (june, january) = (date(-150 * 86_400), date(-320 * 86_400));
    for method in ["GET", "HEAD"] {
        let asked = request(method, "/", &[(IUS, &june)]);
        assert_eq!(send(&layer().0, asked, reply(200, &[(LM, &january)], "file")).status(), 200);
        // The same behind a source that states the date.
        let stated = january.parse::<HttpDate>().unwrap();
        let state = Representation::from(Validators::new().last_modified(stated));
        let source = PreconditionLayer::new(move |_| ready(state.clone()));
        let inner = service_fn(|_: Request<Body>| {
            ready(Ok::<_, Infallible>(reply(200, &[], Body::from("file"))))
        });
        for outside in [false, true] {
            let asked = request(method, "/", &[(IUS, &june)]);
            let status = if outside {
                run(status_of(layer().0.layer(source.layer(inner)), asked))
            } else {
                run(status_of(source.layer(layer().0.layer(inner)), asked))
            };
            assert_eq!(status, 200, "{method} {outside}");
        }
    }
}

#[test]
fn if_unmodified_since_with_a_date_from_before_a_restart_is_412_where_a_layer_is_applied_twice() {
    for twice in [false, true] {
        let (layer, clock) = layer();
        let held = send(&layer, request("GET", "/note", &[]), reply(200, &[], "old"));
        let held = held.line(LM).unwrap().to_owned();
        clock.set(20);
        let layer = clock.layer();
        clock.set(30);
        let note = note("old");
        let ask = |request: Request<Body>| {
            let inner = service(&note, plain);
            if twice {
                run(status_of(layer.layer(layer.layer(inner)), request))
            } else {
                run(status_of(layer.layer(inner), request))
            }
        };
        assert_eq!(ask(request("GET", "/note", &[])), 200);
        assert_eq!(ask(put(&[(IUS, &*held)], "mine")), 412, "twice: {twice}");
        // A read is never harmed by the whole.
        assert_eq!(ask(request("GET", "/note", &[(IUS, &*held)])), 200, "twice: {twice}");
    }
}

#[test]
fn if_unmodified_since_is_not_412_by_a_date_that_another_layer_generated() {
    for is_same in [false, true] {
        let ((outer, first), (inner, second)) = (layer(), layer());
        let (outer, note) = (if is_same { inner.clone() } else { outer }, Note::of("page"));
        let service = ServiceBuilder::new().layer(outer).layer(inner).service(note.service());
        run(service.clone().oneshot(get(&[]))).unwrap();
        for now in [12, 13] {
            first.set(now);
            second.set(now);
            let old = get(&[(IUS, &date(-9_000))]);
            for request in [old, get(&[])] {
                let response = run(service.clone().oneshot(request)).unwrap();
                assert_eq!(response.status(), 200, "{is_same} {now}");
                assert_eq!(response.headers()[LM], *date(10), "{is_same} {now}");
            }
        }
    }
    // A date of the handler's own proves a change through both.
    let own = [(LM, &*date(-60))];
    let inner = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(reply(200, &own, "page"))));
    let service = ServiceBuilder::new().layer(layer().0).layer(layer().0).service(inner);
    let response = run(service.oneshot(get(&[(IUS, &date(-9_000))]))).unwrap();
    assert_eq!(response.status(), 412);
}

/// The source states the date, so it evaluates the writes. What the outer layer saw of
/// this or other resources, or forgot, does not count.
#[test]
fn if_unmodified_since_with_a_stated_date_reaches_the_layer_that_states_it() {
    for (reads, is_private) in [
        (&[("/note", None)][..], false),
        (&[("/note", None)], true),
        // The client asks only whether its copy is still current.
        (&[("/note", Some(IMS))], false),
        (&[("/note", None), ("/other", None), ("/note", Some(IMS))], false),
    ] {
        let (outer, clock) = layer();
        let stated = Arc::new(Mutex::new(Representation::Missing));
        let state = Arc::clone(&stated);
        let source = PreconditionLayer::new(move |_| ready(state.lock().unwrap().clone()));
        let inner = service_fn(move |request: Request<Body>| {
            let fields = if is_private { &[(CC, "private")][..] } else { &[] };
            let status = if request.method() == Method::GET { 200 } else { 204 };
            ready(Ok::<_, Infallible>(reply(status, fields, "note")))
        });
        let service = outer.layer(source.layer(inner));
        let ask = |request: Request<Body>| run(service.clone().oneshot(request)).unwrap();
        // The client finds no note, and creates it in the same second.
        ask(request("GET", "/note", &[(IM, "*")]));
        *stated.lock().unwrap() =
            Validators::new().last_modified(date(10).parse::<HttpDate>().unwrap()).into();
        clock.set(60);
        for (uri, field) in reads {
            let (asked, mut lines) = (date(10), Vec::new());
            lines.extend(field.map(|field| (field, &*asked)));
            let read = ask(request("GET", uri, &lines));
            assert_eq!(read.status(), if lines.is_empty() { 200 } else { 304 });
            assert_eq!(read.headers()[LM], *date(10));
        }
        let put = |at| ask(put(&[(IUS, &*date(at))], "mine")).status().as_u16();
        let case = (reads, is_private);
        assert_eq!([put(10), put(30), put(9)], [204, 204, 412], "{case:?}");
    }
}

/// The source would compare a date that was generated for another page.
#[test]
fn if_unmodified_since_is_not_invited_by_the_answer_of_on_error() {
    let (outer, clock) = layer();
    let source = PreconditionLayer::new(|_| async { Err::<Representation, _>("lost") })
        .on_error(|_| Response::new(Bytes::from("sorry")));
    let inner = service_fn(|_| ready(Ok::<_, Infallible>(reply(200, &[], Body::empty()))));
    let service = outer.layer(source.layer(inner));
    for now in [10, 60] {
        clock.set(now);
        let read = run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
        assert_eq!((read.status().as_u16(), read.headers().get(LM)), (200, None), "{now}");
        assert_eq!(read.headers()["etag"], *tag("sorry"));
    }
}

/// A guard inside evaluates the writes, also by dates that are new to the outer layer.
#[test]
fn if_unmodified_since_with_a_date_of_a_layer_inside_reaches_the_guard() {
    let ((outer, clock), (inner, second)) = (layer(), layer());
    let note = note("old");
    let service = outer.layer(guarded(inner.layer(service(&note, plain))));
    let get = || {
        let read = run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
        read.headers().get(LM).map(|date| date.to_str().unwrap().to_owned())
    };
    let set = |now| (clock.set(now), second.set(now));
    let put = |date: &str| run(status_of(service.clone(), put(&[(IUS, date)], "mine")));
    get();
    set(60);
    assert_eq!(get(), Some(date(10)));
    // In its second, the date of new content is not sent.
    *note.lock().unwrap() = "new".to_owned();
    assert_eq!((get(), put(&date(10))), (None, 412));
    set(90);
    let held = get().unwrap();
    assert_eq!([put(&date(10)), put(&held)], [412, 204]);
}
