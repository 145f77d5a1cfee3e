//! Keeps unfinished hashes of content that is sent in parts, until the next part is
//! sent.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::resource_key::Key;

/// The unfinished work on at most 1,024 contents.
pub(crate) struct Unfinished<T> {
    entries: Mutex<VecDeque<UnfinishedContent<T>>>,
}

struct UnfinishedContent<T> {
    /// The content: its key and its fingerprint.
    content: (Key, Key),
    /// Where the next part starts.
    next: u64,
    work: T,
}

impl<T> Unfinished<T> {
    /// Removes and returns the work on content up to byte `next`.
    pub(crate) fn take(&self, content: (Key, Key), next: u64) -> Option<T> {
        let mut entries = self.entries();
        let is_this = |entry: &UnfinishedContent<T>| entry.content == content && entry.next == next;
        let place = entries.iter().position(is_this)?;
        entries.remove(place).map(|entry| entry.work)
    }

    /// Keeps the work on content up to byte `next`.
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
