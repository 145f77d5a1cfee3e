//! What a `WriteGuard` does with the content of a write: when it counts as whole, how
//! slowly it may come, what memory it takes, and what becomes of it if it is refused.

use std::{
    convert::Infallible,
    future::ready,
    io,
    pin::Pin,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Arc, Mutex,
    },
    task::{self, Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{advance, sleep, timeout, Instant},
};
use tower::{limit::ConcurrencyLimit, service_fn, Layer, ServiceExt};
use tower_conditional::{ConditionalLayer, Outcome};
use tower_http::{compression::CompressionLayer, decompression::RequestDecompressionLayer};

use crate::support::{
    guarded::{boxed, guarded, App},
    harness::{reply, request, streamed, tag, Lines, IM, INM},
    note::put,
    wire::{fed, Feed},
};

const HOLDS: Lines<'_> = &[(IM, "\"1\"")];
const FAILS: Lines<'_> = &[(IM, "\"2\"")];

fn send_piece(feed: &Feed, bytes: usize) -> bool {
    feed.send(Ok(Frame::data(vec![b'x'; bytes].into()))).is_ok()
}

/// Has a feed send so many bytes again and again, and then stay open, until its body is
/// dropped.
fn keep_sending(feed: Feed, pieces: usize, bytes: usize, every: Duration) {
    tokio::spawn(async move {
        for _ in 0..pieces {
            sleep(every).await;
            if !send_piece(&feed, bytes) {
                return;
            }
        }
        feed.closed().await;
    });
}

/// A body that says how many bytes are still to come, and is fed.
struct Promising {
    body: Body,
    length: u64,
}

impl HttpBody for Promising {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.length = self.length.saturating_sub(data.map_or(0, Bytes::len) as u64);
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

fn promising(length: u64, first: &'static str) -> (Feed, Body) {
    let (feed, body) = fed(first);
    (feed, Body::new(Promising { body, length }))
}

/// The content of writes that a handler got: all of it, or the part before an error.
#[derive(Clone, Default)]
struct Got(Arc<Mutex<Vec<Result<String, String>>>>);

impl Got {
    fn service(&self) -> App {
        self.with(&[("etag", "\"1\"")])
    }

    /// The same without a tag of its own.
    fn tagless(&self) -> App {
        self.with(&[])
    }

    fn with(&self, fields: Lines<'static>) -> App {
        let got = self.clone();
        boxed(service_fn(move |request: Request<Body>| {
            let got = got.clone();
            async move {
                if request.method() == Method::GET {
                    return Ok::<_, Infallible>(reply(200, fields, "old"));
                }
                let (mut body, mut content) = (request.into_body(), String::new());
                let whole = loop {
                    match body.frame().await {
                        Some(Ok(frame)) => {
                            content += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
                        }
                        Some(Err(_)) => break Err(content),
                        None => break Ok(content),
                    }
                };
                let status = if whole.is_ok() { 204 } else { 400 };
                got.0.lock().unwrap().push(whole);
                Ok(reply(status, &[], ""))
            }
        }))
    }

    fn take(&self) -> Vec<Result<String, String>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// How content says its length.
#[derive(Clone, Copy, Debug)]
enum Says {
    Hint,
    /// A body that middleware has wrapped has only the field.
    Field,
    /// The body was replaced, and the field is that of another one.
    OtherField,
}

/// A PUT of content that is fed, whose length is six bytes.
fn six_bytes(says: Says, lines: Lines<'_>) -> (Feed, Request<Body>) {
    let (feed, body) = match says {
        Says::Field => fed(""),
        Says::Hint | Says::OtherField => promising(6, ""),
    };
    let length = match says {
        Says::Hint => None,
        Says::Field => Some(("content-length", "6")),
        Says::OtherField => Some(("content-length", "7")),
    };
    let lines: Vec<_> = lines.iter().copied().chain(length).collect();
    (feed, request("PUT", "/note", &lines).map(|_| body))
}

/// A client that sends before it reads sees the answer, not a reset.
#[tokio::test(start_paused = true)]
async fn content_of_a_refused_write_is_read_away_for_a_second() {
    const EXPECT: (&str, &str) = ("expect", "100-continue");
    const SECOND: Duration = Duration::from_secs(1);
    let at_once = Duration::ZERO;
    let (http_1, http_2) = (Version::HTTP_11, Version::HTTP_2);
    for (case, version, lines, length, ends_after, expected) in [
        ("it ends", http_1, FAILS, None, Some(300), Duration::from_millis(300)),
        ("it ends, and says so", http_1, FAILS, Some(6), Some(300), Duration::from_millis(300)),
        ("it does not end", http_1, FAILS, None, None, SECOND),
        ("none is there", http_1, &[], None, None, SECOND),
        ("it is large", http_1, FAILS, Some(1 << 21), None, at_once),
        ("over HTTP/2", http_2, FAILS, None, Some(300), Duration::from_millis(300)),
        ("it waits for 100", http_1, &[FAILS[0], EXPECT], None, None, at_once),
    ] {
        let guard = guarded(Got::default().service()).require_preconditions(|_| true);
        let (feed, body) = match length {
            Some(length) => promising(length, "abc"),
            None => fed("abc"),
        };
        let feeder = tokio::spawn(async move {
            sleep(Duration::from_millis(ends_after.unwrap_or(60_000))).await;
            feed.send(Ok(Frame::data("def".into())))
        });
        let mut write = request("PUT", "/note", lines).map(|_| body);
        *write.version_mut() = version;
        let start = Instant::now();
        let status = guard.oneshot(write).await.unwrap().status();
        assert_eq!(status, if lines.is_empty() { 428 } else { 412 }, "{case}");
        let waited = start.elapsed();
        let within = expected..=expected + Duration::from_millis(5);
        assert!(within.contains(&waited), "{case}: {waited:?}");
        feeder.abort();
    }
}

/// What is read away is bounded, and holds nothing: neither a lock, nor a permit, nor
/// what was read before.
#[tokio::test(start_paused = true)]
async fn content_that_is_read_away_holds_nothing() {
    let got = Got::default();
    let guard = guarded(ConcurrencyLimit::new(got.service(), 1)).body_limit(200 << 10);
    // Too large, which shows when the write holds both lock and content.
    let (feed, body) = fed("");
    keep_sending(feed, usize::MAX, 50 << 10, Duration::from_millis(1));
    let large = request("PUT", "/note", HOLDS).map(|_| body);
    let refused = tokio::spawn(guard.clone().oneshot(large));
    let start = Instant::now();
    sleep(Duration::from_millis(10)).await;
    assert!(!refused.is_finished());
    assert_eq!(guard.stats().bytes_buffered, 0);
    let other = guard.clone().oneshot(put(HOLDS, "other"));
    assert_eq!(timeout(Duration::from_millis(1), other).await.unwrap().unwrap().status(), 204);
    assert_eq!(refused.await.unwrap().unwrap().status(), 413);
    // 1 MiB in pieces of 50 KiB, a millisecond each.
    assert!(start.elapsed() < Duration::from_millis(40), "{:?}", start.elapsed());
}

/// Content that is read ahead has to come at 1 KiB a second, so that silent clients do
/// not keep the memory of all.
#[tokio::test(start_paused = true)]
async fn content_that_comes_too_slowly_is_answered_with_408() {
    for (case, method, lines, streams, pieces, bytes, expected) in [
        ("silent", "PUT", HOLDS, false, 0, 0, Some(10)),
        ("a byte a second", "PUT", HOLDS, false, 60, 1, Some(10)),
        ("fast, then silent", "PUT", HOLDS, false, 2, 80 << 10, Some(20)),
        ("a little faster", "PUT", HOLDS, false, 60, 1200, None),
        ("a DELETE", "DELETE", &[], false, 60, 1, Some(10)),
        ("streamed", "PUT", HOLDS, true, 60, 1, None),
        ("plain", "PUT", &[], false, 60, 1, None),
    ] {
        let guard = guarded(Got::default().service()).stream_uploads(streams).report_outcome(true);
        let (feed, body) = fed("first");
        keep_sending(feed, pieces, bytes, Duration::from_secs(1));
        let start = Instant::now();
        let write = guard.clone().oneshot(request(method, "/note", lines).map(|_| body));
        let answer = timeout(Duration::from_secs(55), write).await;
        let Some(expected) = expected else {
            assert!(answer.is_err(), "{case}: {answer:?}");
            continue;
        };
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.status(), 408, "{case}");
        assert_eq!(answer.extensions().get(), Some(&Outcome::ContentTooSlow), "{case}");
        assert_eq!(start.elapsed().as_secs(), expected, "{case}");
        let stats = guard.stats();
        assert_eq!((stats.content_too_slow, stats.bytes_buffered), (1, 0), "{case}");
    }
}

/// All requests together hold 64 MiB, and silent clients not for long.
#[tokio::test(start_paused = true)]
async fn content_of_silent_clients_does_not_keep_the_budget() {
    let guard = guarded(Got::default().service());
    let piece = Bytes::from(vec![b'x'; 128 << 10]);
    let send = |pieces: usize| {
        let (feed, body) = fed("");
        for _ in 0..pieces {
            feed.send(Ok(Frame::data(piece.clone()))).unwrap();
        }
        let write = request("PUT", "/note", HOLDS).map(|_| body);
        (feed, tokio::spawn(guard.clone().oneshot(write)))
    };
    let large = || {
        let (feed, large) = send(3);
        drop(feed);
        async { large.await.unwrap().unwrap().status().as_u16() }
    };
    // 2 MiB each.
    let silent: Vec<_> = (0..40).map(|_| send(16)).collect();
    sleep(Duration::from_secs(2)).await;
    assert_eq!((guard.stats().bytes_buffered, guard.stats().busy), (64 << 20, 8));
    assert_eq!(large().await, 503);
    let small = guard.clone().oneshot(put(HOLDS, "small"));
    assert_eq!(small.await.unwrap().status(), 204, "small content has a share of its own");
    sleep(Duration::from_secs(30)).await;
    let stats = guard.stats();
    assert_eq!((stats.bytes_buffered, stats.content_too_slow), (0, 32));
    assert_eq!(large().await, 204);
    assert!(silent.iter().all(|(_, write)| write.is_finished()));
}

/// A DELETE is read first, and holds no permit of the inner service meanwhile.
#[tokio::test(start_paused = true)]
async fn content_that_is_read_ahead_holds_no_permit() {
    for (method, lines) in [("DELETE", &[][..]), ("PUT", HOLDS)] {
        let guard = guarded(ConcurrencyLimit::new(Got::default().service(), 1));
        let (_feed, body) = fed("first");
        let slow = request(method, "/note", lines).map(|_| body);
        let slow = tokio::spawn(guard.clone().oneshot(slow));
        sleep(Duration::from_millis(1)).await;
        let other = guard.oneshot(request("GET", "/note", &[]));
        assert_eq!(timeout(Duration::from_secs(1), other).await.unwrap().unwrap().status(), 200);
        assert!(!slow.is_finished());
        slow.abort();
    }
}

/// What the handler has taken is not kept for the new tag.
#[tokio::test]
async fn content_is_not_kept_behind_the_handler() {
    struct Owner(Vec<u8>, Arc<AtomicBool>);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            self.1.store(true, SeqCst);
        }
    }

    let (is_dropped, gate) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (seen, opened) = (Arc::clone(&is_dropped), Arc::clone(&gate));
    let stored = Arc::new(Mutex::new(None));
    let inner = service_fn(move |request: Request<Body>| {
        let (seen, opened, stored) = (Arc::clone(&seen), Arc::clone(&opened), Arc::clone(&stored));
        async move {
            if request.method() == Method::GET {
                let content: Option<Vec<u8>> = stored.lock().unwrap().clone();
                return Ok::<_, Infallible>(match content {
                    Some(content) => reply(200, &[], content),
                    None => reply(404, &[], ""),
                });
            }
            let content = request.into_body().collect().await.unwrap().to_bytes().to_vec();
            *stored.lock().unwrap() = Some(content);
            opened.notified().await;
            assert!(seen.load(SeqCst), "what was sent is still held");
            Ok(reply(201, &[], ""))
        }
    });
    let guard = guarded(ConditionalLayer::new().layer(inner));
    let content = vec![b'x'; 100 << 10];
    let sent = Bytes::from_owner(Owner(content.clone(), is_dropped));
    let write = request("PUT", "/note", &[(INM, "*")]).map(|_| Body::from(sent));
    let write = tokio::spawn(guard.oneshot(write));
    for _ in 0..50 {
        yield_now().await;
    }
    gate.notify_one();
    let response = write.await.unwrap().unwrap();
    let expected = tag(std::str::from_utf8(&content).unwrap());
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["etag"], expected);
}

/// What is too large to be compared is no retry, whatever else may be large.
#[tokio::test(start_paused = true)]
async fn content_that_is_too_large_for_a_retry_is_answered_with_412() {
    let inner = || boxed(ConditionalLayer::new().layer(Got::default().tagless()));
    for streams in [false, true] {
        for (lines, length, status) in [
            ((IM, tag("old")), None, if streams { 204 } else { 413 }),
            ((IM, tag("other")), None, 412),
            ((IM, tag("other")), Some(11), 412),
        ] {
            let guard = guarded(inner()).idempotent_puts(true).stream_uploads(streams);
            let (feed, body) = match length {
                Some(length) => promising(length, "too la"),
                None => fed("too la"),
            };
            feed.send(Ok(Frame::data("rge: ".into()))).unwrap();
            drop(feed);
            let write = request("PUT", "/note", &[(lines.0, &*lines.1)]).map(|_| body);
            let seen = guard.body_limit(10).oneshot(write).await.unwrap().status();
            assert_eq!(seen, status, "{streams} {lines:?} {length:?}");
        }
    }
}

/// A stream over HTTP/2 that is reset without an error ends like one that is whole.
#[tokio::test]
async fn content_that_ends_before_its_length_is_not_whole() {
    for (lines, streams) in [(HOLDS, false), (HOLDS, true), (&[], false)] {
        for says in [Says::Hint, Says::Field, Says::OtherField] {
            for (sent, is_whole) in
                [(&["abc"][..], false), (&["abc", "de"], false), (&["abc", "def"], true)]
            {
                let got = Got::default();
                let app = boxed(guarded(got.service()).stream_uploads(streams));
                let (feed, write) = six_bytes(says, lines);
                for piece in sent {
                    feed.send(Ok(Frame::data(Bytes::from(*piece)))).unwrap();
                }
                drop(feed);
                let status = app.oneshot(write).await.unwrap().status();
                let case = format!("{lines:?} {streams} {says:?} {sent:?}");
                assert_eq!(status, if is_whole { 204 } else { 400 }, "{case}");
                let wholes = got.take().into_iter().filter(Result::is_ok).count();
                assert_eq!(wholes, usize::from(is_whole), "{case}");
            }
        }
    }
}

/// Some handlers count bytes, and store content as soon as they have all of it. So the
/// piece that completes the content waits for its end, whatever was read ahead.
#[tokio::test(start_paused = true)]
async fn content_that_has_its_length_waits_for_its_end() {
    for (lines, streams) in [(HOLDS, true), (&[], false)] {
        for says in [Says::Hint, Says::Field, Says::OtherField] {
            for (before, after, status) in [
                (&["abcdef"][..], &[][..], 204),
                (&["abcdef", ""], &[], 204),
                (&["abc", "def", ""], &[], 204),
                (&["abcdef"], &["broken"], 400),
                (&["abcdef", "broken"], &[], 400),
                (&["abcdef", "", "broken"], &[], 400),
            ] {
                let stored = Arc::new(Mutex::new(0));
                let app = boxed(guarded(counting(6, &stored)).stream_uploads(streams));
                let (feed, write) = six_bytes(says, lines);
                let send = |piece: &&'static str| {
                    let frame = match *piece {
                        "broken" => Err(io::Error::other("broken")),
                        piece => Ok(Frame::data(piece.into())),
                    };
                    feed.send(frame).unwrap();
                };
                before.iter().for_each(send);
                let write = tokio::spawn(app.oneshot(write));
                sleep(Duration::from_millis(1)).await;
                let case = format!("{lines:?} {says:?} {before:?} {after:?}");
                assert_eq!(*stored.lock().unwrap(), 0, "{case}");
                after.iter().for_each(send);
                drop(feed);
                assert_eq!(write.await.unwrap().unwrap().status(), status, "{case}");
                assert_eq!(*stored.lock().unwrap(), u32::from(status == 204), "{case}");
            }
        }
    }
}

/// A service that counts bytes, and stores content as soon as it has so many.
fn counting(length: usize, stored: &Arc<Mutex<u32>>) -> App {
    let stored = Arc::clone(stored);
    boxed(service_fn(move |request: Request<Body>| {
        let stored = Arc::clone(&stored);
        async move {
            if request.method() == Method::GET {
                return Ok::<_, Infallible>(reply(200, &[("etag", "\"1\"")], "old"));
            }
            let (mut body, mut bytes) = (request.into_body(), 0);
            while bytes < length {
                match body.frame().await {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) | None => return Ok(reply(400, &[], "")),
                }
            }
            *stored.lock().unwrap() += 1;
            Ok(reply(204, &[], ""))
        }
    }))
}

/// Of content that breaks off, a handler gets what came, as it may keep it for a client
/// that goes on later.
#[tokio::test]
async fn content_that_breaks_off_is_handed_on_up_to_there() {
    for says in [Says::Hint, Says::Field] {
        let got = Got::default();
        let app = boxed(guarded(got.service()));
        let (feed, write) = six_bytes(says, &[]);
        feed.send(Ok(Frame::data("abc".into()))).unwrap();
        feed.send(Err(io::Error::other("broken"))).unwrap();
        assert_eq!(app.oneshot(write).await.unwrap().status(), 400);
        assert_eq!(got.take(), [Err("abc".to_owned())], "{says:?}");
    }
}

/// Middleware outside may replace the content, and leave the field.
#[tokio::test]
async fn content_that_was_replaced_has_its_own_length() {
    for lines in [HOLDS, &[]] {
        for (length, content) in [("6", ""), ("6", "abc"), ("2", "abc"), ("none", "abc")] {
            let got = Got::default();
            let lines = [lines, &[("content-length", length)]].concat();
            let write = request("PUT", "/note", &lines).map(|_| Body::from(content));
            let status = boxed(guarded(got.service())).oneshot(write).await.unwrap().status();
            assert_eq!(status, 204, "{lines:?} {content:?}");
            assert_eq!(got.take(), [Ok(content.to_owned())], "{lines:?} {content:?}");
        }
    }
}

/// Many small frames would take much more memory than their bytes.
#[tokio::test]
async fn content_that_is_read_ahead_is_kept_in_few_frames() {
    let sum = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from(7))]);
    for (lens, trailers, at_most) in [
        (vec![1; 40_000], None, 11),
        (vec![1; 4_095], Some(&sum), 2),
        (vec![3_000; 100], None, 51),
        ([1, 5_000].repeat(100), Some(&sum), 200),
        ([0, 5_000, 0].repeat(100), None, 100),
        (vec![5_000, 2_000, 2_000, 2_000, 1], Some(&sum), 3),
        (vec![], Some(&sum), 0),
    ] {
        let got = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&got);
        let inner = service_fn(move |request: Request<Body>| {
            let seen = Arc::clone(&seen);
            async move {
                let (head, mut body) = request.into_parts();
                let (mut frames, mut content, mut trailers) = (0, Vec::new(), None);
                while let Some(frame) = body.frame().await.filter(|_| head.method == Method::PUT) {
                    match frame.unwrap().into_data() {
                        Ok(data) => {
                            frames += 1;
                            content.extend_from_slice(&data);
                        }
                        Err(frame) => trailers = frame.into_trailers().ok(),
                    }
                }
                *seen.lock().unwrap() = Some((frames, content, trailers));
                Ok::<_, Infallible>(reply(200, &[("etag", "\"1\"")], "old"))
            }
        });
        let expected: Vec<_> = (0..lens.iter().sum()).map(|place: usize| place as u8).collect();
        let mut rest = Bytes::from(expected.clone());
        let data: Vec<_> = lens.iter().map(|len| Frame::data(rest.split_to(*len))).collect();
        let frames = data.into_iter().chain(trailers.cloned().map(Frame::trailers)).map(Ok);
        let write = request("PUT", "/note", HOLDS).map(|_| streamed(stream::iter(frames)));
        assert_eq!(boxed(guarded(inner)).oneshot(write).await.unwrap().status(), 200);
        let (frames, content, sent) = got.lock().unwrap().take().unwrap();
        assert!(content == expected && sent.as_ref() == trailers, "{} frames", lens.len());
        assert!(frames <= at_most, "{} frames became {frames}", lens.len());
    }
}

/// A client that sends nothing but empty frames never pauses.
#[tokio::test(start_paused = true)]
async fn content_of_empty_frames_is_answered_with_408() {
    let frames = (0..1_000_000).map(|_| Ok(Frame::data(Bytes::new())));
    let write = request("PUT", "/note", HOLDS).map(|_| streamed(stream::iter(frames)));
    tokio::spawn(async {
        for _ in 0..100 {
            yield_now().await;
        }
        advance(Duration::from_secs(11)).await;
    });
    let app = boxed(guarded(Got::default().service()));
    assert_eq!(app.oneshot(write).await.unwrap().status(), 408);
}

/// A handler may forward the content over HTTP/1.1, where trailers are sent only after
/// content of unknown size. So the size is exact only where the client states one.
#[tokio::test]
async fn content_with_trailers_has_the_size_that_was_announced() {
    let sum = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from(7))]);
    for (trailers, length, expected) in [
        (None, None, Some(3)),
        (None, Some("3"), Some(3)),
        (Some(&sum), None, None),
        (Some(&sum), Some("3"), Some(3)),
    ] {
        let got = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&got);
        let inner = service_fn(move |request: Request<Body>| {
            let seen = Arc::clone(&seen);
            async move {
                if request.method() == Method::GET {
                    return Ok::<_, Infallible>(reply(200, &[("etag", "\"1\"")], "old"));
                }
                let size = request.body().size_hint().exact();
                let content = request.into_body().collect().await.unwrap();
                *seen.lock().unwrap() = Some((size, content.trailers().cloned()));
                Ok(reply(204, &[], ""))
            }
        });
        let frames = [Some(Frame::data("new".into())), trailers.cloned().map(Frame::trailers)];
        let body = streamed(stream::iter(frames.into_iter().flatten().map(Ok)));
        let length = length.map(|length| ("content-length", length));
        let lines: Vec<_> = HOLDS.iter().copied().chain(length).collect();
        let write = request("PUT", "/note", &lines).map(|_| body);
        assert_eq!(boxed(guarded(inner)).oneshot(write).await.unwrap().status(), 204);
        assert_eq!(got.lock().unwrap().take(), Some((expected, trailers.cloned())), "{lines:?}");
    }
}

/// Decompression outside makes longer content of unknown length.
#[tokio::test]
async fn content_that_was_decompressed_is_whole() {
    let text = "old ".repeat(100);
    let plain = text.clone();
    let zipping = CompressionLayer::new().layer(service_fn(move |_: Request<Body>| {
        ready(Ok::<_, Infallible>(reply(200, &[], plain.clone())))
    }));
    let zipped = zipping.oneshot(request("GET", "/note", &[("accept-encoding", "gzip")])).await;
    let zipped = zipped.unwrap().collect().await.unwrap().to_bytes();
    let length = zipped.len().to_string();
    for (lines, streams) in [(HOLDS, false), (HOLDS, true), (&[], false)] {
        let got = Got::default();
        let guard = guarded(got.service()).stream_uploads(streams);
        let guard = guard.map_request(|request: Request<_>| request.map(Body::new));
        let app = RequestDecompressionLayer::new().layer(guard);
        let fields = [("content-encoding", "gzip"), ("content-length", &*length)];
        let write = request("PUT", "/note", &[lines, &fields].concat());
        let write = write.map(|_| Body::from(zipped.clone()));
        assert_eq!(app.oneshot(write).await.unwrap().status(), 204, "{lines:?} {streams}");
        assert_eq!(got.take(), [Ok(text.clone())], "{lines:?} {streams}");
    }
}

/// The limit of a layer outside of a guard is 413, as it is without the guard.
#[cfg(feature = "axum")]
#[tokio::test]
async fn content_above_a_limit_outside_is_answered_with_413() {
    use crate::support::note::{note, routes, status_of, text};
    use http_body_util::{Full, Limited};
    use tower_conditional::WriteGuard;

    let note = note("old");
    let router = routes(&note).layer(ConditionalLayer::new());
    let with_axum = boxed(WriteGuard::axum(router.clone()));
    let plain = boxed(guarded(router.clone()));
    let streaming = boxed(guarded(router.clone()).stream_uploads(true));
    for app in [boxed(router), with_axum, plain, streaming] {
        for lines in [&[][..], &[(IM, "*")]] {
            let limited = || {
                let (feed, body) = fed("0123456789");
                assert!(send_piece(&feed, 21));
                put(lines, "").map(|_| Limited::new(body, 30))
            };
            // The body that a layer for Axum makes, and that of any other layer.
            assert_eq!(status_of(app.clone(), limited().map(Body::new)).await, 413, "{lines:?}");
            let twice = limited().map(|body| Body::new(Limited::new(body, 100)));
            assert_eq!(status_of(app.clone(), twice).await, 413, "{lines:?}");
        }
    }
    let guard = WriteGuard::axum(routes(&note));
    let limited = put(&[(IM, "*")], "").map(|_| Limited::new(Full::new(Bytes::from("new")), 2));
    assert_eq!(guard.oneshot(limited).await.unwrap().status(), 413);
    assert_eq!(text(&note), "old");
}
