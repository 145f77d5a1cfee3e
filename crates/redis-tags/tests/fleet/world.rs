//! Records which versions of the files each server has had at which time, and checks
//! answers against that.

use std::{
    fs,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Mutex,
    },
    time::{Duration, Instant},
};

use http::HeaderMap;
use tower_conditional::EntityTag;

use crate::{
    client::Reply,
    fleet::{put, time, Fleet, SERVERS},
};

pub(crate) const FILES: usize = 12;
pub(crate) const LENGTH: usize = 3_000;

/// How long a request may take on a busy machine.
const LATE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct World {
    servers: [Mutex<Server>; SERVERS],
    newest: [AtomicU64; FILES],
}

#[derive(Default)]
struct Server {
    deploys: usize,
    files: [Vec<Span>; FILES],
    /// When the server was killed, and when it was up again.
    down: Vec<(Instant, Instant)>,
}

/// The time in which a server may have sent a version: from before the version was
/// written until after the next one was written.
struct Span {
    version: u64,
    since: Instant,
    until: Option<Instant>,
}

/// A request of a client.
pub(crate) struct Asked {
    pub(crate) server: usize,
    pub(crate) file: usize,
    pub(crate) start: Instant,
    pub(crate) condition: Condition,
    /// The first and the last byte.
    pub(crate) range: Option<(usize, usize)>,
}

/// The version that the client has, and the field in which it sends the validator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Condition {
    None,
    IfNoneMatch(u64),
    IfModifiedSince(u64),
    IfRange(u64),
}

/// Returns the content of a version, which names the file and the version in each line.
pub(crate) fn content(file: usize, version: u64) -> Vec<u8> {
    let line = format!("file {file} version {version}\n");
    line.bytes().cycle().take(LENGTH).collect()
}

pub(crate) fn tag(file: usize, version: u64) -> String {
    EntityTag::of(&content(file, version)).to_string()
}

impl World {
    /// Writes version 0 of all files to all servers.
    pub(crate) fn new(fleet: &Fleet) -> Self {
        let world = Self::default();
        for server in 0..SERVERS {
            for file in 0..FILES {
                world.put(fleet, server, file, 0);
            }
        }
        world
    }

    /// Writes a version of a file to a server. In more than half of the cases that is
    /// the newest version, which other servers may have already.
    pub(crate) fn change(&self, fleet: &Fleet, server: usize, file: usize, random: u64) {
        let newest = self.newest[file].load(Relaxed);
        let version = match random % 4 {
            0 => newest + 1,
            1 => newest.saturating_sub(random >> 8 & 3),
            _ => newest,
        };
        self.newest[file].fetch_max(version, Relaxed);
        self.put(fleet, server, file, version);
    }

    fn put(&self, fleet: &Fleet, server: usize, file: usize, version: u64) {
        let mut state = self.servers[server].lock().unwrap();
        let path = fleet.root(server, state.deploys).join(format!("{file}.bin"));
        let since = Instant::now();
        put(&path, &content(file, version), modified(state.deploys, file, version));
        let spans = &mut state.files[file];
        if let Some(last) = spans.last_mut() {
            last.until = Some(Instant::now());
        }
        spans.push(Span { version, since, until: None });
    }

    /// Kills a server and starts it again. If `is_deploy`, the files are then in a new
    /// folder, and have other modification times.
    pub(crate) fn restart(&self, fleet: &mut Fleet, server: usize, is_deploy: bool) {
        let mut state = self.servers[server].lock().unwrap();
        let start = Instant::now();
        if is_deploy {
            state.deploys += 1;
            let root = fleet.root(server, state.deploys);
            fs::create_dir_all(&root).unwrap();
            for (file, spans) in state.files.iter().enumerate() {
                let version = spans.last().unwrap().version;
                let modified = modified(state.deploys, file, version);
                put(&root.join(format!("{file}.bin")), &content(file, version), modified);
            }
        }
        fleet.restart_server(server, state.deploys);
        state.down.push((start, Instant::now()));
    }

    /// Returns true if the server was down at any time from `start` to `end`.
    pub(crate) fn was_down(&self, server: usize, start: Instant, end: Instant) -> bool {
        let state = self.servers[server].lock().unwrap();
        state.down.iter().any(|(from, until)| *from <= end && *until >= start)
    }

    /// Returns the versions that the server may have sent from `start` to `end`.
    fn versions(&self, server: usize, file: usize, start: Instant, end: Instant) -> Vec<u64> {
        let state = self.servers[server].lock().unwrap();
        let spans = state.files[file].iter();
        let spans =
            spans.filter(|span| span.since <= end && span.until.is_none_or(|until| until >= start));
        spans.map(|span| span.version).collect()
    }

    /// Returns the version of a 200, or an error that says why an answer is wrong.
    pub(crate) fn check(&self, asked: &Asked, reply: &Reply) -> Result<Option<u64>, String> {
        let Asked { server, file, start, condition, range } = *asked;
        let versions = self.versions(server, file, start, Instant::now());
        let tag_of = |version| tag(file, version);
        let sent = reply.field("etag");
        let wrong = |why: &str| Err(format!("{why}; {versions:?} were there"));
        match reply.status {
            200 => {
                let is_it = |version: &&u64| content(file, **version) == reply.content;
                let Some(version) = versions.iter().find(is_it) else {
                    return wrong("another version, or two");
                };
                if sent.is_some_and(|sent| sent != tag_of(*version)) {
                    return wrong("the tag of another version");
                }
                Ok(Some(*version))
            }
            206 => {
                let Some((first, last)) = range else { return wrong("a part") };
                let is_it =
                    |version: &&u64| content(file, **version)[first..=last] == reply.content;
                // A short part may be equal in several versions.
                let parted: Vec<_> = versions.iter().filter(is_it).collect();
                match condition {
                    _ if parted.is_empty() => wrong("a part of another version, or of two"),
                    Condition::IfRange(held) if !parted.contains(&&held) => {
                        wrong("a part of another version than the client holds")
                    }
                    _ if sent.is_some_and(|sent| parted.iter().all(|of| sent != tag_of(**of))) => {
                        wrong("a part with the tag of another version")
                    }
                    _ => Ok(None),
                }
            }
            304 => match condition {
                Condition::IfNoneMatch(held) | Condition::IfModifiedSince(held) => {
                    if !versions.contains(&held) {
                        return wrong("304");
                    }
                    if sent.is_some_and(|sent| sent != tag_of(held)) {
                        return wrong("304 with the tag of another version");
                    }
                    Ok(None)
                }
                _ => wrong("304"),
            },
            // The server refused a 206 of another version than the client has. That is
            // right if the server may have had another version. The layer may also
            // remember the tag of an earlier version, because a request that began
            // before the change may end late.
            503 => match condition {
                Condition::IfRange(held)
                    if *self.versions(server, file, start - LATE, Instant::now()) != [held] =>
                {
                    has_retry_after(&reply.headers).then_some(None).ok_or("503".to_owned())
                }
                _ => wrong("503"),
            },
            status => wrong(&status.to_string()),
        }
    }
}

fn has_retry_after(headers: &HeaderMap) -> bool {
    headers.contains_key("retry-after")
}

/// Returns the modification time of a version. It is the same on all servers, and
/// changes with a deploy.
fn modified(deploys: usize, file: usize, version: u64) -> std::time::SystemTime {
    time(deploys as u64 * 1_000_003 + version * 10 + file as u64)
}
