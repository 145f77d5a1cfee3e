//! `compress_with` over HTTP/1.1 and HTTP/2: pages, JSON with a tag of its own, and
//! files.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    extract::State,
    http::request::Parts,
    response::{IntoResponse, Response},
    routing::get,
    Json, Router,
};
use http::{Method, StatusCode, Version};
use tower::{Layer, ServiceBuilder};
use tower_conditional::{ConditionalLayer, EntityTag, InnerTags, Preconditions};
use tower_http::{compression::CompressionLayer, services::ServeDir};

use crate::support::wire::{ask, hyper, Folder, Http2, Reply, HEADERS, TEXT};

const GZIP: (&str, &str) = ("accept-encoding", "gzip");

/// A client of one version.
async fn send(
    version: Version,
    address: SocketAddr,
    method: &str,
    lines: &[(&str, &str)],
) -> Reply {
    if version == Version::HTTP_11 {
        return ask(address, method, "/file.txt", lines).await;
    }
    let mut client = Http2::connect(address).await;
    let method: Method = method.parse().unwrap();
    let (reply, frames) = client.send(&method, "/file.txt", lines, Body::empty()).await;
    if method == Method::HEAD || reply.status == 304 {
        assert_eq!(frames, [(HEADERS, true)], "{method} {lines:?}: the head ends the stream");
    }
    reply
}

fn compressed() -> tower_conditional::conditional::ConditionalCompressionLayer<CompressionLayer> {
    ConditionalLayer::new().compress_with(CompressionLayer::new())
}

fn files(name: &str) -> (Folder, ServeDir) {
    let folder = Folder::new(name);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    folder.write("file.txt", &TEXT.repeat(1000), now - 1000);
    let files = ServeDir::new(&folder.0);
    (folder, files)
}

async fn page() -> String {
    TEXT.repeat(1000)
}

async fn json() -> impl IntoResponse {
    ([("etag", "\"v1\"")], Json(TEXT.repeat(1000)))
}

#[tokio::test]
async fn compress_with_sends_a_304_for_each_coding() {
    let (_folder, files) = files("codings");
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let routes = |handler| Router::new().route("/file.txt", handler);
        let around = compressed().layer(routes(get(json)));
        for (name, address, is_weak) in [
            ("page", hyper(version, routes(get(page)).layer(compressed())).await, false),
            ("json", hyper(version, routes(get(json)).layer(compressed())).await, false),
            ("around a router", hyper(version, around).await, false),
            ("files", hyper(version, compressed().layer(files.clone())).await, true),
        ] {
            let name = format!("{name}, {version:?}");
            let plain = send(version, address, "GET", &[]).await;
            let encoded = send(version, address, "GET", &[GZIP]).await;
            assert_eq!(encoded.field("content-encoding"), Some("gzip"), "{name}");
            assert_eq!(&encoded.content[..2], [0x1f, 0x8b], "{name}");
            assert_eq!(encoded.field("accept-ranges"), None, "{name}");
            let (tag, own) = (encoded.field("etag").unwrap(), plain.field("etag").unwrap());
            let expected = format!("{}~gzip\"", own.strip_suffix('"').unwrap());
            assert_eq!(tag, if is_weak { format!("W/{expected}") } else { expected }, "{name}");
            for (held, lines, status) in [
                (own, &[][..], 304),
                (own, &[GZIP], 304),
                (tag, &[GZIP], 304),
                // It does not take gzip, or no more.
                (tag, &[], 200),
                (tag, &[("accept-encoding", "gzip;q=0")], 200),
                (tag, &[("accept-encoding", "br")], 200),
            ] {
                let lines = [lines, &[("if-none-match", held)]].concat();
                for method in ["GET", "HEAD"] {
                    let again = send(version, address, method, &lines).await;
                    let case = format!("{name}: {method} {lines:?}");
                    assert_eq!(again.status, status, "{case}");
                    let vary = again.lines("vary").join(", ");
                    assert_eq!(vary, "accept-encoding", "{case}");
                    if status == 304 {
                        assert_eq!(again.field("etag"), Some(held), "{case}");
                        for gone in ["content-length", "content-encoding", "content-type"] {
                            assert_eq!(again.field(gone), None, "{case}");
                        }
                    }
                }
            }
            // Resuming gzip with plain bytes would be a broken file.
            for bound in [("if-range", tag), ("if-match", tag)] {
                let lines = [GZIP, ("range", "bytes=10-"), bound];
                let whole = send(version, address, "GET", &lines).await;
                let expected = if is_weak && bound.0 == "if-match" { 412 } else { 200 };
                assert_eq!(whole.status, expected, "{name}: {lines:?}");
            }
        }
    }
}

/// gzip of a file differs from time to time, and so must a strong tag.
#[tokio::test]
async fn one_strong_tag_never_names_two_contents_of_a_file() {
    let (_folder, files) = files("strong-tags");
    let replace = || ConditionalLayer::new().inner_tags(InnerTags::replace());
    let inside = || ServiceBuilder::new().layer(replace()).layer(CompressionLayer::new());
    let limited =
        || ServiceBuilder::new().layer(replace().buffer_limit(1)).layer(CompressionLayer::new());
    for (name, address) in [
        ("inside", hyper(Version::HTTP_11, inside().service(files.clone())).await),
        ("large", hyper(Version::HTTP_11, limited().service(files.clone())).await),
        (
            "compress_with",
            hyper(
                Version::HTTP_11,
                replace().compress_with(CompressionLayer::new()).layer(files.clone()),
            )
            .await,
        ),
    ] {
        let mut contents = std::collections::HashMap::new();
        for _ in 0..20 {
            let reply = ask(address, "GET", "/file.txt", &[GZIP]).await;
            let Some(tag) = reply.field("etag").filter(|tag| !tag.starts_with("W/")) else {
                continue;
            };
            let content = contents.entry(tag.to_owned()).or_insert_with(|| reply.content.clone());
            assert!(*content == reply.content, "{name}: two contents are {tag}");
        }
    }
}

#[tokio::test]
async fn precompressed_files_keep_their_tags() {
    let (folder, files) = files("precompressed");
    folder.write("file.txt.gz", "already encoded", 1_000_000_000);
    let files = compressed().layer(files.precompressed_gzip());
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let address = hyper(version, files.clone()).await;
        let stored = send(version, address, "GET", &[GZIP]).await;
        assert_eq!(
            (stored.text(), stored.field("content-encoding"), stored.field("content-length")),
            ("already encoded", Some("gzip"), Some("15"))
        );
        let tag = stored.field("etag").unwrap();
        assert!(!tag.contains('~') && !tag.starts_with("W/"), "{tag}");
        let again = send(version, address, "GET", &[GZIP, ("if-none-match", tag)]).await;
        assert_eq!((again.status, again.field("etag")), (304, Some(tag)));
        let part = [GZIP, ("range", "bytes=0-6"), ("if-range", tag)];
        let part = send(version, address, "GET", &part).await;
        assert_eq!((part.status, part.text()), (206, "already"));
    }
}

#[tokio::test]
async fn an_edit_of_gzip_is_an_edit_of_the_document() {
    let version = Arc::new(Mutex::new(1_u32));
    let read = |State(version): State<Arc<Mutex<u32>>>| async move {
        let tag = EntityTag::from(*version.lock().unwrap()).to_string();
        ([("etag", tag)], TEXT.repeat(100))
    };
    let write = |State(version): State<Arc<Mutex<u32>>>, parts: Parts| async move {
        let mut version = version.lock().unwrap();
        let preconditions = Preconditions::new(&parts.method, &parts.headers);
        if let Err(rejection) = preconditions.check(EntityTag::from(*version)) {
            return Response::<String>::from(rejection).map(Body::from);
        }
        *version += 1;
        StatusCode::NO_CONTENT.into_response()
    };
    let routes = Router::new().route("/file.txt", get(read).put(write)).with_state(version);
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let address = hyper(version, routes.clone().layer(compressed())).await;
        for accepts in [&[GZIP][..], &[]] {
            let read = send(version, address, "GET", &[GZIP]).await;
            let edit = [&[("if-match", read.field("etag").unwrap())], accepts].concat();
            assert_eq!(send(version, address, "PUT", &edit).await.status, 204, "{edit:?}");
            assert_eq!(send(version, address, "PUT", &edit).await.status, 412, "{edit:?}");
        }
    }
}
