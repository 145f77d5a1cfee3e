//! Two editors change one document at once. With If-Match, neither loses an edit.
//!
//! Run it with `cargo run --all-features --example editors`. The example serves a list
//! behind a `WriteGuard`. Two clients append lines to the list over real connections,
//! first with If-Match and then without. In both cases the example prints how many of
//! the lines are in the list at the end. Without If-Match, lines get lost.

#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{extract::State, routing::get, Json, Router, ServiceExt};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{connect::HttpConnector, Client},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower_conditional::{client::Update, ConditionalLayer, WriteGuard};

type Lines = Arc<Mutex<Vec<String>>>;
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = serve().await?;
    let client = Client::builder(TokioExecutor::new()).build_http();

    let add = |line| edit(&client, &url, line);
    let (one, other) = tokio::join!(add("one"), add("two"));
    println!("{} edits, {} conflicts", EDITS * 2, one? + other?);
    println!("with If-Match:    {} lines are left", read(&client, &url).await?.len());

    put(&client, &url, &[]).await?;
    let (one, other) =
        tokio::join!(overwrite(&client, &url, "one"), overwrite(&client, &url, "two"));
    one.and(other)?;
    println!("without If-Match: {} lines are left", read(&client, &url).await?.len());
    Ok(())
}

/// Appends lines, and returns how often another editor came first.
async fn edit(client: &HttpClient, url: &str, name: &str) -> Result<usize, Failure> {
    let update = Update::new(Request::get(url).body(())?).attempts(20);
    let mut calls = 0;
    for edit in 1..=EDITS {
        let append = |json: &[u8]| {
            calls += 1;
            let mut lines: Vec<String> = serde_json::from_slice(json)?;
            lines.push(format!("{name} {edit}"));
            serde_json::to_vec(&lines)
        };
        update.run(client.clone(), append).await?;
    }
    Ok(calls - EDITS)
}

/// Appends lines without If-Match, as most clients do.
async fn overwrite(client: &HttpClient, url: &str, name: &str) -> Result<(), Failure> {
    for edit in 1..=EDITS {
        let mut lines = read(client, url).await?;
        lines.push(format!("{name} {edit}"));
        put(client, url, &lines).await?;
    }
    Ok(())
}

async fn read(client: &HttpClient, url: &str) -> Result<Vec<String>, Failure> {
    let response = client.get(url.parse()?).await?;
    Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
}

async fn put(client: &HttpClient, url: &str, lines: &[String]) -> Result<(), Failure> {
    let content = Full::from(serde_json::to_vec(lines)?);
    let request = Request::builder().method(Method::PUT).uri(url);
    let request = request.header("content-type", "application/json");
    client.request(request.body(content)?).await?;
    Ok(())
}

/// Serves a list, and returns its URL.
async fn serve() -> Result<String, Failure> {
    let read = |State(lines): State<Lines>| async move {
        Json(lines.lock().unwrap_or_else(PoisonError::into_inner).clone())
    };
    let write = |State(lines): State<Lines>, Json(new): Json<Vec<String>>| async move {
        *lines.lock().unwrap_or_else(PoisonError::into_inner) = new;
    };
    let app = Router::new()
        .route("/lines", get(read).put(write))
        .layer(ConditionalLayer::new())
        .with_state(Lines::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/lines", listener.local_addr()?);
    let app = WriteGuard::axum(app);
    let app = ServiceExt::<axum::extract::Request>::into_make_service(app);
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(url)
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// How many lines each editor appends.
const EDITS: usize = 20;
