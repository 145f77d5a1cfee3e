//! What layers that make tags add to a request, in process: `cargo run --release`
//! prints the tables.
//!
//! Each is compared with the bare service that it stands around: they differ in the
//! version of `http`, and in whether they want Tokio or Axum's body. Runs of all
//! alternate in one process, and medians are shown.

#[path = "../../support/mod.rs"]
#[allow(dead_code)]
mod support;
#[path = "../../support/usual.rs"]
mod usual;

mod old;

use std::{
    convert::Infallible,
    fmt::Debug,
    future::Future,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{body::Body as AxumBody, middleware};
use bytes::Bytes;
use http::{header, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use primitives_rs::http::conditional_responses::{EtagConfig, EtagLayer, EtagStrength};
use support::{allocations, anew, bare, case_of, interleaved, nanoseconds, Case};
use tokio::runtime::{Builder, Runtime};
use tower::{service_fn, Layer, Service};
use tower_conditional::{AddLastModified, ConditionalLayer};
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

fn main() {
    let runtime = Rc::new(Builder::new_current_thread().enable_time().build().unwrap());
    // For those that make timers.
    let _guard = runtime.enter();
    for (size, bytes) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        for (how, is_new) in [("made anew", true), ("the same Bytes", false)] {
            let content = Bytes::from(vec![b'x'; bytes]);
            let make = move || if is_new { anew(bytes) } else { content.clone() };
            for status in [200, 304] {
                table(
                    &format!("{size}, {how}, {status}"),
                    cases(&runtime, make.clone(), status == 304),
                );
            }
        }
    }
}

/// A case, and the number of the bare one that it is compared with.
struct Compared {
    case: Case,
    bare: usize,
}

fn table(title: &str, compared: Vec<Compared>) {
    let (bare, mut cases): (Vec<_>, Vec<_>) =
        compared.into_iter().map(|one| (one.bare, one.case)).unzip();
    let allocated: Vec<_> =
        cases.iter_mut().map(|case| i64::try_from(allocations(case)).unwrap()).collect();
    let times: Vec<_> = interleaved(&mut cases).into_iter().map(nanoseconds).collect();
    let ours = times[OURS] - times[bare[OURS]];
    println!("\n{title:<38} {:>9} {:>9} {:>8} {:>7}", "ns", "adds", "of ours", "allocs");
    for (i, case) in cases.iter().enumerate() {
        let (time, adds, more) =
            (times[i], times[i] - times[bare[i]], allocated[i] - allocated[bare[i]]);
        if bare[i] == i {
            println!("{:<38} {time:>9.0}", case.name);
        } else {
            println!("{:<38} {time:>9.0} {adds:>9.0} {:>8.2} {more:>+7}", case.name, adds / ours);
        }
    }
}

fn cases(
    runtime: &Rc<Runtime>,
    make: impl Fn() -> Bytes + Clone + Send + Sync + 'static,
    revalidate: bool,
) -> Vec<Compared> {
    let mut cases = Vec::new();
    let mut add = |bare: usize, case| cases.push(Compared { case, bare });

    let service = || bare(make.clone());
    let full = ConditionalLayer::new();
    let plain = ConditionalLayer::new().content_cache(0).add_last_modified(AddLastModified::Never);
    add(0, compared("bare", calls(service()), revalidate));
    add(0, compared("tower-conditional", calls(full.layer(service())), revalidate));
    add(
        0,
        compared(
            "tower-conditional, no memory, no dates",
            calls(plain.layer(service())),
            revalidate,
        ),
    );
    let etags = EtagLayer::new(EtagConfig {
        max_buffer_size: 1 << 20,
        buffer_timeout: Duration::from_millis(500),
        strength: EtagStrength::Strong,
        additional_representation_header_names: Vec::new(),
    });
    add(0, compared("primitives-rs (BLAKE3)", calls(etags.unwrap().layer(service())), revalidate));
    let (name, value) = (HeaderName::from_static("x-y"), HeaderValue::from_static("z"));
    let header = SetResponseHeaderLayer::overriding(name, value).layer(service());
    add(0, compared("SetResponseHeaderLayer", calls(header), revalidate));
    let compression = CompressionLayer::new().layer(service());
    add(0, compared("CompressionLayer, passing", calls(compression), revalidate));

    let axum = 6;
    let service = || of_axum(make.clone());
    let from_fn = middleware::from_fn(usual::tag).layer(service());
    add(axum, compared("bare, Axum's body", calls_axum(service()), revalidate));
    add(
        axum,
        compared("tower-conditional, Axum's body", calls_axum(full.layer(service())), revalidate),
    );
    add(axum, compared("from_fn (SHA-256)", calls_axum(from_fn), revalidate));

    let tokio = 9;
    add(tokio, old::bare(runtime, make.clone(), revalidate));
    add(tokio, old::etag_cache(runtime, make, revalidate));
    cases
}

/// Makes a case of a service; where it shall revalidate, with the tag that it gives, if
/// it gives one.
fn compared<B: Body, E: Debug, F: Future<Output = Result<Response<B>, E>>>(
    name: &str,
    mut call: impl FnMut(Request<()>) -> F + 'static,
    revalidate: bool,
) -> Case {
    let tag = block_on(call(Request::new(()))).unwrap().headers().get(header::ETAG).cloned();
    let status =
        if revalidate && tag.is_some() { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let tag = tag.unwrap_or(HeaderValue::from_static("\"another\""));
    let headers = HeaderMap::from_iter(revalidate.then_some((header::IF_NONE_MATCH, tag)));
    case_of(name, Method::GET, call, headers, status)
}

fn calls<S, B>(mut service: S) -> impl FnMut(Request<()>) -> S::Future
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug>,
{
    move |request| service.call(request)
}

fn calls_axum<S, B>(mut service: S) -> impl FnMut(Request<()>) -> S::Future
where
    S: Service<Request<AxumBody>, Response = Response<B>, Error: Debug>,
{
    move |request| service.call(request.map(|()| AxumBody::empty()))
}

/// Polls a future that wakes itself until it is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Makes a bare service of Axum's body.
fn of_axum(
    content: impl Fn() -> Bytes + Clone + Send + Sync + 'static,
) -> impl Service<
    Request<AxumBody>,
    Response = Response<AxumBody>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
       + Send
       + Sync
       + 'static {
    service_fn(move |_: Request<AxumBody>| {
        let mut response = Response::new(AxumBody::from(content()));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        std::future::ready(Ok(response))
    })
}

/// Where the layer as it is by default stands in the tables.
const OURS: usize = 1;
