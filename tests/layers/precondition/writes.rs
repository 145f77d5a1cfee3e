//! `WriteGuard`: what is waited for, what is refused, and what a write is answered. The
//! inputs of issue 18 are tests by their numbers; the first is in `wire`.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        Arc, Mutex, OnceLock,
    },
    time::Duration,
};

use axum::{body::Body, extract::Request as AxumRequest, routing, Router};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use tokio::{
    sync::Notify,
    task::{yield_now, JoinHandle},
};
use tower::{
    buffer::Buffer, layer::layer_fn, service_fn, util::BoxCloneSyncService, Layer, ServiceExt,
};
use tower_conditional::{
    ConditionalLayer, EntityTag, Outcome, PreconditionLayer, Preconditions, Representation,
    WriteGuard,
};
use tower_http::normalize_path::NormalizePathLayer;

use crate::support::{
    guarded::{boxed, guarded, App},
    handler::{self, exists},
    harness::{reply, request, run, tag, IM, INM, IUS, LM},
    note::{note, plain, put, service, status_of, text, Text},
    wire::fed,
};

type Sent = (u16, Option<String>);

async fn send(app: &App, request: Request<Body>) -> Sent {
    let response = app.clone().oneshot(request).await.unwrap();
    let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    (response.status().as_u16(), tag)
}

/// Sends a request beside what follows.
fn begin(app: &App, request: Request<Body>) -> JoinHandle<Sent> {
    let app = app.clone();
    tokio::spawn(async move { send(&app, request).await })
}

async fn turns() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// A note that is written when a gate says so, where the write asks for that; it notes
/// what comes of content, piece by piece.
#[derive(Clone, Default)]
struct Slow {
    note: Text,
    gate: Arc<Notify>,
    seen: Arc<Mutex<Vec<String>>>,
    reads: Arc<AtomicUsize>,
}

impl Slow {
    fn of(content: &str) -> Self {
        Self { note: note(content), ..Self::default() }
    }

    fn log(&self, entry: impl Into<String>) {
        self.seen.lock().unwrap().push(entry.into());
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn service(&self) -> App {
        let slow = self.clone();
        let serve = move |request: Request<Body>| {
            let slow = slow.clone();
            async move {
                if request.method() == Method::GET {
                    slow.reads.fetch_add(1, SeqCst);
                    return Ok::<_, Infallible>(reply(200, &[], text(&slow.note)));
                }
                if request.method() == Method::DELETE {
                    slow.log("deleted");
                    return Ok(reply(204, &[], ""));
                }
                let is_slow = request.headers().contains_key("x-slow");
                let (mut body, mut new) = (request.into_body(), String::new());
                slow.log("begun");
                while let Some(frame) = body.frame().await {
                    let Ok(frame) = frame else {
                        slow.log("broken");
                        return Ok(reply(400, &[], ""));
                    };
                    let piece = frame.into_data().unwrap();
                    let piece = std::str::from_utf8(&piece).unwrap().to_owned();
                    slow.log(piece.clone());
                    new += &piece;
                }
                if is_slow {
                    slow.gate.notified().await;
                }
                slow.log("stored");
                *slow.note.lock().unwrap() = new;
                Ok(reply(204, &[], ""))
            }
        };
        boxed(ConditionalLayer::new().layer(service_fn(serve)))
    }
}

/// 2: a boxed service hides what it is. The question then runs the write, which stores
/// nothing.
#[test]
fn input_2_a_write_that_is_asked_by_mistake_stores_nothing() {
    for line in ["\"no\"", "*"] {
        let note = note("precious");
        let kept = Arc::clone(&note);
        let write = routing::any(move |new: String| {
            *kept.lock().unwrap() = new;
            ready(StatusCode::NO_CONTENT)
        });
        let hidden = layer_fn(|route: routing::Route| {
            WriteGuard::new(BoxCloneSyncService::new(route.map_request(
                |request: Request<tower_conditional::RequestBody<Body>>| request.map(Body::new),
            )))
        });
        let app = Router::new().route("/note", write).layer(hidden);
        let status = run(status_of(app, put(&[(IM, line)], "lost")));
        assert!((400..500).contains(&status), "{line} {status}");
        assert_eq!(text(&note), "precious", "{line}");
    }
}

/// 2: what the name of a router's future has in it is no service for one method.
#[tokio::test]
async fn input_2_a_buffer_around_a_router_may_be_guarded() {
    let note = note("old");
    let router = crate::support::note::routes(&note).layer(ConditionalLayer::new());
    let buffered: Buffer<AxumRequest, _> = Buffer::new(router, 8);
    let app = guarded(buffered);
    let mut statuses = Vec::new();
    for line in [tag("old"), tag("other")] {
        let response = app.clone().oneshot(put(&[(IM, &*line)], "new")).await.unwrap();
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses, [204, 412]);
}

/// 3: a suffix of a path is another resource, and is evaluated as that.
#[test]
fn input_3_a_write_within_a_write_is_evaluated_as_what_it_names() {
    for (line, expected) in [(tag("A"), 412), (tag("B"), 204)] {
        let (archived, current) = (note("A"), note("B"));
        let whole = Arc::new(OnceLock::<App>::new());
        let again = Arc::clone(&whole);
        let services = [&archived, &current].map(|note| boxed(service(note, plain)));
        let inner = service_fn(move |request: Request<Body>| {
            let ([archived, current], again) = (services.clone(), Arc::clone(&again));
            async move {
                let is_archive = request.uri().path() == "/archive/notes/1";
                if !is_archive {
                    return current.oneshot(request).await;
                }
                if request.method() == Method::GET {
                    return archived.oneshot(request).await;
                }
                let (mut parts, _) = request.into_parts();
                parts.uri = "/notes/1".parse().unwrap();
                let within = Request::from_parts(parts, Body::from("lost?"));
                again.get().unwrap().clone().oneshot(within).await
            }
        });
        let guard = boxed(guarded(ConditionalLayer::new().layer(inner)));
        // A router notes the path that the client sent.
        let app = App::new(Router::new().fallback_service(guard));
        let app = whole.get_or_init(|| app).clone();
        let write = request("PUT", "/archive/notes/1", &[(IM, &*tag("A"))]);
        let write = write.map(|_| Body::from("x"));
        // The inner write has the precondition of the outer one.
        if line == tag("A") {
            assert_eq!(run(send(&app, write)).0, expected);
            assert_eq!(text(&current), "B", "nothing is overwritten with the tag of another");
        } else {
            let direct = request("PUT", "/notes/1", &[(IM, &*line)]).map(|_| Body::from("new"));
            assert_eq!(run(send(&app, direct)).0, expected);
        }
    }
}

/// 4: `/note` and `/note/` are one where something inside makes them one.
#[test]
fn input_4_two_names_of_one_resource_have_one_lock() {
    for second in ["/note/", "/%6eote", "/note", "/note//"] {
        let slow = Slow::of("old");
        let inner = NormalizePathLayer::trim_trailing_slash().layer(slow.service());
        let app = boxed(guarded(inner));
        let write = |uri: &str| {
            let write = request("PUT", uri, &[(IM, &*tag("old")), ("x-slow", "1")]);
            send(&app, write.map(|_| Body::from("new")))
        };
        slow.gate.notify_one();
        let opens = async {
            turns().await;
            slow.gate.notify_one();
        };
        let (one, two, ()) = run(async { tokio::join!(write("/note"), write(second), opens) });
        assert_eq!([one.0.min(two.0), one.0.max(two.0)], [204, 412], "{second}");
    }
}

/// 5: where a precondition is required, a state that is not known refuses the write.
#[test]
fn input_5_an_unknown_state_fails_closed_where_a_precondition_is_required() {
    let layer = || {
        PreconditionLayer::new(|_| ready(Representation::Unknown))
            .require_preconditions(|_| true)
            .report_outcome(true)
    };
    let seen = handler::send(layer(), "PUT", &[(IM, "\"stale\"")]);
    assert_eq!((seen.status(), seen.ran()), (503, false));
    assert_eq!(seen.outcome, Some(Outcome::StateUnavailable));
    assert_eq!(handler::send(layer(), "PUT", &[]).status(), 428);
}

/// 6: what stands inside, as `Router::layer`, knows the route; the whole is served by
/// Axum.
#[cfg(feature = "axum")]
#[tokio::test]
async fn input_6_metrics_by_route_and_authorization_stand_inside() {
    use axum::{
        extract::MatchedPath,
        middleware::{from_fn, Next},
        response::Response,
    };

    use crate::support::{server::listen, wire::Wire};

    static PATHS: Mutex<Vec<String>> = Mutex::new(Vec::new());

    async fn trace(path: MatchedPath, request: AxumRequest, next: Next) -> Response {
        PATHS.lock().unwrap().push(format!("{} {}", request.method(), path.as_str()));
        next.run(request).await
    }
    async fn authorize(request: AxumRequest, next: Next) -> Result<Response, StatusCode> {
        let is_known = request.headers().contains_key("authorization");
        if is_known {
            Ok(next.run(request).await)
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }

    let router = Router::new()
        .route("/notes/{id}", routing::get(|| async { "now" }).put(|_: String| async {}))
        .layer(ConditionalLayer::new())
        .layer(from_fn(authorize))
        .layer(from_fn(trace));
    let app = WriteGuard::axum(router).require_preconditions(|_| true);
    let (listener, address) = listen().await;
    let app = axum::ServiceExt::<AxumRequest>::into_make_service(app);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let now = tag("now");
    for (fields, status) in [
        (&[("authorization", "x"), (IM, &*now)][..], 200),
        (&[("authorization", "x"), (IM, "\"other\"")], 412),
        (&[("authorization", "x")], 428),
        (&[(IM, &*now)], 401),
    ] {
        let mut wire = Wire::connect(address).await;
        let fields = [fields, &[("content-length", "3")]].concat();
        wire.send(crate::support::wire::request("PUT", "/notes/7", &fields) + "new").await;
        assert_eq!(wire.reply("PUT").await.status, status, "{fields:?}");
    }
    let paths = PATHS.lock().unwrap();
    assert!(paths.contains(&"PUT /notes/{id}".to_owned()), "{paths:?}");
    assert!(paths.iter().all(|path| path.ends_with("/notes/{id}")), "{paths:?}");
}

/// 7: a URI that cannot be read has no representation for `If-None-Match: *`.
#[test]
fn input_7_a_uri_without_get_lets_a_put_create() {
    for (line, expected) in [((INM, "*"), 204), ((IM, "*"), 412), ((IM, "\"x\""), 412)] {
        let router = Router::new()
            .route("/note", routing::put(|_: String| async { StatusCode::NO_CONTENT }))
            .layer(ConditionalLayer::new());
        assert_eq!(run(status_of(guarded(router), put(&[line], "new"))), expected, "{line:?}");
    }
}

/// 8: what 428 asks for is what the method can have.
#[test]
fn input_8_the_text_of_428_fits_the_method() {
    for (method, creates) in [("PUT", true), ("DELETE", false), ("PATCH", false), ("POST", false)] {
        let inner = service(&note("x"), plain);
        let guard = guarded(inner).require_preconditions(|_| true);
        let text = run(async {
            let response = guard.oneshot(request(method, "/note", &[])).await.unwrap();
            assert_eq!(response.status(), 428);
            response.into_body().collect().await.unwrap().to_bytes()
        });
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("If-Match with the ETag"), "{method} {text}");
        assert_eq!(text.contains("If-None-Match"), creates, "{method} {text}");
    }
}

/// 9: weak tags match in If-Match by choice, and own code can read the tags.
#[test]
fn input_9_weak_tags_match_by_choice() {
    let inner = || {
        let answer = |content| reply(200, &[("etag", "W/\"3\"")], content);
        service(&note("old"), answer)
    };
    for (line, strict, weak) in
        [("W/\"3\"", 412, 204), ("\"3\"", 412, 204), ("W/\"4\"", 412, 412), ("*", 204, 204)]
    {
        let write = || put(&[(IM, line)], "new");
        assert_eq!(run(status_of(guarded(inner()), write())), strict, "{line}");
        let by_choice = guarded(inner()).weak_if_match(true);
        assert_eq!(run(status_of(by_choice, write())), weak, "{line}");
        let known = || PreconditionLayer::new(|_| ready(exists("W/\"3\"")));
        let seen = handler::send(known().weak_if_match(true), "PUT", &[(IM, line)]);
        assert_eq!(seen.ran(), weak == 204, "{line}");
        assert_eq!(handler::send(known(), "PUT", &[(IM, line)]).ran(), strict == 204, "{line}");
    }
    let lines = [(IM, "\"a\", W/\"b\", bad"), (INM, "*")];
    let (parts, _) = request("PUT", "/", &lines).into_parts();
    let preconditions = Preconditions::new(&parts.method, &parts.headers);
    let tags: Vec<_> = preconditions.if_match_tags().map(|tag| tag.to_string()).collect();
    assert_eq!(tags, ["\"a\"", "W/\"b\""]);
    assert!(preconditions.is_if_none_match_any() && !preconditions.is_if_match_any());
    assert_eq!(preconditions.if_none_match_tags().count(), 0);
}

/// A PUT, the new tag, a PUT with it, without any GET of the client's.
#[test]
fn new_tag_of_a_put_serves_the_next_one() {
    let slow = Slow::of("old");
    let app = boxed(guarded(slow.service()));
    let mut line = tag("old");
    for text in ["one", "two", "three"] {
        let (status, tag) = run(send(&app, put(&[(IM, &*line)], text)));
        assert_eq!(status, 204);
        line = tag.unwrap();
        assert_eq!(line, EntityTag::of(text.as_bytes()).to_string());
    }
    assert_eq!(run(send(&app, put(&[(IM, &*line)], ""))), (204, Some(tag(""))), "no content");
    assert_eq!(text(&slow.note), "");
}

/// Only where the content was stored exactly as it was sent.
#[test]
fn new_tag_is_that_of_content_stored_as_it_was_sent() {
    type Stores = fn(String) -> String;
    type Reads = &'static [(&'static str, &'static str)];
    const JSON: (&str, &str) = ("content-type", "application/json");
    let as_sent: Stores = |new| new;
    let trims: Stores = |new| new.trim_end().to_owned();
    for (case, stores, reads, sent, is_tagged) in [
        ("as sent", as_sent, &[][..] as Reads, &[][..] as Reads, true),
        ("of one type", as_sent, &[JSON], &[JSON], true),
        ("trimmed", trims, &[], &[], false),
        ("sorted", |_| "{\"a\":1,\"b\":2}".to_owned(), &[], &[], false),
        ("of another type", as_sent, &[("content-type", "text/html")], &[JSON], false),
        ("of no type", as_sent, &[], &[JSON], false),
        ("negotiated", as_sent, &[("vary", "accept")], &[], false),
        ("encoded", as_sent, &[("content-encoding", "gzip")], &[], false),
        ("sent encoded", as_sent, &[], &[("content-encoding", "gzip")], false),
        ("a part", as_sent, &[], &[("content-range", "bytes 0-1/2")], false),
        ("a version", as_sent, &[("etag", "\"v1\"")], &[], false),
        ("not kept", as_sent, &[("cache-control", "no-store")], &[], false),
    ] {
        let note = note("");
        let kept = Arc::clone(&note);
        let inner = service_fn(move |request: Request<Body>| {
            let kept = Arc::clone(&kept);
            async move {
                if request.method() == Method::GET {
                    let is_there = !text(&kept).is_empty();
                    return Ok::<_, Infallible>(if is_there {
                        reply(200, reads, text(&kept))
                    } else {
                        reply(404, &[], "")
                    });
                }
                let new = request.into_body().collect().await.unwrap().to_bytes();
                *kept.lock().unwrap() = stores(String::from_utf8(new.to_vec()).unwrap());
                Ok(reply(201, &[], ""))
            }
        });
        let app = boxed(guarded(ConditionalLayer::new().layer(inner)));
        let content = "{\"b\":2,\"a\":1}\n";
        let (status, new) = run(send(&app, put(&[&[(INM, "*")], sent].concat(), content)));
        assert_eq!((status, new), (201, is_tagged.then(|| tag(content))), "{case}");
    }
}

/// A retry after a connection was cut behind the commit: a success, and one write.
#[test]
fn idempotent_puts_answer_a_retry_with_success() {
    for (is_set, lines, sent, expected) in [
        (true, &[(IM, tag("old"))][..], "now", (204, "now")),
        (false, &[(IM, tag("old"))], "now", (412, "now")),
        (true, &[(IM, tag("old"))], "other", (412, "now")),
        (true, &[(INM, "*".to_owned())], "now", (412, "now")),
        (true, &[(INM, tag("now"))], "now", (412, "now")),
        (true, &[(IM, tag("now"))], "next", (204, "next")),
    ] {
        for method in ["PUT", "PATCH"] {
            for is_streamed in [false, true] {
                let slow = Slow::of("now");
                let app = boxed(guarded(slow.service()).idempotent_puts(is_set));
                let lines: Vec<_> = lines.iter().map(|(name, text)| (*name, &**text)).collect();
                let body = if is_streamed {
                    let (feed, body) = fed("");
                    let frame = http_body::Frame::data(bytes::Bytes::from(sent));
                    feed.send(Ok(frame)).unwrap();
                    body
                } else {
                    Body::from(sent)
                };
                let write = request(method, "/note", &lines).map(|_| body);
                let (status, _) = run(send(&app, write));
                let runs = slow.seen().iter().filter(|entry| *entry == "stored").count();
                let case = format!("{method} {is_set} {lines:?} {sent} {is_streamed}");
                let is_retry = expected == (204, "now");
                let expected_status = if is_retry && method == "PATCH" { 412 } else { expected.0 };
                assert_eq!((status, &*text(&slow.note)), (expected_status, expected.1), "{case}");
                assert_eq!(runs, usize::from(expected.1 == "next"), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn body_limit_refuses_what_is_longer_once_the_preconditions_hold() {
    for (lines, length, expected) in [
        (&[(IM, tag("old"))][..], 10, 204),
        (&[(IM, tag("old"))], 11, 413),
        (&[(IM, tag("other"))], 11, 412),
        (&[], 11, 204),
    ] {
        for is_known in [true, false] {
            let slow = Slow::of("old");
            let app = boxed(guarded(slow.service()).body_limit(10).report_outcome(true));
            let lines: Vec<_> = lines.iter().map(|(name, text)| (*name, &**text)).collect();
            let (feed, body) = fed("");
            let body = if is_known { Body::from("x".repeat(length)) } else { body };
            for byte in vec!["x"; length] {
                drop(feed.send(Ok(http_body::Frame::data(byte.into()))));
            }
            // One that is too long is refused before it has ended.
            let _open = (expected == 413).then_some(feed);
            let write = request("PUT", "/note", &lines).map(|_| body);
            let seen = tokio::time::timeout(Duration::from_secs(5), send(&app, write)).await;
            // What is there at once was not read, and costs nothing.
            assert_eq!(seen.unwrap().0, expected, "{lines:?} {length} {is_known}");
        }
    }
}

/// The end of a write without preconditions waits for one that runs; its content does
/// not.
#[tokio::test(start_paused = true)]
async fn plain_writes_stream_while_a_guarded_one_runs_and_end_after_it() {
    let slow = Slow::of("old");
    let app = boxed(guarded(slow.service()));
    let guarded = put(&[(IM, "*"), ("x-slow", "1")], "guarded");
    let guarded = begin(&app, guarded);
    turns().await;
    assert_eq!(slow.seen(), ["begun", "guarded"]);
    let (feed, body) = fed("a");
    let plain = request("POST", "/note", &[]).map(|_| body);
    let plain = begin(&app, plain);
    turns().await;
    assert_eq!(slow.seen(), ["begun", "a"], "what comes is passed on at once");
    feed.send(Ok(http_body::Frame::data("b".into()))).unwrap();
    turns().await;
    assert_eq!(slow.seen(), ["b"]);
    drop(feed);
    turns().await;
    assert!(slow.seen().is_empty() && !plain.is_finished(), "its end is held back");
    slow.gate.notify_one();
    assert_eq!(guarded.await.unwrap().0, 204);
    assert_eq!(plain.await.unwrap().0, 204);
    assert_eq!(slow.seen(), ["stored", "stored"]);
    assert_eq!(text(&slow.note), "ab");
}

/// Neither a guarded write whose content does not come, nor a plain one that never
/// ends, is waited for; and a guarded one that only waits is passed.
#[tokio::test(start_paused = true)]
async fn writes_wait_for_no_content() {
    let slow = Slow::of("old");
    let app = boxed(guarded(slow.service()));
    let spawn = |request| {
        let app = app.clone();
        tokio::spawn(async move { send(&app, request).await })
    };
    let (_one, guarded_body) = fed("g");
    let (_two, plain_body) = fed("p");
    let never = spawn(request("PUT", "/note", &[(IM, "*")]).map(|_| guarded_body));
    let endless = spawn(request("POST", "/note", &[]).map(|_| plain_body));
    turns().await;
    assert_eq!(send(&app, put(&[(IM, &*tag("old"))], "one")).await.0, 204);
    assert_eq!(send(&app, put(&[], "two")).await.0, 204);
    // A plain one that runs keeps a guarded one waiting, and no other plain one.
    let runs = spawn(put(&[("x-slow", "1")], "three"));
    turns().await;
    let waits = spawn(put(&[(IM, &*tag("two"))], "lost"));
    turns().await;
    assert_eq!(send(&app, put(&[], "four")).await.0, 204);
    assert!(!waits.is_finished());
    slow.gate.notify_one();
    assert_eq!((runs.await.unwrap().0, waits.await.unwrap().0), (204, 412));
    assert!(!never.is_finished() && !endless.is_finished());
    // Nothing is waited for longer than that.
    never.abort();
    endless.abort();
}

#[tokio::test(start_paused = true)]
async fn lock_timeout_answers_503_and_when_to_try_again() {
    for lines in [&[(IM, "*")][..], &[]] {
        for is_streamed in [false, true] {
            let slow = Slow::of("old");
            let guard = guarded(slow.service()).lock_timeout(Duration::from_secs(3));
            let runs = tokio::spawn(guard.clone().oneshot(put(&[(IM, "*"), ("x-slow", "1")], "x")));
            turns().await;
            let (feed, body) = fed("late");
            let body = if is_streamed { body } else { Body::from("late") };
            drop(feed);
            let write = request("PUT", "/note", lines).map(|_| body);
            let start = tokio::time::Instant::now();
            let response = guard.clone().oneshot(write).await.unwrap();
            assert_eq!(response.status(), 503, "{lines:?} {is_streamed}");
            assert_eq!(response.headers()["retry-after"], "1");
            let waited = start.elapsed();
            assert!((3.0..3.1).contains(&waited.as_secs_f64()), "{waited:?}");
            slow.gate.notify_one();
            assert_eq!(runs.await.unwrap().unwrap().status(), 204);
            assert_eq!(text(&slow.note), "x", "what was refused is not stored");
            assert_eq!(guard.stats().busy, 1);
        }
    }
}

/// The content is streamed, and its end waits for the second evaluation.
#[tokio::test(start_paused = true)]
async fn stream_uploads_ends_the_content_in_an_error_if_the_preconditions_no_longer_hold() {
    for others_write in [false, true] {
        let slow = Slow::of("old");
        let app = boxed(guarded(slow.service()).stream_uploads(true).body_limit(1));
        let (feed, body) = fed("a");
        let upload = request("PUT", "/note", &[(IM, &*tag("old"))]).map(|_| body);
        let upload = begin(&app, upload);
        turns().await;
        assert_eq!(slow.seen(), ["begun", "a"], "no lock is held, and nothing is read ahead");
        if others_write {
            assert_eq!(send(&app, put(&[(IM, "*")], "t")).await.0, 204);
            slow.seen();
        }
        feed.send(Ok(http_body::Frame::data("b".into()))).unwrap();
        drop(feed);
        let (status, tag_of_now) = upload.await.unwrap();
        assert_eq!(status, if others_write { 412 } else { 204 });
        if others_write {
            assert_eq!(slow.seen(), ["b", "broken"]);
            assert_eq!((text(&slow.note), tag_of_now), ("t".to_owned(), Some(tag("t"))));
        } else {
            assert_eq!(slow.seen(), ["b", "stored"]);
            assert_eq!(text(&slow.note), "ab");
        }
        // The lock is free again.
        assert_eq!(send(&app, put(&[(IM, "*")], "z")).await.0, 204);
    }
}

/// A stream that goes both ways is not held up.
#[tokio::test]
async fn plain_writes_may_be_answered_while_they_come() {
    let echo = service_fn(|request: Request<Body>| {
        ready(Ok::<_, Infallible>(reply(200, &[], request.into_body())))
    });
    let app = boxed(guarded(echo));
    let (feed, body) = fed("a");
    let response = app.oneshot(request("POST", "/rpc", &[]).map(|_| body)).await.unwrap();
    let mut body = response.into_body();
    let mut next = async || body.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
    assert_eq!(next().await.unwrap(), "a");
    feed.send(Ok(http_body::Frame::data("b".into()))).unwrap();
    assert_eq!(next().await.unwrap(), "b");
    drop(feed);
    assert_eq!(next().await, None);
}

/// `*` needs no tag, and dates none where the handler gives one.
#[test]
fn probe_that_needs_no_tag_has_nothing_read_or_hashed() {
    let dated = &[(LM, "Sun, 06 Nov 1994 08:49:37 GMT")][..];
    for (line, own, is_read, expected) in [
        ((IM, "*"), &[][..], false, 204),
        ((INM, "*"), &[], false, 412),
        ((IM, &*tag("old")), &[], true, 204),
        ((IUS, "Sun, 06 Nov 1994 08:49:37 GMT"), dated, false, 204),
        ((IUS, "Sun, 06 Nov 1994 08:49:36 GMT"), dated, false, 412),
    ] {
        let layer = ConditionalLayer::new();
        let inner = service(&note("old"), move |content| reply(200, own, content));
        let guard = guarded(layer.layer(inner));
        assert_eq!(run(status_of(guard, put(&[line], "new"))), expected, "{line:?}");
        assert_eq!(layer.stats().bytes_hashed > 0, is_read, "{line:?}");
    }
}

/// If the content is whole and the lock free, one question will do.
#[test]
fn probe_is_sent_once_where_nothing_is_waited_for() {
    for (is_whole, expected) in [(true, 1), (false, 2)] {
        let slow = Slow::of("old");
        let app = boxed(guarded(slow.service()));
        let body = if is_whole {
            Body::from("new")
        } else {
            let (feed, body) = fed("");
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                feed.send(Ok(http_body::Frame::data("new".into())))
            });
            body
        };
        let delete = request("DELETE", "/note", &[(IM, &*tag("old"))]).map(|_| body);
        assert_eq!(run(send(&app, delete)).0, 204);
        assert_eq!(slow.reads.load(SeqCst), expected, "{is_whole}");
    }
}

#[test]
fn stats_count_what_the_guard_did() {
    let guard = guarded(Slow::of("old").service()).require_preconditions(|_| true).body_limit(2);
    for (request, status) in [
        (request("GET", "/note", &[]), 200),
        (put(&[], "x"), 428),
        (put(&[(IM, "\"x\"")], "x"), 412),
        (put(&[(IM, "*")], "x"), 204),
    ] {
        assert_eq!(run(status_of(guard.clone(), request)), status);
    }
    let stats = guard.stats();
    assert_eq!((stats.served, stats.proceeded), (4, 1));
    assert_eq!((stats.precondition_required, stats.precondition_failed), (1, 1));
    assert_eq!(stats.bytes_buffered, 0);
}

#[tokio::test(start_paused = true)]
async fn a_delete_waits_for_the_lock_though_its_handler_does_not_look_at_its_content() {
    for streams in [false, true] {
        let slow = Slow::of("old");
        let app = boxed(guarded(slow.service()).stream_uploads(streams));
        let first = put(&[(IM, "*"), ("x-slow", "1")], "guarded");
        let first = begin(&app, first);
        turns().await;
        assert_eq!(slow.seen(), ["begun", "guarded"]);
        let (feed, body) = fed("");
        let delete = request("DELETE", "/note", &[("expect", "100-continue")]).map(|_| body);
        let delete = begin(&app, delete);
        turns().await;
        assert!(slow.seen().is_empty(), "not before its content has come");
        drop(feed);
        turns().await;
        assert!(slow.seen().is_empty() && !delete.is_finished(), "nor before the other is done");
        slow.gate.notify_one();
        assert_eq!(first.await.unwrap().0, 204);
        assert_eq!(delete.await.unwrap().0, 204);
    }
}
