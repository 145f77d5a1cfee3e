//! Downloads that break off and are resumed: never put together from two versions.

use std::{
    future::ready,
    sync::{atomic::Ordering, Arc, Mutex},
};

use axum::{body::Body, routing::get, Router};
use http::{Method, Version};
use tower::Layer;
use tower_conditional::{
    ConditionalLayer, EntityTag, HttpDate, PreconditionLayer, Representation, Validators,
};
use tower_http::services::ServeDir;

use crate::support::{
    file_server::{assert_whole, content, date, kinds_and_versions, tag, Kind, Site, LENGTH, PATH},
    peer::{self, get_of},
    random::numbers,
    server::VERSIONS,
    slow_peer::{leave, UNDER_WAY},
    wire::{ask, axum, clocked, http_date, hyper, Folder, Http2, MISS, START},
};

#[tokio::test]
async fn downloads_go_on_at_another_replica() {
    for (kind, version) in kinds_and_versions() {
        let (one, two) =
            (Site::replacing(kind, "half-1").await, Site::replacing(kind, "half-2").await);
        one.put(1, 0);
        two.put(1, 5_000);
        one.get(version, &[]).await;
        let (whole, tag) = (content(1, LENGTH), tag(1));
        let half = one.get(version, &[("range", "bytes=0-19999")]).await;
        assert_eq!(
            (half.status, half.etag(), half.content == whole[..20_000]),
            (206, Some(&*tag), true)
        );

        // The second does not know the file yet; then it does.
        let rest = [("range", "bytes=20000-"), ("if-range", &*tag)];
        assert_whole(&two.get(version, &rest).await, 1, None);
        for condition in ["if-range", "if-match"] {
            let rest = two.get(version, &[("range", "bytes=20000-"), (condition, &tag)]).await;
            assert_eq!(
                (rest.status, rest.etag(), rest.is_whole),
                (206, Some(&*tag), true),
                "{kind:?} {condition}"
            );
            assert_eq!(rest.field("content-range"), Some("bytes 20000-39999/40000"));
            assert_eq!(rest.content, whole[20_000..], "{kind:?} {version:?}");
        }
        // A Range without a condition is for the file server.
        let rest = two.get(version, &[("range", "bytes=20000-")]).await;
        assert_eq!(
            (rest.status, rest.etag(), &rest.content[..]),
            (206, Some(&*tag), &whole[20_000..])
        );
        let none = two.get(version, &[("range", "bytes=40000-")]).await;
        assert_eq!((none.status, none.content.len()), (416, 0));
    }
}

#[tokio::test]
async fn downloads_are_never_put_together_from_two_versions() {
    for (kind, version) in kinds_and_versions() {
        let site = Site::replacing(kind, "swapped").await;
        site.put(1, 7_000);
        for _ in 0..2 {
            site.get(version, &[]).await;
        }
        // Newer, or older.
        for (change, at) in [(2, 9_000), (3, 1_000)] {
            site.put(change, at);
            let by_match = [("range", "bytes=20000-"), ("if-match", &*tag(1))];
            assert_whole(&site.get(version, &by_match).await, change, None);
            for held in [&*tag(1), &date(7), "\"x\"", "W/\"x\""] {
                let rest = [("range", "bytes=20000-"), ("if-range", held)];
                assert_whole(&site.get(version, &rest).await, change, Some(&tag(change)));
            }
            assert_eq!(site.get(version, &by_match).await.status, 412, "{kind:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn downloads_of_a_file_that_was_replaced_get_the_whole_at_the_second_try() {
    for (kind, version) in kinds_and_versions() {
        for (change, at) in [(2, 9_000), (3, 1_000)] {
            for held in [tag(1), date(7)] {
                let site = Site::replacing(kind, "replaced").await;
                site.put(1, 7_000);
                for _ in 0..2 {
                    site.get(version, &[]).await;
                }
                let rest = [("range", "bytes=20000-"), ("if-range", &*held)];
                let answer = site.get(version, &rest).await;
                assert_eq!((answer.status, answer.content.len()), (206, 20_000), "{kind:?} {held}");

                site.put(change, at);
                // What the file server knows, it is asked for, and answers with another
                // version.
                if kind == Kind::Tags || held == date(7) {
                    let answer = site.get(version, &rest).await;
                    assert_eq!((answer.status, answer.is_whole), (503, true), "{kind:?} {held}");
                    assert_eq!(answer.field("retry-after"), Some("1"));
                    for name in ["content-range", "accept-ranges", "etag", "last-modified"] {
                        assert_eq!(answer.field(name), None, "{kind:?} {version:?} {held}");
                    }
                    assert_eq!(answer.content, b"");
                }
                assert_whole(&site.get(version, &rest).await, change, None);
                assert_whole(&site.get(version, &rest).await, change, Some(&tag(change)));
            }
        }
    }
}

#[tokio::test]
async fn downloads_are_never_put_together_from_two_files_where_the_layer_serves_the_parts() {
    let folder = Folder::new("parts");
    let layer = ConditionalLayer::new().ranges(true);
    for version in VERSIONS {
        folder.write("a.txt", "older", START);
        let old =
            hyper(version, layer.layer(tower_http_06::services::ServeDir::new(&folder.0))).await;
        let new = hyper(version, layer.layer(ServeDir::new(&folder.0))).await;
        for (name, address) in [("0.6", old), ("0.7", new)] {
            folder.write("a.txt", "older", START);
            let whole = peer::ask(version, address, get_of("/a.txt", &[])).await;
            let tag = whole.field("etag").unwrap();
            let resume = || get_of("/a.txt", &[("range", "bytes=2-"), ("if-range", tag)]);
            let rest = peer::ask(version, address, resume()).await;
            assert_eq!((rest.status, rest.text()), (206, "der"), "{version:?} {name}");
            let lines = get_of("/a.txt", &[("if-match", MISS), ("if-match", tag)]);
            assert_eq!(
                peer::ask(version, address, lines).await.status,
                200,
                "{version:?} {name}: the second line holds"
            );

            folder.write("a.txt", "newer", START + 7200);
            let mut other = peer::ask(version, address, resume()).await;
            if name == "0.7" {
                // It makes tags, and ignores If-Range: what it answers is not sent.
                let retry_after = other.field("retry-after");
                assert_eq!((other.status, other.text(), retry_after), (503, "", Some("1")));
                assert_eq!(other.field("content-range"), None);
                other = peer::ask(version, address, resume()).await;
            }
            assert_eq!((other.status, other.text()), (200, "newer"), "{version:?} {name}");
        }
    }
}

#[tokio::test]
async fn downloads_bound_by_a_date_that_proves_nothing_get_the_whole() {
    let (seconds, layer) = clocked();
    let text = Arc::new(Mutex::new("older"));
    let current = Arc::clone(&text);
    let handler = move || ready(*current.lock().unwrap());
    let router = Router::new().route("/", get(handler)).layer(layer.ranges(true));
    let address = axum(router).await;
    seconds.fetch_add(10, Ordering::Relaxed);
    ask(address, "GET", "/", &[]).await;
    seconds.fetch_add(10, Ordering::Relaxed);
    let whole = ask(address, "GET", "/", &[]).await;
    let date = whole.field("last-modified").unwrap();
    let rest = [("range", "bytes=2-"), ("if-unmodified-since", date)];
    let reply = ask(address, "GET", "/", &rest).await;
    assert_eq!((reply.status, reply.text()), (206, "der"));

    *text.lock().unwrap() = "newer";
    for _ in 0..3 {
        let reply = ask(address, "GET", "/", &rest).await;
        assert_eq!((reply.status, reply.text()), (200, "newer"));
        seconds.fetch_add(10, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn downloads_are_not_resumed_for_a_client_that_holds_another_version() {
    const MODIFIED: u32 = 1_000_000_000;
    let folder = Folder::new("parts");
    folder.write("a.txt", "newer", MODIFIED.into());
    let state = Arc::new(Mutex::new(Representation::Unknown));
    let current = Arc::clone(&state);
    let layer = PreconditionLayer::new(move |_| ready(current.lock().unwrap().clone()));
    let files = layer.layer(ServeDir::new(&folder.0));
    let router = Router::new().fallback_service(files.clone());
    let addresses = [
        ("axum", axum(router.clone()).await),
        ("hyper", hyper(Version::HTTP_11, files.clone()).await),
    ];
    let over_http2 = [
        ("axum", hyper(Version::HTTP_2, router).await),
        ("hyper", hyper(Version::HTTP_2, files).await),
    ];

    // What the files say of themselves is what the source knows.
    let whole = ask(addresses[0].1, "GET", "/a.txt", &[]).await;
    let (tag, date) = (whole.field("etag").unwrap(), whole.field("last-modified").unwrap());
    assert_eq!(date, http_date(MODIFIED.into()));
    let validators = Validators::from(tag.parse::<EntityTag>().unwrap());
    let modified = HttpDate::from_unix_seconds(MODIFIED.into()).unwrap();
    *state.lock().unwrap() = Representation::Exists(validators.last_modified(modified));

    let range = ("range", "bytes=0-2");
    let weak = format!("W/{tag}");
    let earlier = http_date(u64::from(MODIFIED) - 1);
    let later = http_date(u64::from(MODIFIED) + 1);
    for (name, fields, expected) in [
        ("no condition", &[range][..], (206, "new")),
        ("this tag", &[range, ("if-range", tag)], (206, "new")),
        ("another tag", &[range, ("if-range", MISS)], (200, "newer")),
        ("this tag, but weak", &[range, ("if-range", &weak)], (200, "newer")),
        ("this date", &[range, ("if-range", date)], (206, "new")),
        ("an earlier date", &[range, ("if-range", &earlier)], (200, "newer")),
        ("a later date", &[range, ("if-range", &later)], (200, "newer")),
        ("nothing that can be read", &[range, ("if-range", "yesterday")], (200, "newer")),
        ("two lines", &[range, ("if-range", tag), ("if-range", tag)], (200, "newer")),
        ("the client has it", &[range, ("if-range", MISS), ("if-none-match", tag)], (304, "")),
        ("the client wants another", &[range, ("if-range", tag), ("if-match", MISS)], (412, "")),
    ] {
        for (server, address) in addresses {
            let reply = ask(address, "GET", "/a.txt", fields).await;
            assert_eq!((reply.status, reply.text()), expected, "{name}, {server}");
            assert_eq!(
                reply.field("content-range").is_some(),
                reply.status == 206,
                "{name}, {server}"
            );
        }
        for (server, address) in over_http2 {
            let mut client = Http2::connect(address).await;
            let (reply, _) = client.send(&Method::GET, "/a.txt", fields, Body::empty()).await;
            assert_eq!((reply.status, reply.text()), expected, "{name}, {server} over HTTP/2");
        }
    }
}

#[tokio::test]
async fn downloads_that_break_off_anywhere_teach_nothing_and_leave_nothing_behind() {
    const LARGE: usize = 2 * UNDER_WAY;
    let mut chance = numbers(7);
    for (kind, version) in kinds_and_versions() {
        let site = Site::replacing(kind, "cut").await;
        for round in 1..=3 {
            site.put_of(round, LARGE, round * 5_000);
            let whole = content(round, LARGE);
            // So far the client gets, or the file server.
            let at = usize::try_from(chance()).unwrap() % (LARGE / 3) + 1;
            let before = site.log.bytes();
            leave(version, site.address(version), PATH, at).await;
            site.log.gone().await;
            let read = site.log.bytes() - before;
            assert!(
                read <= at + UNDER_WAY,
                "{kind:?} {version:?}: {read} bytes were read for {at}"
            );

            site.log.break_at(at);
            let broken = site.get(version, &[]).await;
            assert!(
                !broken.is_whole && whole.starts_with(&broken.content),
                "{kind:?} {version:?} {at}"
            );
            assert!(broken.content.len() <= at && broken.etag().is_none());
            site.log.gone().await;
            site.log.break_at(usize::MAX);

            for etag in [None, Some(EntityTag::of(&whole).to_string())] {
                let answer = site.get(version, &[]).await;
                assert_eq!(
                    (answer.status, answer.is_whole, answer.etag()),
                    (200, true, etag.as_deref()),
                    "{kind:?} {at}"
                );
                assert!(answer.content == whole, "{kind:?} {version:?} {at}");
            }
            site.log.gone().await;
        }
    }
}
