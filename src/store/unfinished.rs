//! Work on content that came in parts, until the next part comes.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::resource_key::Key;

/// What was done for the first parts of some contents: at most 1,024.
pub(crate) struct Unfinished<T> {
    entries: Mutex<VecDeque<UnfinishedContent<T>>>,
}

struct UnfinishedContent<T> {
    /// The content: where it is, and what the inner service says of it.
    content: (Key, Key),
    /// Where the next part starts.
    next: u64,
    work: T,
}

impl<T> Unfinished<T> {
    /// Takes out what was done for the content up to `next`.
    pub(crate) fn take(&self, content: (Key, Key), next: u64) -> Option<T> {
        let mut entries = self.entries();
        let is_this = |entry: &UnfinishedContent<T>| entry.content == content && entry.next == next;
        let place = entries.iter().position(is_this)?;
        entries.remove(place).map(|entry| entry.work)
    }

    /// Keeps what was done for the content up to `next`.
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
