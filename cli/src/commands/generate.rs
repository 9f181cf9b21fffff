//! `unclip generate`.

use std::path::PathBuf;

use clap::ValueEnum;
use unclip_gateway::check;
use unclip_proto::v1::{self, GenerateImageRequest, SamplingOptions};
use unclip_service::RequestContext;

use crate::connection::{ConnectionArgs, refused};
use crate::drawing::collect;
use crate::output::{format_of, path_of, report, write, write_receipts};
use crate::tensors;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The caption
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// What guidance steers away from
    #[arg(long, value_name = "TEXT", default_value = "")]
    negative_prompt: String,
    /// Seed of the first picture; picture k has seed + k. Absent: chosen and printed
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Pictures
    #[arg(short = 'n', long = "count", default_value_t = 1, value_name = "K")]
    count: u32,
    /// File to write; its ending (.png, .jpg, .webp) names the format. Several pictures get -0, -1, ... before the ending
    #[arg(short, long, default_value = "unclip.png", value_name = "FILE")]
    output: PathBuf,
    /// Also write the pictures' receipts, as JSON for `unclip replay`; several get numbers as the pictures do
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Also write what passed between the stages, as safetensors: `text_embedding`, `text_hidden_states`,
    /// `image_embedding` (unless there is none), `decoded` ([-1, 1]) and `image` ([0, 1]), f32, batch first
    #[arg(long, value_name = "FILE")]
    tensors: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingArgs {
    /// Denoising steps of the prior. Absent: the bundle's default
    #[arg(long, value_name = "N")]
    prior_steps: Option<u32>,
    /// Denoising steps of the decoder. Absent: the bundle's default
    #[arg(long, value_name = "N")]
    decoder_steps: Option<u32>,
    /// Denoising steps of the upsampler. Absent: the bundle's default
    #[arg(long, value_name = "N")]
    upsampler_steps: Option<u32>,
    /// Guidance scale of the prior; 1 is none. Absent: the bundle's default
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true)]
    prior_guidance: Option<f32>,
    /// Guidance scale of the decoder; 1 is none. Absent: the bundle's default
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true)]
    decoder_guidance: Option<f32>,
    /// Prior samples per picture, of which the one nearest to the caption is decoded. Absent: 1
    #[arg(long, value_name = "N")]
    candidates: Option<u32>,
    /// Where the image embedding comes from
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    prior_mode: PriorMode,
}

/// Where the image embedding that is decoded comes from.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PriorMode {
    /// The prior samples it
    #[default]
    Full,
    /// The text embedding takes its place
    TextEmbedding,
    /// There is none: the decoder sees the caption alone
    CaptionOnly,
}

impl From<PriorMode> for v1::PriorMode {
    fn from(mode: PriorMode) -> Self {
        match mode {
            PriorMode::Full => Self::Full,
            PriorMode::TextEmbedding => Self::TextEmbedding,
            PriorMode::CaptionOnly => Self::CaptionOnly,
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let request = request(&args)?;
    // Before a bundle is loaded for nothing.
    check(&request)?;
    let mut client = args.connection.client().await?;
    let stream = client.generate_image(RequestContext::fresh().request(request)).await.map_err(refused)?;
    let images = collect(stream, args.count as usize).await?;
    for image in &images {
        let path = path_of(&args.output, image.image_index, args.count);
        write(&path, &image.image)?;
        report(&path, image);
    }
    if let Some(path) = &args.receipt {
        write_receipts(path, &images)?;
    }
    match &args.tensors {
        Some(path) => tensors::write(path, &images),
        None => Ok(()),
    }
}

fn request(args: &Args) -> anyhow::Result<GenerateImageRequest> {
    let options =
        |steps, guidance_scale| Some(SamplingOptions { steps, guidance_scale, ..Default::default() });
    let sampling = &args.sampling;
    Ok(GenerateImageRequest {
        prompt: args.prompt.clone(),
        negative_prompt: args.negative_prompt.clone(),
        n: Some(args.count),
        seed: args.seed,
        prior: options(sampling.prior_steps, sampling.prior_guidance),
        decoder: options(sampling.decoder_steps, sampling.decoder_guidance),
        upsampler: options(sampling.upsampler_steps, None),
        candidates: sampling.candidates,
        format: format_of(&args.output)? as i32,
        preview_every: 0,
        return_tensors: args.tensors.is_some(),
        prior_mode: v1::PriorMode::from(sampling.prior_mode) as i32,
        image_embedding: None,
        jpeg_quality: None,
    })
}
