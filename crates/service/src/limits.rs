//! What clients may take: connections, time and memory.

use std::time::Duration;

use clap::{Args, value_parser};

/// How long a client may be silent once the server drains. What is not silent has the whole drain.
pub(crate) const DRAIN_PATIENCE: Duration = Duration::from_secs(3);

/// Flags for what clients may take. The same on every server.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// The most connections at a time. Beyond it, the one that has waited longest for its client is closed
    #[arg(long, env = "UNCLIP_MAX_CONNECTIONS", default_value_t = 1024, value_parser = value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    pub max_connections: u32,
    /// How long a connection's first request, and any later one's head, may take to arrive, in seconds
    #[arg(long, env = "UNCLIP_HEADER_TIMEOUT_SECONDS", default_value_t = 10, value_parser = value_parser!(u32).range(1..=3600), value_name = "SECONDS")]
    pub header_timeout_seconds: u32,
    /// How long the body of a request may arrive more slowly than --body-kib-per-second, and how long a client may take nothing
    /// of its answer, in seconds
    #[arg(long, env = "UNCLIP_BODY_TIMEOUT_SECONDS", default_value_t = 20, value_parser = value_parser!(u32).range(1..=3600), value_name = "SECONDS")]
    pub body_timeout_seconds: u32,
    /// The least rate at which the body of a request has to arrive, in KiB per second. 0: any
    #[arg(long, env = "UNCLIP_BODY_KIB_PER_SECOND", default_value_t = 4, value_parser = value_parser!(u32).range(0..=1_048_576), value_name = "KIB")]
    pub body_kib_per_second: u32,
    /// How long a connection may be open without a request, in seconds
    #[arg(long, env = "UNCLIP_IDLE_TIMEOUT_SECONDS", default_value_t = 120, value_parser = value_parser!(u32).range(1..=86_400), value_name = "SECONDS")]
    pub idle_timeout_seconds: u32,
    /// How often an HTTP/2 client is asked whether it is there, and how long it has to answer, in seconds
    #[arg(long, env = "UNCLIP_HTTP2_PING_SECONDS", default_value_t = 20, value_parser = value_parser!(u32).range(1..=3600), value_name = "SECONDS")]
    pub http2_ping_seconds: u32,
    /// Memory for the bodies of requests under way, over gRPC, JSON and OpenAI's API together, in MiB; beyond it they are
    /// refused with RESOURCE_EXHAUSTED or 503
    #[arg(long, env = "UNCLIP_UPLOADS_MIB", default_value_t = 512, value_parser = value_parser!(u32).range(64..=65_536), value_name = "MIB")]
    pub uploads_mib: u32,
}

/// The same as values.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) header: Duration,
    pub(crate) body: Duration,
    /// Bytes that have to arrive within `body`.
    pub(crate) body_quota: usize,
    pub(crate) idle: Duration,
    pub(crate) ping: Duration,
    /// In bytes.
    pub(crate) uploads: usize,
}

impl LimitArgs {
    pub(crate) fn limits(&self) -> Limits {
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let rate = (self.body_kib_per_second as usize) << 10;
        Limits {
            connections: self.max_connections as usize,
            header: seconds(self.header_timeout_seconds),
            body: seconds(self.body_timeout_seconds),
            body_quota: rate.saturating_mul(self.body_timeout_seconds as usize).max(1),
            idle: seconds(self.idle_timeout_seconds),
            ping: seconds(self.http2_ping_seconds),
            uploads: (self.uploads_mib as usize) << 20,
        }
    }
}

impl Limits {
    /// For a port that only Prometheus asks.
    pub(crate) fn for_metrics() -> Self {
        Self {
            connections: 64,
            header: Duration::from_secs(10),
            body: Duration::from_secs(10),
            body_quota: 1,
            idle: Duration::from_secs(120),
            ping: Duration::from_secs(20),
            uploads: 1 << 20,
        }
    }
}
