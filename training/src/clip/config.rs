//! `unclip train clip --config FILE`.

use serde::Deserialize;

use crate::run::{Cadence, CheckedConfig, DataConfig, Optimisation, Problems};

/// A CLIP and its training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipConfig {
    /// Seed of weights and batches.
    pub seed: u64,
    /// Width of an embedding and of the text's hidden states: Karlo's layout needs them equal.
    pub dim: usize,
    /// Pictures compared in an evaluation.
    #[serde(default = "evaluated")]
    pub evaluated: usize,
    /// Pictures and captions.
    pub data: DataConfig,
    /// The text tower.
    pub text: TextShape,
    /// The image tower.
    pub vision: VisionShape,
    /// Steps, batches and learning rate.
    pub optimisation: Optimisation,
    /// How often things happen.
    #[serde(default)]
    pub cadence: Cadence,
}

/// Measures of the text tower, whose width is [`ClipConfig::dim`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextShape {
    /// Tokens of a text, start and end included.
    pub tokens: usize,
    /// Largest size of the vocabulary; at least 514 for all bytes.
    pub vocabulary: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
}

/// Measures of the image tower.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionShape {
    /// Side of the pictures in pixels.
    pub side: usize,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Width of the hidden states.
    pub width: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// How the patch embedding starts.
    #[serde(default)]
    pub patch_init: PatchInit,
}

/// How the patch embedding starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchInit {
    /// The principal components of the data's patches, each scaled to unit variance.
    #[default]
    Whitened,
    /// Random.
    Random,
}

fn evaluated() -> usize {
    1000
}

impl CheckedConfig for ClipConfig {
    fn check(&self, problems: &mut Problems) {
        let (text, vision) = (&self.text, &self.vision);
        problems.expect("text.vocabulary", text.vocabulary, text.vocabulary >= 514, "514 or more");
        problems.expect("text.tokens", text.tokens, text.tokens >= 3, "3 or more");
        let divides = |parts: usize, whole: usize| parts >= 1 && whole.is_multiple_of(parts);
        problems.expect("text.heads", text.heads, divides(text.heads, self.dim), "a divisor of dim");
        problems.expect(
            "vision.heads",
            vision.heads,
            divides(vision.heads, vision.width),
            "a divisor of vision.width",
        );
        problems.expect(
            "vision.patch",
            vision.patch,
            divides(vision.patch, vision.side),
            "a divisor of vision.side",
        );
        self.optimisation.check(problems);
        self.cadence.check(problems);
    }
}
