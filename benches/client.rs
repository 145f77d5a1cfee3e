//! What a 304 costs a client: by hand, through `Polled`, and through `RevalidateLayer`,
//! beside a 200 that is parsed again.
//!
//! `cargo bench --all-features --bench client` prints the table; runs of what is
//! compared alternate, and medians are shown. The server is a function, so the figures
//! are those of the client alone.

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
    convert::Infallible,
    future::{ready, Ready},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    header::{ETAG, IF_NONE_MATCH},
    HeaderValue, Request, Response, StatusCode,
};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use support::{allocations, interleaved, nanoseconds, Case};
use tower::{service_fn, Layer, Service};
use tower_conditional::client::{Polled, RevalidateLayer};

fn main() {
    println!("{:<28} {:>9} {:>8}", "JSON, 64 KiB", "ns", "allocs");
    let mut cases =
        [parsed_again(), by_hand(), polled(), revalidated()].map(|(name, run)| Case { name, run });
    let times = interleaved(&mut cases);
    for (case, time) in cases.iter_mut().zip(times) {
        let allocations = allocations(case);
        println!("{:<28} {:>9.0} {allocations:>8}", case.name, nanoseconds(time));
    }
}

type Run = (String, Box<dyn FnMut()>);
type Answer = Ready<Result<Response<Full<Bytes>>, Infallible>>;

/// Answers 304 to a client that names the tag.
fn server() -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future = Answer,
> + Clone {
    let items: Vec<_> = (0..4 << 10).map(|i| format!("\"item {i:06}\"")).collect();
    let json = Bytes::from(format!("[{}]", items.join(",")));
    service_fn(move |request: Request<Full<Bytes>>| {
        let is_current = request.headers().get(IF_NONE_MATCH).is_some_and(|tag| tag == TAG);
        let content = if is_current { Bytes::new() } else { json.clone() };
        let mut response = Response::new(Full::new(content));
        if is_current {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response.headers_mut().insert(ETAG, HeaderValue::from_static(TAG));
        ready(Ok(response))
    })
}

fn request() -> Request<()> {
    Request::get("http://localhost/items").body(()).unwrap()
}

fn parsed_again() -> Run {
    let (mut server, request) = (server(), request());
    let run = move || {
        let request = request.clone().map(|()| Full::default());
        let response = server.call(request).now_or_never().unwrap().unwrap();
        let json = response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert!(value.is_array());
    };
    ("200, parsed again".to_owned(), Box::new(run))
}

fn by_hand() -> Run {
    let (mut server, request) = (server(), request());
    let run = move || {
        let mut request = request.clone().map(|()| Full::default());
        request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static(TAG));
        let response = server.call(request).now_or_never().unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    };
    ("304, by hand, unchecked".to_owned(), Box::new(run))
}

fn polled() -> Run {
    let (mut server, request, polled) = (server(), request(), Polled::<Value>::new());
    let run = move || {
        let parse = |json: &[u8]| serde_json::from_slice(json);
        let value = polled.refresh(&mut server, &request, parse);
        assert!(value.now_or_never().unwrap().unwrap().is_array());
    };
    ("304, Polled".to_owned(), Box::new(run))
}

fn revalidated() -> Run {
    let (mut service, request) = (RevalidateLayer::new(1 << 20).layer(server()), request());
    let run = move || {
        let request = request.clone().map(|()| Full::default());
        let response = service.call(request).now_or_never().unwrap().unwrap();
        let json = response.into_body().collect().now_or_never().unwrap().unwrap();
        assert!(json.to_bytes().len() > 64 << 9);
    };
    ("304, RevalidateLayer".to_owned(), Box::new(run))
}

const TAG: &str = "\"54f0c581810ec81bc3bc0044755a4270fb41ca813bc488e8694169351c54cef2\"";
