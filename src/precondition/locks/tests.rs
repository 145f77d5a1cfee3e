use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;

const ALONE: Access = Access::Exclusive;
const TOGETHER: Access = Access::Shared;

fn lock(locks: &Arc<Locks>, resource: u64, access: Access) -> WriteLock {
    WriteLock::new(locks, resource, access, None)
}

/// Makes the lock of a write that the handler of another write sends.
fn nested(locks: &Arc<Locks>, outer: &WriteLock, access: Access) -> WriteLock {
    let mut marks = Marks::default();
    marks.add(locks, Arc::clone(outer.held()));
    WriteLock::new(locks, 1, access, Some(&marks))
}

fn poll(lock: &mut WriteLock) -> bool {
    lock.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_lock_lasts_as_long_as_somebody_wants_it() {
    let locks = Arc::default();
    let [mut first, mut second, mut third] = [ALONE, ALONE, TOGETHER].map(|a| lock(&locks, 1, a));
    let mut other = lock(&locks, 2, ALONE);
    assert!(poll(&mut first) && poll(&mut other) && !poll(&mut second) && !poll(&mut third));
    assert_eq!(locks.len(), 2);
    drop(other);
    assert_eq!(locks.len(), 1);
    drop(third);
    drop(first);
    assert!(poll(&mut second));
    drop(second);
    assert_eq!(locks.len(), 0);
}

#[test]
fn who_checks_nothing_waits_only_for_one_who_holds_the_lock_alone() {
    let locks = Arc::default();
    let [mut one, mut two, mut late] = [TOGETHER; 3].map(|access| lock(&locks, 1, access));
    let mut alone = lock(&locks, 1, ALONE);
    assert!(poll(&mut one) && !poll(&mut alone));
    assert!(poll(&mut two), "it does not wait for one that waits");
    drop((one, two));
    assert!(poll(&mut alone) && !poll(&mut late));
    alone.release();
    assert!(poll(&mut late));
    drop(late);
    assert_eq!(locks.len(), 0);
}

#[test]
fn a_lock_that_is_tried_waits_for_nothing() {
    let locks = Arc::default();
    let [mut one, mut two] = [ALONE; 2].map(|access| lock(&locks, 1, access));
    assert!(one.try_acquire() && one.try_acquire() && !two.try_acquire());
    one.release();
    assert!(two.try_acquire() && !one.try_acquire());
    drop((one, two));
    assert_eq!(locks.len(), 0);
}

#[test]
fn a_nested_write_that_waits_leaves_the_queue_if_the_outer_one_gets_the_lock() {
    let locks = Arc::default();
    let [mut other, mut outer, mut late] = [ALONE; 3].map(|access| lock(&locks, 1, access));
    let mut nested = nested(&locks, &outer, ALONE);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    assert!(poll(&mut other) && !poll(&mut outer) && !poll(&mut late));
    assert!(nested.poll(&mut Context::from_waker(&waker)).is_pending());
    drop(other);
    assert!(!woken.0.load(SeqCst) && poll(&mut outer) && woken.0.load(SeqCst));
    assert!(poll(&mut nested));
    drop(outer);
    assert!(!poll(&mut late), "the nested write goes on");
    drop(nested);
    assert!(poll(&mut late));
    drop(late);
    assert_eq!(locks.len(), 0);
}

/// Whether a writer was woken since it was polled.
struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A writer waits for its lock, and releases it in the turn after it got the lock. An
/// impatient writer leaves at its second turn, with or without the lock.
struct Writer {
    lock: Option<WriteLock>,
    woken: Arc<Woken>,
    access: Access,
    is_impatient: bool,
    turns: usize,
    has_lock: bool,
}

impl Writer {
    fn takes_turn(&self) -> bool {
        let may_leave = self.is_impatient && self.turns > 0;
        self.lock.is_some() && (self.has_lock || may_leave || self.woken.0.load(SeqCst))
    }

    fn turn(&mut self) {
        if self.turns > 0 && (self.has_lock || self.is_impatient) {
            self.lock = None;
            self.has_lock = false;
        } else {
            self.woken.0.store(false, SeqCst);
            let waker = Waker::from(Arc::clone(&self.woken));
            let lock = self.lock.as_mut().unwrap();
            self.has_lock = lock.poll(&mut Context::from_waker(&waker)).is_ready();
        }
        self.turns += 1;
    }
}

/// Returns how each lock is held that one of the writers holds. Writers may share one.
fn held(writers: &[Writer]) -> Vec<Access> {
    let locks = writers.iter().filter_map(|writer| writer.lock.as_ref());
    let held = locks.filter_map(|lock| lock.held().acquired());
    let held: BTreeMap<_, _> = held.map(|held| (Arc::as_ptr(&held), held.access)).collect();
    held.into_values().collect()
}

/// Runs the writers in one order of turns. `choices` contains for each turn which of
/// the ready writers takes it, as an index. Missing choices are added as 0. Returns for
/// each turn how many writers were ready.
///
/// If the last writer `is_nested`, the first one sends it, and then waits for it.
fn play(kinds: [(Access, bool); 3], is_nested: bool, choices: &mut Vec<usize>) -> Vec<usize> {
    let locks = Arc::new(Locks::default());
    let mut writers = kinds.map(|(access, is_impatient)| Writer {
        lock: Some(lock(&locks, 1, access)),
        woken: Arc::new(Woken(AtomicBool::new(true))),
        access,
        is_impatient,
        turns: 0,
        has_lock: false,
    });
    if is_nested {
        let outer = writers[0].lock.as_ref().unwrap();
        writers[2].lock = Some(nested(&locks, outer, writers[2].access));
    }
    let mut widths = Vec::new();
    loop {
        let waits_for_nested = is_nested
            && writers[0].has_lock
            && !writers[0].is_impatient
            && writers[2].lock.is_some();
        let is_ready = |i: usize| writers[i].takes_turn() && !(i == 0 && waits_for_nested);
        let ready: Vec<_> = (0..3).filter(|&i| is_ready(i)).collect();
        if ready.is_empty() {
            break;
        }
        let turn = widths.len();
        if choices.len() == turn {
            choices.push(0);
        }
        widths.push(ready.len());
        let writer = ready[choices[turn]];
        let is_held_alone = locks.entries().get(&1).is_some_and(|entry| entry.is_exclusive);
        writers[writer].turn();
        let case = || format!("{kinds:?} {is_nested} {choices:?}");
        if writers[writer].access == TOGETHER && writers[writer].lock.is_some() {
            let waits = !writers[writer].has_lock;
            assert!(!waits || is_held_alone, "a plain write waits for one that waits: {}", case());
        }
        let held = held(&writers);
        assert!(held.len() < 2 || !held.contains(&ALONE), "not alone: {}", case());
    }
    let case = || format!("{kinds:?} {is_nested} {choices:?}");
    assert!(writers.iter().all(|writer| writer.lock.is_none()), "{}: it hangs", case());
    assert_eq!(locks.len(), 0, "{}", case());
    assert_eq!(Arc::strong_count(&locks), 1, "{}", case());
    widths
}

/// Runs three writers of all kinds in every order of their turns. While an exclusive
/// write runs, no other write runs, but for a nested one. No writer waits for ever, and
/// no lock is left in the map.
#[test]
fn all_orders_of_three_writers_are_right() {
    let mut played = 0;
    let kinds = [(ALONE, false), (ALONE, true), (TOGETHER, false), (TOGETHER, true)];
    for code in 0..2 * 4_usize.pow(3) {
        let is_nested = code >= 64;
        let kinds = [code % 4, code / 4 % 4, code / 16 % 4].map(|kind| kinds[kind]);
        let mut choices = Vec::new();
        loop {
            let widths = play(kinds, is_nested, &mut choices);
            played += 1;
            // The next order increases the last choice that has a higher alternative.
            choices.truncate(widths.len());
            while choices.last().is_some_and(|&last| last + 1 == widths[choices.len() - 1]) {
                choices.pop();
            }
            match choices.last_mut() {
                Some(last) => *last += 1,
                None => break,
            }
        }
    }
    assert!(played > 8_000, "{played} orders");
}
