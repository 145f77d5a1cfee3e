//! Any service on a port of its own, by Hyper alone.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tower::{BoxError, Service, ServiceExt};

pub(crate) const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// Takes a free port.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Serves all connections; `buffer` is how many bytes Hyper may hold back for each, if
/// not its own choice.
pub(crate) fn serve<S, B>(
    listener: TcpListener,
    version: Version,
    buffer: Option<usize>,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (mut over_http1, mut over_http2) =
        (http1::Builder::new(), http2::Builder::new(TokioExecutor::new()));
    if let Some(bytes) = buffer {
        over_http1.max_buf_size(bytes);
        over_http2.max_send_buf_size(bytes);
    }
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Else small frames wait for the acknowledgement of those before, 40 ms.
            stream.set_nodelay(true).unwrap();
            let (stream, service) = (TokioIo::new(stream), service.clone());
            let service = service_fn(move |request| service.clone().oneshot(request));
            let connection: BoxFuture<'static, _> = match version {
                Version::HTTP_2 => Box::pin(over_http2.serve_connection(stream, service)),
                _ => Box::pin(over_http1.serve_connection(stream, service)),
            };
            tokio::spawn(connection);
        }
    });
}
