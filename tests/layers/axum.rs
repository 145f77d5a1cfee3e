//! Axum: extractors, routers, and what compiles without annotations.

use axum::{middleware, response::Response as AxumResponse};
use http::StatusCode;
use tower::ServiceExt;
use tower_conditional::{ConditionalLayer, PreconditionLayer, Representation};

use crate::{
    conditional::service::revalidation,
    support::{
        harness::{request, run},
        note::{note, routes, status_of},
    },
};

#[cfg(feature = "axum")]
#[test]
fn axum_extracts_preconditions_and_responds_with_validators() {
    use std::convert::Infallible;

    use axum::{
        extract::FromRequestParts,
        response::{IntoResponse, IntoResponseParts},
    };
    use http::header::ETAG;
    use tower_conditional::{EntityTag, HttpDate, Preconditions, Rejection, Validators};

    has!(Preconditions: FromRequestParts<(), Rejection = Infallible>);
    has!(Rejection: IntoResponse);
    has!(EntityTag: IntoResponse + IntoResponseParts);
    has!(HttpDate: IntoResponseParts);
    has!(Validators: IntoResponseParts);
    has!(Option<EntityTag>: IntoResponseParts);
    let tag = EntityTag::strong("v1").unwrap();
    let date = HttpDate::from_unix_seconds(784_111_777).unwrap();
    // A write that stored something else than was sent has none.
    for (stored, expected) in [(Some(tag.clone()), true), (None, false)] {
        let written = (stored, StatusCode::NO_CONTENT).into_response();
        assert_eq!(written.headers().contains_key(ETAG), expected);
    }
    let created = (StatusCode::CREATED, tag.clone()).into_response();
    assert_eq!((created.status(), &created.headers()[ETAG]), (StatusCode::CREATED, &(&tag).into()));
    let one = (Validators::from(tag.clone()).last_modified(date), "item").into_response();
    let other = (tag, date, "item").into_response();
    assert_eq!(one.headers(), other.headers());
    assert_eq!(one.headers()[ETAG], "\"v1\"");
    assert_eq!(one.headers()["last-modified"], "Sun, 06 Nov 1994 08:49:37 GMT");
}

#[tokio::test]
async fn axum_router_takes_the_layer() {
    let router = axum::Router::new()
        .route("/", axum::routing::get(|| async { "abc" }))
        .layer(ConditionalLayer::new());
    let request = revalidation().map(|()| axum::body::Body::empty());
    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::NOT_MODIFIED);
}

/// What compiles without annotations.
#[test]
fn axum_stack_infers_its_types() {
    async fn pass(request: axum::extract::Request, next: middleware::Next) -> AxumResponse {
        next.run(request).await
    }
    let source = PreconditionLayer::new(|parts| {
        let path = parts.uri.path().to_owned();
        async move {
            if path.is_empty() {
                return Err("no path");
            }
            Ok(Representation::Missing)
        }
    });
    let app = routes(&note("old"))
        .layer(middleware::from_fn(pass))
        .layer(source)
        .layer(middleware::from_fn(pass))
        .layer(ConditionalLayer::new());
    assert_eq!(run(status_of(app, request("GET", "/note", &[]))), 200);
}
