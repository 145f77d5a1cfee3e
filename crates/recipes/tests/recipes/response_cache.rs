//! A cache of responses inside the layer: in process, where the time can be told exactly.

use std::time::Duration;

use tokio::time::Instant;
use tower_conditional_conformance::check;

use super::{
    page::assert_shown,
    support::{assert_conforms, oneshot, Server},
};

#[path = "../../examples/response_cache.rs"]
#[allow(dead_code, unreachable_pub)]
mod response_cache;

#[tokio::test(start_paused = true)]
async fn response_cache_makes_the_report_once() {
    let app = response_cache::app();
    let start = Instant::now();
    let whole = oneshot(&app, "/report", &[]).await;
    assert_eq!((whole.status, start.elapsed().as_secs()), (200, 1));
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
