//! The application that is served, bare or with something around it.

use std::future::ready;

use axum::{middleware, routing::get, Router};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use tower_conditional::ConditionalLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::usual;

pub const SMALL: usize = 1 << 10;
pub const MIDDLE: usize = 64 << 10;
pub const LARGE: usize = 8 << 20;

/// Makes the application, with what is around it.
pub fn make(kind: &str) -> Router {
    match kind {
        "bare" => app(),
        "layer" => app().layer(ConditionalLayer::new().buffer_limit(2 * LARGE)),
        "from_fn" => app().layer(middleware::from_fn(usual::tag)),
        "header" => {
            let (name, value) = (HeaderName::from_static("x-y"), HeaderValue::from_static("z"));
            app().layer(SetResponseHeaderLayer::overriding(name, value))
        }
        // As little as a 304 can cost.
        "empty" => Router::new().fallback(|| ready(StatusCode::NOT_MODIFIED)),
        _ => panic!("no server of the kind {kind}"),
    }
}

fn app() -> Router {
    let [shared, large] = [MIDDLE, LARGE].map(anew);
    Router::new()
        .route("/small", get(|| ready(anew(SMALL))))
        .route("/anew", get(|| ready(anew(MIDDLE))))
        .route("/shared", get(move || ready(shared.clone())))
        .route("/large", get(move || ready(large.clone())))
}

/// Makes content that was never anywhere else.
pub fn anew(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}
