//! The handles of one engine's metrics.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::metric_names as names;

/// Resolved once, when the engine starts: the process must have its recorder by then.
#[derive(Clone)]
pub(crate) struct Meters {
    pub(crate) rows: Gauge,
    pub(crate) queue_jobs: Gauge,
    pub(crate) outstanding_steps: Gauge,
    pub(crate) batch_lanes: Histogram,
    pub(crate) step_seconds: Histogram,
    pub(crate) queue_wait_seconds: Histogram,
    pub(crate) steps: Counter,
    pub(crate) saved_steps: Counter,
    pub(crate) rejected_full: Counter,
    pub(crate) rejected_stopped: Counter,
    pub(crate) rejected_invalid: Counter,
}

impl Meters {
    pub(crate) fn new(engine: &str) -> Self {
        names::describe();
        let labels = [(names::LABEL_ENGINE, engine.to_owned())];
        let rejected = |reason: &str| {
            let reason = (names::LABEL_REASON, reason.to_owned());
            let [engine] = labels.clone();
            counter!(names::REJECTED_TOTAL, &[engine, reason])
        };
        Self {
            rows: gauge!(names::ROWS, &labels),
            queue_jobs: gauge!(names::QUEUE_JOBS, &labels),
            outstanding_steps: gauge!(names::OUTSTANDING_STEPS, &labels),
            batch_lanes: histogram!(names::BATCH_LANES, &labels),
            step_seconds: histogram!(names::STEP_SECONDS, &labels),
            queue_wait_seconds: histogram!(names::QUEUE_WAIT_SECONDS, &labels),
            steps: counter!(names::STEPS_TOTAL, &labels),
            saved_steps: counter!(names::SAVED_STEPS_TOTAL, &labels),
            rejected_full: rejected("full"),
            rejected_stopped: rejected("stopped"),
            rejected_invalid: rejected("invalid"),
        }
    }
}
