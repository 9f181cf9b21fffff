//! Whether a bundle's noise schedules can be run, and fit the networks that they drive.

use unclip_bundle::config::UNet2DConditionConfig;
use unclip_bundle::{Bundle, BundleError, Component, Stage};
use unclip_diffusion::{Sampler, SchedulerConfig, VarianceType};

use crate::check::differ;

const FILE: &str = "scheduler_config.json";

/// Checks the schedule of every diffusion stage that the bundle has: its config, its tables, and whether the network
/// predicts the variance that it reads.
pub(crate) fn check(bundle: &Bundle) -> Vec<BundleError> {
    let decoder = bundle.config::<UNet2DConditionConfig>(Component::Decoder).ok();
    let schedules = [
        (Stage::Prior, Component::PriorScheduler),
        (Stage::Decoder, Component::DecoderScheduler),
        (Stage::Upsampler, Component::SuperResScheduler),
    ];
    let there = schedules.into_iter().filter(|(stage, _)| bundle.has_stage(*stage));
    let results = there.map(|(stage, component)| {
        let learned = learns_variance(bundle, component)?;
        match (&decoder, stage) {
            (Some(decoder), Stage::Decoder) => variance_fits(learned, decoder.trunk.out_channels),
            (None, Stage::Decoder) => Ok(()),
            _ => predicts_none(bundle, component, learned),
        }
    });
    results.filter_map(Result::err).collect()
}

/// Reads a schedule and makes its tables; whether it takes a variance from the network.
fn learns_variance(bundle: &Bundle, component: Component) -> Result<bool, BundleError> {
    let config: SchedulerConfig = bundle.json(component, FILE)?;
    Sampler::from_config(&config).map_err(|error| {
        let path = bundle.folder(component).join(FILE);
        BundleError::Config { path, reason: error.to_string() }
    })?;
    Ok(config.variance_type == VarianceType::LearnedRange)
}

/// The decoder's pictures have three channels; a scheduler that reads the variance from the network needs as many again.
fn variance_fits(learned: bool, out_channels: usize) -> Result<(), BundleError> {
    let (expected, why) = if learned {
        (6, "3 and 3 for decoder_scheduler variance_type learned_range")
    } else {
        (3, "3 for a decoder_scheduler variance_type that is fixed")
    };
    differ(("decoder/config.json out_channels", out_channels), (why, expected)).map_or(Ok(()), Err)
}

/// The outputs of the prior and of the upsamplers are as wide as what they denoise.
fn predicts_none(bundle: &Bundle, component: Component, learned: bool) -> Result<(), BundleError> {
    if !learned {
        return Ok(());
    }
    Err(BundleError::Unsupported {
        path: bundle.folder(component).join(FILE),
        key: "variance_type".to_owned(),
        found: "learned_range".to_owned(),
        supported: "fixed_small_log, since its network predicts no variance".to_owned(),
    })
}
