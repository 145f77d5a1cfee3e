//! `Polled`: the last value, and what a refresh costs.

use std::{cell::Cell, sync::Arc, time::Duration};

use http::{Request, StatusCode};
use tokio::time::advance;
use tower::BoxError;
use tower_conditional::client::{Error, Polled};

use super::{broken, head, not_modified, reply, tagged, unsized_body, Answer, Server};
use crate::support::harness::CC;

/// Parses a number.
fn number(content: &[u8]) -> Result<u32, BoxError> {
    Ok(std::str::from_utf8(content)?.parse()?)
}

fn other_uri(mut request: Request<()>) -> Request<()> {
    *request.uri_mut() = "http://localhost/other".parse().unwrap();
    request
}

#[tokio::test]
async fn polled_parses_only_what_has_changed() {
    let mut server = Server::new([
        tagged("\"1\"", "1"),
        not_modified(&[("etag", "\"1\"")]),
        not_modified(&[]),
        tagged("\"2\"", "2"),
        not_modified(&[("etag", "\"2\"")]),
    ]);
    let (polled, parsed) = (Polled::new(), Cell::new(0));
    let shared = polled.clone();
    assert_eq!((shared.get(), shared.age()), (None, None));
    let mut values = Vec::new();
    for _ in 0..5 {
        let request = head(&[("authorization", "secret")]);
        let parse = |content: &[u8]| {
            parsed.set(parsed.get() + 1);
            number(content)
        };
        values.push(polled.refresh(&mut server, &request, parse).await.unwrap());
        assert!(Arc::ptr_eq(values.last().unwrap(), &shared.get().unwrap()));
    }
    assert_eq!(values.iter().map(|value| **value).collect::<Vec<_>>(), [1, 1, 1, 2, 2]);
    assert_eq!(parsed.get(), 2);
    assert!(Arc::ptr_eq(&values[0], &values[2]));
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.headers()["authorization"] == "secret"));
    let tags = requests.iter().map(|request| request.headers().get("if-none-match"));
    let tags: Vec<_> = tags.map(|tag| tag.map(|tag| tag.to_str().unwrap())).collect();
    assert_eq!(tags, [None, Some("\"1\""), Some("\"1\""), Some("\"1\""), Some("\"2\"")]);
}

#[tokio::test(start_paused = true)]
async fn polled_keeps_the_old_value_after_an_error_and_says_how_old_it_is() {
    let failures = [
        (Answer::Lost, "the service failed"),
        (reply(503, &[], "").into(), "the answer was 503 Service Unavailable"),
        (reply(200, &[], broken("2")).into(), "the content could not be read to its end"),
        (tagged("\"2\"", "two").into(), "the content could not be used"),
        (tagged("\"2\"", "22222").into(), "the content is longer than the limit"),
    ];
    for (failure, text) in failures {
        let mut server = Server::new([
            tagged("\"1\"", "1").into(),
            not_modified(&[]).into(),
            failure,
            Answer::Reply(not_modified(&[])),
        ]);
        let polled = Polled::with_content_limit(4);
        for age in [0, 5] {
            advance(Duration::from_secs(age)).await;
            polled.refresh(&mut server, &head(&[]), number).await.unwrap();
        }
        advance(Duration::from_secs(12)).await;
        let error = polled.refresh(&mut server, &head(&[]), number).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{text}; the value held is 12 s old"));
        assert_eq!(error.age, Some(Duration::from_secs(12)), "{text}");
        assert_eq!((*polled.get().unwrap(), polled.age()), (1, error.age), "{text}");
        // The tag of the value is held as well, not that of what failed.
        polled.refresh(&mut server, &head(&[]), number).await.unwrap();
        assert_eq!(polled.age(), Some(Duration::ZERO), "{text}");
        assert_eq!(server.asked()[3], "GET if-none-match \"1\"", "{text}");
    }
    let mut server = Server::new([Answer::Lost]);
    let error = Polled::new().refresh(&mut server, &head(&[]), number).await.unwrap_err();
    assert_eq!(error.to_string(), "the service failed; no value is held");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the connection broke");
}

#[tokio::test(start_paused = true)]
async fn polled_waits_as_long_as_the_server_says_within_bounds() {
    let bounds = Duration::from_secs(10)..=Duration::from_secs(60);
    for (status, lines, seconds) in [
        (200, &[][..], 10),
        (200, &[(CC, "max-age=30")], 30),
        (200, &[(CC, "max-age=30"), ("age", "10")], 20),
        (200, &[(CC, "max-age=5")], 10),
        (200, &[(CC, "max-age=31536000")], 60),
        (200, &[(CC, "max-age=99999999999999999999")], 60),
        (200, &[(CC, "no-cache, max-age=30")], 10),
        (503, &[("retry-after", "30")], 30),
        (
            429,
            &[
                ("retry-after", "Sun, 06 Nov 1994 08:49:57 GMT"),
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ],
            20,
        ),
        (503, &[("retry-after", "soon")], 10),
        (500, &[(CC, "max-age=30")], 10),
    ] {
        let polled = Polled::new();
        let mut server = Server::new([reply(status, lines, "1")]);
        drop(polled.refresh(&mut server, &head(&[]), number).await);
        assert_eq!(polled.wait(bounds.clone()), Duration::from_secs(seconds), "{lines:?}");
        // What has passed since counts.
        advance(Duration::from_secs(5)).await;
        let left = seconds.saturating_sub(5).max(10);
        let expected = if seconds == 60 { 60 } else { left };
        assert_eq!(polled.wait(bounds.clone()), Duration::from_secs(expected), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn polled_waits_after_a_304_as_after_the_200_that_it_confirms() {
    let mut server = Server::new([
        reply(200, &[("etag", "\"1\""), (CC, "max-age=30")], "1"),
        not_modified(&[("age", "10")]),
        not_modified(&[(CC, "max-age=40")]),
        not_modified(&[]),
    ]);
    let polled = Polled::new();
    for seconds in [30, 20, 40, 40] {
        polled.refresh(&mut server, &head(&[]), number).await.unwrap();
        let bounds = Duration::ZERO..=Duration::MAX;
        assert_eq!(polled.wait(bounds), Duration::from_secs(seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn polled_takes_the_later_of_two_refreshes_at_once() {
    let later = |seconds, response| Answer::After(Duration::from_secs(seconds), response);
    let server = Server::new([
        tagged("\"1\"", "1").into(),
        // Overtaken by the next.
        later(9, tagged("\"2\"", "2")),
        later(3, tagged("\"3\"", "3")),
        // Overtaken, and about what was held when it was sent.
        later(9, not_modified(&[("etag", "\"3\"")])),
        later(3, tagged("\"4\"", "4")),
        // A failure of a later one does not undo an earlier one.
        later(9, tagged("\"5\"", "5")),
        later(3, reply(500, &[], "")),
        Answer::Reply(not_modified(&[])),
    ]);
    let polled = Polled::new();
    let request = head(&[]);
    let refresh = || polled.refresh(server.clone(), &request, number);
    refresh().await.unwrap();
    for (expected, fails) in [(3, false), (4, false), (5, true)] {
        let (early, late) = tokio::join!(refresh(), refresh());
        assert_eq!((*early.unwrap(), late.is_err()), (expected, fails));
        assert_eq!(*polled.get().unwrap(), expected);
    }
    assert_eq!(*refresh().await.unwrap(), 5);
    assert_eq!(server.asked().last().unwrap(), "GET if-none-match \"5\"");
}

#[tokio::test(start_paused = true)]
async fn polled_gives_no_value_of_another_request_though_that_is_later() {
    const VARY: (&str, &str) = ("vary", "accept");
    let later = |seconds, response| Answer::After(Duration::from_secs(seconds), response);
    for (of_the_later, expected) in [
        (head(&[("accept", "csv"), ("x-own", "1")]), 2),
        (head(&[("accept", "json")]), 1),
        (head(&[("accept", "csv"), ("authorization", "b")]), 1),
        (other_uri(head(&[("accept", "csv")])), 1),
    ] {
        let server = Server::new([
            later(9, reply(200, &[("etag", "\"1\""), VARY], "1")),
            later(3, reply(200, &[("etag", "\"2\""), VARY], "2")),
        ]);
        let (polled, request) = (Polled::new(), head(&[("accept", "csv")]));
        let refresh = |request| polled.refresh(server.clone(), request, number);
        let (early, late) = tokio::join!(refresh(&request), refresh(&of_the_later));
        assert_eq!((*early.unwrap(), *late.unwrap()), (expected, 2), "{of_the_later:?}");
        assert_eq!(*polled.get().unwrap(), 2, "{of_the_later:?}");
    }
}

#[tokio::test]
async fn polled_leaves_questions_of_the_caller_alone() {
    let mut server = Server::new([tagged("\"1\"", "1"), not_modified(&[])]);
    let polled = Polled::new();
    polled.refresh(&mut server, &head(&[]), number).await.unwrap();
    let own = head(&[("if-none-match", "\"own\"")]);
    let error = polled.refresh(&mut server, &own, number).await.unwrap_err();
    assert!(matches!(error.error, Error::Status(StatusCode::NOT_MODIFIED)));
    assert_eq!(server.asked()[1], "GET if-none-match \"own\"");
}

#[tokio::test]
async fn polled_asks_only_about_what_the_request_selects() {
    const ANSWER: [(&str, &str); 2] = [("etag", "\"1\""), ("vary", "accept")];
    for (second, asks) in [
        (head(&[("accept", "csv"), ("authorization", "a")]), true),
        (head(&[("accept", "csv"), ("authorization", "a"), ("x-own", "1")]), true),
        (head(&[("accept", "json"), ("authorization", "a")]), false),
        (head(&[("accept", "csv"), ("authorization", "b")]), false),
        (head(&[("accept", "csv"), ("authorization", "a"), ("cookie", "b")]), false),
        (other_uri(head(&[("accept", "csv"), ("authorization", "a")])), false),
    ] {
        let (polled, first) = (Polled::new(), head(&[("accept", "csv"), ("authorization", "a")]));
        let mut server = Server::new([reply(200, &ANSWER, "1"), reply(200, &ANSWER, "2")]);
        polled.refresh(&mut server, &first, number).await.unwrap();
        assert_eq!(*polled.refresh(&mut server, &second, number).await.unwrap(), 2);
        assert_eq!(server.asked()[1].contains("if-none-match"), asks, "{second:?}");
    }
}

#[tokio::test]
async fn polled_asks_by_no_other_variants_tag_whatever_a_304_varies_by() {
    const ANSWER: [(&str, &str); 2] = [("etag", "\"1\""), ("vary", "accept")];
    for vary in ["origin", "", "*", "a b"] {
        let mut server = Server::new([
            reply(200, &ANSWER, "1"),
            not_modified(&[("etag", "\"1\""), ("vary", vary)]),
            reply(200, &ANSWER, "2"),
        ]);
        let polled = Polled::new();
        for (accept, value) in [("json", 1), ("json", 1), ("csv", 2)] {
            let request = head(&[("accept", accept)]);
            assert_eq!(*polled.refresh(&mut server, &request, number).await.unwrap(), value);
        }
        assert_eq!(server.asked(), ["GET", "GET if-none-match \"1\"", "GET"], "{vary}");
    }
}

#[tokio::test]
async fn polled_asks_only_about_content_that_was_whole_for_certain() {
    let chunked = [("etag", "\"1\""), ("transfer-encoding", "chunked")];
    for (first, asks) in [
        (tagged("\"1\"", "1"), true),
        (reply(200, &chunked, unsized_body("1")), true),
        (reply(200, &chunked[..1], unsized_body("1")), false),
    ] {
        let mut server = Server::new([first, tagged("\"2\"", "12")]);
        let polled = Polled::new();
        for value in [1, 12] {
            assert_eq!(*polled.refresh(&mut server, &head(&[]), number).await.unwrap(), value);
        }
        assert_eq!(server.asked()[1].contains("if-none-match"), asks);
    }
}

#[tokio::test(start_paused = true)]
async fn polled_age_is_since_the_request_and_counts_what_caches_say() {
    let later = |seconds, response| Answer::After(Duration::from_secs(seconds), response);
    let mut server = Server::new([
        later(3, tagged("\"1\"", "1")),
        later(2, not_modified(&[])),
        later(0, not_modified(&[("age", "100")])),
        later(1, reply(200, &[("etag", "\"2\""), ("age", "20")], "2")),
        Answer::Lost,
    ]);
    let polled = Polled::new();
    for seconds in [3, 2, 100, 21] {
        polled.refresh(&mut server, &head(&[]), number).await.unwrap();
        assert_eq!(polled.age(), Some(Duration::from_secs(seconds)));
    }
    let error = polled.refresh(&mut server, &head(&[]), number).await.unwrap_err();
    assert_eq!(error.age, Some(Duration::from_secs(21)));
}
