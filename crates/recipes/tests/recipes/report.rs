//! A report that takes long to make: in process, where the time can be told exactly.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use tower_conditional_conformance::check;

use super::{
    page::assert_shown,
    support::{assert_conforms, oneshot, Server},
};

#[path = "../../examples/report.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

fn versions() -> program::Versions {
    Arc::new(Mutex::new(HashMap::from([(2025, 7)])))
}

#[tokio::test(start_paused = true)]
async fn report_is_not_made_for_a_304() {
    let versions = versions();
    let app = program::app(Arc::clone(&versions));
    let second = Duration::from_secs(1);
    for (path, fields, status, tag, time) in [
        ("/reports/2025", &[][..], 200, "\"7:0.0.0\"", second),
        ("/reports/2025", &[OLD], 304, "\"7:0.0.0\"", Duration::ZERO),
        ("/reports/2026", &[OLD], 404, "", Duration::ZERO),
        ("/reports/last", &[OLD], 400, "", Duration::ZERO),
        ("/reports/2025", &[("if-match", "\"6\"")], 412, "\"7:0.0.0\"", Duration::ZERO),
    ] {
        let start = Instant::now();
        let reply = oneshot(&app, path, fields).await;
        assert_eq!((reply.status, reply.tag()), (status, tag), "{path} {fields:?}");
        // Tokio's timers count in milliseconds.
        let slack = start.elapsed().saturating_sub(time);
        assert!(slack < Duration::from_millis(10), "{path} {fields:?}: {slack:?}");
    }
    tokio::time::resume();
    assert_shown(&Server::new(app.clone()).await, "A 304 that makes no report").await;
    versions.lock().unwrap().insert(2025, 8);
    let changed = oneshot(&app, "/reports/2025", &[OLD]).await;
    assert_eq!((changed.status, changed.tag()), (200, "\"8:0.0.0\""));
}

const OLD: (&str, &str) = ("if-none-match", "\"7:0.0.0\"");

#[tokio::test(start_paused = true)]
async fn report_conforms() {
    assert_conforms(&check(program::app(versions()), "/reports/2025").await, &[]);
}
