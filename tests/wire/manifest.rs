//! Files whose hashes are known beforehand, behind `ServeDir` 0.6 and 0.7: the same
//! tags from the first request on.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use axum::{body::Body, Router};
use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer, Service, ServiceExt};
use tower_conditional::{ConditionalLayer, EntityTag, InnerTags, Manifest};

use crate::support::{
    file_server::{content, Kind, KINDS},
    wire::{ask, axum, Folder, Reply},
};

/// When all files here were written.
const LONG_AGO: u64 = 1_000_000_000;
const GZIP: (&str, &str) = ("accept-encoding", "gzip");
const FILES: [(&str, &str); 6] = [
    ("index.html", "<p>"),
    ("docs/index.html", "<h1>"),
    ("app.js", "let a"),
    ("app.js.gz", "not really gzip"),
    ("caf\u{e9} au lait.txt", "milk"),
    ("empty", ""),
];

/// A folder of files, with the list that `sha256sum` makes of them.
fn files(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::create_dir_all(folder.0.join("docs")).unwrap();
    for (name, content) in FILES {
        folder.write(name, content, LONG_AGO);
    }
    let sums = Command::new("sha256sum")
        .args(FILES.map(|(name, _)| format!("./{name}")))
        .current_dir(&folder.0)
        .output()
        .unwrap();
    assert!(sums.status.success());
    folder.write("SHA256SUMS", std::str::from_utf8(&sums.stdout).unwrap(), LONG_AGO);
    folder
}

fn manifest(folder: &Folder) -> Manifest {
    Manifest::read(folder.0.join("SHA256SUMS")).unwrap()
}

fn layer(manifest: Manifest) -> ConditionalLayer {
    ConditionalLayer::new().inner_tags(InnerTags::replace().manifest(manifest)).ranges(true)
}

/// Serves a folder with each `ServeDir`, below a layer.
fn served(kind: Kind, folder: &Folder, layer: &ConditionalLayer) -> Router {
    match kind {
        Kind::Dates => {
            let files = tower_http_06::services::ServeDir::new(&folder.0).precompressed_gzip();
            Router::new().fallback_service(layer.layer(files))
        }
        Kind::Tags => {
            let files = tower_http::services::ServeDir::new(&folder.0).precompressed_gzip();
            Router::new().fallback_service(layer.layer(files))
        }
    }
}

async fn serve(kind: Kind, folder: &Folder, layer: &ConditionalLayer) -> SocketAddr {
    axum(served(kind, folder, layer)).await
}

fn gist(reply: &Reply) -> (u16, Option<&str>, &str) {
    (reply.status, reply.field("etag"), reply.text())
}

#[tokio::test]
async fn a_manifest_gives_files_the_tags_of_a_server_that_hashed_them() {
    for kind in KINDS {
        let folder = files(&format!("manifest-same-{kind:?}"));
        let learning = ConditionalLayer::new().inner_tags(InnerTags::replace().trust_dates(true));
        let hashing = serve(kind, &folder, &learning).await;
        for verifies in [false, true] {
            let manifest = manifest(&folder);
            let manifest = if verifies { manifest.verify(&folder.0) } else { Ok(manifest) };
            let layer = layer(manifest.unwrap());
            let listed = serve(kind, &folder, &layer).await;
            for (path, fields) in [
                ("/", &[][..]),
                ("/index.html", &[]),
                ("/docs/", &[]),
                ("/app.js", &[]),
                ("/app.js", &[GZIP]),
                ("/app.js.gz", &[]),
                ("//caf%C3%A9%20au%20lait.txt", &[]),
                ("/%61pp.js?v=1", &[]),
                ("/empty", &[]),
            ] {
                let hashed = ask(hashing, "GET", path, fields).await;
                let tag = hashed.field("etag").unwrap();
                let before = layer.stats().bytes_hashed;
                let fields = [fields, &[("if-none-match", tag)]].concat();
                for method in ["GET", "HEAD"] {
                    let reply = ask(listed, method, path, &fields).await;
                    assert_eq!((reply.status, reply.field("etag")), (304, Some(tag)), "{path}");
                }
                assert_eq!(layer.stats().bytes_hashed, before, "{kind:?} {path}");
                let fields = &fields[..fields.len() - 1];
                for _ in 0..2 {
                    let reply = ask(listed, "GET", path, fields).await;
                    assert_eq!(gist(&reply), gist(&hashed), "{kind:?} {path}");
                }
            }
            // Each file once, though some have several names.
            let bytes: usize = FILES.iter().map(|(_, content)| content.len()).sum();
            let hashed = if verifies { 0 } else { bytes as u64 };
            assert_eq!(layer.stats().bytes_hashed, hashed, "{kind:?}");
            assert_eq!(layer.stats().manifest_mismatches, 0);
        }
    }
}

#[tokio::test]
async fn a_manifest_matches_no_path_that_leaves_the_root() {
    for kind in KINDS {
        let folder = files(&format!("manifest-root-{kind:?}"));
        let inner = Folder(folder.0.join("docs"));
        let layer = layer(manifest(&folder));
        let address = serve(kind, &inner, &layer).await;
        for path in
            ["/../app.js", "/%2e%2e/app.js", "/..%2Fapp.js", "/%2Fapp.js", "/a/../../app.js"]
        {
            let reply = ask(address, "GET", path, &[]).await;
            assert_eq!((reply.status, reply.field("etag")), (404, None), "{path}");
        }
    }
}

/// Writes the large file, as it would have been at that time.
fn put(folder: &Folder, content: &[u8], modified: u64) {
    let path = folder.0.join("large.bin");
    fs::write(&path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(modified)).unwrap();
}

#[tokio::test]
async fn a_manifest_resumes_downloads_that_another_server_began() {
    for kind in KINDS {
        let folder = files(&format!("manifest-resume-{kind:?}"));
        // So large that the layer itself would not skip to the part.
        let large = content(1, 9 << 20);
        put(&folder, &large, LONG_AGO - 1);
        let hash = EntityTag::of(&large).to_string();
        let list = format!("{}  large.bin\n", hash.trim_matches('"'));
        let checked = || list.parse::<Manifest>().unwrap().check(&folder.0).unwrap();
        let elsewhere = serve(kind, &folder, &layer(checked())).await;
        let first = ask(elsewhere, "HEAD", "/large.bin", &[]).await;
        let tag = first.field("etag").unwrap();
        let start = (8 << 20) + 100_000;
        let range = format!("bytes={start}-");
        let resume = |tag| [("range", &*range), ("if-range", tag)];
        for (manifest, status) in [(checked(), 206), (list.parse().unwrap(), 200)] {
            let layer = layer(manifest);
            let address = serve(kind, &folder, &layer).await;
            let reply = ask(address, "GET", "/large.bin", &resume(tag)).await;
            assert_eq!((reply.status, reply.field("etag")), (status, Some(tag)), "{kind:?}");
            let expected = if status == 206 { &large[start..] } else { &large };
            assert!(reply.content == expected, "{kind:?}");
            let reply = ask(address, "GET", "/large.bin", &resume("\"other\"")).await;
            assert_eq!((reply.status, reply.content.len()), (200, large.len()));
            let reply = ask(address, "GET", "/large.bin", &resume(tag)).await;
            assert!((reply.status, &*reply.content) == (206, &large[start..]), "{kind:?}");
        }
        // Another file of that length, with another date: the tag is that of no part.
        let layer = layer(checked());
        let address = serve(kind, &folder, &layer).await;
        let other = content(2, 9 << 20);
        put(&folder, &other, LONG_AGO);
        let reply = ask(address, "GET", "/large.bin", &resume(tag)).await;
        assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")), "{kind:?}");
        for _ in 0..2 {
            let reply = ask(address, "GET", "/large.bin", &resume(tag)).await;
            assert!(reply.status == 200 && reply.content == other, "{kind:?}");
        }
    }
}

/// A file that was just written may change again within its second, so its tag is not
/// known yet.
#[tokio::test]
async fn a_manifest_gives_the_whole_of_a_file_that_was_just_changed() {
    for kind in KINDS {
        for is_known in [true, false] {
            let folder = files(&format!("manifest-changed-{kind:?}-{is_known}"));
            let checked = || layer(manifest(&folder).check(&folder.0).unwrap());
            let elsewhere = serve(kind, &folder, &checked()).await;
            let address = serve(kind, &folder, &checked()).await;
            let first = if is_known { address } else { elsewhere };
            let tag = ask(first, "HEAD", "/app.js", &[]).await.field("etag").unwrap().to_owned();
            let resume = [("range", "bytes=3-"), ("if-range", &*tag)];
            for content in ["let b", "let b = 1", "let b = 12"] {
                fs::write(folder.0.join("app.js"), content).unwrap();
                let mut seen = Vec::new();
                for _ in 0..3 {
                    let reply = ask(address, "GET", "/app.js", &resume).await;
                    assert!(reply.status == 503 || reply.text() == content, "{kind:?} {content}");
                    seen.push(reply.status);
                }
                // Once the layer has seen a change, it forwards no old tag.
                assert_eq!(seen[1..], [200, 200], "{kind:?} {is_known} {content}");
                assert!(seen[0] == 200 || content == "let b", "{kind:?} {is_known} {content}");
            }
        }
    }
}

/// The tag of the compressed file, without the `Accept-Encoding` that selects it.
#[tokio::test]
async fn a_manifest_gives_the_whole_of_another_variant() {
    for kind in KINDS {
        let folder = files(&format!("manifest-variant-{kind:?}"));
        let layer = layer(manifest(&folder).check(&folder.0).unwrap());
        let elsewhere = serve(kind, &folder, &layer).await;
        let gzip = [("accept-encoding", "gzip")];
        let tag = ask(elsewhere, "HEAD", "/app.js", &gzip).await.field("etag").unwrap().to_owned();
        let layer = self::layer(manifest(&folder).check(&folder.0).unwrap());
        let address = serve(kind, &folder, &layer).await;
        let resume = [("range", "bytes=3-"), ("if-range", &*tag)];
        let mut seen = Vec::new();
        for _ in 0..3 {
            let reply = ask(address, "GET", "/app.js", &resume).await;
            assert!(reply.status == 503 || reply.text() == "let a", "{kind:?}");
            seen.push(reply.status);
        }
        assert_eq!(seen, [503, 200, 200], "{kind:?}");
    }
}

#[tokio::test]
async fn a_manifest_works_in_and_around_a_router_that_takes_off_a_prefix() {
    for kind in KINDS {
        let folder = files(&format!("manifest-nest-{kind:?}"));
        let inside =
            Router::new().nest("/assets", served(kind, &folder, &layer(manifest(&folder))));
        let keyed = layer(manifest(&folder)).key(|parts| parts.uri.path().len());
        let keyed = Router::new().nest("/assets", served(kind, &folder, &keyed));
        let plain = Router::new().fallback_service(match kind {
            Kind::Dates => boxed(tower_http_06::services::ServeDir::new(&folder.0)),
            Kind::Tags => boxed(tower_http::services::ServeDir::new(&folder.0)),
        });
        let under = layer(manifest(&folder).under("/assets").unwrap());
        let outside = Router::new().nest("/assets", plain).layer(under);
        for app in [inside, keyed, outside] {
            let address = axum(app).await;
            for (path, content) in [("/assets/app.js", "let a"), ("/assets/docs/", "<h1>")] {
                let tag = EntityTag::of(content.as_bytes()).to_string();
                let reply = ask(address, "GET", path, &[("if-none-match", &tag)]).await;
                let variant = reply.field("etag").unwrap();
                assert_eq!(&variant[..65], &tag[..65], "{kind:?} {path}");
            }
        }
    }
}

type Files =
    tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, std::convert::Infallible>;

fn boxed<S, B>(files: S) -> Files
where
    S: Service<Request<Body>, Response = Response<B>, Error = std::convert::Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<tower::BoxError>> + Send + 'static,
{
    Files::new(files.map_response(|response| response.map(Body::new)))
}
