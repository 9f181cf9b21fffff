//! The one place where pictures are decoded, resized and encoded: away from the async threads, as many at a time as there are
//! cores, and within a budget of bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// The least budget, in bytes: the largest picture that is taken, alone.
pub const MIN_BUDGET: u64 = 256 << 20;

/// Requests that may wait for room; they hold their files.
const WAITING: usize = 32;

/// When to try again where there is no room. A large picture is decoded in less.
const RETRY: Duration = Duration::from_secs(1);

/// The budget is counted in KiB, as a semaphore counts to 2^32.
const UNIT: u64 = 1 << 10;

/// The pool. Clones share it.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    room: Arc<Semaphore>,
    units: u32,
    waiting: Semaphore,
    threads: Semaphore,
}

/// Room for a picture's pixels. Dropping it gives the room back.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Pool {
    /// A pool that holds pictures of so many bytes at a time, of [`MIN_BUDGET`] at least.
    pub fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes.max(MIN_BUDGET) / UNIT).unwrap_or(u32::MAX);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self(Arc::new(Inner {
            room: Arc::new(Semaphore::new(units as usize)),
            units,
            waiting: Semaphore::new(WAITING),
            threads: Semaphore::new(cores),
        }))
    }

    /// Room for a picture of a request, after those who came before. What is larger than the pool gets all of it.
    ///
    /// # Errors
    /// [`Error::Full`] when enough others wait already.
    pub async fn admit(&self, bytes: u64) -> Result<Permit, Error> {
        let _place = self.0.waiting.try_acquire().map_err(|_| Error::Full { retry_after: RETRY })?;
        self.room(bytes).await
    }

    /// Room for a picture that was drawn: it waits as long as it takes, because the work is done. There are never more of
    /// them than the stages take.
    ///
    /// # Errors
    /// Never while the pool lives.
    pub async fn room(&self, bytes: u64) -> Result<Permit, Error> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.0.units);
        let permit = Arc::clone(&self.0.room).acquire_many_owned(units).await;
        permit.map(Permit).map_err(|error| Error::Panicked(error.to_string()))
    }

    /// Runs `work` on a thread for blocking work. The permit is given back when it is done, also when nobody waits for it any
    /// more.
    ///
    /// # Errors
    /// [`Error::Panicked`], or what `work` fails with.
    pub async fn run<T, E>(
        &self,
        permit: Permit,
        work: impl FnOnce(&Permit) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let panicked = |error: &dyn std::fmt::Display| Error::Panicked(error.to_string());
        let _thread = self.0.threads.acquire().await.map_err(|error| panicked(&error))?;
        tokio::task::spawn_blocking(move || work(&permit)).await.map_err(|error| panicked(&error))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_no_room_waits_and_little_waits() {
        let pool = Pool::new(0);
        let all = pool.admit(u64::MAX).await.unwrap();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.admit(1 << 20).await.map(drop) })
            })
            .collect();
        while pool.0.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.admit(1).await.unwrap_err(), Error::Full { retry_after: RETRY });
        drop(all);
        for waited in waiting {
            waited.await.unwrap().unwrap();
        }
        assert_eq!(pool.0.room.available_permits() as u64 * UNIT, MIN_BUDGET);
    }

    #[tokio::test]
    async fn room_is_given_back_when_the_work_is_done_or_panics() {
        let pool = Pool::new(MIN_BUDGET);
        let permit = pool.room(MIN_BUDGET).await.unwrap();
        assert_eq!(pool.run(permit, |_| Ok::<_, Error>(7)).await.unwrap(), 7);
        let permit = pool.room(MIN_BUDGET).await.unwrap();
        let failed = pool.run(permit, |_| -> Result<(), Error> { panic!("damaged") }).await;
        assert!(matches!(failed, Err(Error::Panicked(_))));
        pool.admit(MIN_BUDGET).await.unwrap();
    }
}
