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
    /// As --unclamped-epsilon, of the prior
    #[arg(long)]
    prior_unclamped_epsilon: bool,
}

impl PriorArgs {
    /// The options that were given.
    pub(crate) fn options(&self) -> Option<SamplingOptions> {
        let ddim = Ddim { eta: self.prior_eta, unclamped: self.prior_unclamped_epsilon };
        options(self.prior_steps, self.prior_guidance, self.prior_sampler, ddim)
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
    /// With DDIM: go on with the noise of x_0 before it is clamped, as diffusers does unless told otherwise. For comparisons:
    /// with guidance it spoils the picture
    #[arg(long)]
    unclamped_epsilon: bool,
}

impl DecoderArgs {
    /// The options that were given; what is left open has the operation's own default.
    pub(crate) fn options(&self) -> Option<SamplingOptions> {
        let ddim = Ddim { eta: self.eta, unclamped: self.unclamped_epsilon };
        options(self.decoder_steps, self.decoder_guidance, self.decoder_sampler, ddim)
    }

    /// Whether the decoder draws no noise of its own where x_T is known.
    pub(crate) fn is_determined(&self) -> bool {
        self.decoder_sampler != Some(SamplerName::Unclip) && self.eta.is_none_or(|eta| eta == 0.0)
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
    /// As --unclamped-epsilon, of the upsampler
    #[arg(long)]
    upsampler_unclamped_epsilon: bool,
}

impl UpsamplerArgs {
    /// The options that were given.
    pub(crate) fn options(&self) -> Option<SamplingOptions> {
        let ddim = Ddim { eta: self.upsampler_eta, unclamped: self.upsampler_unclamped_epsilon };
        options(self.upsampler_steps, None, self.upsampler_sampler, ddim)
    }
}

/// What DDIM alone has.
#[derive(Clone, Copy, Default)]
struct Ddim {
    eta: Option<f32>,
    unclamped: bool,
}

fn options(
    steps: Option<u32>,
    guidance_scale: Option<f32>,
    sampler: Option<SamplerName>,
    Ddim { eta, unclamped }: Ddim,
) -> Option<SamplingOptions> {
    let clamped_epsilon = unclamped.then_some(false);
    let sampler = match sampler {
        Some(SamplerName::Unclip) => Sampler::Unclip,
        Some(SamplerName::Ddim) => Sampler::Ddim,
        None if eta.is_some() => Sampler::Ddim,
        None => Sampler::Unspecified,
    };
    let options = SamplingOptions { steps, guidance_scale, sampler: sampler as i32, eta, clamped_epsilon };
    (options != SamplingOptions::default()).then_some(options)
}

/// How a picture is inverted.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Inversion")]
pub(crate) struct InversionArgs {
    /// Steps of the inversion. Absent: the decoder's where they are given, else 50
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

    /// The options, where an inversion is asked for: by its flag, or by one that says how.
    pub(crate) fn asked(&self, flag: bool) -> Option<InversionOptions> {
        let options = self.options();
        (flag || options != InversionOptions::default()).then_some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eta_asks_for_ddim_and_nothing_asks_for_nothing() {
        assert_eq!(options(None, None, None, Ddim::default()), None);
        let sampler =
            |name, eta| options(None, None, name, Ddim { eta, unclamped: false }).unwrap().sampler();
        assert_eq!(sampler(None, Some(0.5)), Sampler::Ddim);
        assert_eq!(
            sampler(Some(SamplerName::Unclip), Some(0.5)),
            Sampler::Unclip,
            "for the gateway to refuse"
        );
        assert_eq!(options(Some(3), None, None, Ddim::default()).unwrap().sampler(), Sampler::Unspecified);
    }
}
