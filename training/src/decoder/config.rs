//! `unclip train decoder --config FILE`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::diffusion::{Objective, Sampling, UNetShape};
use crate::run::{Cadence, CheckedConfig, DataConfig, Optimisation, Problems};

/// A decoder and its training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Seed of weights, batches and noise.
    pub seed: u64,
    /// The bundle with the trained CLIP.
    pub clip: PathBuf,
    /// How often the image embedding is replaced by the learned null embedding (arXiv 2204.06125, section 2.1).
    #[serde(default = "drop_image")]
    pub drop_image: f32,
    /// How often the caption is replaced by the empty one (arXiv 2204.06125, section 2.1).
    #[serde(default = "drop_caption")]
    pub drop_caption: f32,
    /// A run of the prior's trainer on the same CLIP; some rows are conditioned on embeddings that it samples.
    #[serde(default)]
    pub prior: Option<PriorSamples>,
    /// The largest noise on image embeddings, in their deviations: every row draws its own, from none to this. A prior's
    /// samples are not pictures' embeddings either.
    #[serde(default = "embedding_noise")]
    pub embedding_noise: f32,
    /// Pictures, of those trained on and of those held out, whose one-step errors are measured while it trains.
    #[serde(default = "measured")]
    pub measured: usize,
    /// Context tokens made of the image embedding; the paper's four.
    #[serde(default = "image_tokens")]
    pub image_tokens: usize,
    /// Width of the context tokens.
    pub context_width: usize,
    /// What is predicted, and how errors are weighted.
    #[serde(default)]
    pub objective: Objective,
    /// Pictures and captions.
    pub data: DataConfig,
    /// The U-Net.
    pub unet: UNetShape,
    /// Steps, batches and learning rate.
    pub optimisation: Optimisation,
    /// How often things happen.
    #[serde(default)]
    pub cadence: Cadence,
    /// Samples for people to look at.
    #[serde(default)]
    pub sampling: Sampling,
}

/// Conditions that a prior sampled for captions, in place of the pictures' own embeddings: what the decoder will be given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorSamples {
    /// The folder of the prior's training.
    pub run: PathBuf,
    /// The share of rows.
    #[serde(default = "sampled_share")]
    pub share: f32,
    /// Guidance scale of the samples.
    #[serde(default = "sampled_guidance")]
    pub guidance: f32,
}

fn sampled_share() -> f32 {
    0.25
}

fn sampled_guidance() -> f32 {
    2.0
}

fn drop_image() -> f32 {
    0.1
}

fn drop_caption() -> f32 {
    0.5
}

fn embedding_noise() -> f32 {
    0.3
}

fn measured() -> usize {
    256
}

fn image_tokens() -> usize {
    4
}

impl CheckedConfig for DecoderConfig {
    fn check(&self, problems: &mut Problems) {
        let share = |value: f32| (0.0..=1.0).contains(&value);
        problems.expect("drop_image", self.drop_image, share(self.drop_image), "0 to 1");
        problems.expect("drop_caption", self.drop_caption, share(self.drop_caption), "0 to 1");
        if let Some(PriorSamples { share: rows, guidance, .. }) = &self.prior {
            problems.expect("prior.share", rows, share(*rows), "0 to 1");
            problems.expect("prior.guidance", guidance, (0.0..=100.0).contains(guidance), "0 to 100");
        }
        let noise = self.embedding_noise;
        problems.expect("embedding_noise", noise, (0.0..=10.0).contains(&noise), "0 to 10");
        problems.expect("image_tokens", self.image_tokens, self.image_tokens >= 1, "1 or more");
        problems.expect("context_width", self.context_width, self.context_width >= 1, "1 or more");
        self.objective.check(problems);
        self.unet.check(problems);
        self.optimisation.check(problems);
        self.cadence.check(problems);
        self.sampling.check(problems);
    }
}
