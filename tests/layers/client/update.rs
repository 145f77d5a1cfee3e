//! `Update`: no edit is lost, none is done twice, and none is sent without a guard.

use std::{
    cell::Cell,
    convert::Infallible,
    future::Ready,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use tokio::{task::JoinSet, time::Instant};
use tower::{service_fn, BoxError, Layer, Service};
use tower_conditional::{
    client::{Error, Update},
    EntityTag, Preconditions,
};

use super::{broken, head, not_modified, reply, tagged, unsized_body, Answer, Server};
use crate::support::{
    guarded::{boxed, guarded},
    harness::{self, CC},
    note::Note,
    random::numbers,
};

/// Adds one to a number.
fn plus_one(content: &[u8]) -> Result<String, BoxError> {
    Ok((std::str::from_utf8(content)?.parse::<u64>()? + 1).to_string())
}

fn update() -> Update {
    Update::new(head(&[]))
}

fn status(status: u16) -> Answer {
    reply(status, &[], "").into()
}

fn read(tag: &str, content: &str) -> Answer {
    tagged(tag, content).into()
}

#[tokio::test]
async fn update_names_what_it_read_in_the_write() {
    let mut server = Server::new([
        reply(200, &[("etag", "\"v1\""), ("content-type", "text/plain")], "41"),
        reply(204, &[], ""),
    ]);
    let request =
        head(&[("authorization", "secret"), ("if-none-match", "*"), ("range", "bytes=0-1")]);
    let written = Update::new(request).run(&mut server, plus_one).await.unwrap();
    assert_eq!(written, "42");
    let sent = server.requests();
    let expected = [
        (&Method::GET, "", head(&[("authorization", "secret"), (CC, "no-cache")])),
        (
            &Method::PUT,
            "42",
            head(&[
                ("authorization", "secret"),
                ("content-type", "text/plain"),
                ("if-match", "\"v1\""),
            ]),
        ),
    ];
    for (sent, (method, content, head)) in sent.iter().zip(expected) {
        assert_eq!(
            (sent.method(), &**sent.body(), sent.headers()),
            (method, content, head.headers())
        );
        assert_eq!(sent.uri(), head.uri());
    }
    assert_eq!(sent.len(), 2);

    let mut server = Server::new([tagged("\"v1\"", "41"), reply(200, &[], "")]);
    let own = head(&[("content-type", "text/csv"), (CC, "max-age=1")]);
    Update::new(own).run(&mut server, plus_one).await.unwrap();
    let sent = server.requests();
    assert_eq!(sent[0].headers()[CC], "max-age=1");
    assert_eq!(sent[1].headers()["content-type"], "text/csv");
}

#[tokio::test(start_paused = true)]
async fn update_reads_and_edits_again_after_a_conflict() {
    let mut server = Server::new([
        read("\"v1\"", "41"),
        status(412),
        // Another client wrote the very content that was refused: it is another edit.
        read("\"v2\"", "42"),
        status(204),
    ]);
    assert_eq!(update().run(&mut server, plus_one).await.unwrap(), "43");
    assert_eq!(server.asked(), ["GET", "PUT if-match \"v1\"", "GET", "PUT if-match \"v2\""]);
}

#[tokio::test(start_paused = true)]
async fn update_gives_up_after_its_attempts_and_waits_between_them() {
    for (attempts, reads) in [(0, 1), (1, 1), (3, 3), (6, 6)] {
        let answers = (0..reads).flat_map(|_| [read("\"v1\"", "41"), status(412)]);
        let mut server = Server::new(answers);
        let start = Instant::now();
        let backoff = Duration::from_millis(100)..=Duration::from_millis(400);
        let update = update().attempts(attempts).backoff(backoff);
        let error = update.run(&mut server, plus_one).await.unwrap_err();
        assert!(matches!(error, Error::Conflict), "{error}");
        assert_eq!(server.left(), 0);
        let waited = start.elapsed();
        let (least, most) =
            (100 * (reads - 1), [0, 200, 600, 1000, 1400, 1800][reads as usize - 1]);
        let bounds = Duration::from_millis(least)..=Duration::from_millis(most + reads);
        assert!(bounds.contains(&waited), "{attempts}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn update_waits_as_long_as_the_server_says() {
    let mut server = Server::new([
        read("\"v1\"", "41"),
        reply(429, &[("retry-after", "3600")], "").into(),
        // It is certain that the write was refused, so the new content is edited.
        read("\"v2\"", "50"),
        reply(503, &[("retry-after", "1")], "").into(),
        read("\"v2\"", "50"),
        Answer::Reply(reply(204, &[], "")),
    ]);
    let start = Instant::now();
    assert_eq!(update().run(&mut server, plus_one).await.unwrap(), "51");
    assert_eq!(start.elapsed().as_secs(), 3, "2 s are the most that it waits");
}

#[tokio::test]
async fn update_writes_nothing_that_is_not_guarded() {
    const DATES: [(&str, &str); 2] = [
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("date", "Sun, 06 Nov 1994 08:49:57 GMT"),
    ];
    for lines in [
        &[][..],
        &[("etag", "W/\"v1\"")],
        &[("etag", "v1")],
        &[("etag", "\"v1\""), ("etag", "\"v1\"")],
        &DATES,
    ] {
        let mut server = Server::new([reply(200, lines, "41")]);
        let error = update().run(&mut server, plus_one).await.unwrap_err();
        assert!(matches!(error, Error::NoStrongTag), "{lines:?}: {error}");
        assert_eq!(server.asked(), ["GET"], "{lines:?}");
    }
}

#[tokio::test]
async fn update_stops_where_another_attempt_would_not_help() {
    const TAG: (&str, &str) = ("etag", "\"v1\"");
    for (answers, text) in [
        (vec![status(404)], "the answer was 404 Not Found"),
        (vec![not_modified(&[TAG]).into()], "the answer was 304 Not Modified"),
        (vec![reply(206, &[TAG], "4").into()], "the answer was 206 Partial Content"),
        (vec![reply(302, &[TAG], "4").into()], "the answer was 302 Found"),
        // Nothing tells whether it broke off: "4" may be what is left of "41".
        (
            vec![reply(200, &[TAG], unsized_body("4")).into()],
            "the content could not be read to its end",
        ),
        (vec![read("\"v1\"", "4111111111")], "the content is longer than the limit"),
        (vec![read("\"v1\"", "x")], "the content could not be used"),
        (vec![status(500)], "the answer was 500 Internal Server Error"),
        (vec![read("\"v1\"", "41"), status(403)], "the answer was 403 Forbidden"),
        (vec![read("\"v1\"", "41"), status(428)], "the answer was 428 Precondition Required"),
        (vec![read("\"v1\"", "41"), status(501)], "the answer was 501 Not Implemented"),
        (vec![read("\"v1\"", "41"), status(507)], "the answer was 507 Insufficient Storage"),
        (vec![read("\"v1\"", "41"), status(301)], "the answer was 301 Moved Permanently"),
    ] {
        let mut server = Server::new(answers);
        let error = update().content_limit(9).run(&mut server, plus_one).await.unwrap_err();
        assert_eq!((error.to_string(), server.left()), (text.to_owned(), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn update_reads_again_if_the_reason_may_pass() {
    type Failing = fn() -> Answer;
    let failures: [(Failing, &str); 7] = [
        (|| Answer::Lost, "the service failed"),
        (
            || reply(200, &[("etag", "\"v1\"")], broken("4")).into(),
            "the content could not be read to its end",
        ),
        (|| status(408), "the answer was 408 Request Timeout"),
        (|| status(429), "the answer was 429 Too Many Requests"),
        (|| status(502), "the answer was 502 Bad Gateway"),
        (|| status(503), "the answer was 503 Service Unavailable"),
        (|| status(504), "the answer was 504 Gateway Timeout"),
    ];
    for (failure, text) in failures {
        // Before the first write, and after a write that was refused.
        for before in [vec![], vec![read("\"v0\"", "1"), status(412)]] {
            let then = [failure(), failure(), read("\"v1\"", "41"), status(204)];
            let mut server = Server::new(before.into_iter().chain(then));
            assert_eq!(update().run(&mut server, plus_one).await.unwrap(), "42", "{text}");
            assert_eq!(server.left(), 0, "{text}");
        }
        let mut server = Server::new([failure(), failure()]);
        let error = update().attempts(2).run(&mut server, plus_one).await.unwrap_err();
        assert_eq!((error.to_string(), server.left()), (text.to_owned(), 0));
    }
    let busy = reply(503, &[("retry-after", "1")], "").into();
    let mut server = Server::new([busy, read("\"v1\"", "41"), status(204)]);
    let start = Instant::now();
    update().run(&mut server, plus_one).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 1);
}

/// Tower's contract: a service that failed to get ready is not used again.
#[tokio::test]
async fn update_gives_up_a_service_that_fails_to_get_ready() {
    #[derive(Default)]
    struct Unready(u32);

    impl Service<Request<Body>> for Unready {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = Ready<Result<Response<Body>, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            self.0 += 1;
            Poll::Ready(Err("closed".into()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            unreachable!("it is not ready")
        }
    }

    let mut service = Unready::default();
    let error = update().run(&mut service, plus_one).await.unwrap_err();
    assert_eq!((error.to_string(), service.0), ("the service failed".to_owned(), 1));
}

#[tokio::test]
async fn update_edits_no_encoded_content() {
    for (codings, is_edited) in
        [(&["gzip"][..], false), (&["identity", "br"], false), (&["Identity"], true), (&[""], true)]
    {
        let lines = codings.iter().map(|coding| ("content-encoding", *coding));
        let lines: Vec<_> = [("etag", "\"v1\"")].into_iter().chain(lines).collect();
        let mut server = Server::new([reply(200, &lines, "41"), reply(204, &[], "")]);
        match update().run(&mut server, plus_one).await {
            Ok(written) => assert!(is_edited && written == "42", "{codings:?}"),
            Err(error) => {
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert!(!is_edited && source.contains("Content-Encoding"), "{codings:?}: {error}");
                assert_eq!(server.asked(), ["GET"], "{codings:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn update_looks_first_whether_a_write_without_an_answer_was_done() {
    let first = |lost| vec![read("\"v1\"", "41"), lost];
    let ways: [fn() -> Answer; 11] = [
        || Answer::Lost,
        // It may be done later.
        || status(202),
        // Handlers redirect after a write.
        || status(302),
        || status(303),
        // tower-http's `TimeoutLayer`, while the handler was writing.
        || status(408),
        // It may have failed after the write.
        || status(500),
        || status(502),
        || status(503),
        // Varnish's, if the connection to the server broke.
        || reply(503, &[("retry-after", "5")], "").into(),
        || status(504),
        // Cloudflare's.
        || status(524),
    ];
    for lost in ways {
        for (then, edits, result) in [
            // It was done, or another client wrote the same: nothing tells them apart.
            (vec![read("\"v2\"", "42")], 1, Ok("42")),
            // It was not: the very same is sent again.
            (vec![read("\"v1\"", "41"), status(204)], 1, Ok("42")),
            // It comes late, and makes the second one fail.
            (vec![read("\"v1\"", "41"), status(412), read("\"v2\"", "42")], 1, Ok("42")),
            // Both were lost, and one was done.
            (vec![read("\"v1\"", "41"), lost(), read("\"v2\"", "42")], 1, Ok("42")),
            // The look fails at first.
            (vec![Answer::Lost, status(503), read("\"v2\"", "42")], 1, Ok("42")),
            // It may have been done before another one, or not at all.
            (vec![read("\"v3\"", "43")], 1, Err("other writes came in between at each attempt")),
            (
                vec![tagged("W/\"v1\"", "40").into()],
                1,
                Err("other writes came in between at each attempt"),
            ),
            (vec![status(404)], 1, Err("the answer was 404 Not Found")),
            (vec![status(500)], 1, Err("the answer was 500 Internal Server Error")),
            (vec![read("\"v1\"", "41"), status(403)], 1, Err("the answer was 403 Forbidden")),
            (
                vec![Answer::Lost, Answer::Lost, Answer::Lost, Answer::Lost],
                1,
                Err("the service failed"),
            ),
        ] {
            let mut server = Server::new(first(lost()).into_iter().chain(then));
            let edited = Cell::new(0);
            let edit = |content: &[u8]| {
                edited.set(edited.get() + 1);
                plus_one(content)
            };
            let outcome = update().run(&mut server, edit).await;
            match (outcome, result) {
                (Ok(written), Ok(expected)) => assert_eq!(written, expected),
                (Err(Error::InDoubt(error)), Err(text)) => assert_eq!(error.to_string(), text),
                (outcome, _) => panic!("{outcome:?}, not {result:?}"),
            }
            assert_eq!((edited.get(), server.left()), (edits, 0), "{result:?}");
            let writes = server.asked();
            let writes = writes.iter().filter(|line| line.starts_with("PUT"));
            assert!(writes.clone().all(|line| line == "PUT if-match \"v1\""));
        }
    }
}

/// Lets 64 clients add one to a number each.
async fn count<S>(service: S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let service = service.clone();
        clients.spawn(async move {
            let backoff = Duration::from_millis(1)..=Duration::from_millis(500);
            update().attempts(200).backoff(backoff).run(service, plus_one).await.unwrap();
        });
    }
    while let Some(result) = clients.join_next().await {
        result.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn update_counts_right_through_a_write_guard() {
    let counter = Note::of("0");
    count(boxed(guarded(harness::layer().0.layer(counter.service())))).await;
    assert_eq!(counter.content().unwrap(), "64");
    let log = counter.log.lock().unwrap();
    let writes = log.iter().filter(|(method, _)| *method == Method::PUT);
    assert_eq!(writes.count(), 64, "no other write got as far");
}

/// The guard is told that equal content is a retry, but here it is another count.
#[tokio::test(start_paused = true)]
async fn update_loses_counts_to_a_guard_that_takes_equal_content_for_a_retry() {
    let counter = Note::of("0");
    let guard = guarded(harness::layer().0.layer(counter.service())).idempotent_puts(true);
    count(boxed(guard)).await;
    let counted: u32 = counter.content().unwrap().parse().unwrap();
    assert!(counted < 64, "{counted}");
}

/// A counter whose handler checks, with a version as its tag.
async fn checked(
    counter: Arc<Mutex<(u64, String)>>,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let new = body.collect().await.unwrap().to_bytes();
    tokio::task::yield_now().await;
    let mut counter = counter.lock().unwrap();
    let tag = EntityTag::from(counter.0);
    if let Err(refusal) = Preconditions::new(&parts.method, &parts.headers).check(&tag) {
        return Ok(refusal.into());
    }
    if parts.method == Method::PUT {
        *counter = (counter.0 + 1, String::from_utf8(new.to_vec()).unwrap());
        return Ok(reply(204, &[], ""));
    }
    Ok(reply(200, &[("etag", &tag.to_string())], counter.1.clone()))
}

#[tokio::test(start_paused = true)]
async fn update_counts_right_through_a_check_in_the_handler() {
    let counter = Arc::new(Mutex::new((0, "0".to_owned())));
    let state = Arc::clone(&counter);
    count(boxed(service_fn(move |request| checked(Arc::clone(&state), request)))).await;
    assert_eq!(*counter.lock().unwrap(), (64, "64".to_owned()));
}

/// A service that loses the answers to some writes, done or not.
fn lossy<S>(
    service: S,
    random: Arc<Mutex<impl FnMut() -> u64 + Send + 'static>>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    service_fn(move |request: Request<Body>| {
        let is_write = request.method() == Method::PUT;
        let chance = (random.lock().unwrap())() % 8;
        let service = service.clone();
        async move {
            if is_write && chance == 0 {
                return Err("it broke on the way".into());
            }
            let response = tower::ServiceExt::oneshot(service, request).await?;
            match chance {
                1 if is_write => Err("it broke on the way back".into()),
                // A gateway says so.
                2 if is_write => Ok(reply(503, &[("retry-after", "0")], "")),
                _ => Ok(response),
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn update_does_each_edit_once_or_says_that_it_does_not_know() {
    let counter = Arc::new(Mutex::new((0, String::new())));
    let state = Arc::clone(&counter);
    let service = boxed(service_fn(move |request| checked(Arc::clone(&state), request)));
    let random = Arc::new(Mutex::new(numbers(7)));
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let service = lossy(service.clone(), Arc::clone(&random));
        clients.spawn(async move {
            let backoff = Duration::from_millis(1)..=Duration::from_millis(500);
            let update = update().attempts(200).backoff(backoff);
            // Each line is one client's own, so equal content is the own write.
            let edit = |content: &[u8]| {
                let text = String::from_utf8(content.to_vec())?;
                Ok::<_, BoxError>(format!("{text}{client};"))
            };
            (client, update.run(service, edit).await)
        });
    }
    let (mut done, mut in_doubt) = (Vec::new(), Vec::new());
    while let Some(result) = clients.join_next().await {
        match result.unwrap() {
            (client, Ok(_)) => done.push(client),
            (client, Err(Error::InDoubt(_))) => in_doubt.push(client),
            (client, Err(error)) => panic!("{client}: {error}"),
        }
    }
    let text = counter.lock().unwrap().1.clone();
    let times = |client: &i32| text.split(';').filter(|part| **part == client.to_string()).count();
    assert!(done.iter().all(|client| times(client) == 1), "{text}");
    assert!(in_doubt.iter().all(|client| times(client) <= 1), "{text}");
    assert!(!done.is_empty() && !in_doubt.is_empty(), "{done:?} {in_doubt:?}");
}
