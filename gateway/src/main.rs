//! `unclip-gateway`: the gateway as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_gateway::{CacheArgs, Gateway, HttpArgs, RequestArgs, StageArgs};
use unclip_service::{PictureArgs, ServerArgs, Services, exit, listen_address, parse, settle_environment};

/// Gateway of unclip: captions in, pictures out. It needs the addresses of the stages.
#[derive(Debug, Parser)]
#[command(name = "unclip-gateway", version)]
struct Args {
    /// Address to serve gRPC and HTTP at
    #[arg(long, env = "UNCLIP_LISTEN", value_parser = listen_address, default_value = "127.0.0.1:50051", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    stages: StageArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    requests: RequestArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    pictures: PictureArgs,
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
        let Args { stages, cache, requests, pictures, .. } = &args;
        let gateway = Gateway::new(stages.stages()?, cache.config(), requests, pictures.pool())?;
        Ok(gateway.add_to(Services::new(), &args.http)?)
    };
    args.server.run(args.listen, load).await
}
