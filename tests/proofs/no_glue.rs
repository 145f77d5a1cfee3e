//! No client ever holds bytes of two versions under one validator.
//!
//! A file changes at random: in size or not, its date later, earlier or the same.
//! Clients break their downloads off and resume them, by tag, by date, with If-Match,
//! through a shared cache, at two replicas of which one is restarted. The file changes
//! between any two steps, also while the inner service works. In some worlds something
//! encodes the content for one of the clients. `NO_GLUE=100000` runs as many worlds.

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    fmt::Write,
    fs,
    future::ready,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        Arc, Mutex, MutexGuard,
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use sha2::Digest;
use tower::{service_fn, util::BoxCloneService, Layer, ServiceExt};
use tower_conditional::{
    AddLastModified, ConditionalLayer, EntityTag, InnerTags, Manifest, OuterCompression,
    PreconditionLayer, Representation,
};

use crate::support::{
    encoder::{encode, Encoder},
    file_server::{self, Kind},
    random::numbers,
    slow_peer::{watched, Inner, Log},
    wire::{http_date, Folder, START},
};

#[test]
fn no_glue() {
    let worlds: u64 = env::var("NO_GLUE").map_or(200, |text| text.parse().unwrap());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let (runtime, folder, mut tally) = (runtime.unwrap(), Folder::new("no-glue"), Tally::default());
    for seed in 1..=worlds {
        runtime.block_on(World::new(seed, &folder.0).live(&mut tally));
    }
    println!("{worlds} worlds: {tally:#?}");
    // The test proves nothing unless enough downloads are resumed.
    assert!(tally.parts > 2 * worlds && tally.quiet_parts > worlds / 8, "{tally:?}");
    assert!(tally.refused > worlds / 8 && tally.by_date > worlds / 16, "{tally:?}");
    assert!(tally.from_cache > worlds && tally.not_modified > worlds, "{tally:?}");
    assert!(tally.encoded > worlds / 2, "{tally:?}");
}

/// What happened in all worlds.
#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    changes: u64,
    changes_within: u64,
    whole: u64,
    parts: u64,
    by_date: u64,
    by_match: u64,
    /// Nothing had changed: nothing of what is skipped was read.
    quiet_parts: u64,
    not_modified: u64,
    failed: u64,
    refused: u64,
    unsatisfiable: u64,
    from_cache: u64,
    encoded: u64,
}

/// A version of the file.
#[derive(Clone, Debug)]
struct Version {
    number: u64,
    content: Bytes,
    /// Milliseconds since `START`.
    modified: i64,
}

impl Version {
    fn tag(&self) -> String {
        format!("\"v{}\"", self.number)
    }

    fn second(&self) -> i64 {
        self.modified.div_euclid(1_000)
    }

    fn date(&self) -> String {
        http_date(START.checked_add_signed(self.second()).unwrap())
    }
}

/// What stands inside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Inside {
    /// `ServeDir` 0.7, or 0.6, which knows no tags.
    Files(Kind),
    /// A handler that serves parts, with tags or without, and evaluates nothing.
    Cutting { tagged: bool },
    /// A handler that does not, with tags or without.
    Whole { tagged: bool },
}

/// Which layers are around it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stack {
    Conditional,
    SourceOutside,
    SourceInside,
    SourceAlone,
}

/// Where content is encoded, for clients that accept gzip.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Coded {
    Nowhere,
    /// By `compress_with`.
    With,
    Inside,
    /// By a proxy that keeps tags, and of which the layer knows.
    Outside,
}

/// What changes by the rules of the world, and is seen by all.
struct Shared {
    inside: Inside,
    stack: Stack,
    /// Whether each content has a tag that no other has, the layer's if not the
    /// handler's. Where there are only dates, each names one content.
    has_tags: bool,
    /// A manifest is made of the file when a server starts, and compared with it: to
    /// the second, so that each second names one content.
    lists: bool,
    path: PathBuf,
    /// Seconds since `START`.
    clock: Arc<AtomicU64>,
    log: Arc<Log>,
    state: Mutex<State>,
}

struct State {
    chance: Box<dyn FnMut() -> u64 + Send>,
    versions: Vec<Version>,
    /// The numbers that were current since the request of a client began.
    during: Vec<u64>,
    changes: u64,
    /// Whether the file may change while the inner service works.
    is_restless: bool,
    changes_within: u64,
}

impl State {
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn below(&mut self, n: u64) -> u64 {
        ((self.chance)() >> 7) % n
    }

    fn current(&self) -> &Version {
        self.versions.last().unwrap()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        i64::try_from(self.clock.load(SeqCst)).unwrap()
    }

    fn tick(&self, seconds: u64) {
        self.clock.fetch_add(seconds, SeqCst);
    }

    /// Puts another version there.
    fn change(&self) {
        let state = &mut *self.state();
        let (number, now) = (state.versions.len() as u64, self.now());
        let has_tags = self.has_tags && !self.lists;
        let second = |state: &State, second: i64| {
            state.versions.iter().filter(|version| version.second() == second).count()
        };
        let earlier = state.below(number.max(1));
        let earlier = state.versions.get(earlier as usize).cloned();
        // A version never comes back under a source; and a server without tags that
        // gives two contents one date says what is not true.
        let may_return = self.stack == Stack::Conditional;
        let is_told_apart = |version: &Version| has_tags || second(state, version.second()) == 1;
        let earlier = earlier.filter(|version| may_return && is_told_apart(version));
        let version = match earlier {
            Some(version) if state.one_in(5) => version,
            _ => {
                let length = [3_000, 3_000, 3_000, 2_000, 4_100][state.below(5) as usize];
                let millis = state.below(900) as i64 + number as i64 % 100;
                let modified = match state.below(if has_tags { 7 } else { 5 }) {
                    0 | 1 => now * 1_000 + millis,
                    2 | 3 => (number as i64 + 7) * -100_000 + millis,
                    4 => (number as i64 + 1_000) * 1_000_000 + millis,
                    // The same second, or one that comes.
                    5 => state.versions.last().map_or(now, Version::second) * 1_000 + millis,
                    _ => (now + state.below(4) as i64) * 1_000 + millis,
                };
                let content = file_server::content(number + 1, length);
                let mut version = Version { number, content: content.into(), modified };
                // One tag of `ServeDir` would name two contents.
                while state.versions.iter().any(|other| other.modified == version.modified) {
                    version.modified = version.second() * 1_000 + state.below(1_000) as i64;
                }
                version
            }
        };
        if let Inside::Files(_) = self.inside {
            // What is open still reads the old file.
            let new = self.path.with_extension("new");
            fs::write(&new, &version.content).unwrap();
            let start = UNIX_EPOCH + Duration::from_secs(START);
            let modified = Duration::from_millis(version.modified.unsigned_abs());
            let modified = if version.modified < 0 { start - modified } else { start + modified };
            fs::File::options().write(true).open(&new).unwrap().set_modified(modified).unwrap();
            fs::rename(new, &self.path).unwrap();
        }
        state.during.push(version.number);
        state.versions.push(version);
        state.changes += 1;
    }

    /// Adds a manifest of the file as it is.
    fn listed(&self, inner_tags: &InnerTags) -> InnerTags {
        if !self.lists {
            return inner_tags.clone();
        }
        // As long as `check` waits, by the clock of this world.
        self.tick(2);
        let hash = sha2::Sha256::digest(fs::read(&self.path).unwrap()).into();
        let manifest = Manifest::from_pairs([("file.bin", hash)]).unwrap();
        let folder = self.path.parent().unwrap();
        inner_tags.clone().manifest(manifest.check(folder).unwrap())
    }

    /// What may happen while the layers and the inner service work.
    fn meanwhile(&self) {
        let (changes, ticks) = {
            let mut state = self.state();
            let is_restless = state.is_restless;
            (is_restless && state.one_in(8), is_restless && state.one_in(8))
        };
        if changes {
            self.state().changes_within += 1;
            self.change();
        }
        if ticks {
            self.tick(1);
        }
    }
}

type Service = BoxCloneService<Request<Body>, Response<Body>, Infallible>;

/// A server, and how many were there before it.
#[derive(Clone)]
struct Replica {
    service: Service,
    life: u64,
}

/// What somebody holds of the file.
#[derive(Clone, Debug)]
struct Held {
    /// With the content as it is encoded, if it is.
    version: Version,
    is_encoded: bool,
    bytes: Vec<u8>,
    is_whole: bool,
    tag: Option<String>,
    date: Option<String>,
    /// From which server, and how often the file had changed when it came.
    life: u64,
    changes: u64,
}

impl Held {
    fn strong(&self) -> Option<&String> {
        self.tag.as_ref().filter(|tag| !tag.starts_with("W/"))
    }
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
    is_whole: bool,
    life: u64,
}

impl Reply {
    fn field(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    /// First byte and length of the whole, of a 206.
    fn range(&self) -> (usize, usize) {
        let range = self.field("content-range").unwrap();
        let (range, length) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
        (range.split_once('-').unwrap().0.parse().unwrap(), length.parse().unwrap())
    }
}

type Fields = Vec<(&'static str, String)>;

struct World {
    seed: u64,
    shared: Arc<Shared>,
    replicas: Vec<Replica>,
    lives: u64,
    make: Box<dyn Fn() -> Service>,
    coded: Coded,
    is_kept: bool,
    /// Which content a strong tag stands for, and a date where that is promised.
    names: HashMap<String, (u64, Option<String>)>,
    cache: Option<Held>,
    trace: String,
}

impl World {
    fn new(seed: u64, folder: &Path) -> Self {
        let mut chance = numbers(seed);
        let mut below = move |n: u64| (chance() >> 7) % n;
        let inside = [
            Inside::Files(Kind::Tags),
            Inside::Files(Kind::Tags),
            Inside::Files(Kind::Dates),
            Inside::Cutting { tagged: true },
            Inside::Cutting { tagged: false },
            Inside::Whole { tagged: true },
            Inside::Whole { tagged: false },
        ][below(7) as usize];
        let stack = match (inside, below(4)) {
            (Inside::Files(_), _) | (_, 0 | 1) => Stack::Conditional,
            (_, 2) => Stack::SourceOutside,
            _ => Stack::SourceInside,
        };
        // Without a tag, only a source tells which version a part is of.
        let stack = match (inside, stack) {
            (Inside::Cutting { tagged: false }, Stack::Conditional) => Stack::SourceAlone,
            _ => stack,
        };
        let clock = Arc::new(AtomicU64::new(0));
        let (chance, log) = (Box::new(numbers(seed ^ 0x5EED)), Log::new());
        let state = State {
            chance,
            versions: Vec::new(),
            during: Vec::new(),
            changes: 0,
            is_restless: false,
            changes_within: 0,
        };
        let policy = below(4);
        let inner_tags = match policy {
            0 | 1 => InnerTags::keep(),
            2 => InnerTags::learn(),
            _ => InnerTags::replace(),
        };
        let (ranges, trusts) = (below(2) == 0, below(2) == 0);
        let add = match below(4) {
            0 => AddLastModified::Never,
            _ => AddLastModified::WithNoCache,
        };
        let inner_tags = inner_tags.trust_dates(trusts);
        let lists = below(2) == 0 && matches!(inside, Inside::Files(_));
        let (limit, cache) = ([16, 1 << 20][below(2) as usize], [0, 1 << 20][below(2) as usize]);
        let coded = match below(8) {
            0 if stack != Stack::SourceAlone => Coded::With,
            1 => Coded::Inside,
            // An outer source knows nothing of a proxy, and adds strong tags.
            2 if !matches!(stack, Stack::SourceOutside | Stack::SourceAlone) => Coded::Outside,
            _ => Coded::Nowhere,
        };
        let weak = below(12) == 0 || coded == Coded::Outside;
        let trace = format!(
            "{inside:?} {stack:?} {inner_tags:?} lists {lists} ranges {ranges} limit {limit} \
             cache {cache} dates {add:?} weak {weak} coded {coded:?}\n"
        );
        let has_tags = match inside {
            Inside::Files(Kind::Dates) | Inside::Cutting { tagged: false } => false,
            Inside::Whole { tagged: false } => stack == Stack::Conditional && !trusts && limit > 16,
            _ => true,
        };
        let path = folder.join("file.bin");
        let (clock_of_layer, state) = (Arc::clone(&clock), Mutex::new(state));
        let shared = Arc::new(Shared { inside, stack, has_tags, lists, path, clock, log, state });
        let mut inner = hooked(&shared, folder);
        if coded == Coded::Inside {
            inner = boxed(Encoder::default().layer(inner));
        }
        let source = Arc::clone(&shared);
        let make = move || {
            let clock = Arc::clone(&clock_of_layer);
            let now = move || UNIX_EPOCH + Duration::from_secs(START + clock.load(SeqCst));
            let layer = ConditionalLayer::new()
                .clock(now.clone())
                .inner_tags(source.listed(&inner_tags))
                .ranges(ranges)
                .buffer_limit(limit)
                .content_cache(cache)
                .add_last_modified(add)
                .outer_compression(OuterCompression::new().keeps_tags(weak));
            let source = Arc::clone(&source);
            let by_version = PreconditionLayer::new(move |_| {
                let state = source.state();
                let tag: EntityTag = state.current().tag().parse().unwrap();
                ready(Representation::Exists(tag.into()))
            })
            .clock(now);
            let inner = match stack {
                Stack::SourceInside => boxed(by_version.clone().layer(inner.clone())),
                _ => inner.clone(),
            };
            let service = match coded {
                _ if stack == Stack::SourceAlone => boxed(by_version.clone().layer(inner)),
                Coded::With => boxed(layer.compress_with(Encoder::default()).layer(inner)),
                _ => boxed(layer.layer(inner)),
            };
            let service = match stack {
                Stack::SourceOutside => boxed(by_version.layer(service)),
                _ => service,
            };
            match coded {
                Coded::Outside => boxed(Encoder::default().layer(service)),
                _ => service,
            }
        };
        shared.change();
        let count = 1 + below(3) / 2;
        let mut world = Self {
            seed,
            shared,
            replicas: Vec::new(),
            lives: 0,
            make: Box::new(make),
            coded,
            is_kept: policy < 2 && !weak,
            names: HashMap::new(),
            cache: None,
            trace,
        };
        for _ in 0..count {
            let replica = world.start();
            world.replicas.push(replica);
        }
        // The layers are older than their first second.
        world.shared.tick(10);
        world
    }

    fn start(&mut self) -> Replica {
        self.lives += 1;
        Replica { service: (self.make)(), life: self.lives }
    }

    /// Returns true if dates mean the same at each server.
    fn has_one_memory(&self) -> bool {
        self.lives == 1
    }

    async fn live(mut self, tally: &mut Tally) {
        let restart_at = self.shared.state().below(90);
        let mut clients: Vec<Option<Held>> = vec![None, None, None, None];
        for step in 0..60 {
            if step == restart_at {
                let place = self.below(self.replicas.len() as u64) as usize;
                self.replicas[place] = self.start();
                writeln!(self.trace, "restart of {place}").unwrap();
            }
            match self.below(12) {
                0 => self.shared.change(),
                1 | 2 => {
                    let seconds = [1, 1, 2, 3, 100][self.below(5) as usize];
                    self.shared.tick(seconds);
                }
                _ => {
                    let place = self.below(4) as usize;
                    let held = clients[place].take();
                    clients[place] = self.visit(held, place, tally).await;
                }
            }
        }
        let state = self.shared.state();
        tally.changes += state.changes;
        tally.changes_within += state.changes_within;
    }

    fn below(&self, n: u64) -> u64 {
        self.shared.state().below(n)
    }

    fn fail(&self, what: &str) -> ! {
        let state = self.shared.state();
        let versions: String = state
            .versions
            .iter()
            .map(|version| {
                let Version { number, content, modified } = version;
                let tag = EntityTag::of(content);
                format!("{number}: {} bytes, at {modified}, {tag}\n", content.len())
            })
            .collect();
        panic!("seed {}: {what}\n{}\n{versions}", self.seed, self.trace);
    }

    /// Has a client do one thing: the first two alone, of which the second accepts
    /// gzip, the others through the cache.
    async fn visit(&mut self, held: Option<Held>, place: usize, tally: &mut Tally) -> Option<Held> {
        let cached = place >= 2;
        let (restless, choice) = (self.below(3) == 0, self.below(10));
        {
            let state = &mut *self.shared.state();
            state.is_restless = restless;
            state.during = vec![state.current().number];
        }
        let date = held.as_ref().and_then(|held| self.usable_date(held));
        let strong = held.as_ref().and_then(|held| held.strong().cloned());
        let range = held.as_ref().map(|held| format!("bytes={}-", held.bytes.len()));
        let mut fields: Fields = Vec::new();
        let is_resumed = held.as_ref().is_some_and(|held| !held.is_whole) && choice > 0;
        let mut way = Way::Whole;
        if is_resumed {
            fields.push(("range", range.unwrap()));
            way = match (choice, strong, date) {
                (1..=3, Some(tag), _) | (4 | 5, Some(tag), None) => {
                    fields.push(("if-range", tag));
                    Way::Tag
                }
                (4 | 5, _, Some(date)) => {
                    fields.push(("if-range", date));
                    Way::Date
                }
                (6, Some(tag), _) => {
                    fields.push(("if-match", tag));
                    Way::Match
                }
                (7, Some(_), _) => Way::Compared,
                (8, Some(tag), _) => {
                    fields.push(("if-range", format!("W/{tag}")));
                    Way::Unusable
                }
                _ => {
                    let unusable = ["", "garbage", "\"never-was\"", "W/\"\""];
                    let value = unusable[self.below(4) as usize];
                    fields.push(("if-range", value.to_owned()));
                    if self.below(2) == 0 {
                        fields.push(("if-range", value.to_owned()));
                    }
                    Way::Unusable
                }
            };
        } else if let Some(held) = held.as_ref().filter(|held| held.is_whole && choice > 2) {
            way = Way::Conditional;
            match (held.tag.clone(), date) {
                (Some(tag), _) if choice % 2 == 0 => fields.push(("if-none-match", tag)),
                (_, Some(date)) => fields.push(("if-modified-since", date)),
                (Some(tag), _) => fields.push(("if-none-match", tag)),
                (None, None) => way = Way::Whole,
            }
        }
        if place == 1 {
            fields.push(("accept-encoding", "gzip".to_owned()));
        }
        let before = self.shared.log.bytes();
        let reply = if cached {
            self.ask_cache(fields, tally).await
        } else {
            let cut = self.cut();
            self.ask(fields, cut, tally).await
        };
        let read = self.shared.log.bytes() - before;
        self.shared.state().is_restless = false;
        self.take(held, way, &reply, cached, read, tally)
    }

    /// How far a client reads.
    fn cut(&self) -> usize {
        match self.below(4) {
            0 => usize::MAX,
            1 if self.below(3) == 0 => self.shared.state().current().content.len(),
            1 => 16 + self.below(3_000) as usize,
            _ => 16 + self.below(600) as usize,
        }
    }

    /// A date that names what is held. Other replicas know nothing of a generated one,
    /// nor that one of the handler's stands for two contents.
    fn usable_date(&self, held: &Held) -> Option<String> {
        let state = self.shared.state();
        let own = |version: &&Version| version.date() == *held.date.as_ref().unwrap();
        let date = held.date.clone()?;
        let mut numbers: Vec<_> =
            state.versions.iter().filter(own).map(|version| version.number).collect();
        numbers.dedup();
        let is_unique = numbers.iter().all(|number| *number == held.version.number);
        (self.has_one_memory() || is_unique && !numbers.is_empty()).then_some(date)
    }

    /// Sees to it that what a client has afterwards is of one version.
    fn take(
        &mut self,
        held: Option<Held>,
        way: Way,
        reply: &Reply,
        cached: bool,
        read: usize,
        tally: &mut Tally,
    ) -> Option<Held> {
        if way == Way::Unusable && reply.status != 200 {
            self.fail("an If-Range that names nothing gets the whole");
        }
        match reply.status {
            200 => {
                tally.whole += 1;
                let new = self.hold(reply);
                tally.encoded += u64::from(new.is_encoded);
                if let Some(held) =
                    held.filter(|held| way == Way::Tag && !cached && self.is_quiet(held))
                    && reply.life == held.life
                {
                    self.fail("an unchanged file is resumed");
                }
                Some(new)
            }
            206 => {
                tally.parts += 1;
                tally.by_date += u64::from(way == Way::Date);
                tally.by_match += u64::from(way == Way::Match);
                let mut held = held.unwrap();
                let (first, length) = reply.range();
                if first != held.bytes.len() {
                    self.fail("another part");
                }
                let tag = reply.field("etag");
                if way == Way::Compared && tag.as_ref() != held.strong() {
                    return Some(held);
                }
                let rest = &held.version.content[first.min(held.version.content.len())..];
                if length != held.version.content.len() || !rest.starts_with(&reply.bytes) {
                    self.fail(&format!("two versions are glued, by {way:?}"));
                }
                if way == Way::Tag && !cached && reply.life == held.life && self.is_quiet(&held) {
                    tally.quiet_parts += 1;
                    if read > length - first {
                        self.fail(&format!("{read} bytes are read for {}", length - first));
                    }
                }
                held.bytes.extend(&reply.bytes);
                held.is_whole = held.bytes.len() == length && reply.is_whole;
                Some(held)
            }
            304 if way == Way::Conditional => {
                tally.not_modified += 1;
                let held = held.unwrap();
                if !self.is_current(&held.version) {
                    self.fail("a wrong 304");
                }
                Some(held)
            }
            412 if way == Way::Match => {
                tally.failed += 1;
                None
            }
            416 if !matches!(way, Way::Whole | Way::Conditional) => {
                tally.unsatisfiable += 1;
                let held = held.unwrap();
                let length = format!("bytes */{}", held.bytes.len());
                let says_so = reply.field("content-range") == Some(length) && way != Way::Compared;
                if says_so && held.bytes != held.version.content {
                    self.fail("it is told that it has all");
                }
                None
            }
            503 if matches!(way, Way::Tag | Way::Date | Way::Match) => {
                tally.refused += 1;
                if reply.field("retry-after").is_none() || self.is_quiet(held.as_ref().unwrap()) {
                    self.fail("refused without need");
                }
                held
            }
            status => self.fail(&format!("{status} by {way:?}")),
        }
    }

    /// Returns true if the inner service can resume this, and nothing happened since.
    fn is_quiet(&self, held: &Held) -> bool {
        let cuts = matches!(self.shared.inside, Inside::Files(Kind::Tags) | Inside::Cutting { .. });
        let changes = self.shared.state().changes;
        let is_short = held.bytes.len() < held.version.content.len();
        cuts && self.is_kept
            && is_short
            && !held.is_encoded
            && changes == held.changes
            && self.shared.stack == Stack::Conditional
    }

    fn is_current(&self, version: &Version) -> bool {
        self.shared.state().during.contains(&version.number)
    }

    /// Takes in a 200: finds out of which version it is, and that its validators are of
    /// no other.
    fn hold(&mut self, reply: &Reply) -> Held {
        let coding = reply.field("content-encoding");
        let found = {
            let state = self.shared.state();
            let sent = |version: &Version| {
                let mut version = version.clone();
                if let Some(coding) = &coding {
                    version.content = encode(coding, &version.content).into();
                }
                version
            };
            let is_it = |version: &Version| {
                version.content.starts_with(&reply.bytes)
                    && (!reply.is_whole || version.content.len() == reply.bytes.len())
            };
            let found = state.versions.iter().map(sent).find(is_it);
            let is_still = found.as_ref().is_some_and(|f| f.number == state.current().number);
            (found, if is_still { state.changes } else { u64::MAX })
        };
        let (Some(version), changes) = found else { self.fail("a 200 of two versions") };
        if !self.is_current(&version) {
            self.fail("old content");
        }
        let (tag, date) = (reply.field("etag"), reply.field("last-modified"));
        let is_encoded = coding.is_some();
        let tag_of = tag.as_ref().filter(|tag| !tag.starts_with("W/"));
        if let Some(tag) = tag_of {
            self.name(tag, &(version.number, coding.clone()));
        }
        // A date is that of all codings. But inside, `Vary` makes variants of them.
        let variant = coding.filter(|_| self.coded == Coded::Inside);
        if let (Some(date), true) = (&date, self.has_one_memory()) {
            self.name(&format!("{date} {variant:?}"), &(version.number, None));
        }
        let (bytes, is_whole, life) = (reply.bytes.clone(), reply.is_whole, reply.life);
        Held { version, is_encoded, bytes, is_whole, tag, date, life, changes }
    }

    fn name(&mut self, name: &str, content: &(u64, Option<String>)) {
        let named = self.names.entry(name.to_owned()).or_insert_with(|| content.clone()).clone();
        if named != *content {
            self.fail(&format!("{name} names {named:?} and {content:?}"));
        }
    }

    /// Asks a replica, and reads so many bytes.
    async fn ask(&mut self, fields: Fields, cut: usize, tally: &mut Tally) -> Reply {
        tally.requests += 1;
        let place = self.below(self.replicas.len() as u64) as usize;
        let Replica { service, life } = self.replicas[place].clone();
        let mut request = Request::get("/file.bin");
        for (name, value) in &fields {
            request = request.header(*name, value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.shared.meanwhile();
        let (head, mut body) = service.oneshot(request).await.unwrap().into_parts();
        let (mut bytes, mut is_whole) = (Vec::new(), false);
        while bytes.len() < cut {
            let Some(frame) = body.frame().await else {
                is_whole = true;
                break;
            };
            if let Ok(data) = frame.unwrap().into_data() {
                bytes.extend(&data);
            }
        }
        bytes.truncate(cut);
        let (status, now) = (head.status.as_u16(), self.shared.now());
        let names = ["etag", "last-modified", "content-range"];
        let said = names.map(|name| head.headers.get(name));
        let asked = &fields;
        writeln!(
            self.trace,
            "at {now}: {place} {asked:?} -> {status} {said:?} {} bytes, whole {is_whole}, now {}",
            bytes.len(),
            self.shared.state().current().number,
        )
        .unwrap();
        Reply { status, headers: head.headers, bytes, is_whole, life }
    }

    /// Asks a cache, which asks a replica each time (RFC 9111, 3.3, 3.4 and 4.3).
    async fn ask_cache(&mut self, fields: Fields, tally: &mut Tally) -> Reply {
        let is_asked =
            |name: &str| fields.iter().find(|field| field.0 == name).map(|field| &field.1);
        let if_range = is_asked("if-range").cloned();
        let is_plain = fields.is_empty();
        let is_simple = is_plain || if_range.is_some() && fields.len() == 2;
        let stored = self.cache.take().filter(|_| is_simple);
        let Some(stored) = stored else {
            let cut = self.cut();
            let reply = self.ask(fields, cut, tally).await;
            if reply.status == 200 {
                self.cache = Some(self.hold(&reply));
            }
            return reply;
        };
        if stored.is_whole {
            let condition = match (&stored.tag, self.usable_date(&stored)) {
                (Some(tag), _) => ("if-none-match", tag.clone()),
                (None, Some(date)) => ("if-modified-since", date),
                (None, None) => return Box::pin(self.ask_cache(fields, tally)).await,
            };
            let reply = self.ask(vec![condition], usize::MAX, tally).await;
            if reply.status != 304 {
                if reply.status == 200 {
                    self.cache = Some(self.hold(&reply));
                }
                return reply;
            }
            // It sees by the tag that the 304 is about something else (4.3.4).
            let tag = reply.field("etag").filter(|tag| !tag.starts_with("W/"));
            if tag.is_some() && stored.strong().is_some() && tag.as_ref() != stored.strong() {
                return Box::pin(self.ask_cache(fields, tally)).await;
            }
            if !self.is_current(&stored.version) {
                self.fail("a wrong 304 to a cache");
            }
            let date = reply.field("last-modified").or(stored.date.clone());
            let stored = Held { date, ..stored };
            tally.from_cache += 1;
            let range = is_asked("range").map(|range| {
                range
                    .strip_prefix("bytes=")
                    .unwrap()
                    .trim_end_matches('-')
                    .parse::<usize>()
                    .unwrap()
            });
            let is_same = if_range.is_some()
                && (if_range.as_ref() == stored.strong() || if_range == self.usable_date(&stored));
            let answer = answer(&stored, range.filter(|_| is_same), reply.life);
            self.cache = Some(stored);
            return answer;
        }
        // It completes what it has.
        let Some(tag) = stored.strong().cloned().filter(|_| is_plain) else {
            let cut = self.cut();
            return self.ask(fields, cut, tally).await;
        };
        let rest = format!("bytes={}-", stored.bytes.len());
        let reply =
            self.ask(vec![("range", rest), ("if-range", tag.clone())], usize::MAX, tally).await;
        if reply.status == 200 {
            self.cache = Some(self.hold(&reply));
        }
        if reply.status != 206 {
            return if reply.status == 200 {
                reply
            } else {
                Box::pin(self.ask_cache(fields, tally)).await
            };
        }
        if reply.field("etag").is_some_and(|other| other != tag) {
            self.fail("a part with another tag than that of If-Range");
        }
        let mut stored = stored;
        stored.bytes.extend(&reply.bytes);
        if stored.bytes != stored.version.content {
            self.fail("a cache glues two versions");
        }
        tally.from_cache += 1;
        stored.is_whole = true;
        let answer = answer(&stored, None, reply.life);
        self.cache = Some(stored);
        answer
    }
}

/// Answers from what a cache holds.
fn answer(stored: &Held, range: Option<usize>, life: u64) -> Reply {
    let length = stored.bytes.len();
    let mut headers = HeaderMap::new();
    for (name, value) in [("etag", &stored.tag), ("last-modified", &stored.date)] {
        if let Some(value) = value {
            headers.insert(name, value.parse().unwrap());
        }
    }
    let (status, first) = match range {
        Some(first) if first < length => {
            let value = format!("bytes {first}-{}/{length}", length - 1);
            headers.insert("content-range", value.parse().unwrap());
            (206, first)
        }
        _ => (200, 0),
    };
    Reply { status, headers, bytes: stored.bytes[first..].to_vec(), is_whole: true, life }
}

/// How a client asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Whole,
    Conditional,
    /// If-Range.
    Tag,
    Date,
    /// If-Match and Range.
    Match,
    /// Range alone; the client compares the tags.
    Compared,
    /// If-Range with what names nothing.
    Unusable,
}

fn boxed<S, B>(service: S) -> Service
where
    S: tower::Service<Request<Body>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<tower::BoxError>> + Send + 'static,
{
    BoxCloneService::new(service.map_response(|response| response.map(Body::new)))
}

/// The inner service, before and after whose answer the file may change.
fn hooked(shared: &Arc<Shared>, folder: &Path) -> Service {
    let log = &shared.log;
    let inner: Inner<Body> = match shared.inside {
        Inside::Files(kind) => kind.serve(folder, log),
        _ => {
            let shared = Arc::clone(shared);
            let handler = move |request: Request<Body>| {
                ready(Ok::<_, Infallible>(handle(&shared, request.headers())))
            };
            watched(service_fn(handler), log)
        }
    };
    let shared = Arc::clone(shared);
    boxed(service_fn(move |request: Request<Body>| {
        let (inner, shared) = (inner.clone(), Arc::clone(&shared));
        async move {
            shared.meanwhile();
            let response = inner.oneshot(request).await;
            shared.meanwhile();
            response
        }
    }))
}

/// A handler that evaluates nothing.
fn handle(shared: &Shared, headers: &HeaderMap) -> Response<Body> {
    let version = shared.state().current().clone();
    let mut content = version.content.clone();
    let (length, mut response) = (content.len(), Response::builder());
    let is_tagged = !matches!(
        shared.inside,
        Inside::Whole { tagged: false } | Inside::Cutting { tagged: false }
    );
    if is_tagged {
        response = response.header("etag", version.tag());
    }
    // Alone, that layer leaves the handler's dates as they are.
    if !version.number.is_multiple_of(3) && shared.stack != Stack::SourceAlone {
        response = response.header("last-modified", version.date());
    }
    if matches!(shared.inside, Inside::Cutting { .. }) {
        response = response.header("accept-ranges", "bytes");
        let first = headers.get("range").map(|range| {
            let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
            range.trim_end_matches('-').parse::<usize>().unwrap()
        });
        match first {
            Some(first) if first >= length => {
                let range = format!("bytes */{length}");
                return response
                    .status(416)
                    .header("content-range", range)
                    .body(Body::empty())
                    .unwrap();
            }
            Some(first) => {
                let range = format!("bytes {first}-{}/{length}", length - 1);
                response = response.status(206).header("content-range", range);
                content = content.split_off(first);
            }
            None => {}
        }
    }
    let response = response.header("content-length", content.len());
    let chunks: Vec<_> =
        content.chunks(256).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>).collect();
    response.body(Body::from_stream(stream::iter(chunks))).unwrap()
}
