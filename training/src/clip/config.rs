//! `unclip train clip --config FILE`.

use serde::Deserialize;

use crate::picture_tower::PictureShape;
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
    /// A convolutional tower that is trained beside the image tower and teaches it; it is not exported.
    #[serde(default)]
    pub teacher: Option<Teacher>,
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

/// A convolutional tower beside the image tower. It learns in minutes what a transformer needs hours for on a few thousand
/// pictures; the transformer learns to embed every picture as it does (distillation through convolutions, arXiv 2012.12877).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Weight of the towers' disagreement, 1 less their cosine, beside the contrastive losses.
    #[serde(default = "agreement")]
    pub agreement: f64,
    /// Its network, on pictures of the image tower's side.
    pub picture: PictureShape,
}

fn agreement() -> f64 {
    4.0
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
        if let Some(teacher) = &self.teacher {
            let (agreement, picture) = (teacher.agreement, &teacher.picture);
            problems.expect("teacher.agreement", agreement, (0.0..=100.0).contains(&agreement), "0 to 100");
            problems.expect("teacher.picture.side", picture.side, picture.side == vision.side, "vision.side");
            picture.check("teacher.picture", problems);
        }
        self.optimisation.check(problems);
        self.cadence.check(problems);
    }
}
