//! The bounded queue between clients and the engine's thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::Job;
use crate::admission::Claim;
use crate::load::JobLoad;
use crate::mailbox::Reporter;

/// A job on its way, with what it owes.
pub(crate) struct Ticket<C> {
    pub(crate) job: Job<C>,
    pub(crate) reporter: Reporter,
    pub(crate) load: JobLoad,
    pub(crate) submitted: Instant,
}

impl<C> Ticket<C> {
    /// What admission sees of it.
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim { request: &self.job.name, forwards: self.load.forwards_left() }
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.job.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// Why the queue takes no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    Draining,
    Stopped,
}

/// A line, from which the engine chooses. Jobs whose client has left or whose deadline has passed give up their place.
pub(crate) struct JobQueue<C> {
    inner: Mutex<Inner<C>>,
    changed: Condvar,
    capacity: usize,
}

struct Inner<C> {
    waiting: VecDeque<Ticket<C>>,
    phase: Phase,
}

impl<C> JobQueue<C> {
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = Inner { waiting: VecDeque::new(), phase: Phase::Open };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), capacity }
    }

    /// Queues what `ticket` makes, if there is room for it.
    pub(crate) fn push(&self, ticket: impl FnOnce() -> Ticket<C>) -> Result<(), Refusal> {
        let mut inner = self.lock();
        if inner.phase > Phase::Open {
            return Err(Refusal::Closed);
        }
        if inner.waiting.len() >= self.capacity {
            inner.discard_cancelled();
        }
        if inner.waiting.len() >= self.capacity {
            return Err(Refusal::Full);
        }
        inner.waiting.push_back(ticket());
        self.changed.notify_one();
        Ok(())
    }

    /// Places for jobs that wait.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes out the job that `choose` picks of those that wait, longest waiting first.
    pub(crate) fn take(
        &self,
        choose: impl FnOnce(&VecDeque<Ticket<C>>) -> Option<usize>,
    ) -> Option<Ticket<C>> {
        let mut inner = self.lock();
        let place = choose(&inner.waiting)?;
        inner.waiting.remove(place)
    }

    /// Whether `choose` picks any of the jobs that wait.
    pub(crate) fn has(&self, choose: impl FnOnce(&VecDeque<Ticket<C>>) -> Option<usize>) -> bool {
        choose(&self.lock().waiting).is_some()
    }

    /// Clears the queue of jobs whose client has left, and takes out those whose deadline has passed.
    pub(crate) fn prune(&self, now: Instant) -> VecDeque<Ticket<C>> {
        let mut inner = self.lock();
        inner.discard_cancelled();
        inner.take_out(|ticket| ticket.is_expired(now))
    }

    /// Blocks until a job waits or the queue is stopped; whether it goes on.
    pub(crate) fn wait(&self) -> bool {
        let idle = |inner: &mut Inner<C>| inner.waiting.is_empty() && inner.phase < Phase::Stopped;
        let inner = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        inner.phase < Phase::Stopped
    }

    /// Takes no more jobs.
    pub(crate) fn drain(&self) {
        let mut inner = self.lock();
        inner.phase = inner.phase.max(Phase::Draining);
    }

    /// Takes no more jobs and fails those that wait.
    pub(crate) fn stop(&self) {
        let mut inner = self.lock();
        inner.phase = Phase::Stopped;
        let abandoned = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(abandoned);
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().phase == Phase::Stopped
    }

    fn lock(&self) -> MutexGuard<'_, Inner<C>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Inner<C> {
    fn take_out(&mut self, leaves: impl Fn(&Ticket<C>) -> bool) -> VecDeque<Ticket<C>> {
        let (out, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(leaves);
        self.waiting = waiting;
        out
    }

    fn discard_cancelled(&mut self) {
        for Ticket { job, load, .. } in self.take_out(|ticket| ticket.reporter.is_cancelled()) {
            tracing::debug!(job = job.name, "cancelled in the queue");
            load.cancelled();
        }
    }
}
