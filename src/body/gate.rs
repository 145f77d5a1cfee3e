//! Holds back the end of a request's content until the write may be committed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Stands between the content of a write and its end. The body says that the end has
/// come; the guard says whether it is passed on.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
}

#[derive(Debug, Default)]
struct GateState {
    /// The content has come to its end.
    has_ended: bool,
    /// Whether the end is passed on, once that is known.
    is_open: Option<bool>,
    /// Waits for the end.
    guard: Option<Waker>,
    /// Waits to be let through.
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

    /// Says whether the end is passed on. What was said first stands.
    pub(crate) fn settle(&self, is_open: bool) {
        let mut state = self.state();
        state.is_open.get_or_insert(is_open);
        let body = state.body.take();
        drop(state);
        if let Some(body) = body {
            body.wake();
        }
    }

    /// Says that the end has come, and waits until it is known whether it is passed on.
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
