//! Validators that one layer tells another: of which resource they are.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, OnceLock},
};

use axum::{body::Body, response::IntoResponse, routing::get, Router};
use http::{Request, StatusCode};
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{ConditionalLayer, PreconditionLayer};
use tower_http::normalize_path::NormalizePathLayer;

use crate::support::{
    handler::exists,
    harness::{request, run, tag},
    note::{note, plain, service, status_of},
};

/// A handler that asks another service, and passes on the extensions of its request,
/// gets that service's tags.
#[test]
fn known_validators_of_one_resource_are_not_those_of_another() {
    let who = note("alice");
    let session = ConditionalLayer::new().layer(service(&who, plain));
    let handler = service_fn(move |request: Request<Body>| {
        let session = session.clone();
        async move {
            let (mut parts, body) = request.into_parts();
            parts.uri = "/session".parse().unwrap();
            // The handler has a copy, and asks whether it is still right.
            let tag = parts.headers.remove("x-copy");
            parts.headers.extend(tag.map(|tag| (http::header::IF_NONE_MATCH, tag)));
            Ok::<_, Infallible>(
                session.oneshot(Request::from_parts(parts, body)).await.unwrap().map(Body::new),
            )
        }
    });
    let service = PreconditionLayer::new(|_| ready(exists("\"v1\""))).layer(handler);
    let first = run(service.clone().oneshot(request("GET", "/page", &[]))).unwrap();
    let copy = first.headers()["etag"].to_str().unwrap().to_owned();
    *who.lock().unwrap() = "mallory".to_owned();
    let second = run(status_of(service, request("GET", "/page", &[("x-copy", &*copy)])));
    assert_eq!(second, 200, "the copy {copy} is alice's");
}

/// Axum leaves "/" of a path that is all prefix, and other middleware takes the slash
/// at the end off.
#[test]
fn known_validators_follow_a_path_through_nested_routers() {
    let read = |text: &'static str| get(move || async move { text });
    let notes = || {
        Router::new()
            .route("/", read("all"))
            .route("/one", read("one"))
            .layer(ConditionalLayer::new())
    };
    let known = || PreconditionLayer::new(|_| ready(exists("\"v1\"")));
    let api =
        Router::new().nest("/notes", notes()).nest("/of/{user}/notes", notes()).layer(known());
    let app = Router::new().nest("/api", api.clone()).fallback_service(api);
    let trimmed = NormalizePathLayer::trim_trailing_slash().layer(notes());
    let app = app.nest_service("/trimmed", known().layer(trimmed));
    for uri in [
        "/notes/one",
        "/notes",
        "/api/notes/one",
        "/api/notes",
        "/of/7/notes",
        "/api/of/7/notes",
        "/trimmed/one/",
    ] {
        let response = run(app.clone().oneshot(request("GET", uri, &[]))).unwrap();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap());
        assert_eq!((response.status(), tag), (StatusCode::OK, Some("\"v1\"")), "{uri}");
    }
}

/// A handler may ask for something else with the extensions of the request that it got.
#[test]
fn known_validators_of_one_nested_resource_are_not_those_of_another() {
    let whole = Arc::new(OnceLock::<Router>::new());
    let again = Arc::clone(&whole);
    let user = get(move |request: Request<Body>| async move {
        let Some(uri) = request.headers().get("x-next").cloned() else {
            return "somebody".into_response();
        };
        let (mut parts, body) = request.into_parts();
        parts.uri = uri.to_str().unwrap().parse().unwrap();
        parts.headers.clear();
        again.get().unwrap().clone().oneshot(Request::from_parts(parts, body)).await.unwrap()
    });
    let users = Router::new()
        .nest("/users/{id}", Router::new().route("/", user).layer(ConditionalLayer::new()));
    let app = whole.get_or_init(|| users).clone().layer(PreconditionLayer::new(
        |parts: &http::request::Parts| {
            ready(exists(&format!("\"of {}\"", parts.uri.path()).replace([' ', '/'], "-")))
        },
    ));
    let tag_of = |lines| {
        run(app.clone().oneshot(request("GET", "/users/7", lines))).unwrap().headers()["etag"]
            .clone()
    };
    assert_eq!(tag_of(&[]), "\"of--users-7\"");
    assert_eq!(tag_of(&[("x-next", "/users/8")]), *tag("somebody"));
}
