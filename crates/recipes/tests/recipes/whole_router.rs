//! Layers of the `Router`, and services around it.

use axum::{extract::Request, ServiceExt};

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/whole_router.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

#[tokio::test]
async fn whole_router_has_one_tag_with_and_without_slash() {
    let server = Server::of(|listener| async {
        let app = ServiceExt::<Request>::into_make_service(program::app());
        axum::serve(listener, app).await
    })
    .await;
    assert_shown(&server, "Around the whole router").await;
    for path in ["/notes/7", "/notes/7/"] {
        assert_revalidates(&server, path, &[]).await;
        assert_eq!(server.get(path, &[]).await.text(), "the text of note 7");
        let (head, get) =
            (server.ask("HEAD", path, &[], "").await, server.get(path, &[]).await);
        assert_eq!((head.tag(), head.text()), (get.tag(), ""));
        assert_conforms(&server.check(path).await, &[]);
    }
    assert_eq!(server.get("/unknown", &[]).await.status, 404);
}
