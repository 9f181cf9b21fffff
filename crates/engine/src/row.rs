//! A row: an admitted job, with what the device keeps of it.

use std::time::Instant;

use crate::admission::Claim;
use crate::load::JobLoad;
use crate::mailbox::Reporter;
use crate::panics::guarded;
use crate::planner::RowState;
use crate::queue::Ticket;
use crate::trajectory::{Course, Outputs, Trajectory};
use crate::{Branch, Denoiser, Event, Finished, Job, JobError, Lane, StepView};

/// An admitted job. `X` is the denoiser's context.
pub(crate) struct Row<X> {
    name: String,
    trajectory: Trajectory,
    context: X,
    deadline: Option<Instant>,
    preview_every: u32,
    checkpoint_every: u32,
    last_stepped: u64,
    batch_key: u32,
    owed: Owed,
}

/// What the engine owes to a job's client and to its own books.
pub(crate) struct Owed {
    pub(crate) reporter: Reporter,
    pub(crate) load: JobLoad,
}

impl Owed {
    /// Gives the load back, then the result out.
    pub(crate) fn settle(self, name: &str, result: Result<Finished, JobError>) {
        match &result {
            Ok(_) => tracing::debug!(job = name, "finished"),
            Err(error) => tracing::warn!(job = name, %error, "failed"),
        }
        drop(self.load);
        self.reporter.finish(result);
    }
}

impl<X> Row<X> {
    /// Makes a ticket a row; `batch` is the number of the last batch. A failed preparation settles the job.
    pub(crate) fn admit<D>(ticket: Ticket<D::Condition>, denoiser: &mut D, batch: u64) -> Option<Self>
    where
        D: Denoiser<Context = X>,
    {
        let Ticket { mut job, reporter, load, .. } = ticket;
        let (name, deadline) = (std::mem::take(&mut job.name), job.deadline);
        let (preview_every, checkpoint_every) = (job.preview_every, job.checkpoint_every);
        let mut owed = Owed { reporter, load };
        owed.load.admitted();
        match guarded(|| prepare(job, denoiser)) {
            Ok((trajectory, context, batch_key)) => {
                let last_stepped = batch;
                let row = Self {
                    name,
                    trajectory,
                    context,
                    deadline,
                    preview_every,
                    checkpoint_every,
                    last_stepped,
                    batch_key,
                    owed,
                };
                row.greet();
                Some(row)
            }
            Err(error) => {
                owed.settle(&name, Err(error));
                None
            }
        }
    }

    fn greet(&self) {
        let StepView { index: step, steps } = self.view();
        tracing::debug!(job = self.name, step, steps, guided = self.trajectory.guided(), "admitted");
        self.owed.reporter.send(Event::Progress { step, steps });
    }

    pub(crate) fn state(&self, id: u64) -> RowState {
        RowState {
            id,
            last_stepped: self.last_stepped,
            lanes: self.width(),
            batch_key: self.batch_key,
            deadline: self.deadline,
            cancelled: self.owed.reporter.is_cancelled(),
        }
    }

    /// What admission sees of it.
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim { request: &self.name, forwards: self.owed.load.forwards_left() }
    }

    /// The row's lanes in a forward, the conditional one first.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = Lane<'_, X>> {
        self.branches().iter().map(|branch| Lane {
            x_t: self.trajectory.seen(),
            timestep: self.trajectory.timestep(),
            context: &self.context,
            branch: *branch,
            step: self.trajectory.view(),
        })
    }

    /// Takes this row's share off the outputs of a forward.
    pub(crate) fn take_outputs(&self, outputs: &mut impl Iterator<Item = Vec<f32>>) -> Option<Outputs> {
        let conditional = outputs.next()?;
        let unconditional = if self.trajectory.guided() { Some(outputs.next()?) } else { None };
        Some(Outputs { conditional, unconditional })
    }

    /// The number of its lanes.
    pub(crate) fn width(&self) -> usize {
        self.branches().len()
    }

    fn branches(&self) -> &'static [Branch] {
        match self.trajectory.guided() {
            true => &[Branch::Conditional, Branch::Unconditional],
            false => &[Branch::Conditional],
        }
    }

    /// Takes a forward's outputs in batch number `batch`. A step that is done is told to the client; one that is refined
    /// or repeated takes several forwards.
    pub(crate) fn advance(&mut self, outputs: Outputs, batch: u64) -> Result<(), JobError> {
        let x_0 = self.trajectory.advance(outputs)?;
        self.last_stepped = batch;
        self.owed.load.stepped();
        if self.trajectory.is_between_steps() {
            self.report(x_0);
        }
        Ok(())
    }

    fn report(&self, x_0: Vec<f32>) {
        let StepView { index: step, steps } = self.trajectory.view();
        let send = |event| self.owed.reporter.send(event);
        send(Event::Progress { step, steps });
        if self.is_finished() {
            return;
        }
        if is_due(step, self.preview_every) {
            send(Event::Preview { step, x_0 });
        }
        if is_due(step, self.checkpoint_every) {
            let noise = self.trajectory.noise_position();
            send(Event::Checkpoint { step, x_t: self.trajectory.x_t().to_vec(), noise });
        }
    }

    pub(crate) fn view(&self) -> StepView {
        self.trajectory.view()
    }

    pub(crate) fn set_batch_key(&mut self, batch_key: u32) {
        self.batch_key = batch_key;
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.trajectory.is_finished()
    }

    /// Hands the finished sample out.
    pub(crate) fn finish(self) {
        let noise = self.trajectory.noise_position();
        let sample = self.trajectory.into_sample();
        drop(self.context);
        self.owed.settle(&self.name, Ok(Finished { sample, noise }));
    }

    pub(crate) fn fail(self, error: JobError) {
        drop(self.context);
        self.owed.settle(&self.name, Err(error));
    }

    pub(crate) fn expire(self) {
        let StepView { index: step, steps } = self.trajectory.view();
        self.fail(JobError::DeadlineExceeded { step, steps });
    }

    pub(crate) fn cancel(self) {
        let StepView { index: step, steps } = self.trajectory.view();
        tracing::debug!(job = self.name, step, steps, "cancelled");
        self.owed.load.cancelled();
    }
}

fn prepare<D: Denoiser>(
    job: Job<D::Condition>,
    denoiser: &mut D,
) -> Result<(Trajectory, D::Context, u32), JobError> {
    let guided = job.guided();
    let context = denoiser.prepare(job.condition, guided)?;
    let Job { sampler, timesteps, guidance_scale, sample_len, keep, .. } = job;
    let course = Course { sampler, timesteps, guidance_scale, sample_len, keep };
    let trajectory = Trajectory::new(course, job.start);
    let batch_key = denoiser.batch_key(trajectory.view());
    Ok((trajectory, context, batch_key))
}

fn is_due(step: u32, every: u32) -> bool {
    every > 0 && step.is_multiple_of(every)
}
