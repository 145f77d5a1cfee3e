//! `WriteGuard`: a service with GET and PUT is protected as it is.

use std::{
    future::ready,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use tower::{layer::layer_fn, service_fn, Layer, ServiceBuilder, ServiceExt};
use tower_conditional::{ConditionalLayer, WriteGuard};

use crate::support::{
    guarded::guarded,
    harness::{self, reply, request, run, tag, IM, INM, IUS},
    note::{note, put, routes, status_of, text, write, Note},
};

#[test]
fn guard_protects_a_service_with_get_and_put_as_it_is() {
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
        let service = guarded(harness::layer().0.layer(note.service()));
        let response = run(service.oneshot(write(method, lines, "new"))).unwrap();
        assert_eq!(response.status().as_u16(), status, "{before:?} {method} {lines:?}");
        assert_eq!(note.content().as_deref(), after, "{before:?} {method} {lines:?}");
        let new_tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        let asked: Vec<_> =
            note.log.lock().unwrap().iter().map(|(method, _)| method.to_string()).collect();
        let mut expected = Vec::new();
        expected.extend((!lines.is_empty()).then_some("GET"));
        expected.extend((status == 204).then_some(method));
        // `*` asks for no tag, so that none is known which the new one could be
        // compared with.
        let is_tagged = method == "PUT" && (before.is_none() || lines.contains(&(IM, &*old)));
        expected.extend((status == 204 && is_tagged).then_some("GET"));
        assert_eq!(asked, expected, "{before:?} {method} {lines:?}");
        if status == 204 {
            let expected = is_tagged.then(|| tag("new"));
            assert_eq!(new_tag, expected, "{before:?} {method} {lines:?}");
        }
    }
}

/// Around the whole router it is right.
#[test]
fn guard_around_a_router_reaches_the_handler_of_get() {
    for (line, status, after) in [(tag("old"), 204, "new"), ("\"stale\"".to_owned(), 412, "old")] {
        let note = note("old");
        let app = guarded(routes(&note).layer(ConditionalLayer::new()));
        assert_eq!(run(status_of(app, put(&[(IM, &*line)], "new"))), status);
        assert_eq!(text(&note), after);
    }
}

#[test]
fn guard_refuses_a_service_for_one_method() {
    use axum::{handler::Handler as _, routing, Router};

    async fn write() -> StatusCode {
        StatusCode::NO_CONTENT
    }
    // Axum makes the services when it has the state, which `axum::serve` gives it;
    // around a single handler, at a request.
    let refused = |build: fn() -> Router| {
        let ask = || drop(run(build().with_state::<()>(()).oneshot(request("PUT", "/", &[]))));
        let panic = std::panic::catch_unwind(ask).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("WriteGuard::axum"));
    };
    refused(|| Router::new().route("/", routing::put(write)).layer(layer_fn(WriteGuard::new)));
    refused(|| Router::new().route("/", routing::put(write).layer(layer_fn(WriteGuard::new))));
    refused(|| Router::new().fallback(write.layer(layer_fn(WriteGuard::new))));
    refused(|| {
        let stack =
            ServiceBuilder::new().layer(layer_fn(WriteGuard::new)).layer(ConditionalLayer::new());
        Router::new().route("/", routing::put(write)).layer(stack)
    });

    let router = Router::new()
        .route("/", routing::get(|| async { "x" }).put(write))
        .layer(ConditionalLayer::new());
    let app: Router = Router::new().fallback_service(guarded(router));
    for (line, status) in [(tag("x"), 204), (tag("y"), 412)] {
        let response = run(app.clone().oneshot(request("PUT", "/", &[(IM, &line)]))).unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}

#[test]
fn guard_returns_the_error_of_either_step() {
    for failing in [Method::GET, Method::PUT] {
        let inner = service_fn(move |request: Request<Body>| {
            let fails = *request.method() == failing;
            ready(if fails { Err("broken") } else { Ok(reply(200, &[], "x")) })
        });
        let service = guarded(inner);
        for _ in 0..2 {
            let request = write("PUT", &[(IM, "*")], "new");
            assert_eq!(run(service.clone().oneshot(request)).unwrap_err(), "broken");
        }
    }
}
