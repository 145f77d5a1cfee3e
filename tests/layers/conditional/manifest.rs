//! The setting `InnerTags::manifest`: tags of files that are known beforehand, and
//! what ends them. With real files: `tests/wire/manifest.rs`.

use std::{
    fs,
    path::PathBuf,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};
use tower_conditional::{ConditionalLayer, Digest, InnerTags, Manifest};

use crate::support::{
    harness::{date, IM, IMS, INM, LM},
    origin::{one, ours, tag_of, two, Site, OWN},
    scripted_body::{content, data, Step},
    wire::Folder,
};

/// Lists the content of one file, which `/` asks for.
fn listing(name: &str, steps: &[Step]) -> Manifest {
    Manifest::from_pairs([(name, Sha256::digest(content(steps)).into())]).unwrap()
}

fn listed() -> Manifest {
    listing("index.html", &[data(5), data(7)])
}

fn with(manifest: Manifest) -> Site {
    Site::new(|layer| layer.inner_tags(InnerTags::replace().manifest(manifest)))
}

#[test]
fn a_manifest_tags_files_from_the_first_request_on() {
    for lines in [
        &[("etag", OWN)][..],
        &[(LM, &*date(0))],
        &[("etag", OWN), (LM, &date(0))],
        &[("etag", "W/\"weak\""), (LM, &date(0))],
    ] {
        let site = with(listed());
        site.answers(lines, &[data(5), data(7)], Some(12));
        for (fields, status) in [
            (&[(INM, &*ours())][..], 304),
            (&[(INM, "\"x\""), (IMS, &date(0))], 200),
            (&[(IM, "\"x\"")], 412),
            (&[(INM, "*")], 304),
        ] {
            let seen = site.ask("GET", fields);
            assert_eq!((seen.status(), seen.line("etag")), (status, Some(&*ours())), "{fields:?}");
            if status != 200 {
                assert_eq!(site.polls(), 0, "no byte is read");
            }
        }
        site.answers(lines, &[], Some(0));
        site.origin.borrow_mut().lines.push(("content-length".into(), "12".into()));
        assert_eq!(site.ask("HEAD", &[(INM, &ours())]).status(), 304);
    }
}

#[test]
fn a_manifest_is_compared_with_the_first_content_that_is_sent() {
    let site = with(listed());
    let hashed = || site.layer.stats().bytes_hashed;
    site.break_off(&[]);
    site.ask("GET", &[(INM, &ours())]);
    assert_eq!(hashed(), 0);
    for _ in 0..3 {
        let seen = site.ask("GET", &[]);
        assert_eq!(seen.line("etag"), Some(&*ours()));
        assert_eq!(seen.frames, [data(5), data(7)]);
        assert_eq!(hashed(), 12, "once, and never again");
    }
    assert_eq!(site.layer.stats().manifest_mismatches, 0);
}

/// A digest is of content that was hashed here. What a manifest says is only believed.
#[test]
fn a_manifest_gives_no_digest_before_its_content_was_hashed() {
    let tags = InnerTags::replace().manifest(listed());
    let site = Site::new(|layer| layer.inner_tags(tags).repr_digest(true));
    for is_hashed in [false, true] {
        let seen = site.ask("GET", &[]);
        assert_eq!(seen.line("etag"), Some(&*ours()));
        assert_eq!(seen.line("repr-digest").is_some(), is_hashed);
    }
}

#[test]
fn a_manifest_makes_the_tags_that_hashing_makes() {
    for lines in [
        &[("etag", OWN), ("content-type", "text/html")][..],
        &[("etag", OWN), ("vary", "accept-encoding"), ("content-type", "text/html")],
        &[("etag", OWN), ("content-language", "de")],
    ] {
        let without = Site::new(|layer| layer.inner_tags(InnerTags::replace()));
        let with = with(listed());
        without.answers(lines, &[data(5), data(7)], Some(12));
        with.answers(lines, &[data(5), data(7)], Some(12));
        without.ask("GET", &[]);
        let hashed = without.ask("GET", &[]).line("etag").unwrap().to_owned();
        assert_eq!(with.ask("GET", &[]).line("etag"), Some(&*hashed));
    }
}

#[test]
fn the_first_validator_binds_a_manifest_and_another_ends_it() {
    for (first, second) in [
        (&[("etag", OWN)][..], &[("etag", "\"new\"")][..]),
        (&[(LM, &*date(0))], &[(LM, &*date(1))]),
        (&[(LM, &date(0))], &[(LM, &date(0)), ("etag", OWN)]),
    ] {
        let site = with(listed());
        site.answers(first, &[data(5), data(7)], Some(12));
        assert_eq!(site.ask("GET", &[(INM, &ours())]).status(), 304);
        // The file was changed.
        site.answers(second, &two(), Some(12));
        let seen = site.ask("GET", &[(INM, &ours())]);
        assert_eq!((seen.status(), seen.line("etag")), (200, None), "{second:?}");
        // And back, which only learning can tell.
        site.answers(first, &[data(5), data(7)], Some(12));
        assert_eq!(site.ask("GET", &[(INM, &ours())]).line("etag"), None, "{first:?}");
    }
}

#[test]
fn a_manifest_that_names_another_hash_is_dropped_and_counted() {
    let site = with(listing("index.html", &one()));
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*tag_of(&one())), "it says so");
    assert_eq!(site.layer.stats().manifest_mismatches, 1);
    for _ in 0..3 {
        let seen = site.ask("GET", &[(INM, &tag_of(&one()))]);
        assert_eq!((seen.status(), seen.line("etag")), (200, Some(&*ours())));
    }
    assert_eq!(site.layer.stats().manifest_mismatches, 1);
}

#[test]
fn a_manifest_tags_no_parts_before_its_hash_was_compared() {
    let list = format!("{} 12  index.html\n", ours().trim_matches('"'));
    for manifest in [listed(), list.parse().unwrap()] {
        let site = Site::new(|layer| {
            layer.inner_tags(InnerTags::replace().manifest(manifest)).ranges(true)
        });
        let fields = [("etag", OWN), ("accept-ranges", "bytes")];
        let whole = || site.answers(&fields, &[data(5), data(7)], Some(12));
        let resume = [("range", "bytes=5-"), ("if-range", &*ours())];
        whole();
        site.break_off(&[]);
        let seen = site.ask("GET", &resume);
        assert_eq!((seen.status(), seen.line("etag")), (200, Some(&*ours())));
        assert!(!site.shows("range"));
        // Now it was compared.
        whole();
        site.ask("GET", &[]);
        site.origin.borrow_mut().status = 206;
        let part = [("etag", OWN), ("content-range", "bytes 5-11/12")];
        site.answers(&part, &[data(7)], Some(7));
        let seen = site.ask("GET", &resume);
        assert_eq!((seen.status(), seen.line("etag")), (206, Some(&*ours())));
    }
}

#[test]
fn parts_without_a_gap_are_compared_with_a_manifest() {
    for (listed, mismatches) in [(one(), 0), (two(), 1)] {
        let site = with(listing("index.html", &listed));
        site.origin.borrow_mut().status = 206;
        for (range, bytes) in [("bytes 0-4/12", "aaaaa"), ("bytes 5-11/12", "aaaaaaa")] {
            let part = [("etag", OWN), ("content-range", range)];
            site.answers(&part, &[Step::Data(bytes.into())], Some(bytes.len() as u64));
            assert_eq!(site.ask("GET", &[("range", &range.replace(' ', "="))]).line("etag"), None);
        }
        assert_eq!(site.layer.stats().manifest_mismatches, mismatches);
        site.origin.borrow_mut().status = 200;
        site.answers(&[("etag", OWN)], &one(), Some(12));
        assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*tag_of(&one())));
        assert_eq!(site.layer.stats().bytes_hashed, 12);
    }
}

#[test]
fn a_manifest_holds_for_files_of_its_names_lengths_and_codings() {
    let hash = ours();
    let hash = hash.trim_matches('"');
    let changed = date(0);
    let settled = &[("etag", OWN), (LM, &*changed)][..];
    for (list, lines, holds) in [
        (format!("{hash}  index.html"), settled, true),
        (format!("{hash} 12  ./index.html"), settled, true),
        (format!("{hash} 13  index.html"), settled, false),
        (format!("{hash}  index"), settled, false),
        (format!("{hash}  index.html.gz"), settled, false),
        (format!("{hash}  index.html.gz"), &[("etag", OWN), ("content-encoding", "gzip")], true),
        (format!("{hash}  index.html.br"), &[("etag", OWN), ("content-encoding", "br")], true),
        (format!("{hash}  index.html.zst"), &[("etag", OWN), ("content-encoding", "zstd")], true),
        (format!("{hash}  index.html.zz"), &[("etag", OWN), ("content-encoding", "deflate")], true),
        (format!("{hash}  index.html"), &[("etag", OWN), ("content-encoding", "gzip")], false),
        (format!("{hash}  index.html"), &[("etag", "W/\"weak\"")], false),
        (format!("{hash}  index.html"), &[], false),
        // It may still change within that second.
        (format!("{hash}  index.html"), &[("etag", OWN), (LM, &date(9))], false),
    ] {
        let site = with(list.parse().unwrap());
        site.answers(lines, &[data(5), data(7)], Some(12));
        let seen = site.ask("GET", &[]);
        let starts = seen.line("etag").is_some_and(|tag| tag.starts_with(&format!("\"{hash}")));
        assert_eq!((seen.status(), starts), (200, holds), "{list} {lines:?}");
    }
    // Without a length, which the entry binds.
    let site = with(listed());
    site.answers(&[("etag", OWN)], &[data(5), data(7)], None);
    assert_eq!(site.ask("GET", &[]).line("etag"), None);
}

#[test]
fn a_manifest_serves_under_a_prefix() {
    for (prefix, holds) in [("", true), ("/", true), ("/assets", false), ("assets/", false)] {
        let site = with(listed().under(prefix).unwrap());
        assert_eq!(site.ask("GET", &[]).line("etag").is_some(), holds, "{prefix}");
    }
    assert!(listed().under("/a/../b").is_err());
}

#[test]
fn a_manifest_beside_inner_tags_that_are_learned_or_kept() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::learn().manifest(listed())));
    for (fields, status, etag) in
        [(&[][..], 200, &*ours()), (&[(INM, &*ours())], 304, &ours()), (&[(INM, OWN)], 304, OWN)]
    {
        let seen = site.ask("GET", fields);
        assert_eq!((seen.status(), seen.line("etag")), (status, Some(etag)), "{fields:?}");
    }
    let site = Site::new(|layer| layer.inner_tags(InnerTags::keep().manifest(listed())));
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(OWN), "nothing is learned");
}

#[test]
fn a_manifest_gives_no_repr_digest_before_its_hash_was_compared() {
    let site = Site::new(|layer| {
        layer.inner_tags(InnerTags::replace().manifest(listed())).repr_digest(true)
    });
    for compared in [false, true] {
        let seen = site.ask("GET", &[]);
        assert_eq!(seen.line("etag"), Some(&*ours()));
        assert_eq!(seen.line("repr-digest").is_some(), compared);
    }
}

#[derive(Default)]
struct Other;

impl Digest for Other {
    type Output = [u8; 32];

    fn update(&mut self, _: &[u8]) {}

    fn finish(self) -> [u8; 32] {
        [0; 32]
    }
}

#[test]
fn a_manifest_of_another_digest_panics() {
    let inner_tags = || InnerTags::replace().manifest(listed());
    let panics = |make: fn(InnerTags)| {
        let tags = inner_tags();
        std::panic::catch_unwind(move || make(tags)).is_err()
    };
    assert!(panics(|tags| drop(ConditionalLayer::new().digest::<Other>().inner_tags(tags))));
    assert!(panics(|tags| drop(ConditionalLayer::new().inner_tags(tags).digest::<Other>())));
    assert!(!panics(|tags| {
        drop(ConditionalLayer::new().inner_tags(tags).digest::<tower_conditional::Sha256>());
    }));
}

/// A folder of one file, written long ago.
fn folder(name: &str) -> (Folder, PathBuf, String) {
    let folder = Folder::new(&format!("manifest-{name}"));
    folder.write("hello.txt", "hello", 1_000_000_000);
    let list = folder.0.join("SHA256SUMS");
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    (folder, list, format!("{hash}  hello.txt\n"))
}

#[test]
fn a_manifest_that_cannot_be_read_says_where() {
    let (_folder, list, text) = folder("errors");
    assert!(Manifest::read(&list).unwrap_err().to_string().contains("SHA256SUMS: No such file"));
    for (text, problem) in [
        (format!("{text}\nwrong\n"), "SHA256SUMS:3: not a line of `sha256sum`"),
        (format!("{text}{}", text.replace("2cf", "2cd")), "SHA256SUMS:2: the file is already list"),
        (text.replace("hello.txt", "../hello.txt"), "SHA256SUMS:1: the name contains `..`"),
        (text.replace("hello.txt", "/etc/passwd"), "SHA256SUMS:1: the name is absolute"),
    ] {
        fs::write(&list, &text).unwrap();
        let error = Manifest::read(&list).unwrap_err().to_string();
        assert!(error.starts_with("manifest: ") && error.contains(problem), "{error}");
    }
    fs::write(&list, format!("{text}{text}")).unwrap();
    assert!(Manifest::read(&list).is_ok(), "the same line twice");
    let error = "wrong".parse::<Manifest>().unwrap_err().to_string();
    assert!(error.starts_with("manifest: line 1: "), "{error}");
    let error = Manifest::from_pairs([("a", [0; 32]), ("./a", [1; 32])]).unwrap_err().to_string();
    assert!(error.starts_with("manifest: \"./a\": the file is already listed"), "{error}");
}

#[test]
fn a_manifest_is_checked_against_its_files() {
    let (folder, list, text) = folder("check");
    let write = |text: &str, seconds| {
        fs::write(&list, text).unwrap();
        let file = fs::File::options().write(true).open(&list).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        Manifest::read(&list).unwrap()
    };
    let problem = |result: Result<Manifest, tower_conditional::ManifestError>| {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let later = 1_000_000_009;
    assert_eq!(problem(write(&text, later).check(&folder.0)), "");
    assert_eq!(problem(write(&text, later).verify(&folder.0)), "");
    assert_eq!(problem(write(&text.replace("  ", " 5  "), later).check(&folder.0)), "");
    for (text, seconds, checked, verified) in [
        (text.replace("  ", " 6  "), later, "its length differs", "its length differs"),
        (text.replace("hello", "other"), later, "No such file", "No such file"),
        (text.replace("2cf", "2cd"), later, "", "its hash differs from the list"),
        (text.clone(), 999_999_999, "it is newer than the list", ""),
    ] {
        for (result, expected) in [
            (write(&text, seconds).check(&folder.0), checked),
            (write(&text, seconds).verify(&folder.0), verified),
        ] {
            let problem = problem(result);
            assert!(problem.contains(expected), "{text} {problem}");
            assert_eq!(problem.contains(".txt: "), !expected.is_empty(), "{problem}");
        }
    }
    fs::create_dir_all(folder.0.join("other.txt")).unwrap();
    let of_folder = write(&text.replace("hello", "other"), later).check(&folder.0);
    assert!(problem(of_folder).contains("other.txt: it is not a file"));
}

#[test]
fn a_manifest_is_not_checked_before_its_files_are_two_seconds_old() {
    let (folder, list, text) = folder("fresh");
    fs::write(folder.0.join("hello.txt"), "hello").unwrap();
    fs::write(&list, text).unwrap();
    let start = std::time::Instant::now();
    let checked = Manifest::read(&list).unwrap().check(&folder.0);
    assert!(checked.is_ok());
    assert!(start.elapsed() > Duration::from_millis(1_500), "{:?}", start.elapsed());
    let modified = fs::metadata(folder.0.join("hello.txt")).unwrap().modified().unwrap();
    assert!(modified.elapsed().unwrap() >= Duration::from_secs(2));
}

#[test]
fn a_manifest_is_not_checked_against_a_file_that_is_being_changed() {
    let (folder, list, text) = folder("changing");
    let file = fs::File::options().write(true).open(folder.0.join("hello.txt")).unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let changes = thread::spawn(move || {
        let ends = |_: &i32| {
            stopped.recv_timeout(Duration::from_millis(100)) != Err(RecvTimeoutError::Timeout)
        };
        // For at most five seconds.
        (0..50)
            .take_while(|i| !ends(i))
            .for_each(|_| file.set_modified(SystemTime::now()).unwrap());
    });
    thread::sleep(Duration::from_millis(300));
    fs::write(&list, text).unwrap();
    let problem = Manifest::read(&list).unwrap().verify(&folder.0).unwrap_err().to_string();
    assert!(problem.ends_with("hello.txt: it is being changed"), "{problem}");
    drop(stop);
    changes.join().unwrap();
}
