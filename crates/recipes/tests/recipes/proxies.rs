//! A reverse proxy, a client with a cache, and an application behind a CDN.

use std::sync::{Arc, Mutex};

use axum::{
    extract::{Request, State},
    http::{header::HOST, uri::Authority},
    middleware::{from_fn_with_state, Next},
    response::Response,
    routing::get,
    Router,
};
use http_cache_reqwest::{Cache, CacheMode, HttpCache, HttpCacheOptions, MokaManager};
use reqwest_middleware::ClientBuilder;
use tower_conditional::ConditionalLayer;

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/behind_cdn.rs"]
#[allow(dead_code, unreachable_pub)]
mod behind_cdn;
#[path = "../../examples/client_cache.rs"]
#[allow(dead_code, unreachable_pub)]
mod client_cache;
#[path = "../../examples/reverse_proxy.rs"]
#[allow(dead_code, unreachable_pub)]
mod reverse_proxy;

/// What an application was asked and answered.
type Log = Arc<Mutex<Vec<String>>>;

fn logged(app: Router) -> (Router, Log) {
    let log = Log::default();
    (app.layer(from_fn_with_state(Arc::clone(&log), note)), log)
}

async fn note(State(log): State<Log>, request: Request, next: Next) -> Response {
    let tag = request.headers().get("if-match").map_or("", |tag| tag.to_str().unwrap());
    let asked = format!("{} {tag}", request.method());
    let response = next.run(request).await;
    log.lock().unwrap().push(format!(
        "{} {}",
        asked.trim(),
        response.status().as_u16()
    ));
    response
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

#[tokio::test]
async fn reverse_proxy_tags_what_the_upstream_does_not() {
    let (upstream, log) = logged(
        Router::new().route(
            "/flags",
            get(|request: Request| async move {
                let host = request.headers()[HOST].to_str().unwrap().to_owned();
                if host == "site.example" {
                    host
                } else {
                    "dark-mode".to_owned()
                }
            })
            .put(|| async { "written" }),
        ),
    );
    let upstream = Server::new(upstream).await;
    let server = Server::new(reverse_proxy::app(upstream.authority())).await;
    assert_revalidates(&server, "/flags", &[]).await;
    assert_eq!(taken(&log), ["GET 200", "GET 200"]);
    let host = server.get("/flags", &[("host", "site.example")]).await;
    assert_eq!(host.text(), "site.example");
    assert_shown(&server, "A reverse proxy").await;
    let (head, get) =
        (server.ask("HEAD", "/flags", &[], "").await, server.get("/flags", &[]).await);
    assert_eq!((head.status, head.tag(), head.text()), (200, get.tag(), ""));
    taken(&log);
    let put = server.ask("PUT", "/flags", &[("if-match", "\"1\"")], "new").await;
    assert_eq!((put.status, put.text()), (200, "written"));
    assert_eq!(taken(&log), ["PUT \"1\" 200"]);
    assert_conforms(&server.check("/flags").await, &[]);
}

#[tokio::test]
async fn reverse_proxy_says_when_the_upstream_is_gone() {
    let server =
        Server::new(reverse_proxy::app(Authority::from_static("127.0.0.1:9"))).await;
    let reply = server.get("/flags", &[("if-none-match", "*")]).await;
    assert_eq!((reply.status, reply.tag()), (502, ""));
}

#[tokio::test]
async fn client_cache_shows_200_and_gets_304() {
    let app = Router::new().route("/flags", get(|| async { "dark-mode" }));
    let (app, log) = logged(app.layer(ConditionalLayer::new()));
    let server = Server::new(app).await;
    let client = client_cache::client();
    for cached in ["MISS", "HIT", "HIT"] {
        let response =
            client.get(format!("{}/flags", server.url)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-cache"], cached);
        assert_eq!(response.text().await.unwrap(), "dark-mode");
    }
    assert_eq!(taken(&log), ["GET 200", "GET 304", "GET 304"]);
}

#[tokio::test]
async fn behind_cdn_says_who_may_store_what() {
    let server = Server::new(behind_cdn::app()).await;
    assert_shown(&server, "Behind nginx or a CDN").await;
    for (path, freshness) in [
        ("/items/1", "public, max-age=0, s-maxage=60, stale-if-error=3600"),
        ("/basket", "private, no-cache"),
    ] {
        for coding in ["gzip", "identity"] {
            let accept = ("accept-encoding", coding);
            assert_revalidates(&server, path, &[accept]).await;
            let whole = server.get(path, &[accept]).await;
            assert_eq!(whole.field("cache-control"), freshness);
            let again =
                server.get(path, &[accept, ("if-none-match", whole.tag())]).await;
            assert_eq!(again.field("cache-control"), freshness);
            if path == "/items/1" {
                assert_eq!(whole.field("vary"), "accept-encoding");
            }
            assert_eq!(again.field("vary"), "accept-encoding");
        }
        assert_conforms(&server.check(path).await, &[]);
    }
}

/// By RFC 9111, with a shared cache in place of the CDN, and with a browser's.
#[tokio::test]
async fn behind_cdn_is_asked_once_a_minute() {
    let (app, log) = logged(behind_cdn::app());
    let server = Server::new(app).await;
    // Shared is what it is by default.
    let cdn = HttpCache {
        mode: CacheMode::Default,
        manager: MokaManager::default(),
        options: HttpCacheOptions::default(),
    };
    let cdn = ClientBuilder::new(reqwest::Client::new()).with(Cache(cdn)).build();
    let browser = client_cache::client();
    let again = &["GET 200", "GET 304", "GET 304"][..];
    for (client, path, said) in [
        (&cdn, "/items/1", &["GET 200"][..]),
        (&cdn, "/basket", &["GET 200", "GET 200", "GET 200"]),
        (&browser, "/items/1", again),
        (&browser, "/basket", again),
    ] {
        for _ in 0..3 {
            let response =
                client.get(format!("{}{path}", server.url)).send().await.unwrap();
            assert_eq!(response.status(), 200);
        }
        assert_eq!(taken(&log), said, "{path}");
    }
}

#[tokio::test]
async fn reverse_proxy_keeps_the_fields_of_a_connection() {
    let fields = |request: Request| async move {
        let names = request.headers().keys().map(|name| name.as_str().to_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names.join(" ")
    };
    let upstream = Server::new(Router::new().fallback(fields)).await;
    let server = Server::new(reverse_proxy::app(upstream.authority())).await;
    let sent = [
        ("connection", "x-hop, close"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("x-end", "1"),
    ];
    assert_eq!(server.get("/", &sent).await.text(), "accept host x-end");
}
