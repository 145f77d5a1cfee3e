//! The setting `problem_details`.

use std::{convert::Infallible, future::ready};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::Outcome;

use crate::support::harness::{
    date, layer, reply, request, run, send, tag, Lines, IM, INM, IUS, LM,
};

#[test]
fn problem_details_are_the_content_of_a_412() {
    let (now, then) = (tag("content"), date(-9_000));
    let own = [(LM, &*date(-100)), ("content-type", "text/html"), ("content-length", "7")];
    for (method, lines, failed) in [
        ("GET", &[(IM, "\"x\"")][..] as Lines<'_>, Some("if-match")),
        ("GET", &[(IUS, &then)], Some("if-unmodified-since")),
        ("QUERY", &[(IM, "\"x\""), (IUS, &then)], Some("if-match")),
        ("HEAD", &[(IM, "\"x\"")], None),
    ] {
        for is_set in [true, false] {
            let (layer, clock) = layer();
            clock.set(60);
            let layer = layer.problem_details(is_set).head_as_get(true);
            let seen = send(&layer, request(method, "/", lines), reply(200, &own, "content"));
            let case = format!("{method} {lines:?} {is_set}");
            assert_eq!(seen.status(), 412, "{case}");
            assert_eq!(
                (seen.outcome, seen.line("etag")),
                (Outcome::PreconditionFailed, Some(&*now))
            );
            let Some(failed) = failed.filter(|_| is_set) else {
                assert_eq!((&*seen.content, seen.line("content-type")), (&b""[..], None), "{case}");
                continue;
            };
            assert_eq!(seen.lines("content-type"), ["application/problem+json"], "{case}");
            assert_eq!(seen.line("content-length"), None, "{case}");
            let problem: Value = serde_json::from_slice(&seen.content).unwrap();
            assert_eq!(problem["failed_field"], failed, "{case}");
            assert_eq!(problem["current_etag"], now, "{case}");
        }
    }
    // A 304 has no content, whatever is set.
    let layer = layer().0.problem_details(true);
    let seen = send(&layer, request("GET", "/", &[(INM, &now)]), reply(200, &[], "content"));
    assert_eq!((seen.status(), &*seen.content), (304, &b""[..]));
}

/// The inner service would run a write with a date that it does not know.
#[test]
fn problem_details_are_the_content_of_a_write_with_a_generated_date() {
    let (layer, clock) = layer();
    let inner =
        service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(reply(200, &[], "content"))));
    let service = layer.problem_details(true).layer(inner);
    run(async {
        service.clone().oneshot(request("GET", "/", &[])).await.unwrap();
        clock.set(60);
        let read = service.clone().oneshot(request("GET", "/", &[])).await.unwrap();
        let date = read.headers()[LM].to_str().unwrap();
        let write = service.oneshot(request("PUT", "/", &[(IUS, date)])).await.unwrap();
        assert_eq!(write.status(), 412);
        assert_eq!(write.headers()["content-type"], "application/problem+json");
        let content = write.into_body().collect().await.unwrap().to_bytes();
        let problem: Value = serde_json::from_slice(&content).unwrap();
        assert_eq!(problem["failed_field"], "if-unmodified-since");
    });
}
