//! Clients that write notes over HTTP.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
    BoxError,
};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{connect::HttpConnector, Client as Pool},
    rt::TokioExecutor,
};

/// A condition of a write.
pub(crate) enum If<'a> {
    /// No precondition.
    Nothing,
    /// `If-Match` with this tag.
    Is(&'a str),
    /// `If-None-Match: *`.
    IsMissing,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) tag: String,
    pub(crate) text: String,
}

/// A client with a pool of connections. Its clones share it.
#[derive(Clone)]
pub(crate) struct Client(Pool<HttpConnector, Body>);

impl Client {
    pub(crate) fn new() -> Self {
        Self(Pool::builder(TokioExecutor::new()).build_http())
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Reply, BoxError> {
        self.send(Method::GET, url, If::Nothing, String::new()).await
    }

    pub(crate) async fn put(
        &self,
        url: &str,
        condition: If<'_>,
        text: String,
    ) -> Result<Reply, BoxError> {
        self.send(Method::PUT, url, condition, text).await
    }

    pub(crate) async fn delete(&self, url: &str, condition: If<'_>) -> Result<Reply, BoxError> {
        self.send(Method::DELETE, url, condition, String::new()).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        condition: If<'_>,
        text: String,
    ) -> Result<Reply, BoxError> {
        let request = Request::builder().method(method).uri(url);
        let request = match condition {
            If::Nothing => request,
            If::Is(tag) => request.header("if-match", tag),
            If::IsMissing => request.header("if-none-match", "*"),
        };
        let exchange = async {
            let response = self.0.request(request.body(Body::from(text)).unwrap()).await?;
            let (head, body) = response.into_parts();
            let tag = head.headers.get("etag").map_or("", |tag| tag.to_str().unwrap());
            let text = body.collect().await?.to_bytes().to_vec();
            Ok(Reply {
                status: head.status,
                tag: tag.to_owned(),
                text: String::from_utf8(text).unwrap(),
            })
        };
        tokio::time::timeout(Duration::from_secs(30), exchange).await.expect("nothing hangs")
    }
}
