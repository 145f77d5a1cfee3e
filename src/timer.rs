//! Tokio's timers, where there are any.

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

/// Makes Tokio's timers where there are any.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    /// A runtime without timers was met.
    missing: AtomicBool,
}

impl Timer {
    /// Returns a timer, or `None` outside a Tokio runtime and in one without timers.
    pub(crate) fn sleep(&self, duration: Duration) -> Option<Pin<Box<Sleep>>> {
        Handle::try_current().ok()?;
        if self.missing.load(Ordering::Relaxed) {
            return None;
        }
        // Deliberately caught: a runtime built without `enable_time` cannot be told
        // from others but by this panic.
        let timer = panic::catch_unwind(|| Box::pin(sleep(duration))).ok();
        if timer.is_none() {
            self.missing.store(true, Ordering::Relaxed);
        }
        timer
    }
}
