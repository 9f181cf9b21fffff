//! What lies between the engine's thread and a job's client. The thread never waits for the client: of each kind
//! of event only the newest is kept, and the result always arrives.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::{Event, Finished, JobError};

type JobResult = Result<Finished, JobError>;

#[derive(Default)]
struct Mailbox {
    contents: Mutex<Contents>,
    news: Notify,
    cancelled: AtomicBool,
}

#[derive(Default)]
struct Contents {
    events: VecDeque<Event>,
    result: Option<JobResult>,
    closed: bool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, result: JobResult) {
        let mut contents = self.lock();
        if !contents.closed {
            contents.closed = true;
            contents.result = Some(result);
        }
        drop(contents);
        self.news.notify_one();
    }
}

/// A mailbox's two ends. The engine counts as busy until the reporter is gone.
pub(crate) fn mailbox(jobs: &JobCount) -> (Reporter, JobHandle) {
    let mailbox = Arc::new(Mailbox::default());
    (Reporter { mailbox: Arc::clone(&mailbox), _open: jobs.open() }, JobHandle { mailbox })
}

/// The engine's end. Dropped without a result, it reports [`JobError::EngineStopped`].
pub(crate) struct Reporter {
    mailbox: Arc<Mailbox>,
    _open: OpenJob,
}

impl Reporter {
    /// Puts an event in, in place of an unread one of its kind.
    pub(crate) fn send(&self, event: Event) {
        let mut contents = self.mailbox.lock();
        contents.events.retain(|unread| discriminant(unread) != discriminant(&event));
        contents.events.push_back(event);
        drop(contents);
        self.mailbox.news.notify_one();
    }

    pub(crate) fn finish(self, result: JobResult) {
        self.mailbox.close(result);
    }

    /// Whether the client has dropped its handle.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.mailbox.cancelled.load(Ordering::Acquire)
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.mailbox.close(Err(JobError::EngineStopped));
    }
}

/// The client's end of a job. Dropping it, also inside [`JobHandle::finish`], cancels the job: its row leaves
/// before the next step.
#[must_use = "dropping the handle cancels the job"]
pub struct JobHandle {
    mailbox: Arc<Mailbox>,
}

impl JobHandle {
    /// The next event, or none once the job is over. A client that is slower than the engine gets the newest of
    /// each kind and misses those between. Cancel safe.
    pub async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.mailbox.news.notified().await;
        }
    }

    /// The result. Events that haven't been read are dropped.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn finish(self) -> Result<Finished, JobError> {
        loop {
            if let Some(result) = self.take_result() {
                return result;
            }
            self.mailbox.news.notified().await;
        }
    }

    /// An event, the end, or nothing yet.
    fn try_next(&self) -> Option<Option<Event>> {
        let mut contents = self.mailbox.lock();
        match contents.events.pop_front() {
            Some(event) => Some(Some(event)),
            None => contents.closed.then_some(None),
        }
    }

    fn take_result(&self) -> Option<JobResult> {
        self.mailbox.lock().result.take()
    }
}

impl std::fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobHandle").field("over", &self.mailbox.lock().closed).finish()
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.mailbox.cancelled.store(true, Ordering::Release);
    }
}

/// How many jobs an engine has that it still owes a result.
pub(crate) struct JobCount(Arc<watch::Sender<usize>>);

impl JobCount {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    fn open(&self) -> OpenJob {
        self.0.send_modify(|count| *count += 1);
        OpenJob(Arc::clone(&self.0))
    }

    /// Returns when every job has its result.
    pub(crate) async fn none_left(&self) {
        // The sender lives in `self`, so the wait can't fail.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

struct OpenJob(Arc<watch::Sender<usize>>);

impl Drop for OpenJob {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn progress(step: u32) -> Event {
        Event::Progress { step, steps: 9 }
    }

    #[test]
    fn the_newest_event_of_a_kind_wins() {
        let (reporter, mut handle) = mailbox(&JobCount::new());
        reporter.send(progress(1));
        reporter.send(Event::Preview { step: 1, x_0: vec![] });
        reporter.send(progress(2));
        assert_eq!(handle.next_event().now_or_never(), Some(Some(Event::Preview { step: 1, x_0: vec![] })));
        assert_eq!(handle.next_event().now_or_never(), Some(Some(progress(2))));
        assert_eq!(handle.next_event().now_or_never(), None);
        reporter.send(progress(3));
        drop(reporter);
        assert_eq!(handle.next_event().now_or_never(), Some(Some(progress(3))));
        assert_eq!(handle.next_event().now_or_never(), Some(None));
        assert!(matches!(handle.finish().now_or_never(), Some(Err(JobError::EngineStopped))));
    }

    #[test]
    fn a_job_is_open_until_its_result_is_there() {
        let jobs = JobCount::new();
        let (reporter, handle) = mailbox(&jobs);
        assert!(jobs.none_left().now_or_never().is_none());
        drop(handle);
        assert!(reporter.is_cancelled());
        reporter.finish(Err(JobError::Panicked(String::new())));
        assert!(jobs.none_left().now_or_never().is_some());
    }
}
