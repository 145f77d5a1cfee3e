//! The state machines under attack: futures and bodies that are dropped or panic at
//! every point, services that are busy, and layers outside that shed and time out.
//! Nothing leaks, nothing is polled twice, nothing hangs.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{poll_fn, ready, Future},
    panic::{catch_unwind, AssertUnwindSafe},
    pin::{pin, Pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    header::{CONTENT_LENGTH, IF_MATCH, IF_NONE_MATCH, RANGE, TE},
    HeaderName, Request, Response, StatusCode,
};
use http_body::{Body, Frame, SizeHint};
use tower::{
    layer::layer_fn, load_shed, service_fn, timeout, util::MapRequest, Layer, Service,
    ServiceBuilder, ServiceExt,
};
use tower_conditional::{
    BodyTimeout, ConditionalLayer, EntityTag, InnerTags, PreconditionLayer, Representation,
    RequestBody, Validators, WriteGuard,
};

use crate::support::{
    executor::Task,
    scripted_body::{
        self, data, script, trailers, Script,
        Step::{self, Error, Yield},
    },
};

/// How many of each kind are alive, and when something is to blow up.
#[derive(Default)]
struct World {
    futures: Cell<usize>,
    request_bodies: Cell<usize>,
    bodies: Cell<usize>,
    writes: Cell<usize>,
    /// After so many polls of inner futures and bodies, the next one panics.
    fuse: Cell<Option<usize>>,
}

impl World {
    fn burn(&self) {
        if let Some(left) = self.fuse.get() {
            assert!(left > 0, "the fuse is burnt");
            self.fuse.set(Some(left - 1));
        }
    }

    fn assert_all_is_gone(&self, what: &str) {
        let alive = (self.futures.get(), self.request_bodies.get(), self.bodies.get());
        assert_eq!(alive, (0, 0, 0), "futures, request bodies and bodies alive: {what}");
    }
}

/// Counts one more, until it is dropped.
struct Guard(Rc<World>, fn(&World) -> &Cell<usize>);

impl Guard {
    fn new(world: &Rc<World>, count: fn(&World) -> &Cell<usize>) -> Self {
        count(world).set(count(world).get() + 1);
        Self(Rc::clone(world), count)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let count = (self.1)(&self.0);
        count.set(count.get() - 1);
    }
}

/// The body of a request, which has no content.
#[derive(Default)]
struct Load(#[expect(dead_code, reason = "it is held, not read")] Option<Guard>);

impl Body for Load {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

type Unwrapped<S> = MapRequest<S, fn(Request<RequestBody<Load>>) -> Request<Load>>;

/// Guards a service.
fn guarded<S>(inner: S) -> WriteGuard<Unwrapped<S>> {
    // These bodies have no content, so an empty body is forwarded.
    WriteGuard::new(MapRequest::new(inner, |request| request.map(|_| Load::default())))
}

/// A script that is counted, and panics when the fuse is burnt or it is polled after
/// its end.
struct Attacked {
    script: Script,
    guard: Guard,
}

impl Body for Attacked {
    type Data = Bytes;
    type Error = u32;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, u32>>> {
        self.guard.0.burn();
        Pin::new(&mut self.script).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.script.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.script.size_hint()
    }
}

/// A body in a box, and the future of a response with one.
type Boxed = Pin<Box<dyn Body<Data = Bytes, Error = u32>>>;
type Answer = Pin<Box<dyn Future<Output = Result<Response<Boxed>, u32>>>>;
type Stack = Box<dyn FnMut(Request<Load>) -> Answer>;

/// Waits once for its next turn.
async fn yields() {
    let mut is_first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut is_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

fn inner(
    world: &Rc<World>,
    case: &Case,
) -> impl Service<Request<Load>, Response = Response<Attacked>, Error = u32, Future = impl Future>
       + Clone
       + 'static {
    let (world, case) = (Rc::clone(world), case.clone());
    service_fn(move |request: Request<Load>| {
        let (world, case) = (Rc::clone(&world), case.clone());
        async move {
            let _guard = Guard::new(&world, |world| &world.futures);
            for _ in 0..2 {
                world.burn();
                yields().await;
            }
            let is_read = request.method().is_safe();
            drop(request);
            let script = if is_read {
                script(case.steps.clone())
            } else {
                script([]).exact(0).telling_end(true)
            };
            if !is_read {
                world.writes.set(world.writes.get() + 1);
            }
            let script = if case.is_exact && is_read { script.exact(8) } else { script };
            let mut response = Response::new(Attacked {
                script,
                guard: Guard::new(&world, |world| &world.bodies),
            });
            if case.has_length && is_read {
                response.headers_mut().insert(CONTENT_LENGTH, 8.into());
            }
            Ok(response)
        }
    })
}

fn boxed<S, B>(service: S) -> Stack
where
    S: Service<Request<Load>, Response = Response<B>, Error = u32> + Clone + 'static,
    B: Body<Data = Bytes, Error = u32> + 'static,
{
    Box::new(move |request| {
        let service = service.clone();
        Box::pin(
            async move { Ok(service.oneshot(request).await?.map(|body| Box::pin(body) as Boxed)) },
        )
    })
}

/// Every layer, with the settings that take other ways through the code.
fn stacks(world: &Rc<World>, case: &Case) -> [(&'static str, Stack); 6] {
    let inner = || inner(world, case);
    let learning = ConditionalLayer::new()
        .buffer_limit(4)
        .inner_tags(InnerTags::learn())
        .repr_digest(true)
        .ranges(true);
    let source = PreconditionLayer::new(|_| async {
        yields().await;
        Ok::<_, ()>(Representation::from(Validators::from(EntityTag::of(&content()))))
    });
    let conditional =
        ConditionalLayer::new().body_timeout(BodyTimeout::new().known_size(Duration::ZERO));
    [
        ("after", boxed(conditional.layer(inner()))),
        ("after, ranges", boxed(conditional.clone().ranges(true).head_as_get(true).layer(inner()))),
        ("after, on the way", boxed(learning.layer(inner()))),
        ("from a source", boxed(source.layer(inner()))),
        ("from GET", boxed(guarded(conditional.layer(inner())))),
        ("both", boxed(source.layer(conditional.layer(inner())))),
    ]
}

/// A way to serve eight bytes.
#[derive(Clone, Debug)]
struct Case {
    steps: Vec<Step>,
    is_exact: bool,
    has_length: bool,
}

fn content() -> Vec<u8> {
    scripted_body::content(&[data(5), data(3)])
}

fn cases() -> Vec<Case> {
    let case =
        |steps: &[Step], is_exact, has_length| Case { steps: steps.to_vec(), is_exact, has_length };
    vec![
        case(&[data(5), data(3)], true, true),
        case(&[Yield, data(5), Yield, data(3), trailers()], false, false),
        case(&[data(5), Yield, Yield, data(3), Yield], false, true),
        case(&[data(5), Yield, Error(7)], false, false),
    ]
}

fn requests(world: &Rc<World>) -> Vec<Request<Load>> {
    let tag = EntityTag::of(&content()).to_string();
    let request = |method: &str, fields: &[(HeaderName, &str)]| {
        let mut request =
            Request::new(Load(Some(Guard::new(world, |world| &world.request_bodies))));
        *request.method_mut() = method.parse().unwrap();
        request
            .headers_mut()
            .extend(fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())));
        request
    };
    vec![
        request("GET", &[]),
        request("GET", &[(TE, "trailers")]),
        request("GET", &[(IF_NONE_MATCH, &tag)]),
        request("GET", &[(IF_MATCH, "\"other\"")]),
        request("GET", &[(RANGE, "bytes=6-7")]),
        request("HEAD", &[]),
        request("PUT", &[]),
        request("PUT", &[(IF_MATCH, &tag)]),
        request("PUT", &[(IF_MATCH, "\"other\"")]),
        request("PUT", &[(IF_NONE_MATCH, "*")]),
    ]
}

const ENOUGH: usize = 1000;

/// Reads so many frames, and drops what is left; returns true if that was all.
fn read(mut body: Boxed, frames: usize) -> bool {
    for _ in 0..frames {
        match Task::new(poll_fn(|cx| body.as_mut().poll_frame(cx)))
            .run_within(ENOUGH)
            .expect("it hangs")
        {
            None => return true,
            // What comes behind an error is up to the inner body.
            Some(Err(_)) => return true,
            Some(Ok(_)) => {}
        }
    }
    false
}

/// Attacks every stack with every request and every way to serve it. What is attacked
/// is made anew as often as it is asked for.
fn each(attack: impl Fn(&dyn Fn() -> Target, &str)) {
    for case in cases() {
        for stack in 0..6 {
            for request in 0..10 {
                let make = || {
                    let world = Rc::<World>::default();
                    let (name, stack) = stacks(&world, &case).into_iter().nth(stack).unwrap();
                    let request = requests(&world).swap_remove(request);
                    Target { name, world, stack, request: Some(request) }
                };
                let what = format!("{}, request {request}, {case:?}", make().name);
                attack(&make, &what);
            }
        }
    }
}

struct Target {
    name: &'static str,
    world: Rc<World>,
    stack: Stack,
    request: Option<Request<Load>>,
}

impl Target {
    fn start(&mut self) -> Task<Answer> {
        Task::new((self.stack)(self.request.take().unwrap()))
    }

    /// After an attack: nothing is left, no lock is held, and the layer works as
    /// before.
    fn assert_is_sound(mut self, what: &str) {
        self.world.assert_all_is_gone(what);
        self.world.fuse.set(None);
        for (request, expected) in
            [(0, StatusCode::OK), (2, StatusCode::OK), (6, StatusCode::OK), (7, StatusCode::OK)]
        {
            let request = requests(&self.world).swap_remove(request);
            let response =
                Task::new((self.stack)(request)).run_within(ENOUGH).expect("it hangs").unwrap();
            let is_known = [expected, StatusCode::NOT_MODIFIED, StatusCode::PRECONDITION_FAILED]
                .contains(&response.status());
            assert!(is_known, "{what}");
            assert!(read(response.into_body(), usize::MAX));
        }
        self.world.assert_all_is_gone(what);
    }
}

#[test]
fn attack_by_dropping_a_request_at_any_await_leaves_nothing_behind() {
    each(|make, what| {
        for polls in 0.. {
            let mut target = make();
            let response = target.start().run_within(polls);
            let is_done = response.is_some();
            drop(response);
            target.assert_is_sound(what);
            if is_done {
                break;
            }
        }
    });
}

#[test]
fn attack_by_dropping_a_body_at_any_frame_leaves_nothing_behind() {
    each(|make, what| {
        for frames in 0.. {
            let mut target = make();
            let response = target.start().run_within(ENOUGH).expect("it hangs").unwrap();
            let is_done = read(response.into_body(), frames);
            target.assert_is_sound(what);
            if is_done {
                break;
            }
        }
    });
}

#[test]
fn attack_by_a_panic_anywhere_inside_leaves_nothing_behind() {
    each(|make, what| {
        for polls in 0.. {
            let mut target = make();
            target.world.fuse.set(Some(polls));
            let served = catch_unwind(AssertUnwindSafe(|| {
                let response = target.start().run_within(ENOUGH).expect("it hangs").unwrap();
                read(response.into_body(), usize::MAX)
            }));
            target.assert_is_sound(what);
            if served.is_ok() {
                break;
            }
        }
    });
}

#[test]
fn attack_by_dropping_a_write_strands_none_that_wait_for_it() {
    let case = &cases()[0];
    let tag = EntityTag::of(&content()).to_string();
    for panics in [false, true] {
        for polls in 1..ENOUGH {
            let world = Rc::<World>::default();
            let mut stack = boxed(guarded(ConditionalLayer::new().layer(inner(&world, case))));
            let mut write = |tag: &str| {
                let request =
                    Request::put("/").header(IF_MATCH, tag).body(Load::default()).unwrap();
                Task::new(stack(request))
            };
            let (mut first, mut second) = (write(&tag), write(&tag));
            let polled = (0..polls).find(|_| first.poll().is_ready());
            // The lock is the first one's, and the second waits without being woken.
            if polled.is_none() {
                while second.is_woken() {
                    assert!(second.poll().is_pending(), "two at once");
                }
                if panics {
                    world.fuse.set(Some(0));
                    let _ = catch_unwind(AssertUnwindSafe(|| first.poll()));
                    world.fuse.set(None);
                }
            }
            drop(first);
            let response = second.run_within(ENOUGH).expect("it hangs").unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            drop(response);
            world.assert_all_is_gone("two writes");
            if polled.is_some() {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn attack_on_a_service_that_serves_one_at_a_time_does_not_lock_it_up() {
    for case in cases() {
        let world = Rc::<World>::default();
        let one = ServiceBuilder::new().concurrency_limit(1).service(inner(&world, &case));
        let conditional = ConditionalLayer::new();
        let stacks = [
            boxed(conditional.layer(one.clone())),
            boxed(guarded(conditional.layer(one.clone()))),
            boxed(PreconditionLayer::new(|_| ready(Representation::Unknown)).layer(one.clone())),
        ];
        for stack in stacks {
            let all = requests(&world).into_iter().map(stack);
            let served = futures_util::future::join_all(all);
            let responses =
                tokio::time::timeout(Duration::from_secs(60), served).await.expect("it hangs");
            drop(responses);
            world.assert_all_is_gone("one at a time");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn attack_by_shedding_or_timing_out_outside_leaves_nothing_behind() {
    let case = Case { steps: vec![data(5), Step::Gate, data(3)], is_exact: true, has_length: true };
    let world = Rc::<World>::default();
    let inner = || inner(&world, &case).map_err(|error| tower::BoxError::from(error.to_string()));
    let patient =
        ConditionalLayer::new().body_timeout(BodyTimeout::new().known_size(Duration::from_secs(9)));
    let source = PreconditionLayer::new(|_| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Representation::Unknown
    });
    for name in ["after", "from GET", "from a source"] {
        let get = || {
            Request::get("/")
                .body(Load(Some(Guard::new(&world, |world| &world.request_bodies))))
                .unwrap()
        };
        // `*` would have nothing read.
        let put = || Request::put("/").header(IF_MATCH, "\"x\"").body(Load::default()).unwrap();
        let outside =
            ServiceBuilder::new().load_shed().concurrency_limit(1).timeout(Duration::from_secs(1));
        // What the layer has under way is what holds the permit.
        let (first, second): (Boxing, Boxing) = match name {
            "after" => {
                let stack = outside.layer(patient.clone()).service(inner());
                (Box::pin(status(stack.clone(), get())), Box::pin(status(stack, get())))
            }
            "from GET" => {
                let stack =
                    outside.layer(layer_fn(guarded)).layer(patient.clone()).service(inner());
                (Box::pin(status(stack.clone(), put())), Box::pin(status(stack, put())))
            }
            _ => {
                let stack = outside.layer(source.clone()).service(inner());
                (Box::pin(status(stack.clone(), get())), Box::pin(status(stack, get())))
            }
        };
        let mut first = first;
        assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
        assert!(second.await.unwrap_err().is::<load_shed::error::Overloaded>(), "{name}");
        assert!(first.await.unwrap_err().is::<timeout::error::Elapsed>(), "{name}");
        world.assert_all_is_gone(name);
    }
}

type Boxing = Pin<Box<dyn Future<Output = Result<StatusCode, tower::BoxError>>>>;

async fn status<S, B>(service: S, request: Request<Load>) -> Result<StatusCode, tower::BoxError>
where
    S: Service<Request<Load>, Response = Response<B>, Error = tower::BoxError>,
{
    let service = pin!(service.oneshot(request));
    Ok(service.await?.status())
}
