//! All jobs of a request, followed to their end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use unclip_engine::{Event, Finished, Job, JobHandle};
use unclip_proto::v1::Progress;
use unclip_service::{Code, Error};
use unclip_stage::{DiffusionStage, job_error};

use crate::denoiser::Condition;

/// Jobs of a request in the engine at a time. The rest waits here, so that the engine's queue has places for others.
const AT_ONCE: usize = 64;

/// The time between two tries to queue a job, unless the engine says another.
const RETRY: Duration = Duration::from_secs(1);

type Stage = DiffusionStage<Condition>;

/// A request's jobs: those that the engine has taken, and those that wait.
pub(crate) struct Jobs {
    taken: Vec<JobHandle>,
    rest: VecDeque<Job<Condition>>,
}

impl Jobs {
    /// Queues as many as may be in the engine at once.
    ///
    /// # Errors
    /// A job that can't run, or a queue that takes none of them.
    pub(crate) fn start(
        stage: &Stage,
        jobs: impl IntoIterator<Item = Job<Condition>>,
    ) -> Result<Self, Error> {
        let mut jobs = Self { taken: Vec::new(), rest: jobs.into_iter().collect() };
        while let Some(job) = jobs.rest.front().filter(|_| jobs.taken.len() < AT_ONCE) {
            match stage.submit(job.clone()) {
                Ok(handle) => jobs.taken.push(handle),
                Err(error) if is_full(&error) && !jobs.taken.is_empty() => break,
                Err(error) => return Err(error),
            }
            jobs.rest.pop_front();
        }
        Ok(jobs)
    }

    /// Waits for every job; `progress` hears how far the one is that is furthest behind. The first failure ends all: the
    /// other jobs are cancelled.
    ///
    /// # Errors
    /// That failure.
    pub(crate) async fn run(
        self,
        stage: &Stage,
        mut progress: impl FnMut(Progress),
    ) -> Result<Vec<Finished>, Error> {
        let mut done = vec![0; self.taken.len() + self.rest.len()];
        let mut reported = 0;
        let (sender, mut news) = mpsc::unbounded_channel();
        let taken = self.taken.into_iter().map(Turn::Taken);
        let turns = taken.chain(self.rest.into_iter().map(|job| Turn::Waits(Box::new(job))));
        let jobs = turns.enumerate().map(|(job, turn)| follow(stage, job, turn, sender.clone()));
        let jobs = stream::iter(jobs).buffered(AT_ONCE).try_collect();
        tokio::pin!(jobs);
        loop {
            tokio::select! {
                result = &mut jobs => return result,
                Some((job, step, steps)) = news.recv() => {
                    if let Some(mine) = done.get_mut(job) {
                        *mine = step;
                    }
                    let step = done.iter().copied().min().unwrap_or_default();
                    if step > reported {
                        reported = step;
                        progress(Progress { step, steps });
                    }
                }
            }
        }
    }
}

/// A job, before or after the engine has taken it.
enum Turn {
    Taken(JobHandle),
    Waits(Box<Job<Condition>>),
}

async fn follow(
    stage: &Stage,
    number: usize,
    turn: Turn,
    news: mpsc::UnboundedSender<(usize, u32, u32)>,
) -> Result<Finished, Error> {
    let mut handle = match turn {
        Turn::Taken(handle) => handle,
        Turn::Waits(job) => queue(stage, &job).await?,
    };
    while let Some(event) = handle.next_event().await {
        if let Event::Progress { step, steps } = event {
            // The receiver lives as long as this future.
            let _ = news.send((number, step, steps));
        }
    }
    handle.finish().await.map_err(|error| job_error(stage.name(), &error))
}

/// Waits for a place in the engine's queue.
async fn queue(stage: &Stage, job: &Job<Condition>) -> Result<JobHandle, Error> {
    loop {
        match stage.submit(job.clone()) {
            Err(error) if is_full(&error) => {
                let again = Instant::now() + error.retry_after.unwrap_or(RETRY);
                if job.deadline.is_some_and(|deadline| deadline <= again) {
                    return Err(Error::deadline(stage.name()));
                }
                tokio::time::sleep_until(again.into()).await;
            }
            result => return result,
        }
    }
}

fn is_full(error: &Error) -> bool {
    error.code == Code::ResourceExhausted
}
