//! `unclip train judge --config FILE`.

use serde::{Deserialize, Serialize};

use crate::picture_tower::PictureShape;
use crate::run::{Cadence, CheckedConfig, DataConfig, Optimisation, Problems};

/// A judge and its training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeConfig {
    /// Seed of weights and batches; another one than CLIP's.
    pub seed: u64,
    /// Width of an embedding.
    pub dim: usize,
    /// Pictures compared in an evaluation.
    #[serde(default = "evaluated")]
    pub evaluated: usize,
    /// Pictures and captions.
    pub data: DataConfig,
    /// The picture tower.
    pub picture: PictureShape,
    /// The text tower.
    pub text: TextShape,
    /// Steps, batches and learning rate.
    pub optimisation: Optimisation,
    /// How often things happen.
    #[serde(default)]
    pub cadence: Cadence,
}

/// Measures of the text tower: the mean of word embeddings, then two layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextShape {
    /// Words known at most, the most frequent ones.
    pub words: usize,
    /// Width of a word's embedding.
    pub width: usize,
    /// Width of the hidden layer.
    pub hidden: usize,
}

fn evaluated() -> usize {
    1000
}

impl CheckedConfig for JudgeConfig {
    fn check(&self, problems: &mut Problems) {
        let (picture, text) = (&self.picture, &self.text);
        for (key, value) in [("dim", self.dim), ("text.words", text.words), ("text.width", text.width)] {
            problems.expect(key, value, value >= 1, "1 or more");
        }
        problems.expect("text.hidden", text.hidden, text.hidden >= 1, "1 or more");
        picture.check("picture", problems);
        self.optimisation.check(problems);
        self.cadence.check(problems);
    }
}
