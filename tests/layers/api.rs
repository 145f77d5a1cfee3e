//! The public items, the traits they have, and the services and bodies that the layer works with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    cell::Cell,
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    fmt::{Debug, Display},
    future::{pending, ready, Future, Ready},
    hash::Hash,
    marker::PhantomPinned,
    pin::{pin, Pin},
    ptr,
    rc::Rc,
    str::FromStr,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{buf::Chain, Buf, Bytes};
use futures_util::stream;
use http::{
    header::{CONTENT_LENGTH, ETAG, IF_NONE_MATCH},
    request, Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{
    service_fn,
    util::{BoxCloneSyncService, ServiceFn},
    BoxError, Layer, Service, ServiceBuilder, ServiceExt,
};
use tower_conditional::{
    And, Conditional, ConditionalLayer, Decision, DefaultPredicate, Digest, EntityTag,
    FreshnessPolicy, FromGet, FromGetFuture, FromSource, HttpDate, HttpDateOutOfRange, InnerTags,
    IntoRepresentation, InvalidEntityTag, LastModified, Outcome, PreconditionFuture,
    PreconditionLayer, PreconditionService, Preconditions, Predicate, Reason, Rejection,
    Representation, ResponseBody, ResponseFuture, Sha256, StateSource, Stats, Untagged, Validators,
};

// ----- Items and traits -----

/// Compiles if the type has the traits.
macro_rules! has {
    ($type:ty: $($traits:tt)+) => {{
        fn has<T: $($traits)+>() {}
        has::<$type>();
    }};
}

/// Has what any type has by itself, and nothing more.
struct Thing;

/// Takes all of that from whatever holds it.
type Local = Rc<PhantomPinned>;

#[test]
fn values_have_the_traits_of_values() {
    has!(EntityTag: Send + Sync + Unpin + Clone + Debug + Display + Eq + Hash);
    has!(EntityTag: FromStr<Err = InvalidEntityTag> + for<'a> TryFrom<&'a HeaderValue, Error = InvalidEntityTag>);
    has!(HeaderValue: From<EntityTag> + for<'a> From<&'a EntityTag> + From<HttpDate>);
    has!(InvalidEntityTag: Error + Send + Sync + Copy + Eq + 'static);
    has!(HttpDate: Send + Sync + Unpin + Copy + Debug + Display + Ord + Hash);
    has!(HttpDate: TryFrom<SystemTime, Error = HttpDateOutOfRange>);
    has!(HttpDateOutOfRange: Error + Send + Sync + Copy + Eq + 'static);
    has!(Validators: Send + Sync + Unpin + Clone + Debug + Default + Eq + From<EntityTag>);
    has!(LastModified: Send + Sync + Unpin + Copy + Debug + Eq + From<HttpDate>);
    has!(Representation: Send + Sync + Unpin + Clone + Debug + From<Validators>);
    has!(Preconditions: Send + Sync + Unpin + Clone + Debug);
    has!(Rejection: Error + Send + Sync + Unpin + Clone);
    has!(Response<String>: From<Rejection>);
    has!(Response<Full<Bytes>>: From<Rejection>);
    has!(Decision: Send + Sync + Unpin + Copy + Debug + Eq);
    has!(Outcome: Send + Sync + Unpin + Copy + Debug + Eq);
    has!(Reason: Send + Sync + Unpin + Copy + Debug + Eq);
    has!(FreshnessPolicy: Send + Sync + Unpin + Copy + Debug + Default + Eq);
    has!(Untagged: Send + Sync + Unpin + Copy + Debug + Default + 'static);
    has!(DefaultPredicate: Send + Sync + Unpin + Copy + Debug + Default + Predicate);
    has!(And<DefaultPredicate, DefaultPredicate>: Send + Sync + Unpin + Copy + Debug + Predicate);
    has!(Sha256: Send + Sync + Unpin + Clone + Debug + Default + Digest<Output = [u8; 32]>);
    #[cfg(feature = "blake3")]
    has!(tower_conditional::Blake3: Send + Sync + Unpin + Clone + Debug + Default + Digest<Output = [u8; 32]>);
}

#[test]
fn a_service_has_the_traits_of_its_parts_and_a_layer_has_all() {
    has!(ConditionalLayer: Send + Sync + Unpin + Clone + Debug + Default + Layer<Thing, Service = Conditional<Thing>>);
    has!(ConditionalLayer<Local>: Send + Sync + Unpin + Clone + Debug);
    has!(ConditionalLayer<Local>: Layer<Thing, Service = Conditional<Thing, Local>>);
    has!(Conditional<Thing>: Send + Sync + Unpin);
    has!(Conditional<(), Local>: Send + Sync + Unpin + Clone + Debug);
    has!(ResponseFuture<Thing, Thing>: Send + Sync + Unpin + Debug);
    has!(ResponseFuture<Thing, PhantomPinned>: Unpin);
    has!(ResponseFuture<Local, Local, Local>: Debug);
    has!(ResponseBody<Full<Bytes>>: Send + Sync + Unpin + Debug + Default + Body<Data = Bytes, Error = Infallible>);
    has!(ResponseBody<Full<VecDeque<u8>>>: Body<Data = Bytes>);
    has!(ResponseBody<Pinned>: Debug + Default + Body<Data = Bytes, Error = Rc<str>>);
    has!(ResponseBody<axum::body::Body>: Send + Unpin + Body<Data = Bytes, Error = axum::Error> + 'static);
    let _: fn(ResponseBody<ResponseBody<axum::body::Body>>) -> axum::body::Body =
        axum::body::Body::new;
    let _: Option<Box<dyn Predicate + Send + Sync>> = None;
}

/// A service that never answers.
type Never =
    ServiceFn<fn(Request<Full<Bytes>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>>>;

/// A source that is nothing but its name.
struct Somewhere;

impl StateSource for Somewhere {
    type Error = Local;
    type Future = Ready<Result<Representation, Local>>;

    fn state(&self, _: &request::Parts) -> Self::Future {
        ready(Ok(Representation::Missing))
    }
}

#[test]
fn a_layer_before_the_handler_has_the_traits_of_its_parts() {
    type Closure = fn(&request::Parts) -> Ready<Representation>;
    has!(PreconditionLayer<FromGet>: Send + Sync + Unpin + Clone + Debug);
    has!(PreconditionLayer<FromGet>: Layer<Thing, Service = PreconditionService<Thing, FromGet>>);
    has!(PreconditionLayer<FromSource<Somewhere>>: Send + Sync + Unpin + Clone + Debug);
    has!(PreconditionLayer<FromSource<Somewhere>>: Layer<Thing, Service = PreconditionService<Thing, FromSource<Somewhere>>>);
    has!(PreconditionService<(), FromGet>: Send + Sync + Unpin + Clone + Debug);
    has!(PreconditionService<(), FromSource<Closure>>: Send + Sync + Unpin + Clone + Debug);
    has!(FromGetFuture<Never, Full<Bytes>>: Send + Sync + Unpin + Debug);
    has!(PreconditionFuture<Never, Closure, Full<Bytes>>: Send + Sync + Unpin + Debug);
    has!(Representation: IntoRepresentation<Error = Infallible>);
    has!(Result<Representation, Local>: IntoRepresentation<Error = Local>);
}

#[test]
fn every_setting_before_the_handler_takes_what_it_says() {
    let _ = PreconditionLayer::new(|parts| ready(Err::<Representation, _>(parts.uri.to_string())))
        .on_error(Response::new)
        .on_not_modified(|_, headers| headers.clear())
        .add_validators(false)
        .freshness(FreshnessPolicy::Leave)
        .require_preconditions(|parts| parts.method == Method::PUT)
        .report_outcome(true);
    let _ = PreconditionLayer::from_get()
        .key(|parts| parts.uri.path().to_owned())
        .require_preconditions(|_| true);
    let mut service = PreconditionLayer::from_source(Somewhere).layer(7);
    assert_eq!((*service.get_ref(), *service.get_mut()), (7, 7));
    assert_eq!(service.into_inner(), 7);
}

#[cfg(feature = "axum")]
#[test]
fn axum_takes_them_for_its_own() {
    use axum::{
        extract::FromRequestParts,
        response::{IntoResponse, IntoResponseParts},
    };
    has!(Preconditions: FromRequestParts<(), Rejection = Infallible>);
    has!(Rejection: IntoResponse);
    has!(EntityTag: IntoResponseParts);
    has!(HttpDate: IntoResponseParts);
    has!(Validators: IntoResponseParts);
    let tag = EntityTag::strong("v1").unwrap();
    let date = HttpDate::from_unix_seconds(784_111_777).unwrap();
    let one = (Validators::from(tag.clone()).last_modified(date), "item").into_response();
    let other = (tag, date, "item").into_response();
    assert_eq!(one.headers(), other.headers());
    assert_eq!(one.headers()[ETAG], "\"v1\"");
    assert_eq!(one.headers()["last-modified"], "Sun, 06 Nov 1994 08:49:37 GMT");
}

#[test]
fn every_setting_takes_what_it_says() {
    let _ = ConditionalLayer::new()
        .buffer_limit(1 << 10)
        .sized_body_timeout(Duration::ZERO)
        .unsized_body_timeout(Duration::ZERO)
        .weak(true)
        .behind_compression(false)
        .head_as_get(true)
        .freshness(FreshnessPolicy::OmitLastModified)
        .last_modified(true)
        .tag_when(
            DefaultPredicate::new()
                .and(|_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true),
        )
        .handle_when(|parts| parts.method == Method::GET)
        .key(|parts| parts.uri.path().to_owned())
        .clock(|| UNIX_EPOCH)
        .report_outcome(true)
        .inner_tags(InnerTags::Learn)
        .trust_inner_dates(true)
        .inner_tags(InnerTags::Replace)
        .trailer_tags(true)
        .ranges(true)
        .ignore_tag_suffixes(["-gzip"])
        .digest::<Sum>();
    let stats: Stats = ConditionalLayer::new().ignore_tag_suffixes(vec![String::new()]).stats();
    assert_eq!(stats.left_alone().map(|(_, count): (Reason, u64)| count).sum::<u64>(), 0);
    has!(Stats: Send + Sync + Unpin + Copy + Debug + Default);
}

#[test]
fn the_rules_work_without_a_service() {
    let tag = EntityTag::strong("v1").unwrap();
    let date = HttpDate::try_from(UNIX_EPOCH + Duration::from_secs(784_111_777)).unwrap();
    assert_eq!(date, HttpDate::parse("Sun, 06 Nov 1994 08:49:37 GMT", date).unwrap());
    assert_eq!(Some(date), HttpDate::from_unix_seconds(date.unix_seconds()));
    let same = Representation::from(Validators::new().etag(tag.clone()).last_modified(date));
    let other = Representation::Exists(Validators::from(EntityTag::weak("v2").unwrap()));
    let preconditions =
        Preconditions::from_headers(&HeaderMap::from_iter([(IF_NONE_MATCH, tag.into())]));
    for (method, representation, expected) in [
        (Method::GET, &same, Decision::NotModified),
        (Method::PUT, &same, Decision::PreconditionFailed),
        (Method::GET, &other, Decision::Proceed),
        (Method::GET, &Representation::Missing, Decision::Proceed),
        (Method::GET, &Representation::Unknown, Decision::Proceed),
    ] {
        assert_eq!(
            preconditions.evaluate(&method, representation),
            expected,
            "{method} {representation:?}"
        );
    }
    let dates = [LastModified::Given(date), LastModified::FirstSeen(date), LastModified::Unsettled];
    assert_eq!(LastModified::from(date), dates[0]);
}

// ----- Services -----

const TAG: &str = "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";

fn get() -> Request<()> {
    Request::new(())
}

fn revalidation() -> Request<()> {
    Request::get("/").header(IF_NONE_MATCH, TAG).body(()).unwrap()
}

/// Says `abc`.
async fn abc(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
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
async fn an_infallible_service_stays_infallible() {
    let Ok(response) = Conditional::new(service_fn(abc)).oneshot(revalidation()).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn the_error_of_the_service_is_passed_on_as_it_is() {
    let failing =
        service_fn(|_: Request<()>| ready(Err::<Response<Full<Bytes>>, _>(Rc::<str>::from("no"))));
    let error: Rc<str> = Conditional::new(failing).oneshot(get()).await.unwrap_err();
    assert_eq!(&*error, "no");
}

#[test]
fn readiness_is_that_of_the_service() {
    let readiness =
        VecDeque::from([Poll::Pending, Poll::Ready(Ok(())), Poll::Ready(Err("closed"))]);
    let mut service = ConditionalLayer::new().layer(Gate { readiness: readiness.clone() });
    let mut cx = Context::from_waker(Waker::noop());
    for expected in readiness {
        assert_eq!(service.poll_ready(&mut cx), expected);
    }
}

#[test]
fn the_wrapped_service_can_be_reached() {
    let mut service = Conditional::new(vec![1]);
    service.get_mut().push(2);
    assert_eq!(service.get_ref(), &[1, 2]);
    assert_eq!(service.clone().into_inner(), [1, 2]);
    assert!(format!("{service:?}").contains("[1, 2]"));
}

#[tokio::test]
async fn services_and_bodies_may_borrow_and_need_no_clone() {
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
async fn it_stacks_with_other_layers_on_both_sides() {
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
async fn a_busy_service_behind_it_is_busy_before_it() {
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
async fn a_timeout_around_it_ends_the_wait_for_content() {
    let late = service_fn(|_: Request<()>| {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        ready(Response::builder().header(CONTENT_LENGTH, 3).body(body))
    });
    let layer = ConditionalLayer::new().sized_body_timeout(Duration::from_secs(9));
    let stack = ServiceBuilder::new().timeout(Duration::from_secs(1)).layer(layer).service(late);
    assert!(stack.oneshot(get()).await.unwrap_err().is::<tower::timeout::error::Elapsed>());
}

#[tokio::test]
async fn an_axum_router_takes_it_as_a_layer() {
    let router = axum::Router::new()
        .route("/", axum::routing::get(|| async { "abc" }))
        .layer(ConditionalLayer::new());
    let request = revalidation().map(|()| axum::body::Body::empty());
    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::NOT_MODIFIED);
}

// ----- Bodies and hashes -----

/// A body that must not move once it was polled, with an error that must not leave its thread.
#[derive(Default)]
struct Pinned {
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
async fn a_pinned_body_with_an_error_of_its_own_thread_is_not_moved() {
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
async fn content_need_not_be_bytes() {
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

/// The sum of all octets: no hash to be trusted, but one.
#[derive(Default)]
struct Sum(u16);

impl Digest for Sum {
    type Output = [u8; 2];

    fn update(&mut self, content: &[u8]) {
        self.0 = content.iter().fold(self.0, |sum, &octet| sum.wrapping_add(octet.into()));
    }

    fn finish(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

#[tokio::test]
async fn another_hash_makes_other_tags() {
    let service: Conditional<_, Sum> =
        ConditionalLayer::new().digest::<Sum>().layer(service_fn(abc));
    let response = service.oneshot(get()).await.unwrap();
    assert_eq!(response.headers()[ETAG], "\"0126\"");
}

// ----- The checks for users' own tests -----

#[cfg(feature = "conformance")]
mod checks {
    use std::future::IntoFuture;

    use tower_conditional::conformance::{
        check, check_with, Check, Content, Finding, Report, Severity, Verdict,
    };

    use super::*;

    #[test]
    fn a_report_has_the_traits_of_a_value() {
        has!(Report: Send + Sync + Unpin + Clone + Debug + Display);
        has!(Finding: Send + Sync + Unpin + Clone + Debug + Display);
        has!(Severity: Send + Sync + Unpin + Copy + Debug + Display + Eq);
        has!(Verdict: Send + Sync + Unpin + Clone + Debug + Eq);
        has!(&'static Report: IntoIterator<Item = &'static Finding>);
        has!(Check<'static>: Debug + IntoFuture<Output = Report>);
        has!(Content: Send + Sync + Unpin + Clone + Debug + Default + From<Bytes> + Into<Bytes> + 'static);
        has!(Content: Body<Data = Bytes, Error = Infallible>);
    }

    #[tokio::test]
    async fn every_setting_of_a_check_takes_what_it_says() {
        let service = || service_fn(|request: Request<Content>| abc(request.map(drop)));
        let mut changed = 0;
        let report = check(ConditionalLayer::new().layer(service()), "/")
            .header("cookie", "a=b")
            .without("head")
            .changes(async || changed += 1)
            .writes(Request::put("/").body("abc").unwrap())
            .encodings(["gzip"])
            .error_at("/missing")
            .also("it has a tag", Request::get("/").body("").unwrap(), |head| {
                head.headers.contains_key(ETAG)
            })
            .timeout(Duration::from_secs(9))
            .await;
        assert!(report.iter().any(
            |finding| finding.name() == "it has a tag" && *finding.verdict() == Verdict::Passed
        ));
        // The service knows no writes, and takes them for reads.
        assert!(
            report.failures().any(|finding| finding.name() == "write/if-match-miss")
                && !report.is_ok(),
            "{report}"
        );
        assert!(changed > 0);

        let local = Rc::new(());
        let borrowing = service_fn(|_: Request<()>| {
            let _ = &local;
            abc(Request::new(()))
        });
        let report =
            check_with(ConditionalLayer::new().layer(borrowing), http::Uri::from_static("/"), drop)
                .without("head");
        report.await.assert_ok();
    }
}
