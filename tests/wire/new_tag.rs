//! The tag that a `WriteGuard` puts on the answer to a PUT: edits that follow one
//! another without any GET, and retries.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        Arc, Mutex,
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    http::HeaderMap as Headers,
    response::{IntoResponse, Response as AxumResponse},
    routing::get,
    Router,
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{service_fn, Layer};
use tower_conditional::{ConditionalLayer, EntityTag, RequestBody, WriteGuard};
use tower_http::compression::CompressionLayer;

use crate::support::{
    guarded::guarded,
    server::VERSIONS,
    wire::{axum, hyper, request, Http2, Reply, Wire},
};

/// A document, and how often it was written.
#[derive(Clone, Default)]
struct Document {
    content: Arc<Mutex<Option<Bytes>>>,
    writes: Arc<AtomicUsize>,
}

impl Document {
    fn read(&self) -> Option<Bytes> {
        self.content.lock().unwrap().clone()
    }

    /// Stores content; `false` if there was none.
    fn write(&self, content: Bytes) -> bool {
        self.writes.fetch_add(1, SeqCst);
        self.content.lock().unwrap().replace(content).is_some()
    }

    fn routes(&self) -> Router {
        async fn read(State(document): State<Document>) -> AxumResponse {
            document.read().ok_or(StatusCode::NOT_FOUND).into_response()
        }
        async fn write(State(document): State<Document>, new: Bytes) -> StatusCode {
            let is_there = document.write(new);
            if is_there {
                StatusCode::NO_CONTENT
            } else {
                StatusCode::CREATED
            }
        }
        Router::new().route("/", get(read).put(write)).with_state(self.clone())
    }

    /// Serves it with Hyper alone.
    async fn with_hyper(&self, version: Version) -> SocketAddr {
        let document = self.clone();
        let service = service_fn(move |request: Request<RequestBody<Incoming>>| {
            let document = document.clone();
            async move {
                let (status, content) = match *request.method() {
                    Method::GET => match document.read() {
                        Some(content) => (StatusCode::OK, content),
                        None => (StatusCode::NOT_FOUND, Bytes::new()),
                    },
                    _ => {
                        let new = request.into_body().collect().await.unwrap().to_bytes();
                        let is_there = document.write(new);
                        let status =
                            if is_there { StatusCode::NO_CONTENT } else { StatusCode::CREATED };
                        (status, Bytes::new())
                    }
                };
                let mut response = Response::new(Full::new(content));
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        hyper(version, WriteGuard::new(ConditionalLayer::new().layer(service))).await
    }
}

/// Sends a PUT over a connection of its own.
async fn put(
    version: Version,
    address: SocketAddr,
    fields: &[(&str, &str)],
    content: &'static [u8],
) -> Reply {
    let length = content.len().to_string();
    let fields = [fields, &[("content-length", &*length)]].concat();
    if version == Version::HTTP_2 {
        let mut client = Http2::connect(address).await;
        return client.send(&Method::PUT, "/", &fields, Body::from(content)).await.0;
    }
    let mut wire = Wire::connect(address).await;
    wire.send([request("PUT", "/", &fields).as_bytes(), content].concat()).await;
    wire.reply("PUT").await
}

/// Serves a guarded router.
async fn guard(version: Version, router: Router) -> SocketAddr {
    let router = Router::new().fallback_service(guarded(router).idempotent_puts(true));
    if version == Version::HTTP_2 {
        hyper(version, router).await
    } else {
        axum(router).await
    }
}

#[tokio::test]
async fn new_tag_of_a_put_is_that_of_the_next_one() {
    for version in VERSIONS {
        for with_axum in [true, false] {
            let document = Document::default();
            let address = if with_axum {
                guard(version, document.routes().layer(ConditionalLayer::new())).await
            } else {
                document.with_hyper(version).await
            };
            let case = format!("{version:?} {with_axum}");
            let contents: [&[u8]; 4] = [b"one", b"", &[b'x'; 100_000], b"{\"b\":2,\"a\":1}\n"];
            let mut tag: Option<String> = None;
            for (edits, content) in contents.into_iter().enumerate() {
                let field = match &tag {
                    Some(tag) => ("if-match", &**tag),
                    None => ("if-none-match", "*"),
                };
                let reply = put(version, address, &[field], content).await;
                assert_eq!(reply.status, if edits == 0 { 201 } else { 204 }, "{case}");
                let new = EntityTag::of(content).to_string();
                assert_eq!(reply.field("etag"), Some(&*new), "{case} {edits}");
                tag = Some(new);
            }
            let old = EntityTag::of(b"one").to_string();
            let reply = put(version, address, &[("if-match", &*old)], b"lost").await;
            assert_eq!((reply.status, reply.field("etag")), (412, tag.as_deref()), "{case}");
            assert_eq!(document.writes.load(SeqCst), 4, "{case}");
        }
    }
}

/// The GET that the guard asks with is compressed, and has another tag.
#[tokio::test]
async fn new_tag_is_left_out_where_the_content_is_compressed() {
    for accepts in [&[("accept-encoding", "gzip")][..], &[]] {
        let router = Document::default().routes().layer(CompressionLayer::new());
        let router = router.layer(ConditionalLayer::new());
        let address = guard(Version::HTTP_11, router).await;
        let fields = [&[("if-none-match", "*")], accepts].concat();
        let reply = put(Version::HTTP_11, address, &fields, &[b'x'; 10_000]).await;
        // It says `Vary` whether it is compressed or not.
        assert_eq!((reply.status, reply.field("etag")), (201, None), "{accepts:?}");
    }
}

/// A client that has lost the answer sends the same again.
#[tokio::test]
async fn new_tag_that_was_lost_with_the_connection_is_no_conflict() {
    let document = Document::default();
    document.write("old".into());
    let kept = document.clone();
    // Its first write is stored, and never answered.
    let cuts = move |headers: Headers, new: Bytes| {
        let kept = kept.clone();
        async move {
            kept.write(new);
            if headers.contains_key("x-cut") {
                std::future::pending::<()>().await;
            }
            StatusCode::NO_CONTENT
        }
    };
    let read = document.clone();
    let read = move || {
        let content = read.read().unwrap();
        async { content }
    };
    let router = Router::new().route("/", get(read).put(cuts)).layer(ConditionalLayer::new());
    let address = guard(Version::HTTP_11, router).await;
    let old = EntityTag::of(b"old").to_string();
    let fields = [("if-match", &*old), ("content-length", "3")];
    let mut wire = Wire::connect(address).await;
    wire.send(request("PUT", "/", &[&fields[..], &[("x-cut", "1")]].concat()) + "new").await;
    while document.writes.load(SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(wire);
    let reply = put(Version::HTTP_11, address, &fields[..1], b"new").await;
    assert_eq!((reply.status, reply.field("etag")), (204, None));
    assert_eq!(document.writes.load(SeqCst), 2, "it was written once");
    let reply = put(Version::HTTP_11, address, &fields[..1], b"other").await;
    assert_eq!(reply.status, 412);
}
