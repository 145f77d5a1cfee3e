//! `ServeDir` behind a layer: a server of one file whose versions and dates are set by
//! hand.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::{Duration, UNIX_EPOCH},
};

use http::Version;
use tower::Layer;
use tower_conditional::{ConditionalLayer, EntityTag, InnerTags};

use crate::support::{
    random::numbers,
    server::VERSIONS,
    slow_peer::{ask, serve, watched, Answer, Fields, Inner, Log},
    wire::{clocked, http_date, Folder, START},
};

pub(crate) const PATH: &str = "/file.bin";
pub(crate) const LENGTH: usize = 40_000;
pub(crate) const LIMIT: usize = 1024;

/// Which `ServeDir`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Of tower-http 0.6: it gives dates only.
    Dates,
    /// Of tower-http 0.7: it gives tags, made of date and length.
    Tags,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Dates, Kind::Tags];

/// Each kind of server over each version of HTTP.
pub(crate) fn kinds_and_versions() -> impl Iterator<Item = (Kind, Version)> {
    KINDS.into_iter().flat_map(|kind| VERSIONS.map(|version| (kind, version)))
}

impl Kind {
    pub(crate) fn serve<R: Send + 'static>(self, folder: &Path, log: &Arc<Log>) -> Inner<R> {
        match self {
            Self::Dates => watched(
                tower_http_06::services::ServeDir::new(folder).with_buf_chunk_size(LIMIT),
                log,
            ),
            Self::Tags => {
                watched(tower_http::services::ServeDir::new(folder).with_buf_chunk_size(LIMIT), log)
            }
        }
    }
}

/// A server of one file, over both versions of HTTP.
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(crate) log: Arc<Log>,
    /// Seconds since 1970.
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) addresses: [SocketAddr; 2],
}

impl Site {
    pub(crate) async fn new(
        kind: Kind,
        name: &str,
        adjust: impl FnOnce(ConditionalLayer) -> ConditionalLayer,
    ) -> Self {
        let (folder, log) = (Folder::new(&format!("{name}-{kind:?}")), Log::new());
        let (clock, layer) = clocked();
        let layer = layer.buffer_limit(LIMIT);
        let service = adjust(layer).layer(kind.serve(&folder.0, &log));
        let addresses =
            [serve(VERSIONS[0], service.clone()).await, serve(VERSIONS[1], service).await];
        Self { folder, log, clock, addresses }
    }

    pub(crate) async fn replacing(kind: Kind, name: &str) -> Self {
        let inner_tags = InnerTags::replace().trust_dates(kind == Kind::Dates);
        Self::new(kind, name, |layer| layer.inner_tags(inner_tags).ranges(true)).await
    }

    /// Puts another version of the file there, made `after` so many milliseconds.
    pub(crate) fn put(&self, version: u64, after: u64) {
        self.put_of(version, LENGTH, after);
    }

    pub(crate) fn put_of(&self, version: u64, length: usize, after: u64) {
        write(&self.folder, version, length, after);
    }

    pub(crate) fn is_at(&self, after: u64) {
        self.clock.store(START + after, Ordering::Relaxed);
    }

    pub(crate) fn address(&self, version: Version) -> SocketAddr {
        self.addresses[usize::from(version == Version::HTTP_2)]
    }

    pub(crate) async fn get(&self, version: Version, fields: Fields<'_>) -> Answer {
        self.ask(version, "GET", fields).await
    }

    pub(crate) async fn ask(&self, version: Version, method: &str, fields: Fields<'_>) -> Answer {
        ask(version, self.address(version), method, PATH, fields).await
    }
}

/// Writes a version of the file, as it would have been `after` so many milliseconds.
pub(crate) fn write(folder: &Folder, version: u64, length: usize, after: u64) {
    let path = folder.0.join(&PATH[1..]);
    fs::write(&path, content(version, length)).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_millis(START * 1000 + after)).unwrap();
}

/// Content that tells its versions apart everywhere.
pub(crate) fn content(version: u64, length: usize) -> Vec<u8> {
    let mut numbers = numbers(version);
    std::iter::repeat_with(|| numbers().to_le_bytes()).flatten().take(length).collect()
}

pub(crate) fn tag(version: u64) -> String {
    EntityTag::of(&content(version, LENGTH)).to_string()
}

pub(crate) fn date(after: u64) -> String {
    http_date(START + after)
}

/// Says whether all of that version came, and with which tag.
#[track_caller]
pub(crate) fn assert_whole(answer: &Answer, version: u64, etag: Option<&str>) {
    assert_eq!((answer.status, answer.is_whole), (200, true));
    assert!(answer.content == content(version, LENGTH), "{:?}", answer.headers);
    assert_eq!(answer.etag(), etag);
}
