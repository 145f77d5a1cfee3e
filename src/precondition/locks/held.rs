//! The marks that guards put into the extensions of a request. They name the guards
//! that the request went through, and the locks that it holds. A handler may send more
//! requests with the same extensions, so a guard can recognize these nested requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Access, Acquired, Locks};

/// In the extensions of a request: one mark for each guard that the request
/// went through.
#[derive(Clone, Debug, Default)]
pub(in crate::precondition) struct Marks(Vec<Mark>);

/// The mark of one guard.
#[derive(Clone, Debug)]
struct Mark {
    /// The address of the guard's locks, which identifies the guard.
    guard: usize,
    /// The prefix that routers outside of the guard removed from the path.
    prefix: Option<Arc<str>>,
    /// The lock of the request. `None` if the request is not a write.
    hold: Option<Arc<HeldLock>>,
}

impl Marks {
    /// Returns the prefix that routers outside of this guard removed from the path. It
    /// may be empty. `None` if the guard has not yet marked these extensions.
    pub(in crate::precondition) fn prefix(&self, locks: &Arc<Locks>) -> Option<&str> {
        self.of(locks).map(|mark| mark.prefix.as_deref().unwrap_or_default()).next()
    }

    /// Adds the mark of this guard.
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

    /// Returns the lock of this resource that an outer write holds, if that lock is
    /// sufficient for a nested write with this access.
    ///
    /// A shared lock is not sufficient for a nested write with preconditions. The outer
    /// write then loses its shared lock. Otherwise the outer write would wait for the
    /// nested write, and the nested write for the lock.
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

/// The lock of a write, as its mark contains it.
#[derive(Debug)]
pub(in crate::precondition) struct HeldLock {
    resource: u64,
    /// `None` before the lock is taken and after it is released, because the extensions
    /// may exist longer than the write. In an `Arc`, because writes that the handler
    /// makes to the same resource share this lock, and may end after this write.
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
        // Deliberately dropped after the mutex is released, because the drop wakes
        // other writes.
        drop(acquired);
    }

    fn acquired(&self) -> MutexGuard<'_, Option<Arc<Acquired>>> {
        self.acquired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
