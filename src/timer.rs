//! Waits with Tokio's timers, if the runtime has them.

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

#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// True once a runtime without timers was found. No timer is made after that.
    missing: AtomicBool,
}

impl Timer {
    /// Returns a timer. `None` outside of a Tokio runtime, and in a Tokio runtime
    /// without timers.
    pub(crate) fn sleep(&self, duration: Duration) -> Option<Pin<Box<Sleep>>> {
        Handle::try_current().ok()?;
        if self.missing.load(Ordering::Relaxed) {
            return None;
        }
        // Tokio panics if the runtime was built without `enable_time`. The panic is
        // deliberately caught: Tokio has no function that tells whether there are timers.
        let timer = panic::catch_unwind(|| Box::pin(sleep(duration))).ok();
        if timer.is_none() {
            self.missing.store(true, Ordering::Relaxed);
        }
        timer
    }
}
