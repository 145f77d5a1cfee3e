//! The settings of a guard, and the state that its clones share.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use http::request;

use super::resource::{hash_path, taken_prefix};
use crate::{
    body::Budget,
    precondition::{
        config::PreconditionConfig,
        locks::{Access, Locks, Marks, WriteLock},
    },
    store::KeyFn,
    timer::Timer,
};

/// The settings of a guard, and the state that its clones share.
#[derive(Clone)]
pub(super) struct GuardConfig {
    pub(super) base: PreconditionConfig,
    pub(super) key: Option<Arc<KeyFn>>,
    pub(super) body_limit: u64,
    pub(super) lock_timeout: Duration,
    pub(super) stream_uploads: bool,
    pub(super) idempotent_puts: bool,
    /// Limits the bytes of content that all requests together may hold in memory.
    pub(super) budget: Arc<Budget>,
    pub(super) hash: RandomState,
    pub(super) locks: Arc<Locks>,
    pub(super) timer: Arc<Timer>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            base: PreconditionConfig::default(),
            key: None,
            body_limit: 2 << 20,
            lock_timeout: Duration::from_secs(10),
            stream_uploads: false,
            idempotent_puts: false,
            budget: Arc::new(Budget::new(64 << 20)),
            hash: RandomState::new(),
            locks: Arc::default(),
            timer: Arc::default(),
        }
    }
}

impl GuardConfig {
    /// Makes the lock for the target resource of a write. Also adds a mark with this
    /// lock to the extensions of the write; see [`Marks`].
    pub(super) fn lock_for(&self, parts: &mut request::Parts, access: Access) -> WriteLock {
        let marks = parts.extensions.get::<Marks>();
        let mut hasher = self.hash.build_hasher();
        match &self.key {
            Some(key) => key(parts, &mut hasher),
            None => {
                let prefix = marks.and_then(|marks| marks.prefix(&self.locks));
                hash_path(parts, prefix, &mut hasher);
            }
        }
        let lock = WriteLock::new(&self.locks, hasher.finish(), access, marks);
        self.mark(parts, Some(&lock));
        lock
    }

    /// Adds a mark to the extensions of a request. The mark shows that the request went
    /// through this guard. The mark of a write also contains the lock of the write.
    pub(super) fn mark(&self, parts: &mut request::Parts, lock: Option<&WriteLock>) {
        let marks = parts.extensions.get::<Marks>();
        let marked = marks.and_then(|marks| marks.prefix(&self.locks));
        if lock.is_none() && marked.is_some() {
            return;
        }
        let taken = || taken_prefix(&parts.uri, &parts.extensions);
        let prefix = marked.or_else(taken).map(Into::into);
        let marks = parts.extensions.get_or_insert_default::<Marks>();
        marks.add(&self.locks, prefix, lock.map(|lock| Arc::clone(lock.held())));
    }
}
