//! What the gateway knows of one stage: what it serves, and whether it answers at all. A task asks the stage in the
//! background, so that no request does, and so that a stage that hangs costs a request nothing once that is known.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tonic::{Response, Status, Streaming};
use unclip_proto::Maker;
use unclip_proto::v1::ModelInfo;
use unclip_service::{Code, Error};

use crate::pulse::Pulse;

/// The time between two questions to a stage that answers.
const REFRESH: Duration = Duration::from_secs(5);

/// The time after which a stage that did not answer is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// How long an answer may take. A stage whose network computes answers at once: it asks no network for this.
const PATIENCE: Duration = Duration::from_secs(5);

/// 1 while a stage leaves calls without an answer, else 0; by stage.
const SILENT: &str = "unclip_stage_silent";

/// Asks a stage what it serves.
pub(crate) type Ask = Box<dyn Fn() -> BoxFuture<'static, Result<ModelInfo, Error>> + Send + Sync>;

/// A call to a stage. On the heap: it is tens of kilobytes.
pub(crate) type Call<'a, T> = BoxFuture<'a, Result<T, Status>>;

/// One stage, watched. Clones watch together; the watch ends with the last one.
#[derive(Clone)]
pub(crate) struct StageWatch(Arc<Watched>);

struct Watched {
    name: &'static str,
    state: watch::Sender<State>,
    hurry: Arc<Notify>,
    task: AbortHandle,
}

/// What is known.
#[derive(Clone, Default)]
struct State {
    /// What the stage last said of itself.
    info: Option<ModelInfo>,
    /// Who made its last result, where that is another than `info` names.
    newer: Option<Maker>,
    /// Why it did not say anything when it was last asked.
    fault: Option<Error>,
    /// Whether it lets calls wait without end.
    silent: bool,
    /// Questions that have ended, one way or the other.
    asked: u64,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StageWatch {
    /// Watches a stage from now on, inside a tokio runtime. `pulse` beats when anything comes from the stage.
    pub(crate) fn start(name: &'static str, pulse: Pulse, ask: Ask) -> Self {
        let (state, hurry) = (watch::Sender::new(State::default()), Arc::new(Notify::new()));
        let asking = keep_asking(name, pulse, ask, state.clone(), Arc::clone(&hurry));
        let task = tokio::spawn(asking).abort_handle();
        Self(Arc::new(Watched { name, state, hurry, task }))
    }

    /// What the stage serves, as it said last: known results outlive their stage. Waits only as long as it never said so.
    ///
    /// # Errors
    /// Why a stage that was never reached does not answer.
    pub(crate) async fn info(&self) -> Result<ModelInfo, Error> {
        let mut news = self.0.state.subscribe();
        let before = news.borrow().asked;
        let unknown = |state: &State| state.info.is_none() && !state.silent;
        if unknown(&news.borrow()) {
            self.0.hurry.notify_one();
        }
        let state = news.wait_for(|state| !unknown(state) || state.asked > before).await;
        let state = state.map(|state| state.clone()).unwrap_or_default();
        state.info.ok_or_else(|| state.fault.unwrap_or_else(|| silence(self.0.name)))
    }

    /// Who would answer now, as far as is known.
    ///
    /// # Errors
    /// Those of [`StageWatch::info`].
    pub(crate) async fn maker(&self) -> Result<Maker, Error> {
        let newer = self.0.state.borrow().newer.clone();
        match newer {
            Some(maker) => Ok(maker),
            None => Ok(Maker::from(&self.info().await?)),
        }
    }

    /// Notes who made a result. A stage that was replaced is asked again what it serves.
    pub(crate) fn saw(&self, maker: &Maker) {
        let is_news = self.0.state.send_if_modified(|state| {
            let current = state.newer.clone().or_else(|| state.info.as_ref().map(Maker::from));
            let is_news = current.is_some_and(|current| current != *maker);
            if is_news {
                state.newer = Some(maker.clone());
            }
            is_news
        });
        if is_news {
            self.0.hurry.notify_one();
        }
    }

    /// Waits for a call to the stage, unless the stage is silent: then the call is not made, or given up.
    pub(crate) async fn call<T>(&self, work: Call<'_, Response<T>>) -> Result<T, Error> {
        self.unless_silent(work).await.map(Response::into_inner)
    }

    /// The same for a call whose answer is a stream.
    pub(crate) async fn stream<T>(
        &self,
        work: Call<'_, Response<Streaming<T>>>,
    ) -> Result<StageStream<T>, Error> {
        Ok(StageStream { stream: self.call(work).await?, watch: self.clone() })
    }

    async fn unless_silent<T>(&self, work: impl Future<Output = Result<T, Status>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            error = self.falls_silent() => Err(error),
            result = work => result.map_err(|status| self.failed(&status)),
        }
    }

    async fn falls_silent(&self) -> Error {
        let mut news = self.0.state.subscribe();
        let silent = news.wait_for(|state| state.silent).await.is_ok();
        // The state lives as long as `self`, so there is always an answer.
        if silent { silence(self.0.name) } else { pending().await }
    }

    /// A call failed: is anybody there?
    fn failed(&self, status: &Status) -> Error {
        let error = Error::from_status(self.0.name, status);
        if error.code == Code::Unavailable {
            self.0.hurry.notify_one();
        }
        error
    }
}

/// A stream from a stage, which ends with an error when the stage falls silent.
pub(crate) struct StageStream<T> {
    stream: Streaming<T>,
    watch: StageWatch,
}

impl<T> StageStream<T> {
    /// The next message; none at the end.
    pub(crate) async fn message(&mut self) -> Result<Option<T>, Error> {
        let Self { stream, watch } = self;
        watch.unless_silent(stream.message()).await
    }

    /// Reads the end that follows a result: a stage whose stream is dropped before it counts a call that was cancelled. The
    /// result stands, whatever the end says.
    pub(crate) async fn end(mut self) {
        let _ = self.message().await;
    }
}

async fn keep_asking(
    name: &'static str,
    pulse: Pulse,
    ask: Ask,
    state: watch::Sender<State>,
    hurry: Arc<Notify>,
) {
    report(name, false, false);
    loop {
        let asked = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, ask()).await;
        let answered = matches!(answer, Ok(Ok(_)));
        // With many calls under way a question may have to wait for its turn.
        let silent = answer.is_err() && !pulse.beat_since(asked);
        let was_silent = state.borrow().silent;
        state.send_modify(|state| state.note(name, answer.unwrap_or_else(|_| Err(silence(name))), silent));
        report(name, was_silent, silent);
        tokio::time::sleep_until(asked + RETRY).await;
        if answered {
            // Nothing to do with the outcome: in either case it is time to ask.
            let _ = tokio::time::timeout(REFRESH, hurry.notified()).await;
        }
    }
}

impl State {
    fn note(&mut self, name: &str, answer: Result<ModelInfo, Error>, silent: bool) {
        self.asked += 1;
        self.silent = silent;
        match answer {
            Ok(info) => {
                if self.info.as_ref().is_some_and(|before| before.fingerprint != info.fingerprint) {
                    tracing::info!(stage = name, fingerprint = info.fingerprint, "another model serves");
                }
                (self.info, self.newer, self.fault) = (Some(info), None, None);
            }
            Err(error) => {
                if self.fault.is_none() {
                    tracing::warn!(stage = name, %error, "the stage does not say what it serves");
                }
                self.fault = Some(error);
            }
        }
    }
}

fn report(name: &'static str, was_silent: bool, silent: bool) {
    let stage = name.replace(' ', "-");
    metrics::gauge!(SILENT, "stage" => stage).set(f64::from(u8::from(silent)));
    match (was_silent, silent) {
        (false, true) => {
            tracing::warn!(stage = name, "no answer; requests that need it fail until it answers");
        }
        (true, false) => tracing::info!(stage = name, "no longer silent"),
        _ => {}
    }
}

fn silence(name: &str) -> Error {
    let message = format!("the {name} does not answer; try again later");
    Error { retry_after: Some(PATIENCE), ..Error::new(Code::Unavailable, message) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;

    use super::*;

    /// What the stage does with a question.
    #[derive(Clone)]
    enum Does {
        Answer(&'static str),
        Refuse,
        Hang,
    }

    #[derive(Clone)]
    struct Rig {
        does: Arc<Mutex<Does>>,
        pulse: Pulse,
        watch: StageWatch,
    }

    fn rig(does: Does) -> Rig {
        let (does, pulse) = (Arc::new(Mutex::new(does)), Pulse::default());
        let asked = Arc::clone(&does);
        let ask: Ask = Box::new(move || {
            let does = asked.lock().unwrap().clone();
            async move {
                match does {
                    Does::Answer(fingerprint) => Ok(info(fingerprint)),
                    Does::Refuse => Err(Error::new(Code::Unavailable, "refused")),
                    Does::Hang => pending().await,
                }
            }
            .boxed()
        });
        let watch = StageWatch::start("prior", pulse.clone(), ask);
        Rig { does, pulse, watch }
    }

    impl Rig {
        fn now(&self, does: Does) {
            *self.does.lock().unwrap() = does;
        }

        async fn fingerprint(&self) -> String {
            self.watch.info().await.unwrap().fingerprint
        }
    }

    fn info(fingerprint: &str) -> ModelInfo {
        ModelInfo { fingerprint: fingerprint.to_owned(), dtype: "f32".to_owned(), ..Default::default() }
    }

    /// A call that is never answered.
    async fn hangs(watch: &StageWatch) -> Error {
        watch.call::<()>(pending().boxed()).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn the_info_is_kept_up_to_date_and_outlives_its_stage() {
        let rig = rig(Does::Answer("a"));
        assert_eq!(rig.fingerprint().await, "a");
        rig.now(Does::Answer("b"));
        assert_eq!(rig.watch.info().now_or_never().unwrap().unwrap().fingerprint, "a", "without a wait");
        tokio::time::sleep(REFRESH * 2).await;
        assert_eq!(rig.fingerprint().await, "b");
        for gone in [Does::Refuse, Does::Hang] {
            rig.now(gone);
            tokio::time::sleep(REFRESH * 4).await;
            assert_eq!(rig.watch.info().now_or_never().unwrap().unwrap().fingerprint, "b");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_maker_counts_at_once_and_has_the_stage_asked() {
        let rig = rig(Does::Answer("a"));
        assert_eq!(rig.fingerprint().await, "a");
        rig.now(Does::Answer("b"));
        rig.watch.saw(&Maker::from(&info("b")));
        assert_eq!(rig.watch.maker().now_or_never().unwrap().unwrap().fingerprint, "b");
        tokio::time::sleep(RETRY * 2).await;
        assert_eq!(rig.fingerprint().await, "b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_was_never_there_is_asked_anew_by_every_request() {
        let rig = rig(Does::Refuse);
        assert_eq!(rig.watch.info().await.unwrap_err().message, "refused");
        rig.now(Does::Answer("a"));
        assert_eq!(rig.fingerprint().await, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_to_a_silent_stage_end_and_later_ones_are_not_made() {
        let rig = rig(Does::Answer("a"));
        assert_eq!(rig.fingerprint().await, "a");
        rig.now(Does::Hang);
        let started = Instant::now();
        let error = hangs(&rig.watch).await;
        assert_eq!((error.code, error.retry_after.is_some()), (Code::Unavailable, true));
        assert!(started.elapsed() <= REFRESH + RETRY + PATIENCE);
        assert!(hangs(&rig.watch).now_or_never().is_some(), "at once");
        rig.now(Does::Answer("a"));
        tokio::time::sleep(PATIENCE + RETRY * 2).await;
        assert!(rig.watch.call(async { Ok(Response::new(())) }.boxed()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_is_silent_from_the_start_costs_one_wait() {
        let rig = rig(Does::Hang);
        assert_eq!(rig.watch.info().await.unwrap_err().code, Code::Unavailable);
        assert!(rig.watch.info().now_or_never().unwrap().is_err());
        assert!(hangs(&rig.watch).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_sends_something_is_not_silent() {
        let rig = rig(Does::Answer("a"));
        assert_eq!(rig.fingerprint().await, "a");
        rig.now(Does::Hang);
        for _ in 0..30 {
            tokio::time::sleep(RETRY).await;
            rig.pulse.beat();
            assert!(rig.watch.falls_silent().now_or_never().is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_refuses_is_not_silent() {
        let rig = rig(Does::Refuse);
        tokio::time::sleep(REFRESH * 4).await;
        let refused = rig.watch.call::<()>(async { Err(Status::unavailable("refused")) }.boxed()).await;
        assert_eq!(refused.unwrap_err().message, "the prior can't be reached; try again");
    }
}
