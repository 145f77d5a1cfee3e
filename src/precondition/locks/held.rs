//! What the extensions of a request say of the guards that it went through, and of the
//! locks that it holds: a handler may send further requests with them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Access, Acquired, Locks};

/// In the extensions of a request: a mark of each guard that it went through.
#[derive(Clone, Debug, Default)]
pub(in crate::precondition) struct Marks(Vec<Mark>);

/// That a request went through a guard.
#[derive(Clone, Debug)]
struct Mark {
    /// The locks of the guard stand for it.
    guard: usize,
    /// What routers outside of the guard take off its paths.
    prefix: Option<Arc<str>>,
    /// The lock that the request holds, if it is a write.
    hold: Option<Arc<HeldLock>>,
}

impl Marks {
    /// Returns what routers outside of this guard take off its paths, if the request,
    /// or the one that it was made of, went through the guard before.
    pub(in crate::precondition) fn prefix(&self, locks: &Arc<Locks>) -> Option<&str> {
        self.of(locks).map(|mark| mark.prefix.as_deref().unwrap_or_default()).next()
    }

    /// Adds that the request goes through this guard.
    pub(in crate::precondition) fn add(
        &mut self,
        locks: &Arc<Locks>,
        prefix: Option<Arc<str>>,
        hold: Option<Arc<HeldLock>>,
    ) {
        self.0.push(Mark { guard: Arc::as_ptr(locks).addr(), prefix, hold });
    }

    fn of(&self, locks: &Arc<Locks>) -> impl Iterator<Item = &Mark> {
        let guard = Arc::as_ptr(locks).addr();
        self.0.iter().filter(move |mark| mark.guard == guard)
    }

    /// Returns the lock of the same resource that an outer write holds, if it will do.
    ///
    /// A shared lock does not do for a write with preconditions. It is released then,
    /// or the two writes would wait for each other.
    pub(super) fn share(
        &self,
        locks: &Arc<Locks>,
        resource: u64,
        access: Access,
    ) -> Option<Arc<Acquired>> {
        let holds = || {
            let holds = self.of(locks).filter_map(|mark| mark.hold.as_ref());
            holds.filter(|hold| hold.resource == resource)
        };
        let acquired = holds().find_map(|hold| {
            let acquired = hold.acquired().clone()?;
            (access == Access::Shared || acquired.access == Access::Exclusive).then_some(acquired)
        });
        if acquired.is_none() {
            holds().for_each(|hold| hold.release());
        }
        acquired
    }
}

/// A lock that a request holds, now or later.
#[derive(Debug)]
pub(in crate::precondition) struct HeldLock {
    resource: u64,
    /// `None` before and after: extensions may outlive the write that they are of.
    /// Shared with the writes inside this one, which may outlive it.
    acquired: Mutex<Option<Arc<Acquired>>>,
}

impl HeldLock {
    pub(super) fn new(resource: u64, acquired: Option<Arc<Acquired>>) -> Self {
        Self { resource, acquired: Mutex::new(acquired) }
    }

    pub(super) fn put(&self, acquired: Acquired) {
        *self.acquired() = Some(Arc::new(acquired));
    }

    pub(super) fn release(&self) {
        let acquired = self.acquired().take();
        // Others wake up now, and may look at this.
        drop(acquired);
    }

    fn acquired(&self) -> MutexGuard<'_, Option<Arc<Acquired>>> {
        self.acquired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
