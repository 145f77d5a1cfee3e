//! Pages with inline scripts. A page with a hash in its policy can be revalidated, and
//! a page with a nonce cannot.

use axum::{
    http::header::CONTENT_SECURITY_POLICY,
    response::{Html, IntoResponse},
    routing::get,
    Router,
};
use base64::{prelude::BASE64_STANDARD, Engine};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tower_conditional::ConditionalLayer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app()).await
}

/// The same layer wraps both pages.
pub fn app() -> Router {
    Router::new()
        .route("/hash", get(hash))
        .route("/nonce", get(nonce))
        .layer(ConditionalLayer::new())
}

const SCRIPT: &str = "document.title = 'It runs';";

/// The policy changes only with the script, so the policy of a 304 fits the page that
/// the browser has stored.
async fn hash() -> impl IntoResponse {
    let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    let policy = format!("script-src 'sha256-{hash}'");
    ([(CONTENT_SECURITY_POLICY, policy)], Html(format!("<script>{SCRIPT}</script>")))
}

/// A 304 would carry a new nonce, but the scripts of the stored page have the old one.
/// So the layer does not tag a page with a nonce.
async fn nonce() -> impl IntoResponse {
    let nonce = BASE64_STANDARD.encode(rand::random::<[u8; 16]>());
    let page = format!("<script nonce=\"{nonce}\">{SCRIPT}</script>");
    ([(CONTENT_SECURITY_POLICY, format!("script-src 'nonce-{nonce}'"))], Html(page))
}
