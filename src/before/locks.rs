//! One lock for each resource that is being written, for as long as somebody writes it or waits to.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{ready, Context, Poll},
};

use http::request;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::representation::{KeyFn, Keys};

/// The resources of one layer, their names and locks.
pub(super) struct Resources {
    keys: Keys,
    key: Option<Box<KeyFn>>,
    locks: Arc<Locks>,
}

impl Resources {
    pub(super) fn new(key: Option<Box<KeyFn>>) -> Self {
        Self { keys: Keys::new(), key, locks: Arc::default() }
    }

    /// Gets in line for the lock of the resource that a request is about.
    pub(super) fn line_up(&self, parts: &request::Parts, mode: Mode) -> Turn {
        self.locks.line_up(self.keys.request(parts, self.key.as_deref()).resource(), mode)
    }
}

/// As many locks as there are resources with a write under way.
#[derive(Default)]
struct Locks {
    held: Mutex<HashMap<u128, Arc<RwLock<()>>>>,
}

/// How a write goes with others on the same resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// Alone: nobody writes between its check and its end.
    Alone,
    /// Together with others that check nothing.
    Together,
}

impl Locks {
    /// Gets in line for the lock of a resource.
    fn line_up(self: &Arc<Self>, resource: u128, mode: Mode) -> Turn {
        let lock = Arc::clone(self.held().entry(resource).or_default());
        Turn { state: State::new(lock, mode), _place: Place { locks: Arc::clone(self), resource } }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<u128, Arc<RwLock<()>>>> {
        // Nothing panics while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.held().len()
    }
}

/// A turn to write: waited for, then held until it is dropped.
pub(super) struct Turn {
    // The fields are dropped in this order: the lock is let go of before its place is looked at.
    state: State,
    _place: Place,
}

impl Turn {
    /// Waits until it is this one's turn.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Waiting(waiting) = &mut self.state {
            let guard = ready!(waiting.as_mut().poll(cx));
            self.state = State::Held { _guard: guard };
        }
        Poll::Ready(())
    }

    /// Returns true if nobody has to be waited for.
    pub(super) fn has_come(&self) -> bool {
        matches!(self.state, State::Held { .. })
    }
}

enum State {
    Waiting(Pin<Box<dyn Future<Output = Guard> + Send + Sync>>),
    Held { _guard: Guard },
}

impl State {
    fn new(lock: Arc<RwLock<()>>, mode: Mode) -> Self {
        let guard = match mode {
            Mode::Alone => Arc::clone(&lock).try_write_owned().map(Guard::Alone),
            Mode::Together => Arc::clone(&lock).try_read_owned().map(Guard::Together),
        };
        match (guard, mode) {
            (Ok(guard), _) => Self::Held { _guard: guard },
            (Err(_), Mode::Alone) => Self::Waiting(Box::pin(async { Guard::Alone(lock.write_owned().await) })),
            (Err(_), Mode::Together) => Self::Waiting(Box::pin(async { Guard::Together(lock.read_owned().await) })),
        }
    }
}

#[expect(dead_code, reason = "a guard is held, not read")]
enum Guard {
    Alone(OwnedRwLockWriteGuard<()>),
    Together(OwnedRwLockReadGuard<()>),
}

/// Takes the lock of a resource out of the map when the last one leaves it.
struct Place {
    locks: Arc<Locks>,
    resource: u128,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.locks.held();
        if held.get(&self.resource).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            held.remove(&self.resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_lock_lasts_as_long_as_somebody_wants_it() {
        let mut cx = Context::from_waker(Waker::noop());
        let locks = Arc::new(Locks::default());
        let first = locks.line_up(1, Mode::Alone);
        let mut second = locks.line_up(1, Mode::Alone);
        let third = locks.line_up(1, Mode::Together);
        let other = locks.line_up(2, Mode::Alone);
        assert!(first.has_come() && other.has_come() && !second.has_come() && !third.has_come());
        assert_eq!(locks.len(), 2);

        drop(other);
        assert_eq!(locks.len(), 1);
        assert!(second.poll(&mut cx).is_pending());
        drop(third);
        drop(first);
        assert!(second.poll(&mut cx).is_ready());
        drop(second);
        assert_eq!(locks.len(), 0);
    }

    #[test]
    fn who_checks_nothing_waits_only_for_those_who_do() {
        let mut cx = Context::from_waker(Waker::noop());
        let locks = Arc::new(Locks::default());
        let (one, two) = (locks.line_up(1, Mode::Together), locks.line_up(1, Mode::Together));
        let mut alone = locks.line_up(1, Mode::Alone);
        assert!(one.has_come() && two.has_come() && alone.poll(&mut cx).is_pending());
        // In the order of their coming, so that nobody waits for ever.
        let mut late = locks.line_up(1, Mode::Together);
        assert!(late.poll(&mut cx).is_pending());
        drop((one, two));
        assert!(alone.poll(&mut cx).is_ready() && late.poll(&mut cx).is_pending());
        drop(alone);
        assert!(late.poll(&mut cx).is_ready());
        drop(late);
        assert_eq!(locks.len(), 0);
    }
}
