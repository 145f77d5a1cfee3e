//! The marks that guards put into the extensions of a write. They name the guards that
//! the write went through, and the locks that it holds. A handler may send more writes
//! with the same extensions. By the marks, a guard recognizes these nested writes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use super::{Access, Acquired, Locks};

/// In the extensions of a write: the marks of the guards that it went through.
#[derive(Clone, Debug, Default)]
pub(in crate::precondition) struct Marks(Vec<Mark>);

/// The mark of one guard.
#[derive(Clone, Debug)]
struct Mark {
    /// The address of the guard's locks, which identifies the guard.
    guard: usize,
    /// The lock of the write.
    hold: Arc<HeldLock>,
}

impl Marks {
    /// Adds the mark of the guard that has these locks.
    pub(in crate::precondition) fn add(&mut self, locks: &Arc<Locks>, hold: Arc<HeldLock>) {
        self.0.push(Mark { guard: Arc::as_ptr(locks).addr(), hold });
    }

    /// Returns the locks of the outer writes to this resource.
    pub(super) fn outer(&self, locks: &Arc<Locks>, resource: u64) -> Vec<Arc<HeldLock>> {
        let guard = Arc::as_ptr(locks).addr();
        let marks = self.0.iter().filter(|mark| mark.guard == guard);
        let holds = marks.map(|mark| &mark.hold).filter(|hold| hold.resource == resource);
        holds.cloned().collect()
    }
}

/// Returns the lock that an outer write holds now, if that lock is sufficient for a
/// nested write with this access.
///
/// A shared lock is not sufficient for a nested write with preconditions. The outer
/// write then loses its shared lock. Otherwise the outer write would wait for the
/// nested write, and the nested write for the lock, forever.
pub(super) fn share(outer: &[Arc<HeldLock>], access: Access) -> Option<Arc<Acquired>> {
    let acquired = outer.iter().find_map(|hold| {
        let acquired = hold.acquired()?;
        (access == Access::Shared || acquired.access == Access::Exclusive).then_some(acquired)
    });
    if acquired.is_none() {
        outer.iter().for_each(|hold| hold.release());
    }
    acquired
}

/// The lock in the mark of a write.
#[derive(Debug)]
pub(in crate::precondition) struct HeldLock {
    resource: u64,
    state: Mutex<HeldState>,
}

#[derive(Debug, Default)]
struct HeldState {
    /// `None` before the lock is taken and after it is released. In an `Arc`, because
    /// nested writes to the same resource share it, and may end after this write.
    acquired: Option<Arc<Acquired>>,
    /// The nested writes that wait for a lock of their own.
    nested: Vec<Waker>,
}

impl HeldLock {
    pub(super) fn new(resource: u64) -> Self {
        Self { resource, state: Mutex::default() }
    }

    /// Stores the lock that the write has taken, and wakes the nested writes that wait
    /// for a lock.
    pub(super) fn put(&self, acquired: Arc<Acquired>) {
        let mut state = self.state();
        state.acquired = Some(acquired);
        let nested = std::mem::take(&mut state.nested);
        drop(state);
        nested.into_iter().for_each(Waker::wake);
    }

    /// Wakes a nested write once this lock is taken.
    pub(super) fn wake_when_taken(&self, nested: &Waker) {
        let mut state = self.state();
        if !state.nested.iter().any(|waker| waker.will_wake(nested)) {
            state.nested.push(nested.clone());
        }
    }

    pub(super) fn release(&self) {
        let acquired = self.state().acquired.take();
        // Deliberately dropped after the mutex is released, because the drop wakes
        // other writes.
        drop(acquired);
    }

    /// Returns the lock while it is held.
    pub(super) fn acquired(&self) -> Option<Arc<Acquired>> {
        self.state().acquired.clone()
    }

    fn state(&self) -> MutexGuard<'_, HeldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
