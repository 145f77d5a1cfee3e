//! One lock for each resource that is being written, for as long as somebody writes it
//! or waits to.

use std::{
    collections::{hash_map::RandomState, HashMap},
    future::Future,
    hash::{BuildHasher, Hash, Hasher},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{ready, Context, Poll},
};

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
    request, Extensions, HeaderValue, Method,
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::{
    exchange::Target,
    store::{path, KeyFn},
};

/// The resources of one layer, their names and locks.
pub(super) struct Resources {
    hash: RandomState,
    key: Option<Box<KeyFn>>,
    locks: Arc<Locks>,
}

impl Resources {
    pub(super) fn new(key: Option<Box<KeyFn>>) -> Self {
        Self { hash: RandomState::new(), key, locks: Arc::default() }
    }

    /// Makes a lock to write what a request is about. Within another write, which holds
    /// the lock that it needs, it has come.
    ///
    /// Two resources under one name wait for each other; one under two names would not
    /// be protected. So by default only the path counts, however it is spelled.
    pub(super) fn lock_for(&self, parts: &request::Parts, access: Access) -> WriteLock {
        let held = parts.extensions.get::<HeldLocks>();
        let mut hasher = self.hash.build_hasher();
        match &self.key {
            Some(key) => key(parts, &mut hasher),
            None => decoded(path(parts, held.is_some()).as_bytes())
                .for_each(|byte| byte.hash(&mut hasher)),
        }
        let place = LockEntry { locks: Arc::clone(&self.locks), resource: hasher.finish() };
        let of_this = || held.iter().flat_map(|held| held.of(place.id()));
        let asked = (access == Access::Exclusive).then(|| Guarded::of(parts));
        let shared = of_this().find_map(|hold| Some((hold.access, hold.guard().clone()?)));
        let (held_access, guard, is_checked, state) = match shared {
            Some((held, guard)) if access == Access::Shared || held == Access::Exclusive => {
                let is_checked = asked
                    .as_ref()
                    .is_some_and(|asked| of_this().any(|hold| hold.is_of(parts, asked)));
                (held, Some(guard), is_checked, LockState::Held)
            }
            // Writes that check nothing leave the resource to the one that they send, or they would
            // wait for each other.
            _ => {
                of_this().for_each(HeldLock::release);
                (access, None, false, LockState::New)
            }
        };
        let hold = HeldLock {
            id: place.id(),
            access: held_access,
            asked: Mutex::new(asked),
            guard: Mutex::new(guard),
        };
        WriteLock { hold: Arc::new(hold), is_checked, state, place }
    }
}

/// A write with preconditions, to know it again.
struct Guarded {
    target: Target,
    method: Method,
    /// The lines of each precondition, and `None` behind them.
    lines: Vec<Option<HeaderValue>>,
}

impl Guarded {
    fn of(parts: &request::Parts) -> Self {
        let fields = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].into_iter();
        let lines = fields
            .flat_map(|name| parts.headers.get_all(name).iter().cloned().map(Some).chain([None]));
        let target = Target::new(&parts.uri, &parts.extensions);
        Self { target, method: parts.method.clone(), lines: lines.collect() }
    }
}

/// Returns the bytes that a path stands for: `%6e` is `n`.
fn decoded(mut path: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    std::iter::from_fn(move || {
        let (byte, rest) = match path {
            [b'%', high, low, rest @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                (digit(*high)? << 4 | digit(*low)?, rest)
            }
            [byte, rest @ ..] => (*byte, rest),
            [] => return None,
        };
        path = rest;
        Some(byte)
    })
}

/// In the extensions of a write: the locks that are held for it. The same layer further
/// in has not to wait for them.
#[derive(Clone, Default)]
struct HeldLocks(Vec<Arc<HeldLock>>);

impl HeldLocks {
    fn of(&self, id: (usize, u64)) -> impl Iterator<Item = &HeldLock> {
        self.0.iter().map(|hold| &**hold).filter(move |hold| hold.id == id)
    }
}

/// A lock, held from the lock of a write to its end, and to that of the writes inside
/// it.
struct HeldLock {
    id: (usize, u64),
    /// How the lock is held.
    access: Access,
    /// `None` for a write without preconditions, and once the same layer has met it
    /// again.
    asked: Mutex<Option<Guarded>>,
    /// `None` before and after: extensions may outlive the write that they are of.
    guard: Mutex<Option<Arc<Guard>>>,
}

impl HeldLock {
    /// Returns true, once, if a request is the write that this is held for, met again:
    /// its judgement stands.
    fn is_of(&self, parts: &request::Parts, now: &Guarded) -> bool {
        let is_same = |first: &mut Guarded| {
            let is_alike = first.method == now.method && first.lines == now.lines;
            is_alike && first.target.is(&parts.uri, &parts.extensions)
        };
        let is_held = self.guard().is_some();
        is_held
            && self.asked.lock().unwrap_or_else(PoisonError::into_inner).take_if(is_same).is_some()
    }

    fn guard(&self) -> MutexGuard<'_, Option<Arc<Guard>>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self) {
        let guard = self.guard().take();
        // Others wake up now, and may look at this.
        drop(guard);
    }
}

/// As many locks as there are resources with a write under way.
#[derive(Default)]
struct Locks {
    held: Mutex<HashMap<u64, Arc<RwLock<()>>>>,
}

/// How a write goes with others on the same resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Alone: nobody writes between its check and its end.
    Exclusive,
    /// Together with others that check nothing.
    Shared,
}

impl Locks {
    fn held(&self) -> MutexGuard<'_, HashMap<u64, Arc<RwLock<()>>>> {
        // Nothing panics while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.held().len()
    }
}

/// A lock to write: waited for, then held until it is dropped.
pub(super) struct WriteLock {
    hold: Arc<HeldLock>,
    is_checked: bool,
    // The fields are dropped in this order: nobody waits any more when the place is looked at.
    state: LockState,
    place: LockEntry,
}

impl WriteLock {
    /// Waits until it is this one's lock.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.enqueue();
        if let LockState::Waiting(waiting) = &mut self.state {
            let guard = ready!(waiting.as_mut().poll(cx));
            self.take(guard);
        }
        Poll::Ready(())
    }

    /// Returns true if nobody has to be waited for; the lock is this one's then.
    pub(super) fn try_acquire(&mut self) -> bool {
        self.enqueue();
        matches!(self.state, LockState::Held)
    }

    /// Returns true if the write was evaluated when this layer met it first.
    pub(super) fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// Notes in a request's extensions whose lock it is.
    pub(super) fn mark(&self, extensions: &mut Extensions) {
        extensions.get_or_insert_default::<HeldLocks>().0.push(Arc::clone(&self.hold));
    }

    fn enqueue(&mut self) {
        if !matches!(self.state, LockState::New) {
            return;
        }
        let lock = Arc::clone(self.place.locks.held().entry(self.place.resource).or_default());
        let guard = match self.hold.access {
            Access::Exclusive => Arc::clone(&lock).try_write_owned().map(Guard::Exclusive),
            Access::Shared => Arc::clone(&lock).try_read_owned().map(Guard::Shared),
        };
        match (guard, self.hold.access) {
            (Ok(guard), _) => self.take(guard),
            (Err(_), Access::Exclusive) => {
                self.wait(async { Guard::Exclusive(lock.write_owned().await) })
            }
            (Err(_), Access::Shared) => self.wait(async { Guard::Shared(lock.read_owned().await) }),
        }
    }

    fn wait(&mut self, guard: impl Future<Output = Guard> + Send + Sync + 'static) {
        self.state = LockState::Waiting(Box::pin(guard));
    }

    fn take(&mut self, guard: Guard) {
        *self.hold.guard() = Some(Arc::new(guard));
        self.state = LockState::Held;
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        self.hold.release();
    }
}

enum LockState {
    New,
    Waiting(Pin<Box<dyn Future<Output = Guard> + Send + Sync>>),
    Held,
}

#[expect(dead_code, reason = "a guard is held, not read")]
enum Guard {
    Exclusive(OwnedRwLockWriteGuard<()>),
    Shared(OwnedRwLockReadGuard<()>),
}

/// Takes the lock of a resource out of the map when the last one leaves it.
struct LockEntry {
    locks: Arc<Locks>,
    resource: u64,
}

impl LockEntry {
    fn id(&self) -> (usize, u64) {
        (Arc::as_ptr(&self.locks).addr(), self.resource)
    }
}

impl Drop for LockEntry {
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

    use http::Request;

    use super::*;

    fn enqueue(resources: &Resources, uri: &str, access: Access) -> WriteLock {
        let parts = Request::put(uri).body(()).unwrap().into_parts().0;
        let mut lock = resources.lock_for(&parts, access);
        lock.enqueue();
        lock
    }

    #[test]
    fn a_lock_lasts_as_long_as_somebody_wants_it() {
        let mut cx = Context::from_waker(Waker::noop());
        let resources = Resources::new(None);
        let mut first = enqueue(&resources, "/1", Access::Exclusive);
        let mut second = enqueue(&resources, "/1", Access::Exclusive);
        let mut third = enqueue(&resources, "/1", Access::Shared);
        let mut other = enqueue(&resources, "/2", Access::Exclusive);
        assert!(
            first.try_acquire()
                && other.try_acquire()
                && !second.try_acquire()
                && !third.try_acquire()
        );
        assert_eq!(resources.locks.len(), 2);

        drop(other);
        assert_eq!(resources.locks.len(), 1);
        assert!(second.poll(&mut cx).is_pending());
        drop(third);
        drop(first);
        assert!(second.poll(&mut cx).is_ready());
        drop(second);
        assert_eq!(resources.locks.len(), 0);
    }

    #[test]
    fn who_checks_nothing_waits_only_for_those_who_do() {
        let mut cx = Context::from_waker(Waker::noop());
        let resources = Resources::new(None);
        let together = || enqueue(&resources, "/", Access::Shared);
        let (mut one, mut two) = (together(), together());
        let mut alone = enqueue(&resources, "/", Access::Exclusive);
        assert!(one.try_acquire() && two.try_acquire() && alone.poll(&mut cx).is_pending());
        // In the order of their coming, so that nobody waits for ever.
        let mut late = together();
        assert!(late.poll(&mut cx).is_pending());
        drop((one, two));
        assert!(alone.poll(&mut cx).is_ready() && late.poll(&mut cx).is_pending());
        drop(alone);
        assert!(late.poll(&mut cx).is_ready());
        drop(late);
        assert_eq!(resources.locks.len(), 0);
    }

    #[test]
    fn one_resource_has_one_name_however_it_is_spelt() {
        let resources = Resources::new(None);
        let id = |uri| enqueue(&resources, uri, Access::Shared).place.id();
        for same in
            ["/note", "/%6eote", "/%6Eote", "http://a/note", "http://A:80/note", "/note?x=1"]
        {
            assert_eq!(id("/note"), id(same), "{same}");
        }
        for other in ["/notes", "/", "/note/", "/%6", "/%zz", "/%", "/Note"] {
            assert_ne!(id("/note"), id(other), "{other}");
        }
    }
}
