//! Tokio's timers, if there are any.

use std::{
    panic,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{sleep, Sleep},
};

/// Makes Tokio's timers, if there are any.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// The runtime has no timers.
    missing: AtomicBool,
}

impl Timer {
    /// Returns a timer. `None` outside of a Tokio runtime, and in one without timers.
    pub(crate) fn sleep(&self, duration: Duration) -> Option<Pin<Box<Sleep>>> {
        Handle::try_current().ok()?;
        if self.missing.load(Ordering::Relaxed) {
            return None;
        }
        // Deliberately caught: only this panic shows that a runtime was built without
        // `enable_time`.
        let timer = panic::catch_unwind(|| Box::pin(sleep(duration))).ok();
        if timer.is_none() {
            self.missing.store(true, Ordering::Relaxed);
        }
        timer
    }
}
