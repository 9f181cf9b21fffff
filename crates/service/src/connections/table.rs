//! The connections that are open: a place for each, and who has to go when there is none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::activity::Activity;
use crate::metric_names;

/// All connections of a port.
#[derive(Debug)]
pub(crate) struct Table {
    places: Arc<Semaphore>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Arc<Activity>>,
    next: u64,
}

/// A connection's place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<Table>,
    key: u64,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl Table {
    /// A table with room for so many.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(places)), open: Mutex::default() })
    }

    /// A place for a connection that was accepted. When all are taken, the connection that has waited longest for its client
    /// makes room; when none waits, `patience` bounds the time until one does.
    pub(crate) async fn place(self: &Arc<Self>, patience: Duration) -> Option<Place> {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(patience).await?,
        };
        let activity = Activity::new();
        let mut open = self.lock();
        let key = open.next;
        open.next += 1;
        open.connections.insert(key, Arc::clone(&activity));
        gauge!(metric_names::CONNECTIONS).increment(1.0);
        Some(Place { table: Arc::clone(self), key, activity, _permit: permit })
    }

    async fn wait(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        const TICK: Duration = Duration::from_millis(100);
        let granted = async {
            loop {
                self.make_room();
                let place = Arc::clone(&self.places).acquire_owned();
                if let Ok(granted) = tokio::time::timeout(TICK, place).await {
                    return granted.ok();
                }
            }
        };
        tokio::time::timeout(patience, granted).await.ok().flatten()
    }

    /// Closes the connection that has waited longest for its client. False when none waits.
    pub(crate) fn make_room(&self) -> bool {
        let open = self.lock();
        let waiting = open.connections.values().filter_map(|one| Some((one.waiting_since()?, one)));
        let longest = waiting.min_by_key(|(since, _)| *since);
        longest.inspect(|(_, one)| one.evict()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What the connection does.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.lock().connections.remove(&self.key);
        gauge!(metric_names::CONNECTIONS).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_connection_makes_room() {
        let table = Table::new(2);
        let first = table.place(PATIENCE).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = table.place(PATIENCE).await.unwrap();
        let third = tokio::join!(table.place(PATIENCE), async {
            first.activity().evicted().await;
            drop(first);
        });
        assert!(third.0.is_some());
        assert!(second.activity().waiting_since().is_some(), "the later one stays");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_at_work_stay() {
        let table = Table::new(1);
        let place = table.place(PATIENCE).await.unwrap();
        let request = place.activity().request(true);
        assert!(table.place(PATIENCE).await.is_none());
        assert!(!table.make_room());
        drop(request);
        assert!(table.make_room());
    }
}
