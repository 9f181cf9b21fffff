//! `unclip serve`.

use std::net::SocketAddr;

use unclip_gateway::CacheArgs;
use unclip_service::ServerArgs;
use unclip_stage::{BundleArgs, DeviceArgs, EngineArgs, OnnxRuntimeArgs};

use crate::import::import_if_needed;
use crate::local::{LocalArgs, services};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to serve gRPC at: the gateway and every stage
    #[arg(long, env = "UNCLIP_LISTEN", default_value = "127.0.0.1:50051", value_name = "HOST:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    onnxruntime: OnnxRuntimeArgs,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    args.server.telemetry.start("info")?;
    import_if_needed(&args.bundle.bundle)?;
    let local = LocalArgs {
        bundle: args.bundle,
        device: args.device,
        engine: args.engine,
        onnxruntime: args.onnxruntime,
        cache: args.cache,
    };
    let services = services(&local).await?;
    args.server.serve(args.listen, services).await
}
