//! Servers that lie, or say too little: never a wrong value, never a panic. Each case
//! is one of `Polled`, of `RevalidateLayer`, and of `StoredHead` in a client of its
//! own.
//!
//! The cases that only the wire can show are in `tests/wire/client.rs`.

use std::time::Duration;

use axum::body::Body;
use http::Response;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt};
use tower_conditional::client::{Error, Polled, RevalidateLayer, StoredHead};

use super::{broken, get, head, not_modified, reply, send, tagged, unsized_body, Server};

const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const TWO_AFTER: &str = "Sun, 06 Nov 1994 08:49:39 GMT";

/// What comes of the last request: its value, or the status of what cannot be used.
type Seen = Result<&'static str, u16>;

struct Case {
    name: &'static str,
    answers: Vec<Response<Body>>,
    asked: &'static [&'static str],
    seen: Seen,
}

/// A case in which the client asks twice; a third request is sent by the library
/// itself.
fn case<const N: usize>(
    name: &'static str,
    answers: [Response<Body>; N],
    asked: &'static [&'static str],
    seen: Seen,
) -> Case {
    Case { name, answers: answers.into(), asked, seen }
}

const PLAIN: &str = "GET";
const BY_TAG: &str = "GET if-none-match \"v1\"";
const BY_DATE: &str = "GET if-modified-since Sun, 06 Nov 1994 08:49:37 GMT";

fn tags() -> Vec<Case> {
    let one = || tagged("\"v1\"", "one");
    let two = || tagged("\"v2\"", "two");
    vec![
        case(
            "it is honest",
            [one(), not_modified(&[("etag", "\"v1\"")])],
            &[PLAIN, BY_TAG],
            Ok("one"),
        ),
        case("content has changed", [one(), two()], &[PLAIN, BY_TAG], Ok("two")),
        case("the 304 has no validator", [one(), not_modified(&[])], &[PLAIN, BY_TAG], Ok("one")),
        case(
            "the 304 has another tag",
            [one(), not_modified(&[("etag", "\"v2\"")]), two()],
            &[PLAIN, BY_TAG, PLAIN],
            Ok("two"),
        ),
        case(
            "the 304 has two tags",
            [one(), not_modified(&[("etag", "\"v1\""), ("etag", "\"v2\"")]), two()],
            &[PLAIN, BY_TAG, PLAIN],
            Ok("two"),
        ),
        case(
            "the 304 has the tag without quotes",
            [one(), not_modified(&[("etag", "v1")]), two()],
            &[PLAIN, BY_TAG, PLAIN],
            Ok("two"),
        ),
        case(
            "each 304 has another tag",
            [one(), not_modified(&[("etag", "\"v2\"")]), not_modified(&[("etag", "\"v3\"")])],
            &[PLAIN, BY_TAG, PLAIN],
            Err(304),
        ),
    ]
}

fn content_on_the_304() -> Vec<Case> {
    let one = || tagged("\"v1\"", "one");
    vec![
        case(
            "the 304 has content",
            [one(), reply(304, &[("etag", "\"v1\"")], "a wrong one")],
            &[PLAIN, BY_TAG],
            Ok("one"),
        ),
        case(
            "the 304 has the head of other content",
            [
                one(),
                reply(
                    304,
                    &[("etag", "\"v1\""), ("content-length", "0"), ("content-encoding", "gzip")],
                    "",
                ),
            ],
            &[PLAIN, BY_TAG],
            Ok("one"),
        ),
    ]
}

fn coded_and_weak_tags() -> Vec<Case> {
    let two = || tagged("\"v2\"", "two");
    vec![
        case(
            "a tag for gzip, and the plain one on the 304",
            [tagged("\"v1-gzip\"", "one"), not_modified(&[("etag", "\"v1\"")]), two()],
            &[PLAIN, "GET if-none-match \"v1-gzip\"", PLAIN],
            Ok("two"),
        ),
        case(
            "a tag that names its coding",
            [tagged("\"v1~gzip\"", "one"), not_modified(&[("etag", "\"v1~gzip\"")])],
            &[PLAIN, "GET if-none-match \"v1~gzip\""],
            Ok("one"),
        ),
        case(
            "the coding is lost on the 304",
            [tagged("\"v1~gzip\"", "one"), not_modified(&[("etag", "\"v1\"")]), two()],
            &[PLAIN, "GET if-none-match \"v1~gzip\"", PLAIN],
            Ok("two"),
        ),
        case(
            "a weak tag",
            [tagged("W/\"v1\"", "one"), not_modified(&[("etag", "W/\"v1\"")])],
            &[PLAIN, "GET if-none-match W/\"v1\""],
            Ok("one"),
        ),
        case(
            "a tag that is weak only on the 200",
            [tagged("W/\"v1\"", "one"), not_modified(&[("etag", "\"v1\"")])],
            &[PLAIN, "GET if-none-match W/\"v1\""],
            Ok("one"),
        ),
    ]
}

fn dates() -> Vec<Case> {
    let dated = |date| reply(200, &[("last-modified", DAY), ("date", date)], "one");
    let two = || reply(200, &[], "two");
    vec![
        case(
            "dates only",
            [dated(TWO_AFTER), not_modified(&[("last-modified", DAY)])],
            &[PLAIN, BY_DATE],
            Ok("one"),
        ),
        case("a date of this second", [dated(DAY), two()], &[PLAIN, PLAIN], Ok("two")),
        case(
            "the 304 has another date",
            [dated(TWO_AFTER), not_modified(&[("last-modified", TWO_AFTER)]), two()],
            &[PLAIN, BY_DATE, PLAIN],
            Ok("two"),
        ),
        case(
            "the 304 has a tag of which nothing was said",
            [dated(TWO_AFTER), not_modified(&[("etag", "\"v2\"")]), two()],
            &[PLAIN, BY_DATE, PLAIN],
            Ok("two"),
        ),
    ]
}

fn unusable() -> Vec<Case> {
    const TAG: (&str, &str) = ("etag", "\"v1\"");
    let two = || tagged("\"v2\"", "two");
    vec![
        case("no validators", [reply(200, &[], "one"), two()], &[PLAIN, PLAIN], Ok("two")),
        case(
            "a 304 that was not asked for",
            [reply(200, &[], "one"), not_modified(&[TAG])],
            &[PLAIN, PLAIN],
            Err(304),
        ),
        case(
            "a 304 at once, and a tag that has no content",
            [not_modified(&[TAG]), two()],
            &[PLAIN, PLAIN],
            Ok("two"),
        ),
    ]
}

fn not_whole() -> Vec<Case> {
    const TAG: (&str, &str) = ("etag", "\"v1\"");
    let two = || tagged("\"v2\"", "two");
    vec![
        case(
            "content that breaks off",
            [reply(200, &[TAG], broken("on")), two()],
            &[PLAIN, PLAIN],
            Ok("two"),
        ),
        case(
            "content that is shorter than it says",
            [reply(200, &[TAG, ("content-length", "3")], unsized_body("on")), two()],
            &[PLAIN, PLAIN],
            Ok("two"),
        ),
        case(
            "content that is longer than it says",
            [reply(200, &[TAG, ("content-length", "1")], unsized_body("one")), two()],
            &[PLAIN, PLAIN],
            Ok("two"),
        ),
        case(
            "a redirect with a tag",
            [reply(302, &[TAG, ("location", "/other")], "moved"), two()],
            &[PLAIN, PLAIN],
            Ok("two"),
        ),
        case(
            "a part of which nothing was said",
            [reply(206, &[TAG, ("content-range", "bytes 0-1/3")], "on"), two()],
            &[PLAIN, PLAIN],
            Ok("two"),
        ),
        case("an error with a tag", [reply(500, &[TAG], "no"), two()], &[PLAIN, PLAIN], Ok("two")),
        case(
            "then an error",
            [tagged("\"v1\"", "one"), reply(500, &[], "no")],
            &[PLAIN, BY_TAG],
            Err(500),
        ),
        case(
            "then a 412",
            [tagged("\"v1\"", "one"), reply(412, &[TAG], "no")],
            &[PLAIN, BY_TAG],
            Err(412),
        ),
    ]
}

/// Answers to a request that asks, none of which confirms or replaces what is held.
fn other_answers() -> Vec<Case> {
    const TAG: (&str, &str) = ("etag", "\"v1\"");
    let one = || tagged("\"v1\"", "one");
    let then = |status, name| {
        let answer = reply(status, &[TAG, ("content-range", "bytes 0-1/3")], "on");
        case(name, [one(), answer], &[PLAIN, BY_TAG], Err(status))
    };
    vec![
        then(204, "then no content"),
        then(206, "then a part of which nothing was said"),
        then(226, "then a delta"),
        then(301, "then a redirect for ever"),
        then(401, "then a login"),
        then(410, "then it is gone"),
        then(416, "then a range that was not asked for"),
        then(428, "then a demand for a precondition"),
        then(503, "then it is busy"),
    ]
}

fn fields_of_the_304() -> Vec<Case> {
    let one = || tagged("\"v1\"", "one");
    let two = || tagged("\"v2\"", "two");
    let confirmed = |name, line| {
        let answer = not_modified(&[("etag", "\"v1\""), line]);
        case(name, [one(), answer], &[PLAIN, BY_TAG], Ok("one"))
    };
    vec![
        confirmed("the 304 varies by another field", ("vary", "accept")),
        confirmed("the 304 varies by all", ("vary", "*")),
        confirmed("the 304 varies by what is no field", ("vary", "a b,\"")),
        confirmed("the 304 is old", ("age", "99999999999999999999")),
        confirmed("the 304 has another digest", ("repr-digest", "sha-256=:AAAA:")),
        confirmed("the 304 hides its tag behind Connection", ("connection", "etag")),
        confirmed("the 304 has a part's range", ("content-range", "bytes 0-0/9")),
        case(
            "the 304 has an empty tag line",
            [one(), not_modified(&[("etag", "")]), two()],
            &[PLAIN, BY_TAG, PLAIN],
            Ok("two"),
        ),
        case(
            "the 304 has the tag twice",
            [one(), not_modified(&[("etag", "\"v1\""), ("etag", "\"v1\"")]), two()],
            &[PLAIN, BY_TAG, PLAIN],
            Ok("two"),
        ),
        case(
            "the 304 has a list of tags",
            [one(), not_modified(&[("etag", "\"v1\", \"v2\"")]), two()],
            &[PLAIN, BY_TAG, PLAIN],
            Ok("two"),
        ),
        case(
            "the 304 has a date in place of the tag",
            [one(), not_modified(&[("last-modified", DAY)]), two()],
            &[PLAIN, BY_TAG, PLAIN],
            Ok("two"),
        ),
    ]
}

fn cases() -> Vec<Case> {
    [
        tags(),
        content_on_the_304(),
        coded_and_weak_tags(),
        dates(),
        unusable(),
        not_whole(),
        other_answers(),
        fields_of_the_304(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test(start_paused = true)]
async fn polled_believes_no_server_that_lies() {
    for Case { name, answers, asked, seen } in cases() {
        let mut server = Server::new(answers);
        let polled = Polled::<Vec<u8>>::new();
        let parse = |content: &[u8]| Ok::<_, String>(content.to_vec());
        drop(polled.refresh(&mut server, &head(&[]), parse).await);
        let before = polled.get();
        tokio::time::advance(Duration::from_secs(7)).await;
        let result = polled.refresh(&mut server, &head(&[]), parse).await;
        match (result, seen) {
            (Ok(value), Ok(expected)) => assert_eq!(*value, expected.as_bytes(), "{name}"),
            (Err(error), Err(expected)) => {
                let Error::Status(status) = error.error else { panic!("{name}: {error}") };
                assert_eq!(status.as_u16(), expected, "{name}");
                assert_eq!(error.age, before.as_ref().map(|_| Duration::from_secs(7)), "{name}");
                assert_eq!(polled.get(), before, "{name}");
            }
            (result, _) => panic!("{name}: {result:?}"),
        }
        assert_eq!((server.asked(), server.left()), (owned(asked), 0), "{name}");
    }
}

#[tokio::test]
async fn revalidate_believes_no_server_that_lies() {
    for Case { name, answers, asked, seen } in cases() {
        let server = Server::new(answers);
        let mut service = RevalidateLayer::new(1 << 20).layer(server.clone());
        send(&mut service, get(&[])).await;
        let (status, content) = send(&mut service, get(&[])).await;
        match seen {
            Ok(expected) => {
                assert_eq!((status, content.as_deref()), (200, Some(expected)), "{name}");
            }
            Err(expected) => assert_eq!(status, expected, "{name}"),
        }
        assert_eq!((server.asked(), server.left()), (owned(asked), 0), "{name}");
    }
}

/// A client that uses the rules alone, as those of other HTTP clients are.
#[derive(Default)]
struct ByHand {
    held: Option<(StoredHead, String)>,
}

impl ByHand {
    async fn read(&mut self, server: &mut Server) -> Result<String, u16> {
        let mut request = get(&[]);
        let asked = self.held.as_ref();
        let asked = asked.is_some_and(|(head, _)| head.ask(request.headers_mut()));
        let response = server.ready().await.unwrap().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        match (head.status.as_u16(), &mut self.held) {
            (304, Some((stored, content))) if asked => {
                if stored.merge(&head.headers) {
                    return Ok(content.clone());
                }
                self.held = None;
                return Box::pin(self.read(server)).await;
            }
            (200, _) => {}
            (status, _) => return Err(status),
        }
        // What HTTP clients do: they notice content of another length.
        let content = body.collect().await.map_err(|_| 0_u16)?.to_bytes();
        let length = head.headers.get("content-length");
        if length.is_some_and(|length| *length != *content.len().to_string()) {
            return Err(0);
        }
        let content = String::from_utf8(content.into()).unwrap();
        self.held = Some((StoredHead::new(&head.headers), content.clone()));
        Ok(content)
    }
}

#[tokio::test]
async fn stored_head_believes_no_server_that_lies() {
    for Case { name, answers, asked, seen } in cases() {
        let mut server = Server::new(answers);
        let mut client = ByHand::default();
        drop(client.read(&mut server).await);
        let result = client.read(&mut server).await;
        assert_eq!(result, seen.map(str::to_owned), "{name}");
        assert_eq!((server.asked(), server.left()), (owned(asked), 0), "{name}");
    }
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().copied().map(str::to_owned).collect()
}
