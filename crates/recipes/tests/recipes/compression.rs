//! An API that compresses.

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/compression.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

#[tokio::test]
async fn compression_has_a_strong_tag_for_each_coding() {
    let server = Server::new(program::app()).await;
    let plain = server.get("/numbers", &[]).await;
    assert_eq!((plain.status, plain.field("content-encoding")), (200, ""));
    for coding in ["gzip", "br"] {
        let accept = [("accept-encoding", coding)];
        let encoded = server.get("/numbers", &accept).await;
        assert_eq!(encoded.field("content-encoding"), coding);
        let tag = format!("{}~{coding}\"", plain.tag().trim_end_matches('"'));
        assert_eq!(encoded.tag(), tag);
        assert!(encoded.content.len() < plain.content.len());
        assert_revalidates(&server, "/numbers", &accept).await;
    }
}

#[tokio::test]
async fn compression_conforms() {
    let server = Server::new(program::app()).await;
    assert_shown(&server, "Compression").await;
    assert_conforms(&server.check("/numbers").await, &[]);
}
