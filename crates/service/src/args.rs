//! Flags that servers share.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;

use crate::{Services, TelemetryArgs, shutdown_signal};

/// Flags of a server. The address is the caller's own flag, since every server has another default port.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// How long running requests may go on after Ctrl-C or SIGTERM, in seconds
    #[arg(long, env = "UNCLIP_DRAIN_SECONDS", default_value_t = 30, value_name = "SECONDS")]
    pub drain_seconds: u64,
    /// Logs and metrics.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl ServerArgs {
    /// Serves at `address` until Ctrl-C or SIGTERM.
    ///
    /// # Errors
    /// An address that can't be bound, or a server that fails.
    pub async fn serve(&self, address: SocketAddr, services: Services) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("--listen: {address} can't be bound; is another server running there?")
        })?;
        services.serve(listener, shutdown_signal(), Duration::from_secs(self.drain_seconds)).await
    }
}
