//! What would lose an edit or make a wrong 304 where layers, handlers and clients meet.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    convert::Infallible,
    future::{poll_fn, ready, Future},
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Arc, Mutex, OnceLock,
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    middleware,
    response::{IntoResponse, Response as AxumResponse},
    routing::get,
    Extension, Router,
};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tower::{service_fn, Layer, Service, ServiceBuilder, ServiceExt};
use tower_conditional::{
    ConditionalLayer, EntityTag, InnerTags, PreconditionLayer, Representation, Untagged, Validators,
};
use tower_http::normalize_path::NormalizePathLayer;

use self::ask::{reply, request, run, streamed, tag, Lines, IM, IMS, INM, IUS, LM};

#[allow(dead_code)]
mod ask;

type Text = Arc<Mutex<String>>;

fn note(text: &str) -> Text {
    Arc::new(Mutex::new(text.to_owned()))
}

fn text(note: &Text) -> String {
    note.lock().unwrap().clone()
}

fn put(lines: Lines<'_>, text: &str) -> Request<Body> {
    request("PUT", "/note", lines).map(|_| Body::from(text.to_owned()))
}

fn exists(etag: &str) -> Representation {
    Validators::from(etag.parse::<EntityTag>().unwrap()).into()
}

/// A service with GET and PUT; `answer` makes the response to the GET.
fn service(
    note: &Text,
    answer: impl Fn(String) -> Response<Body> + Clone + Send + Sync + 'static,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
       + Clone
       + Send
       + Sync
       + 'static {
    let note = Arc::clone(note);
    service_fn(move |request: Request<Body>| {
        let (note, answer) = (Arc::clone(&note), answer.clone());
        async move {
            if request.method() == Method::GET {
                return Ok::<_, Infallible>(answer(text(&note)));
            }
            let new = request.into_body().collect().await.unwrap().to_bytes();
            *note.lock().unwrap() = String::from_utf8(new.to_vec()).unwrap();
            Ok(reply(204, &[], Body::empty()))
        }
    })
}

fn plain(content: String) -> Response<Body> {
    reply(200, &[], content)
}

async fn status_of<S, B>(service: S, request: Request<Body>) -> u16
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    service.oneshot(request).await.unwrap().status().as_u16()
}

async fn in_time<T>(future: impl Future<Output = T>) -> Result<T, tokio::time::error::Elapsed> {
    tokio::time::timeout(Duration::from_secs(2), future).await
}

// ----- 1. Inside a router, the GET is answered by the handler of the write. -----

async fn read(State(note): State<Text>) -> String {
    text(&note)
}

async fn write(State(note): State<Text>, new: String) -> StatusCode {
    *note.lock().unwrap() = new;
    StatusCode::NO_CONTENT
}

fn routes(note: &Text) -> Router {
    Router::new().route("/note", get(read).put(write)).with_state(Arc::clone(note))
}

/// Around the whole router it is right (this one passes).
#[test]
fn around_a_whole_router_the_get_reaches_its_handler() {
    for (line, status, after) in [(tag("old"), 204, "new"), ("\"stale\"".to_owned(), 412, "old")] {
        let note = note("old");
        let app = PreconditionLayer::from_get().layer(routes(&note).layer(ConditionalLayer::new()));
        assert_eq!(run(status_of(app, put(&[(IM, &*line)], "new"))), status);
        assert_eq!(text(&note), after);
    }
}

// ----- 2. A date that a `ConditionalLayer` minted is ignored when it cannot make one now: lost updates. -----

/// Answers as its content says.
fn moody(content: String) -> Response<Body> {
    match content.split(' ').next().unwrap() {
        "slow" => reply(
            200,
            &[],
            streamed(futures_util::stream::pending::<Result<Frame<bytes::Bytes>, Infallible>>()),
        ),
        "secret" => reply(200, &[("cache-control", "no-store")], content),
        "varied" => reply(200, &[("vary", "x-new")], content),
        "untagged" => (Extension(Untagged), content).into_response(),
        _ => plain(content),
    }
}

/// Lets the client learn a date that was minted, lets somebody else write, and returns what the client's write gets.
async fn lose<S, B>(service: S, clock: &ask::Clock, between: impl FnOnce()) -> (Option<String>, u16)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    service.clone().oneshot(request("GET", "/note", &[])).await.unwrap();
    clock.set(60);
    let read = service.clone().oneshot(request("GET", "/note", &[])).await.unwrap();
    let date = read.headers().get(LM).map(|date| date.to_str().unwrap().to_owned());
    between();
    let line = [(IUS, date.as_deref().unwrap_or("none"))];
    let lines = if date.is_some() { &line[..] } else { &[(IM, "\"-\"")] };
    (date.clone(), status_of(service, put(lines, "mine")).await)
}

/// A date that the client got is not ignored when it comes back, whatever the content is now.
#[test]
fn a_minted_date_guards_a_write_whatever_the_content_has_become() {
    let mut lost = Vec::new();
    for theirs in ["other", "larger than the limit is", "slow", "secret", "varied", "untagged"] {
        let (conditional, clock) = ask::layer();
        let note = note("old");
        let conditional = conditional.buffer_limit(16);
        let service = PreconditionLayer::from_get().layer(conditional.layer(service(&note, moody)));
        let (date, status) =
            run(lose(service, &clock, || *note.lock().unwrap() = theirs.to_owned()));
        assert_eq!(date, Some(ask::date(10)));
        if status != 412 {
            lost.push((theirs, status));
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
}

/// A tag in If-None-Match that may be the present one refuses a write, as in `rules`: what is not known does not pass.
#[test]
fn a_write_that_excludes_the_present_state_fails_if_its_tag_is_not_found_out() {
    let (note, slow) = (note("old"), Arc::new(AtomicBool::new(false)));
    let is_slow = Arc::clone(&slow);
    let answer =
        move |content| if is_slow.load(SeqCst) { moody("slow".to_owned()) } else { plain(content) };
    let service =
        PreconditionLayer::from_get().layer(ConditionalLayer::new().layer(service(&note, answer)));
    assert_eq!(run(status_of(service.clone(), put(&[(INM, &*tag("old"))], "new"))), 412);
    slow.store(true, SeqCst);
    assert_ne!(run(status_of(service, put(&[(INM, &*tag("old"))], "new"))), 204);
}

/// Where a `PreconditionLayer` asks the service, a `ConditionalLayer` outside must not give dates that it ignores.
#[test]
fn outside_of_from_get_no_date_is_minted_that_comes_back_in_vain() {
    let (conditional, clock) = ask::layer();
    let note = note("old");
    let service = conditional.layer(PreconditionLayer::from_get().layer(service(&note, plain)));
    let seen = run(lose(service, &clock, || *note.lock().unwrap() = "theirs".to_owned()));
    assert_ne!(seen.1, 204, "{seen:?}");
}

/// The same for a source that was not asked, or knew nothing, when the client read.
#[test]
fn no_date_is_minted_that_the_source_of_the_layer_does_not_know() {
    let mut lost = Vec::new();
    for (case, first, add) in [
        ("add_validators(false)", None, false),
        ("unknown", Some(Ok(Representation::Unknown)), true),
        ("missing", Some(Ok(Representation::Missing)), true),
        ("failed", Some(Err("failed")), true),
    ] {
        for outside in [false, true] {
            let (conditional, clock) = ask::layer();
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

/// What the handler dates is judged by that date, whatever another layer knows, or does not.
#[test]
fn a_source_that_knows_no_date_hides_none_of_the_handlers() {
    for known in [Representation::Unknown, exists("\"v1\"")] {
        let note = note("old");
        let service =
            service(&note, |content| reply(200, &[(LM, "Mon, 07 Nov 1994 08:49:37 GMT")], content));
        let state = known.clone();
        let service = PreconditionLayer::new(move |_| ready(state.clone())).layer(service);
        let service = PreconditionLayer::from_get().layer(service);
        for (date, expected) in
            [("Sun, 06 Nov 1994 08:49:37 GMT", 412), ("Mon, 07 Nov 1994 08:49:37 GMT", 204)]
        {
            let status = run(status_of(service.clone(), put(&[(IUS, date)], "new")));
            assert_eq!(status, expected, "{known:?}: {date}");
        }
    }
}

/// The question is put as reads are: where a source keeps what it knows to itself, tags are left as they are.
#[test]
fn a_source_that_says_nothing_is_there_for_the_question_too() {
    let note = note("old");
    let inner = service(&note, |content| reply(200, &[("etag", "\"own\"")], content));
    let inner = PreconditionLayer::from_get()
        .layer(ConditionalLayer::new().inner_tags(InnerTags::Replace).layer(inner));
    let date = tower_conditional::HttpDate::from_unix_seconds(784_111_777).unwrap();
    let current = Validators::new().etag(EntityTag::strong("own").unwrap()).last_modified(date);
    let known = PreconditionLayer::new(move |_| ready(Representation::from(current.clone())))
        .add_validators(false);
    let service = known.layer(inner);
    let read = run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
    assert_eq!(read.headers()["etag"], "\"own\"");
    assert_eq!(run(status_of(service, put(&[(IM, "\"own\"")], "new"))), 204);
}

/// A date that is not sent yet counts, too, where a layer in between changed the tag.
#[test]
fn a_date_is_pending_behind_a_layer_that_weakens_tags() {
    let weaken = |mut response: Response<tower_conditional::ResponseBody<Body>>| {
        if let Some(tag) = response.headers_mut().get_mut("etag") {
            *tag = format!("W/{}", tag.to_str().unwrap()).parse().unwrap();
        }
        response
    };
    let (conditional, clock) = ask::layer();
    let note = note("old");
    let inner = ServiceBuilder::new()
        .map_response(weaken)
        .layer(conditional)
        .service(service(&note, plain));
    let service = PreconditionLayer::from_get().layer(inner);
    let get = || run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
    let held = get().headers()[LM].to_str().unwrap().to_owned();
    clock.set(20);
    get();
    *note.lock().unwrap() = "theirs".to_owned();
    assert_eq!(run(status_of(service.clone(), put(&[(IUS, &*held)], "mine"))), 412);
}

/// A layer that was made after a deploy, or on another server, does not know the dates that the first one minted. It can
/// tell that they are none of the inner service's, once it has seen that this gives none; and lets pass what it cannot tell.
#[test]
fn a_date_that_another_layer_minted_guards_a_write_once_the_resource_was_seen() {
    let dated = [(LM, "Sun, 06 Nov 1994 08:49:37 GMT")];
    let fetch = |layer: &ConditionalLayer, uri: &str, own: Lines<'_>| {
        ask::send(layer, request("GET", uri, &[]), reply(200, own, "content"));
    };
    for (case, seen, expected) in [
        ("nothing was seen", &[][..], 204),
        ("another one was", &[("/", &[][..])], 204),
        ("the inner service does not date it", &[("/note", &[])], 412),
        ("it dates it", &[("/note", &dated)], 204),
        ("it dates others", &[("/file", &dated), ("/note", &[])], 412),
        ("it was dated before", &[("/note", &dated), ("/note", &[])], 412),
        ("it is dated now", &[("/note", &[]), ("/note", &dated)], 204),
    ] {
        let (layer, clock) = ask::layer();
        let held = ask::send(&layer, request("GET", "/note", &[]), reply(200, &[], "old"));
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
        let undated = layer.last_modified(false);
        assert_eq!(
            run(status_of(undated.layer(inner), put(&[(IUS, held)], "mine"))),
            204,
            "{case}, nothing is minted"
        );
    }
}

/// A write has other fields than a read. What was minted for the read is known all the same.
#[test]
fn a_minted_date_guards_a_write_that_when_request_would_leave_alone() {
    let (layer, clock) = ask::layer();
    let layer = layer.handle_when(|parts| parts.headers.contains_key("accept"));
    let read =
        ask::send(&layer, request("GET", "/note", &[("accept", "*/*")]), reply(200, &[], "old"));
    clock.set(60);
    let inner =
        service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(reply(204, &[], Body::empty()))));
    let write = put(&[(IUS, read.line(LM).unwrap())], "mine");
    assert_eq!(run(status_of(layer.layer(inner), write)), 412);
}

// ----- 3. Locks. -----

/// A layer that is applied twice (on a nested router and on the outer one) does not wait for itself.
#[test]
fn a_layer_within_itself_does_not_wait_for_itself() {
    let note = note("old");
    let layer = PreconditionLayer::from_get();
    let twice = layer.layer(layer.layer(ConditionalLayer::new().layer(service(&note, plain))));
    let seen = run(in_time(status_of(twice, put(&[(IM, &*tag("old"))], "new"))));
    assert_eq!(seen.ok(), Some(204));
}

/// The extensions of a write that is over hold nothing.
#[test]
fn extensions_that_outlive_their_write_grant_nothing() {
    let note = note("old");
    let kept = Arc::new(Mutex::new(None));
    let (keeper, inner) = (Arc::clone(&kept), service(&note, plain));
    let keeping = service_fn(move |request: Request<Body>| {
        *keeper.lock().unwrap() = Some(request.extensions().clone());
        inner.clone().oneshot(request)
    });
    let service = PreconditionLayer::from_get().layer(ConditionalLayer::new().layer(keeping));
    assert_eq!(run(status_of(service.clone(), put(&[(IM, &*tag("old"))], "new"))), 204);
    let mut again = put(&[(IM, &*tag("old"))], "lost");
    *again.extensions_mut() = kept.lock().unwrap().take().unwrap();
    assert_eq!(run(status_of(service, again)), 412);
    assert_eq!(text(&note), "new");
}

/// Two names of one resource, as HTTP sees it, have one lock.
#[test]
fn names_that_differ_in_spelling_alone_share_a_lock() {
    let mut lost = Vec::new();
    for (uri, host) in [
        ("/note", "example.com"),
        ("/note", "EXAMPLE.com"),
        ("/note", "example.com:80"),
        ("/%6eote", "example.com"),
    ] {
        let note = note("old");
        let inner = ConditionalLayer::new().layer(service(&note, plain));
        let inner = ServiceBuilder::new().map_response(|r: Response<_>| r).service(inner);
        // Both have read before either has written.
        let slow = service_fn(move |request: Request<Body>| {
            let inner = inner.clone();
            async move {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                inner.oneshot(request).await
            }
        });
        let service = PreconditionLayer::from_get().layer(slow);
        let write = |uri: &str, host: &str| {
            let lines = [(IM, &*tag("old")), ("host", host)];
            status_of(service.clone(), request("PUT", uri, &lines).map(|_| Body::from("new")))
        };
        let seen = run(async { tokio::join!(write("/note", "example.com"), write(uri, host)) });
        if seen == (204, 204) {
            lost.push((uri, host));
        }
    }
    assert!(lost.is_empty(), "two writers passed: {lost:?}");
}

/// "One is held until the response has its head": a future that is done and not yet dropped holds nothing.
#[test]
fn a_refused_write_gives_its_lock_back_with_its_response() {
    let note = note("old");
    let service = PreconditionLayer::from_get().layer(service(&note, plain));
    let seen = run(async {
        let mut refused = std::pin::pin!(status_future(&service, put(&[(IM, "\"x\"")], "new")));
        let status = poll_fn(|cx| refused.as_mut().poll(cx)).await;
        assert_eq!(status, 412);
        in_time(status_of(service.clone(), put(&[(IM, "*")], "newer"))).await
    });
    assert_eq!(seen.ok(), Some(204));
}

/// Calls a service; the future that it made lives as long as this one.
fn status_future<S, B>(service: &S, request: Request<Body>) -> impl Future<Output = u16>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    let mut future = Box::pin(service.clone().call(request));
    poll_fn(move |cx| future.as_mut().poll(cx).map(|response| response.unwrap().status().as_u16()))
}

/// "Futures do nothing unless polled": one that was made and not yet polled holds up nobody.
#[test]
fn a_call_that_nobody_polls_holds_no_lock() {
    let note = note("old");
    let service = PreconditionLayer::from_get().layer(service(&note, plain));
    let seen = run(async {
        let first = status_future(&service, put(&[(IM, "*")], "first"));
        let second = in_time(status_future(&service, put(&[(IM, "*")], "second"))).await;
        drop(first);
        second
    });
    assert_eq!(seen.ok(), Some(204));
}

// ----- 4. What is known is put where it does not belong. -----

/// A 304 that the handler gave by a date proves nothing about the tag of the source: a client would put the new tag on its
/// old content, get 304 for ever, and overwrite what it never saw.
#[test]
fn a_304_of_the_handler_gets_no_tag_that_nobody_compared() {
    let layer = PreconditionLayer::new(|_| ready(exists("\"v2\"")));
    // It knows dates alone, and a file that was rolled back is older than what the client has.
    let inner = service_fn(|request: Request<Body>| {
        let is_older = request.headers().contains_key(IMS);
        ready(Ok::<_, Infallible>(if is_older {
            reply(304, &[], "")
        } else {
            reply(200, &[], "content 2")
        }))
    });
    let lines = [(IMS, "Sun, 06 Nov 1994 08:49:37 GMT")];
    let seen = run(layer.layer(inner).oneshot(request("GET", "/", &lines))).unwrap();
    assert!(seen.status() == 200 || !seen.headers().contains_key("etag"), "{:?}", seen.headers());
}

/// A handler that says [`Untagged`] gets no tag, from whichever layer.
#[test]
fn an_untagged_response_gets_no_tag_of_the_source() {
    let known = PreconditionLayer::new(|_| ready(exists("\"v1\"")));
    let note = note("untagged for the database is down");
    for seen in
        [
            run(known.layer(service(&note, moody)).oneshot(request("GET", "/", &[])))
                .unwrap()
                .headers()
                .clone(),
            run(known
                .layer(ConditionalLayer::new().layer(service(&note, moody)))
                .oneshot(request("GET", "/", &[])))
            .unwrap()
            .headers()
            .clone(),
        ]
    {
        assert_eq!(seen.get("etag"), None);
    }
}

/// A handler that asks another service, and passes on the extensions of its request, gets that service's tags.
#[test]
fn what_is_known_of_one_resource_is_not_said_of_another() {
    let who = note("alice");
    let session = ConditionalLayer::new().layer(service(&who, plain));
    let handler = service_fn(move |request: Request<Body>| {
        let session = session.clone();
        async move {
            let (mut parts, body) = request.into_parts();
            parts.uri = "/session".parse().unwrap();
            // The handler has a copy, and asks whether it is still right.
            let tag = parts.headers.remove("x-copy");
            parts.headers.extend(tag.map(|tag| (http::header::IF_NONE_MATCH, tag)));
            Ok::<_, Infallible>(
                session.oneshot(Request::from_parts(parts, body)).await.unwrap().map(Body::new),
            )
        }
    });
    let service = PreconditionLayer::new(|_| ready(exists("\"v1\""))).layer(handler);
    let first = run(service.clone().oneshot(request("GET", "/page", &[]))).unwrap();
    let copy = first.headers()["etag"].to_str().unwrap().to_owned();
    *who.lock().unwrap() = "mallory".to_owned();
    let second = run(status_of(service, request("GET", "/page", &[("x-copy", &*copy)])));
    assert_eq!(second, 200, "the copy {copy} is alice's");
}

/// Axum leaves "/" of a path that is all prefix, and other middleware takes the slash at the end off.
#[test]
fn what_is_known_of_a_resource_is_said_of_what_a_router_leaves_of_it() {
    let read = |text: &'static str| get(move || async move { text });
    let notes = || {
        Router::new()
            .route("/", read("all"))
            .route("/one", read("one"))
            .layer(ConditionalLayer::new())
    };
    let known = || PreconditionLayer::new(|_| ready(exists("\"v1\"")));
    let api =
        Router::new().nest("/notes", notes()).nest("/of/{user}/notes", notes()).layer(known());
    let app = Router::new().nest("/api", api.clone()).fallback_service(api);
    let trimmed = NormalizePathLayer::trim_trailing_slash().layer(notes());
    let app = app.nest_service("/trimmed", known().layer(trimmed));
    for uri in [
        "/notes/one",
        "/notes",
        "/api/notes/one",
        "/api/notes",
        "/of/7/notes",
        "/api/of/7/notes",
        "/trimmed/one/",
    ] {
        let response = run(app.clone().oneshot(request("GET", uri, &[]))).unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap());
        assert_eq!((response.status(), tag), (StatusCode::OK, Some("\"v1\"")), "{uri}");
    }
}

/// A handler may ask for something else with the extensions of the request that it got.
#[test]
fn what_is_known_of_one_nested_resource_is_not_said_of_another() {
    let whole = Arc::new(OnceLock::<Router>::new());
    let again = Arc::clone(&whole);
    let user = get(move |request: Request<Body>| async move {
        let Some(uri) = request.headers().get("x-next").cloned() else {
            return "somebody".into_response();
        };
        let (mut parts, body) = request.into_parts();
        parts.uri = uri.to_str().unwrap().parse().unwrap();
        parts.headers.clear();
        again.get().unwrap().clone().oneshot(Request::from_parts(parts, body)).await.unwrap()
    });
    let users = Router::new()
        .nest("/users/{id}", Router::new().route("/", user).layer(ConditionalLayer::new()));
    let app = whole.get_or_init(|| users).clone().layer(PreconditionLayer::new(
        |parts: &http::request::Parts| {
            ready(exists(&format!("\"of {}\"", parts.uri.path()).replace([' ', '/'], "-")))
        },
    ));
    let tag_of = |lines| {
        run(app.clone().oneshot(request("GET", "/users/7", lines))).unwrap().headers()["etag"]
            .clone()
    };
    assert_eq!(tag_of(&[]), "\"of--users-7\"");
    assert_eq!(tag_of(&[("x-next", "/users/8")]), *tag("somebody"));
}

/// What the client was told counts, and not what a layer further in had said before a layer between changed it.
#[test]
fn the_tag_that_the_client_got_is_the_one_that_its_write_is_judged_by() {
    let note = note("old");
    let between = |mut response: Response<tower_conditional::ResponseBody<Body>>| {
        response.headers_mut().insert("etag", "\"mine\"".parse().unwrap());
        response
    };
    let inner = ServiceBuilder::new()
        .map_response(between)
        .layer(ConditionalLayer::new())
        .service(service(&note, plain));
    let service = PreconditionLayer::from_get().layer(inner);
    assert_eq!(run(status_of(service, put(&[(IM, "\"mine\"")], "new"))), 204);
}

// ----- 5. The answers. -----

/// `OmitLastModified` sends no date that makes a silent response fresh, on a 304 neither: it updates what is stored.
#[test]
fn a_304_bears_no_date_that_the_200_must_not() {
    let date = tower_conditional::HttpDate::from_unix_seconds(784_111_777).unwrap();
    let current = Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(date);
    let known = PreconditionLayer::new(move |_| ready(Representation::from(current.clone())));
    let service = known
        .freshness(tower_conditional::FreshnessPolicy::OmitLastModified)
        .layer(service(&note("x"), plain));
    let [first, second] = [&[][..], &[(INM, "\"v1\"")]].map(|lines| {
        let seen = run(service.clone().oneshot(request("GET", "/", lines))).unwrap();
        (seen.status().as_u16(), seen.headers().get(LM).cloned())
    });
    assert_eq!([first, second], [(200, None), (304, None)]);
}

/// The answer to a HEAD has no content: Hyper's HTTP/2 would send it.
#[test]
fn the_answer_to_a_head_whose_state_is_not_known_has_no_content() {
    let failing = PreconditionLayer::new(|_| ready(Err::<Representation, _>("lost")));
    let layer = failing.on_error(Response::new);
    let seen =
        run(layer.layer(service(&note("x"), plain)).oneshot(request("HEAD", "/", &[(INM, "*")])))
            .unwrap();
    assert!(http_body::Body::is_end_stream(seen.body()));
}

/// The answer to a QUERY is another representation for each query; the tag of the source is not its tag.
#[test]
fn the_answer_to_a_query_gets_no_tag_of_the_source() {
    let layer = PreconditionLayer::new(|_| ready(exists("\"v1\"")));
    let inner = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(reply(200, &[], "found"))));
    let seen = run(layer.layer(inner).oneshot(request("QUERY", "/", &[]))).unwrap();
    assert_eq!(seen.headers().get("etag"), None);
}

/// A safe method writes nothing, so no precondition is required of it.
#[test]
fn a_query_is_no_write() {
    let layer = PreconditionLayer::new(|_| ready(exists("\"v1\""))).require_preconditions(|_| true);
    let inner = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(reply(200, &[], "found"))));
    let seen = ["QUERY", "PROPFIND", "REPORT", "SEARCH"]
        .map(|method| run(status_of(layer.layer(inner), request(method, "/", &[]))));
    assert_eq!(seen, [200; 4]);
}

// ----- 6. The question. -----

/// A cache inside must not answer the question with what was, and a hop-by-hop field of the write is none of the GET's.
#[test]
fn the_question_asks_no_cache_and_for_no_upgrade() {
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
    run(PreconditionLayer::from_get().layer(inner).oneshot(put(&lines, "new"))).unwrap();
    let asked = asked.lock().unwrap().take().unwrap();
    let names: Vec<_> =
        asked.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(names, ["cache-control: no-cache"]);
}

/// A body that makes a permit wait, a handler that panics: the lock is free again (these pass).
#[test]
fn a_handler_that_panics_leaves_no_lock() {
    let inner = service_fn(|request: Request<Body>| async move {
        assert!(
            request.method() == Method::GET || !request.headers().contains_key("x-panic"),
            "as told"
        );
        Ok::<_, Infallible>(reply(200, &[], "x"))
    });
    let service = PreconditionLayer::from_get().layer(inner);
    run(async {
        let panicking = service.clone().oneshot(put(&[(IM, "*"), ("x-panic", "1")], "new"));
        assert!(tokio::spawn(panicking).await.is_err());
        let dropped = service.clone().oneshot(put(&[(IM, "*")], "new"));
        drop(dropped);
        assert_eq!(in_time(status_of(service, put(&[(IM, "*")], "new"))).await.unwrap(), 200);
    });
}

/// What compiles without annotations (passes).
#[test]
fn a_stack_for_axum_infers() {
    async fn pass(request: axum::extract::Request, next: middleware::Next) -> AxumResponse {
        next.run(request).await
    }
    let source = PreconditionLayer::new(|parts| {
        let path = parts.uri.path().to_owned();
        async move {
            if path.is_empty() {
                return Err("no path");
            }
            Ok(Representation::Missing)
        }
    });
    let app = routes(&note("old"))
        .layer(middleware::from_fn(pass))
        .layer(source)
        .layer(middleware::from_fn(pass))
        .layer(ConditionalLayer::new());
    assert_eq!(run(status_of(app, request("GET", "/note", &[]))), 200);
}

// ----- 7. Dates. -----

/// A date within its own second does not tell two contents apart, so it is not sent: what a source gives is no exception.
#[test]
fn the_date_of_a_source_is_sent_only_when_its_second_is_over() {
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

/// A handler that checks inside its transaction, as the documentation asks, knows nothing of a minted date.
#[test]
fn a_minted_date_does_not_come_back_to_a_handler_that_ignores_it() {
    use tower_conditional::Preconditions;

    async fn read(State(note): State<Text>) -> (EntityTag, String) {
        (EntityTag::of(text(&note).as_bytes()), text(&note))
    }
    async fn write(
        State(note): State<Text>,
        asked: Preconditions,
        new: String,
    ) -> axum::response::Result<StatusCode> {
        let mut note = note.lock().unwrap();
        asked.check(&Method::PUT, EntityTag::of(note.as_bytes()))?;
        *note = new;
        Ok(StatusCode::NO_CONTENT)
    }

    let (conditional, clock) = ask::layer();
    let note = note("old");
    let app = Router::new()
        .route("/note", get(read).put(write))
        .with_state(Arc::clone(&note))
        .layer(conditional);
    let seen = run(lose(app, &clock, || *note.lock().unwrap() = "theirs".to_owned()));
    assert_ne!(seen.1, 204, "{seen:?}");
}

/// What is reported of a refused write is what was done with it, and not with the question.
#[test]
fn the_outcome_of_a_refused_write_is_its_own() {
    use tower_conditional::Outcome;
    let inner = ConditionalLayer::new()
        .report_outcome(true)
        .layer(service(&note("x"), |_| reply(500, &[], "broken")));
    let service = PreconditionLayer::from_get().report_outcome(true).layer(inner);
    let seen = run(service.oneshot(put(&[(IM, "*")], "new"))).unwrap();
    assert_eq!(seen.extensions().get(), Some(&Outcome::StateUnavailable));
}
