//! Hyper, and no framework.

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/plain_hyper.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

#[tokio::test]
async fn plain_hyper_revalidates_and_conforms() {
    let server = Server::of(program::serve).await;
    assert_revalidates(&server, "/flags", &[]).await;
    assert_shown(&server, "Plain Hyper").await;
    for server in [server.over_http2(), server] {
        let (get, head) = (
            server.get("/flags", &[]).await,
            server.ask("HEAD", "/flags", &[], "").await,
        );
        assert_eq!((head.status, head.tag(), head.text()), (200, get.tag(), ""));
        assert_conforms(&server.check("/flags").await, &[]);
    }
}
