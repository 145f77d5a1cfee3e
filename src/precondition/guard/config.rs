//! The settings of a guard, and the state that its clones share.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use http::request;

use super::resource::hash_path;
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
            None => hash_path(&parts.uri, &mut hasher),
        }
        let lock = WriteLock::new(&self.locks, hasher.finish(), access, marks);
        let marks = parts.extensions.get_or_insert_default::<Marks>();
        marks.add(&self.locks, Arc::clone(lock.held()));
        lock
    }
}
