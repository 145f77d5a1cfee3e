//! How long a body may keep the client waiting.

use std::{
    future::Future,
    panic,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{sleep, Sleep},
};

/// The wait with one body.
///
/// The first time a body is not ready, the task wakes itself once: cooperative budgets
/// and yields are no I/O. If that brings nothing, a timer is made, if waiting is
/// allowed at all.
#[derive(Debug, Default)]
pub(super) struct BodyWait {
    woken: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl BodyWait {
    /// Resets the grace poll: the body made progress.
    pub(super) fn reset(&mut self) {
        self.woken = false;
    }

    /// Says whether to go on waiting for a body that is not ready; if so, the task will
    /// be woken.
    pub(super) fn waits(&mut self, timeout: Duration, timer: &Timer, cx: &mut Context<'_>) -> bool {
        if self.sleep.is_none() {
            if !self.woken {
                self.woken = true;
                cx.waker().wake_by_ref();
                return true;
            }
            if !timeout.is_zero() {
                self.sleep = timer.sleep(timeout);
            }
        }
        self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx) == Poll::Pending)
    }
}

/// Makes Tokio's timers where there are any.
#[derive(Debug, Default)]
pub(super) struct Timer {
    /// A runtime without timers was met.
    missing: AtomicBool,
}

impl Timer {
    /// Returns a timer, or `None` outside a Tokio runtime and in one without timers.
    fn sleep(&self, duration: Duration) -> Option<Pin<Box<Sleep>>> {
        Handle::try_current().ok()?;
        if self.missing.load(Ordering::Relaxed) {
            return None;
        }
        // Deliberately caught: a runtime built without `enable_time` cannot be told from others
        // but by this panic.
        let outgoing_tag = panic::catch_unwind(|| Box::pin(sleep(duration))).ok();
        if outgoing_tag.is_none() {
            self.missing.store(true, Ordering::Relaxed);
        }
        outgoing_tag
    }
}
