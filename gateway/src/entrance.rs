//! How a request's pictures come into a stage whose queue is full. A request is refused as long as the stage has taken nothing
//! of it; from then on its pictures wait for their places, so that nothing drawn is thrown away because the rest has to wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, Semaphore};
use unclip_service::{Code, Error};

/// Pictures of all requests that may wait for their places.
const WAITING: usize = 256;

/// When to ask again, unless the stage said it or a picture of the same request has left.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The bounds of a hint: stock clients try twice more, so that a shorter wait makes them give up at once, and take no longer one.
const HINTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A full stage's error with the time after which `pictures` fit: it says when one does.
pub(crate) fn hint_for(pictures: u32, error: Error) -> Error {
    match error.code {
        Code::ResourceExhausted => {
            let one = error.retry_after.unwrap_or(HINTS.0);
            Error { retry_after: Some(one.saturating_mul(pictures).clamp(HINTS.0, HINTS.1)), ..error }
        }
        _ => error,
    }
}

/// Room for the pictures of all requests that wait.
#[derive(Debug)]
pub(crate) struct WaitingRoom(Semaphore);

impl Default for WaitingRoom {
    fn default() -> Self {
        Self(Semaphore::new(WAITING))
    }
}

/// A request's way into one stage.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    /// Held while the request's first call is made.
    first: Mutex<()>,
    taken: AtomicBool,
    left: Notify,
}

impl Entrance {
    /// The way into a stage that continues what another began.
    pub(crate) fn open() -> Self {
        Self { taken: AtomicBool::new(true), ..Self::default() }
    }

    /// From now on calls wait, whether or not the first one was taken.
    pub(crate) fn promise(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// Makes a call. The request's first one goes alone and decides whether the request is taken; later ones wait.
    ///
    /// # Errors
    /// Those of the call; a full queue only while nothing was taken, or when too many pictures wait.
    pub(crate) async fn enter<T, F>(&self, room: &WaitingRoom, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if let Some(first) = self.first(&call).await? {
            return Ok(first);
        }
        let mut place = None;
        loop {
            let full = match call().await {
                Err(error) if error.code == Code::ResourceExhausted => error,
                result => return result,
            };
            if place.is_none() {
                place = Some(room.0.try_acquire().map_err(|_| full.clone())?);
            }
            let again = full.retry_after.unwrap_or(ASK_AGAIN);
            // A picture that left has made room, or somebody else's has by then.
            let _ = tokio::time::timeout(again, self.left.notified()).await;
        }
    }

    /// The call of the first picture, if this is it. None where it has to wait.
    async fn first<T, F>(&self, call: impl Fn() -> F) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let _first = self.first.lock().await;
        if self.taken.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match call().await {
            Ok(entered) => {
                self.promise();
                Ok(Some(entered))
            }
            Err(error) if error.code == Code::ResourceExhausted && self.taken.load(Ordering::Relaxed) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A picture of the request has left the stage.
    pub(crate) fn left(&self) {
        self.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use futures::future::try_join_all;

    use super::*;

    fn full() -> Error {
        let retry_after = Some(Duration::from_secs(3600));
        Error { retry_after, ..Error::new(Code::ResourceExhausted, "full") }
    }

    #[tokio::test(start_paused = true)]
    async fn sixteen_pictures_pass_six_places() {
        let (entrance, room) = (Entrance::default(), WaitingRoom::default());
        let places = Arc::new(Semaphore::new(6));
        let drawn = AtomicUsize::new(0);
        let draw = async |_| {
            let place = || async { places.clone().try_acquire_owned().map_err(|_| full()) };
            let place = entrance.enter(&room, place).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(place);
            entrance.left();
            drawn.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Error>(())
        };
        let started = tokio::time::Instant::now();
        try_join_all((0..16).map(draw)).await.unwrap();
        assert_eq!(drawn.into_inner(), 16);
        assert!(started.elapsed() < Duration::from_secs(10), "nobody waits for the hint where one has left");
        assert_eq!(room.0.available_permits(), WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_of_which_nothing_was_taken_is_refused() {
        let entrance = Entrance::default();
        let asked = AtomicUsize::new(0);
        let call = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(full())
        };
        let error = entrance.enter(&WaitingRoom::default(), call).await.unwrap_err();
        assert_eq!((error.code, asked.into_inner()), (Code::ResourceExhausted, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_promised_waits() {
        let entrance = Entrance::default();
        let asked = AtomicUsize::new(0);
        let call = || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match asked.fetch_add(1, Ordering::Relaxed) {
                0..3 => Err(full()),
                _ => Ok(()),
            }
        };
        let room = WaitingRoom::default();
        let (entered, ()) = tokio::join!(entrance.enter(&room, call), async { entrance.promise() });
        entered.unwrap();
    }

    #[test]
    fn a_hint_is_for_all_pictures_and_no_client_gives_up_at_once() {
        let hint = |millis, pictures| {
            let one = Error { retry_after: Some(Duration::from_millis(millis)), ..full() };
            hint_for(pictures, one).retry_after.unwrap().as_millis()
        };
        assert_eq!((hint(100, 1), hint(500, 8), hint(30_000, 16)), (1_000, 4_000, 60_000));
        let gone = Error::new(Code::Unavailable, "gone");
        assert_eq!(hint_for(4, gone.clone()).retry_after, gone.retry_after, "a lost stage is not a full one");
    }

    #[tokio::test(start_paused = true)]
    async fn few_pictures_may_wait() {
        let room = WaitingRoom(Semaphore::new(0));
        let error = Entrance::open().enter(&room, || async { Err::<(), _>(full()) }).await.unwrap_err();
        assert_eq!(error.code, Code::ResourceExhausted);
    }

    #[tokio::test(start_paused = true)]
    async fn other_failures_end_the_wait() {
        let gone = || async { Err::<(), _>(Error::new(Code::Unavailable, "gone")) };
        let error = Entrance::open().enter(&WaitingRoom::default(), gone).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
    }
}
