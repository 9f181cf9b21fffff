//! Whether a bundle's schedules are long enough for the steps of a request that leaves them open.

use serde_json::Value;
use unclip_bundle::{Bundle, BundleError, Component, SAMPLING_FILE, Stage, StageSampling};
use unclip_proto::SamplingDefaults;
use unclip_stage::defaults;

/// diffusers' default.
const TRAIN_TIMESTEPS: u64 = 1000;

/// Every diffusion stage that the bundle has. A schedule that can't be read is reported by its own check.
pub(super) fn check(bundle: &Bundle) -> Vec<BundleError> {
    let sampling = bundle.sampling();
    let stages = [
        (Stage::Prior, Component::PriorScheduler, sampling.prior, SamplingDefaults::PRIOR),
        (Stage::Decoder, Component::DecoderScheduler, sampling.decoder, SamplingDefaults::DECODER),
        (Stage::Upsampler, Component::SuperResScheduler, sampling.upsampler, SamplingDefaults::UPSAMPLER),
    ];
    let there = stages.into_iter().filter(|(stage, ..)| bundle.has_stage(*stage));
    there
        .filter_map(|(stage, component, own, karlo)| long_enough(bundle, stage, component, own, karlo))
        .collect()
}

fn long_enough(
    bundle: &Bundle,
    stage: Stage,
    component: Component,
    own: StageSampling,
    karlo: SamplingDefaults,
) -> Option<BundleError> {
    let config: Value = bundle.json(component, "scheduler_config.json").ok()?;
    let timesteps = config.get("num_train_timesteps").map_or(Some(TRAIN_TIMESTEPS), Value::as_u64)?;
    let steps = defaults(own, karlo).steps;
    (u64::from(steps) > timesteps && timesteps > 0).then(|| BundleError::Mismatch {
        left: format!("{}/scheduler_config.json num_train_timesteps", component.folder()),
        right: format!("{SAMPLING_FILE} {}.steps", stage.name()),
        reason: format!("{steps} steps by default, {timesteps} timesteps; write fewer into {SAMPLING_FILE}"),
    })
}
