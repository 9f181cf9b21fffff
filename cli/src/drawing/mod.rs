//! What the commands that draw pictures share: flags, and the files as they come.

mod caption;
mod output;
mod sampling;
mod sheet;
mod stream;

use unclip_proto::v1::DrawOptions;

pub(crate) use self::caption::CaptionArgs;
pub(crate) use self::output::{Drawing, OutputArgs, format_of};
pub(crate) use self::sampling::{DecoderArgs, InversionArgs, PriorArgs, UpsamplerArgs};
pub(crate) use self::sheet::picture_file;

/// How pictures are drawn, and where they go.
#[derive(Debug, clap::Args)]
pub(crate) struct DrawArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Seed of the noise; picture k has seed + k, frames all have the same. Its low 32 bits count, so that a seed and the same
    /// plus 2^32 draw the same. Absent: chosen and printed
    #[arg(long, value_name = "N", help_heading = "Drawing")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) decoder: DecoderArgs,
    #[command(flatten)]
    pub(crate) upsampler: UpsamplerArgs,
}

impl DrawArgs {
    /// The options that were given.
    pub(crate) fn options(&self) -> anyhow::Result<DrawOptions> {
        Ok(DrawOptions {
            seed: self.seed,
            decoder: self.decoder.options(),
            upsampler: self.upsampler.options(),
            ..self.output.options()?
        })
    }
}
