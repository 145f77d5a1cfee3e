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

/// A tag that ends in a coding is sent as the layers send it, so that a check reads it
/// as this tag when it comes back.
#[cfg(feature = "axum")]
#[tokio::test]
async fn axum_response_parts_send_a_tag_that_a_check_accepts() {
    use axum::{response::IntoResponse, routing::get};
    use http::{
        header::{ETAG, IF_MATCH},
        HeaderMap, Method,
    };
    use tower_conditional::{EntityTag, Preconditions, Validators, WriteGuard};

    let tag = EntityTag::strong("v1~gzip").unwrap();
    let (one, other) = (tag.clone(), Validators::from(tag.clone()));
    let sent = "\"v1~gzip~identity\"";
    for response in [
        one.clone().into_response(),
        (one.clone(), "item").into_response(),
        (other.clone(), "item").into_response(),
    ] {
        assert_eq!(response.headers()[ETAG], sent);
    }
    let headers = HeaderMap::from_iter([(IF_MATCH, sent.parse().unwrap())]);
    let write = Preconditions::new(&Method::PUT, &headers);
    assert!(write.check_required(&tag).is_ok());
    assert!(write.check_required(EntityTag::strong("v1").unwrap()).is_err());

    // Outer layers know which tag it is.
    let app = axum::Router::new()
        .route("/one", get(move || async { (one, "item") }).put(|| async {}))
        .route("/other", get(move || async { (other, "item") }).put(|| async {}));
    let app = WriteGuard::axum(app.layer(ConditionalLayer::new()));
    for path in ["/one", "/other"] {
        let read = app.clone().oneshot(request("GET", path, &[])).await.unwrap();
        assert_eq!(read.headers()[ETAG], sent, "{path}");
        for (method, name, status) in [("GET", "if-none-match", 304), ("PUT", "if-match", 200)] {
            let again = request(method, path, &[(name, sent)]);
            let again = app.clone().oneshot(again).await.unwrap();
            assert_eq!(again.status(), status, "{method} {path}");
        }
    }
}

/// The second of the date must be over, as for the dates that a layer adds.
#[cfg(feature = "axum")]
#[test]
fn axum_response_parts_hold_back_a_date_that_may_come_again() {
    use std::time::SystemTime;

    use axum::response::IntoResponse;
    use tower_conditional::{HttpDate, Validators};

    let now = HttpDate::try_from(SystemTime::now()).unwrap().unix_seconds();
    for (seconds, is_sent) in [(-1, true), (5, false)] {
        let date = HttpDate::from_unix_seconds(now + seconds).unwrap();
        let one = (Validators::new().last_modified(date), "item").into_response();
        let other = (date, "item").into_response();
        for response in [one, other] {
            assert_eq!(response.headers().contains_key("last-modified"), is_sent, "{seconds}");
        }
    }
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
