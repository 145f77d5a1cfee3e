//! Real threads on one memory and one set of locks, and clients that want to fill the
//! memory. Neither makes a wrong answer, and what they cost is bounded.

use std::{
    convert::Infallible,
    env,
    future::ready,
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        Arc,
    },
    thread,
    time::Instant,
};

use bytes::Bytes;
use http::{
    header::{ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
};
use http_body_util::{BodyExt, Full};
use tower::{service_fn, Layer, Service, ServiceExt};
use tower_conditional::{
    ConditionalLayer, Decision, EntityTag, Preconditions, RequestBody, WriteGuard,
};

/// The version of the content that an inner service answered with; it survives a 304.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Version(u64);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn load_of_threads_that_share_a_memory_makes_no_wrong_304() {
    let versions: Arc<[AtomicU64; 4]> = Arc::default();
    let inner = service_fn(move |request: Request<()>| {
        let place = usize::from(request.uri().path().as_bytes()[1] - b'0');
        // One in eight changes what is there; versions come back, as after a rollback.
        let was = versions[place].load(SeqCst);
        if request.headers().contains_key("change") {
            versions[place].store((was + 1) % 3, SeqCst);
        }
        let version = versions[place].load(SeqCst);
        let mut response =
            Response::new(Full::<Bytes>::from(format!("{version} of {place}").repeat(100)));
        response.extensions_mut().insert(Version(version));
        ready(Ok::<_, Infallible>(response))
    });
    let seconds = Arc::new(AtomicU64::new(1_795_348_800));
    let clock = Arc::clone(&seconds);
    let now = move || std::time::UNIX_EPOCH + std::time::Duration::from_secs(clock.load(SeqCst));
    let layer = ConditionalLayer::new().clock(now);
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        for name in 0..8_u64 {
            let (mut service, seconds, answered) =
                (layer.layer(inner.clone()), &seconds, &answered);
            scope.spawn(move || {
                let mut held: [Option<(u64, HeaderMap)>; 4] = Default::default();
                for round in 0..1500_u64 {
                    let place = ((round ^ name) % 4) as usize;
                    let mut request = Request::get(format!("/{place}")).body(()).unwrap();
                    if round % 8 == name {
                        request.headers_mut().insert("change", HeaderValue::from_static("1"));
                        seconds.fetch_add(1, SeqCst);
                    }
                    let (ask, own) = [(IF_NONE_MATCH, ETAG), (IF_MODIFIED_SINCE, LAST_MODIFIED)]
                        [(round / 4 % 2) as usize]
                        .clone();
                    if let Some(value) =
                        held[place].as_ref().and_then(|(_, fields)| fields.get(own))
                    {
                        request.headers_mut().insert(ask, value.clone());
                    }
                    let (head, body) = block_on(service.call(request)).unwrap().into_parts();
                    let Version(version) = *head.extensions.get().unwrap();
                    if head.status == StatusCode::NOT_MODIFIED {
                        assert_eq!(
                            held[place].as_ref().map(|(version, _)| *version),
                            Some(version),
                            "a wrong 304"
                        );
                        answered.fetch_add(1, SeqCst);
                    } else {
                        let content = block_on(body.collect()).unwrap().to_bytes();
                        assert_eq!(content, format!("{version} of {place}").repeat(100));
                        assert_eq!(head.headers[ETAG], EntityTag::of(&content).to_string());
                        held[place] = Some((version, head.headers));
                    }
                }
            });
        }
    });
    assert!(answered.into_inner() > 500, "the test asks what can be answered with 304");
}

#[test]
fn load_of_threads_that_write_through_a_guard_loses_no_edit() {
    let value = Arc::new(AtomicU64::new(0));
    let inner = {
        let value = Arc::clone(&value);
        service_fn(move |request: Request<RequestBody<String>>| {
            let value = Arc::clone(&value);
            async move {
                tokio::task::yield_now().await;
                if request.method() == Method::PUT {
                    let new = request.into_body().collect().await.unwrap().to_bytes();
                    let new = std::str::from_utf8(&new).unwrap().parse().unwrap();
                    value.store(new, SeqCst);
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
                    value.load(SeqCst).to_string(),
                )))
            }
        })
    };
    let service = WriteGuard::new(ConditionalLayer::new().layer(inner));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let writers: Vec<_> = (0..16)
        .map(|_| {
            let service = service.clone();
            runtime.spawn(async move {
                let mut written = 0;
                while written < 20 {
                    let read = service
                        .clone()
                        .oneshot(Request::get("/").body(String::new()).unwrap())
                        .await
                        .unwrap();
                    let tag = read.headers()[ETAG].clone();
                    let content = read.into_body().collect().await.unwrap().to_bytes();
                    let next: u64 =
                        std::str::from_utf8(&content).unwrap().parse::<u64>().unwrap() + 1;
                    let write =
                        Request::put("/").header(IF_MATCH, tag).body(next.to_string()).unwrap();
                    written += u64::from(
                        service.clone().oneshot(write).await.unwrap().status() == StatusCode::OK,
                    );
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for writer in writers {
            writer.await.unwrap();
        }
    });
    assert_eq!(value.load(SeqCst), 16 * 20, "each write is based on the one before it");
}

/// With `URIS=1000000` and in a release build it is a soak of its own.
#[test]
fn load_of_resources_without_end_takes_bounded_memory() {
    let uris: u64 = env::var("URIS").map_or(80_000, |text| text.parse().unwrap());
    let seconds = Arc::new(AtomicU64::new(1_795_348_800));
    let now = move || {
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.fetch_add(1, SeqCst))
    };
    let layer = ConditionalLayer::new().clock(now);
    // Both share one memory of dates, which the first fills: the dates of 65,536
    // resources, with the tables that hold them; and 16 MiB of contents, with what
    // holds those.
    for (name, layer, most) in
        [("dates", layer.clone().content_cache(0), DATES), ("contents", layer, CONTENTS)]
    {
        let inner = service_fn(|request: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
                request.uri().path().as_bytes().to_vec(),
            ))))
        });
        let mut service = layer.layer(inner);
        let start = Instant::now();
        let used = allocation_counter::measure(|| {
            for number in 0..uris {
                let request =
                    Request::get(format!("/{number}?{}", "x".repeat(200))).body(()).unwrap();
                assert_eq!(block_on_ready(service.call(request)), StatusCode::OK);
            }
        });
        let (kept, at_most) = (used.bytes_current / 1024, used.bytes_max / 1024);
        println!(
            "{uris} URIs, {name}: {kept} KiB kept, {at_most} KiB at most, {:?}",
            start.elapsed()
        );
        assert!(used.bytes_max < most, "{name}: {} bytes", used.bytes_max);
    }
}

const DATES: u64 = 64 << 20;
const CONTENTS: u64 = 32 << 20;

/// Runs a future that does not wait, without a runtime that would be counted.
fn block_on_ready<B>(future: impl Future<Output = Result<Response<B>, Infallible>>) -> StatusCode {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(Ok(response)) = future.as_mut().poll(&mut context) {
            return response.status();
        }
    }
}

#[test]
fn load_of_ten_thousand_tags_and_huge_fields_takes_no_time() {
    let current = EntityTag::strong("current").unwrap();
    let list = (0..10_000).map(|number| format!("\"{number:032}\"")).collect::<Vec<_>>().join(", ");
    let hostile = "\"a, W/\"b".repeat(50_000);
    for (lines, decision) in [
        (vec![list.clone()], Decision::Proceed),
        (vec![list.clone() + ", W/\"current\""], Decision::NotModified),
        (vec![hostile], Decision::Proceed),
        // What Hyper lets through at most: 100 lines.
        (vec!["\"x\"".repeat(1300); 100], Decision::Proceed),
        (vec![",".repeat(400_000)], Decision::Proceed),
    ] {
        let headers: HeaderMap =
            lines.iter().map(|line| (IF_NONE_MATCH, line.parse().unwrap())).collect();
        let bytes = lines.iter().map(String::len).sum::<usize>();
        let start = Instant::now();
        let used = allocation_counter::measure(|| {
            let asked = Preconditions::new(&Method::GET, &headers);
            assert_eq!(asked.evaluate(&current), decision);
        });
        let took = start.elapsed();
        println!(
            "{bytes} bytes in {} lines: {took:?}, {} bytes allocated",
            lines.len(),
            used.bytes_max
        );
        // Lines are shared, not copied. The time is some milliseconds; what is not
        // linear takes minutes.
        assert!(used.bytes_max < 20_000, "{} bytes for {bytes}", used.bytes_max);
        assert!(took.as_secs() < 5, "{took:?}");
    }
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(Bytes::from_static(b"x")))))
    });
    let mut service = ConditionalLayer::new().layer(inner);
    let mut request = Request::new(());
    request.headers_mut().insert(IF_NONE_MATCH, list.parse().unwrap());
    assert_eq!(block_on_ready(service.call(request)), StatusCode::OK);
}
