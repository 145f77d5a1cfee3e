//! Sessions, for scripts of another origin.

use super::{
    page::assert_shown,
    support::{assert_conforms, Server},
};

#[path = "../../examples/sessions.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

const ORIGIN: (&str, &str) = ("origin", "https://app.example");
const FIRST: (&str, &str) = ("cookie", "theme=dark; id=5f2a");
const SECOND: (&str, &str) = ("cookie", "id=77c1");

#[tokio::test]
async fn sessions_give_no_304_to_a_stranger() {
    let server = Server::new(program::app()).await;
    let whole = server.get("/profile", &[ORIGIN, FIRST]).await;
    assert_eq!((whole.status, whole.text()), (200, r#"{"user":1}"#));
    assert_eq!(whole.field("cache-control"), "private, no-cache");
    assert_eq!(whole.field("last-modified"), "");
    let tag = ("if-none-match", whole.tag());
    for (fields, status) in [
        (&[ORIGIN, FIRST, tag][..], 304),
        (&[ORIGIN, SECOND, tag], 200),
        (&[ORIGIN, tag], 401),
        (&[ORIGIN, ("cookie", "id=1"), tag], 401),
    ] {
        let reply = server.get("/profile", fields).await;
        assert_eq!(reply.status, status, "{fields:?}");
        assert_eq!(reply.field("access-control-allow-origin"), ORIGIN.1, "{fields:?}");
        assert_eq!(
            reply.field("access-control-allow-credentials"),
            "true",
            "{fields:?}"
        );
        assert_eq!(reply.field("access-control-expose-headers"), "etag", "{fields:?}");
        assert_eq!(reply.tag().is_empty(), status == 401, "{fields:?}");
    }
}

#[tokio::test]
async fn sessions_allow_scripts_to_send_the_tag() {
    let server = Server::new(program::app()).await;
    let asked = [
        ORIGIN,
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "if-match"),
    ];
    let reply = server.ask("OPTIONS", "/profile", &asked, "").await;
    assert_eq!(reply.status, 200, "browsers send no cookie with it");
    assert!(reply.field("access-control-allow-headers").contains("if-match"));
    assert!(reply.field("access-control-allow-methods").contains("PUT"));
}

#[tokio::test]
async fn sessions_conform() {
    let server = Server::new(program::app()).await;
    assert_shown(&server, "Sessions and CORS").await;
    assert_conforms(&server.check("/profile").header(FIRST.0, FIRST.1).await, &[]);
}
