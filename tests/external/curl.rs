//! curl: resumes downloads, and asks by the tag that it keeps.

use std::{fs, process::Output};

use http::Version;
use tokio::process::Command;

use crate::support::{
    file_server::{content, tag, Kind, Site, KINDS, LENGTH, PATH},
    wire::within,
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

/// The authority is part of what names a resource.
const HOST: &str = "host: watch";

async fn curl(arguments: &[&str]) -> Output {
    within(Command::new("curl").args(arguments).output()).await.unwrap()
}
