//! tower-etag-cache: of `http` 0.2, and with a Tokio task behind it.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{poll_fn, ready},
    hint::black_box,
    pin::pin,
    rc::Rc,
};

use bytes::Bytes;
use http_0_2::{header, HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_0_4::{Body, Full};
use tokio::runtime::Runtime;
use tower::{service_fn, Layer, Service};
use tower_etag_cache::{const_lru_provider::ConstLruProvider, EtagCacheLayer};

use crate::support::Case;

/// Makes a case of the bare service, called from within the runtime.
pub fn bare(
    runtime: &Rc<Runtime>,
    content: impl Fn() -> Bytes + Clone + Send + 'static,
    revalidate: bool,
) -> Case {
    compared("bare, http 0.2, in Tokio", runtime, service(content), revalidate)
}

/// Makes a case of the layer.
pub fn etag_cache(
    runtime: &Rc<Runtime>,
    content: impl Fn() -> Bytes + Clone + Send + 'static,
    revalidate: bool,
) -> Case {
    let provider = runtime.block_on(async { ConstLruProvider::<_, _, 255, u8>::init(5) });
    let layered = EtagCacheLayer::with_default_predicate(provider).layer(service(content));
    compared("tower-etag-cache (BLAKE3)", runtime, layered, revalidate)
}

/// As its namesake for today's `http`.
fn compared<S, B>(name: &str, runtime: &Rc<Runtime>, mut service: S, revalidate: bool) -> Case
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug> + 'static,
    B: Body,
{
    let first = runtime.block_on(service.call(Request::new(()))).unwrap();
    let tag = first.headers().get(header::ETAG).cloned();
    let status =
        if revalidate && tag.is_some() { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let tag = tag.unwrap_or(HeaderValue::from_static("\"another\""));
    let headers = HeaderMap::from_iter(revalidate.then_some((header::IF_NONE_MATCH, tag)));
    let runtime = Rc::clone(runtime);
    let run = move || {
        let mut request = Request::new(());
        *request.headers_mut() = headers.clone();
        runtime.block_on(async {
            let response = service.call(black_box(request)).await.unwrap();
            assert_eq!(response.status(), status);
            let mut body = pin!(response.into_body());
            while let Some(data) = poll_fn(|cx| body.as_mut().poll_data(cx)).await {
                drop(black_box(data));
            }
        });
    };
    Case { name: name.to_owned(), run: Box::new(run) }
}

fn service(
    content: impl Fn() -> Bytes + Clone + Send + 'static,
) -> impl Service<
    Request<()>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone {
    service_fn(move |_: Request<()>| {
        let mut response = Response::new(Full::new(content()));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        ready(Ok(response))
    })
}
