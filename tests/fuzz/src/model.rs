//! A server whose truth is known: resources in two languages, contents that have a
//! number, and an inner service that serves them in every way that is not a lie about
//! which content it is.

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
        ACCEPT_LANGUAGE, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        LAST_MODIFIED, RANGE, SET_COOKIE, VARY,
    },
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
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
    pub(crate) style: Cell<Style>,
}

/// Which validators the inner service gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Style {
    /// Now these, now those.
    #[default]
    Mixed,
    /// A strong tag, and a date now and then.
    Tags,
    /// A date.
    Dates,
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

/// Returns the content that a number stands for. Some are equal: there is one empty
/// content.
pub(crate) fn content_of(number: u8) -> Bytes {
    let len = match number {
        200.. => 70_000,
        _ => [3, 0, 1, 20, 64, 65, 300, 9][usize::from(number % 8)],
    };
    let bytes = (0..len).map(|place: usize| (place * 7 % 251) as u8 ^ number);
    bytes.collect()
}

/// Returns the date that a content has wherever it turns up: each its own, and in no
/// order.
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
    /// Somebody else writes before the inner service answers: the number from then on.
    pub(crate) becomes: Option<u8>,
    /// Parts are served by the inner service.
    pub(crate) cuts: bool,
    /// If-Range is evaluated there, too.
    by_if_range: bool,
    /// If-None-Match and If-Modified-Since are, dates by their order.
    evaluates: bool,
}

impl Plan {
    fn field(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// What an inner service answers that evaluates by itself what it is shown.
    fn answer(
        &self,
        request: &Request<()>,
        whole: &Bytes,
    ) -> Option<(StatusCode, HeaderMap, Bytes)> {
        if self.status != 200 {
            return None;
        }
        let (etag, date) = (self.field(&ETAG), self.field(&LAST_MODIFIED));
        let tag = etag.and_then(|etag| EntityTag::try_from(etag).ok());
        let line = |name: &HeaderName| request.headers().get(name);
        let mut head: HeaderMap = self.fields.iter().cloned().collect();
        head.remove(CONTENT_LENGTH);
        if self.evaluates {
            let is_unchanged = match (line(&IF_NONE_MATCH), line(&IF_MODIFIED_SINCE)) {
                (Some(held), _) => {
                    let held = EntityTag::try_from(held).ok();
                    tag.as_ref().zip(held).is_some_and(|(tag, held)| tag.weak_eq(&held))
                }
                (None, Some(since)) if *request.method() != "QUERY" => {
                    let now = HttpDate::from_unix_seconds(NOON).unwrap();
                    let date = date.and_then(|date| HttpDate::parse(date, now));
                    date.is_some() && date <= HttpDate::parse(since, now)
                }
                _ => false,
            };
            if is_unchanged {
                head.remove(CONTENT_TYPE);
                return Some((StatusCode::NOT_MODIFIED, head, Bytes::new()));
            }
        }
        let range = line(&RANGE).filter(|_| *request.method() == Method::GET && self.cuts)?;
        let is_named = |held: &HeaderValue| match EntityTag::try_from(held) {
            Ok(held) => tag.as_ref().is_some_and(|tag| tag.strong_eq(&held)),
            Err(_) => date == Some(held),
        };
        if self.by_if_range && line(&IF_RANGE).is_some_and(|held| !is_named(held))
            || whole.is_empty()
        {
            return None;
        }
        let (first, last) = range.to_str().unwrap()[6..].split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let len = whole.len();
        if first >= len {
            head.insert(CONTENT_RANGE, format!("bytes */{len}").parse().unwrap());
            return Some((StatusCode::RANGE_NOT_SATISFIABLE, head, Bytes::new()));
        }
        let last = last.min(len - 1);
        head.insert(CONTENT_RANGE, format!("bytes {first}-{last}/{len}").parse().unwrap());
        Some((StatusCode::PARTIAL_CONTENT, head, whole.slice(first..=last)))
    }

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

    /// Returns the number of the content that a read gets.
    pub(crate) fn number_for<B>(&self, request: &Request<B>) -> u8 {
        number_of(request, self.number(place(request)))
    }

    /// Makes up how a request is answered next.
    pub(crate) fn plan<B>(&self, input: &mut Input<'_>, request: &Request<B>) -> Plan {
        let is_write = *request.method() == Method::PUT;
        let becomes =
            if !is_write && input.one_in(10) { Some(input.byte() >> input.below(4)) } else { None };
        let number = number_of(request, becomes.unwrap_or_else(|| self.number(place(request))));
        let whole = content_of(number);
        let len = whole.len() as u64;
        let status = input.pick(&[200, 200, 200, 200, 200, 200, 200, 203, 204, 404, 500]);
        let mut plan = Plan {
            status,
            source_knows: !input.one_in(9),
            fails: input.one_in(16),
            becomes,
            cuts: input.flag() || self.style.get() != Style::Mixed,
            by_if_range: input.flag(),
            evaluates: input.flag(),
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
        plan.fields = fields(input, number, len, self.style.get());
        if plan.cuts {
            plan.fields.push((ACCEPT_RANGES, HeaderValue::from_static("bytes")));
        }
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

/// What a QUERY gets is not what a GET of the same place gets.
fn number_of<B>(request: &Request<B>, number: u8) -> u8 {
    if *request.method() == "QUERY" {
        number ^ 0x55
    } else {
        number
    }
}

fn pause(input: &mut Input<'_>) -> Option<Step> {
    input.pick(&[None, None, None, None, Some(Step::Yield), Some(Step::Gate)])
}

fn fields(
    input: &mut Input<'_>,
    number: u8,
    len: u64,
    style: Style,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::new();
    let etag = match style {
        Style::Mixed => input.below(8),
        Style::Tags => 5,
        Style::Dates => 0,
    };
    match etag {
        5 => fields.push((ETAG, own_tag(number).into())),
        6 => fields.push((ETAG, own_tag(number).into_weak().into())),
        7 => fields.push((ETAG, HeaderValue::from_static("unquoted"))),
        _ => {}
    }
    if input.one_in(3) || style == Style::Dates {
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
    if input.one_in(12) {
        fields.push((CONTENT_SECURITY_POLICY, HeaderValue::from_static("script-src 'nonce-x'")));
    }
    match input.below(16) {
        8 => fields.push((CACHE_CONTROL, HeaderValue::from_static("private"))),
        9 => fields.push((SET_COOKIE, HeaderValue::from_static("a=1"))),
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
        let place = place(&request);
        if *request.method() == Method::PUT {
            world.change(place, world.number(place).wrapping_add(1));
            world.writes.set(world.writes.get() + 1);
            let response = Response::builder().status(204).body(logged([], &world.outside));
            return ready(Ok(response.unwrap()));
        }
        let plan = world.plan.borrow();
        if plan.fails {
            return ready(Err(9));
        }
        if let Some(number) = plan.becomes {
            world.change(place, number);
        }
        let whole = content_of(world.number_for(&request));
        if let Some((status, head, part)) = plan.answer(&request, &whole) {
            let len = part.len() as u64;
            let steps = if part.is_empty() { None } else { Some(Step::Data(part)) };
            let body = logged(steps, &world.outside).hint(len, Some(len)).telling_end(true);
            let mut response = Response::new(body);
            (*response.status_mut(), *response.headers_mut()) = (status, head);
            return ready(Ok(response));
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
