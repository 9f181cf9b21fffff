//! The names of all metrics of the servers. Prefix `unclip_`, the unit as suffix, `_total` for counters.

/// Requests that arrived, by `service` and `method`.
pub const REQUESTS: &str = "unclip_requests_total";

/// Requests that a handler refused, by `service`, `method` and gRPC status `code` (a number).
pub const REQUEST_ERRORS: &str = "unclip_request_errors_total";
