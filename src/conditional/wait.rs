//! Limits how long a body may keep the client waiting.

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
/// The first time a body is not ready, the task wakes itself once: a body that yields,
/// or has used up Tokio's cooperative budget, is not waiting for I/O. If it is still
/// not ready, a timer starts, if waiting is allowed at all.
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

    /// Returns true if the task should keep waiting for a body that is not ready; it
    /// will be woken.
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
