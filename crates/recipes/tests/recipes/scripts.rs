//! Pages with inline scripts.

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/scripts.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

#[tokio::test]
async fn scripts_with_a_hash_are_revalidated() {
    let server = Server::new(program::app()).await;
    assert_revalidates(&server, "/hash", &[]).await;
    let page = server.get("/hash", &[]).await;
    // As `printf .. | openssl dgst -sha256 -binary | base64` prints it.
    let hash = "script-src 'sha256-sIk9d3w1pyEJ9J57mxcfA5GkGW0ejufxu5yhJn1ztyc='";
    assert_eq!(page.field("content-security-policy"), hash);
}

#[tokio::test]
async fn scripts_with_a_nonce_are_sent_each_time() {
    let server = Server::new(program::app()).await;
    let mut policies = Vec::new();
    for fields in [&[][..], &[("if-none-match", "*")]] {
        let page = server.get("/nonce", fields).await;
        assert_eq!((page.status, page.tag()), (200, ""));
        let policy = page.field("content-security-policy").to_owned();
        let nonce = policy.split("'nonce-").nth(1).unwrap().trim_end_matches('\'');
        assert!(page.text().contains(nonce), "{policy}");
        policies.push(policy);
    }
    assert_ne!(policies[0], policies[1]);
}

#[tokio::test]
async fn scripts_conform() {
    let server = Server::new(program::app()).await;
    assert_shown(&server, "Hashes and nonces").await;
    assert_conforms(&server.check("/hash").await, &[]);
}
