//! The client's half, against servers that say what a script tells them.

mod cache_suite;
mod lies;
mod polled;
mod revalidate;
mod update;

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use futures_util::stream;
use http::{header::HeaderName, Request, Response};
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_conditional::client::{
    Error, Polled, RefreshError, Revalidate, RevalidateBody, RevalidateFuture, RevalidateLayer,
    StoredHead, Update,
};

use crate::support::harness::{reply, Lines};

/// What a server does with one request.
pub(super) enum Answer {
    Reply(Response<Body>),
    /// The connection breaks.
    Lost,
    After(Duration, Response<Body>),
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self::Reply(response)
    }
}

/// A request that a server got.
pub(super) struct Got {
    pub(super) line: String,
    pub(super) request: Request<String>,
}

/// Gives its answers in order, and writes down what it is asked.
///
/// It panics if it is called before it is ready, or has no answer left.
#[derive(Default)]
pub(super) struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    log: Arc<Mutex<Vec<Got>>>,
    is_ready: bool,
}

impl Server {
    pub(super) fn new(answers: impl IntoIterator<Item = impl Into<Answer>>) -> Self {
        let server = Self::default();
        server.answers.lock().unwrap().extend(answers.into_iter().map(Into::into));
        server
    }

    /// Returns what came since the last call: the method, and the precondition.
    pub(super) fn asked(&self) -> Vec<String> {
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        log.into_iter().map(|got| got.line).collect()
    }

    pub(super) fn requests(&self) -> Vec<Request<String>> {
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        log.into_iter().map(|got| got.request).collect()
    }

    /// Returns how many answers were not needed.
    pub(super) fn left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }
}

impl Clone for Server {
    /// What one clone has reserved, another one has not.
    fn clone(&self) -> Self {
        Self { answers: Arc::clone(&self.answers), log: Arc::clone(&self.log), is_ready: false }
    }
}

impl Service<Request<Body>> for Server {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called before it was ready");
        let answer = self.answers.lock().unwrap().pop_front().expect("an answer is left");
        let log = Arc::clone(&self.log);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let content = body.collect().await?.to_bytes();
            let mut line = parts.method.to_string();
            for name in ["if-none-match", "if-modified-since", "if-match"] {
                for value in parts.headers.get_all(name) {
                    line = format!("{line} {name} {}", value.to_str()?);
                }
            }
            let content = String::from_utf8(content.to_vec())?;
            log.lock().unwrap().push(Got { line, request: Request::from_parts(parts, content) });
            match answer {
                Answer::Reply(response) => Ok(response),
                Answer::Lost => Err("the connection broke".into()),
                Answer::After(wait, response) => {
                    sleep(wait).await;
                    Ok(response)
                }
            }
        })
    }
}

/// A 200 with a tag.
pub(super) fn tagged(tag: &str, content: &str) -> Response<Body> {
    reply(200, &[("etag", tag)], content.to_owned())
}

pub(super) fn not_modified(lines: Lines<'_>) -> Response<Body> {
    reply(304, lines, Body::empty())
}

/// Content of unknown size that breaks off.
pub(super) fn broken(content: &'static str) -> Body {
    Body::from_stream(stream::iter([Ok(content), Err("the connection broke")]))
}

/// Content of unknown size that ends as if it were whole.
pub(super) fn unsized_body(content: &'static str) -> Body {
    Body::from_stream(stream::iter([Ok::<_, BoxError>(content)]))
}

/// A GET as callers of a service make it.
pub(super) fn get(lines: Lines<'_>) -> Request<Body> {
    head(lines).map(|()| Body::empty())
}

/// A GET as `Polled` and `Update` take it.
pub(super) fn head(lines: Lines<'_>) -> Request<()> {
    let mut request = Request::get("http://localhost/flags").body(()).unwrap();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// Sends a request, and returns status and content; `None` if that breaks off.
pub(super) async fn send<S, B>(service: &mut S, request: Request<Body>) -> (u16, Option<String>)
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    B: http_body::Body,
{
    let response = service.ready().await.unwrap().call(request).await.unwrap();
    let status = response.status().as_u16();
    let content = response.into_body().collect().await.ok().map(|content| content.to_bytes());
    (status, content.map(|content| String::from_utf8(content.to_vec()).unwrap()))
}

#[test]
fn client_api_has_the_traits_of_its_parts() {
    has!(StoredHead: Send + Sync + Unpin + Clone + std::fmt::Debug + Default);
    has!(Polled<String>: Send + Sync + Unpin + Clone + std::fmt::Debug + Default);
    has!(Error: std::error::Error + Send + Sync + Unpin + 'static);
    has!(RefreshError: std::error::Error + Send + Sync + Unpin + 'static);
    has!(Update: Send + Sync + Unpin + Clone + std::fmt::Debug);
    has!(RevalidateLayer: Send + Sync + Unpin + Clone + std::fmt::Debug);
    has!(RevalidateLayer: Layer<Server, Service = Revalidate<Server>>);
    has!(Revalidate<Server>: Send + Sync + Unpin + Clone);
    has!(RevalidateFuture<Server, Body>: Send + Unpin + std::fmt::Debug);
    has!(RevalidateBody<Body>: Send + Unpin + std::fmt::Debug + http_body::Body);
    fn sends<T: Send>(_: T) {}
    let (polled, update) = (Polled::<String>::new(), Update::new(head(&[])));
    let parse = |_: &[u8]| Ok::<_, BoxError>(String::new());
    sends(polled.refresh(Server::default(), &head(&[]), parse));
    sends(update.run(Server::default(), |content: &[u8]| Ok::<_, BoxError>(content.to_vec())));
}
