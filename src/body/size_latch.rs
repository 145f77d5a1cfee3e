//! A size that is not told at first.

use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc,
};

/// Lets a body without content say that it has exactly zero bytes, until it is released
/// and says that its size is unknown.
///
/// A layer that compresses leaves only bodies of exactly zero bytes alone. Outside of
/// it, zero would be taken for the length of the content.
#[derive(Clone, Debug, Default)]
pub(crate) struct SizeLatch(Arc<AtomicBool>);

impl SizeLatch {
    pub(crate) fn release(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_released(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
