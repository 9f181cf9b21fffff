//! The names of the cache's metrics.

use metrics::{Unit, describe_counter, describe_gauge};

/// Requests to the cache, by `kind` and the `source` of the answer. An error counts by who asked for it: `computed` for
/// the request that computed, `joined` for those that waited with it.
pub(super) const REQUESTS: &str = "unclip_cache_requests_total";

/// Calls to Redis that failed or timed out.
pub(super) const REDIS_ERRORS: &str = "unclip_cache_redis_errors_total";

/// 1 while Redis is skipped because it failed, else 0.
pub(super) const REDIS_OPEN: &str = "unclip_cache_redis_open";

/// Gives the recorder every metric's unit and meaning.
pub(super) fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests to the cache");
    describe_counter!(REDIS_ERRORS, Unit::Count, "Calls to Redis that failed or timed out");
    describe_gauge!(REDIS_OPEN, Unit::Count, "1 while Redis is skipped because it failed");
}
