//! Flags that servers share.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::port::Port;
use crate::server::Server;
use crate::shutdown::Signals;
use crate::{DoorArgs, LimitArgs, Services, TelemetryArgs};

/// Flags of a server. The address is the caller's own flag, since every server has another default port.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// How long running requests may go on after Ctrl-C or SIGTERM, in seconds
    #[arg(long, env = "UNCLIP_DRAIN_SECONDS", default_value_t = 30, value_name = "SECONDS")]
    pub drain_seconds: u64,
    /// What clients may take.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Which browsers may call.
    #[command(flatten)]
    pub door: DoorArgs,
    /// Logs and metrics.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl ServerArgs {
    /// Serves at `address` what `load` makes, until Ctrl-C or SIGTERM. The port is bound before anything is loaded, and
    /// answers that the server is starting.
    ///
    /// # Errors
    /// An address that can't be bound, a flag whose value can't be used, or those of `load`.
    pub async fn run(
        &self,
        address: SocketAddr,
        load: impl Future<Output = anyhow::Result<Services>>,
    ) -> anyhow::Result<()> {
        let mut signals = Signals::install().context("Ctrl-C and SIGTERM can't be handled")?;
        self.telemetry.start("info")?;
        let port = Port::bind("--listen", address)?;
        let mut server = Server::start(port, self.limits.limits(), &self.door).await?;
        server.open(load.await?).await?;
        signals.graceful();
        signals.received().await;
        server.drain(Duration::from_secs(self.drain_seconds)).await;
        Ok(())
    }
}
