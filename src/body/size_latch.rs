//! The size of a body without content, which is zero at first and unknown later.

use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc,
};

/// Makes the size of a body without content exactly zero until the latch is released,
/// and unknown after that.
///
/// tower-http's `CompressionLayer` encodes bodies of unknown size, but by default no
/// body of zero bytes. Outside of that layer, the size must be unknown, or a server
/// could add `Content-Length: 0`. That would be wrong: in a 304 or a response to a
/// HEAD, the field gives the length that the content of a 200 to a GET would have.
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
