//! `unclip-text-encoder`: the text encoder as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_engine::ComputePermit;
use unclip_service::{ServerArgs, Services, exit, listen_address, parse, settle_environment};
use unclip_stage::{BundleArgs, OnnxRuntimeArgs};
use unclip_text_encoder::TextEncoder;

/// Text encoder of unclip: captions to CLIP text embeddings. It runs on the CPU.
#[derive(Debug, Parser)]
#[command(name = "unclip-text-encoder", version)]
struct Args {
    /// Address to serve gRPC at
    #[arg(long, env = "UNCLIP_LISTEN", value_parser = listen_address, default_value = "127.0.0.1:50052", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    onnxruntime: OnnxRuntimeArgs,
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
        let encoder = TextEncoder::start(&args.bundle, args.onnxruntime.path(), ComputePermit::new()).await?;
        Ok(Services::new().with(encoder.into_service()))
    };
    args.server.run(args.listen, load).await
}
