//! The one place where pictures are decoded, resized and encoded: away from the async threads, as many at a time as there are
//! cores, and within a budget of bytes. Small pictures have a lane of their own, so that they never wait behind large ones.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// The least budget, in bytes: the largest picture that is taken, alone.
pub const MIN_BUDGET: u64 = 256 << 20;

/// Requests that may wait for room in a lane; they hold their files.
const WAITING: usize = 32;

/// The lane of small pictures is this part of the budget, and a picture is small that takes this part of the lane.
const SMALL: (u32, u32) = (8, 4);

/// When to try again where there is no room. A large picture is decoded in less.
const RETRY: Duration = Duration::from_secs(1);

/// The budget is counted in KiB, as a semaphore counts to 2^32.
const UNIT: u64 = 1 << 10;

/// The pool. Clones share it.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    small: Lane,
    large: Lane,
}

#[derive(Debug)]
struct Lane {
    room: Arc<Semaphore>,
    units: u32,
    waiting: Semaphore,
    threads: Semaphore,
}

/// Room for a picture's pixels. Dropping it gives the room back.
#[derive(Debug)]
pub struct Permit {
    is_small: bool,
    #[expect(dead_code, reason = "held, not read")]
    room: [Option<OwnedSemaphorePermit>; 2],
}

impl Lane {
    fn new(units: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self {
            room: Arc::new(Semaphore::new(units as usize)),
            units,
            waiting: Semaphore::new(WAITING),
            threads: Semaphore::new(cores),
        }
    }

    async fn take(&self, units: u32) -> Result<OwnedSemaphorePermit, Error> {
        let permit = Arc::clone(&self.room).acquire_many_owned(units).await;
        permit.map_err(|error| Error::Panicked(error.to_string()))
    }
}

impl Pool {
    /// A pool that holds pictures of so many bytes at a time, of [`MIN_BUDGET`] at least.
    pub fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes.max(MIN_BUDGET) / UNIT).unwrap_or(u32::MAX);
        let small = units / SMALL.0;
        Self(Arc::new(Inner { small: Lane::new(small), large: Lane::new(units - small) }))
    }

    fn is_small(&self, units: u32) -> bool {
        units <= self.0.small.units / SMALL.1
    }

    fn lane(&self, is_small: bool) -> &Lane {
        if is_small { &self.0.small } else { &self.0.large }
    }

    /// Room for a picture of a request, after those of its lane who came before. What is larger than the pool gets all of it.
    ///
    /// # Errors
    /// [`Error::Full`] when enough others wait already.
    pub async fn admit(&self, bytes: u64) -> Result<Permit, Error> {
        let lane = self.lane(self.is_small(units(bytes)));
        let _place = lane.waiting.try_acquire().map_err(|_| Error::Full { retry_after: RETRY })?;
        self.room(bytes).await
    }

    /// Room for a picture that was drawn: it waits as long as it takes, because the work is done. There are never more of
    /// them than the stages take.
    ///
    /// # Errors
    /// Never while the pool lives.
    pub async fn room(&self, bytes: u64) -> Result<Permit, Error> {
        let units = units(bytes);
        let is_small = self.is_small(units);
        let lane = self.lane(is_small);
        let own = lane.take(units.min(lane.units)).await?;
        // Nobody in the small lane waits for the large one, so this ends.
        let rest = match units.saturating_sub(lane.units).min(self.0.small.units) {
            0 => None,
            rest => Some(self.0.small.take(rest).await?),
        };
        Ok(Permit { is_small, room: [Some(own), rest] })
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
        let _thread = self.lane(permit.is_small).threads.acquire().await.map_err(|error| panicked(&error))?;
        tokio::task::spawn_blocking(move || work(&permit)).await.map_err(|error| panicked(&error))?
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(pool: &Pool) -> u64 {
        let lanes = [&pool.0.small, &pool.0.large];
        lanes.iter().map(|lane| lane.room.available_permits() as u64).sum::<u64>() * UNIT
    }

    #[tokio::test]
    async fn small_pictures_pass_large_ones() {
        let pool = Pool::new(0);
        let _large = pool.admit(224 << 20).await.unwrap();
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.admit(100 << 20).await.map(drop) }
        });
        while pool.0.large.waiting.available_permits() == WAITING {
            tokio::task::yield_now().await;
        }
        let small = pool.admit(1 << 20).await.unwrap();
        assert_eq!(pool.run(small, |_| Ok::<_, Error>(7)).await.unwrap(), 7);
        assert!(!waiting.is_finished());
        waiting.abort();
    }

    #[tokio::test]
    async fn what_has_no_room_waits_and_little_waits() {
        let pool = Pool::new(0);
        let all = pool.admit(u64::MAX).await.unwrap();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.admit(9 << 20).await.map(drop) })
            })
            .collect();
        while pool.0.large.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.admit(9 << 20).await.unwrap_err(), Error::Full { retry_after: RETRY });
        drop(all);
        for waited in waiting {
            waited.await.unwrap().unwrap();
        }
        assert_eq!(free(&pool), MIN_BUDGET);
    }

    #[tokio::test]
    async fn room_is_given_back_when_the_work_is_done_or_panics() {
        let pool = Pool::new(MIN_BUDGET);
        let permit = pool.room(MIN_BUDGET).await.unwrap();
        assert_eq!(free(&pool), 0);
        assert_eq!(pool.run(permit, |_| Ok::<_, Error>(7)).await.unwrap(), 7);
        let permit = pool.room(MIN_BUDGET).await.unwrap();
        let failed = pool.run(permit, |_| -> Result<(), Error> { panic!("damaged") }).await;
        assert!(matches!(failed, Err(Error::Panicked(_))));
        pool.admit(MIN_BUDGET).await.unwrap();
    }
}
