//! Memory for the bodies of requests: one limit for all of them together.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use metrics::gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::PollSemaphore;

use crate::metric_names;

/// How long a body waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it looks for bodies that can make room meanwhile.
const TICK: Duration = Duration::from_millis(200);

/// Where there is no room, a body that brings fewer bytes per second than this has to go.
const SLOW: usize = 64 << 10;

/// For how long a client has to be slow until that counts.
const SLOW_FOR: Duration = Duration::from_secs(1);

/// The bytes that all bodies may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    bytes: Arc<Semaphore>,
    shares: Mutex<Shares>,
}

#[derive(Debug, Default)]
struct Shares {
    known: HashMap<u64, Held>,
    next: u64,
}

/// What the budget knows of a body.
#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    /// Since when it waits for its client, and how many bytes came since. None while it is at work.
    slow: Option<(Instant, usize)>,
    is_evicted: bool,
    waker: Option<Waker>,
}

/// Why there is no memory for a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// It needs more than there is at all: this many bytes.
    Ever(usize),
    /// Others hold it.
    Now,
}

/// What one body holds. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    key: u64,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let bytes = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { limit, bytes, shares: Mutex::default() })
    }

    /// The share of one body, empty at first.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<Share> {
        let mut shares = self.lock();
        let key = shares.next;
        shares.next += 1;
        shares.known.insert(key, Held::default());
        Arc::new(Share { budget: Arc::clone(self), key, permit: Mutex::default() })
    }

    /// Ends the body that holds most of those whose clients are slow, for the one that asks.
    fn make_room(&self, asking: u64) {
        let mut shares = self.lock();
        let slow = shares.known.iter_mut().filter(|(key, held)| **key != asking && held.is_slow());
        if let Some((_, held)) = slow.max_by_key(|(_, held)| held.bytes) {
            held.is_evicted = true;
            held.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_slow(&self) -> bool {
        let is_slow = |(since, bytes): (Instant, usize)| {
            let elapsed = since.elapsed();
            elapsed >= SLOW_FOR && (bytes as f64) < elapsed.as_secs_f64() * SLOW as f64
        };
        self.bytes > 0 && !self.is_evicted && self.slow.is_some_and(is_slow)
    }
}

impl Share {
    /// The body waits for its client since `since`; so many bytes came since then.
    pub(crate) fn waits(&self, since: Instant, bytes: usize, waker: &Waker) {
        self.held(|held| {
            held.slow = Some((since, bytes));
            held.waker = Some(waker.clone());
        });
    }

    /// The body is complete, or at work.
    pub(crate) fn works(&self) {
        self.held(|held| held.slow = None);
    }

    /// Whether another body needs the room.
    pub(crate) fn is_evicted(&self) -> bool {
        let mut evicted = false;
        self.held(|held| evicted = held.is_evicted);
        evicted
    }

    fn held(&self, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.budget.lock().known.get_mut(&self.key) {
            change(held);
        }
    }

    fn add(&self, permit: OwnedSemaphorePermit) {
        let bytes = permit.num_permits();
        let mut own = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        match own.as_mut() {
            Some(own) => own.merge(permit),
            None => *own = Some(permit),
        }
        self.held(|held| held.bytes += bytes);
        gauge!(metric_names::UPLOAD_BYTES).increment(bytes as f64);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let held = self.budget.lock().known.remove(&self.key);
        gauge!(metric_names::UPLOAD_BYTES).decrement(held.map_or(0, |held| held.bytes) as f64);
    }
}

/// A share that wants more.
pub(crate) struct Growth {
    semaphore: PollSemaphore,
    /// While it waits: until when, and when it looks for room again.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Growth {
    pub(crate) fn of(share: &Share) -> Self {
        Self { semaphore: PollSemaphore::new(Arc::clone(&share.budget.bytes)), waiting: None }
    }

    /// Takes so many bytes, waiting for room if need be.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        share: &Share,
        bytes: usize,
    ) -> Poll<Result<(), NoRoom>> {
        let mut held = 0;
        share.held(|own| held = own.bytes);
        let budget = &share.budget;
        let permits = u32::try_from(bytes).ok().filter(|_| held.saturating_add(bytes) <= budget.limit);
        let Some(permits) = permits else { return Poll::Ready(Err(NoRoom::Ever(budget.limit))) };
        if let Poll::Ready(permit) = self.semaphore.poll_acquire_many(context, permits) {
            self.waiting = None;
            // It is never closed.
            return Poll::Ready(permit.map(|permit| share.add(permit)).ok_or(NoRoom::Now));
        }
        loop {
            let (until, tick) = self.waiting.get_or_insert_with(|| {
                budget.make_room(share.key);
                (Instant::now() + PATIENCE, Box::pin(sleep(TICK)))
            });
            ready!(tick.as_mut().poll(context));
            if Instant::now() >= *until {
                return Poll::Ready(Err(NoRoom::Now));
            }
            budget.make_room(share.key);
            tick.as_mut().reset(Instant::now() + TICK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::FutureExt as _;

    use super::*;

    async fn grow(share: &Share, bytes: usize) -> Result<(), NoRoom> {
        let mut growth = Growth::of(share);
        poll_fn(|context| growth.poll(context, share, bytes)).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_free_again() {
        let budget = Budget::new(100);
        let (first, second) = (budget.share(), budget.share());
        grow(&first, 60).await.unwrap();
        grow(&second, 40).await.unwrap();
        assert_eq!(grow(&second, 1).await, Err(NoRoom::Now));
        assert_eq!(grow(&first, 41).await, Err(NoRoom::Ever(100)));
        assert_eq!(grow(&first, usize::MAX).await, Err(NoRoom::Ever(100)));
        drop(first);
        grow(&second, 60).await.unwrap();
        assert_eq!(budget.bytes.available_permits(), 0);
        drop(second);
        assert_eq!(budget.bytes.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_slow_body_makes_room() {
        let budget = Budget::new(100);
        let [small, large, at_work] = [10, 50, 40].map(|bytes| {
            let share = budget.share();
            grow(&share, bytes).now_or_never().unwrap().unwrap();
            share
        });
        let slow = Instant::now();
        small.waits(slow, 1, Waker::noop());
        large.waits(slow, 1, Waker::noop());
        tokio::time::advance(Duration::from_secs(2)).await;
        let asking = budget.share();
        let (granted, ()) = tokio::join!(grow(&asking, 30), async {
            assert!(large.is_evicted() && !small.is_evicted() && !at_work.is_evicted());
            drop(large);
        });
        granted.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_fast_stays() {
        let budget = Budget::new(1 << 20);
        let (fast, asking) = (budget.share(), budget.share());
        grow(&fast, 1 << 20).await.unwrap();
        fast.waits(Instant::now(), 1 << 30, Waker::noop());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(grow(&asking, 1).await, Err(NoRoom::Now));
        assert!(!fast.is_evicted());
    }
}
