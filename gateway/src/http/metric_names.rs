//! The names of the HTTP interfaces' metrics.

use metrics::{Unit, describe_counter, describe_histogram};

/// Counter: answers, by `route` and `status`. A client that went away before the end counts as 499.
pub(super) const REQUESTS: &str = "unclip_http_requests_total";
/// Histogram: seconds from a request's headers to the end of the answer's body, by `route`.
pub(super) const REQUEST_DURATION_SECONDS: &str = "unclip_http_request_duration_seconds";

/// Gives the recorder every metric's unit and meaning.
pub(super) fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Answers over HTTP");
    describe_histogram!(
        REQUEST_DURATION_SECONDS,
        Unit::Seconds,
        "Time from a request's headers to the end of the answer's body"
    );
}
