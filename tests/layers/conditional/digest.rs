//! The setting `digest`, what is hashed, and how much of it at once.

use std::{
    convert::Infallible,
    future::ready,
    iter::repeat_n,
    pin::pin,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{header::ETAG, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use proptest::{collection::vec, prelude::*};
use tokio::net::UdpSocket;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{
    conditional::Conditional, ConditionalLayer, Digest, EntityTag, InnerTags, Outcome::Tagged,
};

use crate::{
    conditional::service::abc,
    support::{
        exchange::{etag, for_all, serve_script},
        executor::Task,
        harness::{get, layer, reply, send},
        origin::{Site, OWN},
        scripted_body::{
            data, script,
            Step::{Data, Yield},
        },
    },
};

#[derive(Default)]
pub(crate) struct Sum(u32);

impl Digest for Sum {
    type Output = [u8; 4];

    fn update(&mut self, content: &[u8]) {
        self.0 += content.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    }

    fn finish(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

#[test]
fn digest_of_another_kind_makes_other_tags() {
    let layer = layer().0.digest::<Sum>();
    assert_eq!(send(&layer, get(&[]), reply(200, &[], "a")).line("etag"), Some("\"00000061\""));
    let asked = get(&[("range", "bytes=0-0"), ("if-range", "\"00000061\"")]);
    assert!(!send(&layer, asked, reply(200, &[], "a")).forwarded.headers.contains_key("range"));
}

/// A layer does not finish the hash that its original began with another function.
#[test]
fn digest_of_a_clone_is_not_begun_by_another_digest() {
    let layer = layer().0.buffer_limit(1).inner_tags(InnerTags::replace());
    let other = layer.clone().digest::<Sum>();
    let part = |range| reply(206, &[("etag", OWN), ("content-range", range)], "abc");
    send(&layer, get(&[("range", "bytes=0-2")]), part("bytes 0-2/6"));
    send(&other, get(&[("range", "bytes=3-5")]), part("bytes 3-5/6"));
    assert_eq!(send(&other, get(&[]), reply(200, &[("etag", OWN)], "abcabc")).line("etag"), None);
    let tag = EntityTag::strong("0000024c").unwrap().to_string();
    let seen = send(&other, get(&[]), reply(200, &[("etag", OWN)], "abcabc"));
    assert_eq!(seen.line("etag"), Some(&*tag));
}

#[tokio::test]
async fn digest_is_part_of_the_type_of_the_service() {
    let service: Conditional<_, Sum> =
        ConditionalLayer::new().digest::<Sum>().layer(service_fn(abc));
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.headers()[ETAG], "\"00000126\"");
}

#[test]
fn digest_does_not_depend_on_how_the_content_is_cut() {
    let cuts = vec((0..70_000_usize, any::<bool>()), 0..20);
    for_all(
        40,
        &(0..150_000_usize, cuts, any::<(bool, bool)>()),
        |(len, cuts, (knows_size, tells_end))| {
            let Data(content) = data(len) else { unreachable!() };
            let mut rest = content.clone();
            let mut steps = Vec::new();
            for (cut, yields) in cuts {
                steps.push(Data(rest.split_to(cut.min(rest.len()))));
                steps.extend(yields.then_some(Yield));
            }
            steps.push(Data(rest));
            let script = script(steps);
            let script = if knows_size { script.exact(len as u64) } else { script };
            let sent =
                Task::new(serve_script(&ConditionalLayer::new(), script.telling_end(tells_end)))
                    .run();
            prop_assert_eq!(etag(&sent), Some(EntityTag::of(&content)));
            Ok(())
        },
    );
}

#[test]
fn digest_takes_no_more_than_64_kib_in_one_poll() {
    let layer = ConditionalLayer::new();
    for (count, len) in [(1, 1 << 20), (1 << 10, 1 << 10)] {
        let script = script(repeat_n(data(len), count)).exact(1 << 20).telling_end(true);
        let log = Rc::clone(&script.log);
        let mut task = Task::new(serve_script(&layer, script));
        let mut after_reading = 0;
        let sent = loop {
            let poll = task.poll();
            after_reading += usize::from(log.bytes.get() == 1 << 20);
            if let Poll::Ready(sent) = poll {
                break sent;
            }
        };
        assert_eq!(sent.body().outcome(), Tagged);
        assert!(after_reading >= 16, "1 MiB was hashed in {after_reading} polls");
    }
}

#[test]
fn digest_of_a_stream_takes_no_more_than_a_slice_in_one_poll() {
    let site = Site::new(|layer| layer.inner_tags(InnerTags::learn()));
    let large = Bytes::from(vec![7; 1 << 20]);
    site.answers(&[("etag", OWN)], &[Data(large)], Some(1 << 20));
    let mut body = pin!(site.head(Request::new(())).into_body());
    let mut pending = 0;
    let mut cx = Context::from_waker(Waker::noop());
    while body.as_mut().poll_frame(&mut cx).is_pending() {
        assert_eq!(body.size_hint().exact(), Some(1 << 20), "what is held is still to come");
        assert!(!body.is_end_stream());
        pending += 1;
    }
    assert_eq!(pending, 15, "1 MiB is 16 slices");
}

/// A hash that only counts how often it is fed.
#[derive(Default)]
struct Fed;

static FED: AtomicUsize = AtomicUsize::new(0);

impl Digest for Fed {
    type Output = [u8; 32];

    fn update(&mut self, _: &[u8]) {
        FED.fetch_add(1, SeqCst);
    }

    fn finish(self) -> [u8; 32] {
        [0; 32]
    }
}

#[tokio::test]
async fn digest_lets_sockets_be_looked_at_between_slices() {
    const SLICES: usize = 128;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(socket.local_addr().unwrap()).await.unwrap();
    socket.send(b"!").await.unwrap();
    let hashing = tokio::spawn(async {
        let content = Bytes::from(vec![0; SLICES * 64 * 1024]);
        let service = service_fn(move |_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(Full::new(content.clone()))))
        });
        let layer = ConditionalLayer::new().buffer_limit(SLICES * 64 * 1024).digest::<Fed>();
        layer.layer(service).oneshot(Request::new(())).await.unwrap();
    });
    // It is there already, but the driver has to say so.
    let listening = tokio::spawn(async move {
        socket.recv(&mut [0]).await.unwrap();
        FED.load(SeqCst)
    });
    hashing.await.unwrap();
    assert_eq!(FED.load(SeqCst), SLICES);
    let seen_after = listening.await.unwrap();
    assert!(seen_after < SLICES / 4, "seen after {seen_after} of {SLICES} slices");
}

#[derive(Default)]
struct Nothing;

impl Digest for Nothing {
    type Output = [u8; 0];

    fn update(&mut self, _: &[u8]) {}

    fn finish(self) -> [u8; 0] {
        []
    }
}

/// All content would have the tag `""`.
#[test]
fn digest_without_bytes_is_a_panic() {
    let set = || drop(ConditionalLayer::new().digest::<Nothing>());
    assert!(std::panic::catch_unwind(set).is_err());
}
