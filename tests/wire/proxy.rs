//! A reverse proxy: the bodies of its responses come from Hyper's client.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, Response, StatusCode, Version},
    middleware::{from_fn, Next},
    routing::get,
    Router,
};
use futures_util::stream::{self, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tower::{service_fn, BoxError, Layer, Service};
use tower_conditional::ConditionalLayer;

use crate::{ask, get_of, send, serve, tag_of, try_ask, MISS, TEXT, VERSIONS};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_comes_from_another_server_is_tagged_as_if_it_were_made_here() {
    for version in VERSIONS {
        let (origin, asked) = origin(version).await;
        let layer =
            ConditionalLayer::new().sized_body_timeout(PATIENCE).unsized_body_timeout(PATIENCE);
        let proxy = serve(version, layer.layer(proxy_to(version, origin))).await;
        for path in ["/known", "/unknown"] {
            let tag = tag_of(TEXT);
            let whole = ask(version, proxy, get_of(path, &[])).await;
            assert_eq!((whole.status, whole.text()), (200, TEXT), "{version:?} {path}");
            assert_eq!(whole.field("etag"), Some(&*tag), "{version:?} {path}");
            for (inm, expected) in [(&*tag, (304, "")), (MISS, (200, TEXT))] {
                let reply = ask(version, proxy, get_of(path, &[("if-none-match", inm)])).await;
                assert_eq!((reply.status, reply.text()), expected, "{version:?} {path} {inm}");
            }
        }
        let own = ask(version, proxy, get_of("/own", &[("if-none-match", "\"own\"")])).await;
        assert_eq!((own.status, own.field("etag")), (304, Some("\"own\"")), "{version:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 7, "{version:?}: each request went through");
    }
}

#[tokio::test]
async fn what_the_other_server_sends_slowly_is_passed_on_as_it_comes() {
    for version in VERSIONS {
        let (origin, _) = origin(version).await;
        // Of unknown size: no patience by default.
        let proxy = serve(version, ConditionalLayer::new().layer(proxy_to(version, origin))).await;
        let response = send(version, proxy, get_of("/endless", &[])).await.unwrap();
        assert_eq!(
            (response.status(), response.headers().get("etag")),
            (StatusCode::OK, None),
            "{version:?}"
        );
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, TEXT, "{version:?}: the rest never comes");
    }
}

#[tokio::test]
async fn a_transfer_that_the_other_server_breaks_off_is_broken_off_here() {
    for version in VERSIONS {
        let (origin, _) = origin(version).await;
        for layer in
            [ConditionalLayer::new(), ConditionalLayer::new().sized_body_timeout(Duration::ZERO)]
        {
            let proxy = serve(version, layer.layer(proxy_to(version, origin))).await;
            for path in ["/cut", "/cut-unknown"] {
                let reply = try_ask(version, proxy, get_of(path, &[("if-none-match", MISS)])).await;
                assert!(reply.is_err(), "{version:?} {path}: {reply:?}");
            }
        }
    }
}

/// The server behind the proxy, and how often it was asked.
async fn origin(version: Version) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let unknown =
        || async { Body::from_stream(stream::iter(["he", "llo"].map(Ok::<_, Infallible>))) };
    let endless = || async {
        let first = stream::iter([Ok::<_, Infallible>(TEXT)]);
        Body::from_stream(first.chain(stream::pending()))
    };
    let router = Router::new()
        .route("/known", get(TEXT))
        .route("/unknown", get(unknown))
        .route("/own", get(|| async { ([("etag", "\"own\"")], TEXT) }))
        .route("/endless", get(endless))
        .route("/cut", get(|| async { ([("content-length", "10")], cut()) }))
        .route("/cut-unknown", get(|| async { cut() }))
        .layer(from_fn(move |request, next: Next| {
            counted.fetch_add(1, Ordering::Relaxed);
            next.run(request)
        }));
    (serve(version, router).await, asked)
}

/// Half of the content, and an error.
fn cut() -> Body {
    let later = stream::once(async {
        // So that the half is sent first.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::other("broken"))
    });
    Body::from_stream(stream::iter([Ok(TEXT)]).chain(later))
}

/// Passes requests on, one connection each, and the responses back as they come.
fn proxy_to(
    version: Version,
    origin: SocketAddr,
) -> impl Service<Request<Incoming>, Response = Response<Incoming>, Error = BoxError, Future: Send> + Clone
{
    service_fn(move |request: Request<Incoming>| async move {
        let (mut head, body) = request.into_parts();
        head.uri = format!("http://origin{}", head.uri.path()).parse()?;
        head.version = version;
        send(version, origin, Request::from_parts(head, Body::new(body))).await
    })
}
