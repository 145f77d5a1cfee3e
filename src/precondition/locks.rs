//! One lock for each resource that is being written.
//!
//! A write with preconditions holds it alone, from the check to the response. Writes
//! without preconditions hold it together: they wait for one that holds it alone, and
//! never for one that still waits. So nothing that is slow to come delays them.

use std::{
    collections::{hash_map, BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

mod held;

pub(super) use self::held::{HeldLock, Marks};

/// How a write goes with others on the same resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Alone: nothing else writes between its check and its end.
    Exclusive,
    /// Together with others that check nothing.
    Shared,
}

/// The locks of one guard: as many as there are resources with a write under way.
#[derive(Debug, Default)]
pub(super) struct Locks {
    entries: Mutex<HashMap<u64, Entry>>,
}

/// The lock of one resource, while a write to it is under way.
#[derive(Debug, Default)]
struct Entry {
    is_exclusive: bool,
    /// How many shared writes hold it.
    shared: usize,
    /// The exclusive writes that wait, first come first. One that was removed has the
    /// lock.
    waiting_alone: BTreeMap<u64, Waker>,
    /// The shared writes that wait, while an exclusive one holds the lock.
    waiting_together: BTreeMap<u64, Waker>,
    next_ticket: u64,
}

impl Entry {
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

    /// Releases the lock, and hands it to the writes that wait; returns their wakers.
    fn release(&mut self, access: Access) -> Vec<Waker> {
        match access {
            Access::Exclusive => self.is_exclusive = false,
            Access::Shared => self.shared -= 1,
        }
        let mut woken: Vec<_> = std::mem::take(&mut self.waiting_together).into_values().collect();
        self.shared += woken.len();
        if self.shared == 0 {
            if let Some((_, waker)) = self.waiting_alone.pop_first() {
                self.is_exclusive = true;
                woken.push(waker);
            }
        }
        woken
    }

    fn is_idle(&self) -> bool {
        // A write that waits, waits for one that holds the lock.
        !self.is_exclusive && self.shared == 0
    }
}

impl Locks {
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // Nothing panics while it is held.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, resource: u64, access: Access) {
        let mut entries = self.entries();
        let hash_map::Entry::Occupied(mut entry) = entries.entry(resource) else { return };
        let woken = entry.get_mut().release(access);
        if entry.get().is_idle() {
            entry.remove();
        }
        // A task that wakes up may look at the locks at once.
        drop(entries);
        woken.into_iter().for_each(Waker::wake);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries().len()
    }
}

/// A lock that is held until this is dropped.
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

/// A lock to write: waited for, then held until it is released or dropped.
#[derive(Debug)]
pub(super) struct WriteLock {
    locks: Arc<Locks>,
    resource: u64,
    access: Access,
    state: LockState,
    hold: Arc<HeldLock>,
}

#[derive(Debug)]
enum LockState {
    New,
    Waiting { ticket: u64 },
    Held,
    Released,
}

impl WriteLock {
    /// Makes a lock for a resource. A write inside another one that holds the lock
    /// already, as `marks` say, has it from the start.
    pub(super) fn new(
        locks: &Arc<Locks>,
        resource: u64,
        access: Access,
        marks: Option<&Marks>,
    ) -> Self {
        let outer = marks.and_then(|marks| marks.share(locks, resource, access));
        let state = if outer.is_some() { LockState::Held } else { LockState::New };
        let hold = Arc::new(HeldLock::new(resource, outer));
        Self { locks: Arc::clone(locks), resource, access, state, hold }
    }

    /// Waits until the lock is held.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
                    // Its last holder has handed it on.
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

    /// Takes the lock if nothing has to be waited for.
    pub(super) fn try_acquire(&mut self) -> bool {
        if !matches!(self.state, LockState::New) {
            return matches!(self.state, LockState::Held);
        }
        let mut entries = self.locks.entries();
        // An entry is made for a holder, so one that is new is always free.
        let is_acquired = entries.entry(self.resource).or_default().try_acquire(self.access);
        drop(entries);
        if is_acquired {
            self.take();
        }
        is_acquired
    }

    fn take(&mut self) {
        self.state = LockState::Held;
        self.hold.put(Acquired {
            locks: Arc::clone(&self.locks),
            resource: self.resource,
            access: self.access,
        });
    }

    /// Gives the lock back, or no longer waits for it.
    pub(super) fn release(&mut self) {
        match std::mem::replace(&mut self.state, LockState::Released) {
            LockState::Held => self.hold.release(),
            LockState::Waiting { ticket } => {
                let mut entries = self.locks.entries();
                let entry = entries.get_mut(&self.resource);
                let is_waiting =
                    entry.is_some_and(|entry| entry.waiting(self.access).remove(&ticket).is_some());
                drop(entries);
                if !is_waiting {
                    // It was handed over, and not yet looked at.
                    self.locks.release(self.resource, self.access);
                }
            }
            LockState::New | LockState::Released => {}
        }
    }

    /// Returns what the extensions of the request are to say of this lock.
    pub(super) fn hold(&self) -> &Arc<HeldLock> {
        &self.hold
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests;
