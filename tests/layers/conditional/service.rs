//! The services and bodies that the layer works with, and the layers that it works
//! beside.

use std::{
    cell::Cell,
    collections::VecDeque,
    convert::Infallible,
    future::{pending, ready, Future, Ready},
    marker::PhantomPinned,
    pin::{pin, Pin},
    ptr,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{buf::Chain, Buf, Bytes};
use futures_util::stream;
use http::{
    header::{CONTENT_LENGTH, ETAG, IF_NONE_MATCH},
    HeaderValue, Request, Response, StatusCode,
};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{
    service_fn, util::BoxCloneSyncService, BoxError, Layer, Service, ServiceBuilder, ServiceExt,
};
use tower_conditional::{conditional::Conditional, BodyTimeout, ConditionalLayer, Outcome, Reason};

const TAG: &str = "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";

fn get() -> Request<()> {
    Request::new(())
}

pub(crate) fn revalidation() -> Request<()> {
    Request::get("/").header(IF_NONE_MATCH, TAG).body(()).unwrap()
}

/// Says `abc`.
pub(crate) async fn abc(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("abc")))
}

/// A service that is neither `Clone` nor `Debug`, and is ready when it was told.
struct Gate {
    readiness: VecDeque<Poll<Result<(), &'static str>>>,
}

impl Service<Request<()>> for Gate {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.readiness.pop_front().unwrap()
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Full::from("abc"))))
    }
}

#[tokio::test]
async fn service_that_is_infallible_stays_infallible() {
    let Ok(response) = Conditional::new(service_fn(abc)).oneshot(revalidation()).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn service_error_is_passed_on_as_it_is() {
    let failing =
        service_fn(|_: Request<()>| ready(Err::<Response<Full<Bytes>>, _>(Rc::<str>::from("no"))));
    let error: Rc<str> = Conditional::new(failing).oneshot(get()).await.unwrap_err();
    assert_eq!(&*error, "no");
}

#[test]
fn service_readiness_is_that_of_the_inner_service() {
    let readiness =
        VecDeque::from([Poll::Pending, Poll::Ready(Ok(())), Poll::Ready(Err("closed"))]);
    let mut service = ConditionalLayer::new().layer(Gate { readiness: readiness.clone() });
    let mut cx = Context::from_waker(Waker::noop());
    for expected in readiness {
        assert_eq!(service.poll_ready(&mut cx), expected);
    }
}

#[test]
fn service_that_is_wrapped_can_be_reached() {
    let mut service = Conditional::new(vec![1]);
    service.get_mut().push(2);
    assert_eq!(service.get_ref(), &[1, 2]);
    assert_eq!(service.clone().into_inner(), [1, 2]);
    assert!(format!("{service:?}").contains("[1, 2]"));
}

#[tokio::test]
async fn service_and_body_may_borrow_and_need_no_clone() {
    let content = b"abc".to_vec();
    let mut calls = Vec::new();
    let service = service_fn(|request: Request<&str>| {
        calls.push(request.into_body().len());
        ready(Ok::<_, Infallible>(Response::new(Full::new(&content[..]))))
    });
    let mut service = Conditional::new(service);
    for text in ["a".to_owned(), "bc".to_owned()] {
        let response = service.call(Request::new(&text)).await.unwrap();
        assert_eq!(response.headers()[ETAG], TAG);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), content);
    }
    drop(service);
    assert_eq!(calls, [1, 2]);

    let readiness = VecDeque::from([Poll::Ready(Ok(()))]);
    let response = Conditional::new(Gate { readiness }).oneshot(get()).await.unwrap();
    assert_eq!(response.headers()[ETAG], TAG);
}

#[tokio::test]
async fn service_stacks_with_other_layers_on_both_sides() {
    let long = Duration::from_secs(9);
    let stack = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(9)
        .timeout(long)
        .layer(ConditionalLayer::new());
    let stack =
        stack.buffer(9).rate_limit(9, long).timeout(long).concurrency_limit(9).service_fn(abc);
    let service: BoxCloneSyncService<_, _, BoxError> = BoxCloneSyncService::new(stack);
    let response = service.clone().oneshot(get()).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()[ETAG]),
        (StatusCode::OK, &HeaderValue::from_static(TAG))
    );
    assert_eq!(service.oneshot(revalidation()).await.unwrap().status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn service_is_busy_where_the_inner_service_is() {
    let busy = service_fn(|_: Request<()>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let stack = ServiceBuilder::new()
        .load_shed()
        .layer(ConditionalLayer::new())
        .concurrency_limit(1)
        .service(busy);
    let mut first = pin!(stack.clone().oneshot(get()));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(stack.oneshot(get()).await.unwrap_err().is::<tower::load_shed::error::Overloaded>());
}

#[tokio::test(start_paused = true)]
async fn service_stops_to_wait_for_content_at_a_timeout_around_it() {
    let late = service_fn(|_: Request<()>| {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        ready(Response::builder().header(CONTENT_LENGTH, 3).body(body))
    });
    let layer =
        ConditionalLayer::new().body_timeout(BodyTimeout::new().known_size(Duration::from_secs(9)));
    let stack = ServiceBuilder::new().timeout(Duration::from_secs(1)).layer(layer).service(late);
    assert!(stack.oneshot(get()).await.unwrap_err().is::<tower::timeout::error::Elapsed>());
}

/// A body that must not move once it was polled, with an error that must not leave its
/// thread.
#[derive(Default)]
pub(crate) struct Pinned {
    polls: Cell<usize>,
    address: Cell<Option<*const Self>>,
    _pinned: PhantomPinned,
}

impl Body for Pinned {
    type Data = Bytes;
    type Error = Rc<str>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Rc<str>>>> {
        let polls = self.polls.replace(self.polls.get() + 1);
        let address = ptr::from_ref(self.as_ref().get_ref());
        assert!(
            self.address.replace(Some(address)).is_none_or(|before| before == address),
            "moved before poll {polls}"
        );
        match polls {
            0 | 3 => Poll::Ready(Some(Ok(Frame::data(Bytes::from("abc"))))),
            // It is given up here.
            1 | 2 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            4 => Poll::Ready(Some(Err("broken".into()))),
            _ => Poll::Ready(None),
        }
    }
}

#[tokio::test]
async fn service_does_not_move_a_pinned_body() {
    let service =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Pinned::default()))));
    let response = Conditional::new(service).oneshot(get()).await.unwrap();
    assert_eq!(response.body().outcome(), Outcome::LeftAlone(Reason::NotReady));
    let mut body = pin!(response.into_body());
    for _ in 0..2 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    }
    assert_eq!(&*body.frame().await.unwrap().unwrap_err(), "broken");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn service_takes_content_that_is_not_bytes() {
    async fn check<D: Buf>(content: impl Fn() -> D) {
        let service = service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(Full::new(content()))))
        });
        let mut service = Conditional::new(service);
        let response = service.call(get()).await.unwrap();
        assert_eq!(
            (response.body().outcome(), &response.headers()[ETAG]),
            (Outcome::Tagged, TAG.parse().as_ref().unwrap())
        );
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(service.call(revalidation()).await.unwrap().status(), StatusCode::NOT_MODIFIED);
        // Left alone, it becomes `Bytes` all the same.
        let response = service.call(Request::post("/").body(()).unwrap()).await.unwrap();
        assert_eq!(response.body().outcome(), Outcome::LeftAlone(Reason::Method));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "abc");
    }
    check(|| {
        // In two pieces.
        let mut content = VecDeque::from(*b"bc");
        content.push_front(b'a');
        content
    })
    .await;
    check(|| -> Chain<Bytes, &[u8]> { Bytes::from("a").chain(&b"bc"[..]) }).await;
    check(|| "abc".as_bytes()).await;
}
