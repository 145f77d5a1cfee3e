//! How much memory the layer holds, as the system sees it (`VmRSS`), in cases that once
//! were, or could be, too much. Each runs in a process of its own.
//!
//! `cargo bench --bench memory`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{convert::Infallible, env, fs, io::Write, process::Command, time::Duration};

use axum::{body::Body, routing::get, Router};
use bytes::Bytes;
use futures_util::stream;
use http::{header, HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::{client::conn::http2, server};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{AddLastModified, ConditionalLayer, InnerTags};

/// The layer with all that remembers anything.
fn everything() -> ConditionalLayer {
    ConditionalLayer::new().inner_tags(InnerTags::replace()).ranges(true)
}

/// Prints how many bytes each store takes for one resource, when it is full.
fn per_resource() {
    let default = || ConditionalLayer::new().content_cache(0);
    let undated = || default().add_last_modified(AddLastModified::Never);
    let cases: [(&str, u32, &dyn Fn() -> ConditionalLayer, HeaderMap); 4] = [
        ("dates", 65_536, &default, HeaderMap::new()),
        ("inner validators", 8_192, &undated, with(&[TAG, PARTS])),
        ("learned tags", 16_384, &|| undated().inner_tags(InnerTags::replace()), with(&[TAG])),
        (
            "content cache, and 64 bytes of content",
            4_096,
            &|| undated().content_cache(16 << 20),
            HeaderMap::new(),
        ),
    ];
    println!("bytes for each resource:");
    for (stores, count, layer, fields) in cases {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut held = None;
        let measured = allocation_counter::measure(|| {
            let layer = held.insert(layer());
            runtime.block_on(uris(Some(layer), &fields, count));
        });
        println!("  {stores}: {}", measured.bytes_current / i64::from(count));
    }
}

const CASES: [(&str, &str); 10] = [
    ("slices", "slices of 20 `Bytes` of 32 MiB"),
    ("slices-later", "and eleven seconds later"),
    ("streams", "200 unread streams of 1 MiB on one HTTP/2 connection"),
    ("streams-bare", "the same without the layer"),
    ("variants", "65,536 resources with 8 variants each"),
    ("fields", "20 fields in `Vary`"),
    ("uris", "1,000,000 resources, default layer"),
    ("parts", "1,000,000 resources with a tag, a date and parts, default layer"),
    ("everything", "the same, tags learned and parts served"),
    ("nothing", "the same without the layer"),
];

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(case) = arguments.next() else {
        for (case, title) in CASES {
            print!("{title}: ");
            std::io::stdout().flush().unwrap();
            let done = Command::new(env::current_exe().unwrap()).arg(case).status().unwrap();
            assert!(done.success());
        }
        per_resource();
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = memory();
    let note = runtime.block_on(run(&case));
    let after = memory();
    println!("{after} KiB, {before} KiB before{note}");
}

async fn run(case: &str) -> String {
    let mut layer = ConditionalLayer::new();
    match case {
        "slices" => slices(&layer).await,
        "slices-later" => {
            slices(&layer).await;
            for second in [0, 11] {
                tokio::time::sleep(Duration::from_secs(second)).await;
                let content = Bytes::from(format!("new content {second}"));
                fetch(&layer, "/new", &[], HeaderMap::new(), content).await;
            }
        }
        "streams" => return streams(|router| router.layer(ConditionalLayer::new())).await,
        "streams-bare" => return streams(|router| router).await,
        "variants" => variants(&layer).await,
        "fields" => return fields(&layer).await,
        "uris" => uris(Some(&layer), &HeaderMap::new(), MILLION).await,
        "parts" => uris(Some(&layer), &with(&[TAG, DATE, PARTS]), MILLION).await,
        "everything" => {
            layer = everything();
            uris(Some(&layer), &with(&[TAG, DATE, PARTS]), MILLION).await;
        }
        "nothing" => uris(None, &with(&[TAG, DATE, PARTS]), MILLION).await,
        _ => panic!("no case {case}"),
    }
    // What it remembers must still be there when the memory is read.
    std::mem::forget(layer);
    String::new()
}

async fn slices(layer: &ConditionalLayer) {
    for version in 0..20_u8 {
        let bundle = Bytes::from(vec![version; 32 << 20]);
        for _ in 0..3 {
            let uri = format!("/{version}");
            fetch(layer, &uri, &[], HeaderMap::new(), bundle.slice(4_000..6_000)).await;
        }
    }
}

async fn variants(layer: &ConditionalLayer) {
    let vary = HeaderMap::from_iter([(header::VARY, HeaderValue::from_static("accept"))]);
    for resource in 0..65_536 {
        for variant in 0..8 {
            let (uri, accept) = (format!("/{resource}"), format!("text/{variant}"));
            let content = Bytes::from(format!("{resource} {variant}"));
            fetch(layer, &uri, &[("accept", &accept)], vary.clone(), content).await;
        }
    }
}

/// Says for how many fields in `Vary` a date is generated.
async fn fields(layer: &ConditionalLayer) -> String {
    let mut known = 0;
    for _ in 0..3 {
        // No date is generated in the first seconds.
        tokio::time::sleep(Duration::from_secs(2)).await;
        known = 0;
        for field in 0..20 {
            let name = HeaderValue::try_from(format!("x-{field}")).unwrap();
            let vary = HeaderMap::from_iter([(header::VARY, name)]);
            let (uri, content) = (format!("/{field}"), Bytes::from_static(b"content"));
            let head = fetch(layer, &uri, &[], vary, content).await;
            known += u32::from(head.contains_key(header::LAST_MODIFIED));
        }
    }
    format!("; {known} of 20 fields known")
}

fn with(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    let lines = fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
    lines.collect()
}

/// A tag, which is then that of the resource.
const TAG: (HeaderName, &str) = (header::ETAG, "");
const DATE: (HeaderName, &str) = (header::LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT");
const PARTS: (HeaderName, &str) = (header::ACCEPT_RANGES, "bytes");

/// Asks for each resource twice.
async fn uris(layer: Option<&ConditionalLayer>, fields: &HeaderMap, count: u32) {
    for resource in 0..count {
        let uri = format!("/{resource}");
        let content = Bytes::from(format!("{resource:064}"));
        let mut fields = fields.clone();
        if fields.contains_key(header::ETAG) {
            fields.insert(header::ETAG, HeaderValue::try_from(format!("\"{resource}\"")).unwrap());
        }
        for _ in 0..2 {
            match layer {
                Some(layer) => {
                    fetch(layer, &uri, &[], fields.clone(), content.clone()).await;
                }
                None => drop((fields.clone(), content.clone(), uri.clone())),
            }
        }
    }
}

const MILLION: u32 = 1_000_000;

/// Sends one request through the layer, and takes the response to its end.
async fn fetch(
    layer: &ConditionalLayer,
    uri: &str,
    lines: &[(&str, &str)],
    fields: HeaderMap,
    content: Bytes,
) -> HeaderMap {
    let inner = service_fn(|_: Request<()>| {
        let mut response = Response::new(Full::new(content.clone()));
        *response.headers_mut() = fields.clone();
        async { Ok::<_, Infallible>(response) }
    });
    let mut request = Request::get(uri);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let request = request.body(()).unwrap();
    let (head, mut body) = layer.layer(inner).oneshot(request).await.unwrap().into_parts();
    while !body.is_end_stream() {
        if body.frame().await.is_none() {
            break;
        }
    }
    head.headers
}

async fn streams(wrap: impl FnOnce(Router) -> Router) -> String {
    let router = wrap(Router::new().route("/{number}", get(|| async { framed() })));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let stream = TokioIo::new(listener.accept().await.unwrap().0);
        let service = TowerToHyperService::new(router);
        server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(stream, service)
            .await
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1_024).initial_connection_window_size(65_535);
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut unread = Vec::new();
    for number in 0..200 {
        let request = Request::get(format!("http://home/{number}")).body(Body::empty()).unwrap();
        unread.push(tokio::spawn(sender.send_request(request)));
    }
    let mut responses = Vec::new();
    for response in unread {
        responses.push(response.await.unwrap().unwrap());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::mem::forget(responses);
    String::new()
}

/// 1 MiB in frames of 64 KiB, each made when it is asked for.
fn framed() -> Response<Body> {
    let frames = stream::unfold(16, |left| async move {
        (left > 0).then(|| (Ok::<_, Infallible>(Bytes::from(vec![7; 64 << 10])), left - 1))
    });
    Response::builder().header("content-length", 1 << 20).body(Body::from_stream(frames)).unwrap()
}

/// How many KiB this process holds.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
