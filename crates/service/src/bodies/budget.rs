//! Memory for the bodies of requests: one limit for all of them together.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use metrics::gauge;
use tokio::time::{Instant, Sleep, sleep};

use crate::metric_names;

/// How long a body waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it looks for bodies that can make room meanwhile.
const TICK: Duration = Duration::from_millis(200);

/// Where there is no room, a body that brings fewer bytes per second than this has to go.
const SLOW: usize = 64 << 10;

/// For how long a body has to be slow, or stuck, until that counts.
const SLOW_FOR: Duration = Duration::from_secs(1);

/// The bytes that all bodies may hold. Who holds least is given room first: a small request gets in beside large ones.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    shares: Mutex<Shares>,
}

#[derive(Debug, Default)]
struct Shares {
    free: usize,
    known: HashMap<u64, Held>,
    next: u64,
}

/// What the budget knows of a body.
#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    waits: Waits,
    is_evicted: bool,
    waker: Option<Waker>,
}

/// What a body waits for.
#[derive(Clone, Copy, Debug, Default)]
enum Waits {
    /// Nothing: it is at work.
    #[default]
    No,
    /// Its client, since then, and so many bytes came since.
    Client(Instant, usize),
    /// Room, since then.
    Room(Instant),
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
}

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, shares: Mutex::new(Shares { free: limit, ..Default::default() }) })
    }

    /// The share of one body, empty at first.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<Share> {
        let mut shares = self.lock();
        let key = shares.next;
        shares.next += 1;
        shares.known.insert(key, Held::default());
        Arc::new(Share { budget: Arc::clone(self), key })
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shares {
    /// Gives a body so many bytes, unless there are not as many or another body goes first.
    fn take(&mut self, key: u64, bytes: usize) -> bool {
        let own = self.held(key);
        let is_first = self.first_in_line().is_none_or(|first| first == key || own < self.held(first));
        if !is_first || self.free < bytes {
            return false;
        }
        self.free -= bytes;
        if let Some(own) = self.known.get_mut(&key) {
            own.bytes += bytes;
            own.waits = Waits::No;
        }
        self.wake_first();
        true
    }

    fn held(&self, key: u64) -> usize {
        self.known.get(&key).map_or(0, |held| held.bytes)
    }

    /// Of those that wait for room the one that holds least; the oldest of several.
    fn first_in_line(&self) -> Option<u64> {
        let waiting = self.known.iter().filter(|(_, held)| matches!(held.waits, Waits::Room(_)));
        waiting.min_by_key(|(key, held)| (held.bytes, **key)).map(|(key, _)| *key)
    }

    fn wake_first(&mut self) {
        let first = self.first_in_line().and_then(|first| self.known.get_mut(&first));
        first.and_then(|held| held.waker.take()).into_iter().for_each(Waker::wake);
    }

    /// Ends, for the body that asks, the one that holds most of those that don't get on.
    fn make_room(&mut self, asking: u64) {
        let own = self.held(asking);
        let stuck = self.known.iter_mut().filter(|(key, held)| **key != asking && held.is_stuck(own));
        if let Some((_, held)) = stuck.max_by_key(|(_, held)| held.bytes) {
            held.is_evicted = true;
            held.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl Held {
    /// Whether its client is slow, or it waits for room itself and holds more than `asking` does.
    fn is_stuck(&self, asking: usize) -> bool {
        let is_stuck = match self.waits {
            Waits::No => false,
            Waits::Client(since, bytes) => {
                let elapsed = since.elapsed();
                elapsed >= SLOW_FOR && (bytes as f64) < elapsed.as_secs_f64() * SLOW as f64
            }
            Waits::Room(since) => since.elapsed() >= SLOW_FOR && self.bytes > asking,
        };
        is_stuck && self.bytes > 0 && !self.is_evicted
    }
}

impl Share {
    /// The body waits for its client since `since`; so many bytes came since then.
    pub(crate) fn waits(&self, since: Instant, bytes: usize, waker: &Waker) {
        self.wait(Waits::Client(since, bytes), waker);
    }

    fn wait(&self, waits: Waits, waker: &Waker) {
        if let Some(held) = self.budget.lock().known.get_mut(&self.key) {
            held.waits = waits;
            held.waker = Some(waker.clone());
        }
    }

    /// The body is complete, or at work.
    pub(crate) fn works(&self) {
        if let Some(held) = self.budget.lock().known.get_mut(&self.key) {
            held.waits = Waits::No;
        }
    }

    /// Whether another body needs the room.
    pub(crate) fn is_evicted(&self) -> bool {
        self.budget.lock().known.get(&self.key).is_some_and(|held| held.is_evicted)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.budget.lock();
        let bytes = shares.known.remove(&self.key).map_or(0, |held| held.bytes);
        shares.free += bytes;
        shares.wake_first();
        gauge!(metric_names::UPLOAD_BYTES).decrement(bytes as f64);
    }
}

/// A share that wants more.
#[derive(Default)]
pub(crate) struct Growth {
    /// While it waits: since when, and when it looks for room again.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Growth {
    /// Takes so many bytes, waiting for room if need be.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        share: &Share,
        bytes: usize,
    ) -> Poll<Result<(), NoRoom>> {
        let budget = &share.budget;
        if budget.lock().held(share.key).saturating_add(bytes) > budget.limit {
            return Poll::Ready(Err(NoRoom::Ever(budget.limit)));
        }
        loop {
            if budget.lock().take(share.key, bytes) {
                self.waiting = None;
                gauge!(metric_names::UPLOAD_BYTES).increment(bytes as f64);
                return Poll::Ready(Ok(()));
            }
            let (since, tick) =
                self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(Duration::ZERO))));
            share.wait(Waits::Room(*since), context.waker());
            ready!(tick.as_mut().poll(context));
            if since.elapsed() >= PATIENCE {
                return Poll::Ready(Err(NoRoom::Now));
            }
            budget.lock().make_room(share.key);
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
        let mut growth = Growth::default();
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
        assert_eq!(budget.lock().free, 0);
        drop(second);
        assert_eq!(budget.lock().free, 100);
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
    async fn who_holds_least_goes_first() {
        let budget = Budget::new(100);
        let [large, small, first, second] = [40, 10, 30, 20].map(|bytes| {
            let share = budget.share();
            grow(&share, bytes).now_or_never().unwrap().unwrap();
            share
        });
        let order = Mutex::new(Vec::new());
        let turn = async |name, share: &Share| {
            grow(share, 25).await.unwrap();
            order.lock().unwrap().push(name);
        };
        tokio::join!(turn("large", &large), turn("small", &small), async {
            sleep(Duration::from_millis(300)).await;
            drop(first);
            sleep(Duration::from_millis(300)).await;
            assert_eq!(*order.lock().unwrap(), ["small"], "5 bytes are left");
            drop(second);
        });
        assert_eq!(*order.lock().unwrap(), ["small", "large"]);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_wait_for_one_another_don_t_shut_the_door() {
        let budget = Budget::new(100);
        let [first, second] = [60, 40].map(|bytes| {
            let share = budget.share();
            grow(&share, bytes).now_or_never().unwrap().unwrap();
            share
        });
        let start = Instant::now();
        let small = budget.share();
        let stuck = async |share: Arc<Share>| {
            let mut growth = Growth::default();
            let ends = poll_fn(|context| match share.is_evicted() {
                true => Poll::Ready(true),
                false => growth.poll(context, &share, 30).map(|_| false),
            });
            ends.await
        };
        let (first, _, small) = tokio::join!(stuck(first), stuck(second), grow(&small, 5));
        small.unwrap();
        assert!(first, "the largest one makes room");
        assert!(start.elapsed() < 2 * SLOW_FOR);
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
