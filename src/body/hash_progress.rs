//! Hashes content in memory, in slices.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::yield_now;
use crate::validators::Digest;

/// The progress of hashing some content.
#[derive(Default)]
pub(crate) struct HashProgress<D> {
    digest: D,
    frame: usize,
    bytes: usize,
}

impl<D: Digest> HashProgress<D> {
    /// Hashes the next slice. Returns the digest after the last one. `data` returns the
    /// content of a frame by its index.
    pub(crate) fn poll<'a>(
        &mut self,
        cx: &mut Context<'_>,
        data: impl Fn(usize) -> Option<&'a Bytes>,
    ) -> Poll<D> {
        let mut budget = PollBudget::new();
        while let Some(data) = data(self.frame) {
            if !budget.is_left() {
                yield_now(cx);
                return Poll::Pending;
            }
            let rest = data.get(self.bytes..).unwrap_or_default();
            let slice = rest.get(..budget.bytes).unwrap_or(rest);
            self.digest.update(slice);
            budget.spend(slice.len());
            if slice.len() < rest.len() {
                self.bytes += slice.len();
            } else {
                self.frame += 1;
                self.bytes = 0;
            }
        }
        Poll::Ready(std::mem::take(&mut self.digest))
    }
}

/// The work that one poll may do before it yields to other tasks. Without this limit,
/// one poll that reads 1 MiB takes 23 ms if the inner service compresses.
pub(crate) struct PollBudget {
    frames: usize,
    bytes: usize,
}

impl PollBudget {
    pub(crate) fn new() -> Self {
        Self { frames: 8, bytes: 64 * 1024 }
    }

    pub(crate) fn is_left(&self) -> bool {
        self.frames > 0 && self.bytes > 0
    }

    pub(crate) fn spend(&mut self, bytes: usize) {
        self.frames -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
