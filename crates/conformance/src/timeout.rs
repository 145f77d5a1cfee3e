//! Limits how long to wait for an answer, with any runtime or without one.

use std::{
    future::{poll_fn, Future},
    pin::pin,
    sync::{
        mpsc::{self, RecvTimeoutError, Sender},
        Arc, Mutex, PoisonError,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

/// Waits for `future`. Returns `None` if that takes longer than `timeout`.
pub(crate) async fn within<T>(timeout: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut timer = None;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            timer.get_or_insert_with(|| ThreadTimer::set(timeout)).poll(cx).map(|()| None)
        }
    })
    .await
}

/// A thread that sleeps for the timeout, and then wakes the task.
///
/// Deliberately this is not a timer of the runtime: tests run on many runtimes, and in
/// some of them there are no timers, or time is paused.
struct ThreadTimer {
    signal: Arc<Mutex<Signal>>,
    /// The thread ends early when this is dropped.
    _thread: Sender<()>,
}

#[derive(Default)]
struct Signal {
    is_set: bool,
    waker: Option<Waker>,
}

impl ThreadTimer {
    fn set(timeout: Duration) -> Self {
        let signal = Arc::<Mutex<Signal>>::default();
        let (sender, receiver) = mpsc::channel();
        let sent = Arc::clone(&signal);
        let sleep = move || {
            if receiver.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                let mut signal = sent.lock().unwrap_or_else(PoisonError::into_inner);
                signal.is_set = true;
                if let Some(waker) = signal.waker.take() {
                    waker.wake();
                }
            }
        };
        // On a platform without threads, nothing ends the wait.
        drop(thread::Builder::new().name("timeout".to_owned()).spawn(sleep));
        Self { signal, _thread: sender }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        if signal.is_set {
            return Poll::Ready(());
        }
        signal.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
