//! The names of the cache's metrics.

/// Requests to the cache, by `kind` and the `source` of the answer. An error counts by who asked for it: `computed` for
/// the request that computed, `joined` for those that waited with it.
pub(super) const REQUESTS: &str = "unclip_cache_requests_total";

/// Calls to Redis that failed or timed out.
pub(super) const REDIS_ERRORS: &str = "unclip_cache_redis_errors_total";

/// 1 while Redis is skipped because it failed, else 0.
pub(super) const REDIS_OPEN: &str = "unclip_cache_redis_open";
