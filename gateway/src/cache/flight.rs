//! Work that several callers wait for is done once.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tracing::Instrument;

/// Work under way, by key.
///
/// Each piece runs in a task of its own, so a caller that goes away takes nothing from the others. When the last caller
/// goes, the work is aborted: what nobody waits for must not hold a place at a model.
pub(super) struct Flights<K, V>(Arc<Mutex<Running<K, V>>>);

struct Running<K, V> {
    flights: HashMap<K, (u64, Weak<Flight<V>>)>,
    next_id: u64,
}

/// The callers own it; it ends with the last of them.
struct Flight<V> {
    landing: Shared<BoxFuture<'static, Option<V>>>,
    task: OnceLock<AbortHandle>,
}

/// How a piece of work ended for a caller.
#[derive(Debug)]
pub(super) struct Landed<V> {
    /// `None` when the work panicked.
    pub(super) value: Option<V>,
    /// Whether it was this caller's work, not that of an earlier one.
    pub(super) own: bool,
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Running { flights: HashMap::new(), next_id: 0 })))
    }

    /// Waits for the work that is under way for `key`, or else starts `work`.
    pub(super) async fn run<F>(&self, key: K, work: F) -> Landed<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (flight, own) = self.enter(key, work);
        let value = flight.landing.clone().await;
        Landed { value, own }
    }

    fn enter<F>(&self, key: K, work: F) -> (Arc<Flight<V>>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut running = lock(&self.0);
        if let Some(flight) = running.flights.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return (flight, false);
        }
        let id = running.next_id;
        running.next_id += 1;
        let (landed, flight) = Flight::new();
        running.flights.insert(key.clone(), (id, Arc::downgrade(&flight)));
        drop(running);
        // Without the lock: a runtime that shuts down drops the task at once, and its departure takes the lock.
        let departure = Departure { running: Arc::clone(&self.0), key, id };
        flight.start(work, departure, landed);
        (flight, true)
    }
}

impl<V: Clone + Send + Sync + 'static> Flight<V> {
    /// A flight that has not started, and where its result goes.
    fn new() -> (oneshot::Sender<V>, Arc<Self>) {
        let (landed, landing) = oneshot::channel();
        let landing = landing.map(Result::ok).boxed().shared();
        (landed, Arc::new(Self { landing, task: OnceLock::new() }))
    }

    fn start<F, D>(&self, work: F, departure: D, landed: oneshot::Sender<V>)
    where
        F: Future<Output = V> + Send + 'static,
        D: Send + 'static,
    {
        let work = async move {
            let value = {
                // Dropped before the callers have the value, or with the task: whoever comes then starts anew.
                let _departure = departure;
                work.await
            };
            // Callers that are gone are nobody to tell.
            let _ = landed.send(value);
        };
        let _ = self.task.set(tokio::spawn(work.in_current_span()).abort_handle());
    }
}

impl<V> Drop for Flight<V> {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Takes a flight off the list, unless the key belongs to a later one already.
struct Departure<K: Eq + Hash, V> {
    running: Arc<Mutex<Running<K, V>>>,
    key: K,
    id: u64,
}

impl<K: Eq + Hash, V> Drop for Departure<K, V> {
    fn drop(&mut self) {
        let flights = &mut lock(&self.running).flights;
        if flights.get(&self.key).is_some_and(|(id, _)| *id == self.id) {
            flights.remove(&self.key);
        }
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::poll;

    use super::*;

    type Numbers = Flights<&'static str, u32>;

    /// Lets every task of this single-threaded runtime get as far as it can.
    async fn settle() {
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }

    fn is_empty(flights: &Numbers) -> bool {
        lock(&flights.0).flights.is_empty()
    }

    #[tokio::test]
    async fn callers_share_the_first_ones_work() {
        let flights = Numbers::new();
        let (finish, finished) = oneshot::channel();
        let first = flights.run("key", async { finished.await.unwrap() });
        let other_key = flights.run("other", async { 2 });
        let joined =
            futures::future::join_all((0..10).map(|_| flights.run("key", async { panic!("run twice") })));
        let send = async { finish.send(1).unwrap() };
        let (first, other_key, joined, ()) = tokio::join!(first, other_key, joined, send);
        assert!(matches!(first, Landed { value: Some(1), own: true }));
        assert!(matches!(other_key, Landed { value: Some(2), own: true }));
        for landed in joined {
            assert!(matches!(landed, Landed { value: Some(1), own: false }));
        }
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn the_first_caller_may_go() {
        let flights = Numbers::new();
        let (finish, finished) = oneshot::channel();
        let mut first = Box::pin(flights.run("key", async { finished.await.unwrap() }));
        let mut second = Box::pin(flights.run("key", async { panic!("run twice") }));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        drop(first);
        settle().await;
        finish.send(1).unwrap();
        assert!(matches!(second.await, Landed { value: Some(1), own: false }));
    }

    #[tokio::test]
    async fn work_ends_with_its_last_caller() {
        let flights = Numbers::new();
        let (guard, mut dropped) = oneshot::channel::<()>();
        let work = async move {
            let _guard = guard;
            pending().await
        };
        let mut first = Box::pin(flights.run("key", work));
        let mut second = Box::pin(flights.run("key", pending()));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        settle().await;
        drop(first);
        settle().await;
        assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Empty), "one still waits");
        drop(second);
        settle().await;
        assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed), "the work was dropped");
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn work_that_is_being_aborted_is_not_joined_nor_does_it_take_its_successor_along() {
        let flights = Numbers::new();
        let mut abandoned = Box::pin(flights.run("key", pending()));
        assert!(poll!(&mut abandoned).is_pending());
        drop(abandoned);
        let (finish, finished) = oneshot::channel();
        let mut second = Box::pin(flights.run("key", async { finished.await.unwrap() }));
        assert!(poll!(&mut second).is_pending());
        settle().await;
        let mut third = Box::pin(flights.run("key", async { panic!("run twice") }));
        assert!(poll!(&mut third).is_pending());
        finish.send(2).unwrap();
        assert!(matches!(second.await, Landed { value: Some(2), own: true }));
        assert!(matches!(third.await, Landed { value: Some(2), own: false }));
    }

    #[tokio::test]
    async fn a_panic_reaches_every_caller_as_a_result_and_the_next_starts_anew() {
        let flights = Numbers::new();
        let panics = || async { panic!("on purpose") };
        let (first, second) = tokio::join!(flights.run("key", panics()), flights.run("key", panics()));
        assert!(matches!(first, Landed { value: None, own: true }));
        assert!(matches!(second, Landed { value: None, own: false }));
        let next = flights.run("key", async { 3 }).await;
        assert!(matches!(next, Landed { value: Some(3), own: true }));
    }

    /// What a process does that ends while it draws.
    struct CallsWhenDropped(Arc<Numbers>, std::sync::mpsc::Sender<bool>);

    impl Drop for CallsWhenDropped {
        fn drop(&mut self) {
            let call = Box::pin(self.0.run("key", async { 1 })).now_or_never();
            let _ = self.1.send(matches!(call, Some(Landed { value: None, own: true })));
        }
    }

    #[test]
    fn a_runtime_that_shuts_down_is_no_deadlock() {
        let (told, hears) = std::sync::mpsc::channel();
        let flights = Arc::new(Numbers::new());
        let last = CallsWhenDropped(Arc::clone(&flights), told);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                tokio::spawn(async move {
                    let _last = last;
                    pending::<()>().await;
                });
                settle().await;
            });
            drop(runtime);
        });
        let ended = hears.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(ended, Ok(true), "a call while the runtime shuts down ends without a value");
        assert!(is_empty(&flights));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn threads_that_race_never_work_at_once() {
        let flights = Arc::new(Numbers::new());
        let at_work = Arc::new(AtomicUsize::new(0));
        let callers = (0..1000).map(|_| {
            let (flights, at_work) = (Arc::clone(&flights), Arc::clone(&at_work));
            tokio::spawn(async move {
                let work = async move {
                    assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    1
                };
                flights.run("key", work).await.value
            })
        });
        for caller in futures::future::join_all(callers).await {
            assert_eq!(caller.unwrap(), Some(1));
        }
        assert!(is_empty(&flights));
    }
}
