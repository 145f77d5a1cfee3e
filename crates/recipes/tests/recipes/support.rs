//! A recipe's program on loopback, and what a client gets from it.

use std::{fmt::Debug, future::Future, io};

use axum::{
    body::{Bytes, HttpBody},
    Router,
};
use http::{uri::Authority, HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use reqwest::{redirect::Policy, Body, Client};
use tokio::net::TcpListener;
use tower::{service_fn, ServiceExt};
use tower_conditional_conformance::{check, Check, Content, Report};

#[derive(Clone)]
pub(crate) struct Server {
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    client: Client,
}

impl Server {
    pub(crate) async fn new(app: Router) -> Self {
        Self::of(|listener| async { axum::serve(listener, app).await }).await
    }

    /// Starts a program that takes its connections itself.
    pub(crate) async fn of<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener));
        Self {
            url,
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
        }
    }

    /// The same server, for a client that speaks HTTP/2 from the first byte.
    pub(crate) fn over_http2(&self) -> Self {
        let client = Client::builder().redirect(Policy::none()).http2_prior_knowledge();
        Self { url: self.url.clone(), client: client.build().unwrap() }
    }

    pub(crate) fn authority(&self) -> Authority {
        self.url.trim_start_matches("http://").parse().unwrap()
    }

    pub(crate) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.ask("GET", path, fields, "").await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        content: &str,
    ) -> Reply {
        Reply::read(self.send(method, path, fields, content).await).await
    }

    /// Returns the response as soon as its head is there.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        content: &str,
    ) -> Response<Body> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(content.to_owned()).send().await.unwrap().into()
    }

    /// The checks of the conformance suite, by what goes over the wire.
    pub(crate) fn check(&self, path: &str) -> Check<'static> {
        let server = self.clone();
        let service = service_fn(move |request: Request<Content>| {
            let server = server.clone();
            async move {
                let (mut head, content) = request.into_parts();
                head.uri = format!("{}{}", server.url, head.uri).parse().unwrap();
                let request = Request::from_parts(head, Bytes::from(content));
                let response =
                    server.client.execute(request.try_into().unwrap()).await?;
                Ok::<_, reqwest::Error>(Response::from(response))
            }
        });
        check(service, path)
    }
}

/// Panics unless these checks failed and no others.
#[track_caller]
pub(crate) fn assert_conforms(report: &Report, deviations: &[&str]) {
    let failed: Vec<_> = report.failures().map(|failure| failure.name()).collect();
    assert_eq!(failed, deviations, "{report}");
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Bytes,
}

impl Reply {
    async fn read<B: HttpBody<Data = Bytes, Error: Debug>>(
        response: Response<B>,
    ) -> Self {
        let (head, body) = response.into_parts();
        let content = body.collect().await.unwrap().to_bytes();
        Self { status: head.status.as_u16(), headers: head.headers, content }
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn tag(&self) -> &str {
        self.field("etag")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}

/// Asks without a server.
pub(crate) async fn oneshot(
    app: &Router,
    path: &str,
    fields: &[(&str, &str)],
) -> Reply {
    let request = fields.iter().fold(Request::get(path), |request, (name, value)| {
        request.header(*name, *value)
    });
    let response =
        app.clone().oneshot(request.body(axum::body::Body::empty()).unwrap());
    Reply::read(response.await.unwrap()).await
}

/// What a client gets that has the tag: 304, without content, with the same tag.
pub(crate) async fn assert_revalidates(
    server: &Server,
    path: &str,
    fields: &[(&str, &str)],
) {
    let whole = server.get(path, fields).await;
    assert_eq!(whole.status, StatusCode::OK, "{path}");
    let fields = [fields, &[("if-none-match", whole.tag())]].concat();
    let again = server.get(path, &fields).await;
    assert_eq!((again.status, again.text()), (304, ""), "{path}");
    assert_eq!(again.tag(), whole.tag(), "{path}");
}
