//! What a 304 costs a client: by hand, through `Polled`, through `RevalidateLayer`, and
//! through `http-cache`, beside a 200 that is parsed again.
//!
//! `cargo bench -p interop --bench client` prints the table; runs of what is compared
//! alternate, and medians are shown. The server is a function, so the figures are those
//! of the client alone. Instructions are counted by callgrind, if Valgrind is there, of
//! 1,000 requests; those of an allocator that counts are among them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub
)]

#[path = "../../../benches/support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    env,
    future::{ready, Ready},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
    request, HeaderValue, Request, Response, StatusCode,
};
use http_body_util::{BodyExt, Full};
use http_cache::{
    url_parse, CacheMode, CacheOptions, HttpCache, HttpCacheOptions, HttpResponse, Middleware,
    MokaManager, Url,
};
use http_cache_semantics::CachePolicy;
use serde_json::Value;
use support::{allocations, interleaved, nanoseconds, Case};
use tower::{service_fn, Layer, Service};
use tower_conditional::client::{Polled, RevalidateLayer};

fn main() {
    let mut cases = [parsed_again(), by_hand(), polled(), revalidated(), http_cache()]
        .map(|(name, run)| Case { name, run });
    let arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    if let [case, times] = &arguments.collect::<Vec<_>>()[..] {
        let case: usize = case.parse().unwrap();
        (0..times.parse().unwrap()).for_each(|_: u32| (cases[case].run)());
        return;
    }
    println!("{:<28} {:>9} {:>8} {:>13}", "JSON, 64 KiB", "ns", "allocs", "instructions");
    let times = interleaved(&mut cases);
    for (index, (case, time)) in cases.iter_mut().zip(times).enumerate() {
        let (time, allocations) = (nanoseconds(time), allocations(case));
        let instructions = instructions(index).map_or("-".to_owned(), |count| count.to_string());
        println!("{:<28} {time:>9.0} {allocations:>8} {instructions:>13}", case.name);
    }
}

/// Returns how many instructions one request takes; `None` without Valgrind.
fn instructions(case: usize) -> Option<u64> {
    let count = |times: u32| {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        let output =
            command.arg(env::current_exe().ok()?).args([case.to_string(), times.to_string()]);
        let output = String::from_utf8(output.output().ok()?.stderr).ok()?;
        let counted = output.split("Collected : ").nth(1)?;
        counted.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some((count(1_100)? - count(100)?) / 1_000)
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
            NOT_MODIFIED.fetch_add(1, Ordering::Relaxed);
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

fn http_cache() -> Run {
    let (server, request) = (server(), request());
    let cache = HttpCache {
        mode: CacheMode::Default,
        manager: MokaManager::default(),
        options: HttpCacheOptions::default(),
    };
    let mut is_warm = false;
    let run = move || {
        let before = NOT_MODIFIED.load(Ordering::Relaxed);
        let parts = request.clone().into_parts().0;
        let exchange = Exchange { parts, server: server.clone() };
        let response = cache.run(exchange).now_or_never().unwrap().unwrap();
        assert!(response.body.len() > 64 << 9);
        let is_asked = NOT_MODIFIED.load(Ordering::Relaxed) == before + 1;
        assert!(is_asked || !std::mem::replace(&mut is_warm, true));
    };
    ("304, http-cache in memory".to_owned(), Box::new(run))
}

/// One request through `http-cache`.
struct Exchange<S> {
    parts: request::Parts,
    server: S,
}

impl<S> Middleware for Exchange<S>
where
    S: Service<
            Request<Full<Bytes>>,
            Response = Response<Full<Bytes>>,
            Error = Infallible,
            Future = Answer,
        > + Send,
{
    fn is_method_get_head(&self) -> bool {
        true
    }

    fn policy(&self, response: &HttpResponse) -> http_cache::Result<CachePolicy> {
        Ok(CachePolicy::new(&self.parts, &response.parts()?))
    }

    fn policy_with_options(
        &self,
        response: &HttpResponse,
        options: CacheOptions,
    ) -> http_cache::Result<CachePolicy> {
        Ok(CachePolicy::new_options(&self.parts, &response.parts()?, SystemTime::now(), options))
    }

    fn update_headers(&mut self, parts: &request::Parts) -> http_cache::Result<()> {
        let lines = parts.headers.iter();
        self.parts.headers.extend(lines.map(|(name, value)| (name.clone(), value.clone())));
        Ok(())
    }

    fn force_no_cache(&mut self) -> http_cache::Result<()> {
        self.parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Ok(())
    }

    fn parts(&self) -> http_cache::Result<request::Parts> {
        Ok(self.parts.clone())
    }

    fn url(&self) -> http_cache::Result<Url> {
        url_parse(&self.parts.uri.to_string())
    }

    fn method(&self) -> http_cache::Result<String> {
        Ok(self.parts.method.to_string())
    }

    async fn remote_fetch(&mut self) -> http_cache::Result<HttpResponse> {
        let request = Request::from_parts(self.parts.clone(), Full::default());
        let (head, body) = self.server.call(request).await?.into_parts();
        Ok(HttpResponse {
            body: body.collect().await?.to_bytes().into(),
            headers: (&head.headers).into(),
            status: head.status.as_u16(),
            url: self.url()?,
            version: head.version.try_into()?,
            metadata: None,
        })
    }
}

/// How often the server has answered 304.
static NOT_MODIFIED: AtomicU64 = AtomicU64::new(0);

const TAG: &str = "\"54f0c581810ec81bc3bc0044755a4270fb41ca813bc488e8694169351c54cef2\"";
