//! Digests, checked by programs that share no code with the layer: downloads by curl,
//! decoded by `base64` and hashed by `sha256sum`.

use std::{fs, path::Path};

use axum::{body::Body, routing::get, Router};
use bytes::Bytes;
use futures_util::stream;
use http::Version;
use tower::BoxError;
use tower_conditional::{ConditionalLayer, InnerTags};

use crate::{
    site::{ago, run, said, Site, LARGE},
    support::{file_server::content, wire::hyper},
};

/// Says whether `file` has the digest that a line of `head` names.
const CHECK: &str = r#"
    digest=$(sed -n 's/^repr-digest: sha-256=:\(.*\):\r*$/\1/ip' "$1")
    [ -n "$digest" ] || { echo 'no digest'; exit 2; }
    hex=$(printf %s "$digest" | base64 --decode | od -An -vtx1 | tr -d ' \n')
    printf '%s  %s\n' "$hex" "$2" | sha256sum --check --strict
"#;

const FILE: &str = "/file.bin";

pub(crate) async fn sha256sum_agrees_with_each_digest_that_curl_gets() {
    let layer = || ConditionalLayer::new().repr_digest(true).inner_tags(InnerTags::replace());
    let site = Site::serving("digests", |files| files.layer(layer())).await;
    site.put(FILE, &content(1, LARGE), ago(3_600, 0));
    let (head, file) = (site.own("head"), site.own("file"));
    let http2 = format!("http://{}{FILE}", site.over_http2().await);
    let http1 = site.url(FILE);
    let (one, two) = ("--http1.1", "--http2-prior-knowledge");
    // The digest of its first transfer comes behind the content: curl does not wait for
    // that where it knows the length.
    download(&[two, &http2], &head, &file).await;
    for (version, url) in [(one, &http1), (two, &http2)] {
        download(&[version, url], &head, &file).await;
        check(&head, &file, version).await;

        let whole = site.own("stitched");
        fs::write(&whole, "").unwrap();
        for range in ["0-999999", "1000000-1000000", "1000001-"] {
            download(&[version, "-r", range, url], &head, &file).await;
            let stitched = [fs::read(&whole).unwrap(), fs::read(&file).unwrap()].concat();
            fs::write(&whole, stitched).unwrap();
        }
        check(&head, &whole, "the digest of the last part is that of the whole").await;
        download(&[version, "-I", url], &head, &file).await;
        check(&head, &whole, "HEAD").await;
    }
    // A program that always says "OK" would show nothing.
    fs::write(&file, content(2, LARGE)).unwrap();
    assert_eq!(verdict(&head, &file).await.0, Some(1));

    for (name, version) in [(one, Version::HTTP_11), (two, Version::HTTP_2)] {
        let address = hyper(version, slow().layer(layer().buffer_limit(0))).await;
        let url = format!("http://{address}/");
        download(&[name, "-H", "te: trailers", &url], &head, &file).await;
        assert_eq!(fs::read(&file).unwrap().len(), 30_000);
        check(&head, &file, "trailers").await;
    }
}

/// Content of unknown length.
fn slow() -> Router {
    Router::new().route(
        "/",
        get(|| async {
            let frames = (1..4).map(|part| Ok::<_, BoxError>(Bytes::from(content(part, 10_000))));
            Body::from_stream(stream::iter(frames))
        }),
    )
}

/// The authority is part of what names a resource, and each version has a port.
const HOST: &str = "host: watch";

async fn download(arguments: &[&str], head: &Path, file: &Path) {
    let (head, file) = (head.to_str().unwrap(), file.to_str().unwrap());
    let output =
        run("curl", &[&["-sf", "-H", HOST, "-D", head, "-o", file], arguments].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
}

async fn check(head: &Path, file: &Path, case: &str) {
    let (code, said) = verdict(head, file).await;
    assert_eq!(code, Some(0), "{case}: {said}");
}

async fn verdict(head: &Path, file: &Path) -> (Option<i32>, String) {
    let (head, file) = (head.to_str().unwrap(), file.to_str().unwrap());
    let output = run("sh", &["-c", CHECK, "check", head, file]).await;
    (output.status.code(), said(&output))
}
