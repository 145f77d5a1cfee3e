//! A file of a manifest changes at random, and the manifest may be wrong from the
//! start. No client gets a 304 unless it holds the current content, and no client joins
//! parts of two versions. `MANIFEST=100000` runs that number of worlds.

use std::{
    env, fs,
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        Arc,
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tower::{util::BoxCloneService, Layer, ServiceExt};
use tower_conditional::{ConditionalLayer, InnerTags, Manifest};

use crate::support::{
    file_server::{content, Kind, KINDS},
    random::numbers,
    slow_peer::{Inner, Log},
    wire::Folder,
};

/// All here happened long ago, so that nothing waits for a file to grow older.
const START: u64 = 1_000_000_000;
const LENGTH: usize = 3_000;

#[derive(Debug, Default)]
struct Tally {
    not_modified: u64,
    parts: u64,
    whole: u64,
    mismatches: u64,
    unread: u64,
}

/// What a client holds: bytes from the first on, and the tag that came with them.
#[derive(Clone)]
struct Held {
    bytes: Vec<u8>,
    is_whole: bool,
    tag: String,
}

struct World {
    chance: Box<dyn FnMut() -> u64>,
    folder: Folder,
    /// Seconds since 1970.
    clock: Arc<AtomicU64>,
    service: BoxCloneService<Request<Body>, Response<Body>, std::convert::Infallible>,
    layer: ConditionalLayer,
    /// Each content that the file had, and its date.
    versions: Vec<(Vec<u8>, u64)>,
    trace: Vec<String>,
}

impl World {
    fn new(kind: Kind, seed: u64) -> Self {
        let mut chance = numbers(seed);
        let mut below = move |n: u64| (chance() >> 7) % n;
        let folder = Folder::new(&format!("manifest-world-{kind:?}"));
        let clock = Arc::new(AtomicU64::new(START + 100));
        let (first, lie) = (content(seed, LENGTH), content(seed + 1, LENGTH));
        write(&folder, &first, START);
        let is_lie = below(3) == 0;
        let hash = Sha256::digest(if is_lie { &lie } else { &first }).into();
        let mut manifest = Manifest::from_pairs([("file.bin", hash)]).unwrap();
        let is_checked = below(2) == 0;
        if is_checked {
            manifest = manifest.check(&folder.0).unwrap();
        }
        let now = Arc::clone(&clock);
        let inner_tags = if below(2) == 0 { InnerTags::replace() } else { InnerTags::learn() };
        let limit = [16, 1 << 20][below(2) as usize];
        let layer = ConditionalLayer::new()
            .clock(move || UNIX_EPOCH + Duration::from_secs(now.load(SeqCst)))
            .buffer_limit(limit)
            .ranges(below(2) == 0)
            .inner_tags(inner_tags.clone().manifest(manifest));
        let inner: Inner<Body> = kind.serve(&folder.0, &Log::new());
        let service = layer.layer(inner).map_response(|response| response.map(Body::new));
        let service = BoxCloneService::new(service.map_err(|error| match error {}));
        let trace =
            vec![format!("{kind:?} {inner_tags:?} lie {is_lie} checked {is_checked} {limit}")];
        let chance = Box::new(numbers(seed ^ 0x5EED));
        let versions = vec![(first, START)];
        Self { chance, folder, clock, service, layer, versions, trace }
    }

    fn below(&mut self, n: u64) -> u64 {
        ((self.chance)() >> 7) % n
    }

    fn current(&self) -> &[u8] {
        &self.versions.last().unwrap().0
    }

    /// Edits, touches, replaces or restores the file: each content has seconds of its
    /// own.
    fn change(&mut self) {
        let (number, now) = (self.versions.len() as u64, self.clock.load(SeqCst));
        let earlier = self.below(number) as usize;
        let (old, date) = self.versions[earlier].clone();
        let (content, date) = match self.below(6) {
            0 => (old, date),
            1 => (self.current().to_vec(), now),
            2 => (content(now, LENGTH - 1), now),
            3 => (content(now, LENGTH), START - number),
            _ => (content(now, LENGTH), now),
        };
        write(&self.folder, &content, date);
        self.trace.push(format!("at {now}: {} bytes, dated {date}", content.len()));
        self.versions.push((content, date));
        // Within one second, dates cannot tell two contents apart.
        self.clock.fetch_add(1, SeqCst);
    }

    async fn ask(&mut self, fields: &[(&str, &str)]) -> Response<Body> {
        let request = Request::get("/file.bin");
        let request = fields.iter().fold(request, |request, line| request.header(line.0, line.1));
        let response = self.service.clone().oneshot(request.body(Body::empty()).unwrap()).await;
        let response = response.unwrap();
        self.trace.push(format!("{fields:?} -> {} {:?}", response.status(), tag_of(&response)));
        response
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{what}\n{}", self.trace.join("\n"));
    }

    /// Has a client ask, and sees to it that what it holds then is of one version.
    async fn visit(&mut self, held: Option<Held>, tally: &mut Tally) -> Option<Held> {
        let part = held.as_ref().map(|held| format!("bytes={}-", held.bytes.len()));
        let fields = match &held {
            None => vec![],
            Some(held) if held.is_whole => vec![("if-none-match", &*held.tag)],
            Some(held) => vec![("range", part.as_deref().unwrap()), ("if-range", &*held.tag)],
        };
        let hashed = self.layer.stats().bytes_hashed;
        let response = self.ask(&fields).await;
        let (status, tag) = (response.status().as_u16(), tag_of(&response));
        match (status, held) {
            (304, Some(held)) => {
                if held.bytes != self.current() {
                    self.fail("a wrong 304");
                }
                tally.not_modified += 1;
                tally.unread += u64::from(self.layer.stats().bytes_hashed == hashed);
                Some(held)
            }
            (206, Some(held)) => {
                tally.parts += 1;
                let part = response.into_body().collect().await.unwrap().to_bytes();
                let bytes = [&*held.bytes, &*part].concat();
                if bytes != self.current() {
                    self.fail("two versions are glued");
                }
                Some(Held { bytes, is_whole: true, tag: held.tag })
            }
            (503, _) => None,
            (200, _) => {
                tally.whole += 1;
                let mut body = response.into_body();
                let (mut bytes, leaves) = (Vec::new(), self.below(2) == 0);
                while let Some(frame) = body.frame().await {
                    bytes.extend(frame.unwrap().into_data().unwrap());
                    if leaves && bytes.len() < self.current().len() {
                        break;
                    }
                }
                let is_whole = bytes.len() == self.current().len();
                tag.map(|tag| Held { bytes, is_whole, tag })
            }
            _ => self.fail("an unexpected answer"),
        }
    }
}

fn tag_of(response: &Response<Body>) -> Option<String> {
    response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned())
}

fn write(folder: &Folder, content: &[u8], date: u64) {
    let path = folder.0.join("file.bin");
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    let file = fs::File::options().write(true).open(&new).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(date)).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn manifest() {
    let worlds: u64 = env::var("MANIFEST").map_or(150, |text| text.parse().unwrap());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let (runtime, mut tally) = (runtime.unwrap(), Tally::default());
    for (seed, kind) in (1..=worlds).flat_map(|seed| KINDS.map(|kind| (seed, kind))) {
        runtime.block_on(async {
            let mut world = World::new(kind, seed * 1_000_000);
            let mut clients = [None, None, None];
            for _ in 0..30 {
                match world.below(8) {
                    0 => world.change(),
                    1 => drop(world.clock.fetch_add(3, SeqCst)),
                    _ => {
                        let place = world.below(3) as usize;
                        let held = clients[place].take();
                        clients[place] = world.visit(held, &mut tally).await;
                    }
                }
            }
            tally.mismatches += world.layer.stats().manifest_mismatches;
        });
    }
    println!("{worlds} worlds: {tally:?}");
    assert!(tally.not_modified > worlds && tally.unread > worlds, "{tally:?}");
    assert!(tally.parts > worlds && tally.mismatches > worlds / 4, "{tally:?}");
}
