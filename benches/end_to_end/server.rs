//! The application that is served, bare or with something around it.

use std::{
    future::ready,
    io::{self, Read, Write},
    process, thread,
};

use axum::{middleware, routing::get, serve::ListenerExt, Router};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::{net::TcpListener, runtime};
use tower_conditional::ConditionalLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::usual;

pub const SMALL: usize = 1 << 10;
pub const MIDDLE: usize = 64 << 10;
pub const LARGE: usize = 8 << 20;

/// Serves on one thread, says where on standard output, and goes on until standard input ends.
pub fn serve(kind: &str) -> io::Result<()> {
    let app = match kind {
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
    };
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(io::stdout(), "{}", listener.local_addr()?)?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, app).await
    })
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
pub fn anew(octets: usize) -> Bytes {
    Bytes::from(vec![b'x'; octets])
}
