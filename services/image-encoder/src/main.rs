//! `unclip-image-encoder`: the image encoder as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_engine::ComputePermit;
use unclip_image_encoder::ImageEncoder;
use unclip_service::{PictureArgs, ServerArgs, Services, exit, listen_address, parse, settle_environment};
use unclip_stage::{BundleArgs, OnnxRuntimeArgs};

/// Image encoder of unclip: pictures to CLIP image embeddings. It runs on the CPU.
#[derive(Debug, Parser)]
#[command(name = "unclip-image-encoder", version)]
struct Args {
    /// Address to serve gRPC at
    #[arg(long, env = "UNCLIP_LISTEN", value_parser = listen_address, default_value = "127.0.0.1:50053", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    onnxruntime: OnnxRuntimeArgs,
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
        let (onnxruntime, permit) = (args.onnxruntime.path(), ComputePermit::new());
        let encoder = ImageEncoder::start(&args.bundle, onnxruntime, permit, args.pictures.pool()).await?;
        Ok(Services::new().with(encoder.into_service()))
    };
    args.server.run(args.listen, load).await
}
