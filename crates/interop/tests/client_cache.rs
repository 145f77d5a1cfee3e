//! What clients make of our validators: a stock cache in front of the layer, and our
//! own client's half over `reqwest`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    future::ready,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex,
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    extract::{Request, State},
    http::header,
    middleware::{from_fn_with_state, Next},
    response::Response,
    routing::get,
    Router, ServiceExt,
};
use http_body_util::BodyExt;
use http_cache_reqwest::{Cache, CacheMode, HttpCache, HttpCacheOptions, MokaManager};
use reqwest::{Client, StatusCode};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};
use tower::{BoxError, Layer, Service, ServiceExt as _};
use tower_conditional::{
    client::{Polled, RevalidateLayer, Update},
    AddLastModified, ConditionalLayer, WriteGuard,
};
use tower_http::compression::CompressionLayer;

#[path = "../../../examples/axum.rs"]
#[allow(dead_code, unreachable_pub)]
mod axum_example;
#[path = "../examples/poll.rs"]
#[allow(dead_code, unreachable_pub)]
mod poll_example;

/// What the server was asked and answered, a line each: method, conditional fields,
/// status.
type Log = Arc<Mutex<Vec<String>>>;

#[tokio::test]
async fn a_stock_cache_revalidates_and_gets_304s() {
    let (url, log) = serve(axum_example::app()).await;
    let client = cached();
    let before = read(&client, &url).await;
    let after = before.replace(r#""dark-mode":true"#, r#""dark-mode":false"#);
    assert_ne!(before, after);

    // The user of the cache gets a 200 and the content each time, wherever they came
    // from.
    for _ in 0..3 {
        assert_eq!(read(&client, &url).await, before);
    }
    assert_eq!(
        taken(&log),
        ["GET 200", "GET if-none-match 304", "GET if-none-match 304", "GET if-none-match 304"]
    );

    for (claim, content) in
        [("a change is seen at once", &after), ("and so is its rollback", &before)]
    {
        write(&url, content).await;
        for _ in 0..2 {
            assert_eq!(read(&client, &url).await, *content, "{claim}");
        }
        assert_eq!(
            taken(&log),
            ["PUT 204", "GET if-none-match 200", "GET if-none-match 304"],
            "{claim}"
        );
    }
}

/// The cache holds gzip for the client that takes it, and gives it to no other.
#[tokio::test]
async fn a_stock_cache_revalidates_compressed_content() {
    let page = "a page that is worth compressing, ".repeat(20);
    let handler = move || ready(page.clone());
    let layer = ConditionalLayer::new().compress_with(CompressionLayer::new());
    let (url, log) = serve(Router::new().route("/flags", get(handler.clone())).layer(layer)).await;
    let client = cached();
    let read = async |accepts| {
        let request = client.get(&url).header(header::ACCEPT_ENCODING, accepts);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let coding = response.headers().get(header::CONTENT_ENCODING).cloned();
        let tag = response.headers()[header::ETAG].to_str().unwrap().to_owned();
        (coding.is_some(), tag, response.bytes().await.unwrap())
    };
    let plain = handler().await;
    let first = read("gzip").await;
    assert!(first.0 && first.1.ends_with("~gzip\"") && first.2.starts_with(&[0x1f, 0x8b]));
    for _ in 0..2 {
        assert_eq!(read("gzip").await, first);
    }
    assert_eq!(taken(&log), ["GET 200", "GET if-none-match 304", "GET if-none-match 304"]);
    for accepts in ["identity", "gzip", "identity"] {
        let (is_encoded, _, content) = read(accepts).await;
        assert_eq!(is_encoded, accepts == "gzip");
        assert!(is_encoded && content == first.2 || content == plain, "{accepts}");
    }
}

#[tokio::test]
async fn an_old_date_keeps_a_stock_cache_from_asking_only_where_freshness_is_left() {
    for (add, statuses) in [
        (AddLastModified::WithNoCache, &["200", "304", "304"][..]),
        (AddLastModified::IfFreshnessStated, &["200", "304", "304"]),
        (AddLastModified::Alone, &["200"]),
    ] {
        // The content was first seen long ago, and the cache thinks that it will stay
        // for a while.
        let seconds = AtomicU64::new(1_700_000_000);
        let now =
            move || UNIX_EPOCH + Duration::from_secs(seconds.fetch_add(10, Ordering::Relaxed));
        let layer = ConditionalLayer::new().clock(now).add_last_modified(add);
        let (url, log) =
            serve(Router::new().route("/flags", get(|| async { "{}" })).layer(layer)).await;
        read(&Client::new().into(), &url).await;
        taken(&log);

        let client = cached();
        for _ in 0..3 {
            assert_eq!(read(&client, &url).await, "{}", "{add:?}");
        }
        let seen = taken(&log);
        assert_eq!(
            seen.iter().map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(),
            statuses,
            "{add:?}"
        );
    }
}

#[tokio::test]
async fn polled_over_reqwest_parses_only_what_has_changed() {
    let (url, log) = serve(axum_example::app()).await;
    let request = http::Request::get(&url).body(()).unwrap();
    let mut service = poll_example::service(10).unwrap();
    let flags = Polled::<Value>::new();
    let mut parsed = 0;
    for content in [r#"{"a":true}"#, r#"{"b":true}"#] {
        write(&url, content).await;
        for _ in 0..3 {
            let parse = |json: &[u8]| {
                parsed += 1;
                serde_json::from_slice(json)
            };
            flags.refresh(&mut service, &request, parse).await.unwrap();
        }
    }
    assert_eq!((parsed, flags.get().unwrap().to_string()), (2, r#"{"b":true}"#.to_owned()));
    let statuses = taken(&log)
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert_eq!(statuses, ["204", "200", "304", "304", "204", "200", "304", "304"]);
}

#[tokio::test]
async fn the_layer_over_reqwest_gets_304s_and_gives_200s() {
    let (url, log) = serve(axum_example::app()).await;
    let mut service = RevalidateLayer::new(1 << 20).layer(poll_example::service(10).unwrap());
    for content in [r#"{"a":true}"#, r#"{"b":true}"#] {
        write(&url, content).await;
        for _ in 0..3 {
            let request = http::Request::get(&url).body(reqwest::Body::default()).unwrap();
            let response = service.ready().await.unwrap().call(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), content);
        }
    }
    let log = taken(&log);
    let statuses: Vec<_> = log.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(statuses, ["204", "200", "304", "304", "204", "200", "304", "304"]);
}

#[tokio::test]
async fn updates_over_reqwest_lose_no_edit() {
    let note = Arc::new(Mutex::new("0".to_owned()));
    let (read, write) = (Arc::clone(&note), Arc::clone(&note));
    let read = move || ready(read.lock().unwrap().clone());
    let write = move |content: String| {
        *write.lock().unwrap() = content;
        ready(())
    };
    let app = Router::new().route("/flags", get(read).put(write)).layer(ConditionalLayer::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/flags", listener.local_addr().unwrap());
    let app = ServiceExt::<Request>::into_make_service(WriteGuard::axum(app));
    tokio::spawn(async { axum::serve(listener, app).await });
    let request = http::Request::get(url).header("content-type", "text/plain").body(()).unwrap();
    let update = Update::new(request).attempts(100);
    let mut editors = JoinSet::new();
    for _ in 0..8 {
        let (service, update) = (poll_example::service(10).unwrap(), update.clone());
        let plus_one = |content: &[u8]| {
            let number: u32 = std::str::from_utf8(content)?.parse()?;
            Ok::<_, BoxError>((number + 1).to_string())
        };
        editors.spawn(async move { update.run(service, plus_one).await.unwrap() });
    }
    while let Some(result) = editors.join_next().await {
        result.unwrap();
    }
    assert_eq!(*note.lock().unwrap(), "8");
}

#[tokio::test]
async fn polled_over_reqwest_holds_what_it_has_when_a_refresh_fails() {
    let asked = Arc::new(AtomicU64::new(0));
    let answers = [
        (StatusCode::OK, "{\"a\":true}"),
        (StatusCode::OK, "{"),
        (StatusCode::SERVICE_UNAVAILABLE, ""),
    ];
    let next = move || async move { answers[asked.fetch_add(1, Ordering::Relaxed) as usize] };
    let (url, log) =
        serve(Router::new().route("/flags", get(next)).layer(ConditionalLayer::new())).await;
    let request = http::Request::get(url).body(()).unwrap();
    let mut service = poll_example::service(10).unwrap();
    let flags = Polled::<Value>::new();
    for fails in [false, true, true] {
        let parse = |json: &[u8]| serde_json::from_slice(json);
        let result = flags.refresh(&mut service, &request, parse).await;
        assert_eq!(result.is_err(), fails);
        assert_eq!(flags.get().unwrap().to_string(), r#"{"a":true}"#);
    }
    assert_eq!(taken(&log), ["GET 200", "GET if-none-match 200", "GET if-none-match 503"]);
}

/// Serves an application on loopback, and notes what passes.
async fn serve(app: Router) -> (String, Log) {
    let log = Log::default();
    let app = app.layer(from_fn_with_state(Arc::clone(&log), note));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/flags", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    (url, log)
}

async fn note(State(log): State<Log>, request: Request, next: Next) -> Response {
    let mut line = request.method().to_string();
    for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
        if request.headers().contains_key(&name) {
            line = format!("{line} {name}");
        }
    }
    let response = next.run(request).await;
    log.lock().unwrap().push(format!("{line} {}", response.status().as_u16()));
    response
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

/// A client with a cache that works by RFC 9111. It is a shared one, by default.
fn cached() -> ClientWithMiddleware {
    let cache = HttpCache {
        mode: CacheMode::Default,
        manager: MokaManager::default(),
        options: HttpCacheOptions::default(),
    };
    ClientBuilder::new(Client::new()).with(Cache(cache)).build()
}

async fn read(client: &ClientWithMiddleware, url: &str) -> String {
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.text().await.unwrap()
}

async fn write(url: &str, content: &str) {
    let request = Client::new()
        .put(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(content.to_owned());
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
}
