//! The setting `problem_details`, and what a rejection says.

use std::{future::ready, time::Duration};

use http::{header::IF_MATCH, HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use serde_json::{json, Value};
use tower::ServiceExt;
use tower_conditional::{
    EntityTag, PreconditionLayer, Preconditions, Rejection, Representation, Validators,
};

use crate::support::{
    guarded::guarded,
    handler::{self, day, exists, known},
    harness::{reply, request, value, Lines, IM, INM, IUS},
    note::{note, service},
    wire::fed,
};

const PROBLEM: Option<&str> = Some("application/problem+json");

fn parse(text: &str) -> Value {
    assert!(text.is_ascii(), "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn problem_details_say_which_field_failed_and_what_to_send() {
    let tagged = exists("\"v1\"");
    let then = day(1).to_string();
    let dated = Representation::Exists(
        Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(day(2)),
    );
    let missing = Representation::Missing;
    let weak = exists("W/\"v1\"");
    let dateless = Representation::Exists(Validators::new().last_modified(day(2)));
    for (method, lines, current, status, failed, advice) in [
        ("PUT", &[(IM, "\"v0\"")][..], &tagged, 412, Some("if-match"), "Get it again"),
        ("GET", &[(IM, "\"v0\"")], &tagged, 412, Some("if-match"), "without preconditions"),
        ("PUT", &[(IM, "*")], &missing, 412, Some("if-match"), "send If-None-Match: *"),
        ("DELETE", &[(IM, "*")], &missing, 412, Some("if-match"), "nothing at this URI"),
        // These would fail again with the tag of any version.
        ("PUT", &[(IM, "v1")], &tagged, 412, Some("if-match"), "with its quotes"),
        ("PUT", &[(IM, "W/\"v1\"")], &tagged, 412, Some("if-match"), "begins with W/"),
        ("PUT", &[(IM, "W/\"v1\", \"v0\"")], &tagged, 412, Some("if-match"), "Get it again"),
        ("PUT", &[(INM, "*")], &tagged, 412, Some("if-none-match"), "at this URI already"),
        ("PUT", &[(INM, "\"v1\"")], &tagged, 412, Some("if-none-match"), "one of the versions"),
        ("PUT", &[(INM, "v1")], &tagged, 412, Some("if-none-match"), "has no tag"),
        ("PUT", &[(IM, "\"v1\"")], &weak, 412, Some("if-match"), "no strong ETag"),
        ("PUT", &[(IM, "\"v1\"")], &dateless, 412, Some("if-match"), "no strong ETag"),
        ("PUT", &[(IM, "*"), (INM, "\"v1\"")], &tagged, 412, Some("if-none-match"), "If-Match"),
        ("PUT", &[(IUS, &then)], &dated, 412, Some("if-unmodified-since"), "send If-Match"),
        ("PUT", &[(IUS, &then), (IM, "\"v0\"")], &dated, 412, Some("if-match"), "Get it again"),
        ("PUT", &[], &tagged, 428, None, "to create a new resource"),
        ("PUT", &[(IUS, "x")], &missing, 428, None, "send If-None-Match: *."),
        ("PUT", &[(IUS, "x")], &tagged, 428, None, "send If-Match"),
        ("DELETE", &[], &tagged, 428, None, "version of it: send If-Match"),
        ("PATCH", &[], &tagged, 428, None, "which version of it: send If-Match"),
        ("PUT", &[(IM, "*")], &Representation::Unknown, 503, None, "is not known"),
    ] {
        let layer = known(current.clone()).require_preconditions(|_| true).problem_details(true);
        let seen = handler::send(layer, method, lines);
        let case = format!("{method} {lines:?} {current:?}");
        assert_eq!((seen.status(), seen.line("content-type")), (status, PROBLEM), "{case}");
        let problem = parse(seen.response.body());
        let text = |member: &str| problem.get(member).map(|text| text.as_str().unwrap());
        assert_eq!(problem["status"], status, "{case}");
        assert_eq!(text("title"), seen.response.status().canonical_reason(), "{case}");
        assert_eq!(text("failed_field"), failed, "{case}");
        assert_eq!(text("current_etag"), seen.line("etag"), "{case}");
        assert_eq!(text("current_last_modified"), seen.line("last-modified"), "{case}");
        assert!(text("detail").unwrap().contains(advice), "{case}: {problem}");
    }
}

#[test]
fn problem_details_are_left_out_where_there_is_no_content() {
    for (method, lines, status) in
        [("HEAD", (IM, "\"v0\""), 412), ("HEAD", (INM, "\"v1\""), 304), ("GET", (INM, "*"), 304)]
    {
        let layer = known(exists("\"v1\"")).problem_details(true);
        let seen = handler::send(layer, method, &[lines]);
        assert_eq!((seen.status(), &**seen.response.body()), (status, ""), "{method}");
        assert_eq!(seen.line("content-type"), None, "{method}");
    }
    // By default a 412 has none.
    let seen = handler::send(known(exists("\"v1\"")), "PUT", &[(IM, "\"v0\"")]);
    assert_eq!((&**seen.response.body(), seen.line("content-type")), ("", None));
}

/// Quotes, backslashes and bytes that are no ASCII.
#[test]
fn problem_details_escape_what_a_tag_may_have() {
    let tag = EntityTag::try_from(&value("W/\"a\\b'é\u{80}ÿ\"")).unwrap();
    let headers = HeaderMap::from_iter([(IF_MATCH, "\"x\"".parse().unwrap())]);
    let rejection = Preconditions::new(&Method::PUT, &headers).check(&tag).unwrap_err();
    assert_eq!(rejection.failed_field(), Some(&IF_MATCH));
    assert_eq!(rejection.current().etag.as_ref(), Some(&tag));
    let plain: Response<String> = rejection.clone().into();
    assert_eq!((&**plain.body(), plain.headers().get("content-type")), ("", None));
    let response: Response<String> = Rejection::problem_details(rejection).into();
    assert_eq!(parse(response.body())["current_etag"], json!("W/\"a\\b'é\u{80}ÿ\""));
}

#[test]
fn problem_details_are_said_where_the_source_fails() {
    let failing = PreconditionLayer::new(|_| ready(Err::<Representation, _>("lost")));
    let seen = handler::send(failing.problem_details(true), "PUT", &[(IM, "*")]);
    assert_eq!((seen.status(), seen.line("content-type")), (503, PROBLEM));
}

/// What the guard refuses for other reasons says so, too.
#[tokio::test(start_paused = true)]
async fn problem_details_are_said_by_the_guard() {
    async fn ask(problem_details: bool, lines: Lines<'_>, sent: &'static str) -> (u16, String) {
        let inner = service(&note("old"), |text| reply(200, &[("etag", "\"v1\"")], text));
        let guard = guarded(inner).body_limit(4).require_preconditions(|_| true);
        let (feed, body) = fed(sent);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(feed);
        });
        let write: Request<_> = request("PUT", "/note", lines).map(|_| body);
        let response = guard.problem_details(problem_details).oneshot(write).await.unwrap();
        let (head, body) = response.into_parts();
        let media_type = head.headers.get("content-type").map(|text| text.to_str().unwrap());
        assert_eq!(media_type == PROBLEM, problem_details, "{media_type:?}");
        let text = body.collect().await.unwrap().to_bytes().to_vec();
        (head.status.as_u16(), String::from_utf8(text).unwrap())
    }
    for (lines, sent, status, advice) in [
        (&[(IM, "\"v0\"")][..], "new", 412, "If-Match"),
        (&[], "new", 428, "If-None-Match"),
        (&[(IM, "\"v1\"")], "too long", 413, "larger"),
        (&[(IM, "\"v1\"")], "slow", 408, "slowly"),
    ] {
        let (seen, text) = ask(true, lines, sent).await;
        let problem = parse(&text);
        assert_eq!((seen, &problem["status"]), (status, &json!(status)));
        assert!(problem["detail"].as_str().unwrap().contains(advice), "{problem}");
        let (seen, text) = ask(false, lines, sent).await;
        assert_eq!((seen, text.is_empty()), (status, status != 428), "{text}");
    }
}
