//! A client that polls a configuration document, and parses it only when it has
//! changed.
//!
//! `cargo run -p interop --example poll` serves a document itself and polls it ten
//! times. `cargo run -p interop --example poll -- http://127.0.0.1:3000/flags 60` polls
//! another server for a minute.

#![allow(clippy::print_stdout)]

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    time::{Duration, Instant},
};

use axum::{routing::get, Json, Router};
use http::{Request, Response};
use reqwest::{redirect::Policy, Body, Client};
use tokio::{net::TcpListener, time};
use tower::{service_fn, util::BoxCloneService};
use tower_conditional::{client::Polled, ConditionalLayer};

type Flags = BTreeMap<String, bool>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut url, mut polls) = (None, 10);
    for argument in env::args().skip(1) {
        match argument.parse() {
            Ok(number) => polls = number,
            Err(_) => url = Some(argument),
        }
    }
    let url = match url {
        Some(url) => url,
        None => serve().await?,
    };
    let request = Request::get(url).body(())?;
    let mut service = service(10)?;
    let flags = Polled::<Flags>::new();
    let mut parsed = 0;
    for poll in 1..=polls {
        let parse = |json: &[u8]| {
            parsed += 1;
            serde_json::from_slice(json)
        };
        if let Err(error) = flags.refresh(&mut service, &request, parse).await {
            println!("{error}");
        }
        // If this poll failed, the last value is still the best one.
        println!("{poll:3}  {:?}, parsed {parsed} times", flags.get());
        time::sleep(flags.wait(Duration::from_secs(1)..=Duration::from_secs(60))).await;
    }
    Ok(())
}

/// Makes a Tower service from `reqwest`'s client. Its own service takes another request
/// type.
pub fn service(
    timeout: u64,
) -> reqwest::Result<BoxCloneService<Request<Body>, Response<Body>, reqwest::Error>> {
    // A tag is valid for one resource, so it must not be sent to the target of a
    // redirect.
    let client = Client::builder().redirect(Policy::none());
    let client = client.timeout(Duration::from_secs(timeout)).build()?;
    Ok(BoxCloneService::new(service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move { client.execute(request.try_into()?).await.map(Response::from) }
    })))
}

/// Serves a document that changes after five seconds, and returns its URL.
async fn serve() -> Result<String, Box<dyn Error>> {
    let start = Instant::now();
    let read = move || async move {
        let new_checkout = start.elapsed() > Duration::from_secs(5);
        Json(Flags::from([
            ("dark-mode".to_owned(), true),
            ("new-checkout".to_owned(), new_checkout),
        ]))
    };
    let app = Router::new().route("/flags", get(read)).layer(ConditionalLayer::new());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/flags", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(url)
}
