//! `unclip-decoder`: the decoder as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_decoder::Decoder;
use unclip_engine::ComputePermit;
use unclip_service::{ServerArgs, Services, exit, wait_passively};
use unclip_stage::NetworkArgs;

/// Decoder of unclip: CLIP image embeddings to small pictures.
#[derive(Debug, Parser)]
#[command(name = "unclip-decoder", version)]
struct Args {
    /// Address to serve gRPC at
    #[arg(long, env = "UNCLIP_LISTEN", default_value = "127.0.0.1:50055", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    server: ServerArgs,
}

fn main() -> ExitCode {
    wait_passively();
    exit(run(Args::parse()))
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<()> {
    args.server.telemetry.start("info")?;
    let decoder = Decoder::start(&args.network, ComputePermit::new()).await?;
    args.server.serve(args.listen, Services::new().with(decoder.into_service())).await
}
