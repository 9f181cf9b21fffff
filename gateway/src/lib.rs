//! Gateway: orchestration, caches and the public API.
