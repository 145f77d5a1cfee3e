//! How long an answer is waited for, on any runtime or none.

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

/// Waits for `future` no longer than `patience`; `None`: it was in vain.
pub(super) async fn within<T>(patience: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut alarm = None;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => alarm.get_or_insert_with(|| Alarm::set(patience)).poll(cx).map(|()| None),
    })
    .await
}

/// A thread that sleeps, and wakes the task in the end.
///
/// Deliberately no timer of a runtime: tests run on many runtimes, on some without timers, and with time standing still.
struct Alarm {
    bell: Arc<Mutex<Bell>>,
    /// The thread ends early when this is dropped.
    _thread: Sender<()>,
}

#[derive(Default)]
struct Bell {
    has_rung: bool,
    waker: Option<Waker>,
}

impl Alarm {
    fn set(patience: Duration) -> Self {
        let bell = Arc::<Mutex<Bell>>::default();
        let (sender, receiver) = mpsc::channel();
        let ring = Arc::clone(&bell);
        let sleep = move || {
            if receiver.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                let mut bell = ring.lock().unwrap_or_else(PoisonError::into_inner);
                bell.has_rung = true;
                if let Some(waker) = bell.waker.take() {
                    waker.wake();
                }
            }
        };
        // Where there are no threads, nothing ends the wait.
        drop(thread::Builder::new().name("patience".to_owned()).spawn(sleep));
        Self { bell, _thread: sender }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
        if bell.has_rung {
            return Poll::Ready(());
        }
        bell.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
