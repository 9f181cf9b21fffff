//! The names of all metrics of the servers. Prefix `unclip_`, the unit as suffix, `_total` for counters.

/// Requests that arrived, by `service` and `method`.
pub const REQUESTS: &str = "unclip_requests_total";

/// Requests that a handler refused, by `service`, `method` and gRPC status `code` (a number).
pub const REQUEST_ERRORS: &str = "unclip_request_errors_total";

/// Requests that were refused before a handler saw them or while their body came, by `reason`.
pub const REFUSED: &str = "unclip_refused_total";

/// Connections that are open.
pub const CONNECTIONS: &str = "unclip_connections";

/// Bytes that the bodies of requests under way hold.
pub const UPLOAD_BYTES: &str = "unclip_upload_bytes";
