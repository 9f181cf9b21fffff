//! `unclip edit`.

use std::path::PathBuf;

use unclip_proto::v1::{EditImageRequest, GenerateImageRequest, SamplingOptions};
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::{DrawArgs, collect};
use crate::latents;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A picture; what is transparent is repainted, unless there is a mask
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// A picture of the same size whose transparent pixels are repainted
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// The caption
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Pictures
    #[arg(short = 'n', long = "count", default_value_t = 1, value_name = "K")]
    count: u32,
    /// Denoising steps of the prior. Absent: 25
    #[arg(long, value_name = "N")]
    prior_steps: Option<u32>,
    /// Repetitions of a step, so that the seam fits. Absent: 3
    #[arg(long, value_name = "N")]
    resample: Option<u32>,
    #[command(flatten)]
    drawing: DrawArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let options = args.drawing.options()?;
    let mask = args.mask.as_deref().map(latents::read).transpose()?.unwrap_or_default();
    let generation = GenerateImageRequest {
        prompt: args.prompt.clone(),
        n: Some(args.count),
        seed: options.seed,
        prior: Some(SamplingOptions { steps: args.prior_steps, ..Default::default() }),
        decoder: options.decoder,
        upsampler: options.upsampler,
        format: options.format,
        ..Default::default()
    };
    let request = EditImageRequest {
        generation: Some(generation),
        image: latents::read(&args.image)?.into(),
        mask: mask.into(),
        resample: args.resample,
    };
    let mut client = args.connection.client().await?;
    let stream = client.edit_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    let labels: Vec<String> = (0..args.count).map(|_| args.prompt.clone()).collect();
    let images = collect(stream, labels.len()).await?;
    args.drawing.finish(&images, &labels)
}
