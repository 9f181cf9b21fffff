//! The engine as its users see it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::admission::Places;
use crate::job::out_of_range;
use crate::load::{JobLoad, Ledger};
use crate::mailbox::{JobCount, mailbox};
use crate::meters::Meters;
use crate::panics::catch;
use crate::queue::{JobQueue, Refusal, Ticket};
use crate::worker::{Clock, Shared, Worker};
use crate::{
    ComputePermit, DenoiseError, Denoiser, Job, JobHandle, Load, OwnedThread, StartError, SubmitError,
};

/// An engine's limits. Each is at least 1.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The engine's name in metrics, logs and its thread's name, such as `decoder`.
    pub name: String,
    /// The most lanes in a forward: what the device's memory holds at once.
    pub max_lanes: usize,
    /// The most rows that are prepared on the device and take turns. More than fit in a forward share it fairly. One
    /// request gets at most a quarter of them, or as many as fill a forward, and three quarters in any case; runs of 100
    /// forwards and more get three quarters, runs of 10 and more seven eighths.
    pub max_rows: usize,
    /// The most jobs that wait for a row.
    pub queue: usize,
    /// The turn on the device; clones of it go to whatever else computes there.
    pub permit: ComputePermit,
    /// Whether a row must come out the same, to the last bit, whoever shares its forwards. Where the denoiser does not give
    /// that, jobs don't share forwards.
    pub batch_invariant: bool,
}

impl EngineConfig {
    fn check(&self) -> Result<(), StartError> {
        let limits = [("max_lanes", self.max_lanes), ("max_rows", self.max_rows), ("queue", self.queue)];
        match limits.into_iter().find(|(_, value)| *value == 0) {
            Some((field, value)) => Err(StartError::Config(out_of_range(field, value, "at least 1"))),
            None => Ok(()),
        }
    }
}

/// A model on its thread, for jobs with the condition `C`.
///
/// Dropping it stops the thread after the current step; jobs that aren't done fail with
/// [`JobError::EngineStopped`](crate::JobError::EngineStopped). To end without that, [`drain`](Engine::drain)
/// first. The drop waits for the thread; inside a tokio runtime the wait goes to the runtime's blocking threads.
pub struct Engine<C> {
    name: String,
    shared: Arc<Shared<C>>,
    jobs: JobCount,
    thread: Option<OwnedThread>,
}

impl<C: Send + 'static> Engine<C> {
    /// Starts a thread that builds the denoiser and owns it; returns once it is built. The metrics recorder must be
    /// installed before.
    ///
    /// # Errors
    /// When a limit is 0, there is no thread, or `build` fails or panics.
    pub async fn start<D: Denoiser<Condition = C>>(
        config: EngineConfig,
        build: impl FnOnce() -> Result<D, DenoiseError> + Send + 'static,
    ) -> Result<Self, StartError> {
        Self::start_with_clock(config, build, Arc::new(Instant::now)).await
    }

    pub(crate) async fn start_with_clock<D: Denoiser<Condition = C>>(
        config: EngineConfig,
        build: impl FnOnce() -> Result<D, DenoiseError> + Send + 'static,
        clock: Clock,
    ) -> Result<Self, StartError> {
        config.check()?;
        let EngineConfig { name, max_lanes, max_rows, queue, permit, batch_invariant } = config;
        let ledger = Arc::new(Ledger::new(Meters::new(&name)));
        let (queue, places) = (JobQueue::new(queue), Places::new(max_rows, max_lanes));
        let shared = Shared { queue, ledger, permit, clock, max_lanes, places, batch_invariant };
        let mut engine = Self { name, shared: Arc::new(shared), jobs: JobCount::new(), thread: None };
        let (built, is_built) = oneshot::channel();
        engine.spawn(build, built)?;
        is_built.await.unwrap_or_else(|_| Err(StartError::Panicked("the thread ended".to_owned())))?;
        Ok(engine)
    }

    fn spawn<D: Denoiser<Condition = C>>(
        &mut self,
        build: impl FnOnce() -> Result<D, DenoiseError> + Send + 'static,
        built: oneshot::Sender<Result<(), StartError>>,
    ) -> Result<(), StartError> {
        let (shared, name) = (Arc::clone(&self.shared), self.name.clone());
        let run = move || {
            let _span = tracing::info_span!("engine", name).entered();
            let denoiser = catch(build).map_err(StartError::Panicked);
            match denoiser.and_then(|built| built.map_err(StartError::Build)) {
                Err(error) => drop(built.send(Err(error))),
                // A failed send means that the start was given up.
                Ok(denoiser) => drop(built.send(Ok(())).map(|()| Worker::new(denoiser, shared).run())),
            }
        };
        let thread = OwnedThread::spawn(&format!("unclip-{}", self.name), run);
        self.thread = Some(thread.map_err(StartError::Thread)?);
        Ok(())
    }

    /// Queues a job, or refuses it, at once.
    ///
    /// # Errors
    /// When the job is invalid, the queue is full, or the engine drains.
    pub fn submit(&self, job: Job<C>) -> Result<JobHandle, SubmitError> {
        let result = job.validate().and_then(|()| self.enqueue(job));
        let meters = &self.shared.ledger.meters;
        match &result {
            Ok(_) => {}
            Err(SubmitError::Full { .. }) => meters.rejected_full.increment(1),
            Err(SubmitError::Stopped) => meters.rejected_stopped.increment(1),
            Err(SubmitError::Invalid(_)) => meters.rejected_invalid.increment(1),
        }
        result
    }

    fn enqueue(&self, job: Job<C>) -> Result<JobHandle, SubmitError> {
        let (reporter, handle) = mailbox(&self.jobs);
        let ledger = Arc::clone(&self.shared.ledger);
        let ticket = || {
            let load = JobLoad::queued(ledger, job.forwards());
            Ticket { job, reporter, load, submitted: (self.shared.clock)() }
        };
        self.shared.queue.push(ticket).map_err(|refusal| match refusal {
            Refusal::Full => SubmitError::Full { retry_after: self.shared.ledger.retry_after() },
            Refusal::Closed => SubmitError::Stopped,
        })?;
        Ok(handle)
    }

    /// Takes no more jobs from now on, and returns when every job that was taken has its result.
    pub async fn drain(&self) {
        self.shared.queue.drain();
        self.jobs.none_left().await;
    }

    /// How many jobs it can hold at a time, on the device and waiting: a request for more never fits.
    #[must_use]
    pub fn places(&self) -> usize {
        self.shared.places.all() + self.shared.queue.capacity()
    }

    /// What there is to do now.
    #[must_use]
    pub fn load(&self) -> Load {
        self.shared.ledger.load()
    }

    /// The engine's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<C> Drop for Engine<C> {
    fn drop(&mut self) {
        // Then the thread is waited for, as a field.
        self.shared.queue.stop();
    }
}
