//! A store in Redis for [`InnerTags::store`] of [`tower_conditional`]: servers share
//! the tags of large files through it.
//!
//! ```no_run
//! use tower_conditional::{ConditionalLayer, InnerTags, SharedTags};
//! use tower_conditional_redis::RedisTags;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = std::env::var("TAG_SECRET")?;
//! let store = RedisTags::connect("redis://tags.internal/")?;
//! let tags = SharedTags::new("downloads", secret, store)?;
//! let layer = ConditionalLayer::new().inner_tags(InnerTags::replace().store(tags));
//! # drop(layer);
//! # Ok(())
//! # }
//! ```
//!
//! A background task sends commands to Redis in batches, and reconnects when the
//! connection is lost. If the queue of this task is full, new commands are dropped.
//! So if Redis is slow or down, some responses have no tag, but no HTTP request waits
//! or fails.
//!
//! With the feature `tracing`, an event at level WARN is emitted when Redis cannot be
//! reached. The next such event follows only after Redis was reached again. The target
//! is `tower_conditional_redis`.
//!
//! [`InnerTags::store`]: tower_conditional::InnerTags::store
#![cfg_attr(docsrs, feature(doc_cfg))]

mod task;

use std::{
    fmt,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};

use redis::{Client, RedisResult};
use tokio::sync::mpsc;
use tower_conditional::{TagAnswer, TagStore};

use self::task::{Job, Task};

/// A store of tags in Redis. Clones share one connection.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone)]
pub struct RedisTags {
    queue: mpsc::Sender<Job>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl RedisTags {
    /// Uses the Redis at `url`, with the default [`Options`].
    ///
    /// A URL is `redis://user:password@host:6379/0` or `redis+unix:///run/redis.sock`,
    /// for example.
    ///
    /// This returns at once, even if Redis cannot be reached. It spawns a background
    /// task on the current Tokio runtime. The task ends when the last clone of the
    /// store is dropped.
    ///
    /// # Errors
    ///
    /// Fails if the URL cannot be parsed.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub fn connect(url: &str) -> RedisResult<Self> {
        Options::new().connect(url)
    }

    /// Returns how many commands were dropped so far, because the queue was full.
    ///
    /// Each command requests one tag or stores one tag.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counters.dropped.load(Relaxed)
    }

    /// Returns how many commands failed so far. Each command requests one tag or stores
    /// one tag.
    ///
    /// A command fails if Redis cannot be reached, does not answer in time, or refuses
    /// the command.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.counters.failed.load(Relaxed)
    }

    fn send(&self, job: Job) {
        // Deliberately never waits: the caller is handling an HTTP request.
        if self.queue.try_send(job).is_err() {
            self.counters.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl TagStore for RedisTags {
    fn ask(&self, key: [u8; 32], answer: TagAnswer) {
        self.send(Job::Ask(key, answer));
    }

    fn publish(&self, key: [u8; 32], value: Vec<u8>) {
        self.send(Job::Publish(key, value));
    }
}

impl fmt::Debug for RedisTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTags")
            .field("dropped", &self.dropped())
            .field("failed", &self.failed())
            .finish_non_exhaustive()
    }
}

/// The options of a [`RedisTags`].
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use tower_conditional_redis::Options;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> redis::RedisResult<()> {
/// let week = Duration::from_secs(7 * 24 * 3600);
/// let options = Options::new().prefix("shop:tags:").expiry(week);
/// let store = options.connect("redis://localhost")?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    prefix: String,
    expiry: Duration,
    timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "tower-conditional:".to_owned(),
            expiry: Duration::from_secs(30 * 24 * 3600),
            timeout: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// Makes options with the default values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the prefix of all keys. Default: `tower-conditional:`.
    ///
    /// In each key, 64 hex digits follow the prefix.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Sets how long Redis keeps a tag. Default: 30 days.
    ///
    /// The time is rounded down to whole seconds, and limited to between one second and
    /// 136 years. Use of a tag does not extend the time. Servers that know a tag keep
    /// it after it has expired in Redis. A server that is started later must hash the
    /// file itself.
    pub fn expiry(self, expiry: Duration) -> Self {
        Self { expiry, ..self }
    }

    /// Sets how long the background task waits for a connection, and for an answer.
    /// Default: 1 second each.
    ///
    /// No HTTP request waits for this task, whatever the value.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Uses the Redis at `url`, with these options: see [`RedisTags::connect`].
    ///
    /// # Errors
    ///
    /// Fails if the URL cannot be parsed.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub fn connect(self, url: &str) -> RedisResult<RedisTags> {
        let client = Client::open(url)?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let counters = Arc::<Counters>::default();
        tokio::spawn(Task::new(client, self, Arc::clone(&counters)).run(jobs));
        Ok(RedisTags { queue, counters })
    }
}

/// The maximum number of commands in the queue.
const QUEUE: usize = 1024;
