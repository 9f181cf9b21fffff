//! `unclip-upsampler`: the upsampler as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_engine::ComputePermit;
use unclip_service::{ServerArgs, Services, exit, listen_address, parse, settle_environment};
use unclip_stage::NetworkArgs;
use unclip_upsampler::Upsampler;

/// Upsampler of unclip: small pictures to larger ones.
#[derive(Debug, Parser)]
#[command(name = "unclip-upsampler", version)]
struct Args {
    /// Address to serve gRPC at
    #[arg(long, env = "UNCLIP_LISTEN", value_parser = listen_address, default_value = "127.0.0.1:50056", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    server: ServerArgs,
}

fn main() -> ExitCode {
    settle_environment();
    exit(run(parse()))
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<()> {
    let load = async {
        let upsampler = Upsampler::start(&args.network, ComputePermit::new()).await?;
        Ok(Services::new().with(upsampler.into_service()))
    };
    args.server.run(args.listen, load).await
}
