//! A note that can be read and written, as services and as routes.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, extract::State, response::IntoResponse, routing::get, Extension, Router};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tower::{service_fn, Service, ServiceExt};
use tower_conditional::Untagged;

use crate::support::harness::{self, reply, request, streamed, Lines, IM, IUS, LM};

/// A note that can be read, written and deleted, and a log of what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Note {
    pub(crate) content: Arc<Mutex<Option<String>>>,
    pub(crate) log: Arc<Mutex<Vec<(Method, HeaderMap)>>>,
}

impl Note {
    pub(crate) fn of(content: &str) -> Self {
        Self { content: Arc::new(Mutex::new(Some(content.to_owned()))), log: Arc::default() }
    }

    pub(crate) fn content(&self) -> Option<String> {
        self.content.lock().unwrap().clone()
    }

    pub(crate) async fn serve(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        self.log.lock().unwrap().push((request.method().clone(), request.headers().clone()));
        let (parts, body) = request.into_parts();
        // A write in between would be overwritten, or would have the permit that is
        // needed next.
        tokio::task::yield_now().await;
        if parts.method == Method::GET {
            return Ok(match self.content() {
                Some(content) => reply(200, &[], content),
                None => reply(404, &[], "none"),
            });
        }
        tokio::task::yield_now().await;
        let new = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        *self.content.lock().unwrap() = Some(new).filter(|_| parts.method != Method::DELETE);
        Ok(reply(204, &[], Body::empty()))
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
           + Clone
           + use<> {
        let note = self.clone();
        service_fn(move |request| note.clone().serve(request))
    }
}

pub(crate) fn write(method: &str, lines: Lines<'_>, content: &str) -> Request<Body> {
    request(method, "/note", lines).map(|_| Body::from(content.to_owned()))
}

pub(crate) type Text = Arc<Mutex<String>>;

pub(crate) fn note(text: &str) -> Text {
    Arc::new(Mutex::new(text.to_owned()))
}

pub(crate) fn text(note: &Text) -> String {
    note.lock().unwrap().clone()
}

pub(crate) fn put(lines: Lines<'_>, text: &str) -> Request<Body> {
    write("PUT", lines, text)
}

/// A service with GET and PUT; `answer` makes the response to the GET.
pub(crate) fn service<F: Fn(String) -> Response<Body> + Clone + Send + Sync + 'static>(
    note: &Text,
    answer: F,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
       + Clone
       + Send
       + Sync
       + use<F> {
    let note = Arc::clone(note);
    service_fn(move |request: Request<Body>| {
        let (note, answer) = (Arc::clone(&note), answer.clone());
        async move {
            if request.method() == Method::GET {
                return Ok::<_, Infallible>(answer(text(&note)));
            }
            let new = request.into_body().collect().await.unwrap().to_bytes();
            *note.lock().unwrap() = String::from_utf8(new.to_vec()).unwrap();
            Ok(reply(204, &[], Body::empty()))
        }
    })
}

pub(crate) fn plain(content: String) -> Response<Body> {
    reply(200, &[], content)
}

/// Answers as its content says.
pub(crate) fn moody(content: String) -> Response<Body> {
    match content.split(' ').next().unwrap() {
        "slow" => reply(
            200,
            &[],
            streamed(futures_util::stream::pending::<Result<Frame<bytes::Bytes>, Infallible>>()),
        ),
        "secret" => reply(200, &[("cache-control", "no-store")], content),
        "varied" => reply(200, &[("vary", "x-new")], content),
        "untagged" => (Extension(Untagged), content).into_response(),
        _ => plain(content),
    }
}

pub(crate) fn routes(note: &Text) -> Router {
    Router::new().route("/note", get(read).put(replace)).with_state(Arc::clone(note))
}

async fn read(State(note): State<Text>) -> String {
    text(&note)
}

async fn replace(State(note): State<Text>, new: String) -> StatusCode {
    *note.lock().unwrap() = new;
    StatusCode::NO_CONTENT
}

pub(crate) async fn status_of<S, B>(service: S, request: Request<Body>) -> u16
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    service.oneshot(request).await.unwrap().status().as_u16()
}

pub(crate) async fn in_time<T>(
    future: impl Future<Output = T>,
) -> Result<T, tokio::time::error::Elapsed> {
    tokio::time::timeout(Duration::from_secs(20), future).await
}

/// Reads, which tells the client a generated date, has another client write
/// (`between`), and returns that date and the status of a write that is guarded by it.
pub(crate) async fn lose<S, B>(
    service: S,
    clock: &harness::Clock,
    between: impl FnOnce(),
) -> (Option<String>, u16)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    service.clone().oneshot(request("GET", "/note", &[])).await.unwrap();
    clock.set(60);
    let read = service.clone().oneshot(request("GET", "/note", &[])).await.unwrap();
    let date = read.headers().get(LM).map(|date| date.to_str().unwrap().to_owned());
    between();
    let line = [(IUS, date.as_deref().unwrap_or("none"))];
    let lines = if date.is_some() { &line[..] } else { &[(IM, "\"-\"")] };
    (date.clone(), status_of(service, put(lines, "mine")).await)
}
