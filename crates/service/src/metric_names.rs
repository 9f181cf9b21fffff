//! The names of all metrics of the servers. Prefix `unclip_`, the unit as suffix, `_total` for counters.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Counter: requests that arrived, by `service` and `method`. What no contract has is `other`.
pub const REQUESTS: &str = "unclip_requests_total";
/// Gauge: requests whose stream has not ended, by `service` and `method`.
pub const REQUESTS_IN_FLIGHT: &str = "unclip_requests_in_flight";
/// Counter: requests that ended with another code than OK, at once or in their stream, by `service`, `method` and gRPC status
/// `code` (a number). A client that went away counts as 1, CANCELLED.
pub const REQUEST_ERRORS: &str = "unclip_request_errors_total";
/// Counter: requests that were refused before a handler saw them or while their body came, by `reason`.
pub const REFUSED: &str = "unclip_refused_total";
/// Gauge: connections that are open.
pub const CONNECTIONS: &str = "unclip_connections";
/// Gauge: bytes that the bodies of requests under way hold.
pub const UPLOAD_BYTES: &str = "unclip_upload_bytes";
/// Histogram: seconds from a request's headers to the end of its stream, by `service` and `method`.
pub const REQUEST_DURATION_SECONDS: &str = "unclip_request_duration_seconds";
/// Counter: calls to a `stage` that were sent once more, because it had not begun them.
pub const STAGE_RETRIES: &str = "unclip_stage_retries_total";
/// Gauge: always 1, by `version`, git `revision` and cargo `profile`.
pub const BUILD_INFO: &str = "unclip_build_info";

/// From an answer out of a cache to pictures drawn on a CPU.
const DURATION: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];
/// From one row on a GPU to a full batch of a large upsampler on a CPU.
const STEP: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0];
/// From an idle engine to a full queue.
const WAIT: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];
/// A guided row is two lanes; `--max-batch` is 16 unless given.
const LANES: [f64; 12] = [1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0];

/// Upper bounds of a histogram's buckets, by the end of its name: that of the quantity and its unit.
pub const BUCKETS: [(&str, &[f64]); 4] = [
    ("_duration_seconds", &DURATION),
    ("_step_seconds", &STEP),
    ("_wait_seconds", &WAIT),
    ("_lanes", &LANES),
];

/// Gives the recorder every metric's unit and meaning.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests that arrived");
    describe_gauge!(REQUESTS_IN_FLIGHT, Unit::Count, "Requests whose stream has not ended");
    describe_counter!(REQUEST_ERRORS, Unit::Count, "Requests that ended with another gRPC status than OK");
    describe_histogram!(
        REQUEST_DURATION_SECONDS,
        Unit::Seconds,
        "Time from a request's headers to the end of its stream"
    );
    describe_counter!(REFUSED, Unit::Count, "Requests that were refused before a handler saw them");
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections that are open");
    describe_gauge!(UPLOAD_BYTES, Unit::Bytes, "What the bodies of requests under way hold");
    describe_counter!(STAGE_RETRIES, Unit::Count, "Calls to a stage that were sent once more");
    describe_gauge!(BUILD_INFO, Unit::Count, "What is running");
}
