//! Hyper, and no framework.

use std::{convert::Infallible, io};

use http_body_util::Full;
use hyper::{body::Bytes, Request, Response, StatusCode};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{service_fn, Layer};
use tower_conditional::ConditionalLayer;

#[tokio::main]
async fn main() -> io::Result<()> {
    serve(TcpListener::bind("127.0.0.1:3000").await?).await
}

/// Serves each connection by HTTP/1.1 or HTTP/2.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    // One layer for all connections: its clones share their memory.
    // Over HTTP/2, Hyper would send the content of a HEAD, so the layer drops it.
    let service = ConditionalLayer::new().head_as_get(true).layer(service_fn(answer));
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            let connection = server.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("{error}");
            }
        });
    }
}

async fn answer<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match request.uri().path() {
        "/flags" => (StatusCode::OK, "dark-mode"),
        _ => (StatusCode::NOT_FOUND, ""),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
