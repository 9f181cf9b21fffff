//! `unclip serve`.

use std::net::SocketAddr;

use unclip_service::{ServerArgs, listen_address};

use crate::import::import_if_needed;
use crate::local::{LocalArgs, services};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to serve at: the gateway (gRPC and HTTP) and every stage (gRPC)
    #[arg(long, env = "UNCLIP_LISTEN", value_parser = listen_address, default_value = "127.0.0.1:50051", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    local: LocalArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let load = async {
        import_if_needed(&args.local.network.bundle.bundle)?;
        services(&args.local).await
    };
    args.server.run(args.listen, load).await
}
