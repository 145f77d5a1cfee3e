//! A model of the world outside the memory, which looks for a 304 that leaves a client
//! with wrong content.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{atomic::AtomicU64, Mutex},
};

use http::{header::IF_MODIFIED_SINCE, request, HeaderMap, Method, Request};

use super::{super::resource_key::request_key, *};
use crate::rules::{Decision, Preconditions, Validators};

/// What may happen in one run of the model.
#[derive(Clone, Copy, Debug, Default)]
struct World {
    /// Where inner dates come from.
    dates: Dates,
    /// Some of these dates lie ahead of the clock, by seconds or by days; and days may
    /// pass.
    ahead: bool,
    /// The memory holds one resource a shard, and there are more.
    forgets: bool,
    /// The process ends, and another takes over, in the same second too.
    restarts: bool,
    /// Two processes serve at once; one of them lags behind.
    replicas: bool,
    /// The clock is set back now and then.
    clock_steps: bool,
    /// Clients send the time at which they got a response.
    receipt_clients: bool,
    /// Two layers with one memory, or with one each.
    stacked: Option<bool>,
    /// Content depends on request fields, and what responses say of that changes.
    varies: bool,
    /// Some content gets no tag, and some no date.
    untagged: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Dates {
    /// The inner service gives none.
    #[default]
    None,
    /// Each content has a date of its own, not later than now; newer content may have
    /// an older date.
    Honest,
    /// As `Honest`, but not on each response.
    ComeAndGo,
    /// One of a few dates, whatever the content; some lie in the future.
    Lying,
}

/// A resource, and which of its variants a client asks for.
type Name = (u64, usize);

/// A response that a client keeps.
#[derive(Clone, Copy, Debug)]
struct Copy {
    key: Name,
    content: u64,
    last_modified: Option<HttpDate>,
    received: HttpDate,
    /// Which process sent it.
    process: usize,
}

struct Model {
    world: World,
    /// One for each variant.
    requests: [request::Parts; 3],
    random: Random,
    now: i64,
    memories: Vec<(usize, DateStore, DateStore)>,
    processes: usize,
    contents: BTreeMap<Name, Vec<u64>>,
    given: BTreeMap<u64, HttpDate>,
    used: BTreeSet<(u64, HttpDate)>,
    copies: Vec<Copy>,
    slow: Vec<(Name, u64)>,
    next_content: u64,
    not_modified: usize,
    generated: usize,
}

impl Model {
    fn new(world: World, seed: u64) -> Self {
        let request = |accept: &str| {
            Request::get("/").header("accept", accept).body(()).unwrap().into_parts().0
        };
        let mut model = Self {
            world,
            requests: ["0", "1", "2"].map(request),
            random: Random(seed),
            now: 1_000_000,
            memories: Vec::new(),
            processes: 0,
            contents: BTreeMap::new(),
            given: BTreeMap::new(),
            used: BTreeSet::new(),
            copies: Vec::new(),
            slow: Vec::new(),
            next_content: 1,
            not_modified: 0,
            generated: 0,
        };
        for _ in 0..if world.replicas { 2 } else { 1 } {
            let memory = model.start();
            model.memories.push(memory);
        }
        for key in 0..KEYS as u64 {
            (0..3).for_each(|variant| model.change((key, variant)));
        }
        model
    }

    fn now(&self) -> HttpDate {
        HttpDate::from_unix_seconds(self.now).unwrap()
    }

    fn start(&mut self) -> (usize, DateStore, DateStore) {
        self.processes += 1;
        let resources = if self.world.forgets { SHARDS } else { 1 << 10 };
        let memory = || DateStore::with_capacity(resources, self.now());
        (self.processes, memory(), memory())
    }

    fn change(&mut self, key: Name) {
        let content = self.next_content;
        self.next_content += 1;
        self.contents.entry(key).or_default().push(content);
        // The present second if no content of this key has it yet; else one in the past.
        let mut date = self.now();
        if self.world.ahead && self.random.below(3) == 0 {
            let days = i64::try_from(self.random.below(2)).unwrap();
            date = HttpDate::from_unix_seconds(self.now + days * A_DAY + self.seconds()).unwrap();
        }
        while !self.used.insert((key.0, date)) {
            date = HttpDate::from_unix_seconds(
                self.now - 1 - i64::try_from(self.random.below(5_000)).unwrap(),
            )
            .unwrap();
        }
        self.given.insert(content, date);
    }

    /// Returns a few seconds, or none.
    fn seconds(&mut self) -> i64 {
        i64::try_from(self.random.below(4)).unwrap()
    }

    fn step(&mut self) {
        let key = (
            self.random.below(KEYS) as u64,
            if self.world.varies { self.random.below(3) } else { 0 },
        );
        match self.random.below(20) {
            0..3 => self.now += 1,
            3 => self.now += self.seconds(),
            4 if self.world.clock_steps => self.now -= i64::try_from(self.random.below(3)).unwrap(),
            5 | 6 => self.change(key),
            7 => {
                // Back to older content.
                let contents = self.contents.get_mut(&key).unwrap();
                let old = contents[self.random.below(contents.len())];
                contents.push(old);
            }
            8 => self.slow.push((key, self.current(key))),
            9 if self.world.restarts => {
                let which = self.random.below(self.memories.len());
                let memory = self.start();
                self.memories[which] = memory;
            }
            10 if !self.slow.is_empty() => {
                let which = self.random.below(self.slow.len());
                let (key, content) = self.slow.swap_remove(which);
                self.serve(key, content);
            }
            11 if self.world.ahead && self.random.below(4) == 0 => {
                self.now += A_DAY - self.seconds()
            }
            _ => {
                let mut content = self.current(key);
                if self.world.replicas && self.random.below(4) == 0 {
                    let contents = &self.contents[&key];
                    content = contents[contents.len().saturating_sub(2)];
                }
                self.serve(key, content);
            }
        }
    }

    fn current(&self, key: Name) -> u64 {
        *self.contents[&key].last().unwrap()
    }

    /// Answers a request for `key` with `content`, which may be old by now, to a client
    /// that may have a copy.
    fn serve(&mut self, key: Name, content: u64) {
        let now = self.now();
        let given = match self.world.dates {
            Dates::None => None,
            Dates::Honest => Some(self.given[&content]),
            Dates::ComeAndGo => (self.random.below(2) == 0).then(|| self.given[&content]),
            Dates::Lying => {
                let around = i64::try_from(self.random.below(6)).unwrap() - 3;
                (self.random.below(3) > 0)
                    .then(|| HttpDate::from_unix_seconds(self.now + around).unwrap())
            }
        };
        // What is sent without a tag, without a date, or without both.
        let kind = if self.world.untagged { content % 4 } else { 0 };
        let tag = (kind != 1).then_some(content * 2);
        let given = given.filter(|_| kind < 2);
        let (generate, is_known) = (kind < 2 && tag.is_some(), kind != 3);
        let varied = match self.random.below(6) {
            _ if !self.world.varies => Some(0),
            0 => None,
            1 => Some(0),
            2 => Some(0b11),
            _ => Some(0b1),
        };
        let which = self.random.below(self.memories.len());
        let (process, memory, outer) = &self.memories[which];
        let see = |memory: &DateStore, given| {
            let mut request = request_key(&memory.keys, &self.requests[key.1]);
            // All in one shard.
            request.resource = key.0;
            let observation =
                Observation { tag: tag.filter(|_| is_known), given, generate, varied };
            memory.observe(&request, observation, now)
        };
        let sent = |modified: &Option<ResponseDate>, given| match *modified {
            Some(ResponseDate::Generated(date, _)) => Some(date),
            _ => given,
        };
        let mut modified = see(memory, given);
        let mut last_modified = sent(&modified, given);
        self.generated += usize::from(matches!(modified, Some(ResponseDate::Generated(..))));
        if let Some(apart) = self.world.stacked {
            // What left the inner layer, the outer one takes for the inner service's.
            modified = see(if apart { outer } else { memory }, last_modified);
            last_modified = sent(&modified, last_modified);
        }
        assert!(
            given.is_some() || last_modified <= Some(now),
            "a generated date lies in the future"
        );

        // A client may have changed what it sends since it got its copy; but not if it makes up
        // dates.
        let switches = !self.world.receipt_clients;
        let copies =
            self.copies.iter().filter(|copy| copy.key == key || switches && copy.key.0 == key.0);
        let copy = copies.clone().nth(self.random.below(copies.count().max(1)));
        if let Some(copy) = copy {
            let asked = match copy.last_modified {
                Some(date) if !self.world.receipt_clients => Some(date),
                // The content may have been current for a while.
                date => self
                    .world
                    .receipt_clients
                    .then(|| copy.received.max(date.unwrap_or(copy.received))),
            };
            // A made-up date that hits the inner service's own exactly is beyond anybody's
            // knowledge.
            let hits = asked != copy.last_modified && asked == given;
            // So is a date of another process that still runs.
            let foreign = self.world.replicas && copy.process != *process && asked == last_modified;
            if let Some(asked) = asked.filter(|_| !hits && !foreign) {
                let mut headers = HeaderMap::new();
                headers.insert(IF_MODIFIED_SINCE, asked.into());
                let validators = Validators {
                    etag: None,
                    last_modified: modified.as_ref().map(ResponseDate::last_modified),
                };
                let decision = Preconditions::from_headers_at(&headers, || now)
                    .evaluate(&Method::GET, validators);
                if decision == Decision::NotModified {
                    assert_eq!(
                        copy.content, content,
                        "wrong 304 at {now}: {modified:?} {copy:?} {:?}",
                        self.world
                    );
                    self.not_modified += 1;
                }
            }
        }
        self.copies.push(Copy { key, content, last_modified, received: now, process: *process });
        if self.copies.len() > 60 {
            let which = self.random.below(60);
            self.copies.swap_remove(which);
        }
    }
}

#[test]
fn no_run_of_the_model_ends_in_a_wrong_304() {
    let mut totals = BTreeMap::new();
    let quiet = World::default();
    let worlds = [
        quiet,
        World { forgets: true, ..quiet },
        World { restarts: true, ..quiet },
        World { replicas: true, restarts: true, ..quiet },
        World { clock_steps: true, forgets: true, ..quiet },
        World { receipt_clients: true, forgets: true, restarts: true, ..quiet },
        World { stacked: Some(false), forgets: true, restarts: true, ..quiet },
        World { stacked: Some(true), forgets: true, restarts: true, clock_steps: false, ..quiet },
        World { dates: Dates::Honest, forgets: true, restarts: true, ..quiet },
        World { dates: Dates::Honest, clock_steps: true, ..quiet },
        World { dates: Dates::Honest, clock_steps: true, forgets: true, ..quiet },
        World { dates: Dates::Honest, ahead: true, varies: true, ..quiet },
        World {
            dates: Dates::Honest,
            receipt_clients: true,
            forgets: true,
            restarts: true,
            ..quiet
        },
        World { dates: Dates::Honest, stacked: Some(false), forgets: true, ..quiet },
        World { dates: Dates::ComeAndGo, forgets: true, ..quiet },
        World { dates: Dates::ComeAndGo, clock_steps: true, ..quiet },
        World { dates: Dates::ComeAndGo, ahead: true, ..quiet },
        World { dates: Dates::ComeAndGo, ahead: true, varies: true, clock_steps: true, ..quiet },
        World { dates: Dates::ComeAndGo, stacked: Some(true), forgets: true, ..quiet },
        World { dates: Dates::ComeAndGo, stacked: Some(false), ..quiet },
        World { varies: true, ..quiet },
        World { varies: true, forgets: true, restarts: true, receipt_clients: true, ..quiet },
        World { varies: true, dates: Dates::Honest, forgets: true, restarts: true, ..quiet },
        World { varies: true, dates: Dates::Honest, receipt_clients: true, ..quiet },
        World { varies: true, dates: Dates::ComeAndGo, clock_steps: true, ..quiet },
        World { varies: true, dates: Dates::ComeAndGo, clock_steps: true, forgets: true, ..quiet },
        World { untagged: true, ..quiet },
        World { untagged: true, receipt_clients: true, ..quiet },
        World { untagged: true, dates: Dates::Honest, forgets: true, restarts: true, ..quiet },
        World {
            untagged: true,
            dates: Dates::Honest,
            receipt_clients: true,
            forgets: true,
            ..quiet
        },
        World { untagged: true, dates: Dates::ComeAndGo, varies: true, ..quiet },
        World { untagged: true, dates: Dates::ComeAndGo, stacked: Some(false), ..quiet },
        World { dates: Dates::Lying, ..quiet },
        World { dates: Dates::Lying, clock_steps: true, ..quiet },
        World { dates: Dates::Lying, stacked: Some(true), ..quiet },
    ];
    for (place, world) in worlds.into_iter().enumerate() {
        let (not_modified, generated) = totals.entry(place).or_insert((0, 0));
        for seed in 1..=RUNS {
            let mut model = Model::new(world, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            for _ in 0..STEPS {
                model.step();
            }
            *not_modified += model.not_modified;
            *generated += model.generated;
        }
        // The model means nothing if nothing happens in it.
        assert!(*not_modified > 50, "{not_modified} 304s in {world:?}");
        assert!(
            *generated > 100 || world.dates == Dates::Honest,
            "{generated} generated dates in {world:?}"
        );
    }
}

#[test]
fn the_memory_holds_no_more_than_its_capacity() {
    let now = at(0);
    let memory = DateStore::with_capacity(64, now);
    for key in 0..10_000 {
        let request = resource(&memory, key << 24 | key);
        memory.observe(
            &request,
            Observation { tag: Some(1), given: None, generate: true, varied: Some(0) },
            now,
        );
        memory.note(Key(u128::from(request.resource) << 64), true);
    }
    let held = |PaddedShard(shard): &PaddedShard| shard.read().unwrap().resources.len();
    assert_eq!(memory.shards.iter().map(held).sum::<usize>(), 64);
}

#[test]
fn what_is_asked_for_all_the_time_is_not_forgotten_when_the_clock_was_set_back() {
    let memory = DateStore::with_capacity(4 * SHARDS, HttpDate::from_unix_seconds(1_000).unwrap());
    assert_eq!(generated(&memory, 1, 2, 1_001), Some(1_001));
    assert_eq!(generated(&memory, 1, 2, 5_000), Some(1_001));
    for second in 0..100 {
        assert_eq!(generated(&memory, 1, 2, 1_400 + second), Some(1_001), "second {second}");
        generated(&memory, 2 + u64::try_from(second).unwrap(), 2, 1_400 + second);
    }
}

#[test]
fn threads_never_send_one_minted_date_with_two_contents() {
    for capacity in [2 * SHARDS, 1 << 10] {
        let memory =
            DateStore::with_capacity(capacity, HttpDate::from_unix_seconds(1_000).unwrap());
        let (clock, tags) = (AtomicI64::new(1_000), [const { AtomicU64::new(1) }; 4]);
        let sent = Mutex::new(HashMap::new());
        std::thread::scope(|scope| {
            for seed in 1..=4 {
                let (memory, clock, tags, sent) = (&memory, &clock, &tags, &sent);
                scope.spawn(move || {
                    let mut random = Random(seed);
                    for _ in 0..20_000 {
                        let key = random.below(tags.len());
                        match random.below(200) {
                            0 | 1 => drop(clock.fetch_add(1, Ordering::SeqCst)),
                            2 => drop(clock.fetch_sub(1, Ordering::SeqCst)),
                            3 => drop(tags[key].fetch_add(2, Ordering::SeqCst)),
                            4 => drop(tags[key].fetch_sub(2, Ordering::SeqCst)),
                            _ => {}
                        }
                        let tag = tags[key].load(Ordering::SeqCst);
                        let now = clock.load(Ordering::SeqCst);
                        if let Some(date) = generated(memory, key.try_into().unwrap(), tag, now) {
                            assert_eq!(
                                *sent.lock().unwrap().entry((key, date)).or_insert(tag),
                                tag,
                                "{key} {date}"
                            );
                        }
                    }
                });
            }
        });
        assert!(sent.into_inner().unwrap().len() > 100);
    }
}

#[test]
fn a_minted_date_that_was_forgotten_still_guards_a_write() {
    let memory = DateStore::with_capacity(SHARDS, at(1_000));
    let of = |key| resource(&memory, key);
    assert!(!memory.may_be_forgotten_date(&of(1), at(1_001)), "it was never seen");
    assert_eq!(generated(&memory, 1, 2, 1_001), Some(1_001));
    assert!(memory.may_be_forgotten_date(&of(1), at(1_001)));
    assert_eq!(generated(&memory, 2, 2, 1_002), Some(1_002));
    assert!(!memory.may_have_generated(&of(1), at(1_001)), "it is forgotten");
    assert!(memory.may_be_forgotten_date(&of(1), at(1_001)));
    assert!(
        !memory.may_be_forgotten_date(&of(1), at(900)),
        "nothing was generated before the memory was made"
    );
}

fn at(seconds: i64) -> HttpDate {
    HttpDate::from_unix_seconds(seconds).unwrap()
}

fn resource(memory: &DateStore, key: u64) -> RequestKey {
    let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
    let mut request = request_key(&memory.keys, &parts);
    request.resource = key;
    request
}

/// Returns the date that is sent with a response of this resource.
fn generated(memory: &DateStore, key: u64, tag: u64, now: i64) -> Option<i64> {
    let observation = Observation { tag: Some(tag), given: None, generate: true, varied: Some(0) };
    match memory.observe(&resource(memory, key), observation, at(now)) {
        Some(ResponseDate::Generated(date, _)) => Some(date.unix_seconds()),
        _ => None,
    }
}

/// A small generator of numbers that are the same on each run (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % limit
    }
}

const A_DAY: i64 = 86_400;
const KEYS: usize = 3;
const RUNS: u64 = 60;
const STEPS: usize = 400;
