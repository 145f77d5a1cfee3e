//! What the second thread gains, with the layer and without: two threads on one hot
//! resource, and on many.
//!
//! `cargo bench --bench threads` prints the table. One and two threads, bare and
//! layered, alternate; medians of ratios between neighbours are shown, because the
//! machine may be busy. *Apart* is the gain where each thread has a layer of its own:
//! what it lacks is not lost by sharing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::{
    fmt::Debug,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use support::{anew, bare, case_of, Case};
use tower::{Layer, Service};
use tower_conditional::ConditionalLayer;

fn main() {
    println!(
        "\n{:<34} {:>9} {:>6} {:>9} {:>6} {:>9} {:>6}",
        "requests/s", "bare", "gain", "layer", "gain", "of bare's", "apart"
    );
    for (name, resources, bytes, is_new) in [
        ("one resource, 1 KiB made anew", 1, 1 << 10, true),
        ("one resource, 1 KiB shared", 1, 1 << 10, false),
        ("one resource, 64 KiB made anew", 1, 64 << 10, true),
        ("1,000 resources, 1 KiB made anew", 1000, 1 << 10, true),
        ("1,000 resources, 1 KiB shared", 1000, 1 << 10, false),
    ] {
        let content = Bytes::from(vec![b'x'; bytes]);
        let make = move || if is_new { anew(bytes) } else { content.clone() };
        let bare = bare(make);
        let layered = ConditionalLayer::new().layer(bare.clone());
        let apart = || ConditionalLayer::new().layer(bare.clone());
        let mut rates = [const { Vec::new() }; 6];
        for _ in 0..SAMPLES {
            for threads in [1, 2] {
                let rates = &mut rates[3 * (threads - 1)..];
                rates[0].push(rate(threads, || bare.clone(), resources));
                rates[1].push(rate(threads, || layered.clone(), resources));
                rates[2].push(rate(threads, apart, resources));
            }
        }
        let gains = [0, 1, 2].map(|i| ratios(&rates[i + 3], &rates[i]));
        let compared = median(ratios(&gains[1], &gains[0]));
        let [bare_gain, gain, apart_gain] = gains.map(median);
        let [bare, layered, ..] = rates.map(median);
        println!(
            "{name:<34} {bare:>9.0} {bare_gain:>6.2} {layered:>9.0} {gain:>6.2} {compared:>9.2} \
             {apart_gain:>6.2}"
        );
    }
}

/// Returns how many requests a second so many threads get answered together.
fn rate<S, B>(threads: usize, service: impl Fn() -> S + Sync, resources: usize) -> f64
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug> + 'static,
    B: Body,
{
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let (start, service) = (&start, &service);
        let workers = (0..threads).map(|i| {
            scope.spawn(move || {
                let mut case = requests(service(), resources, i * resources / 2);
                (0..WARM).for_each(|_| (case.run)());
                start.wait();
                let (began, mut answered) = (Instant::now(), 0);
                while began.elapsed() < WINDOW {
                    (0..AT_ONCE).for_each(|_| (case.run)());
                    answered += AT_ONCE;
                }
                f64::from(answered) / began.elapsed().as_secs_f64()
            })
        });
        workers.collect::<Vec<_>>().into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

/// Makes a case that asks for one resource after the other, from the given one on.
fn requests<S, B>(mut service: S, resources: usize, first: usize) -> Case
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug> + 'static,
    B: Body,
{
    // Made by each thread, so that nothing of the requests is shared.
    let uris: Vec<Uri> =
        (0..resources).map(|i| format!("/resources/{i}").parse().unwrap()).collect();
    let mut next = first;
    let call = move |mut request: Request<()>| {
        *request.uri_mut() = uris[next].clone();
        next = (next + 1) % uris.len();
        service.call(request)
    };
    case_of("", Method::GET, call, HeaderMap::new(), StatusCode::OK)
}

fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    these.iter().zip(those).map(|(this, that)| this / that).collect()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

const SAMPLES: usize = 17;
const WINDOW: Duration = Duration::from_millis(20);
const WARM: u32 = 2000;
const AT_ONCE: u32 = 32;
