//! Tests of an application with the layer: no server, and no waiting.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{Request, StatusCode},
    response::Response,
    routing::get,
    Router,
};
use tower::ServiceExt;
use tower_conditional::ConditionalLayer;

/// The application takes its clock from its caller. `main` passes `SystemTime::now`.
fn app(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Router {
    Router::new()
        .route("/flags", get(|| async { "dark-mode" }))
        .layer(ConditionalLayer::new().clock(now))
}

async fn ask(app: &Router, name: &str, value: &str) -> Response {
    let request = Request::get("/flags").header(name, value).body(Body::empty());
    app.clone().oneshot(request.expect("a valid request")).await.expect("an answer")
}

#[tokio::test]
async fn a_client_that_has_the_content_gets_304() {
    let app = app(SystemTime::now);
    let first = ask(&app, "accept", "*/*").await;
    assert_eq!(first.status(), StatusCode::OK);
    let tag = first.headers()["etag"].to_str().expect("a tag is ASCII");
    assert_eq!(
        ask(&app, "if-none-match", tag).await.status(),
        StatusCode::NOT_MODIFIED
    );
}

#[tokio::test]
async fn a_date_is_the_second_in_which_the_content_was_first_seen() {
    let seconds = Arc::new(AtomicU64::new(1_795_348_800));
    let clock = Arc::clone(&seconds);
    let app =
        app(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed)));
    // No date is sent in the first two seconds of the layer's life.
    assert!(!ask(&app, "accept", "*/*").await.headers().contains_key("last-modified"));
    seconds.fetch_add(2, Ordering::Relaxed);
    let date = ask(&app, "accept", "*/*").await.headers()["last-modified"].clone();
    seconds.fetch_add(60, Ordering::Relaxed);
    let date = date.to_str().expect("a date is ASCII");
    let again = ask(&app, "if-modified-since", date).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}
