//! Limits how long the layer waits for a body.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use crate::timer::Timer;

/// How long the layer waits for content before it sends the response.
///
/// See [`ConditionalLayer::body_timeout`](crate::ConditionalLayer::body_timeout).
///
/// # Examples
///
/// For pages that are rendered in several steps within a short time:
///
/// ```
/// use std::time::Duration;
///
/// use tower_conditional::{BodyTimeout, ConditionalLayer};
///
/// let timeout = BodyTimeout::new().unknown_size(Duration::from_millis(50));
/// let layer = ConditionalLayer::new().body_timeout(timeout);
/// # drop(layer);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct BodyTimeout {
    known_size: Duration,
    unknown_size: Duration,
}

impl BodyTimeout {
    /// Makes the timeouts with their defaults.
    pub fn new() -> Self {
        Self { known_size: Duration::from_millis(500), unknown_size: Duration::ZERO }
    }

    /// Sets the timeout for content of known size. Default: 500 ms.
    ///
    /// The size is known if there is a `Content-Length`, or if the body's size hint is
    /// exact. With zero, content must be ready at once.
    pub fn known_size(self, timeout: Duration) -> Self {
        Self { known_size: timeout, ..self }
    }

    /// Sets the timeout for content of unknown size. Default: zero.
    ///
    /// Set it for content that is generated in several steps within a short time, such
    /// as a page that is compressed or rendered from a channel. Leave it at zero if the
    /// inner service may stream: the wait would delay the first event of an event
    /// stream whose type is not `text/event-stream`.
    pub fn unknown_size(self, timeout: Duration) -> Self {
        Self { unknown_size: timeout, ..self }
    }

    /// Returns the timeout for one body.
    pub(super) fn of(self, has_known_size: bool) -> Duration {
        if has_known_size {
            self.known_size
        } else {
            self.unknown_size
        }
    }
}

impl Default for BodyTimeout {
    fn default() -> Self {
        Self::new()
    }
}

/// The wait for one body.
///
/// The first time a body is not ready, the task wakes itself once: a body that yields,
/// or has used up Tokio's cooperative budget, is not waiting for I/O. If the body is
/// still not ready, a timer starts, unless the timeout is zero.
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

    /// Returns true if the task should keep waiting for a body that is not ready.
    ///
    /// The task is then woken again.
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
