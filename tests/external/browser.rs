//! Chromium: loads a page that is compressed, and loads it again.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::{from_fn_with_state, Next},
    response::{Html, Response},
    routing::get,
    Router,
};
use tokio::{process::Command, time::timeout};
use tower_conditional::ConditionalLayer;
use tower_http::compression::CompressionLayer;

use crate::support::wire::{axum, Folder};

/// What the browser asked by and got, a line each.
type Log = Arc<Mutex<Vec<String>>>;

pub(crate) async fn chromium_revalidates_a_page_by_the_tag_of_its_gzip() {
    let page = format!("<title>page</title><p>{}</p>", "a page, ".repeat(100));
    let log = Log::default();
    let compressed = ConditionalLayer::new().compress_with(CompressionLayer::new());
    let app = Router::new()
        .route(
            "/",
            get({
                let page = page.clone();
                move || async { Html(page) }
            }),
        )
        .layer(compressed)
        .layer(from_fn_with_state(Arc::clone(&log), note));
    let address = axum(app).await;
    let folder = Folder::new("chromium");
    let profile = folder.0.join("profile");
    fs::create_dir_all(&profile).unwrap();
    let shown = async || {
        let mut chromium = Command::new("chromium");
        chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
        chromium.arg(format!("--user-data-dir={}", profile.display()));
        chromium.arg(format!("http://{address}/")).kill_on_drop(true);
        let output = timeout(Duration::from_secs(120), chromium.output()).await.unwrap().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let first = shown().await;
    assert!(first.contains(&"a page, ".repeat(100)), "{first}");
    let asked = std::mem::take(&mut *log.lock().unwrap());
    let [line] = &asked[..] else { panic!("{asked:?}") };
    let tag = line.strip_prefix("none 200 ").unwrap();
    assert!(tag.starts_with('"') && tag.contains('~'), "{tag}");

    assert_eq!(shown().await, first);
    assert_eq!(*log.lock().unwrap(), [format!("{tag} 304 {tag}")]);
}

async fn note(State(log): State<Log>, request: Request, next: Next) -> Response {
    let is_page = request.uri().path() == "/";
    let asked = request.headers().get("if-none-match").cloned();
    let response = next.run(request).await;
    if is_page {
        let text = |value: Option<&http::HeaderValue>| {
            value.map_or("none", |value| value.to_str().unwrap()).to_owned()
        };
        let (asked, tag) = (text(asked.as_ref()), text(response.headers().get("etag")));
        log.lock().unwrap().push(format!("{asked} {} {tag}", response.status().as_u16()));
    }
    response
}
