//! `unclip serve`.

use std::net::SocketAddr;

use unclip_service::ServerArgs;

use crate::import::import_if_needed;
use crate::local::{LocalArgs, services};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to serve at: the gateway (gRPC and HTTP) and every stage (gRPC)
    #[arg(long, env = "UNCLIP_LISTEN", default_value = "127.0.0.1:50051", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    local: LocalArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    args.server.telemetry.start("info")?;
    import_if_needed(&args.local.network.bundle.bundle)?;
    let services = services(&args.local).await?;
    args.server.serve(args.listen, services).await
}
