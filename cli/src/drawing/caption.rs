//! What the commands share that draw after a caption.

use clap::ValueEnum;
use unclip_proto::v1::{self, DrawOptions, GenerateImageRequest};

use super::sampling::PriorArgs;

/// How a caption becomes an image embedding, and of how many pictures.
#[derive(Debug, clap::Args)]
pub(crate) struct CaptionArgs {
    /// What guidance steers away from
    #[arg(long, value_name = "TEXT", default_value = "")]
    negative_prompt: String,
    /// Pictures
    #[arg(short = 'n', long = "count", default_value_t = 1, value_name = "K")]
    pub(crate) count: u32,
    /// Prior samples per picture, of which the one nearest to the caption is decoded. Absent: 1
    #[arg(long, value_name = "N", help_heading = "Prior")]
    candidates: Option<u32>,
    /// Where the image embedding comes from. Absent: full
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Prior")]
    prior_mode: Option<PriorMode>,
    #[command(flatten)]
    prior: PriorArgs,
}

/// Where the image embedding that is decoded comes from.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PriorMode {
    /// The prior samples it
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

impl CaptionArgs {
    /// The request for a caption's pictures.
    pub(crate) fn request(&self, prompt: String, options: DrawOptions) -> GenerateImageRequest {
        let mode = self.prior_mode.map_or(v1::PriorMode::Full, v1::PriorMode::from);
        GenerateImageRequest {
            prompt,
            negative_prompt: self.negative_prompt.clone(),
            n: Some(self.count),
            seed: options.seed,
            prior: self.prior.options(),
            decoder: options.decoder,
            upsampler: options.upsampler,
            candidates: self.candidates,
            format: options.format,
            preview_every: options.preview_every,
            return_tensors: options.return_tensors,
            prior_mode: mode as i32,
            image_embedding: None,
            jpeg_quality: options.jpeg_quality,
            webp_quality: options.webp_quality,
            output_size: options.output_size,
        }
    }
}
