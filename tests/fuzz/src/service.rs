//! The whole: a layer with arbitrary settings before a server whose truth is known, and
//! a client that remembers what it got.
//!
//! Whatever it asks, and however bodies are polled and dropped: nothing panics or
//! hangs, content comes out as it went in, a tag stands for its content, no 304 is sent
//! for content that the client does not hold, and no write runs on a state that the
//! client did not name.

use std::{collections::HashMap, rc::Rc, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::Bytes;
use http::{
    header::{
        HeaderName, ACCEPT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
        RETRY_AFTER, TE,
    },
    response, HeaderValue, Method, Request, Response, Version,
};
use http_body::Body;
use tower::{Layer, Service, ServiceExt};
use tower_conditional::{
    AddLastModified, BodyTimeout, ConditionalLayer, EntityTag, InnerTags, OuterCompression,
    PreconditionLayer, RequestBody, WriteGuard,
};

use super::{
    input::Input,
    model::{clock, content_of, own_tag, place, source_tag, Inner, Place, Style, World, NOON},
    repr_digest::is_digest_of,
    script::{content, frames, read, run, Step},
};

/// Returns how many parts were sent by If-Range: where there are none, nothing is said
/// of them.
pub fn holds(input: &[u8]) -> usize {
    let mut input = Input(input);
    let world = Rc::new(World::default());
    world.clock.store(NOON, Relaxed);
    world.style.set(input.pick(&[Style::Mixed, Style::Mixed, Style::Tags, Style::Dates]));
    let stack = input.below(4);
    let settings = Settings::choose(&mut input, stack);
    let layer = settings.layer(&mut input, &world);
    world.clock.fetch_add(2, Relaxed);
    for place in 0..4 {
        world.change(place, 3 + place as u8);
    }
    let mut client = Client {
        world: Rc::clone(&world),
        settings,
        stack,
        held: Vec::new(),
        dates: HashMap::new(),
        resumed: 0,
    };
    let inner = Inner(Rc::clone(&world));
    let source = Rc::clone(&world);
    let source = PreconditionLayer::new(move |parts| {
        let request = Request::from_parts(parts.clone(), ());
        std::future::ready(source.state(place(&request)))
    });
    match stack {
        0 => client.go_on(&mut input, &mut layer.layer(inner)),
        1 => {
            let inner = layer.layer(inner);
            let inner =
                inner.map_request(|request: Request<RequestBody<String>>| request.map(drop));
            let guard = WriteGuard::new(inner);
            let guard = guard.map_request(|request: Request<()>| request.map(|()| String::new()));
            client.go_on(&mut input, &mut { guard });
        }
        2 => client.go_on(&mut input, &mut source.layer(layer.layer(inner))),
        _ => client.go_on(&mut input, &mut layer.layer(source.layer(inner))),
    }
    assert_eq!(world.outside.alive(), 0, "all bodies are gone");
    client.resumed
}

/// The settings that the claims depend on.
struct Settings {
    weak: bool,
    head_as_get: bool,
    repr_digest: bool,
    ranges: bool,
}

impl Settings {
    fn choose(input: &mut Input<'_>, stack: usize) -> Self {
        // An inner layer does not make the tags of a source weak.
        let weak = stack == 0 && input.one_in(4);
        // Where the bytes may change outside, there is no digest.
        let repr_digest = input.flag() && !weak;
        Self { weak, head_as_get: input.flag(), repr_digest, ranges: input.flag() }
    }

    fn layer(&self, input: &mut Input<'_>, world: &World) -> ConditionalLayer {
        let layer = ConditionalLayer::new()
            .clock(clock(world))
            .buffer_limit(input.pick(&[1 << 20, 1 << 20, 64, 0]))
            .body_timeout(
                BodyTimeout::new()
                    .known_size(input.pick(&[Duration::from_millis(500), Duration::ZERO])),
            )
            .head_as_get(self.head_as_get)
            .repr_digest(self.repr_digest)
            .ranges(self.ranges)
            .add_last_modified(input.pick(&[
                AddLastModified::WithNoCache,
                AddLastModified::IfFreshnessStated,
                AddLastModified::Alone,
                AddLastModified::Never,
            ]))
            .inner_tags(
                input.pick(&[InnerTags::keep, InnerTags::learn, InnerTags::replace])()
                    .trust_dates(input.flag()),
            )
            .report_outcome(input.flag());
        let layer = if input.one_in(4) { layer.key(|_| 0) } else { layer };
        let layer = match input.below(3) {
            0 => layer,
            1 => layer.content_cache(0),
            _ => layer.content_cache(1000),
        };
        layer.outer_compression(OuterCompression::new().keeps_tags(self.weak))
    }
}

/// What a client got: content, and what it was told to name it by.
#[derive(Clone, Debug)]
struct Held {
    place: Place,
    tag: Option<HeaderValue>,
    date: Option<HeaderValue>,
    content: Bytes,
}

struct Client {
    world: Rc<World>,
    settings: Settings,
    stack: usize,
    held: Vec<Held>,
    /// The content that a date was sent with, place by place.
    dates: HashMap<(Place, HeaderValue), Bytes>,
    /// How many parts came by If-Range.
    resumed: usize,
}

/// A request, and what the client holds of what it names in each field.
struct Sent {
    request: Request<()>,
    named: HashMap<HeaderName, Vec<Held>>,
}

impl Client {
    fn go_on<S, B>(&mut self, input: &mut Input<'_>, service: &mut S)
    where
        S: Service<Request<()>, Response = Response<B>, Error = u8>,
        B: Body<Data = Bytes, Error = u32>,
    {
        for _ in 0..40 {
            if input.is_empty() {
                return;
            }
            match input.below(8) {
                // The clock is set back, too.
                0 => drop(self.world.clock.fetch_add(i64::from(input.byte() % 8) - 2, Relaxed)),
                // What was there before comes back, too.
                1 => self.world.change(input.below(4), input.byte() >> input.below(4)),
                2 => {
                    let sent = self.resume(input).unwrap_or_else(|| self.request(input));
                    self.ask(&sent, input, service);
                }
                _ => self.ask(&self.request(input), input, service),
            }
        }
    }

    fn ask<S, B>(&mut self, sent: &Sent, input: &mut Input<'_>, service: &mut S)
    where
        S: Service<Request<()>, Response = Response<B>, Error = u8>,
        B: Body<Data = Bytes, Error = u32>,
    {
        let place = place(&sent.request);
        let (is_read, is_head) =
            (sent.request.method() != Method::PUT, sent.request.method() == Method::HEAD);
        let mut plan = self.world.plan(input, &sent.request);
        // With `head_as_get`, the inner service gets a GET, and answers with the content.
        if is_head && input.flag() && !self.settings.head_as_get {
            plan.steps.clear();
        }
        self.world.plan.replace(plan.clone());
        let before = content_of(self.world.number(place));
        let writes = self.world.writes.get();

        let polls = if input.one_in(12) { input.below(4) } else { usize::MAX };
        let request = clone(&sent.request);
        let Some(result) = run(service.call(request), polls, &self.world.outside) else { return };
        let has_run = self.world.writes.get() > writes;
        let response = match result {
            Ok(response) => response,
            Err(error) => return assert!(plan.fails && error == 9 && !has_run),
        };
        if !is_read {
            return self.evaluate_write_naively(sent, &before, has_run);
        }
        let most = if input.one_in(8) { input.below(3) } else { usize::MAX };
        let (head, body) = response.into_parts();
        let is_end = body.is_end_stream();
        let (events, is_whole) = read(body, most, &self.world.outside);
        assert!(!is_end || events.is_empty(), "at its end before {events:?}");
        let got: Bytes = content(&events).into();
        // Somebody else may have written meanwhile.
        let before = content_of(self.world.number_for(&sent.request));
        let claim = Claim { client: self, sent, head: &head, before: &before };
        claim.digest_is_true(&events);
        match head.status.as_u16() {
            304 => claim.client_holds_it(&events, is_end),
            412 if plan.status != 412 => claim.something_fails(&events, is_end),
            206 => {
                claim.it_is_the_part(&got, is_whole);
                self.resumed += usize::from(sent.request.headers().contains_key(IF_RANGE));
            }
            416 => claim.nothing_is_there(&events),
            503 => {
                claim.the_part_is_refused(&events, is_end);
                // The next try gets the whole.
                self.world.plan.borrow_mut().becomes = None;
                let again =
                    run(service.call(clone(&sent.request)), usize::MAX, &self.world.outside);
                assert_ne!(again.unwrap().unwrap().status(), 503, "{:?}", sent.request);
            }
            status => {
                assert_eq!(status, plan.status);
                claim.validators_are_true(&events);
                let expected = frames(plan.steps.clone());
                if is_head && self.settings.head_as_get {
                    assert_eq!(events, []);
                } else {
                    is_as_it_was(&events, &expected, is_whole, self.settings.repr_digest);
                }
                let is_get = sent.request.method() == Method::GET;
                if status == 200 && is_whole && is_get && got == before {
                    self.keep(place, &head, got);
                }
            }
        }
    }

    /// Makes a request that names what the client holds, or nothing that anybody does.
    fn request(&self, input: &mut Input<'_>) -> Sent {
        let method = match input.below(9) {
            8 => Method::from_bytes(b"QUERY").unwrap(),
            6 => Method::HEAD,
            7 => Method::PUT,
            _ => Method::GET,
        };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = input.pick(&["/a", "/a", "/a", "/b"]).parse().unwrap();
        *request.version_mut() = input.pick(&[Version::HTTP_11, Version::HTTP_2]);
        let headers = request.headers_mut();
        if input.one_in(4) {
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("de"));
        }
        if input.flag() {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        let mut named = HashMap::new();
        for name in [IF_NONE_MATCH, IF_MATCH] {
            if input.one_in(5) {
                let held = named.entry(name.clone()).or_insert_with(Vec::new);
                for _ in 0..=input.below(3) {
                    let (value, holding) = self.tag(input);
                    request.headers_mut().append(name.clone(), value);
                    held.extend(holding);
                }
            }
        }
        let place = place(&request);
        for name in [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
            if input.one_in(4)
                && let Some(held) = self.dated(input, place)
            {
                request.headers_mut().append(name.clone(), held.date.clone().unwrap());
                named.insert(name, vec![held]);
            }
        }
        if input.one_in(3) {
            let range = format!("bytes={}-{}", input.below(25), 24 + input.below(40));
            request.headers_mut().insert(RANGE, range.parse().unwrap());
            let with_date = |held: Held| (held.date.clone().unwrap(), Some(held));
            let with_tag = |held: Held| Some((held.tag.clone()?, Some(held)));
            // A download is mostly resumed by what came last.
            let last = self.held.iter().rfind(|held| held.place == place).cloned();
            let validator = match input.below(6) {
                0 => None,
                1 => Some(self.tag(input)),
                2 => self.dated(input, place).map(with_date),
                3 => last.filter(|held| held.date.is_some()).map(with_date),
                _ => last.and_then(with_tag),
            };
            if let Some((value, held)) = validator {
                request.headers_mut().insert(IF_RANGE, value);
                named.insert(IF_RANGE, held.into_iter().collect());
            }
        }
        Sent { request, named }
    }

    /// Makes a request that goes on with what came last, as a download does that broke
    /// off; `None` if nothing came yet.
    fn resume(&self, input: &mut Input<'_>) -> Option<Sent> {
        let held = self.held.iter().rfind(|held| held.content.len() > 1)?;
        let (tag, date) = (held.tag.clone(), held.date.clone());
        let validator = if input.one_in(3) { date.or(tag) } else { tag.or(date) };
        let first = 1 + input.below((held.content.len() - 1).min(256));
        let mut request = Request::new(());
        *request.uri_mut() = if held.place < 2 { "/a" } else { "/b" }.parse().unwrap();
        let headers = request.headers_mut();
        if !held.place.is_multiple_of(2) {
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static("de"));
        }
        headers.insert(RANGE, format!("bytes={first}-99999").parse().unwrap());
        headers.insert(IF_RANGE, validator?);
        Some(Sent { request, named: HashMap::from([(IF_RANGE, vec![held.clone()])]) })
    }

    fn tag(&self, input: &mut Input<'_>) -> (HeaderValue, Option<Held>) {
        let choice = input.byte();
        let tagged: Vec<_> = self.held.iter().filter(|held| held.tag.is_some()).collect();
        match tagged
            .get(usize::from(choice))
            .or_else(|| tagged.get(usize::from(choice) % tagged.len().max(1)))
        {
            Some(held) if choice < 224 => (held.tag.clone().unwrap(), Some((*held).clone())),
            _ => {
                let texts =
                    ["\"nobody's\"", "\"a", "", "unquoted", "W/\"\"", "\"a,b\", c", "\t, ,"];
                (HeaderValue::from_static(input.pick(&texts)), None)
            }
        }
    }

    fn dated(&self, input: &mut Input<'_>, place: Place) -> Option<Held> {
        let dated: Vec<_> =
            self.held.iter().filter(|held| held.date.is_some() && held.place == place).collect();
        (!dated.is_empty()).then(|| input.pick(&dated).clone())
    }

    fn keep(&mut self, place: Place, head: &response::Parts, content: Bytes) {
        let field = |name| head.headers.get(name).cloned();
        let tag = field(ETAG).filter(|tag| EntityTag::try_from(tag).is_ok());
        let date = field(LAST_MODIFIED);
        if let Some(date) = &date {
            let first = self.dates.entry((place, date.clone())).or_insert_with(|| content.clone());
            assert_eq!(*first, content, "{date:?} was sent with two contents");
        }
        self.held.push(Held { place, tag, date, content });
    }

    /// No write runs if it is based on what is not there any more.
    fn evaluate_write_naively(&self, sent: &Sent, before: &Bytes, has_run: bool) {
        let plan = self.world.plan.borrow();
        let is_judged = match self.stack {
            0 => false,
            1 => plan.status == 200,
            _ => plan.source_knows,
        };
        if !has_run || !is_judged {
            return;
        }
        if let Some(named) = sent.named.get(&IF_MATCH) {
            assert!(
                named.iter().any(|held| held.content == before),
                "a stale write ran: {:?}",
                sent.request
            );
        } else if let Some(named) =
            sent.named.get(&IF_UNMODIFIED_SINCE).filter(|_| plan.has_date || self.stack > 1)
        {
            let [held] = &named[..] else { return };
            assert_eq!(held.content, before, "a stale write ran: {:?}", sent.request);
        }
    }
}

/// What is claimed of one response.
struct Claim<'a> {
    client: &'a Client,
    sent: &'a Sent,
    head: &'a response::Parts,
    before: &'a Bytes,
}

impl Claim<'_> {
    fn client_holds_it(&self, events: &[Step], is_end: bool) {
        assert!(is_end && events.is_empty());
        assert!(!self.head.headers.contains_key(CONTENT_TYPE));
        if let Some(length) = self.head.headers.get(CONTENT_LENGTH) {
            // That of the 200: the true one, or that which the inner service says.
            let stated = self.client.world.plan.borrow().lengths();
            let mut lengths = stated.into_iter().chain([self.before.len() as u64]);
            assert!(lengths.any(|stated| *length == HeaderValue::from(stated)), "{length:?}");
        }
        let mut named = [IF_NONE_MATCH, IF_MODIFIED_SINCE]
            .iter()
            .filter_map(|name| self.sent.named.get(name))
            .flatten();
        assert!(
            named.any(|held| held.content == self.before),
            "a wrong 304: {:?} {:?}",
            self.sent.request,
            self.head
        );
        if self.sent.request.method() != "QUERY" {
            self.date_is_true();
        }
        self.validators_are_true(events);
    }

    fn something_fails(&self, events: &[Step], is_end: bool) {
        assert!(is_end && events.is_empty());
        let headers = self.sent.request.headers();
        assert!(headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE));
        self.validators_are_true(events);
    }

    fn it_is_the_part(&self, got: &Bytes, is_whole: bool) {
        assert!(self.client.settings.ranges || self.client.world.plan.borrow().cuts);
        self.date_is_true();
        let text = self.head.headers[CONTENT_RANGE].to_str().unwrap();
        let numbers: Vec<usize> =
            text[6..].split(['-', '/']).map(|number| number.parse().unwrap()).collect();
        let [first, last, _] = numbers[..] else { panic!("{text}") };
        let part = &self.before[first.min(self.before.len())..self.before.len().min(last + 1)];
        assert!(
            part.starts_with(got) && (!is_whole || part.len() == got.len() || !self.is_true()),
            "{text}"
        );
        // Whatever binds the range, what the client holds is of the same content.
        let fields = [IF_RANGE, IF_MATCH, IF_UNMODIFIED_SINCE];
        if let Some(named) = fields.iter().find_map(|name| self.sent.named.get(name)) {
            assert!(
                named.iter().any(|held| held.content == self.before),
                "a part of other content: {:?} {:?}",
                self.sent.request,
                self.head
            );
        }
    }

    /// No content begins where the range does, and a client that names what it holds
    /// has as much.
    fn nothing_is_there(&self, events: &[Step]) {
        assert!(self.client.settings.ranges || self.client.world.plan.borrow().cuts);
        assert!(self.sent.request.headers().contains_key(RANGE) && events.is_empty());
        if let Some(named) = self.sent.named.get(&IF_RANGE) {
            assert!(named.iter().any(|held| held.content.len() == self.before.len()));
        }
    }

    fn the_part_is_refused(&self, events: &[Step], is_end: bool) {
        let (sent, head) = (self.sent.request.headers(), &self.head.headers);
        assert!(is_end && events.is_empty() && self.client.world.plan.borrow().cuts);
        assert!(sent.contains_key(RANGE) && sent.contains_key(IF_RANGE));
        assert_eq!(head[RETRY_AFTER], "1");
        for name in [ETAG, LAST_MODIFIED, CONTENT_RANGE, CONTENT_TYPE] {
            assert!(!head.contains_key(name));
        }
    }

    /// A date that was sent with this place's content is sent with no other.
    fn date_is_true(&self) {
        let Some(date) = self.head.headers.get(LAST_MODIFIED) else { return };
        let known = self.client.dates.get(&(place(&self.sent.request), date.clone()));
        assert!(known.is_none_or(|known| known == self.before), "{date:?} of other content");
    }

    /// Returns true if the inner body neither broke off nor lied about its length.
    fn is_true(&self) -> bool {
        let plan = self.client.world.plan.borrow();
        let length = plan.fields.iter().find(|(name, _)| name == CONTENT_LENGTH);
        let is_error = |step: &Step| matches!(step, Step::Error(_));
        !plan.steps.iter().any(is_error)
            && length.is_none_or(|(_, length)| *length == HeaderValue::from(self.before.len()))
    }

    /// A digest in head or trailers is that of the whole content.
    fn digest_is_true(&self, events: &[Step]) {
        let trailers = events.iter().filter_map(|event| match event {
            Step::Trailers(trailers) => trailers.get("repr-digest"),
            _ => None,
        });
        for value in self.head.headers.get("repr-digest").into_iter().chain(trailers) {
            assert!(self.client.settings.repr_digest);
            assert!(is_digest_of(value.to_str().unwrap(), self.before), "{:?}", self.head);
            assert!(matches!(self.head.status.as_u16(), 200 | 206), "{:?}", self.head);
        }
    }

    /// Tags in head and trailers are those of the content, or the inner service's own.
    fn validators_are_true(&self, events: &[Step]) {
        let trailers = events.iter().filter_map(|event| match event {
            Step::Trailers(trailers) => trailers.get(ETAG),
            _ => None,
        });
        let head = self.head.headers.get(ETAG).filter(|_| self.head.status.as_u16() != 404);
        for value in head.into_iter().chain(trailers) {
            let Ok(tag) = EntityTag::try_from(value) else {
                assert_eq!(value, "unquoted");
                continue;
            };
            let number = self.client.world.number_for(&self.sent.request);
            let made = EntityTag::of(self.before);
            let is_made = tag.opaque().starts_with(made.opaque());
            let is_own = [own_tag(number), source_tag(number)].iter().any(|own| own.weak_eq(&tag));
            assert!(is_made || is_own, "a wrong tag: {tag:?} for {number}");
            assert!(!self.client.settings.weak || tag.is_weak() || !events.is_empty());
        }
    }
}

/// Nothing is lost or made up; a tag and a digest in the trailers aside.
fn is_as_it_was(events: &[Step], expected: &[Step], is_whole: bool, repr_digest: bool) {
    let mut events = events.to_vec();
    if let Some(Step::Trailers(trailers)) = events.last_mut().filter(|_| repr_digest) {
        trailers.remove(ETAG);
        trailers.remove("repr-digest");
        if trailers.is_empty() {
            events.pop();
        }
    }
    assert!(expected.starts_with(&events), "{events:?} of {expected:?}");
    assert!(!is_whole || expected.len() == events.len(), "{events:?} of {expected:?}");
}

fn clone(request: &Request<()>) -> Request<()> {
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}
