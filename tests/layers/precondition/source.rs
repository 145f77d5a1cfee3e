//! `PreconditionLayer`: what is refused before the handler runs, and what the handler gets to see.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{ready, Future, Ready},
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        Arc, Mutex,
    },
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use http::{header, request, HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{service_fn, Layer, Service, ServiceBuilder, ServiceExt};
use tower_conditional::{
    ConditionalLayer, Decision, EntityTag, FreshnessPolicy, FromSource, HttpDate, LastModified,
    Outcome, PreconditionLayer, Reason, Representation, StateSource, Validators,
};

use self::{
    ask::{reply, request, run, tag, Lines, IM, IMS, INM, IUS, LM},
    oracle::{oracle, representations, DATE_FIELDS, TAG_FIELDS},
};

#[allow(dead_code)]
mod ask;
#[path = "../src/rules/preconditions/oracle.rs"]
mod oracle;

fn date(day: i64) -> HttpDate {
    HttpDate::from_unix_seconds(784_111_777 + day * 86_400).unwrap()
}

fn known(
    current: Representation,
) -> PreconditionLayer<FromSource<impl StateSource<Error = Infallible>>> {
    PreconditionLayer::new(move |_| ready(current.clone()))
}

fn exists(etag: &str) -> Representation {
    Representation::Exists(Validators::from(etag.parse::<EntityTag>().unwrap()))
}

/// What came out, what the handler got if it ran, and what the layer says that it did.
struct Seen {
    response: Response<String>,
    forwarded: Option<HeaderMap>,
    outcome: Option<Outcome>,
}

impl Seen {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn line(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    fn ran(&self) -> bool {
        self.forwarded.is_some()
    }

    fn forwards(&self, name: &str) -> bool {
        self.forwarded.as_ref().unwrap().contains_key(name)
    }
}

type Answer = Arc<dyn Fn(&Request<Body>) -> Response<Body> + Send + Sync>;

/// A handler that looks at what it gets.
#[derive(Clone)]
struct Handler {
    forwarded: Arc<Mutex<Option<HeaderMap>>>,
    answer: Answer,
}

impl Service<Request<Body>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        *self.forwarded.lock().unwrap() = Some(request.headers().clone());
        ready(Ok((self.answer)(&request)))
    }
}

/// Sends a request through a layer to a handler.
async fn ask<L, B>(layer: L, request: Request<Body>, answer: Answer) -> Seen
where
    L: Layer<Handler>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Error: Debug>,
{
    let forwarded = Arc::new(Mutex::new(None));
    let handler = Handler { forwarded: Arc::clone(&forwarded), answer };
    let (mut head, body) = layer.layer(handler).oneshot(request).await.unwrap().into_parts();
    let content = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let (outcome, forwarded) = (head.extensions.remove(), forwarded.lock().unwrap().take());
    Seen { response: Response::from_parts(head, content), forwarded, outcome }
}

/// Sends a request to a handler that answers 200.
fn send<L, B>(layer: L, method: &str, lines: Lines<'_>) -> Seen
where
    L: Layer<Handler>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Error: Debug>,
{
    run(ask(layer, request(method, "/", lines), Arc::new(|_| reply(200, &[], "content"))))
}

// ----- What is known -----

#[test]
fn every_combination_is_decided_as_the_oracle_says_before_the_handler_runs() {
    let methods =
        ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"];
    let (mut cases, mut ran) = (0, 0);
    let few = |fields: [Option<&'static [&'static str]>; 14]| {
        fields.into_iter().step_by(3).chain([fields[1]])
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for current in representations() {
        let layer = known(current.clone());
        for if_match in few(TAG_FIELDS) {
            for if_none_match in few(TAG_FIELDS) {
                for (if_modified_since, if_unmodified_since) in
                    DATE_FIELDS.into_iter().flat_map(|one| DATE_FIELDS.map(|two| (one, two)))
                {
                    let mut headers = HeaderMap::new();
                    for (name, values) in
                        [(header::IF_MATCH, if_match), (header::IF_NONE_MATCH, if_none_match)]
                    {
                        for value in values.into_iter().flatten() {
                            headers.append(&name, HeaderValue::from_static(value));
                        }
                    }
                    for (name, days) in [
                        (header::IF_MODIFIED_SINCE, if_modified_since),
                        (header::IF_UNMODIFIED_SINCE, if_unmodified_since),
                    ] {
                        for &day in days.into_iter().flatten() {
                            headers.append(&name, HeaderValue::from(date(day)));
                        }
                    }
                    for method in methods {
                        let expected = oracle(
                            method,
                            &current,
                            if_match,
                            if_none_match,
                            if_modified_since,
                            if_unmodified_since,
                        );
                        let mut request = request(method, "/", &[]);
                        *request.headers_mut() = headers.clone();
                        let seen = runtime.block_on(ask(
                            &layer,
                            request,
                            Arc::new(|_| reply(200, &[], "content")),
                        ));
                        let status = match expected {
                            Decision::NotModified => 304,
                            Decision::PreconditionFailed => 412,
                            _ => 200,
                        };
                        assert_eq!(seen.status(), status, "{method} {current:?} {headers:?}");
                        assert_eq!(seen.ran(), status == 200, "{method} {current:?} {headers:?}");
                        assert_eq!(
                            seen.response.body(),
                            if status == 200 { "content" } else { "" }
                        );
                        (cases, ran) = (cases + 1, ran + usize::from(seen.ran()));
                    }
                }
            }
        }
    }
    assert_eq!(cases, 6 * 6 * 5 * 5 * 10 * 26);
    assert!(ran > cases / 4 && ran < cases * 3 / 4, "{ran} of {cases} ran");
}

#[test]
fn a_source_is_asked_only_if_its_answer_matters() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let layer = PreconditionLayer::new(move |_| {
        count.fetch_add(1, Relaxed);
        ready(exists("\"v1\""))
    });
    let (sparing, requiring) =
        (layer.clone().add_validators(false), layer.clone().require_preconditions(|_| true));
    let a = "\"v1\"";
    for (method, lines, [plain, spared, required]) in [
        ("GET", &[][..], [1, 0, 1]),
        ("HEAD", &[], [1, 0, 1]),
        ("GET", &[(INM, a)], [1, 1, 1]),
        ("GET", &[("if-range", a)], [1, 1, 1]),
        ("PUT", &[], [0, 0, 0]),
        ("PUT", &[("if-range", a)], [0, 0, 0]),
        ("PUT", &[(IM, a)], [1, 1, 1]),
        ("POST", &[(INM, "*")], [1, 1, 1]),
        ("OPTIONS", &[(IM, a)], [0, 0, 0]),
    ] {
        for (layer, expected) in [(&layer, plain), (&sparing, spared), (&requiring, required)] {
            asked.store(0, Relaxed);
            send(layer, method, lines);
            assert_eq!(asked.load(Relaxed), expected, "{method} {lines:?}");
        }
    }
}

#[test]
fn a_write_without_a_precondition_is_told_to_have_one() {
    let (now, then) = (date(2).to_string(), date(1).to_string());
    let dated = Representation::Exists(
        Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(date(2)),
    );
    let tagged = exists("\"v1\"");
    for (method, lines, current, status) in [
        ("GET", &[][..], &dated, 200),
        ("OPTIONS", &[], &dated, 200),
        ("CONNECT", &[], &dated, 200),
        ("POST", &[], &dated, 200),
        ("PUT", &[], &dated, 428),
        ("PATCH", &[], &dated, 428),
        ("DELETE", &[], &dated, 428),
        ("PUT", &[(IM, "\"v1\"")], &dated, 200),
        ("PUT", &[(IM, "\"v2\"")], &dated, 412),
        ("PUT", &[(IM, "")], &dated, 412),
        ("PUT", &[(INM, "*")], &dated, 412),
        ("PUT", &[(INM, "*")], &Representation::Missing, 200),
        ("PUT", &[(INM, "\"v2\"")], &dated, 428),
        ("PUT", &[(INM, "\"v1\"")], &dated, 412),
        ("PUT", &[(IUS, &now)], &dated, 200),
        ("PUT", &[(IUS, &then)], &dated, 412),
        ("PUT", &[(IUS, &now)], &tagged, 428),
        ("PUT", &[(IUS, &now)], &Representation::Missing, 428),
        ("PUT", &[(IUS, "yesterday")], &dated, 428),
        ("PUT", &[(IUS, &now), (IUS, &now)], &dated, 428),
        ("PUT", &[(IMS, &now)], &dated, 428),
        ("PUT", &[], &Representation::Unknown, 428),
        ("PUT", &[(IM, "\"v2\"")], &Representation::Unknown, 200),
    ] {
        let layer =
            known(current.clone()).require_preconditions(|parts| parts.method != Method::POST);
        let seen = send(layer, method, lines);
        assert_eq!(seen.status(), status, "{method} {lines:?} {current:?}");
        assert_eq!(seen.ran(), status == 200, "{method} {lines:?} {current:?}");
        if status == 428 {
            assert!(seen.response.body().contains("If-Match"), "{}", seen.response.body());
            assert_eq!(seen.line("content-type"), Some("text/plain; charset=utf-8"));
        }
    }
}

#[test]
fn responses_get_the_validators_that_they_lack() {
    let now = date(2).to_string();
    let both = Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(date(2));
    let layer = known(Representation::Exists(both));
    let (tag, other, later) = (Some("\"v1\""), Some("\"own\""), date(3).to_string());
    for (method, status, own, etag, last_modified) in [
        ("GET", 200, &[][..], tag, Some(&*now)),
        ("HEAD", 200, &[], tag, Some(&*now)),
        ("GET", 206, &[], tag, Some(&*now)),
        // The handler compared with something, and that may be another state.
        ("GET", 304, &[], None, None),
        ("GET", 404, &[], None, None),
        ("GET", 301, &[], None, None),
        ("GET", 500, &[], None, None),
        ("GET", 200, &[("etag", "\"own\"")], other, Some(&*now)),
        ("GET", 200, &[(LM, &*later)], tag, Some(&*later)),
        ("PUT", 200, &[], None, None),
        ("POST", 200, &[], None, None),
    ] {
        let own: Vec<_> =
            own.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        let answer = move |_: &Request<Body>| {
            let lines: Vec<_> = own.iter().map(|(name, text)| (&**name, &**text)).collect();
            reply(status, &lines, "content")
        };
        let seen = run(ask(&layer, request(method, "/", &[(IM, "*")]), Arc::new(answer)));
        assert_eq!(
            (seen.status(), seen.line("etag"), seen.line(LM)),
            (status, etag, last_modified),
            "{method}"
        );
    }
    assert_eq!(send(layer.clone().add_validators(false), "GET", &[]).line("etag"), None);
    assert_eq!(send(known(Representation::Missing), "GET", &[]).line("etag"), None);
}

#[test]
fn a_date_that_is_added_makes_nothing_fresh() {
    let dated = known(Representation::Exists(Validators::new().last_modified(date(2))));
    let ask = |layer, own: Option<&'static str>| {
        let answer = move |_: &Request<Body>| match own {
            Some(own) => reply(200, &[("cache-control", own)], "content"),
            None => reply(200, &[], "content"),
        };
        let seen = run(ask(layer, request("GET", "/", &[]), Arc::new(answer)));
        let lines = seen
            .response
            .headers()
            .get_all("cache-control")
            .iter()
            .map(|line| line.to_str().unwrap());
        (lines.collect::<Vec<_>>().join(", "), seen.line(LM).is_some())
    };
    for (freshness, own, cache_control, has_date) in [
        (FreshnessPolicy::NoCache, None, "no-cache", true),
        (FreshnessPolicy::NoCache, Some("private"), "private, no-cache", true),
        (FreshnessPolicy::NoCache, Some("max-age=5"), "max-age=5", true),
        (FreshnessPolicy::OmitLastModified, None, "", false),
        (FreshnessPolicy::OmitLastModified, Some("max-age=5"), "max-age=5", true),
        (FreshnessPolicy::Leave, None, "", true),
    ] {
        let expected = (cache_control.to_owned(), has_date);
        assert_eq!(ask(dated.clone().freshness(freshness), own), expected, "{freshness:?} {own:?}");
    }
}

#[test]
fn a_part_of_something_else_is_not_asked_for() {
    let (now, then) = (date(2).to_string(), date(1).to_string());
    let dated = Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(date(2));
    for (current, if_range, keeps) in [
        (Representation::from(dated.clone()), None, true),
        (dated.clone().into(), Some("\"v1\""), true),
        (dated.clone().into(), Some("\"v0\""), false),
        (dated.clone().into(), Some("W/\"v1\""), false),
        (dated.clone().into(), Some("v1"), false),
        (dated.clone().into(), Some(&*now), true),
        (dated.into(), Some(&*then), false),
        (exists("W/\"v1\""), Some("\"v1\""), false),
        (exists("\"v1\""), Some(&*now), false),
        (Representation::Missing, Some("\"v0\""), true),
        (Representation::Unknown, Some("\"v0\""), true),
    ] {
        let mut lines = vec![("range", "bytes=0-1")];
        lines.extend(if_range.map(|value| ("if-range", value)));
        let seen = send(known(current.clone()), "GET", &lines);
        assert_eq!(seen.forwards("range"), keeps, "{current:?} {if_range:?}");
        assert_eq!(
            seen.forwards("if-range"),
            keeps && if_range.is_some(),
            "{current:?} {if_range:?}"
        );
    }
}

#[test]
fn fields_that_are_void_do_not_reach_the_handler_and_others_do() {
    let now = date(2).to_string();
    for (method, lines, hidden) in [
        ("GET", &[(INM, "\"v0\""), (IMS, &*now)][..], &[IMS][..]),
        ("GET", &[(IMS, &*now)], &[]),
        ("PUT", &[(IM, "\"v1\""), (IUS, &*now)], &[IUS]),
        ("PUT", &[(IUS, &*now), (INM, "\"v0\"")], &[]),
    ] {
        let seen = send(known(exists("\"v1\"")), method, lines);
        for (name, _) in lines {
            assert_eq!(seen.forwards(name), !hidden.contains(name), "{method} {lines:?} {name}");
        }
    }
}

#[test]
fn a_source_that_fails_lets_no_guarded_write_through() {
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
        let seen = send(&failing, method, lines);
        assert_eq!((seen.status(), seen.outcome), (status, outcome), "{method} {lines:?}");
        assert_eq!(seen.ran(), status == 200, "{method} {lines:?}");

        let asked = outcome != proceeded;
        let seen = send(&answering, method, lines);
        let expected = match (asked, method) {
            (true, "HEAD") => (418, ""),
            (true, _) => (418, "lost it"),
            (false, _) => (200, "content"),
        };
        assert_eq!((seen.status(), &**seen.response.body()), expected, "{method} {lines:?}");
    }
    assert_eq!(send(&requiring, "PUT", &[]).status(), 428);
    assert_eq!(send(&requiring, "PUT", &[(IM, "*")]).status(), 503);
    // Of what version a part would be, nobody knows.
    for (name, keeps) in
        [("if-range", false), (IM, false), (IUS, false), (INM, true), ("accept", true)]
    {
        let seen = send(&failing, "GET", &[("range", "bytes=0-1"), (name, "\"v1\"")]);
        assert_eq!((seen.forwards("range"), seen.ran()), (keeps, true), "{name}");
    }
}

#[test]
fn what_was_done_is_said() {
    let layer = |current| known(current).report_outcome(true);
    let v1 = exists("\"v1\"");
    for (current, method, lines, outcome) in [
        (&v1, "GET", &[][..], Outcome::Proceeded),
        (&v1, "GET", &[(INM, "\"v1\"")], Outcome::NotModified),
        (&v1, "PUT", &[(INM, "\"v1\"")], Outcome::PreconditionFailed),
        (&v1, "OPTIONS", &[], Outcome::LeftAlone(Reason::Method)),
        (&Representation::Unknown, "GET", &[], Outcome::LeftAlone(Reason::UnknownState)),
    ] {
        assert_eq!(
            send(layer(current.clone()), method, lines).outcome,
            Some(outcome),
            "{method} {lines:?}"
        );
    }
    let required = layer(v1.clone()).require_preconditions(|_| true);
    assert_eq!(send(&required, "PUT", &[]).outcome, Some(Outcome::PreconditionRequired));
    assert_eq!(send(known(v1), "GET", &[]).outcome, None);
    // What a layer further in did says more.
    let stack = ServiceBuilder::new().layer(layer(Representation::Unknown));
    let stack = stack.layer(ConditionalLayer::new().report_outcome(true)).into_inner();
    assert_eq!(send(stack, "GET", &[]).outcome, Some(Outcome::Tagged));
}

#[test]
fn a_304_bears_what_the_application_adds_and_a_412_does_not() {
    let layer = known(exists("\"v1\"")).on_not_modified(|parts, headers| {
        headers.insert("vary", HeaderValue::from_static("accept"));
        headers.insert("content-location", parts.uri.path().parse().unwrap());
    });
    let seen = send(&layer, "GET", &[(INM, "\"v1\"")]);
    assert_eq!(
        (seen.status(), seen.line("vary"), seen.line("content-location")),
        (304, Some("accept"), Some("/"))
    );
    assert_eq!(seen.line("etag"), Some("\"v1\""));
    let seen = send(&layer, "GET", &[(IM, "\"v0\"")]);
    assert_eq!((seen.status(), seen.line("vary"), seen.line("etag")), (412, None, Some("\"v1\"")));
}

#[test]
fn a_source_with_a_name_will_do_too() {
    struct Versions(u64);

    impl StateSource for Versions {
        type Error = &'static str;
        type Future = Ready<Result<Representation, &'static str>>;

        fn state(&self, parts: &request::Parts) -> Self::Future {
            ready(match parts.uri.path() {
                "/" => Ok(exists(&format!("\"v{}\"", self.0))),
                _ => Err("not one of mine"),
            })
        }
    }

    assert_eq!(
        send(PreconditionLayer::from_source(Versions(1)), "GET", &[(INM, "\"v1\"")]).status(),
        304
    );
}

#[test]
fn both_layers_give_one_answer_in_any_order() {
    let conditional = || ask::layer().0;
    let then = date(1).to_string();
    for current in [
        exists("\"v1\""),
        Validators::from(EntityTag::strong("v1").unwrap()).last_modified(date(2)).into(),
    ] {
        let outside =
            ServiceBuilder::new().layer(known(current.clone())).layer(conditional()).into_inner();
        let inside =
            ServiceBuilder::new().layer(conditional()).layer(known(current.clone())).into_inner();
        for (method, lines, status) in [
            ("GET", &[][..], 200),
            ("GET", &[(INM, "\"v1\"")], 304),
            ("GET", &[(INM, "W/\"v1\"")], 304),
            ("GET", &[(INM, &*tag("content"))], 200),
            ("GET", &[(IM, &*tag("content"))], 412),
            ("HEAD", &[(IM, "\"v0\"")], 412),
            ("PUT", &[(IM, "\"v0\"")], 412),
            ("PUT", &[(IM, "\"v1\"")], 200),
            ("GET", &[("range", "bytes=0-1"), ("if-range", &*then)], 200),
        ] {
            let (one, two) = (send(&outside, method, lines), send(&inside, method, lines));
            assert_eq!((one.status(), two.status()), (status, status), "{method} {lines:?}");
            for name in ["etag", LM, "cache-control", "vary"] {
                assert_eq!(one.line(name), two.line(name), "{method} {lines:?} {name}");
            }
            if method != "PUT" {
                assert_eq!(one.line("etag"), Some("\"v1\""), "{method} {lines:?}");
                // A date that the source does not know would come back in If-Unmodified-Since and be ignored.
                let Representation::Exists(Validators { last_modified, .. }) = &current else {
                    unreachable!()
                };
                assert_eq!(one.line(LM).is_some(), last_modified.is_some(), "{method} {lines:?}");
            }
        }
    }
}

// ----- What the service says itself -----

/// A note that can be read, written and deleted, and a log of what it was asked.
#[derive(Clone, Default)]
struct Note {
    content: Arc<Mutex<Option<String>>>,
    log: Arc<Mutex<Vec<(Method, HeaderMap)>>>,
}

impl Note {
    fn of(content: &str) -> Self {
        Self { content: Arc::new(Mutex::new(Some(content.to_owned()))), log: Arc::default() }
    }

    fn content(&self) -> Option<String> {
        self.content.lock().unwrap().clone()
    }

    async fn serve(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        self.log.lock().unwrap().push((request.method().clone(), request.headers().clone()));
        let (parts, body) = request.into_parts();
        // Whoever comes in between would be overwritten, or have the permit that is needed next.
        tokio::task::yield_now().await;
        if parts.method == Method::GET {
            return Ok(match self.content() {
                Some(content) => reply(200, &[], content),
                None => reply(404, &[], "none"),
            });
        }
        tokio::task::yield_now().await;
        let new = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        *self.content.lock().unwrap() = Some(new).filter(|_| parts.method != Method::DELETE);
        Ok(reply(204, &[], Body::empty()))
    }

    fn service(
        &self,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
    {
        let note = self.clone();
        service_fn(move |request| note.clone().serve(request))
    }
}

fn write(method: &str, lines: Lines<'_>, content: &str) -> Request<Body> {
    request(method, "/note", lines).map(|_| Body::from(content.to_owned()))
}

#[test]
fn a_service_with_get_and_put_is_protected_as_it_is() {
    let (old, other) = (tag("old"), tag("other"));
    let exists = Some("old");
    for (before, method, lines, status, after) in [
        (exists, "PUT", &[][..], 204, Some("new")),
        (exists, "PUT", &[(IM, &*old)], 204, Some("new")),
        (exists, "PUT", &[(IM, &*other)], 412, exists),
        (exists, "PUT", &[(IM, "*")], 204, Some("new")),
        (exists, "PUT", &[(IM, "")], 412, exists),
        (exists, "PUT", &[(INM, "*")], 412, exists),
        (exists, "PUT", &[(INM, &*old)], 412, exists),
        (exists, "PUT", &[(IUS, "Sun, 06 Nov 1994 08:49:37 GMT")], 412, exists),
        (exists, "DELETE", &[(IM, &*other)], 412, exists),
        (exists, "DELETE", &[(IM, &*old)], 204, None),
        (None, "PUT", &[(INM, "*")], 204, Some("new")),
        (None, "PUT", &[(IM, "*")], 412, None),
        (None, "PUT", &[(IM, &*old)], 412, None),
    ] {
        let note =
            Note { content: Arc::new(Mutex::new(before.map(str::to_owned))), log: Arc::default() };
        let layer =
            ServiceBuilder::new().layer(PreconditionLayer::from_get()).layer(ask::layer().0);
        let service = layer.service(note.service());
        let response = run(service.oneshot(write(method, lines, "new"))).unwrap();
        assert_eq!(response.status().as_u16(), status, "{before:?} {method} {lines:?}");
        assert_eq!(note.content().as_deref(), after, "{before:?} {method} {lines:?}");
        let asked: Vec<_> =
            note.log.lock().unwrap().iter().map(|(method, _)| method.to_string()).collect();
        let mut expected = Vec::new();
        expected.extend((!lines.is_empty()).then_some("GET"));
        expected.extend((status == 204).then_some(method));
        assert_eq!(asked, expected, "{before:?} {method} {lines:?}");
    }
}

#[test]
fn the_question_is_about_the_representation_and_not_about_the_write() {
    let note = Note::of("old");
    let service =
        PreconditionLayer::from_get().layer(ConditionalLayer::new().layer(note.service()));
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
    let [(get, asked), (put, got)] = &log[..] else { panic!("{log:?}") };
    assert_eq!((get, put), (&Method::GET, &Method::PUT));
    let names: Vec<_> =
        asked.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(
        names,
        ["accept: text/html", "cookie: a=b", "cookie: c=d", "cache-control: no-cache"]
    );
    assert_eq!(got.len(), lines.len(), "the write has all of its own fields");
}

#[test]
fn a_service_for_one_method_is_refused_before_it_is_asked_with_another() {
    use axum::{handler::Handler as _, routing, Router};

    async fn write() -> StatusCode {
        StatusCode::NO_CONTENT
    }
    // Axum makes the services when it has the state, which `axum::serve` gives it; around a single handler, at a request.
    let refused = |build: fn() -> Router| {
        let ask = || drop(run(build().with_state::<()>(()).oneshot(request("PUT", "/", &[]))));
        let panic = std::panic::catch_unwind(ask).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("fallback_service"));
    };
    refused(|| Router::new().route("/", routing::put(write)).layer(PreconditionLayer::from_get()));
    refused(|| Router::new().route("/", routing::put(write).layer(PreconditionLayer::from_get())));
    refused(|| Router::new().fallback(write.layer(PreconditionLayer::from_get())));
    refused(|| {
        let stack = ServiceBuilder::new()
            .layer(PreconditionLayer::from_get())
            .layer(ConditionalLayer::new());
        Router::new().route("/", routing::put(write)).layer(stack)
    });

    let router = Router::new()
        .route("/", routing::get(|| async { "x" }).put(write))
        .layer(ConditionalLayer::new());
    let app: Router = Router::new().fallback_service(PreconditionLayer::from_get().layer(router));
    for (line, status) in [(tag("x"), 204), (tag("y"), 412)] {
        let response = run(app.clone().oneshot(request("PUT", "/", &[(IM, &line)]))).unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}

#[test]
fn what_the_get_says_decides() {
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
        (200, &[], if_any, 204),
        (200, dated, (IUS, "Sun, 06 Nov 1994 08:49:37 GMT"), 204),
        (200, dated, (IUS, "Sun, 06 Nov 1994 08:49:36 GMT"), 412),
        (204, v1, if_v1, 204),
        (404, v1, if_v1, 412),
        (404, &[], if_none, 204),
        (410, &[], if_none, 204),
        (405, &[], if_none, 412),
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
        let layer = PreconditionLayer::from_get();
        let seen = run(ask(layer, write("PUT", &[line], "new"), Arc::new(answer)));
        assert_eq!(seen.status(), expected, "{status} {line:?}");
        let content =
            if status == expected && status != 204 { "the answer to the GET" } else { "" };
        assert_eq!(seen.response.body(), content, "{status} {line:?}");
    }
}

#[test]
fn a_date_of_the_layer_s_own_is_judged_by_equality() {
    let (conditional, clock) = ask::layer();
    let note = Note::of("old");
    let service = PreconditionLayer::from_get().layer(conditional.layer(note.service()));
    let put = |line: &str| {
        let request = write("PUT", &[(IUS, line)], "old");
        run(service.clone().oneshot(request)).unwrap().status().as_u16()
    };
    run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
    clock.set(60);
    let read = run(service.clone().oneshot(request("GET", "/note", &[]))).unwrap();
    assert_eq!(read.headers()[LM], ask::date(10));
    assert_eq!([put(&ask::date(10)), put(&ask::date(9)), put(&ask::date(11))], [204, 412, 412]);
    // In the second of a change no date can stand for the content.
    *note.content.lock().unwrap() = Some("new".to_owned());
    assert_eq!([put(&ask::date(10)), put(&ask::date(60))], [412, 412]);
}

#[test]
fn reads_are_left_alone_and_wait_for_nothing() {
    run(async {
        let (note, gate) = (Note::of("old"), Arc::new(tokio::sync::Notify::new()));
        let (slow, wait) = (note.service(), Arc::clone(&gate));
        let inner = service_fn(move |request: Request<Body>| {
            let (slow, wait) = (slow.clone(), Arc::clone(&wait));
            async move {
                if request.method() == Method::PUT {
                    wait.notified().await;
                }
                slow.oneshot(request).await
            }
        });
        let service = PreconditionLayer::from_get().layer(inner);
        let put = tokio::spawn(service.clone().oneshot(write("PUT", &[(IM, "*")], "new")));
        let post = tokio::spawn(service.clone().oneshot(write("POST", &[], "newer")));
        let other = tokio::spawn(service.clone().oneshot(request("PUT", "/other", &[])));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let read =
            service.clone().oneshot(request("GET", "/note", &[(INM, "\"x\"")])).await.unwrap();
        assert_eq!(read.status(), 200);
        assert!(
            !put.is_finished() && !post.is_finished(),
            "a write waits for the guarded one before it"
        );
        gate.notify_one();
        gate.notify_one();
        assert_eq!(put.await.unwrap().unwrap().status(), 204);
        assert_eq!(post.await.unwrap().unwrap().status(), 204);
        assert_eq!(note.content().as_deref(), Some("newer"));
        gate.notify_one();
        assert_eq!(other.await.unwrap().unwrap().status(), 204);
    });
}

#[test]
fn writes_that_check_nothing_run_side_by_side() {
    run(async {
        let barrier = Arc::new(tokio::sync::Barrier::new(8));
        let inner = service_fn(move |_: Request<Body>| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Ok::<_, Infallible>(reply(204, &[], Body::empty()))
            }
        });
        let service = PreconditionLayer::from_get().layer(inner);
        let writes = (0..8).map(|_| tokio::spawn(service.clone().oneshot(write("POST", &[], "x"))));
        for write in writes.collect::<Vec<_>>() {
            assert_eq!(write.await.unwrap().unwrap().status(), 204);
        }
    });
}

#[test]
fn the_error_of_the_service_is_the_error_of_either_step() {
    for failing in [Method::GET, Method::PUT] {
        let inner = service_fn(move |request: Request<Body>| {
            let fails = *request.method() == failing;
            ready(if fails { Err("broken") } else { Ok(reply(200, &[], "x")) })
        });
        let service = PreconditionLayer::from_get().layer(inner);
        for _ in 0..2 {
            let request = write("PUT", &[(IM, "*")], "new");
            assert_eq!(run(service.clone().oneshot(request)).unwrap_err(), "broken");
        }
    }
}

#[test]
fn no_permit_is_held_while_another_is_waited_for() {
    run(async {
        let note = Note::of("old");
        let service = ServiceBuilder::new()
            .layer(PreconditionLayer::from_get())
            .concurrency_limit(1)
            .layer(ConditionalLayer::new())
            .service(note.service());
        let writes = (0..64).map(|i| {
            let lines = if i % 3 == 0 { &[][..] } else { &[(IM, "*")][..] };
            tokio::spawn(service.clone().oneshot(write("PUT", lines, &format!("new {i}"))))
        });
        let writes: Vec<_> = writes.collect();
        let all = async {
            for write in writes {
                assert_eq!(write.await.unwrap().unwrap().status(), 204);
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), all).await.expect("a deadlock");
    });
}

// ----- Races -----

/// Has 64 writers at once change the same state, round by round; `dropped` says which of them lose patience, and after
/// how many polls.
fn race<S>(rounds: usize, service: &S, note: &Note, dropped: impl Fn(usize, usize) -> Option<usize>)
where
    S: Service<Request<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    S::Response: Into<Status> + Send,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        for round in 0..rounds {
            let current = tag(&note.content().unwrap());
            let writers = (0..64).map(|writer| {
                let request = write("PUT", &[(IM, &*current)], &format!("{round} {writer}"));
                let (service, patience) = (service.clone(), dropped(round, writer));
                tokio::spawn(async move {
                    let mut future = std::pin::pin!(service.oneshot(request));
                    let mut polls = 0;
                    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
                        Poll::Ready(response) => Poll::Ready(Some(response.unwrap().into().0)),
                        Poll::Pending if patience == Some(polls) => Poll::Ready(None),
                        Poll::Pending => {
                            polls += 1;
                            Poll::Pending
                        }
                    })
                    .await
                })
            });
            let writers: Vec<_> = writers.collect();
            let (mut won, mut left) = (Vec::new(), 0);
            for (writer, task) in writers.into_iter().enumerate() {
                match task.await.unwrap() {
                    Some(204) => won.push(writer),
                    Some(412) => {}
                    Some(status) => panic!("{status}"),
                    None => left += 1,
                }
            }
            let content = note.content().unwrap();
            match won[..] {
                [winner] => assert_eq!(content, format!("{round} {winner}")),
                [] => assert!(left > 0, "round {round}: nobody won"),
                _ => panic!("round {round}: {won:?} won"),
            }
        }
    });
}

struct Status(u16);

impl<B> From<Response<B>> for Status {
    fn from(response: Response<B>) -> Self {
        Self(response.status().as_u16())
    }
}

#[test]
fn of_many_writers_who_saw_the_same_state_one_wins() {
    let note = Note::of("first");
    let service =
        PreconditionLayer::from_get().layer(ConditionalLayer::new().layer(note.service()));
    race(1_000, &service, &note, |_, _| None);
}

#[test]
fn writers_who_leave_hold_up_nobody_and_let_nobody_pass() {
    let note = Note::of("first");
    let service =
        PreconditionLayer::from_get().layer(ConditionalLayer::new().layer(note.service()));
    race(1_000, &service, &note, |round, writer| {
        let dice = (round * 64 + writer).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
        Some(dice % 8).filter(|&patience| patience < 5)
    });
}
