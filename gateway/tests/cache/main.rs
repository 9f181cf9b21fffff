//! The cache as the gateway uses it: in one process, with a real Redis, and with a Redis that fails.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

mod faults;
mod in_process;
mod redis_server;
mod shared;
mod support;
