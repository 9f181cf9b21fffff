//! `unclip train upsampler --config FILE`.

use serde::Deserialize;

use crate::diffusion::{Objective, Sampling, UNetShape};
use crate::run::{Cadence, CheckedConfig, DataConfig, Optimisation, Problems};

/// An upsampler and its training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpsamplerConfig {
    /// Seed of weights, batches, crops and noise.
    pub seed: u64,
    /// Side of the small pictures; the large ones' is `unet.side`.
    pub small_side: usize,
    /// Side of the crops of large pictures that it is trained on.
    pub crop: usize,
    /// How small pictures are damaged.
    #[serde(default)]
    pub degradation: Degradation,
    /// What is predicted, and how errors are weighted.
    #[serde(default)]
    pub objective: Objective,
    /// Pictures; captions are not read.
    pub data: DataConfig,
    /// The U-Net.
    pub unet: UNetShape,
    /// Steps, batches and learning rate.
    pub optimisation: Optimisation,
    /// How often things happen.
    #[serde(default)]
    pub cadence: Cadence,
    /// Samples for people to look at.
    #[serde(default = "sampling")]
    pub sampling: Sampling,
}

/// How small pictures are damaged, so that the upsampler forgives what a decoder does wrong (arXiv 2204.06125,
/// section 2.1: blur for the first stage; the rest is the stronger kind, arXiv 2103.14006, for a later one).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Degradation {
    /// How often a picture is blurred.
    pub blur: f32,
    /// The blur's standard deviation, smallest and largest, in small pixels.
    pub sigma: [f32; 2],
    /// How often a picture loses resolution.
    pub resample: f32,
    /// Largest standard deviation of added noise; pictures are -1 to 1.
    pub noise: f32,
}

impl Default for Degradation {
    fn default() -> Self {
        Self { blur: 0.5, sigma: [0.3, 0.8], resample: 0.0, noise: 0.0 }
    }
}

/// Karlo's upsampler takes 7 steps, without guidance.
fn sampling() -> Sampling {
    Sampling { count: 8, steps: 7, guidance: 1.0 }
}

impl CheckedConfig for UpsamplerConfig {
    fn check(&self, problems: &mut Problems) {
        let (small, crop, side) = (self.small_side, self.crop, self.unet.side);
        problems.expect("small_side", small, small >= 1 && small < side, "1 or more, and below unet.side");
        problems.expect("crop", crop, crop >= 1 && crop <= side, "1 or more, and at most unet.side");
        let divisor = 1 << self.unet.channels.len().saturating_sub(1);
        problems.expect("crop", crop, crop.is_multiple_of(divisor), &format!("a multiple of {divisor}"));
        let Degradation { blur, sigma, resample, noise } = self.degradation;
        let share = |value: f32| (0.0..=1.0).contains(&value);
        problems.expect("degradation.blur", blur, share(blur), "0 to 1");
        problems.expect("degradation.resample", resample, share(resample), "0 to 1");
        problems.expect("degradation.noise", noise, noise >= 0.0, "0 or more");
        let fits = sigma[0] > 0.0 && sigma[1] >= sigma[0];
        problems.expect(
            "degradation.sigma",
            format!("{sigma:?}"),
            fits,
            "two positive numbers, the smaller first",
        );
        self.objective.check(problems);
        self.unet.check(problems);
        self.optimisation.check(problems);
        self.cadence.check(problems);
        self.sampling.check(problems);
    }
}
