//! One request through a layer, answered with a scripted body.

use std::{
    convert::Infallible,
    future::{poll_fn, ready, Future},
    panic,
    pin::{pin, Pin},
};

use bytes::Bytes;
use http::{header::ETAG, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use tokio::runtime;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{ConditionalLayer, EntityTag, Outcome, ResponseBody};

use crate::support::scripted_body::{
    Script,
    Step::{self, Data, Error, Trailers},
};

pub(crate) type Sent = Response<ResponseBody<Script>>;

pub(crate) fn get(headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::new(());
    let headers =
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
    request.headers_mut().extend(headers);
    request
}

/// Serves one request, answered with `response`.
pub(crate) async fn serve(
    layer: &ConditionalLayer,
    request: Request<()>,
    response: Response<Script>,
) -> Sent {
    let mut response = Some(response);
    let inner = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(response.take().unwrap())));
    layer.layer(inner).oneshot(request).await.unwrap()
}

pub(crate) async fn serve_script(layer: &ConditionalLayer, script: Script) -> Sent {
    serve(layer, get(&[]), Response::new(script)).await
}

pub(crate) fn etag(sent: &Sent) -> Option<EntityTag> {
    sent.headers().get(ETAG).map(|value| EntityTag::try_from(value).unwrap())
}

/// What a body says of itself: whether it is at its end, and the bounds of its size.
pub(crate) type State = (bool, u64, Option<u64>);

pub(crate) fn state(body: &impl Body) -> State {
    (body.is_end_stream(), body.size_hint().lower(), body.size_hint().upper())
}

/// Reads a body to its end. Returns what came, and its state before each event and
/// before the end.
pub(crate) async fn read<B: Body<Data = Bytes, Error = u32>>(
    mut body: Pin<&mut B>,
) -> (Vec<Step>, Vec<State>) {
    let (mut events, mut states) = (Vec::new(), Vec::new());
    loop {
        states.push(state(&*body));
        let event = match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return (events, states),
            Some(Err(error)) => Error(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Data(data),
                Err(frame) => Trailers(frame.into_trailers().unwrap()),
            },
        };
        events.push(event);
    }
}

/// Reads what was sent to its end, and beyond.
pub(crate) async fn receive(body: ResponseBody<Script>) -> (Vec<Step>, Vec<State>) {
    let mut body = pin!(body);
    let read = read(body.as_mut()).await;
    for _ in 0..2 {
        // A 304 to content of unknown length does not say that there are exactly no
        // bytes.
        let is_unknown = body.outcome() == Outcome::NotModified && state(&*body).2.is_none();
        assert!(state(&*body) == ENDED || is_unknown && state(&*body) == (true, 0, None));
        assert!(poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_none(), "it ends again");
    }
    read
}

pub(crate) const ENDED: State = (true, 0, Some(0));

pub(crate) const LIMIT: u64 = 64;

pub(crate) fn in_paused_time<T>(future: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// Tests a property with the same cases every time.
pub(crate) fn for_all<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(strategy, test).unwrap_or_else(|failure| panic!("{failure}"));
}
