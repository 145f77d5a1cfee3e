//! Holds back the end of a request's content until the write may run.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// The gate before the end of a write's content. The body reports that the end has
/// come. The write guard decides whether the end is forwarded.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
}

#[derive(Debug, Default)]
struct GateState {
    has_ended: bool,
    /// Whether the end is forwarded, once that is decided.
    is_open: Option<bool>,
    /// The waker of the guard, which waits for the end.
    guard: Option<Waker>,
    /// The waker of the body, which waits for the decision.
    body: Option<Waker>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the content.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.has_ended {
            return Poll::Ready(());
        }
        state.guard = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Decides whether the end is forwarded. Only the first decision counts.
    pub(crate) fn settle(&self, is_open: bool) {
        let mut state = self.state();
        state.is_open.get_or_insert(is_open);
        let body = state.body.take();
        drop(state);
        if let Some(body) = body {
            body.wake();
        }
    }

    /// Reports that the end has come, and waits for the decision.
    pub(super) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        if let Some(is_open) = state.is_open {
            return Poll::Ready(is_open);
        }
        state.has_ended = true;
        state.body = Some(cx.waker().clone());
        let guard = state.guard.take();
        drop(state);
        if let Some(guard) = guard {
            guard.wake();
        }
        Poll::Pending
    }
}
