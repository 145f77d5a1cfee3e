//! A model of the handlers, clients and clocks around `Dates`.
//!
//! The model knows every content that was ever sent, and what each client holds. A
//! client sends a date. If `Dates` says "unchanged", the client must hold the
//! current content.

use super::*;

/// What may happen in one run of the model.
#[derive(Clone, Copy, Debug)]
struct World {
    mtimes: Mtimes,
    /// The handler gives its date only in some responses.
    come_and_go: bool,
    /// Some content never has a tag, or has one only in some responses.
    untagged: bool,
    /// There are more keys than the bucket has entries.
    forgets: bool,
    restarts: bool,
    /// There are many events in each second.
    busy: bool,
    /// The clock is sometimes set back.
    clock_steps: bool,
    /// Content depends on Accept, and `Vary` says so in some responses.
    varies: bool,
    /// There are failures, private answers, HEAD requests, and a 304 or 412 of the
    /// inner service itself.
    answers: bool,
    /// Clients send the time of receipt instead of a `Last-Modified`. Their clocks are
    /// up to a second off.
    receipts: bool,
    /// There are two layers, each with its own `Dates`.
    stacked: bool,
    /// Some responses are evaluated late.
    slow: bool,
    /// Dates may be generated.
    generates: bool,
    /// Most responses state the length of their content.
    lengths: bool,
    layers: Layers,
}

/// Which responses pass another layer of this crate inside.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layers {
    None,
    /// Those of some resources. The layer states the date, or compares the handler's.
    Some,
    /// Any, in turn with responses that do not.
    Any,
}

/// Where the handler's dates come from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mtimes {
    None,
    /// The second of the change. All contents of one second have the same date.
    Change,
    /// The second of the change, or an earlier one if that second is taken. So newer
    /// content may have an earlier date.
    Unique,
    /// A unique date in the past, as after a copy with rsync.
    Late,
    /// One date for all contents.
    Constant,
    Epoch,
    Ahead,
    /// The second of the response.
    Response,
    /// A second near now, which does not depend on the content.
    Random,
    /// For each content, one of the first six variants.
    Mixed,
}

impl World {
    fn random(random: &mut Random) -> Self {
        let mtimes = [
            Mtimes::None,
            Mtimes::Change,
            Mtimes::Unique,
            Mtimes::Late,
            Mtimes::Constant,
            Mtimes::Epoch,
            Mtimes::Ahead,
            Mtimes::Response,
            Mtimes::Random,
            Mtimes::Mixed,
        ];
        Self {
            mtimes: mtimes[random.below(10) as usize],
            come_and_go: random.one_in(4),
            untagged: random.one_in(3),
            forgets: random.one_in(3),
            restarts: random.one_in(3),
            busy: random.one_in(4),
            clock_steps: random.one_in(4),
            varies: random.one_in(3),
            answers: random.one_in(2),
            receipts: random.one_in(2),
            stacked: random.one_in(8),
            slow: random.one_in(3),
            generates: !random.one_in(8),
            lengths: random.one_in(2),
            layers: [Layers::None, Layers::None, Layers::Some, Layers::Any]
                [random.below(4) as usize],
        }
    }
}

/// A resource, and one of its variants.
type VariantName = (u64, usize);

#[derive(Clone, Copy, Debug)]
struct Version {
    id: u64,
    mtime: Mtimes,
    date: i64,
}

/// A response that a client keeps.
#[derive(Clone, Copy, Debug)]
struct Copy {
    name: VariantName,
    content: u64,
    tag: Option<u64>,
    length: Option<u64>,
    last_modified: Option<i64>,
    is_generated: bool,
    received: i64,
    /// The second in which it was first sent.
    sent: i64,
    process: u64,
}

/// The counters of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    requests: u64,
    not_modified: u64,
    generated: u64,
    /// `possible` counts the requests by clients with an exact clock that hold the
    /// current content with a date, in worlds without another layer inside. `found`
    /// counts the 304s among their answers.
    possible: u64,
    found: u64,
    /// Requests by clients with an exact clock that hold the current content, with or
    /// without a date.
    held: u64,
    /// Wrong 304s in cases that the documentation lists.
    excused: u64,
    /// Dates that were sent while they were in the future, or with a response that must
    /// have no date.
    early: u64,
    /// Writes that would run although the inner service does not know their date.
    unchecked: u64,
    /// Writes that would be refused, although the layer inside states the date of
    /// the resource.
    refused: u64,
    /// Responses whose date a layer inside stated.
    stated: u64,
    wrong: u64,
}

struct Model {
    world: World,
    requests: Vec<[RequestKey; 3]>,
    random: Random,
    now: i64,
    latest: i64,
    process: u64,
    inner: Dates,
    outer: Dates,
    contents: BTreeMap<VariantName, Vec<Version>>,
    /// The dates that the handler gave to each content, and the last second in
    /// which it did.
    gave: HashMap<(u64, i64), i64>,
    unique: HashSet<(u64, i64)>,
    copies: Vec<Copy>,
    slow: Vec<(VariantName, Version)>,
    /// Dates that this process generated and sent, by resource.
    sent: Vec<(u64, i64)>,
    next: u64,
    totals: Totals,
    first_wrong: Option<String>,
}

const CLOCK: i64 = 1_000_000_000;

impl Model {
    fn new(world: World, requests: &[[RequestKey; 3]], seed: u64) -> Self {
        let resources = if world.forgets { requests.len() } else { 2 };
        let mut model = Self {
            world,
            requests: requests[..resources].to_vec(),
            random: Random(seed),
            now: CLOCK,
            latest: CLOCK,
            process: 0,
            inner: Dates::new(at(CLOCK)),
            outer: Dates::new(at(CLOCK)),
            contents: BTreeMap::new(),
            gave: HashMap::new(),
            unique: HashSet::new(),
            copies: Vec::new(),
            slow: Vec::new(),
            sent: Vec::new(),
            next: 1,
            totals: Totals::default(),
            first_wrong: None,
        };
        for resource in 0..resources as u64 {
            (0..3).for_each(|variant| model.change((resource, variant)));
        }
        model
    }

    fn below(&mut self, below: i64) -> i64 {
        self.random.below(below.cast_unsigned()).cast_signed()
    }

    fn change(&mut self, name: VariantName) {
        let mtime = match self.world.mtimes {
            Mtimes::Mixed => [
                Mtimes::None,
                Mtimes::Change,
                Mtimes::Unique,
                Mtimes::Late,
                Mtimes::Constant,
                Mtimes::Epoch,
            ][self.random.below(6) as usize],
            mtime => mtime,
        };
        let mut date = match mtime {
            Mtimes::Constant => CLOCK - 500,
            Mtimes::Epoch => 0,
            Mtimes::Ahead => self.now + 1 + self.below(4),
            Mtimes::Late => self.now - self.below(60),
            _ => self.now,
        };
        if matches!(mtime, Mtimes::Unique | Mtimes::Late | Mtimes::Ahead) {
            while !self.unique.insert((name.0, date)) {
                date = self.now - 1 - self.below(5_000);
            }
        }
        self.contents.entry(name).or_default().push(Version { id: self.next, mtime, date });
        self.next += 1;
    }

    fn step(&mut self) {
        let resource = self.random.below(self.requests.len() as u64);
        // The resource and the value of Accept of a request. The content of one
        // resource does not depend on Accept.
        let accept = if self.world.varies { self.random.below(3) as usize } else { 0 };
        let name = (resource, if resource == 0 { 0 } else { accept });
        match self.random.below(24) {
            0..4 if self.world.busy && !self.random.one_in(10) => {}
            0..3 => self.now += 1,
            3 => self.now += self.below(5),
            4 if self.world.clock_steps => self.now -= self.below(4),
            5 => self.change(name),
            6 if self.random.one_in(2) => self.change(name),
            7 if self.random.one_in(3) => {
                // Back to older content, with its date.
                let contents = self.contents.get_mut(&name).unwrap();
                let old = contents[self.random.below(contents.len() as u64) as usize];
                contents.push(old);
            }
            8 if self.world.slow => self.slow.push((name, self.present(name))),
            9 if self.world.restarts && self.random.one_in(4) => {
                self.process += 1;
                self.sent.clear();
                // If the clock is set back during a restart, the layer
                // cannot know that.
                self.now = self.now.max(self.latest);
                self.inner = Dates::new(at(self.now));
                self.outer = Dates::new(at(self.now));
            }
            10 if !self.slow.is_empty() => {
                let which = self.random.below(self.slow.len() as u64) as usize;
                let (name, content) = self.slow.swap_remove(which);
                self.answer(name, if name.0 == 0 { accept } else { name.1 }, content);
            }
            12 if !self.sent.is_empty() => self.write(),
            11 if self.random.one_in(if self.world.busy { 40 } else { 4 }) => {
                self.now += 20 + self.below(100);
            }
            _ => self.answer(name, accept, self.present(name)),
        }
        self.latest = self.latest.max(self.now);
    }

    /// A client writes with a date that was generated here: the layer must know the
    /// date as generated, or the write would run unchecked. This does not apply if the
    /// handler gave the same date.
    fn write(&mut self) {
        if self.world.layers == Layers::Any {
            // The layer inside compares the date.
            return;
        }
        let (resource, date) = self.sent[self.random.below(self.sent.len() as u64) as usize];
        let request = &self.requests[resource as usize][self.random.below(3) as usize];
        let memory = if self.world.stacked { &self.outer } else { &self.inner };
        let is_given = || self.gave.keys().any(|(_, given)| *given == date);
        let is_known = memory.may_have_generated(request, at(date), || true) || is_given();
        self.totals.unchecked += u64::from(!is_known);
    }

    fn present(&self, name: VariantName) -> Version {
        *self.contents[&name].last().unwrap()
    }

    /// Answers a request for `name` with `content`, to a client that may hold a copy.
    fn answer(&mut self, name: VariantName, accept: usize, mut content: Version) {
        self.totals.requests += 1;
        let mut given = match content.mtime {
            Mtimes::None => None,
            Mtimes::Response => Some(self.now),
            Mtimes::Random => Some(self.now - 4 + self.below(6)),
            _ => Some(content.date),
        };
        if self.world.come_and_go && self.random.one_in(2) {
            given = None;
        }
        let is_known = !(self.world.untagged
            && (content.id.is_multiple_of(4) || content.id % 4 == 1 && self.random.one_in(2)));
        let mut tag = is_known.then_some(content.id << 8);
        let kind = match self.random.below(20) {
            _ if !self.world.answers => Kind::Content,
            0 => Kind::Failure,
            1 => Kind::Private,
            2 => Kind::NotModified,
            3 => Kind::Uncounted,
            4 | 5 => Kind::Head,
            _ => Kind::Content,
        };
        let length = self.length(kind, content);
        if matches!(kind, Kind::Failure | Kind::Private) {
            // This response has its own content, and changes nothing for the next one.
            content.id = self.next;
            self.next += 1;
            (tag, given) = (None, given.filter(|_| kind == Kind::Private));
        }
        let varied = match self.random.below(8) {
            _ if !self.world.varies || name.0 == 0 => Some(0),
            0 => Some(0),
            1 if self.random.one_in(4) => None,
            2 => Some(0b11),
            _ => Some(0b1),
        };
        let inside = self.inside(name.0);
        let is_stated = inside == Inside::States
            && !matches!(kind, Kind::Failure | Kind::Uncounted | Kind::NotModified);
        if is_stated {
            // The layer inside sends the date once its second is over.
            given = Some(content.date).filter(|date| *date < self.now);
        }
        if let Some(given) = given {
            let last = self.gave.entry((content.id, given)).or_insert(self.now);
            *last = self.now.max(*last);
        }
        let mut seen = Shown {
            kind,
            tag,
            given: given.map(at),
            length,
            may_generate: self.may_generate(inside) && !self.random.one_in(10),
            varied,
            inside,
        };
        let now = at(self.now);
        let request = self.requests[name.0 as usize][accept];
        let mut date = self.inner.observe(&request, seen, || now);
        if self.world.stacked {
            // A date that the inner layer generated is marked, and does not count as a
            // date of the handler.
            if date.sent != Sent::AsGiven {
                seen.given = None;
            }
            seen.may_generate = self.may_generate(inside);
            date = self.outer.observe(&request, seen, || now);
        }
        if is_stated {
            self.totals.stated += 1;
            self.count_refused(&request);
        }
        let (last_modified, is_generated) = match date.sent {
            Sent::AsGiven => (seen.given, false),
            Sent::Generated(date) => (Some(date), true),
            Sent::Removed => (None, false),
        };
        let last_modified = last_modified.map(HttpDate::unix_seconds);
        self.totals.generated += u64::from(is_generated);
        if let Some(date) = last_modified.filter(|_| is_generated && self.sent.len() < 200) {
            self.sent.push((name.0, date));
        }
        let is_content = matches!(kind, Kind::Content | Kind::Private | Kind::Failure);
        if is_content && !is_stated {
            let latest = if is_generated { self.now } else { self.now - 1 };
            self.totals.early += u64::from(last_modified > Some(latest));
            let is_dated = kind == Kind::Content && varied.is_some();
            self.totals.early += u64::from(!is_dated && last_modified.is_some());
        }
        let answer = (name, accept, content, tag, length, given);
        // Clients also ask after an answer without content: no answer may prove
        // "unchanged" for other content.
        let count = self.copies.len() as u64;
        for _ in 0..if count > 0 { 2 } else { 0 } {
            let which = self.random.below(count) as usize;
            if self.copies[which].name.0 == name.0 {
                self.ask(which, answer, &date, kind == Kind::Content && !is_stated);
            }
        }
        // A 304 of the inner service gives the client no new copy.
        if is_content {
            let received = self.now + if self.world.receipts { self.below(3) - 1 } else { 0 };
            self.copies.push(Copy {
                name: (name.0, accept),
                content: content.id,
                tag,
                length,
                last_modified,
                is_generated,
                received,
                sent: self.now,
                process: self.process,
            });
            if self.copies.len() > 24 {
                let which = self.random.below(24) as usize;
                self.copies.swap_remove(which);
            }
        }
    }

    /// Returns the length that a response states. Content has one of three lengths.
    fn length(&mut self, kind: Kind, content: Version) -> Option<u64> {
        let is_stated = self.world.lengths && kind == Kind::Content && !self.random.one_in(4);
        is_stated.then_some(content.id % 3)
    }

    /// Returns what a layer inside does with the dates of a resource.
    fn inside(&mut self, resource: u64) -> Inside {
        let place = match self.world.layers {
            Layers::None => 0,
            Layers::Some => resource % 4,
            Layers::Any => self.random.below(4),
        };
        match place {
            1 => Inside::States,
            3 => Inside::Compares,
            _ => Inside::Nothing,
        }
    }

    fn may_generate(&self, inside: Inside) -> bool {
        self.world.generates && inside == Inside::Nothing
    }

    /// A client writes with any date to a resource whose date is always stated: only
    /// the layer inside may refuse the write.
    fn count_refused(&mut self, request: &RequestKey) {
        let date = at(self.now - self.below(200));
        let memory = if self.world.stacked { &self.outer } else { &self.inner };
        let is_refused = memory.may_have_generated(request, date, || true);
        self.totals.refused += u64::from(is_refused && self.world.layers == Layers::Some);
    }

    /// A client asks whether its copy is still the current content.
    fn ask(
        &mut self,
        which: usize,
        (name, accept, content, tag, length, given): (
            VariantName,
            usize,
            Version,
            Option<u64>,
            Option<u64>,
            Option<i64>,
        ),
        date: &ObservedDate,
        is_content: bool,
    ) {
        let copy = self.copies[which];
        let is_other_variant = copy.name.1 != accept;
        if is_other_variant && (self.world.receipts || tag.is_none() || copy.tag.is_none()) {
            // The client ignores `Vary`, or is a cache that does not compare tags.
            return;
        }
        let is_same = copy.content == content.id;
        let is_possible = !self.world.receipts
            && !is_other_variant
            && is_same
            && is_content
            && self.world.layers == Layers::None;
        self.totals.held += u64::from(is_possible);
        let asked = if self.world.receipts { Some(copy.received) } else { copy.last_modified };
        let Some(asked) = asked else { return };
        self.totals.possible += u64::from(is_possible);
        if !date.is_unchanged(at(asked)) {
            return;
        }
        self.totals.not_modified += 1;
        self.totals.found += u64::from(is_possible);
        if is_same {
            let copy = &mut self.copies[which];
            copy.received = if self.world.receipts { self.now } else { copy.received };
            return;
        }
        if is_other_variant && copy.tag != tag {
            // The 304 carries the tag of other content than the cache holds.
            return;
        }
        if self.is_excused(&copy, content, length, asked) {
            self.totals.excused += 1;
            return;
        }
        self.totals.wrong += 1;
        let _ = name;
        let wrong = || {
            format!(
                "wrong at {}: {copy:?} {content:?} {tag:?} {given:?} {date:?} {:?}",
                self.now, self.world
            )
        };
        self.first_wrong = self.first_wrong.take().or_else(|| Some(wrong()));
    }

    /// Returns true if the documentation names this case under "What remains".
    fn is_excused(&self, copy: &Copy, content: Version, length: Option<u64>, asked: i64) -> bool {
        let has_given = |content, date| self.gave.contains_key(&(content, date));
        let is_other_process = copy.process != self.process;
        let is_forgotten = is_other_process || self.world.forgets || self.world.varies;
        let is_handlers = has_given(content.id, asked);
        // The handler gave one date to two contents. This is not excused if both
        // contents changed in the second of their date, and the first was sent in
        // that second.
        let is_shared = is_handlers && has_given(copy.content, asked) && asked < copy.sent;
        // Content without a tag has the name that the handler's date and the length
        // give it. An entry that was forgotten tells no length.
        let is_longer = copy.length.zip(length).is_some_and(|(old, new)| old != new);
        let is_told = is_longer && !is_forgotten;
        let has_no_tag =
            !is_told && self.world.untagged && (content.id % 4 < 2 || copy.content % 4 < 2);
        // The handler gave the date when it was old enough to be a name, or the date
        // says nothing about the content.
        let is_old = |date: i64, last: i64| date + 2 <= last || self.world.mtimes == Mtimes::Random;
        let mut old = self
            .gave
            .iter()
            .filter(|((id, date), last)| *id == copy.content && is_old(*date, **last));
        has_no_tag && old.any(|((_, date), _)| has_given(content.id, *date))
            || is_shared && is_forgotten
            // The date is from before a restart: it was generated, or is a
            // time of receipt.
            || is_handlers && is_other_process && (copy.is_generated || self.world.receipts)
    }
}

fn run(worlds: u64, steps: u64, seed: u64) -> (Totals, BTreeMap<String, Totals>, Option<String>) {
    let requests: Vec<_> = {
        let keys = Keys::new();
        let one = |resource: u64| {
            ["a", "b", "c"].map(|accept| {
                let request = Request::get("/").header("accept", accept).body(()).unwrap();
                let mut key = request_key(&keys, &request.into_parts().0);
                // All of one bucket.
                key.resource = resource << 32;
                key
            })
        };
        (1..=12).map(one).collect()
    };
    let (mut totals, mut by_mtimes, mut first_wrong) = (Totals::default(), BTreeMap::new(), None);
    for world in 0..worlds {
        let mut random = Random(seed.wrapping_add(world).wrapping_mul(0xD134_2543_DE82_EF95));
        let mut model = Model::new(World::random(&mut random), &requests, random.below(u64::MAX));
        for _ in 0..steps {
            model.step();
        }
        let one: &mut Totals = by_mtimes.entry(format!("{:?}", model.world.mtimes)).or_default();
        for sum in [&mut totals, one] {
            let add = model.totals;
            sum.requests += add.requests;
            sum.not_modified += add.not_modified;
            sum.generated += add.generated;
            sum.possible += add.possible;
            sum.found += add.found;
            sum.held += add.held;
            sum.excused += add.excused;
            sum.early += add.early;
            sum.unchecked += add.unchecked;
            sum.refused += add.refused;
            sum.stated += add.stated;
            sum.wrong += add.wrong;
        }
        first_wrong = first_wrong.or(model.first_wrong);
    }
    (totals, by_mtimes, first_wrong)
}

/// `DATES_WORLDS=60000 cargo test --lib dates::tests::model -- --nocapture` runs as
/// many worlds.
#[test]
fn no_world_has_a_wrong_304() {
    let asked = std::env::var("DATES_WORLDS").ok().and_then(|worlds| worlds.parse().ok());
    let (totals, by_mtimes, first_wrong) = run(asked.unwrap_or(450), 1_500, 1);
    if asked.is_some() {
        for (mtimes, one) in by_mtimes {
            eprintln!("{mtimes}: {:.3} {one:?}", one.found as f64 / one.possible as f64);
        }
    }
    let share = |of: u64| totals.found as f64 / of as f64;
    eprintln!(
        "{totals:?}: {:.4} of dated, {:.4} of all copies",
        share(totals.possible),
        share(totals.held)
    );
    let faults = [totals.wrong, totals.early, totals.unchecked, totals.refused];
    assert_eq!(faults, [0; 4], "{totals:?} {first_wrong:?}");
    // The model must produce enough events to prove something.
    assert!(totals.not_modified > 10_000 && totals.generated > 50_000, "{totals:?}");
    assert!(totals.stated > 5_000, "{totals:?}");
    assert!(share(totals.possible) >= 0.85, "{totals:?}");
}
