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
    /// Makes the default timeouts: 500 ms for content of known size, and zero for
    /// content of unknown size.
    pub fn new() -> Self {
        Self { known_size: Duration::from_millis(500), unknown_size: Duration::ZERO }
    }

    /// Sets the timeout for content of known size. Default: 500 ms.
    ///
    /// The size is known if there is a `Content-Length`, or if the body's size hint is
    /// exact. With zero, the layer does not wait: content that is not ready at once
    /// gets no tag.
    pub fn known_size(self, timeout: Duration) -> Self {
        Self { known_size: timeout, ..self }
    }

    /// Sets the timeout for content of unknown size. Default: zero.
    ///
    /// Set it for content that is generated in several steps within a short time.
    /// Examples are a page that an inner layer compresses, and a page whose parts
    /// come through a channel. Leave it at zero if the inner service sends streams:
    /// their first bytes would be delayed by up to this timeout. By default, streams
    /// that the layer recognises by their media type, such as `text/event-stream`,
    /// are not delayed.
    pub fn unknown_size(self, timeout: Duration) -> Self {
        Self { unknown_size: timeout, ..self }
    }

    /// Returns the timeout for content of known or unknown size.
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

/// The state of the wait for one body.
///
/// When a body is not ready, the layer wakes the task, and polls the body once more. A
/// body that only yielded to the scheduler (`yield_now`), or had used up Tokio's
/// cooperative budget, is probably ready at this second poll. A body that waits for I/O
/// is probably not. If the body is still not ready, a timer starts. With a timeout of
/// zero there is no timer, and the layer stops waiting.
#[derive(Debug, Default)]
pub(super) struct BodyWait {
    woken: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl BodyWait {
    /// Allows one more poll before a timer starts, because the body made progress.
    pub(super) fn reset(&mut self) {
        self.woken = false;
    }

    /// Returns true if the task should keep waiting for a body that is not ready.
    ///
    /// If so, the task will be woken.
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
