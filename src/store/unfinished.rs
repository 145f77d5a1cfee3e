//! Keeps the unfinished hash of content that is sent in several 206 responses, until
//! the next 206 is sent.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::resource_key::Key;

/// The unfinished hashes (`work`) of at most 1,024 contents.
pub(crate) struct Unfinished<T> {
    entries: Mutex<VecDeque<UnfinishedContent<T>>>,
}

struct UnfinishedContent<T> {
    /// The content: its key and its fingerprint.
    content: (Key, Key),
    /// The position of the first byte that is not hashed yet.
    next: u64,
    work: T,
}

impl<T> Unfinished<T> {
    /// Removes and returns the hash of the bytes before `next`, if it is kept.
    pub(crate) fn take(&self, content: (Key, Key), next: u64) -> Option<T> {
        let mut entries = self.entries();
        let is_this = |entry: &UnfinishedContent<T>| entry.content == content && entry.next == next;
        let place = entries.iter().position(is_this)?;
        entries.remove(place).map(|entry| entry.work)
    }

    /// Keeps the hash of the bytes before `next`. If 1,024 hashes are kept already, the
    /// oldest one is dropped.
    pub(crate) fn keep(&self, content: (Key, Key), next: u64, work: T) {
        let mut entries = self.entries();
        entries.truncate(MOST - 1);
        entries.push_front(UnfinishedContent { content, next, work });
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<UnfinishedContent<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Unfinished<T> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<T> fmt::Debug for Unfinished<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").finish_non_exhaustive()
    }
}

const MOST: usize = 1024;
