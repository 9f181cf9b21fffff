//! `unclip vary`.

use unclip_proto::v1::VaryImageRequest;
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::DrawArgs;
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture, or latents (.safetensors) of `unclip invert`, `unclip encode`, `unclip prior` or --tensors; - for standard
    /// input
    #[arg(value_name = "LATENT")]
    latent: String,
    /// Variations
    #[arg(short = 'n', long = "count", default_value_t = 4, value_name = "K")]
    count: u32,
    #[command(flatten)]
    drawing: DrawArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let request = VaryImageRequest {
        latent: Some(latents::parse(&args.latent)?),
        n: Some(args.count),
        options: Some(args.drawing.options()?),
    };
    let mut drawing = args.drawing.output.begin(args.count, |index| format!("variation {index}"), None)?;
    let mut client = drawing.client(&args.connection).await?;
    let stream = client.vary_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    drawing.take(stream, args.count).await?;
    drawing.finish()
}
