//! Logs and metrics of a process.

use std::io::IsTerminal as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::redact::RedactedStderr;
use crate::{listen_address, metrics_port};

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
    /// `info,unclip_engine=debug`. Absent: info for servers, warn for other commands
    #[arg(long, env = "UNCLIP_LOG", value_parser = filter, value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, env = "UNCLIP_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Address for Prometheus to scrape, as 0.0.0.0:9090. Absent: no metrics
    #[arg(long, env = "UNCLIP_METRICS_LISTEN", value_parser = listen_address, value_name = "HOST:PORT")]
    pub metrics_listen: Option<SocketAddr>,
}

impl TelemetryArgs {
    /// Starts logging and, if asked for, the metrics endpoint. Call it once, inside a tokio runtime. `default_log` is the
    /// filter where none was given.
    ///
    /// # Errors
    /// A filter that does not parse, or an address that can't be bound.
    pub fn start(&self, default_log: &str) -> anyhow::Result<()> {
        let given = self.log.as_deref().unwrap_or(default_log);
        // ONNX Runtime tells about every graph optimisation at level info; a filter that names `ort` still wins.
        let filter = EnvFilter::try_new(format!("ort=warn,{given}"))
            .with_context(|| format!("--log: `{given}` is no filter"))?;
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            // Told where they happen: where nobody reads the log any more, that would be a panic.
            .log_internal_errors(false)
            .with_writer(RedactedStderr);
        match self.log_format {
            LogFormat::Text => logs.try_init(),
            LogFormat::Json => logs.json().flatten_event(true).try_init(),
        }
        .map_err(|error| anyhow::anyhow!("logging can't start: {error}"))?;
        self.metrics_listen.map_or(Ok(()), metrics_port::serve)
    }
}

/// Refuses what is no filter.
fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| {
        format!("{error}; give a level (error, warn, info, debug, trace), or levels by module as in info,unclip_engine=debug")
    })
}
