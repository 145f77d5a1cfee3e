//! `PreconditionLayer::from_extractor`: a source that takes the parameters of the path.
#![cfg(feature = "axum")]

use axum::{
    body::Body,
    extract::{Extension, Path},
    routing::get,
    Router,
};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_conditional::{EntityTag, Outcome, PreconditionLayer, Reason, Representation};

use crate::support::{
    harness::{request, Lines, IM, INM},
    note::write,
};

async fn send(app: &Router, request: Request<Body>) -> (u16, String, Option<Outcome>) {
    let (mut head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let content = body.collect().await.unwrap().to_bytes().to_vec();
    (head.status.as_u16(), String::from_utf8(content).unwrap(), head.extensions.remove())
}

/// The tag of a note is its number, and that of the tenant.
async fn state(
    (Path((tenant, id)), is_down): (Path<(String, u64)>, Option<Extension<Down>>),
) -> Result<Representation, &'static str> {
    match (id, is_down) {
        (_, Some(_)) => Err("no connection"),
        (0, None) => Ok(Representation::Missing),
        _ => Ok(EntityTag::of_parts([&*tenant, &*id.to_string()]).into()),
    }
}

#[derive(Clone)]
struct Down;

async fn read(Path((_, id)): Path<(String, u64)>) -> String {
    format!("note {id}")
}

fn app(requires: bool) -> Router {
    let layer = PreconditionLayer::from_extractor(state).report_outcome(true);
    let layer = layer.require_preconditions(move |_| requires);
    let notes = Router::new()
        .route("/notes/{id}", get(read).put(|| async { StatusCode::NO_CONTENT }))
        .layer(layer);
    Router::new().nest("/api/{tenant}", notes)
}

#[tokio::test]
async fn extractor_takes_the_parameters_of_a_nested_path() {
    let a7 = EntityTag::of_parts(["a", "7"]).to_string();
    for (method, path, lines, status) in [
        ("GET", "/api/a/notes/7", &[][..] as Lines<'_>, 200),
        ("GET", "/api/a/notes/7", &[(INM, &a7)], 304),
        ("GET", "/api/b/notes/7", &[(INM, &a7)], 200),
        ("GET", "/api/a/notes/8", &[(INM, &a7)], 200),
        ("PUT", "/api/a/notes/7", &[(IM, &a7)], 204),
        ("PUT", "/api/b/notes/7", &[(IM, &a7)], 412),
        ("PUT", "/api/a/notes/0", &[(IM, "*")], 412),
        ("PUT", "/api/a/notes/0", &[(INM, "*")], 204),
    ] {
        let seen = send(&app(false), request(method, path, lines)).await;
        assert_eq!(seen.0, status, "{method} {path} {lines:?}");
    }
}

/// A path that names nothing is no source that fails: the answer is the handler's own.
#[tokio::test]
async fn extractor_that_rejects_the_request_says_so() {
    let (_, expected, _) = send(&app(false), request("GET", "/api/a/notes/seven", &[])).await;
    assert!(expected.contains("Cannot parse"), "{expected}");
    for requires in [false, true] {
        for method in ["GET", "HEAD", "PUT"] {
            let bad = request(method, "/api/a/notes/seven", &[(IM, "\"x\"")]);
            let (status, text, outcome) = send(&app(requires), bad).await;
            assert_eq!(status, 400, "{method} {requires}");
            assert_eq!(text, if method == "HEAD" { "" } else { &*expected }, "{method}");
            let skipped = Outcome::LeftAlone(Reason::UnknownState);
            assert_eq!(outcome, Some(skipped), "{method} {requires}");
        }
    }
}

/// One that fails is: a write gets 503, and a read goes on.
#[tokio::test]
async fn extractor_leaves_failures_of_the_source_as_they_are() {
    for (method, status) in [("GET", 200), ("PUT", 503)] {
        let mut failing = request(method, "/api/a/notes/7", &[(IM, "\"x\"")]);
        failing.extensions_mut().insert(Down);
        assert_eq!(send(&app(false), failing).await.0, status, "{method}");
    }
    let answering = PreconditionLayer::from_extractor(state).on_error(|error| {
        let mut response = http::Response::new(error);
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    });
    let app = Router::new().route("/{tenant}/{id}", get(read)).layer(answering);
    let mut failing = write("GET", &[(INM, "*")], "");
    *failing.uri_mut() = "/a/7".parse().unwrap();
    failing.extensions_mut().insert(Down);
    assert_eq!(send(&app, failing).await.0, 418);
    let bad = request("GET", "/a/seven", &[(INM, "*")]);
    assert_eq!(send(&app, bad).await.0, 400, "that is not the source's");
}

/// A server error of the extractor is no answer: the request did nothing wrong. Around
/// the fallback of a router, `Path` has no parameters, and fails so.
#[tokio::test]
async fn extractor_that_fails_leaves_reads_to_the_handler() {
    let plain = || {
        Router::new()
            .route("/{tenant}/{id}", get(read).put(|| async { StatusCode::NO_CONTENT }))
            .fallback(|| async { (StatusCode::NOT_FOUND, "nothing here") })
    };
    let layer = PreconditionLayer::from_extractor(state).report_outcome(true);
    let skipped = Some(Outcome::LeftAlone(Reason::StateUnavailable));
    for (method, lines, status, outcome) in [
        ("GET", &[][..] as Lines<'_>, 404, skipped),
        ("HEAD", &[], 404, skipped),
        ("GET", &[(INM, "*")], 404, skipped),
        ("GET", &[(IM, "\"x\"")], 404, skipped),
        ("PUT", &[], 404, Some(Outcome::Proceeded)),
        // The preconditions of a write cannot be evaluated.
        ("PUT", &[(IM, "\"x\"")], 503, Some(Outcome::StateUnavailable)),
        ("DELETE", &[(INM, "*")], 503, Some(Outcome::StateUnavailable)),
    ] {
        let asked = || request(method, "/", lines);
        let layered = send(&plain().layer(layer.clone()), asked()).await;
        assert_eq!((layered.0, layered.2), (status, outcome), "{method} {lines:?}");
        // `route_layer` does not wrap the fallback.
        let routes = plain().route_layer(layer.clone());
        for app in [plain(), routes] {
            let (status, text, outcome) = send(&app, asked()).await;
            assert_eq!((status, outcome), (404, None), "{method} {lines:?}");
            assert!(layered.0 == 503 || text == layered.1, "{method} {lines:?}");
        }
    }
}
