//! A reverse proxy for an upstream that makes no tags.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        header::{CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
        HeaderMap, StatusCode, Version,
    },
    response::Response,
    Router,
};
use hyper_util::{
    client::legacy::{connect::HttpConnector, Client},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower_conditional::ConditionalLayer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app("http://127.0.0.1:4000".to_owned())).await
}

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    origin: String,
}

/// Forwards everything to `origin`, such as `http://127.0.0.1:4000`.
pub fn app(origin: String) -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http();
    Router::new()
        .fallback(forward)
        .with_state(Upstream { client, origin })
        // HEAD reaches the upstream as GET, because there is no tag without content.
        .layer(ConditionalLayer::new().head_as_get(true))
}

/// Writes are forwarded with their If-Match. Only the upstream can evaluate it.
async fn forward(
    State(upstream): State<Upstream>,
    mut request: Request,
) -> Result<Response, StatusCode> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = format!("{}{path}", upstream.origin);
    *request.uri_mut() = uri.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    *request.version_mut() = Version::HTTP_11;
    remove_connection_fields(request.headers_mut());
    let response = upstream.client.request(request).await;
    let mut response = response.map_err(|_| StatusCode::BAD_GATEWAY)?.map(Body::new);
    remove_connection_fields(response.headers_mut());
    Ok(response)
}

/// Removes what is between two hops only (RFC 9110, section 7.6.1).
fn remove_connection_fields(headers: &mut HeaderMap) {
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}
