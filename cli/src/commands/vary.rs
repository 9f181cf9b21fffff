//! `unclip vary`.

use unclip_proto::v1::VaryImageRequest;
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{DrawArgs, collect};
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture, or latents (.safetensors) of `unclip invert` or `unclip encode`
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
    let mut client = args.connection.client().await?;
    let stream = client.vary_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    let labels: Vec<String> = (0..args.count).map(|index| format!("variation {index}")).collect();
    let images = collect(stream, labels.len()).await?;
    args.drawing.finish(&images, &labels)
}
