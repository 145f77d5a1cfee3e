//! One lock for each resource that is being written.
//!
//! A write with preconditions holds the lock exclusively, from the check to the
//! response. Writes without preconditions share the lock. They wait only while another
//! write holds it exclusively, not for a write that itself still waits.

use std::{
    collections::{hash_map, BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

mod held;

use self::held::share;
pub(super) use self::held::{HeldLock, Marks};

/// How a write uses the lock of its resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// No other write to the resource runs while this write holds the lock.
    Exclusive,
    /// Other shared writes may hold the lock at the same time.
    Shared,
}

/// The locks of one guard. Each resource with a write in progress has a lock.
#[derive(Debug, Default)]
pub(super) struct Locks {
    entries: Mutex<HashMap<u64, ResourceLock>>,
}

/// The lock of one resource. It exists while a write to this resource runs or waits.
#[derive(Debug, Default)]
struct ResourceLock {
    is_exclusive: bool,
    /// How many shared writes hold the lock.
    shared: usize,
    /// The exclusive writes that wait, in order of arrival. `release` removes the write
    /// that gets the lock next.
    waiting_alone: BTreeMap<u64, Waker>,
    /// The shared writes that wait until an exclusive write releases the lock.
    waiting_together: BTreeMap<u64, Waker>,
    next_ticket: u64,
}

impl ResourceLock {
    /// Takes the lock if it is free for this access.
    fn try_acquire(&mut self, access: Access) -> bool {
        let is_free = !self.is_exclusive && (access == Access::Shared || self.shared == 0);
        if is_free {
            match access {
                Access::Exclusive => self.is_exclusive = true,
                Access::Shared => self.shared += 1,
            }
        }
        is_free
    }

    fn waiting(&mut self, access: Access) -> &mut BTreeMap<u64, Waker> {
        match access {
            Access::Exclusive => &mut self.waiting_alone,
            Access::Shared => &mut self.waiting_together,
        }
    }

    /// Releases the lock for one write. If the lock is then free, hands it to waiting
    /// writes, and returns their wakers.
    fn release(&mut self, access: Access) -> Vec<Waker> {
        match access {
            Access::Exclusive => self.is_exclusive = false,
            Access::Shared => self.shared -= 1,
        }
        let mut woken: Vec<_> = std::mem::take(&mut self.waiting_together).into_values().collect();
        self.shared += woken.len();
        if self.shared == 0
            && let Some((_, waker)) = self.waiting_alone.pop_first()
        {
            self.is_exclusive = true;
            woken.push(waker);
        }
        woken
    }

    fn is_idle(&self) -> bool {
        // Waiting writes need no check: while one waits, another write holds the lock.
        !self.is_exclusive && self.shared == 0
    }
}

impl Locks {
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, ResourceLock>> {
        // No code panics while it holds this mutex, so a poisoned mutex is not
        // an error.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, resource: u64, access: Access) {
        let mut entries = self.entries();
        let hash_map::Entry::Occupied(mut entry) = entries.entry(resource) else { return };
        let woken = entry.get_mut().release(access);
        if entry.get().is_idle() {
            entry.remove();
        }
        // A woken task may access the locks at once, so the mutex is released first.
        drop(entries);
        woken.into_iter().for_each(Waker::wake);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries().len()
    }
}

/// Shows that a write holds a lock. Dropping this value releases the lock.
#[derive(Debug)]
struct Acquired {
    locks: Arc<Locks>,
    resource: u64,
    access: Access,
}

impl Drop for Acquired {
    fn drop(&mut self) {
        self.locks.release(self.resource, self.access);
    }
}

/// The lock as one write sees it: requested, held, or released. Dropping this value
/// releases the lock, or ends the wait for it.
#[derive(Debug)]
pub(super) struct WriteLock {
    locks: Arc<Locks>,
    resource: u64,
    access: Access,
    state: LockState,
    held: Arc<HeldLock>,
    /// The locks of the outer writes to this resource, if this write is nested.
    outer: Vec<Arc<HeldLock>>,
}

#[derive(Debug)]
enum LockState {
    New,
    Waiting { ticket: u64 },
    Held,
    Released,
}

impl WriteLock {
    /// Makes the `WriteLock` of a write to a resource. If the write is nested, `marks`
    /// show the outer writes.
    pub(super) fn new(
        locks: &Arc<Locks>,
        resource: u64,
        access: Access,
        marks: Option<&Marks>,
    ) -> Self {
        Self {
            locks: Arc::clone(locks),
            resource,
            access,
            state: LockState::New,
            held: Arc::new(HeldLock::new(resource)),
            outer: marks.map(|marks| marks.outer(locks, resource)).unwrap_or_default(),
        }
    }

    /// Waits until this write holds the lock.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.state, LockState::New | LockState::Waiting { .. }) {
            // Ask to be woken before looking. Otherwise an outer write could take its lock
            // in between, and this write would miss that.
            self.outer.iter().for_each(|outer| outer.wake_when_taken(cx.waker()));
            self.share();
        }
        let mut entries = self.locks.entries();
        let is_acquired = match self.state {
            LockState::New => {
                let entry = entries.entry(self.resource).or_default();
                let is_acquired = entry.try_acquire(self.access);
                if !is_acquired {
                    let ticket = entry.next_ticket;
                    entry.next_ticket += 1;
                    entry.waiting(self.access).insert(ticket, cx.waker().clone());
                    self.state = LockState::Waiting { ticket };
                }
                is_acquired
            }
            LockState::Waiting { ticket } => {
                let waiting = entries
                    .get_mut(&self.resource)
                    .and_then(|entry| entry.waiting(self.access).get_mut(&ticket));
                match waiting {
                    Some(waker) => {
                        waker.clone_from(cx.waker());
                        false
                    }
                    // The previous holder has handed over the lock to this write.
                    None => true,
                }
            }
            LockState::Held | LockState::Released => return Poll::Ready(()),
        };
        drop(entries);
        if !is_acquired {
            return Poll::Pending;
        }
        self.take();
        Poll::Ready(())
    }

    /// Takes the lock if it is free.
    pub(super) fn try_acquire(&mut self) -> bool {
        if matches!(self.state, LockState::New) {
            self.share();
        }
        if !matches!(self.state, LockState::New) {
            return matches!(self.state, LockState::Held);
        }
        let mut entries = self.locks.entries();
        // If this line adds a lock to the map, the lock is free and is taken at once.
        // So the map keeps no lock without a holder.
        let is_acquired = entries.entry(self.resource).or_default().try_acquire(self.access);
        drop(entries);
        if is_acquired {
            self.take();
        }
        is_acquired
    }

    /// Shares the lock of an outer write, if that write holds a sufficient lock by now.
    ///
    /// Deliberately this is decided only when the nested write needs the lock, not
    /// when it begins. An outer write whose content is forwarded as it comes takes its
    /// lock at the end of the content. A nested write that reads this content begins
    /// before that.
    fn share(&mut self) {
        if let Some(acquired) = share(&self.outer, self.access) {
            // The nested write may be waiting for a lock of its own.
            self.release();
            self.hold(acquired);
        }
    }

    fn take(&mut self) {
        self.hold(Arc::new(Acquired {
            locks: Arc::clone(&self.locks),
            resource: self.resource,
            access: self.access,
        }));
    }

    fn hold(&mut self, acquired: Arc<Acquired>) {
        self.state = LockState::Held;
        self.held.put(acquired);
    }

    /// Releases the lock, or stops waiting for it.
    pub(super) fn release(&mut self) {
        match std::mem::replace(&mut self.state, LockState::Released) {
            LockState::Held => self.held.release(),
            LockState::Waiting { ticket } => {
                let mut entries = self.locks.entries();
                let entry = entries.get_mut(&self.resource);
                let is_waiting =
                    entry.is_some_and(|entry| entry.waiting(self.access).remove(&ticket).is_some());
                drop(entries);
                if !is_waiting {
                    // The lock was handed over to this write, which has not been polled
                    // since.
                    self.locks.release(self.resource, self.access);
                }
            }
            LockState::New | LockState::Released => {}
        }
    }

    /// Returns the lock to put into the mark of this write.
    pub(super) fn held(&self) -> &Arc<HeldLock> {
        &self.held
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests;
