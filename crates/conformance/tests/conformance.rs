//! The checks for users' own tests: each must be able to fail, and what is right must
//! pass.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    cell::Cell,
    collections::BTreeSet,
    convert::Infallible,
    error::Error,
    future::{pending, ready, Future, IntoFuture},
    pin::pin,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex,
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{body::Body, extract::State, routing::get, Router};
use bytes::Bytes;
use futures_util::stream;
use http::{header, request::Parts, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tower::{service_fn, Layer, ServiceBuilder, ServiceExt as _};
use tower_conditional::{
    ConditionalLayer, EntityTag, FreshnessPolicy, InnerTags, PreconditionLayer, Representation,
    RequestBody, WriteGuard,
};
use tower_conditional_conformance::{check, check_with, Content, Report, Severity, Verdict};
use tower_http::{compression::CompressionLayer, services::ServeDir};

use self::served::{checked, names_of_failures, right};

#[expect(dead_code, unreachable_pub, reason = "its `main` is not run here")]
#[path = "../../../examples/axum.rs"]
mod application;
mod broken;
#[expect(dead_code, reason = "its `main` is not run here")]
#[path = "../src/main.rs"]
mod command;
mod served;

// ----- Each check -----

#[tokio::test]
async fn what_is_right_passes_all() {
    let report = checked(right).await;
    report.assert_ok();
    assert_eq!(names_of_failures(&report), [""; 0], "{report}");
    let moot = report
        .iter()
        .filter(|finding| *finding.verdict() != Verdict::Passed)
        .map(|finding| finding.name());
    assert_eq!(moot.collect::<Vec<_>>(), ["if-unmodified-since/without-date"], "{report}");
}

#[tokio::test]
async fn each_fault_is_named_by_the_check_for_it_and_by_no_other() {
    for (name, fault, serve) in broken::all() {
        let report = checked(serve).await;
        assert_eq!(names_of_failures(&report), [name], "{fault}: {report}");
    }
}

#[tokio::test]
async fn each_check_can_fail() {
    let able: BTreeSet<_> = broken::all().iter().map(|(name, _, _)| *name).collect();
    let report = checked(right).await;
    let all: BTreeSet<_> = report.iter().map(|finding| finding.name()).collect();
    assert_eq!(all, able);
}

#[tokio::test]
async fn the_same_service_gives_the_same_report() {
    for (_, fault, serve) in broken::all().into_iter().step_by(10) {
        let reports = [checked(serve).await, checked(serve).await];
        assert_eq!(format!("{:#}", reports[0]), format!("{:#}", reports[1]), "{fault}");
    }
}

// ----- Services as they are found -----

/// A page that is worth compressing.
fn application(layer: ConditionalLayer) -> Router {
    page().layer(layer)
}

fn page() -> Router {
    Router::new().route("/feed", get(|| ready("the news, ".repeat(100))))
}

/// A layer that has been there for a while.
fn layer() -> ConditionalLayer {
    let seconds = Arc::new(AtomicU64::new(1_795_348_800));
    let now = Arc::clone(&seconds);
    let layer = ConditionalLayer::new()
        .clock(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed)));
    seconds.fetch_add(10, Ordering::Relaxed);
    layer
}

/// What is well known of an Axum `Router`, and does no harm.
const ZERO: &str = "304/zero-length";
/// A date that the layer made is compared by equality.
const LATER: &str = "if-modified-since/later";

#[tokio::test]
async fn our_layer_is_as_it_must_be_in_all_its_settings() {
    let plain = [LATER, ZERO];
    let dateless = [ZERO];
    for (setting, layer, expected) in [
        ("default", layer(), &plain[..]),
        ("weak", layer().weak(true), &plain),
        ("compressed outside", layer().behind_compression(true), &plain),
        ("without dates", layer().last_modified(false), &dateless),
        (
            "without dates of its own",
            layer().freshness(FreshnessPolicy::OmitLastModified),
            &dateless,
        ),
        ("without memory", layer().content_cache(0), &plain),
        ("HEAD as GET", layer().head_as_get(true), &plain),
        ("learning", layer().inner_tags(InnerTags::Learn), &plain),
        ("trusting dates", layer().trust_inner_dates(true), &plain),
        ("replacing tags", layer().inner_tags(InnerTags::Replace), &plain),
        ("with tags in trailers", layer().trailer_tags(true), &plain),
        ("with ranges", layer().ranges(true), &plain),
    ] {
        let report = check(application(layer), "/feed").await;
        report.assert_ok();
        assert_eq!(names_of_failures(&report), expected, "{setting}: {report}");
    }
}

#[tokio::test]
async fn a_layer_that_is_new_is_as_it_must_be() {
    let report = check(application(ConditionalLayer::new()), "/feed").await;
    report.assert_ok();
    assert!(report.failures().all(|finding| finding.severity() == Severity::Should), "{report}");
}

#[tokio::test]
async fn our_layer_around_a_whole_router_sees_no_content_of_head() {
    let around = |layer: ConditionalLayer| check(layer.layer(page()), "/feed").into_future();
    assert_eq!(names_of_failures(&around(layer()).await), [LATER, "head/has-etag"]);
    assert_eq!(names_of_failures(&around(layer().head_as_get(true)).await), [LATER]);
}

#[tokio::test]
async fn our_layer_and_compression_have_two_right_orders() {
    let outside = page().layer(CompressionLayer::new()).layer(layer());
    assert_eq!(names_of_failures(&check(outside, "/feed").await), [LATER, ZERO]);
    let inside = application(layer().behind_compression(true)).layer(CompressionLayer::new());
    assert_eq!(names_of_failures(&check(inside, "/feed").await), [LATER, ZERO]);
    let wrong = application(layer()).layer(CompressionLayer::new());
    let report = check(wrong, "/feed").await;
    assert_eq!(
        names_of_failures(&report),
        [LATER, "304/fields", ZERO, "encoding/tags"],
        "{report}"
    );
    assert!(!report.is_ok());
}

#[tokio::test]
async fn our_layer_takes_tags_and_changes_of_the_handler() {
    let version = Cell::new(1);
    let inner = service_fn(|_: Request<Content>| {
        let version = version.get();
        let response = Response::builder().header(header::ETAG, format!("W/\"{version}\""));
        ready(response.body(Full::<Bytes>::from(format!("version {version}"))))
    });
    let report = check(layer().layer(inner), "/feed")
        .without("head/no-content") // Hyper's work
        .changes(async || version.set(version.get() + 1))
        .await;
    assert_eq!(names_of_failures(&report), [LATER], "{report}");
    let passed = |name| {
        report.iter().any(|finding| finding.name() == name && *finding.verdict() == Verdict::Passed)
    };
    assert!(["change/etag", "change/304"].into_iter().all(passed), "{report}");
}

/// A note that anybody may overwrite.
fn note(layer: ConditionalLayer) -> (Arc<Mutex<String>>, Router) {
    let note = Arc::new(Mutex::new("a note".to_owned()));
    let read = |State(note): State<Arc<Mutex<String>>>| async move { note.lock().unwrap().clone() };
    let write = |State(note): State<Arc<Mutex<String>>>, new: String| async move {
        *note.lock().unwrap() = new;
        StatusCode::NO_CONTENT
    };
    let app = Router::new()
        .route("/note", get(read).put(write))
        .with_state(Arc::clone(&note))
        .layer(layer);
    (note, app)
}

#[tokio::test]
async fn our_layers_together_guard_writes_and_one_alone_does_not() {
    let write = || Request::put("/note").body("overwritten").unwrap();
    let (_, unguarded) = note(layer());
    let report = check(unguarded, "/note").writes(write()).await;
    assert_eq!(names_of_failures(&report), [LATER, ZERO, "write/if-match-miss"], "{report}");

    let (_, inner) = note(layer());
    let inner = inner.map_request(|request: Request<RequestBody<Body>>| request.map(Body::new));
    let guarded = Router::new().fallback_service(WriteGuard::new(inner));
    let report = check(guarded, "/note").writes(write()).await;
    assert_eq!(names_of_failures(&report), [LATER, ZERO], "{report}");

    let (note, inner) = note(layer());
    let known = PreconditionLayer::new(move |parts: &Parts| {
        let tag = EntityTag::of(note.lock().unwrap().as_bytes());
        let is_note = parts.uri.path() == "/note";
        ready(Ok::<_, Infallible>(if is_note {
            Representation::Exists(tag.into())
        } else {
            Representation::Missing
        }))
    });
    let report = check(inner.layer(known), "/note").writes(write()).await;
    report.assert_ok();
    let mut writes = report.iter().filter(|finding| finding.name().starts_with("write/if-"));
    assert!(writes.any(|finding| *finding.verdict() == Verdict::Passed), "{report}");
}

#[tokio::test]
async fn the_example_guards_its_writes() {
    let write = Request::put("/flags")
        .header("content-type", "application/json")
        .body(r#"{"dark-mode":false}"#);
    let report = check(application::app(), "/flags").writes(write.unwrap()).await;
    report.assert_ok();
    let writes = report.iter().filter(|finding| finding.name().starts_with("write/"));
    let passed = writes.filter(|finding| *finding.verdict() == Verdict::Passed).count();
    assert!(passed >= 7, "{report:#}");
    check(application::app(), "/").await.assert_ok();
}

#[tokio::test]
async fn serve_dir_gets_what_it_deserves() {
    let dir = || ServeDir::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let report = check(dir(), "/LICENSE").await;
    let failures = names_of_failures(&report);
    let expected = [
        "if-none-match/lines",
        "if-modified-since/lines",
        "if-match/lines",
        "if-match/malformed",
        "precedence/useless-tag-over-date",
        "range/if-range-stale",
    ];
    assert_eq!(failures, expected, "{report}");
    let report = check(layer().layer(dir()), "/LICENSE").await;
    let mended = ["if-none-match/lines", "if-match/malformed", "precedence/useless-tag-over-date"];
    let left: Vec<_> = names_of_failures(&report);
    assert!(left.iter().all(|name| expected.contains(name) && !mended.contains(name)), "{report}");
    // Where the layer judges alone, all is mended; it learns no tag of a file that has only
    // just been written.
    let later = || SystemTime::now() + Duration::from_secs(3600);
    let replacing = ConditionalLayer::new()
        .inner_tags(InnerTags::Replace)
        .ranges(true)
        .head_as_get(true)
        .clock(later);
    check(replacing.layer(dir()), "/LICENSE").await.assert_ok();
    let report =
        check(ServiceBuilder::new().layer(CompressionLayer::new()).service(dir()), "/LICENSE")
            .await;
    assert!(names_of_failures(&report).contains(&"encoding/tags"), "{report}");
}

#[tokio::test]
async fn a_bare_handler_cannot_be_revalidated_and_that_is_all() {
    let report = check(page(), "/feed").await;
    assert_eq!(names_of_failures(&report), ["validator/present"], "{report}");
    assert!(!report.is_ok());
    check(page(), "/feed").without("validator/present").await.assert_ok();
}

// ----- What does not end, fails or is of another kind -----

/// Answers every request with 200, a tag and this body.
fn tagged<B: http_body::Body>(
    body: impl Fn() -> B,
) -> impl tower::Service<Request<Content>, Response = Response<B>, Error = Infallible> {
    service_fn(move |_| {
        let mut response = Response::new(body());
        response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"v1\""));
        ready(Ok(response))
    })
}

#[tokio::test]
async fn an_event_stream_is_not_read() {
    let started = Instant::now();
    let report = check(application::app(), "/events").await;
    assert_eq!(names_of_failures(&report), ["validator/present"], "{report}");
    assert!(
        report.to_string().contains("(content that was not read: it may have no end)"),
        "{report}"
    );
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn content_without_end_is_read_to_a_bound() {
    let bytes = AtomicU64::new(0);
    let endless = || {
        StreamBody::new(stream::repeat_with(|| {
            bytes.fetch_add(1 << 16, Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 1 << 16])))
        }))
    };
    let report = check(tagged(endless), "/").without("head").await;
    assert_eq!(names_of_failures(&report), ["if-none-match/exact", "if-match/miss"], "{report}");
    assert!(bytes.into_inner() < 150 << 20);
    let nothing =
        || StreamBody::new(stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::new()))));
    let report = check(tagged(nothing), "/").without("head").await;
    assert!(
        report.to_string().contains("(content that was not read: it may have no end)"),
        "{report}"
    );
}

#[test]
fn content_that_does_not_come_is_waited_for_once_on_any_executor() {
    let silent = || StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let timeout = Duration::from_millis(50);
    let started = Instant::now();
    let report =
        block_on(check(tagged(silent), "/").timeout(timeout).without("head").into_future());
    assert_eq!(names_of_failures(&report), ["if-none-match/exact", "if-match/miss"], "{report}");
    assert!(started.elapsed() >= timeout && started.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_service_that_does_not_answer_fails_the_first_check() {
    let silent = service_fn(|_: Request<Content>| pending::<Result<Response<Body>, Infallible>>());
    let report = block_on(check(silent, "/").timeout(Duration::from_millis(20)).into_future());
    assert_eq!(names_of_failures(&report), ["answer/get"]);
    assert!(report.to_string().contains("(no answer within 20ms)"), "{report}");

    let broken = service_fn(|_: Request<Content>| ready(Err::<Response<Body>, _>("out of order")));
    let report = block_on(check(broken, "/").into_future());
    assert_eq!(names_of_failures(&report), ["answer/get"]);
    assert!(report.to_string().contains("the service failed: \"out of order\""), "{report}");

    let torn = || StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from("a"))), Err("torn")]));
    let report = block_on(check(tagged(torn), "/").into_future());
    assert_eq!(names_of_failures(&report), ["answer/get"]);
    assert!(report.to_string().contains("1 byte of content, then an error: \"torn\""), "{report}");
}

#[test]
fn services_with_other_requests_bodies_and_errors_are_checked_too() {
    async fn serve<B>(_: Request<B>) -> Result<Response<Full<&'static [u8]>>, Box<dyn Error>> {
        Ok(Response::new(Full::new(b"news")))
    }
    let expected = [LATER, "head/no-content"];
    let unit = check_with(layer().layer(service_fn(serve::<()>)), "/", drop);
    let text = check_with(layer().layer(service_fn(serve::<String>)), "/", |_| String::new());
    let full = check_with(layer().layer(service_fn(serve::<Full<Bytes>>)), "/", |content| {
        Full::new(content.into())
    });
    let axum = check_with(layer().layer(service_fn(serve::<Body>)), "/", Body::new);
    for check in [unit, text, full, axum] {
        let report = block_on(check.into_future());
        assert_eq!(names_of_failures(&report), expected, "{report}");
    }
}

/// Runs a future on this thread, without a runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

// ----- Settings, and the report -----

#[tokio::test]
async fn fields_are_sent_with_every_request_and_secrets_are_not_shown() {
    let guarded = service_fn(|request: Request<Content>| {
        let is_known = request
            .headers()
            .get(header::AUTHORIZATION)
            .is_some_and(|value| value == "Bearer hunter2");
        let status = if is_known { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        ready(Ok::<_, Infallible>(
            Response::builder().status(status).body(Full::<Bytes>::from("news")).unwrap(),
        ))
    });
    let stranger = check(layer().layer(guarded), "/").await;
    assert_eq!(names_of_failures(&stranger), ["answer/get"], "{stranger}");
    let known = check(layer().layer(guarded), "/")
        .header("authorization", "Bearer hunter2")
        .without("head")
        .await;
    assert_eq!(names_of_failures(&known), [LATER], "{known}");
    let shown = format!("{known:#}");
    assert!(
        shown.contains("> authorization: (not shown)") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[tokio::test]
async fn checks_can_be_left_out_and_added() {
    let request = || Request::get("/feed").body("").unwrap();
    let report = check(application(layer()), "/feed")
        .without("if-none-match")
        .without("if-match/star")
        .also("it is text", request(), |head| {
            head.headers["content-type"] == "text/plain; charset=utf-8"
        })
        .also("it is private", request(), |head| head.headers["cache-control"] == "private")
        .await;
    let names: Vec<_> = report.iter().map(|finding| finding.name()).collect();
    assert!(
        names.iter().all(|name| !name.starts_with("if-none-match/") && *name != "if-match/star"),
        "{names:?}"
    );
    assert!(names.contains(&"if-match/miss") && names.contains(&"304/fields"), "{names:?}");
    assert_eq!(names_of_failures(&report), [LATER, ZERO, "it is private"]);
    assert!(!report.is_ok());
}

#[test]
#[should_panic(expected = "there is no check `if-none-math`")]
fn a_check_that_does_not_exist_cannot_be_left_out() {
    drop(check(page(), "/").without("if-none-math"));
}

#[tokio::test]
async fn only_the_encodings_that_were_named_are_asked_for() {
    let service = || page().layer(CompressionLayer::new()).layer(layer());
    let report = check(service(), "/feed").encodings(["br"]).await;
    let shown = format!("{report:#}");
    assert!(
        shown.contains("> accept-encoding: br") && !shown.contains("> accept-encoding: gzip"),
        "{shown}"
    );
    let report = check(service(), "/feed").encodings([""; 0]).await;
    assert!(report.to_string().contains("\n  encoding: no encoding is offered\n"), "{report}");
}

#[tokio::test]
async fn errors_can_be_named() {
    let report = check(tagged(|| Full::<Bytes>::from("news")), "/").await;
    assert!(report.to_string().contains("  error: no error was found"), "{report}");
    let broken = page().route("/broken", get(|| ready(StatusCode::INTERNAL_SERVER_ERROR)));
    let report = check(broken.layer(layer()), "/feed").error_at("/broken").await;
    let error = report.iter().find(|finding| finding.name() == "error/not-304").unwrap();
    assert_eq!(error.verdict(), &Verdict::Passed);
    assert!(error.transcript().contains(&"< 500 Internal Server Error".to_owned()), "{error}");
}

#[tokio::test]
async fn the_report_says_what_was_sent_and_seen_and_how_to_fix_it() {
    let strict = service_fn(|request: Request<Content>| {
        let hits = request
            .headers()
            .get(header::IF_NONE_MATCH)
            .is_some_and(|line| line == "\"v1\"" || line == "*");
        let status = if hits { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let content = Full::<Bytes>::from(if hits { "" } else { "news" });
        ready(Response::builder().status(status).header(header::ETAG, "\"v1\"").body(content))
    });
    let report = check(strict, "/feed")
        .without("if-match")
        .without("head")
        .without("if-none-match/list")
        .await;
    let (first, _) = report
        .to_string()
        .split_once("\n\nFAILED  if-none-match/lines")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert_eq!(
        first,
        "\
GET /feed: 20 checks passed, 3 failed, 40 not applicable

FAILED  if-none-match/weak (MUST, RFC 9110, 13.1.2)
  If-None-Match compares weakly: W/\"v1\" and \"v1\" are the same to it.
    > GET /feed
    > if-none-match: W/\"v1\"
    < 200 OK
    < etag: \"v1\"
    < (4 bytes of content)
  wanted: 304 (Not Modified)
  hint: Leave `W/` out of the comparison, on both sides: `EntityTag::weak_eq`. Proxies that compress make tags weak."
    );
    let weak = report.failures().next().unwrap();
    assert_eq!(
        (weak.name(), weak.clause().as_str(), weak.severity()),
        ("if-none-match/weak", "RFC 9110, 13.1.2", Severity::Must)
    );
    assert_eq!(weak.verdict(), &Verdict::Failed("304 (Not Modified)".to_owned()));
    assert!(
        weak.claim().starts_with("If-None-Match compares weakly")
            && weak.hint().contains("weak_eq")
    );
    assert_eq!(weak.transcript().len(), 5);
}

#[tokio::test]
#[should_panic(expected = "FAILED  validator/present")]
async fn a_failing_test_shows_the_report() {
    check(page(), "/feed").await.assert_ok();
}

#[tokio::test]
async fn a_failed_should_is_no_reason_to_fail_a_test() {
    let report: Report = check(application(layer()), "/feed").await;
    assert!(report.is_ok() && report.failures().count() == 2, "{report}");
}

// ----- The command -----

/// Serves on loopback, runs the command, and returns what it prints and its exit
/// status.
async fn run(app: Router, path: &str, arguments: &[&str], has_colours: bool) -> (String, u8) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{path}", listener.local_addr().unwrap());
    let server = tokio::spawn(axum::serve(listener, app).into_future());
    let arguments = arguments.iter().map(ToString::to_string).chain([url]);
    let mut out = Vec::new();
    let status =
        command::Settings::read(arguments).unwrap().check(&mut out, has_colours).await.unwrap();
    server.abort();
    (String::from_utf8(out).unwrap(), status)
}

#[tokio::test]
async fn the_command_checks_servers() {
    let (out, status) = run(application(layer()), "/feed", &[], false).await;
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("\nall is well: ") && !out.contains('\x1b'), "{out}");
    let (out, status) = run(page(), "/feed", &["-H", "cookie: a=b"], true).await;
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("\x1b[1;31mFAIL\x1b[0m validator/present"), "{out}");
    assert!(out.contains("> cookie: (not shown)") && !out.contains("write/"), "{out}");
    let (out, status) = run(application::app(), "/events", &["-v"], false).await;
    assert_eq!(status, 1, "{out}");
}

#[tokio::test]
async fn the_command_says_what_it_cannot_do() {
    let read = |arguments: &[&str]| {
        command::Settings::read(arguments.iter().map(ToString::to_string)).err()
    };
    for arguments in [
        &[][..],
        &["https://localhost/"],
        &["-x", "http://localhost/"],
        &["-H"],
        &["-H", "x", "http://localhost/"],
        &["-H", "a b: c", "http://localhost/"],
    ] {
        assert!(read(arguments).is_some(), "{arguments:?}");
    }
    let nobody = command::Settings::read(["http://127.0.0.1:1/".to_owned()]).unwrap();
    assert_eq!(nobody.check(&mut Vec::new(), false).await.unwrap(), 2);
}
