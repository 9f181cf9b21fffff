//! The turn on a device that stages of one process share.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// The right to compute on a device, held for one step: a forward, or a job's preparation. On a CPU two models at
/// once are far slower than one after the other, since their thread pools fight for the same cores.
///
/// Clones are the same permit. It is fair: whoever waits longest gets it next, so stages alternate step by step.
#[derive(Debug, Clone, Default)]
pub struct ComputePermit(Arc<Mutex<()>>);

/// A held [`ComputePermit`]. Dropping it passes the turn on.
#[derive(Debug)]
#[must_use = "the permit is given back when the guard is dropped"]
pub struct ComputeGuard(#[expect(dead_code, reason = "held for its drop")] OwnedMutexGuard<()>);

impl ComputePermit {
    /// The permit of one device.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Blocks the thread until it has the turn.
    ///
    /// # Panics
    /// Inside an async task, whose thread must not block: use [`ComputePermit::acquire_async`] there.
    pub fn acquire(&self) -> ComputeGuard {
        ComputeGuard(Arc::clone(&self.0).blocking_lock_owned())
    }

    /// Waits for the turn in an async task. Dropping the future leaves the line.
    pub async fn acquire_async(&self) -> ComputeGuard {
        ComputeGuard(Arc::clone(&self.0).lock_owned().await)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn whoever_waits_longest_is_next() {
        let permit = ComputePermit::new();
        let held = permit.acquire();
        let mut first = Box::pin(permit.acquire_async());
        let mut second = Box::pin(permit.acquire_async());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(held);
        assert!(second.as_mut().now_or_never().is_none(), "the turn is the first's");
        drop(first.as_mut().now_or_never());
        assert!(second.as_mut().now_or_never().is_some());
    }
}
