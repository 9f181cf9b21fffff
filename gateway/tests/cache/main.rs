//! The cache as the gateway uses it: in one process, with a real Redis, and with a Redis that fails.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

mod cluster;
mod failover;
mod faults;
mod in_process;
mod redis_server;
mod set_ups;
mod shared;
mod support;
mod tls;
