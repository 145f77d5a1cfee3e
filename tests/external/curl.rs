//! curl: resumes downloads, and asks by the tag that it keeps.

use std::{
    fs,
    process::Output,
    sync::{Arc, Mutex},
};

use axum::{extract::State, routing::get, Router};
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::process::Command;
use tower_conditional::{ConditionalLayer, EntityTag, Preconditions};
use tower_http::compression::CompressionLayer;

use crate::support::{
    file_server::{content, tag, Kind, Site, KINDS, LENGTH, PATH},
    wire::{hyper, within, Folder},
};

pub(crate) async fn curl_resumes_a_download_and_never_with_another_version() {
    for kind in KINDS {
        let site = Site::replacing(kind, "curl").await;
        let url = format!("http://{}{PATH}", site.address(Version::HTTP_11));
        let (whole, part) = (content(1, LENGTH), site.folder.0.join("part"));
        let broken_off = || fs::write(&part, &whole[..12_345]).unwrap();
        let resume = async |condition: &str| {
            broken_off();
            let output = part.to_str().unwrap();
            curl(&["-sf", "-C", "-", "-o", output, "-H", HOST, "-H", condition, &url])
                .await
                .status
                .code()
        };
        site.put(1, 0);
        let (plain, if_range, if_match) = (
            String::from("x-none: 1"),
            format!("if-range: {}", tag(1)),
            format!("if-match: {}", tag(1)),
        );
        for is_known in [false, true] {
            for (condition, must_mend) in
                [(&plain, true), (&if_range, is_known), (&if_match, is_known)]
            {
                // It ends with 33 when it gets the whole and not the rest; behind that,
                // the file may be known.
                let expected = match resume(condition).await {
                    Some(33) if !must_mend => &whole[..12_345],
                    done => {
                        assert_eq!(done, Some(0), "{kind:?} {condition}");
                        &whole[..]
                    }
                };
                assert!(fs::read(&part).unwrap() == expected, "{kind:?} {condition}");
            }
            site.get(Version::HTTP_11, &[]).await;
        }

        site.put(2, 8_000);
        for is_known in [false, true] {
            // Where the file server makes tags and ignores If-Range, its part is
            // refused once.
            let is_refused = kind == Kind::Tags && !is_known;
            let tries = if is_refused { &[22, 33][..] } else { &[33] };
            let tries = tries.iter().map(|done| (&if_range, std::slice::from_ref(done)));
            // That it gets the whole, where If-Match cannot be evaluated yet, is no
            // success either. How much of it is sent before curl hangs up, and so
            // whether the tag is known then, is chance.
            let refused = if is_known { &[22][..] } else { &[22, 33] };
            for (condition, expected) in tries.chain([(&if_match, refused)]) {
                let done = resume(condition).await.unwrap();
                assert!(expected.contains(&done), "{kind:?} {condition} {done}");
                assert!(fs::read(&part).unwrap() == whole[..12_345], "{kind:?} {condition}");
            }
            site.get(Version::HTTP_11, &[]).await;
        }

        // What curl keeps of a tag, it asks by.
        let (etag, file) = (site.folder.0.join("etag"), site.folder.0.join("whole"));
        let (etag, file) = (etag.to_str().unwrap(), file.to_str().unwrap());
        let write = [
            "-sf",
            "--etag-save",
            etag,
            "--etag-compare",
            etag,
            "-o",
            file,
            "-w",
            "%{http_code}",
            "-H",
            HOST,
            &url,
        ];
        for status in ["200", "304"] {
            assert_eq!(curl(&write).await.stdout, status.as_bytes());
        }
        assert!(fs::read(file).unwrap() == content(2, LENGTH));
    }
}

/// Over both versions: the tag of gzip makes a 304 for gzip alone, and a PUT with it is
/// an edit of the current state.
pub(crate) async fn curl_asks_by_the_tag_of_compressed_content() {
    let note = Arc::new(Mutex::new("a note, ".repeat(100)));
    let read = |State(note): State<Text>| async move { note.lock().unwrap().clone() };
    let write = |State(note): State<Text>, preconditions: HeaderMap, new: String| async move {
        let mut note = note.lock().unwrap();
        let current = EntityTag::of(note.as_bytes());
        let preconditions = Preconditions::new(&Method::PUT, &preconditions);
        if let Err(rejection) = preconditions.check(&current) {
            return rejection.status();
        }
        *note = new;
        StatusCode::NO_CONTENT
    };
    let compressed = ConditionalLayer::new().compress_with(CompressionLayer::new());
    let app = Router::new().route("/", get(read).put(write)).layer(compressed);
    let app = app.with_state(Arc::clone(&note));
    let folder = Folder::new("curl-codings");
    let (etag, file) = (folder.0.join("etag"), folder.0.join("file"));
    let (etag, file) = (etag.to_str().unwrap(), file.to_str().unwrap());
    for (version, name) in
        [(Version::HTTP_11, "--http1.1"), (Version::HTTP_2, "--http2-prior-knowledge")]
    {
        let url = format!("http://{}/", hyper(version, app.clone()).await);
        let same = ["-sf", name, "-o", file, "-w", "%{http_code} %{size_download}"];
        let get = async |extra: &[&str]| {
            let output = curl(&[&same[..], extra, &[&*url]].concat()).await;
            assert!(output.status.success(), "{name} {extra:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let (save, compare) = (["--etag-save", etag], ["--etag-compare", etag]);
        let whole = get(&[&["--compressed"], &save[..]].concat()).await;
        let (status, size) = whole.split_once(' ').unwrap();
        assert_eq!(status, "200", "{name}");
        assert!(size.parse::<usize>().unwrap() < 200, "{name}: {size} bytes");
        assert_eq!(fs::read_to_string(file).unwrap(), *note.lock().unwrap(), "{name}");
        let tag = fs::read_to_string(etag).unwrap().trim().to_owned();
        assert!(tag.starts_with('"') && tag.contains('~'), "{name}: {tag}");
        assert_eq!(get(&[&["--compressed"], &compare[..]].concat()).await, "304 0", "{name}");
        assert_eq!(get(&compare).await, "200 800", "{name}: it takes no coding");

        let new = "another, ".repeat(100);
        let condition = format!("if-match: {tag}");
        let edit = ["-X", "PUT", "-d", &new, "-H", &condition];
        assert_eq!(get(&edit).await, "204 0", "{name}");
        let refused = curl(&[&same[..], &edit, &[&*url]].concat()).await;
        assert!(refused.stdout.starts_with(b"412"), "{name}");
        "a note, ".repeat(100).clone_into(&mut note.lock().unwrap());
    }
}

type Text = Arc<Mutex<String>>;

/// The authority is part of what names a resource.
const HOST: &str = "host: watch";

async fn curl(arguments: &[&str]) -> Output {
    within(Command::new("curl").args(arguments).output()).await.unwrap()
}
