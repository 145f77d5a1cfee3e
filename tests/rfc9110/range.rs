//! What the stream features should do, and do not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    convert::Infallible,
    future::ready,
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::{body::Body as AxumBody, routing::get, Router};
use http::{Request, Response, Version};
use http_body::Body;
use tower::{service_fn, Layer};
use tower_conditional::{ConditionalLayer, EntityTag, InnerTags};

use self::{
    ask::{date, IMS, INM, LM},
    script::{content, data, trailers, Step},
    site::{Site, OWN},
};

#[allow(dead_code)]
mod ask;
#[allow(dead_code)]
mod net;
#[allow(dead_code)]
mod script;
#[allow(dead_code)]
mod site;

fn tag_of(steps: &[Step]) -> String {
    EntityTag::of(&content(steps)).to_string()
}

/// Twelve octets, and twelve others.
fn one() -> Vec<Step> {
    vec![Step::Data("aaaaaaaaaaaa".into())]
}

fn two() -> Vec<Step> {
    vec![Step::Data("bbbbbbbbbbbb".into())]
}

fn three() -> Vec<Step> {
    vec![Step::Data("ccccccccccccccc".into())]
}

// 1. Dates where the inner tag is replaced.

#[test]
fn a_change_within_one_second_gives_no_304_by_date_before_its_tag_is_learnt() {
    // The same with and without `replace_inner_tags`: the inner tag says that the content changed.
    for replaces in [false, true] {
        let site = Site::new(|layer| {
            layer.inner_tags(if replaces { InnerTags::Replace } else { InnerTags::Keep })
        });
        let changed = date(5);
        site.answers(&[("etag", "\"a\""), (LM, &changed)], &one(), Some(12));
        assert_eq!(site.ask("GET", &[]).line(LM), Some(&*changed));
        site.answers(&[("etag", "\"b\""), (LM, &changed)], &three(), Some(15));
        site.ask("GET", &[]);
        let seen = site.ask("GET", &[(IMS, &changed)]);
        assert_eq!(
            (seen.status(), seen.content()),
            (200, content(&three())),
            "replaces: {replaces}"
        );
    }
}

#[test]
fn a_change_within_one_second_gives_no_304_by_date_once_its_tag_is_learnt() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
    let changed = date(5);
    site.answers(&[("etag", "\"a\""), (LM, &changed)], &one(), Some(12));
    site.break_off(&[]);
    site.answers(&[("etag", "\"b\""), (LM, &changed)], &two(), Some(12));
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*tag_of(&two())));
    assert_eq!(site.ask("GET", &[(IMS, &changed)]).status(), 200);
}

#[test]
fn a_download_that_broke_off_is_not_resumed_by_date_with_another_version() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace).ranges(true));
    let changed = date(5);
    // The client takes some octets of the first version, and its date.
    site.answers(&[("etag", "\"a\""), (LM, &changed)], &one(), Some(12));
    site.break_off(&[]);
    site.answers(&[("etag", "\"b\""), (LM, &changed)], &two(), Some(12));
    site.ask("GET", &[]);
    let seen = site.ask("GET", &[("range", "bytes=7-"), ("if-range", &changed)]);
    assert_eq!((seen.status(), seen.content()), (200, content(&two())), "two versions in one file");
}

#[test]
fn learning_a_tag_leaves_clients_that_know_only_dates_their_304() {
    for learns in [false, true] {
        let site = Site::new(|layer| {
            layer.inner_tags(if learns { InnerTags::Learn } else { InnerTags::Keep })
        });
        let changed = date(0);
        site.answers(&[("etag", OWN), (LM, &changed)], &one(), Some(12));
        site.ask("GET", &[]);
        site.ask("GET", &[]);
        assert_eq!(site.ask("GET", &[(IMS, &changed)]).status(), 304, "learns: {learns}");
    }
}

#[test]
fn a_minted_date_survives_that_the_tag_is_learnt() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn));
    site.ask("GET", &[]);
    site.ask("GET", &[]);
    site.at(20);
    let minted = site.ask("GET", &[]).line(LM).unwrap().to_owned();
    for second in 20..30 {
        site.at(second);
        // One client still holds the inner tag.
        site.ask("GET", &[(INM, OWN)]);
        assert_eq!(
            site.ask("GET", &[]).line(LM),
            Some(&*minted),
            "the content never changed ({second})"
        );
    }
}

// 2. Learning and ranges.

#[test]
fn tags_are_learnt_where_ranges_are_served_too() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn).ranges(true));
    site.answers(&[("etag", OWN)], &one(), Some(12));
    assert_eq!(site.ask("GET", &[]).content(), content(&one()));
    assert_eq!(site.ask("GET", &[]).line("etag"), Some(&*tag_of(&one())), "all of it was sent");
}

// 3. Weak tags.

#[test]
fn a_tag_in_the_trailer_is_as_weak_as_one_in_the_head() {
    for compressed in [false, true] {
        let site = Site::new(|layer| {
            let layer = layer.trailer_tags(true);
            if compressed {
                layer.behind_compression(true)
            } else {
                layer.weak(true)
            }
        });
        site.answers(&[], &one(), None);
        let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
        assert_eq!(
            seen.trailer(),
            Some(&*format!("W/{}", tag_of(&one()))),
            "compressed: {compressed}"
        );
    }
}

// 4. Dates as evidence.

#[test]
fn a_weak_tag_that_changed_says_that_the_content_did() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace).trust_inner_dates(true));
    let changed = date(0);
    site.answers(&[("etag", "W/\"1\""), (LM, &changed)], &one(), Some(12));
    site.ask("GET", &[]);
    let held = site.ask("GET", &[]).line("etag").unwrap().to_owned();
    site.answers(&[("etag", "W/\"2\""), (LM, &changed)], &two(), Some(12));
    assert_eq!(site.ask("GET", &[(INM, &held)]).status(), 200);
}

// 5. What keeps from tagging.

#[test]
fn what_must_not_be_tagged_has_no_learnt_tag() {
    for (name, text) in [("cache-control", "no-store"), ("", "")] {
        let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn));
        site.ask("GET", &[]);
        assert_ne!(site.ask("GET", &[]).line("etag"), Some(OWN));
        if name.is_empty() {
            site.origin.borrow_mut().untagged = true;
        } else {
            site.answers(&[("etag", OWN), (name, text)], &[data(5), data(7)], Some(12));
        }
        assert_eq!(site.ask("GET", &[]).line("etag"), Some(OWN), "{name}");
    }
}

// 6. Ranges.

#[test]
fn a_part_of_chunked_content_has_one_way_to_tell_its_end() {
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    site.answers(&[("transfer-encoding", "chunked")], &one(), None);
    let seen = site.ask("GET", &[("range", "bytes=3-6")]);
    assert_eq!(seen.status(), 206);
    assert_eq!((seen.line("content-length"), seen.line("transfer-encoding")), (Some("4"), None));
}

/// GETs `/` from Axum, whose handler answers as a reverse proxy does that hands on what Hyper's client got.
fn first_line(adjust: impl FnOnce(Router) -> Router, fields: &'static str) -> String {
    let handler = || async {
        Response::builder().header("transfer-encoding", "chunked").body(unsized_body()).unwrap()
    };
    let router = adjust(Router::new().route("/", get(handler)));
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(net::axum(router).await).await.unwrap();
        let text = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).lines().next().unwrap_or("no answer").to_owned()
    })
}

#[test]
fn a_proxied_chunked_response_arrives() {
    assert_eq!(first_line(|router| router, ""), "HTTP/1.1 200 OK");
    assert_eq!(first_line(|router| router.layer(ConditionalLayer::new()), ""), "HTTP/1.1 200 OK");
}

#[test]
fn a_chunked_response_arrives_from_hyper_alone() {
    let lines =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
            let inner = service_fn(|_: Request<hyper::body::Incoming>| {
                ready(Ok::<_, Infallible>(
                    Response::builder()
                        .header("transfer-encoding", "chunked")
                        .body(unsized_body())
                        .unwrap(),
                ))
            });
            let layer = ConditionalLayer::new().ranges(true);
            let address = net::hyper(Version::HTTP_11, layer.layer(inner)).await;
            let mut lines = Vec::new();
            for fields in ["", "range: bytes=0-1\r\n"] {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let text =
                    format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                lines.push(
                    String::from_utf8_lossy(&answer)
                        .lines()
                        .next()
                        .unwrap_or("no answer")
                        .to_owned(),
                );
            }
            lines
        });
    assert_eq!(lines, ["HTTP/1.1 200 OK", "HTTP/1.1 206 Partial Content"]);
}

#[test]
fn a_reverse_proxy_works_through_the_layer() {
    // The one of Axum's examples: what the upstream answers is handed on as it came.
    for layered in [false, true] {
        let failed = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async {
                let upstream =
                    net::axum(Router::new().route("/", get(|| async { unsized_body() }))).await;
                let client = hyper_util::client::legacy::Client::builder(
                    hyper_util::rt::TokioExecutor::new(),
                )
                .build::<_, AxumBody>(hyper_util::client::legacy::connect::HttpConnector::new());
                let handler = move || {
                    let client = client.clone();
                    async move {
                        let request = Request::builder()
                            .uri(format!("http://{upstream}/"))
                            .body(AxumBody::empty())
                            .unwrap();
                        client.request(request).await.unwrap().map(AxumBody::new)
                    }
                };
                let router = Router::new().route("/", get(handler));
                let layer = ConditionalLayer::new();
                let address = net::axum(if layered { router.layer(layer) } else { router }).await;
                let client = hyper_util::client::legacy::Client::builder(
                    hyper_util::rt::TokioExecutor::new(),
                )
                .build::<_, AxumBody>(hyper_util::client::legacy::connect::HttpConnector::new());
                let mut failed = 0;
                for _ in 0..50 {
                    failed += u32::from(
                        client.get(format!("http://{address}/").parse().unwrap()).await.is_err(),
                    );
                }
                failed
            });
        assert_eq!(failed, 0, "of 50; layered: {layered}");
    }
}

#[test]
fn a_part_of_a_proxied_chunked_response_arrives() {
    let layer = ConditionalLayer::new().ranges(true);
    assert_eq!(
        first_line(|router| router.layer(layer), "range: bytes=0-1\r\n"),
        "HTTP/1.1 206 Partial Content"
    );
}

fn unsized_body() -> AxumBody {
    let frames =
        [Ok::<_, Infallible>(http_body::Frame::data(bytes::Bytes::from_static(b"content")))];
    AxumBody::new(http_body_util::StreamBody::new(tokio_stream::iter(frames)))
}

#[test]
fn a_part_announces_no_trailers_that_it_does_not_have() {
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    site.answers(&[("trailer", "x-sum"), ("content-length", "12")], &[data(12), trailers()], None);
    let seen = site.ask("GET", &[("range", "bytes=3-6")]);
    assert_eq!((seen.status(), seen.line("trailer")), (206, None));
}

#[test]
fn the_end_of_nothing_is_all_of_it() {
    // RFC 9110, 14.1.2: a suffix range is satisfiable if its length is not zero.
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    site.answers(&[], &[], Some(0));
    assert_eq!(site.ask("GET", &[("range", "bytes=-5")]).status(), 200);
}

#[test]
fn a_head_says_that_parts_may_be_asked_for() {
    let site = Site::new(|layer| layer.ranges(true).buffer_limit(100));
    site.answers(&[("content-length", "12")], &one(), Some(12));
    assert_eq!(site.ask("GET", &[]).line("accept-ranges"), Some("bytes"));
    assert_eq!(site.ask("HEAD", &[]).line("accept-ranges"), Some("bytes"));
}

#[test]
fn a_range_is_judged_after_the_preconditions() {
    // The client holds all of it, and asks for more with the tag it has: 304 (RFC 9110, 13.2.2 and 14.2).
    for learns in [false, true] {
        let site = Site::new(|layer| {
            layer.inner_tags(if learns { InnerTags::Learn } else { InnerTags::Keep })
        });
        site.answers(&[("etag", OWN)], &one(), Some(12));
        site.ask("GET", &[]);
        site.ask("GET", &[]);
        // A file server: it answers 416 unless the preconditions come first.
        let answer = || {
            site.origin.borrow_mut().status = 416;
            site.answers(&[("content-range", "bytes */12")], &[], Some(0));
        };
        answer();
        site.ask("GET", &[("range", "bytes=12-"), (INM, OWN)]);
        assert!(site.shows(INM) || !site.shows("range"), "learns: {learns}");
    }
}

// 7. Suffixes.

#[test]
fn an_inner_tag_with_a_suffix_is_still_the_inner_tag() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Learn).ignore_tag_suffixes(["-gzip"]));
    let held = "\"own-gzip\"";
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[(INM, held)]).status(), 304);
}

// 8. Keys.

// 9. Writes.

#[test]
fn content_that_ends_with_an_error_teaches_nothing() {
    // Such as a checksum that is wrong.
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
    site.answers(&[("etag", OWN)], &[data(12), Step::Error(7)], Some(12));
    assert_eq!(site.ask("GET", &[]).frames.last(), Some(&Step::Error(7)));
    site.answers(&[("etag", OWN)], &one(), Some(12));
    assert_eq!(site.ask("GET", &[]).line("etag"), None);
}

#[test]
fn content_longer_than_its_head_says_teaches_nothing() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
    site.answers(&[("etag", OWN), ("content-length", "12")], &[data(12), data(5)], None);
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[]).line("etag"), None);
}

#[test]
fn a_smaller_body_than_its_hint_teaches_nothing() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::Replace));
    site.origin.borrow_mut().least = 20;
    site.answers(&[("etag", OWN)], &one(), None);
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[]).line("etag"), None);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1500))]

    #[test]
    fn a_body_says_of_itself_what_is_true(
        lens in proptest::collection::vec(0..90_000_usize, 0..14),
        end in 0..3,
        tells_size in proptest::bool::ANY,
        tells_end in proptest::bool::ANY,
        own in proptest::bool::ANY,
        limit in 0..200_000_usize,
        replaces in proptest::bool::ANY,
        ranges in proptest::bool::ANY,
        version in 0..2,
        range in proptest::option::of((0..400_000_u64, 0..400_000_u64)),
    ) {
        let mut steps: Vec<_> = lens.iter().flat_map(|&len| [data(len), Step::Yield]).collect();
        steps.pop();
        if end == 1 {
            steps.push(trailers());
        }
        if end == 2 {
            steps.push(Step::Error(7));
        }
        let all = content(&steps);
        let site = Site::new(|layer| {
            layer.inner_tags(if replaces { InnerTags::Replace } else { InnerTags::Learn }).trailer_tags(true).ranges(ranges).buffer_limit(limit)
        });
        site.origin.borrow_mut().tells_end = tells_end;
        for _ in 0..2 {
            let etag = [("etag", OWN)];
            site.answers(if own { &etag } else { &[] }, &steps, tells_size.then_some(all.len() as u64));
            let mut request = Request::builder().uri("/").header("te", "trailers");
            request = request.version(if version == 0 { Version::HTTP_2 } else { Version::HTTP_11 });
            if let Some((first, last)) = range {
                request = request.header("range", format!("bytes={first}-{last}"));
            }
            let (head, body) = site.head(request.body(()).unwrap()).into_parts();
            let mut body = pin!(body);
            let mut cx = Context::from_waker(Waker::noop());
            let (mut octets, mut promised, mut erred, mut trailed) = (Vec::new(), None, false, 0);
            loop {
                let hint = body.size_hint();
                if let Some(exact) = hint.exact() {
                    let all = *promised.get_or_insert(exact + octets.len() as u64);
                    proptest::prop_assert_eq!(all, exact + octets.len() as u64);
                }
                let ended = body.is_end_stream();
                match body.as_mut().poll_frame(&mut cx) {
                    Poll::Pending => proptest::prop_assert!(!ended),
                    Poll::Ready(None) => break,
                    Poll::Ready(Some(frame)) => {
                        proptest::prop_assert!(!ended, "there was more");
                        match frame {
                            Err(_) => { erred = true; break }
                            Ok(frame) => match frame.into_data() {
                                Ok(data) => { proptest::prop_assert_eq!(trailed, 0); octets.extend_from_slice(&data) }
                                Err(_) => trailed += 1,
                            },
                        }
                    }
                }
            }
            if !erred {
                proptest::prop_assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(None)));
                proptest::prop_assert!(body.size_hint().lower() == 0);
            }
            let whole = match head.status.as_u16() {
                206 => {
                    let text = head.headers["content-range"].to_str().unwrap();
                    let (span, _) = text.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
                    let (first, last) = span.split_once('-').unwrap();
                    all[first.parse().unwrap()..=last.parse::<usize>().unwrap()].to_vec()
                }
                416 => Vec::new(),
                _ => all.clone(),
            };
            if erred {
                proptest::prop_assert!(whole.starts_with(&octets));
            } else {
                proptest::prop_assert_eq!(octets.len(), whole.len());
                proptest::prop_assert!(octets == whole);
            }
            proptest::prop_assert!(trailed <= 1);
            if let Some(length) = head.headers.get("content-length") {
                proptest::prop_assert_eq!(length.to_str().unwrap(), whole.len().to_string());
            }
        }
    }
}
