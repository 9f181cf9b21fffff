//! `unclip train judge --config FILE`.

use serde::{Deserialize, Serialize};

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

/// Measures of the picture tower: a stem of stride 2, then stages of residual blocks, each of which halves the side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureShape {
    /// Side of the pictures in pixels.
    pub side: usize,
    /// Channels of the stem.
    pub stem: usize,
    /// Channels of each stage; those of the last one are the features.
    pub channels: Vec<usize>,
    /// Residual blocks of each stage.
    pub blocks: Vec<usize>,
    /// Groups of the group norms.
    pub groups: usize,
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
        let stages = picture.channels.len();
        let fits =
            stages >= 1 && stages == picture.blocks.len() && picture.blocks.iter().all(|many| *many >= 1);
        problems.expect("picture.blocks", format!("{:?}", picture.blocks), fits, "1 or more per stage");
        for channels in picture.channels.iter().chain([&picture.stem]) {
            let divides = picture.groups >= 1 && channels.is_multiple_of(picture.groups) && *channels > 0;
            problems.expect("picture.channels", channels, divides, "a multiple of picture.groups");
        }
        let shrinks = u32::try_from(stages + 1).ok().and_then(|times| 2_usize.checked_pow(times));
        let divides =
            shrinks.is_some_and(|factor| picture.side >= factor && picture.side.is_multiple_of(factor));
        problems.expect(
            "picture.side",
            picture.side,
            divides,
            "a multiple of 2 to the number of stages and 1",
        );
        self.optimisation.check(problems);
        self.cadence.check(problems);
    }
}
