//! A future that is polled only when it was woken, as any executor does; outside of
//! Tokio.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Arc,
    },
    task::{Context, Poll, Wake, Waker},
};

/// A future, and whether it was woken since it was polled.
pub(crate) struct Task<F> {
    pub(crate) future: Pin<Box<F>>,
    pub(crate) woken: Arc<Woken>,
}

pub(crate) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl<F: Future> Task<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Box::pin(future), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.0.load(SeqCst)
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        assert!(self.woken.0.swap(false, SeqCst), "it hangs: the task was not woken");
        self.future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.woken))))
    }

    /// Runs the future to its end.
    pub(crate) fn run(mut self) -> F::Output {
        loop {
            if let Poll::Ready(output) = self.poll() {
                return output;
            }
        }
    }

    /// Runs the future; `None` if it is not done after so many polls.
    pub(crate) fn run_within(mut self, polls: usize) -> Option<F::Output> {
        (0..polls).find_map(|_| match self.poll() {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    }
}
