//! A cache of responses inside the layer: in process, where time can be told exactly.

use std::time::Duration;

use axum::{body::Body, http::Request};
use tokio::time::Instant;
use tower::ServiceExt;
use tower_conditional_conformance::check;

use super::{
    page::assert_shown,
    support::{assert_conforms, oneshot, Server},
};

#[path = "../../examples/response_cache.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

#[tokio::test(start_paused = true)]
async fn response_cache_makes_the_report_once() {
    let app = program::app();
    let start = Instant::now();
    // The key has no method, so that this must not be what a GET gets.
    let head = Request::head("/report").body(Body::empty()).unwrap();
    let head = app.clone().oneshot(head).await.unwrap();
    let whole = oneshot(&app, "/report", &[]).await;
    assert_eq!((whole.status, whole.content.len()), (200, 3700));
    assert_eq!(
        (head.headers()["etag"].to_str().unwrap(), start.elapsed().as_secs()),
        (whole.tag(), 1)
    );
    for (fields, status) in [
        (&[][..], 200),
        (&[("if-none-match", whole.tag())], 304),
        // What the layer forwards must not come back out of the cache for others.
        (&[("if-none-match", "*")], 304),
        (&[("if-match", "\"other\"")], 412),
        (&[], 200),
    ] {
        let reply = oneshot(&app, "/report", fields).await;
        assert_eq!((reply.status, reply.tag()), (status, whole.tag()), "{fields:?}");
    }
    assert!(start.elapsed() < Duration::from_millis(1100), "the handler ran once");
    tokio::time::resume();
    assert_shown(&Server::new(app.clone()).await, "A cache of responses inside").await;
    assert_conforms(&check(app, "/report").await, &[]);
}
