//! Logs and metrics of a process.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags for logs and metrics.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logs and metrics")]
pub struct TelemetryArgs {
    /// Which log lines to write, to standard error: a level (error, warn, info, debug, trace), or levels by module as in
    /// `info,unclip_engine=debug`
    #[arg(long, env = "UNCLIP_LOG", default_value = "info", global = true)]
    pub log: String,
    /// How log lines look
    #[arg(
        long,
        env = "UNCLIP_LOG_FORMAT",
        value_enum,
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,
    /// Address for Prometheus to scrape, as 0.0.0.0:9090. Absent: no metrics
    #[arg(long, env = "UNCLIP_METRICS_LISTEN", value_name = "HOST:PORT", global = true)]
    pub metrics_listen: Option<SocketAddr>,
}

impl TelemetryArgs {
    /// Starts logging and, if asked for, the metrics endpoint. Call it once, inside a tokio runtime.
    ///
    /// # Errors
    /// A filter that does not parse, or an address that can't be bound.
    pub fn start(&self) -> anyhow::Result<()> {
        let filter =
            EnvFilter::try_new(&self.log).with_context(|| format!("--log: `{}` is no filter", self.log))?;
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => logs.try_init(),
            LogFormat::Json => logs.json().flatten_event(true).try_init(),
        }
        .map_err(|error| anyhow::anyhow!("logging can't start: {error}"))?;
        if let Some(address) = self.metrics_listen {
            PrometheusBuilder::new()
                .with_http_listener(address)
                .install()
                .with_context(|| format!("--metrics-listen: {address} can't be bound"))?;
        }
        Ok(())
    }
}
