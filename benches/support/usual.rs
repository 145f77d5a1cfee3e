//! What is commonly written in place of a layer: a function that reads the whole
//! content, hashes it, and compares text.

use axum::{
    body::{to_bytes, Body},
    extract::Request,
    http::{header, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

/// For `axum::middleware::from_fn`: gives a response the SHA-256 of its content as its
/// tag, and answers 304.
pub async fn tag(request: Request, next: Next) -> Response {
    let asked = request.headers().get(header::IF_NONE_MATCH).cloned();
    let (mut head, body) = next.run(request).await.into_parts();
    let Ok(content) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut tag = String::with_capacity(66);
    tag.push('"');
    for byte in Sha256::digest(&content) {
        tag.extend(
            [byte >> 4, byte & 15]
                .into_iter()
                .filter_map(|digit| char::from_digit(digit.into(), 16)),
        );
    }
    tag.push('"');
    let matches = |asked: &HeaderValue| {
        asked.to_str().is_ok_and(|text| text.split(',').any(|one| one.trim() == tag))
    };
    if asked.as_ref().is_some_and(matches) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    head.headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("hex is ASCII"));
    Response::from_parts(head, Body::from(content))
}
