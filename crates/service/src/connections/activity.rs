//! What a connection does, as far as its limits care.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits::{DRAIN_PATIENCE, Limits};

/// Shared by a connection's socket, its requests and whoever watches its time.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    evicted: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests whose answers are not over.
    open: usize,
    /// Those of them that a drain waits for.
    work: usize,
    /// Those of `open` that wait for the client: to send its body, or to take its answer.
    waiting: usize,
    /// When the connection began to wait for its client alone.
    since: Instant,
    /// When the head of the next request began to arrive.
    head: Option<Instant>,
    has_asked: bool,
    is_http2: bool,
    /// Whether the operating system takes no more of an answer: the client does not.
    is_blocked: bool,
    is_evicted: bool,
}

impl Activity {
    /// Of a connection that has just been accepted.
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            open: 0,
            work: 0,
            waiting: 0,
            since: Instant::now(),
            head: None,
            has_asked: false,
            is_http2: false,
            is_blocked: false,
            is_evicted: false,
        };
        Arc::new(Self { state: Mutex::new(state), evicted: Notify::new() })
    }

    /// A request begins. `is_work` is false for what has no end of its own, such as a health check's stream.
    pub(crate) fn request(self: &Arc<Self>, is_work: bool) -> OpenRequest {
        let mut state = self.lock();
        state.open += 1;
        state.work += usize::from(is_work);
        state.has_asked = true;
        state.head = None;
        OpenRequest { activity: Arc::clone(self), is_work }
    }

    /// Bytes came in.
    pub(crate) fn heard(&self) {
        let mut state = self.lock();
        if state.open == 0 && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// The client speaks HTTP/2.
    pub(crate) fn is_http2(&self) {
        self.lock().is_http2 = true;
    }

    /// The client takes no more of what was sent, or does again.
    pub(crate) fn blocked(&self, is_blocked: bool) {
        let mut state = self.lock();
        state.is_blocked = is_blocked;
        state.waits_from_now();
    }

    /// When the connection has to be closed unless something happens. None while a request is open.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let state = self.lock();
        if state.open > 0 {
            return None;
        }
        // The frames of HTTP/2 say nothing of heads; whoever sends a part of one answers no ping.
        let header = match (state.is_http2, state.has_asked) {
            (true, _) => None,
            (false, true) => state.head,
            (false, false) => Some(state.since),
        };
        Some(header.map_or(state.since + limits.idle, |began| began + limits.header))
    }

    /// Whether a drain waits for it: for a request, or for the rest of an answer while its client takes it.
    pub(crate) fn has_work(&self) -> bool {
        let state = self.lock();
        state.work > 0 || state.is_blocked && state.since.elapsed() < DRAIN_PATIENCE
    }

    /// Since when it waits for its client alone. None when it does not, or is on its way out.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.waiting == state.open && !state.is_evicted).then_some(state.since)
    }

    /// Ends the connection: another needs its place.
    pub(crate) fn evict(&self) {
        self.lock().is_evicted = true;
        self.evicted.notify_one();
    }

    /// Waits for [`Activity::evict`].
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waits_from_now(&mut self) {
        if self.waiting == self.open {
            self.since = Instant::now();
        }
    }
}

/// A request whose answer is not over. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    activity: Arc<Activity>,
    is_work: bool,
}

impl OpenRequest {
    /// It waits for its client until the guard is dropped.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        let mut state = self.activity.lock();
        state.waiting += 1;
        state.waits_from_now();
        Waiting(Arc::clone(self))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.open -= 1;
        state.work -= usize::from(self.is_work);
        state.waits_from_now();
    }
}

/// A request that waits for its client.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<OpenRequest>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.activity.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        Limits { header: Duration::from_secs(10), idle: Duration::from_secs(120), ..Limits::for_metrics() }
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_asked_has_the_heads_time_and_an_idle_one_its_own() {
        let (activity, start) = (Activity::new(), Instant::now());
        let after = |seconds| Some(start + Duration::from_secs(seconds));
        assert_eq!(activity.deadline(&limits()), after(10));
        let request = activity.request(true);
        assert_eq!(activity.deadline(&limits()), None);
        pass(5).await;
        drop(request);
        assert_eq!(activity.deadline(&limits()), after(125));
        pass(1).await;
        activity.heard();
        pass(1).await;
        activity.heard();
        assert_eq!(activity.deadline(&limits()), after(16), "a head has its time from its first byte");
    }

    #[tokio::test(start_paused = true)]
    async fn http2_may_be_idle_from_the_start() {
        let (activity, start) = (Activity::new(), Instant::now());
        activity.is_http2();
        activity.heard();
        assert_eq!(activity.deadline(&limits()), Some(start + Duration::from_secs(120)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_waits_for_its_client_can_be_evicted() {
        let activity = Activity::new();
        assert!(activity.waiting_since().is_some());
        let (upload, work) = (Arc::new(activity.request(true)), activity.request(true));
        let waiting = upload.wait();
        assert_eq!(activity.waiting_since(), None);
        drop(work);
        assert_eq!(activity.waiting_since(), Some(Instant::now()));
        drop(waiting);
        assert_eq!(activity.waiting_since(), None);
        drop(upload);
        activity.evict();
        assert_eq!(activity.waiting_since(), None, "once is enough");
        activity.evicted().await;
    }

    #[test]
    fn a_health_watch_is_no_work() {
        let activity = Activity::new();
        let watch = activity.request(false);
        assert!(!activity.has_work());
        let call = activity.request(true);
        assert!(activity.has_work());
        drop((watch, call));
        assert!(!activity.has_work());
    }
}
