//! What the layer did, as Prometheus reads it.

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/metrics.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

#[tokio::test]
async fn metrics_count_what_was_done() {
    let server = Server::new(program::app()).await;
    assert_revalidates(&server, "/", &[]).await;
    let text = server.get("/metrics", &[]).await;
    assert_eq!(text.tag(), "", "it is not of the layer");
    for line in [
        "# TYPE http_conditional_served_total counter",
        "http_conditional_served_total 2",
        "http_conditional_not_modified_total 1",
        "http_conditional_bytes_not_sent_total 21",
    ] {
        assert!(
            text.text().lines().any(|found| found == line),
            "{line}\n{}",
            text.text()
        );
    }
    assert_shown(&server, "In production").await;
    assert_conforms(&server.check("/").await, &[]);
}
