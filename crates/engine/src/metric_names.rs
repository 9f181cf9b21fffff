//! The names of the engine's metrics. All begin with `unclip_engine_`, end in their unit, and are labelled with
//! the engine's name.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// The label with the engine's name.
pub const LABEL_ENGINE: &str = "engine";
/// The label of [`REJECTED_TOTAL`] that says why: `full`, `stopped` or `invalid`.
pub const LABEL_REASON: &str = "reason";

/// Gauge: rows on the device.
pub const ROWS: &str = "unclip_engine_rows";
/// Gauge: jobs that wait for a row.
pub const QUEUE_JOBS: &str = "unclip_engine_queue_jobs";
/// Gauge: steps still to take for all jobs, waiting or running.
pub const OUTSTANDING_STEPS: &str = "unclip_engine_outstanding_steps";
/// Histogram: lanes per forward.
pub const BATCH_LANES: &str = "unclip_engine_batch_lanes";
/// Histogram: seconds of a forward, without the wait for the device.
pub const STEP_SECONDS: &str = "unclip_engine_step_seconds";
/// Histogram: seconds from submission to the start of preparation.
pub const QUEUE_WAIT_SECONDS: &str = "unclip_engine_queue_wait_seconds";
/// Counter: steps taken, one per row.
pub const STEPS_TOTAL: &str = "unclip_engine_steps_total";
/// Counter: steps not taken because the client left.
pub const SAVED_STEPS_TOTAL: &str = "unclip_engine_saved_steps_total";
/// Counter: jobs not taken on, by reason.
pub const REJECTED_TOTAL: &str = "unclip_engine_rejected_total";

/// Gives the recorder every metric's unit and meaning.
pub(crate) fn describe() {
    describe_gauge!(ROWS, Unit::Count, "Rows on the device");
    describe_gauge!(QUEUE_JOBS, Unit::Count, "Jobs that wait for a row");
    describe_gauge!(OUTSTANDING_STEPS, Unit::Count, "Steps still to take for all jobs, waiting or running");
    describe_histogram!(BATCH_LANES, Unit::Count, "Lanes per forward");
    describe_histogram!(
        STEP_SECONDS,
        Unit::Seconds,
        "Duration of a forward, without the wait for the device"
    );
    describe_histogram!(
        QUEUE_WAIT_SECONDS,
        Unit::Seconds,
        "Time from submission to the start of preparation"
    );
    describe_counter!(STEPS_TOTAL, Unit::Count, "Steps taken, one per row");
    describe_counter!(SAVED_STEPS_TOTAL, Unit::Count, "Steps not taken because the client left");
    describe_counter!(REJECTED_TOTAL, Unit::Count, "Jobs not taken on, by reason");
}
