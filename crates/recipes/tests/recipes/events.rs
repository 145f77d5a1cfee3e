//! Events that tell of a change.

use std::time::Duration;

use http_body_util::BodyExt;

use super::{
    page::assert_shown,
    support::{assert_conforms, Server},
};

#[path = "../../examples/events.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

#[tokio::test]
async fn events_come_at_once_with_the_tag_of_the_content() {
    let server = Server::new(program::app()).await;
    let mut stream = server.send("GET", "/events", &[], "").await;
    assert!(!stream.headers().contains_key("etag"));
    for text in ["nothing new", "something", "more"] {
        if text != "nothing new" {
            let tag = server.get("/news", &[]).await.tag().to_owned();
            let written = server.ask("PUT", "/news", &[("if-match", &tag)], text).await;
            assert_eq!(written.status, 204);
            let again = server.ask("PUT", "/news", &[("if-match", &tag)], text).await;
            assert_eq!(again.status, 412);
        }
        let read = server.get("/news", &[]).await;
        assert_eq!(read.text(), text);
        let frame =
            tokio::time::timeout(Duration::from_secs(30), stream.body_mut().frame());
        let event =
            frame.await.expect("an event").unwrap().unwrap().into_data().unwrap();
        assert_eq!(event, format!("event: changed\ndata: {}\n\n", read.tag()));
    }
}

#[tokio::test]
async fn events_conform() {
    let server = Server::new(program::app()).await;
    assert_shown(&server, "Events beside the content").await;
    let write = http::Request::put("/news").body("changed").unwrap();
    assert_conforms(&server.check("/news").writes(write).await, &[]);
}
