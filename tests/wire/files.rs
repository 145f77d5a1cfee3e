//! Large content as users have it: files served by `ServeDir`, upstreams behind a proxy, streams with trailers; over real
//! connections.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    convert::Infallible,
    fs,
    future::ready,
    net::SocketAddr,
    path::Path,
    process::Output,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, Mutex,
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::{
    header::{CONTENT_LENGTH, ETAG},
    HeaderMap, HeaderName, HeaderValue, Request, Response, Version,
};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::{body::Incoming, client};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, process::Command, sync::mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::{service_fn, Layer, Service};
use tower_conditional::{ConditionalLayer, EntityTag, InnerTags};

use self::{
    narrow::{ask, get, leave, serve, watched, Answer, Fields, Inner, Log, BOTH, UNDER_WAY},
    net::{within, Folder},
};

mod narrow;
#[allow(dead_code)]
mod net;

const INM: &str = "if-none-match";
const IMS: &str = "if-modified-since";
const LM: &str = "last-modified";
const PATH: &str = "/file.bin";

/// When the files here are made: some second of 2026.
const MADE: u64 = 1_780_000_000;
const LENGTH: usize = 40_000;
const LIMIT: usize = 1024;

/// Which `ServeDir`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Of tower-http 0.6: it gives dates only.
    Dates,
    /// Of tower-http 0.7: it gives tags, made of date and length.
    Tags,
}

const KINDS: [Kind; 2] = [Kind::Dates, Kind::Tags];

impl Kind {
    fn serve<R: Send + 'static>(self, folder: &Path, log: &Arc<Log>) -> Inner<R> {
        match self {
            Self::Dates => watched(
                tower_http_06::services::ServeDir::new(folder).with_buf_chunk_size(LIMIT),
                log,
            ),
            Self::Tags => {
                watched(tower_http::services::ServeDir::new(folder).with_buf_chunk_size(LIMIT), log)
            }
        }
    }
}

/// A server of one file, over both versions of HTTP.
struct Site {
    folder: Folder,
    log: Arc<Log>,
    /// Seconds since 1970.
    clock: Arc<AtomicU64>,
    addresses: [SocketAddr; 2],
}

impl Site {
    async fn new(
        kind: Kind,
        name: &str,
        adjust: impl FnOnce(ConditionalLayer) -> ConditionalLayer,
    ) -> Self {
        let (folder, log) = (Folder::new(&format!("{name}-{kind:?}")), Log::new());
        let (clock, layer) = clocked();
        let layer = layer.buffer_limit(LIMIT).trust_inner_dates(kind == Kind::Dates);
        let service = adjust(layer).layer(kind.serve(&folder.0, &log));
        let addresses = [serve(BOTH[0], service.clone()).await, serve(BOTH[1], service).await];
        Self { folder, log, clock, addresses }
    }

    async fn replacing(kind: Kind, name: &str) -> Self {
        Self::new(kind, name, |layer| layer.inner_tags(InnerTags::Replace).ranges(true)).await
    }

    /// Puts another version of the file there, made `after` so many milliseconds.
    fn put(&self, version: u64, after: u64) {
        self.put_of(version, LENGTH, after);
    }

    fn put_of(&self, version: u64, length: usize, after: u64) {
        write(&self.folder, version, length, after);
    }

    fn is_at(&self, after: u64) {
        self.clock.store(MADE + after, Ordering::Relaxed);
    }

    fn address(&self, version: Version) -> SocketAddr {
        self.addresses[usize::from(version == Version::HTTP_2)]
    }

    async fn get(&self, version: Version, fields: Fields<'_>) -> Answer {
        self.ask(version, "GET", fields).await
    }

    async fn ask(&self, version: Version, method: &str, fields: Fields<'_>) -> Answer {
        ask(version, self.address(version), method, PATH, fields).await
    }
}

/// Writes a version of the file, as it would have been `after` so many milliseconds.
fn write(folder: &Folder, version: u64, length: usize, after: u64) {
    let path = folder.0.join(&PATH[1..]);
    fs::write(&path, content(version, length)).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_millis(MADE * 1000 + after)).unwrap();
}

/// A layer with a clock that is set by hand; it stands a day after the files were made.
fn clocked() -> (Arc<AtomicU64>, ConditionalLayer) {
    let clock = Arc::new(AtomicU64::new(MADE + 86_400));
    let seconds = Arc::clone(&clock);
    let now = move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed));
    (clock, ConditionalLayer::new().clock(now))
}

/// Content that tells its versions apart everywhere.
fn content(version: u64, length: usize) -> Vec<u8> {
    let mut numbers = numbers(version);
    std::iter::repeat_with(|| numbers().to_le_bytes()).flatten().take(length).collect()
}

/// Numbers as if by chance, the same each time.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn tag(version: u64) -> String {
    EntityTag::of(&content(version, LENGTH)).to_string()
}

fn date(after: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(MADE + after))
}

/// Says whether all of that version came, and with which tag.
#[track_caller]
fn assert_whole(answer: &Answer, version: u64, etag: Option<&str>) {
    assert_eq!((answer.status, answer.is_whole), (200, true));
    assert!(answer.content == content(version, LENGTH), "{:?}", answer.headers);
    assert_eq!(answer.etag(), etag);
}

#[tokio::test]
async fn a_file_is_known_after_one_transfer_and_not_read_again() {
    for (kind, first) in KINDS.into_iter().flat_map(|kind| BOTH.map(|first| (kind, first))) {
        let site = Site::replacing(kind, "known").await;
        site.put(1, 0);
        assert_whole(&site.get(first, &[]).await, 1, None);
        let ours = tag(1);
        for version in BOTH {
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
            assert_eq!(site.log.polls(), polls, "not one octet was read");
            let head = site.ask(version, "HEAD", &[]).await;
            assert_eq!((head.etag(), head.field("content-length")), (Some(&*ours), Some("40000")));
            let miss = [(INM, "\"x\""), (IMS, &*date(0))];
            assert_whole(&site.get(version, &miss).await, 1, Some(&ours));
        }
        site.log.gone().await;
    }
}

#[tokio::test]
async fn a_client_may_hold_the_file_servers_tag_while_the_layers_is_learnt() {
    let site = Site::new(Kind::Tags, "both", |layer| layer.inner_tags(InnerTags::Learn)).await;
    site.put(1, 0);
    let first = site.get(BOTH[0], &[]).await;
    let own = first.etag().unwrap().to_owned();
    assert_whole(&first, 1, Some(&own));
    for version in BOTH {
        assert_whole(&site.get(version, &[]).await, 1, Some(&tag(1)));
        for held in [&own, &tag(1)] {
            let answer = site.get(version, &[(INM, held)]).await;
            assert_eq!((answer.status, answer.etag()), (304, Some(&**held)));
        }
    }
}

#[tokio::test]
async fn a_file_changed_in_place_has_another_tag() {
    for (kind, version) in KINDS.into_iter().flat_map(|kind| BOTH.map(|version| (kind, version))) {
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
async fn a_file_changed_twice_within_a_second_never_has_a_stale_tag() {
    for (kind, version) in KINDS.into_iter().flat_map(|kind| BOTH.map(|version| (kind, version))) {
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
async fn a_rollback_to_an_older_file_is_seen_by_tag_and_by_date() {
    for (kind, version) in KINDS.into_iter().flat_map(|kind| BOTH.map(|version| (kind, version))) {
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
async fn replicas_give_copies_the_same_tag_once_they_know_them() {
    let one = Site::replacing(Kind::Tags, "replica-1").await;
    let two = Site::replacing(Kind::Tags, "replica-2").await;
    let three = Site::replacing(Kind::Dates, "replica-3").await;
    for (site, after) in [(&one, 0), (&two, 5_000), (&three, 9_000)] {
        site.put(1, after);
        site.get(BOTH[0], &[]).await;
    }
    for (site, version) in
        [&one, &two, &three].into_iter().flat_map(|site| BOTH.map(|version| (site, version)))
    {
        assert_whole(&site.get(version, &[]).await, 1, Some(&tag(1)));
        assert_eq!(site.get(version, &[(INM, &tag(1))]).await.status, 304);
    }
}

#[tokio::test]
async fn a_download_goes_on_at_another_replica() {
    for (kind, version) in KINDS.into_iter().flat_map(|kind| BOTH.map(|version| (kind, version))) {
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
async fn the_halves_of_two_versions_are_never_put_together() {
    for (kind, version) in KINDS.into_iter().flat_map(|kind| BOTH.map(|version| (kind, version))) {
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
async fn curl_resumes_a_download_and_never_mends_it_with_another_version() {
    if curl(&["--version"]).await.is_none() {
        eprintln!("curl is not installed: left out");
        return;
    }
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
                .unwrap()
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
                // It ends with 33 when it gets the whole and not the rest; behind that, the file may be known.
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
            for (condition, refusal) in [(&if_range, 33), (&if_match, 22)] {
                let done = resume(condition).await;
                assert!(
                    done == Some(refusal) || done == Some(33) && !is_known,
                    "{kind:?} {condition}: {done:?}"
                );
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
            assert_eq!(curl(&write).await.unwrap().stdout, status.as_bytes());
        }
        assert!(fs::read(file).unwrap() == content(2, LENGTH));
    }
}

/// The authority is part of what names a resource.
const HOST: &str = "host: watch";

/// Runs curl, if it is there.
async fn curl(arguments: &[&str]) -> Option<Output> {
    within(Command::new("curl").args(arguments).output()).await.ok()
}

#[tokio::test]
async fn a_transfer_that_breaks_off_anywhere_teaches_nothing_and_leaves_nothing_behind() {
    const LARGE: usize = 2 * UNDER_WAY;
    let mut chance = numbers(7);
    for (kind, version) in KINDS.into_iter().flat_map(|kind| BOTH.map(|version| (kind, version))) {
        let site = Site::replacing(kind, "cut").await;
        for round in 1..=3 {
            site.put_of(round, LARGE, round * 5_000);
            let whole = content(round, LARGE);
            // So far the client gets, or the file server.
            let at = usize::try_from(chance()).unwrap() % (LARGE / 3) + 1;
            let before = site.log.octets();
            leave(version, site.address(version), PATH, at).await;
            site.log.gone().await;
            let read = site.log.octets() - before;
            assert!(
                read <= at + UNDER_WAY,
                "{kind:?} {version:?}: {read} octets were read for {at}"
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

#[tokio::test]
async fn a_file_is_read_no_further_than_its_reader_has_come() {
    for kind in KINDS {
        let (folder, log) = (Folder::new(&format!("slow-{kind:?}")), Log::new());
        write(&folder, 1, LENGTH, 0);
        let layer = ConditionalLayer::new()
            .buffer_limit(LIMIT)
            .inner_tags(InnerTags::Replace)
            .trust_inner_dates(true);
        let mut service = layer.layer(kind.serve(&folder.0, &log));
        let request = Request::builder().uri(PATH).body(Empty::<Bytes>::new()).unwrap();
        let mut body = within(service.call(request)).await.unwrap().into_body();
        assert_eq!(log.polls(), 0, "the head waits for nothing");
        let mut octets = 0;
        while let Some(frame) = within(body.frame()).await {
            octets += frame.unwrap().into_data().unwrap().len();
            assert_eq!(log.octets(), octets, "nothing is read ahead");
        }
        assert_eq!(octets, LENGTH);
    }
}

#[tokio::test]
async fn the_first_octets_of_what_is_learnt_come_before_the_others_are_there() {
    for version in BOTH {
        let (feed, frames) = mpsc::unbounded_channel();
        let frames = Arc::new(Mutex::new(Some(frames)));
        let inner = service_fn(move |_: Request<Incoming>| {
            let frames = UnboundedReceiverStream::new(frames.lock().unwrap().take().unwrap());
            let response =
                Response::builder().header(ETAG, "\"own\"").header(CONTENT_LENGTH, LENGTH);
            ready(Ok::<_, Infallible>(response.body(StreamBody::new(frames)).unwrap()))
        });
        let log = Log::new();
        let layer = ConditionalLayer::new().buffer_limit(LIMIT).inner_tags(InnerTags::Learn);
        let address = serve(version, layer.layer(watched(inner, &log))).await;
        feed.send(Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"first")))).unwrap();
        let answer = leave(version, address, PATH, 5).await;
        assert_eq!((answer.etag(), &answer.content[..]), (Some("\"own\""), &b"first"[..]));
        // The client has left, and so the body that waits goes.
        log.gone().await;
        assert!(feed.is_closed());
    }
}

#[tokio::test]
async fn what_comes_from_an_upstream_is_learnt_too() {
    for version in BOTH {
        for is_chunked in [false, true] {
            let (folder, log) = (Folder::new(&format!("upstream-{is_chunked}")), Log::new());
            write(&folder, 1, LENGTH, 0);
            let origin = match is_chunked {
                false => Kind::Tags.serve(&folder.0, &log),
                true => watched(service_fn(|_: Request<Incoming>| ready(Ok(chunked()))), &log),
            };
            let origin = serve(Version::HTTP_11, origin).await;
            let (_, layer) = clocked();
            let layer = layer.buffer_limit(LIMIT).inner_tags(InnerTags::Replace);
            let address =
                serve(version, layer.layer(service_fn(move |request| pass_on(origin, request))))
                    .await;

            log.break_at(LENGTH / 2);
            let broken = get(version, address, PATH, &[]).await;
            assert!(!broken.is_whole && broken.etag().is_none(), "{version:?} {is_chunked}");
            log.break_at(usize::MAX);
            for etag in [None, Some(&*tag(1))] {
                let answer = get(version, address, PATH, &[]).await;
                assert_whole(&answer, 1, etag);
                assert_eq!(answer.field("content-length").is_none(), is_chunked, "{version:?}");
            }
            let answer = get(version, address, PATH, &[(INM, &tag(1))]).await;
            assert_eq!((answer.status, answer.is_whole), (304, true), "{version:?} {is_chunked}");
            log.gone().await;
        }
    }
}

/// Answers with a tag and content of unknown length.
fn chunked() -> Response<StreamBody<impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>> {
    let frames: Vec<_> = content(1, LENGTH)
        .chunks(999)
        .map(Bytes::copy_from_slice)
        .map(Frame::data)
        .map(Ok)
        .collect();
    Response::builder()
        .header(ETAG, "\"upstream\"")
        .body(StreamBody::new(stream::iter(frames)))
        .unwrap()
}

/// Does what a reverse proxy does.
async fn pass_on(
    origin: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Infallible> {
    let (head, _) = request.into_parts();
    let stream = TcpStream::connect(origin).await.unwrap();
    let (mut sender, connection) =
        client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::builder().method(head.method).uri(head.uri.path()).header("host", "origin");
    Ok(sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap())
}

#[tokio::test]
async fn a_client_that_reads_trailers_learns_the_tag_and_revalidates() {
    let whole = content(1, 5 * LIMIT);
    let tag = EntityTag::of(&whole).to_string();
    for (name, version, te) in [
        ("octets", Version::HTTP_11, &[("te", "trailers")][..]),
        ("Hyper", Version::HTTP_11, &[("te", "trailers")]),
        ("Hyper", Version::HTTP_2, &[]),
        ("no trailers asked for", Version::HTTP_11, &[]),
    ] {
        let is_slow = Arc::new(AtomicBool::new(true));
        let frames: Vec<_> = whole.chunks(LIMIT).map(Bytes::copy_from_slice).collect();
        let inner = service_fn(move |_: Request<Incoming>| {
            // The first time, nothing is ready in time.
            let is_slow = is_slow.swap(false, Ordering::Relaxed);
            let frames = stream::iter(frames.clone())
                .map(Frame::data)
                .chain(stream::iter([Frame::trailers(sum())]));
            let frames = frames.then(move |frame| async move {
                for _ in 0..3 * usize::from(is_slow) {
                    tokio::task::yield_now().await;
                }
                Ok::<_, Infallible>(frame)
            });
            let response = Response::builder()
                .header("trailer", "x-sum")
                .body(StreamBody::new(Box::pin(frames)));
            ready(Ok::<_, Infallible>(response.unwrap()))
        });
        let layer = ConditionalLayer::new().trailer_tags(true);
        let address = serve(version, layer.layer(inner)).await;
        let answer = match (name, version) {
            ("Hyper", Version::HTTP_11) => by_hyper(address, te).await,
            _ => get(version, address, PATH, te).await,
        };
        assert_eq!(
            (answer.status, answer.is_whole, answer.etag()),
            (200, true, None),
            "{name} {version:?}"
        );
        assert!(answer.content == whole, "{name} {version:?}");
        let trailers = |name| {
            answer.trailers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned())
        };
        if te.is_empty() && version == Version::HTTP_11 {
            assert!(answer.trailers.is_empty());
            continue;
        }
        assert_eq!(
            (trailers("etag"), trailers("x-sum")),
            (Some(tag.clone()), Some("7".to_owned())),
            "{name} {version:?}"
        );
        let lines: Vec<_> =
            answer.headers.get_all("trailer").iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(lines.join(", "), "x-sum, etag", "{name} {version:?}");

        let again = get(version, address, PATH, &[(INM, &trailers("etag").unwrap())]).await;
        assert_eq!((again.status, again.etag()), (304, Some(&*tag)), "{name} {version:?}");
    }
}

#[tokio::test]
async fn a_file_of_known_length_has_its_tag_behind_it_over_http2() {
    let (folder, log) = (Folder::new("behind"), Log::new());
    write(&folder, 1, LENGTH, 0);
    for (version, expected) in BOTH.into_iter().zip([None, Some(&*tag(1))]) {
        let (files, layer) =
            (Kind::Dates.serve(&folder.0, &log), ConditionalLayer::new().trailer_tags(true));
        let address = serve(version, layer.buffer_limit(LIMIT).layer(files.clone())).await;
        let answer = get(version, address, PATH, &[("te", "trailers")]).await;
        assert_whole(&answer, 1, None);
        assert_eq!(answer.field("content-length"), Some("40000"));
        assert_eq!(
            answer.trailers.get("etag").map(|tag| tag.to_str().unwrap()),
            expected,
            "{version:?}"
        );

        // A server that reads it ahead knows that tag.
        let address = serve(version, ConditionalLayer::new().layer(files)).await;
        assert_eq!(get(version, address, PATH, &[(INM, &tag(1))]).await.status, 304);
    }
    log.gone().await;
}

fn sum() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))])
}

/// GETs with Hyper's client for HTTP/1.1.
async fn by_hyper(address: SocketAddr, fields: Fields<'_>) -> Answer {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri(PATH).header("host", "watch");
    let request =
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = within(body.collect()).await.unwrap();
    let (status, headers, trailers) =
        (head.status.as_u16(), head.headers, body.trailers().cloned().unwrap_or_default());
    Answer { status, headers, content: body.to_bytes().to_vec(), trailers, is_whole: true }
}

#[tokio::test]
async fn a_date_proves_nothing_where_the_file_servers_tag_says_otherwise() {
    for version in BOTH {
        for learns in [true, false] {
            let site = Site::new(Kind::Tags, "same-second", |layer| match learns {
                true => layer.inner_tags(InnerTags::Learn),
                false => layer.inner_tags(InnerTags::Replace),
            });
            let site = site.await;
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
            // Where a second has one content, a date proves it, before its tag is known and afterwards.
            site.put(3, 60_000);
            site.is_at(86_400);
            for _ in 0..2 {
                site.get(version, &[]).await;
                assert_eq!(
                    site.get(version, &[(IMS, &date(60))]).await.status,
                    304,
                    "{version:?} {learns}"
                );
            }
        }
    }
}
