//! Memory for uploads: one limit for all requests together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that all uploads under way may hold.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// The share of one request, empty at first.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { budget: self.clone(), held: AtomicUsize::new(0) }
    }
}

/// What one request holds. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    held: AtomicUsize,
}

impl Share {
    /// Takes more. False when the budget is spent.
    pub(super) fn grow(&self, bytes: usize) -> bool {
        let limit = self.budget.limit;
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
        let grown = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if grown {
            self.held.fetch_add(bytes, Ordering::Relaxed);
        }
        grown
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again() {
        let budget = Budget::new(100);
        let (first, second) = (budget.share(), budget.share());
        assert!(first.grow(60) && second.grow(40) && !second.grow(1) && !first.grow(usize::MAX));
        drop(first);
        assert!(second.grow(60) && !second.grow(1));
    }
}
