//! The size of a body without content, which is zero at first and unknown later.

use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc,
};

/// Makes the size of a body without content exactly zero until the latch is released,
/// and unknown after that.
///
/// A compression layer encodes all bodies except those of exactly zero bytes. Outside
/// of that layer, the size must be unknown: zero would be wrong as the length of the
/// content that a 304, or an answer to a HEAD, is about.
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
