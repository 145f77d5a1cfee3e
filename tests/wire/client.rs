//! The client's half against our own server, over `hyper-util`'s client.

use std::net::SocketAddr;

use ::axum::Router;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{connect::HttpConnector, Client},
    rt::TokioExecutor,
};
use tokio::task::JoinSet;
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_conditional::{
    client::{Polled, RevalidateLayer, Update},
    ConditionalLayer, WriteGuard,
};

use crate::support::{
    note::{note, routes, text, Text},
    wire::{axum, hyper},
};

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

fn uri(address: SocketAddr) -> String {
    format!("http://{address}/note")
}

/// Serves a note, and returns the layer that tags it.
async fn serve(note: &Text) -> (SocketAddr, ConditionalLayer) {
    let layer = ConditionalLayer::new();
    (axum(routes(note).layer(layer.clone())).await, layer)
}

#[tokio::test]
async fn client_polls_and_reads_only_what_has_changed() {
    let note = note("one");
    let (address, layer) = serve(&note).await;
    let request = Request::get(uri(address)).body(()).unwrap();
    let (polled, mut client) = (Polled::<String>::new(), client());
    let mut parsed = 0;
    for content in ["one", "one", "two", "two", "one", "one"] {
        content.clone_into(&mut note.lock().unwrap());
        let parse = |content: &[u8]| {
            parsed += 1;
            String::from_utf8(content.into())
        };
        let value = polled.refresh(&mut client, &request, parse).await.unwrap();
        assert_eq!(*value, content);
    }
    assert_eq!((parsed, layer.stats().not_modified), (3, 3));
}

#[tokio::test]
async fn client_layer_gets_304s_and_hands_out_200s() {
    let note = note("one");
    let (address, layer) = serve(&note).await;
    let mut client = RevalidateLayer::new(1 << 20).layer(client());
    for content in ["one", "one", "two", "two"] {
        content.clone_into(&mut note.lock().unwrap());
        let request = Request::get(uri(address)).body(Full::default()).unwrap();
        let response = client.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-length"], "3");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), content);
    }
    assert_eq!(layer.stats().not_modified, 2);
}

#[tokio::test]
async fn client_updates_lose_no_edit_over_sockets() {
    let note = note("0");
    let router: Router = routes(&note).layer(ConditionalLayer::new());
    let guard = WriteGuard::axum(router);
    let address = hyper(http::Version::HTTP_11, guard).await;
    let update = Update::new(Request::get(uri(address)).body(()).unwrap()).attempts(100);
    let (client, mut editors) = (client(), JoinSet::new());
    for _ in 0..8 {
        let (client, update) = (client.clone(), update.clone());
        editors.spawn(async move {
            let plus_one = |content: &[u8]| {
                let number: u32 = std::str::from_utf8(content)?.parse()?;
                Ok::<_, BoxError>((number + 1).to_string())
            };
            update.run(client, plus_one).await.unwrap();
        });
    }
    while let Some(result) = editors.join_next().await {
        result.unwrap();
    }
    assert_eq!(text(&note), "8");
}
