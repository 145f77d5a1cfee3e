//! A reverse proxy for an upstream without tags.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        header::{CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
        uri::{Authority, Scheme},
        HeaderMap, StatusCode, Uri, Version,
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
    axum::serve(listener, app(Authority::from_static("127.0.0.1:4000"))).await
}

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    authority: Authority,
}

/// Forwards everything to one host.
pub fn app(authority: Authority) -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http();
    Router::new()
        .fallback(forward)
        .with_state(Upstream { client, authority })
        // The layer sends HEAD as GET, because it makes the tag from the content.
        .layer(ConditionalLayer::new().head_as_get(true))
}

/// Forwards a request. Only the upstream can evaluate the If-Match of a write.
async fn forward(
    State(upstream): State<Upstream>,
    mut request: Request,
) -> Result<Response, StatusCode> {
    let mut uri = request.uri().clone().into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(upstream.authority);
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| StatusCode::BAD_REQUEST)?;
    *request.version_mut() = Version::HTTP_11;
    remove_connection_fields(request.headers_mut());
    let response = upstream.client.request(request).await;
    let mut response = response.map_err(|_| StatusCode::BAD_GATEWAY)?.map(Body::new);
    remove_connection_fields(response.headers_mut());
    Ok(response)
}

/// Removes the fields that apply to one connection only (RFC 9110, section 7.6.1).
fn remove_connection_fields(headers: &mut HeaderMap) {
    let lines =
        headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let named =
        lines.flat_map(|line| line.split(',')).map(|name| name.trim().to_owned());
    for name in named.collect::<Vec<_>>() {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}
