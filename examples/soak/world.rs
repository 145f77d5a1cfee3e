//! The current version of each resource, and the version that each tag was sent with.

use std::{
    collections::{hash_map::RandomState, HashMap},
    hash::BuildHasher,
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        Mutex,
    },
};

use http::{header::ETAG, HeaderMap};

/// How many resources of each kind there are.
pub(crate) const RESOURCES: usize = 16;

/// The length of a line of content, in bytes.
pub(crate) const LINE: usize = 29;

/// The length of large content, in bytes. It is more than a layer reads ahead.
pub(crate) const LARGE: usize = LINE * 40_000;

#[derive(Default)]
pub(crate) struct World {
    /// How often each resource has changed.
    changes: [AtomicU64; RESOURCES],
    /// How often each note was edited, which is its version. The first array has the
    /// notes behind a `WriteGuard`, the second those behind a `PreconditionLayer`.
    pub(crate) notes: [[AtomicU64; RESOURCES]; 2],
    /// The version that each tag was sent with. The key is a hash of the URI and the
    /// tag, so that an hour of tags takes only a few MiB.
    sent: Mutex<HashMap<[u64; 2], u64>>,
    random: [RandomState; 2],
    pub(crate) tally: Tally,
}

impl World {
    /// Returns the current version of a resource. One of four changes is a rollback to
    /// the previous version.
    pub(crate) fn version(&self, place: usize) -> u64 {
        let changes = self.changes[place].load(SeqCst) % 1_000;
        if changes % 4 == 3 {
            changes - 2
        } else {
            changes
        }
    }

    pub(crate) fn change(&self, place: usize) {
        self.changes[place].fetch_add(1, SeqCst);
    }

    /// Records the tag of a response with content. The tag must name no other version.
    pub(crate) fn was_sent(&self, uri: &str, head: &HeaderMap, version: u64) {
        let Some(tag) = head.get(ETAG) else { return };
        let mut sent = self.sent.lock().unwrap();
        let named = *sent.entry(self.key(uri, tag.to_str().unwrap())).or_insert(version);
        self.tally.right(named == version, || format!("{uri}: {tag:?} names two versions"));
    }

    /// Returns true if a tag of this resource names the version. `W/` is ignored.
    pub(crate) fn names(&self, uri: &str, tag: &str, version: u64) -> bool {
        self.sent.lock().unwrap().get(&self.key(uri, tag)) == Some(&version)
    }

    fn key(&self, uri: &str, tag: &str) -> [u64; 2] {
        let key = (uri, tag.trim_start_matches("W/"));
        self.random.each_ref().map(|random| random.hash_one(key))
    }
}

/// The numbers of requests and answers of each kind.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    pub(crate) not_modified: AtomicU64,
    pub(crate) coded: AtomicU64,
    pub(crate) digests: AtomicU64,
    pub(crate) parts: AtomicU64,
    pub(crate) resumed: AtomicU64,
    pub(crate) edits: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) lies: AtomicU64,
    pub(crate) aborted: AtomicU64,
    pub(crate) malformed: AtomicU64,
    wrong: AtomicU64,
}

impl Tally {
    /// Counts an answer that is not right, and prints `what` was wrong with it.
    pub(crate) fn right(&self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right && self.wrong.fetch_add(1, SeqCst) < 20 {
            println!("WRONG: {}", what());
        }
    }

    fn named(&self) -> [(&'static str, &AtomicU64); 12] {
        [
            ("requests", &self.requests),
            ("answers with 304", &self.not_modified),
            ("encoded contents", &self.coded),
            ("digests", &self.digests),
            ("parts", &self.parts),
            ("resumed downloads", &self.resumed),
            ("edits", &self.edits),
            ("refused edits", &self.refused),
            ("lies", &self.lies),
            ("broken off", &self.aborted),
            ("malformed", &self.malformed),
            ("wrong answers", &self.wrong),
        ]
    }

    pub(crate) fn print(&self, seconds: u64) {
        let counts = self.named().map(|(name, count)| format!("{} {name}", count.load(SeqCst)));
        println!("{seconds} s: {}", counts.join(", "));
    }

    pub(crate) fn check(&self, seconds: u64) {
        for (name, count) in self.named() {
            let count = count.load(SeqCst);
            match name {
                "wrong answers" => assert_eq!(count, 0, "wrong answers"),
                _ => assert!(count > seconds / 10, "{name}: too little was asked"),
            }
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, SeqCst);
}

/// Makes content that names its resource and its version in each line.
pub(crate) fn content(uri: &str, version: u64, len: usize) -> Vec<u8> {
    let mut content = format!("{uri:>13} {version:>14}\n").repeat(len / LINE + 1).into_bytes();
    content.truncate(len);
    content
}

/// Returns the version that a line of content names.
pub(crate) fn version_in(content: &[u8]) -> u64 {
    std::str::from_utf8(&content[14..LINE - 1]).unwrap().trim().parse().unwrap()
}

/// A simple generator of numbers that look random.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }
}
