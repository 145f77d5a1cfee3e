//! A server whose truth is known: resources in two languages, contents that have a number, and an inner service that serves
//! them in every way that is not a lie about which content it is.

use std::{
    cell::{Cell, RefCell},
    future::{ready, Ready},
    rc::Rc,
    sync::{
        atomic::{AtomicI64, Ordering::Relaxed},
        Arc,
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    header::{
        ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
    },
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response,
};
use tower::Service;
use tower_conditional::{EntityTag, HttpDate, LastModified, Representation, Validators};

use super::{
    input::Input,
    script::{logged, Log, Script, Step},
};

/// What the server has: the truth.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) outside: Rc<Log>,
    pub(crate) clock: Arc<AtomicI64>,
    /// The number of the content that each place has.
    numbers: [Cell<u8>; PLACES],
    /// How the next read is answered.
    pub(crate) plan: RefCell<Plan>,
    pub(crate) writes: Cell<usize>,
}

/// A resource in a language: a place for content.
pub(crate) type Place = usize;

const PLACES: usize = 4;

pub(crate) fn place<B>(request: &Request<B>) -> Place {
    place_of(request.uri().path(), request.headers())
}

fn place_of(path: &str, headers: &HeaderMap) -> Place {
    usize::from(path == "/b") * 2 + usize::from(headers.contains_key(ACCEPT_LANGUAGE))
}

/// Returns the content that a number stands for. Some are equal: there is one empty content.
pub(crate) fn content_of(number: u8) -> Bytes {
    let len = match number {
        200.. => 70_000,
        _ => [3, 0, 1, 20, 64, 65, 300, 9][usize::from(number % 8)],
    };
    let octets = (0..len).map(|place: usize| (place * 7 % 251) as u8 ^ number);
    octets.collect()
}

/// Returns the date that a content has wherever it turns up: each its own, and in no order.
pub(crate) fn date_of(number: u8) -> HttpDate {
    HttpDate::from_unix_seconds(NOON - 100_000 + i64::from(number) * 37 % 256 * 60).unwrap()
}

pub(crate) fn own_tag(number: u8) -> EntityTag {
    EntityTag::strong(format!("own-{}", number_of_content(number))).unwrap()
}

pub(crate) fn source_tag(number: u8) -> EntityTag {
    EntityTag::strong(format!("source-{}", number_of_content(number))).unwrap()
}

/// Sunday, 22 November 2026, 12:00:00.
pub(crate) const NOON: i64 = 1_795_348_800;

/// Equal contents may have one tag.
fn number_of_content(number: u8) -> u8 {
    if content_of(number).is_empty() {
        1
    } else {
        number
    }
}

/// How a read is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    pub(crate) has_date: bool,
    pub(crate) steps: Vec<Step>,
    lower: u64,
    upper: Option<u64>,
    tells_end: bool,
    pub(crate) fails: bool,
    pub(crate) source_knows: bool,
}

impl Plan {
    /// Returns the lengths that the head and the body say that the content has.
    pub(crate) fn lengths(&self) -> Vec<u64> {
        let in_head = self.fields.iter().filter(|(name, _)| name == CONTENT_LENGTH);
        let in_head = in_head.map(|(_, length)| length.to_str().unwrap().parse().unwrap());
        in_head.chain(self.upper.filter(|&upper| upper == self.lower)).collect()
    }
}

impl World {
    pub(crate) fn number(&self, place: Place) -> u8 {
        self.numbers[place].get()
    }

    pub(crate) fn change(&self, place: Place, number: u8) {
        self.numbers[place].set(number);
    }

    /// Makes up how the content of a place is served next.
    pub(crate) fn plan(&self, input: &mut Input<'_>, place: Place) -> Plan {
        let number = self.number(place);
        let whole = content_of(number);
        let len = whole.len() as u64;
        let status = input.pick(&[200, 200, 200, 200, 200, 200, 200, 204, 404, 500]);
        let mut plan = Plan {
            status,
            source_knows: !input.one_in(9),
            fails: input.one_in(16),
            ..Plan::default()
        };
        let mut rest = whole;
        for _ in 0..input.below(3) {
            plan.steps.extend(pause(input));
            let cut = input.below(80).min(rest.len());
            plan.steps.push(Step::Data(rest.split_to(cut)));
        }
        plan.steps.extend(pause(input));
        plan.steps.push(Step::Data(rest));
        plan.steps.extend(pause(input));
        match input.below(12) {
            9 => plan.steps.push(Step::Trailers(HeaderMap::from_iter([(
                VARY,
                HeaderValue::from_static("no"),
            )]))),
            10 => plan.steps.push(Step::Error(7)),
            11 => {
                plan.steps.pop();
                plan.steps.push(Step::Error(8));
            }
            _ => {}
        }
        (plan.lower, plan.upper) = match input.below(8) {
            0..3 => (0, None),
            3..6 => (len, Some(len)),
            6 => (0, Some(len + 3)),
            _ => (len + 1, Some(len + 1)),
        };
        plan.tells_end = input.flag();
        plan.fields = fields(input, number, len);
        plan.has_date = plan.fields.iter().any(|(name, _)| name == LAST_MODIFIED);
        plan
    }

    /// What a source would say: the truth, or nothing.
    pub(crate) fn state(&self, place: Place) -> Representation {
        if !self.plan.borrow().source_knows {
            return Representation::Unknown;
        }
        let number = self.number(place);
        // Dates that are in no order prove something only by equality.
        Validators::from(source_tag(number))
            .last_modified(LastModified::FirstSeen(date_of(number)))
            .into()
    }
}

fn pause(input: &mut Input<'_>) -> Option<Step> {
    input.pick(&[None, None, None, None, Some(Step::Yield), Some(Step::Gate)])
}

fn fields(input: &mut Input<'_>, number: u8, len: u64) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::new();
    match input.below(8) {
        5 => fields.push((ETAG, own_tag(number).into())),
        6 => fields.push((ETAG, own_tag(number).into_weak().into())),
        7 => fields.push((ETAG, HeaderValue::from_static("unquoted"))),
        _ => {}
    }
    if input.one_in(3) {
        fields.push((LAST_MODIFIED, date_of(number).into()));
    }
    match input.below(6) {
        3 | 4 => fields.push((CONTENT_LENGTH, len.into())),
        5 => fields.push((CONTENT_LENGTH, (len + 2).into())),
        _ => {}
    }
    if input.flag() {
        fields.push((VARY, HeaderValue::from_static("accept-language")));
    }
    match input.below(8) {
        5 => fields.push((CACHE_CONTROL, HeaderValue::from_static("no-store"))),
        6 => fields.push((CACHE_CONTROL, HeaderValue::from_static("max-age=60"))),
        7 => fields.push((CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))),
        _ => {}
    }
    fields
}

/// The inner service.
#[derive(Clone)]
pub(crate) struct Inner(pub(crate) Rc<World>);

impl Service<Request<()>> for Inner {
    type Response = Response<Script>;
    type Error = u8;
    type Future = Ready<Result<Response<Script>, u8>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), u8>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let world = &self.0;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let place = place(&request);
            world.change(place, world.number(place).wrapping_add(1));
            world.writes.set(world.writes.get() + 1);
            let response = Response::builder().status(204).body(logged([], &world.outside));
            return ready(Ok(response.unwrap()));
        }
        let plan = world.plan.borrow();
        if plan.fails {
            return ready(Err(9));
        }
        let script = logged(plan.steps.clone(), &world.outside)
            .hint(plan.lower, plan.upper)
            .telling_end(plan.tells_end);
        let mut response = Response::new(script);
        *response.status_mut() = plan.status.try_into().unwrap();
        response.headers_mut().extend(plan.fields.iter().cloned());
        ready(Ok(response))
    }
}

/// Returns a clock that shows the time of a world.
pub(crate) fn clock(world: &World) -> impl Fn() -> std::time::SystemTime + Send + Sync + 'static {
    let seconds = Arc::clone(&world.clock);
    move || {
        std::time::UNIX_EPOCH
            + std::time::Duration::from_secs(seconds.load(Relaxed).try_into().unwrap())
    }
}
