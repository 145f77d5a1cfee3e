//! What the benchmarks share: a bare service, a way to call services without a runtime, and fair timing.

use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{header, HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tower::{service_fn, Service};

/// One thing to measure: each call does it once.
pub struct Case {
    pub name: String,
    pub run: Box<dyn FnMut()>,
}

/// Makes a case of a service: each call sends it a request and takes the response to its end.
pub fn case<S, B>(name: impl Into<String>, mut service: S, headers: HeaderMap, expected: StatusCode) -> Case
where
    S: Service<Request<()>, Response = Response<B>, Error: std::fmt::Debug> + 'static,
    B: Body,
{
    case_of(name, Method::GET, move |request| block_on(service.call(request)).unwrap(), headers, expected)
}

/// As [`case`], for any method.
pub fn case_of<B: Body>(
    name: impl Into<String>,
    method: Method,
    mut call: impl FnMut(Request<()>) -> Response<B> + 'static,
    headers: HeaderMap,
    expected: StatusCode,
) -> Case {
    let run = move || {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers.clone();
        let response = call(black_box(request));
        assert_eq!(response.status(), expected);
        drain(response.into_body());
    };
    Case { name: name.into(), run: Box::new(run) }
}

/// Makes a service that answers with `content`, made anew for each request.
pub fn bare(
    content: impl Fn() -> Bytes + Clone + 'static,
) -> impl Service<Request<()>, Response = Response<Full<Bytes>>, Error = Infallible, Future: 'static> + Clone {
    service_fn(move |_: Request<()>| {
        let mut response = Response::new(Full::new(content()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        std::future::ready(Ok(response))
    })
}

/// Polls a future that wakes itself until it is ready.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn drain(body: impl Body) {
    let mut body = pin!(body);
    let mut context = Context::from_waker(Waker::noop());
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(&mut context) {
            Poll::Ready(Some(frame)) => drop(black_box(frame)),
            Poll::Ready(None) => break,
            Poll::Pending => {}
        }
    }
}

/// Times all cases in turn, again and again, and returns the median of each.
pub fn interleaved(cases: &mut [Case]) -> Vec<Duration> {
    let mut times = vec![Vec::new(); cases.len()];
    let rounds: Vec<_> = cases.iter_mut().map(|case| rounds(&mut case.run)).collect();
    for _ in 0..SAMPLES {
        for ((case, rounds), times) in cases.iter_mut().zip(&rounds).zip(&mut times) {
            times.push(time(&mut case.run, *rounds));
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times.swap_remove(times.len() / 2)
    };
    times.into_iter().map(median).collect()
}

/// Returns how many calls take about two milliseconds.
fn rounds(run: &mut dyn FnMut()) -> u32 {
    let mut rounds = 1;
    while rounds < 1 << 20 && time(run, rounds) * rounds < Duration::from_millis(2) {
        rounds *= 2;
    }
    rounds
}

fn time(run: &mut dyn FnMut(), rounds: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..rounds {
        run();
    }
    start.elapsed() / rounds
}

/// Returns how many allocations one call makes, once it is warm.
pub fn allocations(case: &mut Case) -> u64 {
    (0..64).for_each(|_| (case.run)());
    allocation_counter::measure(|| (0..64).for_each(|_| (case.run)())).count_total / 64
}

pub fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

const SAMPLES: usize = 41;
