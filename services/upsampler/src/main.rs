//! `unclip-upsampler`: the upsampler as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_engine::ComputePermit;
use unclip_service::{ServerArgs, Services, exit, wait_passively};
use unclip_stage::NetworkArgs;
use unclip_upsampler::Upsampler;

/// Upsampler of unclip: small pictures to larger ones.
#[derive(Debug, Parser)]
#[command(name = "unclip-upsampler", version)]
struct Args {
    /// Address to serve gRPC at
    #[arg(long, env = "UNCLIP_LISTEN", default_value = "127.0.0.1:50056", value_name = "HOST:PORT")]
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
    let upsampler = Upsampler::start(&args.network, ComputePermit::new()).await?;
    args.server.serve(args.listen, Services::new().with(upsampler.into_service())).await
}
