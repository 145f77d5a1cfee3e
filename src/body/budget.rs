//! Limits how many bytes a layer holds of the bodies that it reads ahead.

use std::sync::{
    atomic::{AtomicU64, Ordering::Relaxed},
    Arc,
};

/// The bytes that a layer holds of all bodies together, and their limit.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    /// Returns how many bytes are held.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Takes bytes from the budget. Returns false if fewer are left.
    fn take(&self, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.used.fetch_update(Relaxed, Relaxed, add).is_ok()
    }
}

/// The bytes that one body has taken from a budget. When this value is dropped, they
/// are returned to the budget.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Reservation {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Grows the reservation to `bytes`. Returns false if the budget has too few left.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let is_taken = self.budget.take(bytes.saturating_sub(self.bytes));
        if is_taken {
            self.bytes = self.bytes.max(bytes);
        }
        is_taken
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_returned_on_drop() {
        let budget = Arc::new(Budget::new(10));
        let (mut one, mut two) = (Reservation::new(&budget), Reservation::new(&budget));
        assert!(one.grow(4) && one.grow(6) && one.grow(5));
        assert!(two.grow(4) && !two.grow(5));
        assert_eq!(budget.used(), 10);
        drop(one);
        assert!(two.grow(10));
        drop(two);
        assert_eq!(budget.used(), 0);
    }
}
