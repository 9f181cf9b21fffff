//! `unclip-decoder`: the decoder as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_decoder::Decoder;
use unclip_engine::ComputePermit;
use unclip_service::{ServerArgs, Services, exit, listen_address, parse, settle_environment};
use unclip_stage::NetworkArgs;

/// Decoder of unclip: CLIP image embeddings to small pictures.
#[derive(Debug, Parser)]
#[command(name = "unclip-decoder", version)]
struct Args {
    /// Address to serve gRPC at
    #[arg(long, env = "UNCLIP_LISTEN", value_parser = listen_address, default_value = "127.0.0.1:50055", value_name = "HOST:PORT")]
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
        let decoder = Decoder::start(&args.network, ComputePermit::new()).await?;
        Ok(Services::new().with(decoder.into_service()))
    };
    args.server.run(args.listen, load).await
}
