//! The public items, and the traits and settings that they have.

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    fmt::{Debug, Display},
    future::{ready, Ready},
    hash::Hash,
    marker::PhantomPinned,
    rc::Rc,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    header::IF_NONE_MATCH, request, Extensions, HeaderMap, HeaderValue, Method, Request, Response,
    StatusCode, Version,
};
use http_body::Body;
use http_body_util::Full;
use tower::{util::ServiceFn, BoxError, Layer};
use tower_conditional::{
    conditional::{Conditional, ResponseFuture},
    precondition::{
        FromSource, GuardFuture, IntoRepresentation, PreconditionFuture, PreconditionService,
        StateSource,
    },
    predicate::{And, DefaultPredicate, Predicate},
    AddLastModified, BodyTimeout, ConditionalLayer, Decision, Digest, EntityTag, HttpDate,
    HttpDateOutOfRange, InnerTags, InvalidEntityTag, LastModified, Outcome, OuterCompression,
    PreconditionLayer, Preconditions, Reason, Rejection, Representation, RequestBody, ResponseBody,
    Sha256, Stats, Untagged, Validators, WriteGuard,
};

use crate::conditional::{digest::Sum, service::Pinned};

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
fn api_values_have_the_traits_of_values() {
    has!(EntityTag: Send + Sync + Unpin + Clone + Debug + Display + Eq + Hash);
    has!(EntityTag: FromStr<Err = InvalidEntityTag>);
    has!(EntityTag: for<'a> TryFrom<&'a HeaderValue, Error = InvalidEntityTag>);
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
    has!(StatusCode: From<Rejection>);
    has!(Response<Full<Bytes>>: From<Rejection>);
    has!(Decision: Send + Sync + Unpin + Copy + Debug + Eq);
    has!(Outcome: Send + Sync + Unpin + Copy + Debug + Eq);
    has!(Reason: Send + Sync + Unpin + Copy + Debug + Eq);
    has!(AddLastModified: Send + Sync + Unpin + Copy + Debug + Default + Eq);
    has!(BodyTimeout: Send + Sync + Unpin + Copy + Debug + Default + Eq);
    has!(OuterCompression: Send + Sync + Unpin + Clone + Debug + Default);
    has!(Untagged: Send + Sync + Unpin + Copy + Debug + Default + 'static);
    has!(DefaultPredicate: Send + Sync + Unpin + Copy + Debug + Default + Predicate);
    has!(And<DefaultPredicate, DefaultPredicate>: Send + Sync + Unpin + Copy + Debug + Predicate);
    has!(Sha256: Send + Sync + Unpin + Clone + Debug + Default + Digest<Output = [u8; 32]>);
    #[cfg(feature = "blake3")]
    has!(tower_conditional::Blake3: Send + Sync + Unpin + Clone + Debug + Default);
    #[cfg(feature = "blake3")]
    has!(tower_conditional::Blake3: Digest<Output = [u8; 32]>);
}

#[test]
fn api_of_a_service_has_the_traits_of_its_parts_and_a_layer_has_all() {
    has!(ConditionalLayer: Send + Sync + Unpin + Clone + Debug + Default);
    has!(ConditionalLayer: Layer<Thing, Service = Conditional<Thing>>);
    has!(ConditionalLayer<Local>: Send + Sync + Unpin + Clone + Debug);
    has!(ConditionalLayer<Local>: Layer<Thing, Service = Conditional<Thing, Local>>);
    has!(Conditional<Thing>: Send + Sync + Unpin);
    has!(Conditional<(), Local>: Send + Sync + Unpin + Clone + Debug);
    has!(ResponseFuture<Thing, Thing>: Send + Sync + Unpin + Debug);
    has!(ResponseFuture<Thing, PhantomPinned>: Unpin);
    has!(ResponseFuture<Local, Local, Local>: Debug);
    has!(ResponseBody<Full<Bytes>>: Send + Sync + Unpin + Debug + Default);
    has!(ResponseBody<Full<Bytes>>: Body<Data = Bytes, Error = Infallible>);
    has!(ResponseBody<Full<VecDeque<u8>>>: Body<Data = Bytes>);
    has!(ResponseBody<Pinned>: Debug + Default + Body<Data = Bytes, Error = Rc<str>>);
    has!(ResponseBody<axum::body::Body>: Send + Unpin + 'static);
    has!(ResponseBody<axum::body::Body>: Body<Data = Bytes, Error = axum::Error>);
    let _: fn(ResponseBody<ResponseBody<axum::body::Body>>) -> axum::body::Body =
        axum::body::Body::new;
    let _: Option<Box<dyn Predicate + Send + Sync>> = None;
}

/// A service that never answers.
type Never =
    ServiceFn<fn(Request<Full<Bytes>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>>>;

type NeverGuarded = ServiceFn<
    fn(Request<RequestBody<Full<Bytes>>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>>,
>;

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
fn api_of_a_layer_before_the_handler_has_the_traits_of_its_parts() {
    type Closure = fn(&request::Parts) -> Ready<Representation>;
    has!(WriteGuard<()>: Send + Sync + Unpin + Clone + Debug);
    has!(RequestBody<Full<Bytes>>: Send + Sync + Unpin + Debug + Default);
    has!(RequestBody<Full<Bytes>>: Body<Data = Bytes, Error = BoxError>);
    has!(RequestBody<axum::body::Body>: Send + Unpin + Body<Data = Bytes> + 'static);
    has!(PreconditionLayer<FromSource<Somewhere>>: Send + Sync + Unpin + Clone + Debug);
    type Asking<S> = PreconditionService<S, FromSource<Somewhere>>;
    has!(PreconditionLayer<FromSource<Somewhere>>: Layer<Thing, Service = Asking<Thing>>);
    has!(PreconditionService<(), FromSource<Closure>>: Send + Sync + Unpin + Clone + Debug);
    has!(GuardFuture<NeverGuarded, Full<Bytes>>: Send + Sync + Unpin + Debug);
    #[cfg(feature = "axum")]
    {
        use tower_conditional::precondition::{AxumGuardFuture, ExtractorSource};

        type OfPath = fn(axum::extract::Path<u64>) -> Ready<Representation>;
        type OfPathSource = ExtractorSource<axum::extract::Path<u64>, OfPath>;
        has!(AxumGuardFuture: Send + Debug);
        has!(PreconditionLayer<FromSource<OfPathSource>>: Send + Sync + Unpin + Clone + Debug);
        has!(PreconditionFuture<Never, OfPathSource, Full<Bytes>>: Send + Debug);
    }
    has!(PreconditionFuture<Never, Closure, Full<Bytes>>: Send + Sync + Unpin + Debug);
    has!(Representation: IntoRepresentation<Error = Infallible>);
    has!(Result<Representation, Local>: IntoRepresentation<Error = Local>);
}

#[test]
fn api_settings_before_the_handler_take_what_they_say() {
    let _ = PreconditionLayer::new(|parts| ready(Err::<Representation, _>(parts.uri.to_string())))
        .on_error(Response::new)
        .on_not_modified(|_, headers| headers.clear())
        .add_validators(false)
        .add_last_modified(AddLastModified::Alone)
        .require_preconditions(|parts| parts.method == Method::PUT)
        .problem_details(true)
        .report_outcome(true);
    let mut guard = WriteGuard::new(7)
        .key(|parts| parts.uri.path().to_owned())
        .require_preconditions(|_| true)
        .body_limit(1 << 20)
        .lock_timeout(Duration::from_secs(1))
        .stream_uploads(true)
        .idempotent_puts(true)
        .weak_if_match(true)
        .problem_details(true)
        .report_outcome(true)
        .clock(|| UNIX_EPOCH);
    assert_eq!((*guard.get_ref(), *guard.get_mut(), guard.stats().served), (7, 7, 0));
    assert_eq!(guard.into_inner(), 7);
    let mut service = PreconditionLayer::from_source(Somewhere).layer(7);
    assert_eq!((*service.get_ref(), *service.get_mut()), (7, 7));
    assert_eq!(service.into_inner(), 7);
}

#[test]
fn api_settings_take_what_they_say() {
    let _ = ConditionalLayer::new()
        .buffer_limit(1 << 10)
        .body_timeout(BodyTimeout::new().known_size(Duration::ZERO).unknown_size(Duration::ZERO))
        .head_as_get(true)
        .add_last_modified(AddLastModified::IfFreshnessStated)
        .tag_when(
            DefaultPredicate::new()
                .and(|_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true),
        )
        .handle_when(|parts| parts.method == Method::GET)
        .key(|parts| parts.uri.path().to_owned())
        .clock(|| UNIX_EPOCH)
        .problem_details(true)
        .report_outcome(true)
        .inner_tags(InnerTags::learn().trust_dates(true))
        .inner_tags(InnerTags::replace())
        .repr_digest(true)
        .ranges(true)
        .outer_compression(OuterCompression::new().adds_suffixes(["-gzip"]))
        .digest::<Sum>();
    let none = OuterCompression::new().adds_suffixes(vec![String::new()]);
    let stats: Stats = ConditionalLayer::new().outer_compression(none).stats();
    assert_eq!(stats.left_alone().map(|(_, count): (Reason, u64)| count).sum::<u64>(), 0);
    #[cfg(feature = "shared-tags")]
    {
        use tower_conditional::{SecretTooShort, SharedTags, TagAnswer, TagStore};
        has!(SharedTags: Send + Sync + Unpin + Clone + Debug);
        has!(TagAnswer: Send + Sync + Unpin + Debug + 'static);
        has!(SecretTooShort: Error + Send + Sync + Clone + Eq + 'static);
        let _: Option<Box<dyn TagStore>> = None;
    }
    has!(Stats: Send + Sync + Unpin + Copy + Debug + Default);
}

#[test]
fn api_of_the_rules_works_without_a_service() {
    let tag = EntityTag::strong("v1").unwrap();
    let date = HttpDate::try_from(UNIX_EPOCH + Duration::from_secs(784_111_777)).unwrap();
    assert_eq!(date, HttpDate::parse("Sun, 06 Nov 1994 08:49:37 GMT", date).unwrap());
    assert_eq!(Some(date), HttpDate::from_unix_seconds(date.unix_seconds()));
    let same = Representation::from(Validators::new().etag(tag.clone()).last_modified(date));
    let other = Representation::Exists(Validators::from(EntityTag::weak("v2").unwrap()));
    let headers = HeaderMap::from_iter([(IF_NONE_MATCH, tag.into())]);
    for (method, representation, expected) in [
        (Method::GET, &same, Decision::NotModified),
        (Method::PUT, &same, Decision::PreconditionFailed),
        (Method::GET, &other, Decision::Proceed),
        (Method::GET, &Representation::Missing, Decision::Proceed),
        (Method::GET, &Representation::Unknown, Decision::Proceed),
        (Method::PUT, &Representation::Unknown, Decision::PreconditionFailed),
    ] {
        assert_eq!(
            Preconditions::new(&method, &headers).evaluate(representation),
            expected,
            "{method} {representation:?}"
        );
    }
    let dates = [LastModified::Given(date), LastModified::FirstSeen(date)];
    assert_eq!(LastModified::from(date), dates[0]);
}
