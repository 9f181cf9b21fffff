//! How much an engine has to do: for its gauges, for balancing, and for the hint to whom it turns away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::meters::Meters;

/// The retry hint as long as no step has been measured.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The bounds of the retry hint: no busy polling, by which stock clients' two retries would be over at once, and no longer wait than
/// a new replica takes to start.
const RETRY_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The weight of the newest measurement in the running mean.
const NEWEST: f64 = 0.2;

/// What an engine has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Rows on the device.
    pub rows: usize,
    /// Jobs that wait for a row.
    pub queued: usize,
    /// Forwards still to take for all of them; one per step, more where steps are refined or repeated.
    pub outstanding_steps: u64,
}

/// Keeps an engine's load and shows it in the gauges.
pub(crate) struct Ledger {
    state: Mutex<State>,
    pub(crate) meters: Meters,
}

#[derive(Default)]
struct State {
    load: Load,
    /// The running mean of a forward's seconds divided by its rows.
    seconds_per_row_step: Option<f64>,
}

impl Ledger {
    pub(crate) fn new(meters: Meters) -> Self {
        Self { state: Mutex::default(), meters }
    }

    pub(crate) fn load(&self) -> Load {
        self.with(|state| state.load)
    }

    /// Records a forward.
    pub(crate) fn forward(&self, rows: usize, lanes: usize, duration: Duration) {
        self.meters.batch_lanes.record(lanes as f64);
        self.meters.step_seconds.record(duration);
        let seconds = duration.as_secs_f64() / rows.max(1) as f64;
        self.with(|state| {
            let before = state.seconds_per_row_step.unwrap_or(seconds);
            state.seconds_per_row_step = Some(before + NEWEST * (seconds - before));
        });
    }

    pub(crate) fn retry_after(&self) -> Duration {
        self.with(|state| retry_after(state.load, state.seconds_per_row_step))
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, f: impl FnOnce(&mut Load)) {
        self.with(|state| {
            f(&mut state.load);
            self.meters.rows.set(state.load.rows as f64);
            self.meters.queue_jobs.set(state.load.queued as f64);
            self.meters.outstanding_steps.set(state.load.outstanding_steps as f64);
        });
    }
}

/// The mean time between two departures: all outstanding work, shared by the jobs that wait for it.
fn retry_after(load: Load, seconds_per_row_step: Option<f64>) -> Duration {
    let Some(seconds) = seconds_per_row_step else {
        return FIRST_RETRY;
    };
    let jobs = (load.rows + load.queued).max(1) as f64;
    let hint = Duration::try_from_secs_f64(seconds * load.outstanding_steps as f64 / jobs);
    hint.unwrap_or(RETRY_BOUNDS.1).clamp(RETRY_BOUNDS.0, RETRY_BOUNDS.1)
}

/// One job's share of the load. Dropping it gives back what is left.
pub(crate) struct JobLoad {
    ledger: Arc<Ledger>,
    steps_left: u32,
    on_device: bool,
}

impl JobLoad {
    /// A job that waits, with so many forwards to take.
    pub(crate) fn queued(ledger: Arc<Ledger>, steps: u32) -> Self {
        ledger.change(|load| {
            load.queued += 1;
            load.outstanding_steps += u64::from(steps);
        });
        Self { ledger, steps_left: steps, on_device: false }
    }

    /// The forwards that the job still has to take.
    pub(crate) fn forwards_left(&self) -> u32 {
        self.steps_left
    }

    /// The job has left the queue for the device.
    pub(crate) fn admitted(&mut self) {
        if !std::mem::replace(&mut self.on_device, true) {
            self.ledger.change(|load| {
                load.queued = load.queued.saturating_sub(1);
                load.rows += 1;
            });
        }
    }

    /// A forward was taken.
    pub(crate) fn stepped(&mut self) {
        self.ledger.meters.steps.increment(1);
        if self.steps_left > 0 {
            self.steps_left -= 1;
            self.ledger.change(|load| load.outstanding_steps = load.outstanding_steps.saturating_sub(1));
        }
    }

    /// The client left: what is left is saved work.
    pub(crate) fn cancelled(self) {
        self.ledger.meters.saved_steps.increment(u64::from(self.steps_left));
    }
}

impl Drop for JobLoad {
    fn drop(&mut self) {
        self.ledger.change(|load| {
            let jobs = if self.on_device { &mut load.rows } else { &mut load.queued };
            *jobs = jobs.saturating_sub(1);
            load.outstanding_steps = load.outstanding_steps.saturating_sub(u64::from(self.steps_left));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gives_back_what_it_took() {
        let ledger = Arc::new(Ledger::new(Meters::new("test")));
        let mut first = JobLoad::queued(Arc::clone(&ledger), 10);
        let second = JobLoad::queued(Arc::clone(&ledger), 5);
        first.admitted();
        first.stepped();
        assert_eq!(ledger.load(), Load { rows: 1, queued: 1, outstanding_steps: 14 });
        drop(first);
        second.cancelled();
        assert_eq!(ledger.load(), Load::default());
    }

    #[test]
    fn the_hint_is_the_mean_time_between_departures() {
        let load = Load { rows: 4, queued: 6, outstanding_steps: 200 };
        assert_eq!(retry_after(load, None), FIRST_RETRY);
        assert_eq!(retry_after(load, Some(0.05)), Duration::from_secs(1));
        assert_eq!(retry_after(load, Some(1e9)), RETRY_BOUNDS.1);
        assert_eq!(retry_after(Load::default(), Some(0.05)), RETRY_BOUNDS.0);
    }
}
