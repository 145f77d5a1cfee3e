//! How long a body may keep the client waiting.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use crate::timer::Timer;

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
