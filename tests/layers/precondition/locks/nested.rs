//! Writes that a handler sends while it answers one, through the same layer and with
//! the extensions that it got: each is evaluated for itself, and has its share in the
//! lock.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use axum::{body::Body, routing::post, Router};
use bytes::Bytes;
use futures_util::{stream, StreamExt};
use http::{Extensions, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::{
    sync::{Barrier, Notify},
    task::{self, yield_now},
    time::timeout,
};
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{ConditionalLayer, WriteGuard};

use crate::support::{
    guarded::{boxed, guarded, App, Unwrapped},
    harness::{self, request, run, streamed, tag, Lines, IM, INM, IUS, LM},
};

type Guard = WriteGuard<Unwrapped<App>>;

/// Texts by path and query.
type Texts = Arc<Mutex<HashMap<String, String>>>;

fn texts(all: &[(&str, &str)]) -> Texts {
    Arc::new(Mutex::new(
        all.iter().map(|(uri, text)| ((*uri).to_owned(), (*text).to_owned())).collect(),
    ))
}

fn text(texts: &Texts, uri: &str) -> String {
    texts.lock().unwrap().get(uri).cloned().unwrap_or_default()
}

/// Answers GET and PUT; others have their turn meanwhile.
async fn store(texts: Texts, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let uri = request.uri().path_and_query().unwrap().to_string();
    let (method, body) = (request.method().clone(), request.into_body());
    // Of the question there is nothing to read.
    let new =
        if method == Method::GET { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
    let new = String::from_utf8(new.to_vec()).unwrap();
    yield_now().await;
    let mut response = Response::new(Body::empty());
    let mut texts = texts.lock().unwrap();
    match (method, texts.get(&uri)) {
        (Method::PUT, _) => {
            texts.insert(uri, new);
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        (_, Some(text)) => *response.body_mut() = Body::from(text.clone()),
        (_, None) => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}

fn plain(guard: Guard) -> Guard {
    guard
}

/// Texts behind a guard, whose PATCH does what `patch` does with the whole and the
/// request, and answers with a status.
fn app<F: Future<Output = u16> + Send + 'static>(
    texts: &Texts,
    configure: fn(Guard) -> Guard,
    patch: impl Fn(App, Request<Body>) -> F + Clone + Send + Sync + 'static,
) -> App {
    let whole = Arc::new(OnceLock::<App>::new());
    let (again, texts) = (Arc::clone(&whole), Arc::clone(texts));
    let handler = service_fn(move |request: Request<Body>| {
        let (again, texts, patch) = (Arc::clone(&again), Arc::clone(&texts), patch.clone());
        async move {
            if request.method() != Method::PATCH {
                return store(texts, request).await;
            }
            let status = patch(again.get().unwrap().clone(), request).await;
            Ok(harness::reply(status, &[], Body::empty()))
        }
    });
    let handler = boxed(ConditionalLayer::new().layer(handler));
    whole.get_or_init(|| boxed(configure(guarded(handler)))).clone()
}

fn write(method: &str, uri: &str, lines: Lines<'_>, text: &str) -> Request<Body> {
    request(method, uri, lines).map(|_| Body::from(text.to_owned()))
}

/// Makes a write with the extensions of another.
fn within(
    outer: &Extensions,
    method: &str,
    uri: &str,
    lines: Lines<'_>,
    text: &str,
) -> Request<Body> {
    let mut write = write(method, uri, lines, text);
    *write.extensions_mut() = outer.clone();
    write
}

async fn status(app: &App, request: Request<Body>) -> u16 {
    timeout(Duration::from_secs(5), app.clone().oneshot(request))
        .await
        .expect("no deadlock")
        .unwrap()
        .status()
        .as_u16()
}

#[test]
fn nested_write_is_not_covered_by_what_was_decided_for_another_resource() {
    for (configure, from, to, is_routed) in [
        (plain as fn(Guard) -> Guard, "/note?id=1", "/note?id=2", false),
        (|guard| guard.key(|_| ()), "/notes/1", "/notes/2", false),
        (plain, "/notes/1", "/notes/2", true),
    ] {
        let texts = texts(&[(to, "precious")]);
        let app = app(&texts, configure, move |app, request| async move {
            status(&app, within(request.extensions(), "PUT", to, &[(INM, "*")], "lost")).await
        });
        let app = if is_routed { App::new(Router::new().fallback_service(app)) } else { app };
        assert_eq!(run(status(&app, request("PATCH", from, &[(INM, "*")]))), 412, "{from} {to}");
        assert_eq!(text(&texts, to), "precious");
    }
}

#[test]
fn nested_write_does_not_share_the_lock_of_another_resource() {
    for (one, two) in [("/notes/1", "/notes/2"), ("/archive/notes/1", "/notes/1")] {
        nested_write_is_locked_as_what_it_names(one, two);
    }
}

fn nested_write_is_locked_as_what_it_names(one: &'static str, two: &'static str) {
    let texts = texts(&[(one, "one"), (two, "old")]);
    let app = app(&texts, plain, move |app, request| async move {
        status(&app, within(request.extensions(), "PUT", two, &[(IM, &tag("old"))], "inner")).await
    });
    let app = App::new(Router::new().fallback_service(app));
    let other = async {
        yield_now().await;
        status(&app, write("PUT", two, &[(IM, &tag("old"))], "other")).await
    };
    let both = run(async {
        tokio::join!(status(&app, request("PATCH", one, &[(IM, &tag("one"))])), other)
    });
    assert_eq!([both.0.min(both.1), both.0.max(both.1)], [204, 412]);
}

/// A PATCH that reads the text and writes it anew, as a PUT of the same request with
/// what `guard` makes of its tag; `apart` of them read before any of them writes.
fn rewritten(
    texts: &Texts,
    configure: fn(Guard) -> Guard,
    apart: usize,
    guard: fn(&str) -> String,
) -> App {
    let barrier = Arc::new(Barrier::new(apart));
    app(texts, configure, move |app, write| {
        let barrier = Arc::clone(&barrier);
        async move {
            let read = app.clone().oneshot(request("GET", "/note", &[])).await.unwrap();
            let text = guard(read.headers().get("etag").unwrap().to_str().unwrap());
            barrier.wait().await;
            let (mut parts, body) = write.into_parts();
            parts.method = Method::PUT;
            parts.headers.insert("if-match", text.parse().unwrap());
            status(&app, Request::from_parts(parts, body)).await
        }
    })
}

#[test]
fn nested_write_is_evaluated_by_its_own_preconditions() {
    let old = texts(&[("/note", "old")]);
    let app = rewritten(&old, plain, 2, str::to_owned);
    let both = async {
        tokio::join!(
            status(&app, write("PATCH", "/note", &[], "one")),
            status(&app, write("PATCH", "/note", &[], "two"))
        )
    };
    let (one, two) = run(both);
    assert_eq!([one.min(two), one.max(two)], [204, 412], "both are based on the old state");

    for (guard, expected) in
        [(str::to_owned as fn(&str) -> String, 204), (|_| "\"stale\"".to_owned(), 412)]
    {
        let texts = texts(&[("/note", "one")]);
        let app = rewritten(&texts, plain, 1, guard);
        assert_eq!(
            run(status(&app, write("PATCH", "/note", &[(IM, &tag("one"))], "new"))),
            expected
        );
        assert_eq!(text(&texts, "/note"), if expected == 204 { "new" } else { "one" });
    }
}

/// Content of which more comes each time it is polled. If it is late, each piece is
/// first waited for.
fn pieces(texts: &'static [&str], is_late: bool) -> Body {
    streamed(stream::iter(texts).then(move |text| async move {
        if is_late {
            yield_now().await;
        }
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }))
}

/// An outer write that is forwarded as it comes has its lock only at the end of its
/// content, which the nested write reads.
#[test]
fn nested_write_shares_a_lock_that_is_taken_at_the_end_of_the_content() {
    let streams = |guard: Guard| guard.stream_uploads(true);
    for configure in [plain as fn(Guard) -> Guard, streams] {
        for is_guarded in [false, true] {
            for (texts_sent, is_late) in [(&["new"][..], true), (&["n", "e", "w"], false)] {
                for (guard, expected, left) in [
                    (str::to_owned as fn(&str) -> String, 204, "new"),
                    (|_| "\"stale\"".to_owned(), 412, "one"),
                ] {
                    let texts = texts(&[("/note", "one")]);
                    let app = rewritten(&texts, configure, 1, guard);
                    let tag = tag("one");
                    let lines = if is_guarded { &[(IM, &*tag)][..] } else { &[] };
                    let outer =
                        request("PATCH", "/note", lines).map(|_| pieces(texts_sent, is_late));
                    assert_eq!(run(status(&app, outer)), expected, "{is_guarded} {is_late}");
                    assert_eq!(text(&texts, "/note"), left);
                }
            }
        }
    }
}

/// A nested write may wait for another client before its outer write has a lock.
#[test]
fn nested_write_that_waits_already_shares_what_the_outer_write_takes_then() {
    let texts = texts(&[("/note", "old")]);
    let (holds, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (is_held, may_go_on) = (Arc::clone(&holds), Arc::clone(&goes_on));
    let app = app(&texts, plain, move |app, request| {
        let (is_held, may_go_on) = (Arc::clone(&is_held), Arc::clone(&may_go_on));
        async move {
            if request.headers().contains_key("x-other") {
                is_held.notify_one();
                may_go_on.notified().await;
                return 204;
            }
            let inner = [(IM, &*tag("old"))];
            let inner = within(request.extensions(), "PUT", "/note", &inner, "new");
            // In a task of its own, it is not polled when the outer write is.
            let inner = task::spawn(async move { status(&app, inner).await });
            let _all = request.into_body().collect().await.unwrap();
            may_go_on.notify_one();
            inner.await.unwrap()
        }
    });
    run(async {
        let other = write("PATCH", "/note", &[("x-other", "1")], "");
        let client = app.clone();
        let other = task::spawn(async move { status(&client, other).await });
        holds.notified().await;
        let outer = request("PATCH", "/note", &[]).map(|_| pieces(&["a"; 8], true));
        assert_eq!(status(&app, outer).await, 204);
        assert_eq!(other.await.unwrap(), 204);
    });
    assert_eq!(text(&texts, "/note"), "new");
}

#[test]
fn nested_writes_are_evaluated_one_by_one() {
    let texts = texts(&[("/note", "old")]);
    let app = app(&texts, plain, |app, request| async move {
        let [one, two] = ["one", "two"]
            .map(|text| within(request.extensions(), "PUT", "/note", &[(IM, &tag("old"))], text));
        assert_eq!(status(&app, one).await, 204);
        status(&app, two).await
    });
    assert_eq!(run(status(&app, request("PATCH", "/note", &[(IM, &tag("old"))]))), 412);
    assert_eq!(text(&texts, "/note"), "one");
}

#[test]
fn nested_write_with_preconditions_waits_for_the_one_without_beside_it() {
    let texts = texts(&[("/note", "old")]);
    let adding = Arc::clone(&texts);
    let app = app(&texts, plain, move |app, request| {
        let adding = Arc::clone(&adding);
        async move {
            if request.headers().contains_key("x-add") {
                yield_now().await;
                adding
                    .lock()
                    .unwrap()
                    .entry("/note".to_owned())
                    .and_modify(|text| text.push_str(" and more"));
                return 204;
            }
            let outer = request.extensions();
            let adds = within(outer, "PATCH", "/note", &[("x-add", "1")], "");
            let replaces = within(outer, "PUT", "/note", &[(IM, &tag("old"))], "new");
            let (added, replaced) = tokio::join!(status(&app, adds), status(&app, replaces));
            added.max(replaced)
        }
    });
    run(status(&app, request("PATCH", "/note", &[])));
    let text = text(&texts, "/note");
    assert!(text.ends_with(" and more"), "{text}: what was added is lost");
}

#[test]
fn nested_write_that_outlives_the_one_around_it_keeps_the_lock() {
    let texts = texts(&[("/note", "old")]);
    let (evaluated, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (writing, is_judged, may_go_on) =
        (Arc::clone(&texts), Arc::clone(&evaluated), Arc::clone(&goes_on));
    let app = app(&texts, plain, move |app, request| {
        let (writing, is_judged, may_go_on) =
            (Arc::clone(&writing), Arc::clone(&is_judged), Arc::clone(&may_go_on));
        async move {
            if request.headers().contains_key("x-inner") {
                is_judged.notify_one();
                may_go_on.notified().await;
                writing.lock().unwrap().insert("/note".to_owned(), "inner".to_owned());
                return 204;
            }
            // So that a client that goes away does not end it half-way.
            let inner = [(IM, &*tag("old")), ("x-inner", "1")];
            let inner = within(request.extensions(), "PATCH", "/note", &inner, "");
            task::spawn(async move { status(&app, inner).await }).await.unwrap()
        }
    });
    let write = |method| {
        let (app, write) = (app.clone(), write(method, "/note", &[(IM, &tag("old"))], "other"));
        async move { status(&app, write).await }
    };
    run(async {
        let outer = task::spawn(write("PATCH"));
        evaluated.notified().await;
        outer.abort();
        assert!(outer.await.unwrap_err().is_cancelled());
        let other = task::spawn(write("PUT"));
        for _ in 0..100 {
            yield_now().await;
        }
        goes_on.notify_one();
        assert_eq!(other.await.unwrap(), 412);
    });
    assert_eq!(text(&texts, "/note"), "inner");
}

/// Two guards know the dates that an inner layer generates.
#[test]
fn nested_guards_know_the_same_generated_dates() {
    for case in ["one guard", "two guards"] {
        for others_write in [false, true] {
            let texts = texts(&[("/note", "one")]);
            let (conditional, clock) = harness::layer();
            let kept = Arc::clone(&texts);
            let inner =
                conditional.layer(service_fn(move |request| store(Arc::clone(&kept), request)));
            let once = boxed(guarded(inner));
            let app = if case == "one guard" { once } else { boxed(guarded(once)) };
            let read = run(app.clone().oneshot(request("GET", "/note", &[]))).unwrap();
            let date = read.headers().get(LM).unwrap().to_str().unwrap().to_owned();
            if others_write {
                // In that very second.
                let theirs = write("PUT", "/note", &[], "theirs");
                assert_eq!(run(status(&app, theirs)), 204);
            } else {
                clock.set(60);
            }
            let mine = write("PUT", "/note", &[(IUS, &date)], "mine");
            assert_eq!(run(status(&app, mine)), if others_write { 412 } else { 204 }, "{case}");
            assert_eq!(
                text(&texts, "/note"),
                if others_write { "theirs" } else { "mine" },
                "{case}"
            );
        }
    }
}

/// Each guard evaluates for itself, by the tags that clients of that place get.
#[test]
fn nested_guards_evaluate_a_write_each_for_itself() {
    for (name, value, expected) in [
        (IM, tag("old"), 204),
        (IM, tag("other"), 412),
        (IM, "*".to_owned(), 204),
        (INM, tag("old"), 412),
        (INM, "*".to_owned(), 412),
    ] {
        let texts = texts(&[("/note", "old")]);
        let kept = Arc::clone(&texts);
        let inner = App::new(service_fn(move |request| store(Arc::clone(&kept), request)));
        let inner = boxed(guarded(ConditionalLayer::new().layer(inner)));
        let app = boxed(guarded(Router::new().nest_service("/api", inner)));
        texts.lock().unwrap().insert("/note".to_owned(), "old".to_owned());
        let write = write("PUT", "/api/note", &[(name, &value)], "new");
        assert_eq!(run(status(&app, write)), expected, "{name} {value}");
    }
}

/// The path that the guard gets names the lock, whatever path the client sent.
#[test]
fn guard_locks_what_middleware_outside_makes_of_a_path() {
    let decode = |mut request: Request<Body>| {
        *request.uri_mut() = request.uri().to_string().replace("latest", "note").parse().unwrap();
        request
    };
    let texts = texts(&[("/note", "old")]);
    let kept = Arc::clone(&texts);
    let inner = service_fn(move |request| store(Arc::clone(&kept), request));
    let guard = boxed(guarded(ConditionalLayer::new().layer(inner)));
    let nested = App::new(Router::new().nest_service("/api", guard.clone().map_request(decode)));
    let whole = App::new(Router::new().fallback_service(guard.map_request(decode)));
    for (app, uris) in [
        (&nested, ["/api/note", "/api/%6eote"]),
        (&nested, ["/api/note", "/api/latest"]),
        (&whole, ["/latest", "/note"]),
    ] {
        texts.lock().unwrap().insert("/note".to_owned(), "old".to_owned());
        let [one, two] = [(uris[0], "1"), (uris[1], "2")]
            .map(|(uri, text)| write("PUT", uri, &[(IM, &tag("old"))], text));
        let (one, two) = run(async { tokio::join!(status(app, one), status(app, two)) });
        assert_eq!([one.min(two), one.max(two)], [204, 412], "{uris:?}");
    }
}

/// A handler outside of the guard sends a write with the extensions of its own request.
/// Among them is Axum's `OriginalUri`, which names the handler, not the resource.
#[test]
fn guard_locks_what_a_handler_outside_writes() {
    let texts = texts(&[("/note", "old")]);
    let kept = Arc::clone(&texts);
    let inner = service_fn(move |request| store(Arc::clone(&kept), request));
    let guard = boxed(guarded(ConditionalLayer::new().layer(inner)));
    let part = guard.clone();
    let batch = post(move |request: Request<Body>| async move {
        let write = within(request.extensions(), "PUT", "/note", &[(IM, &tag("old"))], "batch");
        StatusCode::from_u16(status(&part, write).await).unwrap()
    });
    let app = App::new(Router::new().route("/batch", batch).fallback_service(guard));
    let (one, two) = run(async {
        let direct = write("PUT", "/note", &[(IM, &tag("old"))], "direct");
        tokio::join!(status(&app, request("POST", "/batch", &[])), status(&app, direct))
    });
    assert_eq!([one.min(two), one.max(two)], [204, 412]);
}
