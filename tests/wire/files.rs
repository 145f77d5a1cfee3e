//! Files by `ServeDir`: never stale, read once, and no further than the client has
//! come.

use std::sync::atomic::Ordering;

use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use tower::{Layer, Service};
use tower_conditional::{ConditionalLayer, EntityTag, InnerTags};
use tower_http::services::ServeDir;

use crate::support::{
    file_server::{
        assert_whole, content, date, kinds_and_versions, tag, write, Kind, Site, KINDS, LENGTH,
        LIMIT, PATH,
    },
    harness::{IMS, INM, LM},
    peer::{self, get_of, tag_of},
    server::VERSIONS,
    slow_peer::Log,
    wire::{ask, axum, clocked, http_date, hyper, within, Folder, MISS, START},
};

#[tokio::test]
async fn files_are_served_by_their_own_validators_and_never_by_stale_ones() {
    let folder = Folder::new("files");
    folder.write("a.txt", "newer", START + 3600);
    let (seconds, layer) = clocked();
    let address = axum(Router::new().fallback_service(ServeDir::new(&folder.0)).layer(layer)).await;

    let newer = ask(address, "GET", "/a.txt", &[]).await;
    assert_eq!((newer.status, newer.text()), (200, "newer"));
    let (tag, date) = (newer.field("etag").unwrap(), newer.field("last-modified").unwrap());
    assert_eq!(date, http_date(START + 3600));
    // Where the inner service dates its responses, their freshness is its own affair.
    assert_eq!(newer.field("cache-control"), None);
    let ours = EntityTag::of(b"of another day").to_string();
    for (name, fields, expected) in [
        ("tag", &[("if-none-match", tag)][..], (304, "")),
        ("tag on the second line", &[("if-none-match", MISS), ("if-none-match", tag)], (304, "")),
        ("date", &[("if-modified-since", date)], (304, "")),
        (
            "another tag, and the date",
            &[("if-none-match", MISS), ("if-modified-since", date)],
            (200, "newer"),
        ),
        ("If-Match", &[("if-match", tag)], (200, "newer")),
        ("If-Match with another tag", &[("if-match", MISS)], (412, "")),
        ("range", &[("range", "bytes=0-2")], (206, "new")),
        (
            "a tag of the layer's form",
            &[("range", "bytes=0-2"), ("if-range", &ours)],
            (200, "newer"),
        ),
    ] {
        let reply = ask(address, "GET", "/a.txt", fields).await;
        assert_eq!((reply.status, reply.text()), expected, "{name}");
        assert_eq!(reply.field("content-range").is_some(), reply.status == 206, "{name}");
    }

    folder.write("a.txt", "older", START);
    for since in [date, &http_date(START), &http_date(START + 7200)] {
        let fields = [("if-none-match", tag), ("if-modified-since", since)];
        let older = ask(address, "GET", "/a.txt", &fields).await;
        assert_eq!((older.status, older.text()), (200, "older"), "rolled back, {since}");
        // Its own date is older than what was sent, and a new one is not due yet.
        assert_eq!(older.field("last-modified"), None);
    }
    seconds.fetch_add(10, Ordering::Relaxed);
    let older = ask(address, "GET", "/a.txt", &[]).await;
    let generated = older.field("last-modified").unwrap();
    let [later, earlier] = [generated, date].map(|date| httpdate::parse_http_date(date).unwrap());
    assert!(later > earlier, "{generated}");
    for (since, status) in
        [(date, 200), (&http_date(START), 200), (&http_date(START + 7200), 200), (generated, 304)]
    {
        let reply = ask(address, "GET", "/a.txt", &[("if-modified-since", since)]).await;
        assert_eq!(reply.status, status, "rolled back, {since}");
    }
}

#[tokio::test]
async fn files_of_either_tower_http_are_never_stale() {
    let folder = Folder::new("homes");
    for version in VERSIONS {
        folder.write("a.txt", "newer", START + 7200);
        let old = hyper(
            version,
            ConditionalLayer::new().layer(tower_http_06::services::ServeDir::new(&folder.0)),
        )
        .await;
        let new = hyper(version, ConditionalLayer::new().layer(ServeDir::new(&folder.0))).await;
        let mut held = Vec::new();
        for (name, address, makes_tags) in [("0.6", old, false), ("0.7", new, true)] {
            let whole = peer::ask(version, address, get_of("/a.txt", &[])).await;
            assert_eq!((whole.status, whole.text()), (200, "newer"), "{version:?} {name}");
            let (tag, date) = (whole.field("etag").unwrap(), whole.field("last-modified").unwrap());
            assert_eq!(
                tag == tag_of("newer"),
                !makes_tags,
                "{version:?} {name}: the service's own tag is respected"
            );
            for (fields, expected) in [
                (&[("if-none-match", tag)][..], (304, "")),
                (&[("if-modified-since", date)], (304, "")),
                (&[("if-none-match", MISS), ("if-modified-since", date)], (200, "newer")),
                (&[("if-match", MISS)], (412, "")),
                (&[("range", "bytes=0-2")], (206, "new")),
                (&[("range", "bytes=0-2"), ("if-range", &*tag_of("other"))], (200, "newer")),
            ] {
                let reply = peer::ask(version, address, get_of("/a.txt", fields)).await;
                assert_eq!((reply.status, reply.text()), expected, "{version:?} {name} {fields:?}");
            }
            held.push((name, address, tag.to_owned(), date.to_owned()));
        }
        folder.write("a.txt", "older", START);
        for (name, address, tag, date) in held {
            for fields in [
                &[("if-none-match", &*tag)][..],
                &[("if-none-match", &tag), ("if-modified-since", &date)],
            ] {
                let reply = peer::ask(version, address, get_of("/a.txt", fields)).await;
                assert_eq!(
                    (reply.status, reply.text()),
                    (200, "older"),
                    "{version:?} {name}, rolled back, {fields:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn files_are_known_after_one_transfer_and_not_read_again() {
    for (kind, first) in kinds_and_versions() {
        let site = Site::replacing(kind, "known").await;
        site.put(1, 0);
        assert_whole(&site.get(first, &[]).await, 1, None);
        let ours = tag(1);
        for version in VERSIONS {
            assert_whole(&site.get(version, &[]).await, 1, Some(&ours));
            let polls = site.log.polls();
            for (method, fields, status) in [
                ("GET", &[(INM, &*ours)][..], 304),
                ("GET", &[(INM, "\"x\""), (INM, &ours)], 304),
                ("GET", &[(IMS, &date(0))], 304),
                ("GET", &[("if-match", "\"x\"")], 412),
                ("HEAD", &[(INM, &ours)], 304),
            ] {
                let answer = site.ask(version, method, fields).await;
                assert_eq!(
                    (answer.status, answer.etag()),
                    (status, Some(&*ours)),
                    "{kind:?} {version:?} {fields:?}"
                );
                assert_eq!((answer.content.len(), answer.is_whole), (0, true));
            }
            assert_eq!(site.log.polls(), polls, "not one byte was read");
            let head = site.ask(version, "HEAD", &[]).await;
            assert_eq!((head.etag(), head.field("content-length")), (Some(&*ours), Some("40000")));
            let miss = [(INM, "\"x\""), (IMS, &*date(0))];
            assert_whole(&site.get(version, &miss).await, 1, Some(&ours));
        }
        site.log.gone().await;
    }
}

#[tokio::test]
async fn files_match_the_file_servers_tag_while_the_layers_is_learned() {
    let site = Site::new(Kind::Tags, "both", |layer| layer.inner_tags(InnerTags::learn())).await;
    site.put(1, 0);
    let first = site.get(VERSIONS[0], &[]).await;
    let own = first.etag().unwrap().to_owned();
    assert_whole(&first, 1, Some(&own));
    for version in VERSIONS {
        assert_whole(&site.get(version, &[]).await, 1, Some(&tag(1)));
        for held in [&own, &tag(1)] {
            let answer = site.get(version, &[(INM, held)]).await;
            assert_eq!((answer.status, answer.etag()), (304, Some(&**held)));
        }
    }
}

#[tokio::test]
async fn files_changed_in_place_have_another_tag() {
    for (kind, version) in kinds_and_versions() {
        let site = Site::replacing(kind, "changed").await;
        site.put(1, 0);
        site.get(version, &[]).await;
        assert_whole(&site.get(version, &[]).await, 1, Some(&tag(1)));
        site.put(2, 10_000);
        for etag in [None, Some(&*tag(2))] {
            let held = [(INM, &*tag(1)), (IMS, &date(0))];
            assert_whole(&site.get(version, &held).await, 2, etag);
        }
        assert_eq!(site.get(version, &[(INM, &tag(2))]).await.status, 304);
        assert_whole(&site.get(version, &[(IMS, &date(0))]).await, 2, Some(&tag(2)));
    }
}

#[tokio::test]
async fn files_changed_twice_within_a_second_never_have_a_stale_tag() {
    for (kind, version) in kinds_and_versions() {
        let site = Site::replacing(kind, "twice").await;
        for (change, at) in [(1, 100), (2, 101), (3, 900)] {
            site.put(change, at);
            for now in [0, 1] {
                site.is_at(now);
                let held = [(INM, &*tag(change - 1))];
                for fields in [&held[..], &[]] {
                    assert_whole(&site.get(version, fields).await, change, None);
                }
            }
        }
        // From two seconds on, no write can hide behind that date.
        site.is_at(2);
        assert_whole(&site.get(version, &[]).await, 3, None);
        for held in [1, 2] {
            assert_whole(&site.get(version, &[(INM, &tag(held))]).await, 3, Some(&tag(3)));
        }
        assert_eq!(site.get(version, &[(INM, &tag(3))]).await.status, 304);
    }
}

#[tokio::test]
async fn files_that_are_rolled_back_are_seen_by_tag_and_by_date() {
    for (kind, version) in kinds_and_versions() {
        for is_known in [true, false] {
            let site = Site::replacing(kind, "rollback").await;
            site.put(2, 3_600_000);
            for _ in 0..1 + usize::from(is_known) {
                assert_eq!(site.get(version, &[]).await.field(LM), Some(&*date(3600)));
            }
            site.put(1, 0);
            let (newer, since) = (tag(2), date(3600));
            for fields in [&[(IMS, &*since)][..], &[(INM, &newer), (IMS, &since)], &[(INM, &newer)]]
            {
                let answer = site.get(version, fields).await;
                assert_eq!(answer.status, 200, "{kind:?} {version:?} {is_known} {fields:?}");
                assert!(answer.content == content(1, LENGTH));
            }
            assert_whole(&site.get(version, &[]).await, 1, Some(&tag(1)));
            assert_eq!(site.get(version, &[(INM, &tag(1))]).await.status, 304);
        }
    }
}

#[tokio::test]
async fn files_are_not_known_by_a_date_where_the_file_servers_tag_says_otherwise() {
    for version in VERSIONS {
        for learns in [true, false] {
            let new = || {
                Site::new(Kind::Tags, "same-second", |layer| match learns {
                    true => layer.inner_tags(InnerTags::learn()),
                    false => layer.inner_tags(InnerTags::replace()),
                })
            };
            let site = new().await;
            site.put(1, 100);
            site.is_at(0);
            site.get(version, &[]).await;
            site.put(2, 900);
            for now in 0..4 {
                site.is_at(now);
                let answer = site.get(version, &[(IMS, &date(0))]).await;
                assert_eq!(
                    (answer.status, answer.content == content(2, LENGTH)),
                    (200, true),
                    "{version:?} {learns} {now}"
                );
            }
            // Behind other content the file's date proves nothing. One that is
            // generated does, before the tag is known and afterwards.
            site.put(3, 60_000);
            site.is_at(86_400);
            site.get(version, &[]).await;
            site.is_at(86_410);
            for _ in 0..2 {
                let whole = site.get(version, &[]).await;
                let generated = whole.field(LM).unwrap();
                assert_ne!(generated, date(60));
                for (since, status) in [(&*date(60), 200), (generated, 304)] {
                    let answer = site.get(version, &[(IMS, since)]).await;
                    assert_eq!(answer.status, status, "{version:?} {learns} {since}");
                }
            }
            drop(site);
            // The first date of a file does, too.
            let site = new().await;
            site.put(3, 60_000);
            for _ in 0..2 {
                assert_eq!(site.get(version, &[]).await.field(LM), Some(&*date(60)));
                let answer = site.get(version, &[(IMS, &date(60))]).await;
                assert_eq!(answer.status, 304, "{version:?} {learns}");
            }
        }
    }
}

#[tokio::test]
async fn files_of_replicas_have_the_same_tag_once_they_are_known() {
    let one = Site::replacing(Kind::Tags, "replica-1").await;
    let two = Site::replacing(Kind::Tags, "replica-2").await;
    let three = Site::replacing(Kind::Dates, "replica-3").await;
    for (site, after) in [(&one, 0), (&two, 5_000), (&three, 9_000)] {
        site.put(1, after);
        site.get(VERSIONS[0], &[]).await;
    }
    for (site, version) in
        [&one, &two, &three].into_iter().flat_map(|site| VERSIONS.map(|version| (site, version)))
    {
        assert_whole(&site.get(version, &[]).await, 1, Some(&tag(1)));
        assert_eq!(site.get(version, &[(INM, &tag(1))]).await.status, 304);
    }
}

#[tokio::test]
async fn files_are_read_no_further_than_their_reader_has_come() {
    for kind in KINDS {
        let (folder, log) = (Folder::new(&format!("slow-{kind:?}")), Log::new());
        write(&folder, 1, LENGTH, 0);
        let layer = ConditionalLayer::new()
            .buffer_limit(LIMIT)
            .inner_tags(InnerTags::replace().trust_dates(true));
        let mut service = layer.layer(kind.serve(&folder.0, &log));
        let request = Request::builder().uri(PATH).body(Empty::<Bytes>::new()).unwrap();
        let mut body = within(service.call(request)).await.unwrap().into_body();
        assert_eq!(log.polls(), 0, "the head waits for nothing");
        let mut bytes = 0;
        while let Some(frame) = within(body.frame()).await {
            bytes += frame.unwrap().into_data().unwrap().len();
            assert_eq!(log.bytes(), bytes, "nothing is read ahead");
        }
        assert_eq!(bytes, LENGTH);
    }
}
