//! The engine's thread: it owns the denoiser and the rows, and takes one step after another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::admission::Places;
use crate::load::Ledger;
use crate::panics::guarded;
use crate::passes::Passes;
use crate::planner::{Leaving, RowState, leaving, plan};
use crate::queue::{JobQueue, Ticket};
use crate::row::{Owed, Row};
use crate::trajectory::Outputs;
use crate::{ComputePermit, Denoiser, JobError, Lane};

/// Tells the time; tests set it.
pub(crate) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The limits and shared parts of an engine.
pub(crate) struct Shared<C> {
    pub(crate) queue: JobQueue<C>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) permit: ComputePermit,
    pub(crate) clock: Clock,
    pub(crate) max_lanes: usize,
    pub(crate) places: Places,
    pub(crate) batch_invariant: bool,
}

/// The state of the engine's thread.
pub(crate) struct Worker<D: Denoiser> {
    denoiser: D,
    shared: Arc<Shared<D::Condition>>,
    rows: BTreeMap<u64, Row<D::Context>>,
    passes: Passes,
    next_id: u64,
    batch: u64,
}

impl<D: Denoiser> Worker<D> {
    pub(crate) fn new(denoiser: D, shared: Arc<Shared<D::Condition>>) -> Self {
        let passes = Passes::new(shared.batch_invariant);
        Self { denoiser, shared, rows: BTreeMap::new(), passes, next_id: 0, batch: 0 }
    }

    /// Steps until the queue is stopped; then the rows that are left fail.
    pub(crate) fn run(mut self) {
        while self.has_work() {
            self.retire();
            self.admit();
            self.step();
        }
        for row in std::mem::take(&mut self.rows).into_values() {
            row.fail(JobError::EngineStopped);
        }
    }

    /// Waits for work. False is the end.
    fn has_work(&self) -> bool {
        if self.rows.is_empty() { self.shared.queue.wait() } else { !self.shared.queue.is_stopped() }
    }

    /// Cancelled and expired jobs leave, from the queue and from the device.
    fn retire(&mut self) {
        let now = self.now();
        for Ticket { job, reporter, load, .. } in self.shared.queue.prune(now) {
            let error = JobError::DeadlineExceeded { step: job.start.step(), steps: job.steps() };
            Owed { reporter, load }.settle(&job.name, Err(error));
        }
        let Leaving { cancelled, expired } = leaving(&self.states(), now);
        cancelled.iter().filter_map(|id| self.rows.remove(id)).for_each(Row::cancel);
        expired.iter().filter_map(|id| self.rows.remove(id)).for_each(Row::expire);
    }

    /// Makes rows of waiting jobs as far as there is room, each preparation under its own permit. Jobs whose
    /// preparation fails take a place as well, lest a stream of them keep the rows from their step.
    fn admit(&mut self) {
        for _ in self.rows.len()..self.shared.places.all() {
            if !self.shared.queue.has(|waiting| self.next(waiting)) {
                return;
            }
            let _permit = self.shared.permit.acquire();
            self.retire();
            let Some(ticket) = self.shared.queue.take(|waiting| self.next(waiting)) else {
                return;
            };
            let waited = self.now().saturating_duration_since(ticket.submitted);
            self.shared.ledger.meters.queue_wait_seconds.record(waited);
            if let Some(row) = Row::admit(ticket, &mut self.denoiser, self.batch) {
                self.rows.insert(self.next_id, row);
                self.next_id += 1;
            }
        }
    }

    /// The place in line of the job to admit, if one may be.
    fn next(&self, waiting: &VecDeque<Ticket<D::Condition>>) -> Option<usize> {
        self.shared.places.next(self.rows.values().map(Row::claim), waiting.iter().map(Ticket::claim))
    }

    /// One forward, and what follows from it.
    fn step(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let permit = self.shared.permit.acquire();
        self.retire();
        let step = plan(&self.states(), self.shared.max_lanes);
        if step.is_empty() || self.shared.queue.is_stopped() {
            return;
        }
        self.batch += 1;
        let outputs = self.forward(&step);
        drop(permit);
        match outputs {
            Ok(outputs) => step.into_iter().zip(outputs).for_each(|(id, outputs)| self.advance(id, outputs)),
            Err(error) => self.fail(&step, &error),
        }
    }

    fn states(&self) -> Vec<RowState> {
        self.rows.iter().map(|(id, row)| row.state(*id)).collect()
    }

    fn fail(&mut self, step: &[u64], error: &JobError) {
        step.iter().filter_map(|id| self.rows.remove(id)).for_each(|row| row.fail(error.clone()));
    }

    /// The model's outputs, row by row. An error is that of every row.
    fn forward(&mut self, step: &[u64]) -> Result<Vec<Outputs>, JobError> {
        let rows: Vec<_> = step.iter().filter_map(|id| self.rows.get(id)).collect();
        let lanes: Vec<Lane<'_, D::Context>> = rows.iter().flat_map(|row| row.lanes()).collect();
        let widths: Vec<usize> = rows.iter().map(|row| row.width()).collect();
        let clock = &self.shared.clock;
        let started = clock();
        let outputs = guarded(|| Ok(self.passes.forward(&mut self.denoiser, &lanes, &widths)?))?;
        self.shared.ledger.forward(rows.len(), lanes.len(), clock().saturating_duration_since(started));
        let wrong_count = JobError::OutputCount { actual: outputs.len(), expected: lanes.len() };
        if outputs.len() != lanes.len() {
            return Err(wrong_count);
        }
        let mut outputs = outputs.into_iter();
        rows.iter().map(|row| row.take_outputs(&mut outputs).ok_or_else(|| wrong_count.clone())).collect()
    }

    /// Takes a row's step. It leaves when it is finished or fails.
    fn advance(&mut self, id: u64, outputs: Outputs) {
        let Some(mut row) = self.rows.remove(&id) else {
            return;
        };
        let advanced = guarded(|| {
            row.advance(outputs, self.batch)?;
            if !row.is_finished() {
                row.set_batch_key(self.denoiser.batch_key(row.view()));
            }
            Ok(())
        });
        match advanced {
            Err(error) => row.fail(error),
            Ok(()) if row.is_finished() => row.finish(),
            Ok(()) => drop(self.rows.insert(id, row)),
        }
    }

    fn now(&self) -> Instant {
        (self.shared.clock)()
    }
}
