//! `unclip-prior`: the prior as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use unclip_engine::ComputePermit;
use unclip_prior::Prior;
use unclip_service::{
    ServerArgs, Services, connect, exit, listen_address, parse, retry_once, server_url, settle_environment,
};
use unclip_stage::NetworkArgs;

/// Prior of unclip: CLIP text embeddings to CLIP image embeddings.
#[derive(Debug, Parser)]
#[command(name = "unclip-prior", version)]
struct Args {
    /// Address to serve gRPC at
    #[arg(long, env = "UNCLIP_LISTEN", value_parser = listen_address, default_value = "127.0.0.1:50054", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Address of a text encoder, as http://HOST:PORT. With it requests may bring captions instead of encodings
    #[arg(long, env = "UNCLIP_TEXT_ENCODER", value_parser = server_url, value_name = "URL")]
    text_encoder: Option<String>,
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
    let way = |url| connect("--text-encoder", url).map(|way| retry_once("text encoder", way));
    let text_encoder = args.text_encoder.as_deref().map(way).transpose()?;
    let load = async {
        let prior = Prior::start(&args.network, ComputePermit::new(), text_encoder).await?;
        Ok(Services::new().with(prior.into_service()))
    };
    args.server.run(args.listen, load).await
}
