//! How fast a body has to come.

use std::time::Duration;

use tokio::time::Instant;

/// The least pace of a body: so many bytes within so much time, counted only while its client is waited for.
#[derive(Debug)]
pub(super) struct Pace {
    quota: usize,
    within: Duration,
    /// Bytes since the quota was last met.
    bytes: usize,
    waited: Duration,
    waiting: Option<Instant>,
}

impl Pace {
    pub(super) fn new(quota: usize, within: Duration) -> Self {
        Self { quota, within, bytes: 0, waited: Duration::ZERO, waiting: None }
    }

    /// The client is waited for. Gives the time by which the quota has to be met.
    pub(super) fn waits(&mut self) -> Instant {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        since + self.within.saturating_sub(self.waited)
    }

    /// So many bytes came.
    pub(super) fn came(&mut self, bytes: usize) {
        self.waited += self.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= self.quota {
            (self.bytes, self.waited) = (0, Duration::ZERO);
        }
    }

    /// An instant as far back as the client was waited for since the quota was last met, and the bytes since then.
    pub(super) fn slow(&self) -> (Instant, usize) {
        let now = Instant::now();
        let since = self.waiting.unwrap_or(now);
        (since.checked_sub(self.waited).unwrap_or(since), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn drops_give_no_time() {
        let mut pace = Pace::new(100, Duration::from_secs(20));
        let start = Instant::now();
        for _ in 0..4 {
            assert_eq!(pace.waits(), start + Duration::from_secs(20));
            pass(4).await;
            pace.came(1);
        }
        assert_eq!(pace.slow(), (start, 4));
        pace.came(96);
        assert_eq!(pace.waits(), Instant::now() + Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_time_does_not_count() {
        let mut pace = Pace::new(100, Duration::from_secs(20));
        pace.waits();
        pass(5).await;
        pace.came(1);
        pass(60).await;
        assert_eq!(pace.waits(), Instant::now() + Duration::from_secs(15));
    }
}
