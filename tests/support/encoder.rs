//! A layer that encodes responses as `CompressionLayer` does, in codings that are easy
//! to read: `gzip(content)`.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, VARY,
    },
    HeaderMap, HeaderValue, Request, Response,
};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, StreamBody};
use tower::{BoxError, Layer, Service};

/// Encodes with the first coding of a request that names any, but `identity`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Encoder {
    /// It does not say `Vary`, and leaves `Accept-Ranges`.
    pub(crate) is_careless: bool,
    /// It drops the extensions of a response.
    pub(crate) drops_extensions: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Encoded<S> {
    inner: S,
    encoder: Encoder,
}

impl<S> Layer<S> for Encoder {
    type Service = Encoded<S>;

    fn layer(&self, inner: S) -> Encoded<S> {
        Encoded { inner, encoder: *self }
    }
}

impl<S, R, B> Service<Request<R>> for Encoded<S>
where
    S: Service<Request<R>, Response = Response<B>, Error: Send, Future: Send + 'static>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let (coding, encoder) = (wanted(request.headers()), self.encoder);
        let response = self.inner.call(request);
        Box::pin(async move { Ok(encoder.encode(coding, response.await?).await) })
    }
}

impl Encoder {
    async fn encode<B>(self, coding: Option<HeaderValue>, response: Response<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let (mut head, body) = response.into_parts();
        if self.drops_extensions {
            head.extensions.clear();
        }
        let is_small = body.size_hint().exact().is_some_and(|size| size < SMALLEST);
        let is_left = is_small
            || [CONTENT_ENCODING, CONTENT_RANGE].iter().any(|name| head.headers.contains_key(name));
        if !is_left && !self.is_careless && !head.headers.contains_key(VARY) {
            head.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        let Some(coding) = coding.filter(|_| !is_left) else {
            return Response::from_parts(head, Body::new(body));
        };
        head.headers.remove(CONTENT_LENGTH);
        if !self.is_careless {
            head.headers.remove(ACCEPT_RANGES);
        }
        let name = coding.to_str().unwrap().to_owned();
        head.headers.insert(CONTENT_ENCODING, coding);
        let plain = body.collect().await.map_err(Into::into).unwrap().to_bytes();
        let encoded = encode(&name, &plain);
        let frames = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(encoded)))]);
        Response::from_parts(head, Body::new(StreamBody::new(frames)))
    }
}

/// Encodes content.
pub(crate) fn encode(coding: &str, plain: &[u8]) -> Vec<u8> {
    [coding.as_bytes(), b"(", plain, b")"].concat()
}

/// Returns the first coding that `Accept-Encoding` names, unless it is refused.
fn wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let line = headers.get(ACCEPT_ENCODING)?.to_str().unwrap();
    let mut members = line.split(',').map(str::trim);
    let coding = members.find(|member| {
        !member.is_empty() && !member.contains(";q=0") && !member.starts_with("identity")
    })?;
    Some(HeaderValue::from_str(coding.split(';').next().unwrap()).unwrap())
}

/// Smaller content is left as it is, and so are bodies without content.
const SMALLEST: u64 = 32;
