use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;

const ALONE: Access = Access::Exclusive;
const TOGETHER: Access = Access::Shared;

fn lock(locks: &Arc<Locks>, resource: u64, access: Access) -> WriteLock {
    WriteLock::new(locks, resource, access, None)
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

/// Runs the writers in one order of turns. `choices` contains for each turn which of
/// the ready writers takes it, as an index. Missing choices are added as 0. Returns for
/// each turn how many writers were ready.
fn play(kinds: [(Access, bool); 3], choices: &mut Vec<usize>) -> Vec<usize> {
    let locks = Arc::new(Locks::default());
    let mut writers = kinds.map(|(access, is_impatient)| Writer {
        lock: Some(lock(&locks, 1, access)),
        woken: Arc::new(Woken(AtomicBool::new(true))),
        access,
        is_impatient,
        turns: 0,
        has_lock: false,
    });
    let mut widths = Vec::new();
    loop {
        let ready: Vec<_> = (0..3).filter(|&i| writers[i].takes_turn()).collect();
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
        let case = || format!("{kinds:?} {choices:?}");
        if writers[writer].access == TOGETHER && writers[writer].lock.is_some() {
            let waits = !writers[writer].has_lock;
            assert!(!waits || is_held_alone, "a plain write waits for one that waits: {}", case());
        }
        let holders: Vec<_> = writers.iter().filter(|writer| writer.has_lock).collect();
        let alone = holders.iter().filter(|writer| writer.access == ALONE).count();
        assert!(alone == 0 || holders.len() == 1, "not alone: {}", case());
    }
    assert!(writers.iter().all(|writer| writer.lock.is_none()), "{kinds:?} {choices:?}: it hangs");
    assert_eq!(locks.len(), 0, "{kinds:?} {choices:?}");
    assert_eq!(Arc::strong_count(&locks), 1, "{kinds:?} {choices:?}");
    widths
}

/// Runs three writers of all kinds in every order of their turns. While an exclusive
/// write runs, no other write runs. No writer waits for ever, and no lock is left in
/// the map.
#[test]
fn all_orders_of_three_writers_are_right() {
    let mut played = 0;
    let kinds = [(ALONE, false), (ALONE, true), (TOGETHER, false), (TOGETHER, true)];
    for code in 0..4_usize.pow(3) {
        let kinds = [code % 4, code / 4 % 4, code / 16].map(|kind| kinds[kind]);
        let mut choices = Vec::new();
        loop {
            let widths = play(kinds, &mut choices);
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
    assert!(played > 4_000, "{played} orders");
}
