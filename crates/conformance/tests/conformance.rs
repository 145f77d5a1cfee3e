//! The checks for users' own tests: each must be able to fail, and what is right must
//! pass.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    cell::Cell,
    collections::BTreeSet,
    convert::Infallible,
    env,
    error::Error,
    fs::{self, File},
    future::{pending, ready, Future, IntoFuture},
    path::PathBuf,
    pin::pin,
    process,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex,
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    extract::State,
    response::{Html, IntoResponse},
    routing::{any, get},
    Json, Router,
};
use bytes::Bytes;
use futures_util::stream;
use http::{header, request::Parts, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use serde_json::json;
use tower::{service_fn, Layer, ServiceBuilder, ServiceExt as _};
use tower_conditional::{
    AddLastModified, ConditionalLayer, EntityTag, HttpDate, InnerTags, OuterCompression,
    PreconditionLayer, Preconditions, Representation, RequestBody, WriteGuard,
};
use tower_conditional_conformance::{check, check_with, rules, Content, Report, Severity, Verdict};
use tower_http::{compression::CompressionLayer, services::ServeDir};

use self::{
    command::settings::Settings,
    served::{
        checked, line, names_of_failures, now, reply, right, right_but, right_without, value,
        Asked, Serve, Store,
    },
};

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
    let expected = ["if-unmodified-since/without-date", "change/second"];
    assert_eq!(moot.collect::<Vec<_>>(), expected, "{report}");
}

#[tokio::test]
async fn each_fault_is_named_by_the_check_for_it_and_by_no_other() {
    let mut wrong = Vec::new();
    for (name, fault, serve) in broken::all() {
        let report = checked(serve).await;
        if names_of_failures(&report) != [name] {
            wrong.push(format!("{name} is not the only one that names it: {fault}: {report}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Services that differ from the one without a fault in what the RFC leaves open.
#[tokio::test]
async fn what_is_allowed_passes_too() {
    let allowed: [(&str, Serve); 10] = [
        ("compares dates by their order", |store, mut asked| {
            let lines: Vec<_> = asked.headers().get_all(header::IF_MODIFIED_SINCE).iter().collect();
            if let [date] = lines[..]
                && HttpDate::parse(date, now()).is_some_and(|date| date > store.changed())
            {
                asked.headers_mut().insert(header::IF_MODIFIED_SINCE, store.changed().into());
            }
            right(store, asked)
        }),
        ("reads no If-Unmodified-Since where no part is wanted", |store, asked| {
            let reads_whole =
                asked.method() == Method::GET && !asked.headers().contains_key(header::RANGE);
            if reads_whole {
                right_without(store, asked, &header::IF_UNMODIFIED_SINCE)
            } else {
                right(store, asked)
            }
        }),
        ("sends the whole for an older If-Unmodified-Since", |store, asked| {
            let is_read = asked.method() == Method::GET;
            let is_dated = asked.headers().contains_key(header::IF_UNMODIFIED_SINCE);
            if is_read && is_dated && !asked.headers().contains_key(header::IF_MATCH) {
                return right_without(
                    store,
                    without(asked, &header::RANGE),
                    &header::IF_UNMODIFIED_SINCE,
                );
            }
            right(store, asked)
        }),
        ("says on a 304 how long the 200 is", |store, asked| {
            let is_zipped = line(&asked, &header::ACCEPT_ENCODING) == Some("gzip");
            let length = if is_zipped { "zipped".len() } else { store.content.len() };
            right_but(store, asked, |reply| {
                if reply.status() == StatusCode::NOT_MODIFIED {
                    reply.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                }
            })
        }),
        ("refuses a part of other content once", |store, asked| {
            // Every other time: the second is sent as without Range.
            let is_once = store.remembered.take().is_none();
            let whole = right(&mut store.clone(), copy(&asked));
            let is_resumed = asked.headers().contains_key(header::IF_RANGE)
                && asked.headers().contains_key(header::RANGE);
            if is_resumed && is_once && whole.status() == StatusCode::OK {
                store.remembered = Some(value("refused"));
                let mut later = reply(StatusCode::SERVICE_UNAVAILABLE, "");
                later.headers_mut().insert(header::RETRY_AFTER, value(1));
                return later;
            }
            right(store, asked)
        }),
        ("says 400 to an If-Range that it cannot read", |store, asked| {
            let is_valid = |line: &HeaderValue| {
                EntityTag::try_from(line).is_ok() || HttpDate::parse(line, now()).is_some()
            };
            let lines: Vec<_> = asked.headers().get_all(header::IF_RANGE).into_iter().collect();
            if lines.len() > 1 || !lines.into_iter().all(is_valid) {
                reply(StatusCode::BAD_REQUEST, "")
            } else {
                right(store, asked)
            }
        }),
        ("stores its content in a coding", |store, asked| {
            let mut asked = without(asked, &header::ACCEPT_ENCODING);
            if asked.method() == Method::PUT {
                *asked.body_mut() = "zipped".into();
            }
            right_but(store, asked, |reply| {
                if reply.status().is_success() {
                    reply.headers_mut().insert(header::CONTENT_ENCODING, value("gzip"));
                    reply.headers_mut().remove(header::VARY);
                }
                if reply.status() == StatusCode::NOT_MODIFIED {
                    reply.headers_mut().remove(header::VARY);
                }
            })
        }),
        ("knows no ranges", |store, asked| right_without(store, asked, &header::RANGE)),
        ("changes what is written, and answers without a tag", |store, asked| {
            if asked.method() != Method::PUT {
                return right(store, asked);
            }
            right_but(store, asked.map(|content| content.slice(1..)), |reply| {
                reply.headers_mut().remove(header::ETAG);
            })
        }),
        ("writes later", |store, asked| {
            let (is_write, before) = (asked.method() == Method::PUT, store.content.clone());
            let mut reply = right(store, asked);
            if is_write && reply.status().is_success() {
                store.content = before;
                *reply.status_mut() = StatusCode::ACCEPTED;
            }
            reply
        }),
    ];
    for (what, serve) in allowed {
        let report = checked(serve).await;
        assert_eq!(report.failures().count(), 0, "{what}: {report}");
    }
}

/// A GET may select another representation than the one that was written.
#[tokio::test]
async fn a_write_is_not_compared_with_content_of_another_media_type() {
    let serve: Serve = |store, asked| {
        if asked.method() == Method::PUT {
            return right(store, asked.map(|content| content.slice(1..)));
        }
        right_but(store, asked, |reply| {
            if reply.status() == StatusCode::OK {
                reply.headers_mut().insert(header::CONTENT_TYPE, value("text/html; charset=utf-8"));
            }
        })
    };
    for (media_type, failed) in [("text/plain", &[][..]), ("TEXT/HTML", &["write/etag"])] {
        let write = Request::put("/feed").header(header::CONTENT_TYPE, media_type);
        let report = checked(serve).writes(write.body("written").unwrap()).await;
        assert_eq!(names_of_failures(&report), failed, "{media_type}: {report}");
    }
}

/// RFC 9110, 14.5, allows a PUT of a part of the content.
#[tokio::test]
async fn a_write_of_a_part_is_not_compared_with_the_whole() {
    let serve: Serve = |store, mut asked| {
        if asked.headers().contains_key(header::CONTENT_RANGE) {
            *asked.body_mut() = [asked.body(), &store.content[1..]].concat().into();
        }
        right(store, asked)
    };
    let part = Request::put("/feed").header("content-range", "bytes 0-0/8");
    let report = checked(serve).writes(part.body("T").unwrap()).await;
    assert_eq!(report.failures().count(), 0, "{report}");
}

/// The page of a source may have the tag of the source.
#[tokio::test]
async fn what_was_written_is_read_where_it_was_written() {
    let serve: Serve = |store, mut asked| {
        if asked.method() == Method::PUT {
            *asked.body_mut() = [b"<p>", &asked.body()[..]].concat().into();
        } else if asked.uri().query() == Some("source") {
            let mut source = Store { content: store.content.slice(3..), ..store.clone() };
            return right(&mut source, asked);
        }
        right(store, asked)
    };
    let write = Request::put("/feed?source").body("written").unwrap();
    let report = checked(serve).writes(write).await;
    assert_eq!(report.failures().count(), 0, "{report}");
}

fn without(mut asked: Asked, name: &header::HeaderName) -> Asked {
    asked.headers_mut().remove(name);
    asked
}

fn copy(asked: &Asked) -> Asked {
    let mut same = Asked::new(asked.body().clone());
    *same.method_mut() = asked.method().clone();
    *same.uri_mut() = asked.uri().clone();
    *same.headers_mut() = asked.headers().clone();
    same
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
        let [first, second] = reports.map(|report| without_times(&format!("{report:#}")));
        assert_eq!(first, second, "{fault}");
    }
}

/// Leaves out times of day: some requests are about the present second.
fn without_times(report: &str) -> String {
    let is_time = |word: &&str| word.len() == 8 && word.matches(':').count() == 2;
    report.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ")
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

#[tokio::test]
async fn our_layer_is_as_it_must_be_in_all_its_settings() {
    let mut failed = Vec::new();
    for (setting, layer) in [
        ("default", layer()),
        ("compressed outside", layer().outer_compression(OuterCompression::new().keeps_tags(true))),
        ("without dates", layer().add_last_modified(AddLastModified::Never)),
        ("without dates of its own", layer().add_last_modified(AddLastModified::IfFreshnessStated)),
        ("without memory", layer().content_cache(0)),
        ("HEAD as GET", layer().head_as_get(true)),
        ("learning", layer().inner_tags(InnerTags::learn())),
        ("trusting dates", layer().inner_tags(InnerTags::learn().trust_dates(true))),
        ("replacing tags", layer().inner_tags(InnerTags::replace())),
        ("with digests", layer().repr_digest(true)),
        ("with ranges", layer().ranges(true)),
    ] {
        note_failures(setting, &check(application(layer), "/feed").await, &mut failed);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Notes a report with failures, so that a test shows all of them.
fn note_failures(what: &str, report: &Report, failed: &mut Vec<String>) {
    if report.failures().next().is_some() {
        failed.push(format!("{what}: {report}"));
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
    assert_eq!(names_of_failures(&around(layer()).await), ["head/has-etag"]);
    assert_eq!(names_of_failures(&around(layer().head_as_get(true)).await), [""; 0]);
}

/// Outside of the layer there is nothing that could be in a wrong order.
#[tokio::test]
async fn compress_with_is_as_it_must_be() {
    let compressed = || layer().compress_with(CompressionLayer::new());
    let report = check(page().layer(compressed()), "/feed").await;
    assert_eq!(names_of_failures(&report), [""; 0], "pages: {report}");
    assert_passed(&report, &ENCODINGS);

    let folder = Folder::modified(DAY);
    for layer in [ConditionalLayer::new(), ConditionalLayer::new().ranges(true)] {
        let files = layer.compress_with(CompressionLayer::new()).layer(folder.serve());
        let report = check(files, "/feed.txt").await;
        assert_eq!(names_of_failures(&report), [""; 0], "files: {report}");
        assert_passed(&report, &ENCODINGS);
    }

    let (version, app) = document();
    let write = Request::put("/document").body("overwritten").unwrap();
    let report = check(app.layer(compressed()), "/document")
        .writes(write)
        .changes(async || *version.lock().unwrap() += 1)
        .await;
    assert_eq!(names_of_failures(&report), [""; 0], "JSON with a tag of its own: {report}");
    assert_passed(&report, &ENCODINGS);
    assert_passed(&report, &["change/etag", "change/304", "write/if-match-current"]);
}

const ENCODINGS: [&str; 4] =
    ["encoding/tags", "encoding/vary", "encoding/304", "encoding/304-length"];

/// JSON with a version as its tag, by which PUT checks.
fn document() -> (Arc<Mutex<u32>>, Router) {
    let version = Arc::new(Mutex::new(1));
    let read = |State(version): State<Arc<Mutex<u32>>>| async move {
        let version = *version.lock().unwrap();
        let tag = EntityTag::from(version).to_string();
        ([(header::ETAG, tag)], Json(json!({ "version": version, "text": "news, ".repeat(100) })))
    };
    let write = |State(version): State<Arc<Mutex<u32>>>, parts: Parts| async move {
        let mut version = version.lock().unwrap();
        let preconditions = Preconditions::new(&parts.method, &parts.headers);
        if let Err(rejection) = preconditions.check(EntityTag::from(*version)) {
            return Response::<String>::from(rejection).map(Body::from);
        }
        *version += 1;
        reply(StatusCode::NO_CONTENT, "").map(Body::new)
    };
    let app = Router::new().route("/document", get(read).put(write));
    (Arc::clone(&version), app.with_state(version))
}

#[tokio::test]
async fn our_layer_has_right_digests_and_answers_queries() {
    let layer = layer().repr_digest(true).ranges(true);
    let read = || ready("the news, ".repeat(100));
    let app = Router::new().route("/feed", any(read)).layer(layer);
    let query = Request::post("/feed").header("content-type", "text/plain");
    let report = check(app, "/feed").queries(query.body("news").unwrap()).await;
    assert_eq!(report.failures().count(), 0, "{report}");
    assert_passed(&report, &["digest/repr", "digest/part", "digest/head"]);
    assert_passed(&report, &["range/content", "range/unsatisfiable", "head/304-length"]);
    assert_passed(&report, &["query/etag", "query/304", "query/miss", "query/if-match-miss"]);
}

#[tokio::test]
async fn our_layer_and_compression_have_two_right_orders() {
    let outside = page().layer(CompressionLayer::new()).layer(layer());
    assert_eq!(names_of_failures(&check(outside, "/feed").await), [""; 0]);
    let inside = application(layer().outer_compression(OuterCompression::new().keeps_tags(true)))
        .layer(CompressionLayer::new());
    let report = check(inside, "/feed").await;
    // Inside a router, where a coding is accepted: a body of unknown size would be
    // encoded, and Axum adds a Content-Length of 0 to any other that is empty.
    assert_eq!(names_of_failures(&report), ["encoding/304-length"], "{report}");
    let wrong = application(layer()).layer(CompressionLayer::new());
    let report = check(wrong, "/feed").await;
    assert_eq!(names_of_failures(&report), ["304/fields", "encoding/tags"], "{report}");
    assert!(!report.is_ok());
}

#[tokio::test]
async fn compression_inside_our_layer_has_a_tag_for_each_coding() {
    let (_, app) = document();
    let report = check(app.layer(CompressionLayer::new()).layer(layer()), "/document").await;
    // Axum adds a Content-Length of 0: see the test above.
    assert_eq!(names_of_failures(&report), ["encoding/304-length"], "{report}");
    let folder = Folder::modified(DAY);
    let layers = ServiceBuilder::new().layer(layer()).layer(CompressionLayer::new());
    let report = check(layers.service(folder.serve()), "/feed.txt").await;
    // `ServeDir` answers 304 itself, and the compression adds no `Vary` to that.
    assert_eq!(names_of_failures(&report), ["304/fields"], "{report}");
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
    assert_eq!(names_of_failures(&report), [""; 0], "{report}");
    let passed = |name| {
        report.iter().any(|finding| finding.name() == name && *finding.verdict() == Verdict::Passed)
    };
    assert!(["change/etag", "change/304"].into_iter().all(passed), "{report}");
}

/// A note that every client may overwrite.
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
    assert_eq!(names_of_failures(&report), ["write/if-match-miss"], "{report}");

    let (_, inner) = note(layer());
    let inner = inner.map_request(|request: Request<RequestBody<Body>>| request.map(Body::new));
    let guarded = Router::new().fallback_service(WriteGuard::new(inner));
    let report = check(guarded, "/note").writes(write()).await;
    assert_eq!(names_of_failures(&report), [""; 0], "{report}");

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

/// RFC 9110, 13.1.1, allows success for a write that was done before.
#[tokio::test]
async fn a_write_that_is_stored_already_may_succeed() {
    let (_, inner) = note(layer());
    let inner = inner.map_request(|request: Request<RequestBody<Body>>| request.map(Body::new));
    let guard = WriteGuard::new(inner).idempotent_puts(true);
    let write = Request::put("/note").body("a note").unwrap();
    let report = check(Router::new().fallback_service(guard), "/note").writes(write).await;
    assert_eq!(names_of_failures(&report), [""; 0], "{report}");
    let stored = "the resource had the content of the write already: give another one";
    let moot = Verdict::NotApplicable(stored.to_owned());
    assert!(report.iter().any(|finding| *finding.verdict() == moot), "{report}");

    // A service without a guard does not pass because of that.
    let (_, unguarded) = note(layer());
    let write = Request::put("/note").body("a note").unwrap();
    let report = check(unguarded, "/note").writes(write).await;
    assert_eq!(names_of_failures(&report), ["write/if-none-match-star"], "{report}");
}

/// The checks need tags that the resource does not have.
#[tokio::test]
async fn the_tag_of_the_resource_may_be_one_that_the_checks_make_up() {
    for tag in [
        "\"another\"",
        "W/\"another\"",
        "\"yet-another\"",
        "\"\"",
        "W/\"\"",
        "\"*\"",
        "\"x,*,y\"",
        "\"another,one\"",
    ] {
        let app = Router::new().route("/feed", get(move || ready(([(header::ETAG, tag)], "news"))));
        let report = check(app.layer(layer().ranges(true)), "/feed").await;
        assert_eq!(report.failures().count(), 0, "{tag}: {report}");
    }
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

// ----- What people serve, in process and over HTTP/1.1 -----

/// A folder with one file, `feed.txt`.
struct Folder {
    path: PathBuf,
    /// How many minutes the clock of the test is ahead.
    minutes: Arc<AtomicU64>,
}

impl Folder {
    /// Writes a file that was modified so long ago.
    fn modified(age: Duration) -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("check-conditional-{}-{number}", process::id());
        let folder = Self { path: env::temp_dir().join(name), minutes: Arc::default() };
        fs::create_dir_all(&folder.path).unwrap();
        folder.write("the news, ".repeat(100), age);
        folder
    }

    fn write(&self, content: String, age: Duration) {
        let path = self.path.join("feed.txt");
        fs::write(&path, content).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(self.clock()() - age).unwrap();
    }

    /// Writes other content, and lets two minutes go by: a date that is older than
    /// the last response with the old content is not taken for that of the new content.
    fn change(&self) {
        let minutes = self.minutes.fetch_add(2, Ordering::Relaxed);
        self.write(format!("news at {minutes}, ").repeat(100), Duration::from_secs(60));
    }

    fn clock(&self) -> impl Fn() -> SystemTime + Send + Sync + 'static {
        let minutes = Arc::clone(&self.minutes);
        move || SystemTime::now() + Duration::from_secs(60 * minutes.load(Ordering::Relaxed))
    }

    fn serve(&self) -> ServeDir {
        ServeDir::new(&self.path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// A JSON handler in a router.
fn json_app(layer: ConditionalLayer) -> Router {
    let read = || ready(Json(json!({ "items": [1, 2, 3], "title": "the news" })));
    Router::new().route("/feed", get(read)).layer(layer)
}

/// An HTML page in a router.
fn html_app(layer: ConditionalLayer) -> Router {
    let page = "<!doctype html><title>News</title><p>the news";
    Router::new().route("/feed", get(move || ready(Html(page)))).layer(layer)
}

/// What is checked of each service that sends parts.
const RANGE_RULES: [&str; 8] = [
    "range/if-range-stale",
    "range/if-range-weak",
    "range/if-range-date",
    "range/if-range-malformed",
    "range/if-range-lines",
    "range/if-range-current",
    "range/if-unmodified-since",
    "range/if-match",
];

/// Asserts that a check passed.
fn assert_passed(report: &Report, names: &[&str]) {
    for name in names {
        let found = report.iter().find(|finding| finding.name() == *name).unwrap();
        assert_eq!(*found.verdict(), Verdict::Passed, "{name}: {report}");
    }
}

#[tokio::test]
async fn serve_dir_alone_has_known_faults() {
    let folder = Folder::modified(DAY);
    let report = check(folder.serve(), "/feed.txt").await;
    let expected = [
        "if-none-match/lines",
        "if-modified-since/lines",
        "if-match/lines",
        "if-match/malformed",
        "precedence/useless-tag-over-date",
        "range/if-range-stale",
    ];
    assert_eq!(names_of_failures(&report), expected, "{report}");
    let compressed = ServiceBuilder::new().layer(CompressionLayer::new()).service(folder.serve());
    let report = check(compressed, "/feed.txt").await;
    assert!(names_of_failures(&report).contains(&"encoding/tags"), "{report}");
}

#[tokio::test]
async fn our_layer_makes_serve_dir_right() {
    let folder = Folder::modified(DAY);
    let mut failed = Vec::new();
    let replacing = ConditionalLayer::new().inner_tags(InnerTags::replace()).head_as_get(true);
    for (setting, layer) in [
        ("default", ConditionalLayer::new()),
        ("HEAD as GET", ConditionalLayer::new().head_as_get(true)),
        ("with ranges", ConditionalLayer::new().ranges(true)),
        ("replacing tags, with ranges", replacing.ranges(true)),
    ] {
        let report = check(layer.layer(folder.serve()), "/feed.txt").await;
        note_failures(setting, &report, &mut failed);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn our_layer_makes_serve_dir_right_while_its_file_is_changed() {
    let folder = Folder::modified(DAY);
    let service = ConditionalLayer::new().clock(folder.clock()).layer(folder.serve());
    let report = check(service, "/feed.txt").changes(async || folder.change()).await;
    assert_passed(&report, &RANGE_RULES);
    assert_passed(&report, &["change/if-range", "change/if-range-date"]);
    // `ServeDir` ignores If-Range: only the part shows that it is of another version.
    let resumed = report.iter().find(|finding| finding.name() == "change/if-range").unwrap();
    let has_line = |line: &str| resumed.transcript().iter().any(|shown| shown == line);
    assert!(has_line("< 503 Service Unavailable") && has_line("< retry-after: 1"), "{resumed}");
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn our_layer_makes_serve_dir_right_while_its_file_is_rolled_back() {
    let mut failed = Vec::new();
    let replacing = || ConditionalLayer::new().inner_tags(InnerTags::replace());
    for (setting, layer) in [
        ("default", ConditionalLayer::new()),
        ("with ranges", ConditionalLayer::new().ranges(true)),
        ("replacing tags", replacing()),
        ("replacing tags, with ranges", replacing().ranges(true)),
    ] {
        let folder = Folder::modified(DAY);
        let changes = Cell::new(0);
        let report = check(layer.layer(folder.serve()), "/feed.txt").changes(async || {
            changes.set(changes.get() + 1);
            // Each time the date is an older one.
            let content = format!("change {}, ", changes.get()).repeat(100);
            folder.write(content, DAY + Duration::from_secs(60 * changes.get()));
        });
        note_failures(setting, &report.await, &mut failed);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn our_layer_makes_serve_dir_right_for_a_file_that_was_just_written() {
    let folder = Folder::modified(Duration::ZERO);
    let report = check(ConditionalLayer::new().layer(folder.serve()), "/feed.txt").await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn our_layer_makes_json_and_html_right() {
    let mut failed = Vec::new();
    for (what, app) in [
        ("JSON, new", json_app(ConditionalLayer::new())),
        ("JSON, for a while", json_app(layer())),
        ("JSON with ranges", json_app(layer().ranges(true))),
        ("HTML, new", html_app(ConditionalLayer::new())),
        ("HTML, for a while", html_app(layer())),
        ("HTML with ranges", html_app(layer().ranges(true))),
    ] {
        note_failures(what, &check(app, "/feed").await, &mut failed);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn our_layer_sends_no_part_of_another_version() {
    let version = Arc::new(AtomicU64::new(0));
    let read = |State(version): State<Arc<AtomicU64>>| {
        ready(format!("version {}, ", version.load(Ordering::Relaxed)).repeat(100))
    };
    let app = Router::new()
        .route("/feed", get(read))
        .with_state(Arc::clone(&version))
        .layer(layer().ranges(true));
    let report = check(app, "/feed")
        .changes(async || {
            version.fetch_add(1, Ordering::Relaxed);
        })
        .await;
    assert_eq!(names_of_failures(&report), [""; 0], "{report}");
    assert_passed(&report, &RANGE_RULES);
    assert_passed(&report, &["range/etag", "change/if-range"]);
}

#[tokio::test]
async fn our_layer_is_right_over_http_too() {
    let mut failed = Vec::new();
    let folder = Folder::modified(DAY);
    let files = ConditionalLayer::new().layer(folder.serve());
    for (what, app, path) in [
        ("files", Router::new().fallback_service(files), "/feed.txt"),
        ("JSON, new", json_app(ConditionalLayer::new()), "/feed"),
        ("JSON, for a while", json_app(layer()), "/feed"),
        ("HTML, new", html_app(ConditionalLayer::new()), "/feed"),
        ("HTML, for a while", html_app(layer()), "/feed"),
    ] {
        let (out, status) = run(app, path, &[], false).await;
        if status != 0 {
            failed.push(format!("{what}: {out}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
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
    let expected = ["head/no-content"];
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
    assert_eq!(names_of_failures(&known), [""; 0], "{known}");
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
    assert_eq!(names_of_failures(&report), ["it is private"]);
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
    assert!(
        report.to_string().contains(
            "\n  encoding, digest/encoded: no encoding is asked for (`Check::encodings`)\n"
        ),
        "{report}"
    );
}

#[tokio::test]
async fn report_says_that_content_may_be_too_short_to_be_encoded() {
    let (_, short) = note(layer());
    let short = short.layer(CompressionLayer::new());
    let write = Request::put("/note").body("overwritten").unwrap();
    let report = check(short, "/note").writes(write).await;
    let shown = report.to_string();
    let why = "no encoding is offered; the content of 6 bytes may be too short for a compression \
               layer";
    let line = format!("\n  encoding, digest/encoded, write/encoded-tag: {why}\n");
    assert!(shown.contains(&line), "{report}");

    for (length, is_named) in [(0, false), (1, true), (1_023, true), (1_024, false)] {
        let page = tagged(move || Full::<Bytes>::from("x".repeat(length)));
        let report = check(page, "/").await.to_string();
        assert!(report.contains("digest/encoded: no encoding is offered"), "{report}");
        assert_eq!(report.contains("too short"), is_named, "{length}: {report}");
    }
    let stored = tagged(|| Full::<Bytes>::from("zipped")).map_response(|mut reply: Response<_>| {
        reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        reply
    });
    let report = check(stored, "/").await.to_string();
    assert!(report.contains("digest/encoded: no encoding is offered\n"), "{report}");
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
GET /feed: 20 checks passed, 3 failed, 66 not applicable

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
    let report: Report = check(layer().layer(page()), "/feed").await;
    assert_eq!(names_of_failures(&report), ["head/has-etag"], "{report}");
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn a_check_that_is_expected_to_fail_must_fail() {
    let app = || page().layer(CompressionLayer::new()).layer(layer());
    let known = |name| check(layer().layer(page()), "/feed").expect(name, "no content here");
    let report = known("head/has-etag").await;
    assert_eq!(names_of_failures(&report), [""; 0], "{report}");
    let shown = report.to_string();
    assert!(shown.contains("1 failed as expected"), "{shown}");
    // A group is a wider net, and not an exact claim.
    assert_eq!(names_of_failures(&known("head").await), [""; 0]);
    let report = check(app(), "/feed").expect("head/has-etag", "it was so").await;
    assert_eq!(names_of_failures(&report), ["head/has-etag"], "{report}");
    let must = check(page(), "/feed").expect("validator/present", "a page of counters").await;
    assert!(must.is_ok() && must.failures().next().is_none(), "{must}");
}

#[tokio::test]
async fn advice_is_no_failure() {
    let report = check(layer().layer(page()), "/feed").await;
    let advice: Vec<_> = report.advice().map(|finding| finding.name()).collect();
    assert_eq!((report.failures().count(), advice), (0, vec!["head/has-etag"]), "{report}");
    assert!(report.to_string().contains("\nADVICE  head/has-etag (ADVICE, "), "{report}");
}

#[tokio::test]
async fn reports_are_read_by_other_programs() {
    let report = check(layer().layer(page()), "/feed")
        .without("change")
        .expect("if-match", "to see \"quotes\" & <marks>")
        .also("it is \\private\\", Request::get("/feed").body("").unwrap(), |_| false)
        .await;
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!((&json["subject"], &json["ok"]), (&json!("GET /feed"), &json!(false)));
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), report.iter().len());
    for (read, finding) in findings.iter().zip(&report) {
        assert_eq!(read["name"], finding.name());
        assert_eq!(read["clause"], finding.clause());
        assert_eq!(read["transcript"].as_array().unwrap().len(), finding.transcript().len());
    }
    let verdicts: BTreeSet<_> = findings.iter().filter_map(|it| it["verdict"].as_str()).collect();
    assert_eq!(verdicts.into_iter().collect::<Vec<_>>(), ["failed", "not applicable", "passed"]);

    let xml = report.to_junit();
    assert_eq!(xml.matches("<testcase ").count(), report.iter().len(), "{xml}");
    assert_eq!(xml.matches("</testcase>").count(), report.iter().len(), "{xml}");
    assert!(xml.contains(" failures=\"1\" errors=\"0\" skipped=\""), "{xml}");
    assert!(xml.contains("name=\"it is \\private\\\""), "{xml}");
    assert!(xml.contains("<skipped message=\"advice: the ETag of GET\"/>"), "{xml}");
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
    let settings = Settings::read(arguments).unwrap();
    let status = command::check(&settings, &mut out, has_colours).await.unwrap();
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
    let read = |arguments: &[&str]| Settings::read(arguments.iter().map(ToString::to_string)).err();
    for arguments in [
        &[][..],
        &["https://localhost/"],
        &["-x", "http://localhost/"],
        &["-H"],
        &["-H", "x", "http://localhost/"],
        &["-H", "a b: c", "http://localhost/"],
        &["--format", "html", "http://localhost/"],
        &["--put"],
    ] {
        assert!(read(arguments).is_some(), "{arguments:?}");
    }
    for arguments in [
        &["http://127.0.0.1:1/"][..],
        &["--without", "if-none-math", "http://127.0.0.1:1/"],
        &["--expect", "if-none-math", "http://127.0.0.1:1/"],
    ] {
        let settings = Settings::read(arguments.iter().map(ToString::to_string)).unwrap();
        assert_eq!(command::check(&settings, &mut Vec::new(), false).await.unwrap(), 2);
    }
}

/// A pipe that was closed must not look like a failed check.
#[tokio::test]
async fn the_command_says_if_its_text_could_not_be_written() {
    let mut full = [0; 8];
    let list = || vec!["--list".to_owned()];
    assert_eq!(command::execute(list(), &mut &mut full[..], false).await, 2);
    assert_eq!(command::execute(list(), &mut Vec::new(), false).await, 0);
    assert_eq!(command::execute(Vec::new(), &mut Vec::new(), false).await, 2);
    let mut help = Vec::new();
    assert_eq!(command::execute(vec!["--help".to_owned()], &mut help, false).await, 0);
    assert!(help.starts_with(b"usage: "));
}

#[tokio::test]
async fn the_command_prints_what_it_is_asked_for() {
    let (out, status) = run(page(), "/feed", &["--format", "json"], false).await;
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &json["ok"]), (1, &json!(false)));
    let expected = ["--format", "junit", "--expect", "validator/present"];
    let (out, status) = run(page(), "/feed", &expected, false).await;
    assert!(
        status == 0 && out.starts_with("<?xml ") && out.contains("failed as expected"),
        "{out}"
    );
    let mut list = Vec::new();
    command::list(&mut list).unwrap();
    let list = String::from_utf8(list).unwrap();
    assert_eq!(list.lines().count(), rules().count());
    assert!(
        list.contains("\nif-match/star ") && list.contains(" MUST   RFC 9110, 13.1.1 "),
        "{list}"
    );
}

#[tokio::test]
async fn the_command_is_strict_if_asked() {
    let dated = || {
        let read = || ready(([(header::LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT")], "news"));
        Router::new().route("/feed", get(read))
    };
    let other_groups = ["if-none-match", "if-modified-since", "if-unmodified-since"];
    let more: Vec<_> = other_groups.iter().flat_map(|group| ["--without", group]).collect();
    let (out, status) = run(dated(), "/feed", &more, false).await;
    assert_eq!(status, 0, "{out}");
    let (out, status) = run(dated(), "/feed", &[&more[..], &["--strict"]].concat(), false).await;
    assert!(status == 1 && out.contains("fail validator/has-etag"), "{out}");
}

#[tokio::test]
async fn the_command_changes_what_it_is_told_to() {
    let folder = Folder::modified(DAY);
    let file = folder.path.join("feed.txt").display().to_string();
    let change = format!("date +%s%N >> {file}; touch -d '5 minutes ago' {file}");
    let restore = format!("echo restored > {file}; touch -d '1 hour ago' {file}");
    let arguments = ["--change", &change, "--restore", &restore];
    let files = Router::new().fallback_service(ConditionalLayer::new().layer(folder.serve()));
    let (out, status) = run(files, "/feed.txt", &arguments, false).await;
    assert!(status == 0 && out.contains("pass change/if-range "), "{out}");
    let files = Router::new().fallback_service(folder.serve());
    let (out, _) = run(files, "/feed.txt", &arguments, false).await;
    assert!(out.contains("note change/rollback ") || out.contains("note change/second "), "{out}");

    let write = ["--put", "overwritten", "-H", "content-type: text/plain"];
    let (out, status) = run(note(layer()).1, "/note", &write, false).await;
    assert!(status == 1 && out.contains("FAIL write/if-match-miss"), "{out}");
    let (out, _) = run(application(layer()), "/feed", &["--query", "news"], false).await;
    assert!(out.contains("FAIL query/answers"), "{out}");
}

/// Over HTTP/2 an empty body is sent as it says itself: a 304 with `content-length: 0`
/// would be seen.
#[tokio::test]
async fn our_layer_is_right_over_http2() {
    let mut failed = Vec::new();
    let folder = Folder::modified(DAY);
    let files = ConditionalLayer::new().layer(folder.serve());
    let compressed = page().layer(layer().compress_with(CompressionLayer::new()));
    for (what, app, path) in [
        ("files", Router::new().fallback_service(files), "/feed.txt"),
        ("JSON", json_app(layer()), "/feed"),
        ("HTML", html_app(layer()), "/feed"),
        ("compressed", compressed, "/feed"),
    ] {
        let (out, status) = run(app, path, &["--http2", "--strict"], false).await;
        if status != 0 {
            failed.push(format!("{what}: {out}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let zero = || async { (StatusCode::NOT_MODIFIED, [(header::ETAG, "\"v1\"")]).into_response() };
    let bare = || async { ([(header::ETAG, "\"v1\"")], "news").into_response() };
    let read = move |parts: Parts| async move {
        let hits = parts.headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"v1\"");
        if hits {
            zero().await
        } else {
            bare().await
        }
    };
    let app = Router::new().route("/feed", get(read));
    let (out, status) = run(app, "/feed", &["--http2"], false).await;
    assert!(status == 1 && out.contains("FAIL 304/zero-length"), "{out}");
}
