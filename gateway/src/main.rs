//! `unclip-gateway`: the gateway as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_gateway::{CacheArgs, Gateway, HttpArgs, StageArgs};
use unclip_service::{ServerArgs, Services, exit};

/// Gateway of unclip: captions in, pictures out. It needs the addresses of the stages.
#[derive(Debug, Parser)]
#[command(name = "unclip-gateway", version)]
struct Args {
    /// Address to serve gRPC and HTTP at
    #[arg(long, env = "UNCLIP_LISTEN", default_value = "127.0.0.1:50051", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    stages: StageArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    server: ServerArgs,
}

fn main() -> ExitCode {
    exit(run(Args::parse()))
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<()> {
    args.server.telemetry.start("info")?;
    let gateway = Gateway::new(args.stages.stages()?, args.cache.config())?;
    args.server.serve(args.listen, gateway.add_to(Services::new(), &args.http)?).await
}
