//! How the stages sample: the flags that all commands share which draw, invert or ask the prior.

use clap::ValueEnum;
use unclip_proto::v1::{InversionOptions, Sampler, SamplingOptions};

/// A sampler's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SamplerName {
    /// Ancestral sampling with the checkpoint's own schedule
    Unclip,
    /// DDIM
    Ddim,
}

/// How the prior samples.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Prior")]
pub(crate) struct PriorArgs {
    /// Denoising steps of the prior. Absent: the bundle's default
    #[arg(long, value_name = "N")]
    prior_steps: Option<u32>,
    /// Guidance scale of the prior; 1 is none. Absent: the bundle's default
    #[arg(long, value_name = "SCALE")]
    prior_guidance: Option<f32>,
    /// Sampler of the prior. Absent: unclip, or ddim with --prior-eta
    #[arg(long, value_enum, value_name = "unclip|ddim", hide_possible_values = true)]
    prior_sampler: Option<SamplerName>,
    /// Share of fresh noise in the prior's DDIM steps, 0 to 1. Absent: 0
    #[arg(long, value_name = "ETA")]
    prior_eta: Option<f32>,
}

impl PriorArgs {
    /// The options that were given.
    pub(crate) fn options(&self) -> Option<SamplingOptions> {
        options(self.prior_steps, self.prior_guidance, self.prior_sampler, self.prior_eta)
    }
}

/// How the decoder samples.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Decoder and upsampler")]
pub(crate) struct DecoderArgs {
    /// Denoising steps of the decoder. Absent: the bundle's default, or where an inverted picture is decoded the steps of its
    /// inversion
    #[arg(long, value_name = "N")]
    decoder_steps: Option<u32>,
    /// Guidance scale of the decoder; 1 is none. Absent: the bundle's default, or where the reconstruction is one end of the
    /// pictures 1
    #[arg(long, value_name = "SCALE")]
    decoder_guidance: Option<f32>,
    /// Sampler of the decoder. Absent: unclip, or ddim with --eta and where the reconstruction is one end of the pictures
    #[arg(
        long,
        visible_alias = "sampler",
        value_enum,
        value_name = "unclip|ddim",
        hide_possible_values = true
    )]
    decoder_sampler: Option<SamplerName>,
    /// Share of fresh noise in the decoder's DDIM steps, 0 to 1. Absent: 0
    #[arg(long, visible_alias = "decoder-eta", value_name = "ETA")]
    eta: Option<f32>,
}

impl DecoderArgs {
    /// The options that were given. Nothing where none was: then the operation's own defaults hold.
    pub(crate) fn options(&self) -> Option<SamplingOptions> {
        options(self.decoder_steps, self.decoder_guidance, self.decoder_sampler, self.eta)
    }
}

/// How the upsampler samples.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Decoder and upsampler")]
pub(crate) struct UpsamplerArgs {
    /// Denoising steps of the upsampler. Absent: the bundle's default
    #[arg(long, value_name = "N")]
    upsampler_steps: Option<u32>,
    /// Sampler of the upsampler. Absent: unclip, or ddim with --upsampler-eta
    #[arg(long, value_enum, value_name = "unclip|ddim", hide_possible_values = true)]
    upsampler_sampler: Option<SamplerName>,
    /// Share of fresh noise in the upsampler's DDIM steps, 0 to 1. Absent: 0
    #[arg(long, value_name = "ETA")]
    upsampler_eta: Option<f32>,
}

impl UpsamplerArgs {
    /// The options that were given.
    pub(crate) fn options(&self) -> Option<SamplingOptions> {
        options(self.upsampler_steps, None, self.upsampler_sampler, self.upsampler_eta)
    }
}

fn options(
    steps: Option<u32>,
    guidance_scale: Option<f32>,
    sampler: Option<SamplerName>,
    eta: Option<f32>,
) -> Option<SamplingOptions> {
    let sampler = match sampler {
        Some(SamplerName::Unclip) => Sampler::Unclip,
        Some(SamplerName::Ddim) => Sampler::Ddim,
        None if eta.is_some() => Sampler::Ddim,
        None => Sampler::Unspecified,
    };
    let options = SamplingOptions { steps, guidance_scale, sampler: sampler as i32, eta };
    (options != SamplingOptions::default()).then_some(options)
}

/// How a picture is inverted.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Inversion")]
pub(crate) struct InversionArgs {
    /// Steps of the inversion. Absent: 50
    #[arg(long, value_name = "N")]
    inversion_steps: Option<u32>,
    /// Fixed-point refinements of every step. Absent: 0
    #[arg(long, value_name = "N")]
    refinements: Option<u32>,
}

impl InversionArgs {
    /// The options that were given.
    pub(crate) fn options(&self) -> InversionOptions {
        InversionOptions { steps: self.inversion_steps, refinements: self.refinements }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eta_asks_for_ddim_and_nothing_asks_for_nothing() {
        assert_eq!(options(None, None, None, None), None);
        let sampler = |name, eta| options(None, None, name, eta).unwrap().sampler();
        assert_eq!(sampler(None, Some(0.5)), Sampler::Ddim);
        assert_eq!(
            sampler(Some(SamplerName::Unclip), Some(0.5)),
            Sampler::Unclip,
            "for the gateway to refuse"
        );
        assert_eq!(options(Some(3), None, None, None).unwrap().sampler(), Sampler::Unspecified);
    }
}
