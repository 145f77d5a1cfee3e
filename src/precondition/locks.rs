//! One lock for each resource that is being written, for as long as somebody writes it or waits to.

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

    /// Makes a turn to write what a request is about. Within another write, which holds the lock that it needs, it has come.
    ///
    /// Two resources under one name wait for each other; one under two names would not be protected. So by default only the
    /// path counts, however it is spelt.
    pub(super) fn turn(&self, parts: &request::Parts, mode: Mode) -> Turn {
        let held = parts.extensions.get::<Held>();
        let mut hasher = self.hash.build_hasher();
        match &self.key {
            Some(key) => key(parts, &mut hasher),
            None => decoded(path(parts, held.is_some()).as_bytes()).for_each(|octet| octet.hash(&mut hasher)),
        }
        let place = Place { locks: Arc::clone(&self.locks), resource: hasher.finish() };
        let of_this = || held.iter().flat_map(|held| held.of(place.id()));
        let asked = (mode == Mode::Alone).then(|| Guarded::of(parts));
        let shared = of_this().find_map(|hold| Some((hold.mode, hold.guard().clone()?)));
        let (held_mode, guard, is_judged, state) = match shared {
            Some((held, guard)) if mode == Mode::Together || held == Mode::Alone => {
                let is_judged = asked.as_ref().is_some_and(|asked| of_this().any(|hold| hold.is_of(parts, asked)));
                (held, Some(guard), is_judged, State::Held)
            }
            // Writes that check nothing leave the resource to the one that they send, or they would wait for each other.
            _ => {
                of_this().for_each(Hold::let_go);
                (mode, None, false, State::New)
            }
        };
        let hold = Hold { id: place.id(), mode: held_mode, asked: Mutex::new(asked), guard: Mutex::new(guard) };
        Turn { hold: Arc::new(hold), is_judged, state, place }
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
        let lines = fields.flat_map(|name| parts.headers.get_all(name).iter().cloned().map(Some).chain([None]));
        let target = Target::new(&parts.uri, &parts.extensions);
        Self { target, method: parts.method.clone(), lines: lines.collect() }
    }
}

/// Returns the octets that a path stands for: `%6e` is `n`.
fn decoded(mut path: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    std::iter::from_fn(move || {
        let (octet, rest) = match path {
            [b'%', high, low, rest @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                (digit(*high)? << 4 | digit(*low)?, rest)
            }
            [octet, rest @ ..] => (*octet, rest),
            [] => return None,
        };
        path = rest;
        Some(octet)
    })
}

/// In the extensions of a write: the locks that are held for it. The same layer further in has not to wait for them.
#[derive(Clone, Default)]
struct Held(Vec<Arc<Hold>>);

impl Held {
    fn of(&self, id: (usize, u64)) -> impl Iterator<Item = &Hold> {
        self.0.iter().map(|hold| &**hold).filter(move |hold| hold.id == id)
    }
}

/// A lock, held from the turn of a write to its end, and to that of the writes inside it.
struct Hold {
    id: (usize, u64),
    /// How the lock is held.
    mode: Mode,
    /// `None` for a write without preconditions, and once the same layer has met it again.
    asked: Mutex<Option<Guarded>>,
    /// `None` before and after: extensions may outlive the write that they are of.
    guard: Mutex<Option<Arc<Guard>>>,
}

impl Hold {
    /// Returns true, once, if a request is the write that this is held for, met again: its judgement stands.
    fn is_of(&self, parts: &request::Parts, now: &Guarded) -> bool {
        let is_same = |first: &mut Guarded| {
            let is_alike = first.method == now.method && first.lines == now.lines;
            is_alike && first.target.is(&parts.uri, &parts.extensions)
        };
        let is_held = self.guard().is_some();
        is_held && self.asked.lock().unwrap_or_else(PoisonError::into_inner).take_if(is_same).is_some()
    }

    fn guard(&self) -> MutexGuard<'_, Option<Arc<Guard>>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self) {
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
pub(super) enum Mode {
    /// Alone: nobody writes between its check and its end.
    Alone,
    /// Together with others that check nothing.
    Together,
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

/// A turn to write: waited for, then held until it is dropped.
pub(super) struct Turn {
    hold: Arc<Hold>,
    is_judged: bool,
    // The fields are dropped in this order: nobody waits any more when the place is looked at.
    state: State,
    place: Place,
}

impl Turn {
    /// Waits until it is this one's turn.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.line_up();
        if let State::Waiting(waiting) = &mut self.state {
            let guard = ready!(waiting.as_mut().poll(cx));
            self.take(guard);
        }
        Poll::Ready(())
    }

    /// Returns true if nobody has to be waited for; the turn is this one's then.
    pub(super) fn has_come(&mut self) -> bool {
        self.line_up();
        matches!(self.state, State::Held)
    }

    /// Returns true if the write was judged when this layer met it first.
    pub(super) fn is_judged(&self) -> bool {
        self.is_judged
    }

    /// Notes in a request's extensions whose turn it is.
    pub(super) fn mark(&self, extensions: &mut Extensions) {
        extensions.get_or_insert_default::<Held>().0.push(Arc::clone(&self.hold));
    }

    fn line_up(&mut self) {
        if !matches!(self.state, State::New) {
            return;
        }
        let lock = Arc::clone(self.place.locks.held().entry(self.place.resource).or_default());
        let guard = match self.hold.mode {
            Mode::Alone => Arc::clone(&lock).try_write_owned().map(Guard::Alone),
            Mode::Together => Arc::clone(&lock).try_read_owned().map(Guard::Together),
        };
        match (guard, self.hold.mode) {
            (Ok(guard), _) => self.take(guard),
            (Err(_), Mode::Alone) => self.wait(async { Guard::Alone(lock.write_owned().await) }),
            (Err(_), Mode::Together) => self.wait(async { Guard::Together(lock.read_owned().await) }),
        }
    }

    fn wait(&mut self, guard: impl Future<Output = Guard> + Send + Sync + 'static) {
        self.state = State::Waiting(Box::pin(guard));
    }

    fn take(&mut self, guard: Guard) {
        *self.hold.guard() = Some(Arc::new(guard));
        self.state = State::Held;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.hold.let_go();
    }
}

enum State {
    New,
    Waiting(Pin<Box<dyn Future<Output = Guard> + Send + Sync>>),
    Held,
}

#[expect(dead_code, reason = "a guard is held, not read")]
enum Guard {
    Alone(OwnedRwLockWriteGuard<()>),
    Together(OwnedRwLockReadGuard<()>),
}

/// Takes the lock of a resource out of the map when the last one leaves it.
struct Place {
    locks: Arc<Locks>,
    resource: u64,
}

impl Place {
    fn id(&self) -> (usize, u64) {
        (Arc::as_ptr(&self.locks).addr(), self.resource)
    }
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

    use http::Request;

    use super::*;

    fn line_up(resources: &Resources, uri: &str, mode: Mode) -> Turn {
        let parts = Request::put(uri).body(()).unwrap().into_parts().0;
        let mut turn = resources.turn(&parts, mode);
        turn.line_up();
        turn
    }

    #[test]
    fn a_lock_lasts_as_long_as_somebody_wants_it() {
        let mut cx = Context::from_waker(Waker::noop());
        let resources = Resources::new(None);
        let mut first = line_up(&resources, "/1", Mode::Alone);
        let mut second = line_up(&resources, "/1", Mode::Alone);
        let mut third = line_up(&resources, "/1", Mode::Together);
        let mut other = line_up(&resources, "/2", Mode::Alone);
        assert!(first.has_come() && other.has_come() && !second.has_come() && !third.has_come());
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
        let together = || line_up(&resources, "/", Mode::Together);
        let (mut one, mut two) = (together(), together());
        let mut alone = line_up(&resources, "/", Mode::Alone);
        assert!(one.has_come() && two.has_come() && alone.poll(&mut cx).is_pending());
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
        let id = |uri| line_up(&resources, uri, Mode::Together).place.id();
        for same in ["/note", "/%6eote", "/%6Eote", "http://a/note", "http://A:80/note", "/note?x=1"] {
            assert_eq!(id("/note"), id(same), "{same}");
        }
        for other in ["/notes", "/", "/note/", "/%6", "/%zz", "/%", "/Note"] {
            assert_ne!(id("/note"), id(other), "{other}");
        }
    }
}
