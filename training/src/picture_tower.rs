//! A small residual network that embeds pictures: the judge's tower, and the one that teaches CLIP's.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use unclip_models::{ModelError, Params};

use crate::clip::Linear;
use crate::params::{Init, to_i64};
use crate::run::Problems;

/// Epsilon of the group norms: PyTorch's default.
const EPSILON: f64 = 1e-5;

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

impl PictureShape {
    /// Adds what is wrong to `problems`; `table` is where the configuration has it.
    pub(crate) fn check(&self, table: &str, problems: &mut Problems) {
        let stages = self.channels.len();
        let fits = stages >= 1 && stages == self.blocks.len() && self.blocks.iter().all(|many| *many >= 1);
        problems.expect(
            &format!("{table}.blocks"),
            format!("{:?}", self.blocks),
            fits,
            "1 or more per stage",
        );
        for channels in self.channels.iter().chain([&self.stem]) {
            let divides = self.groups >= 1 && channels.is_multiple_of(self.groups) && *channels > 0;
            problems.expect(&format!("{table}.channels"), channels, divides, "a multiple of its groups");
        }
        let shrinks = u32::try_from(stages + 1).ok().and_then(|times| 2_usize.checked_pow(times));
        let divides = shrinks.is_some_and(|factor| self.side >= factor && self.side.is_multiple_of(factor));
        problems.expect(
            &format!("{table}.side"),
            self.side,
            divides,
            "a multiple of 2 to the number of stages and 1",
        );
    }
}

/// A stem, stages of pre-activation residual blocks (He et al., arXiv 1603.05027) with group norm, the mean over all
/// places, and a projection.
pub(crate) struct PictureTower {
    stem: Conv,
    blocks: Vec<Block>,
    norm: Norm,
    projection: Linear,
}

impl PictureTower {
    /// How its parameters start: residual blocks as the identity (arXiv 1706.02677, section 5.1).
    pub(crate) fn initialise(name: &str, shape: &[i64], weight: Option<&[i64]>) -> Init {
        if name.contains("conv2.") { Init::Zeros } else { Init::layer(name, shape, weight) }
    }

    pub(crate) fn new(params: &Params, shape: &PictureShape, dim: usize) -> Result<Self, ModelError> {
        let mut blocks = Vec::new();
        let mut inputs = to_i64(shape.stem);
        let groups = to_i64(shape.groups);
        for (stage, (channels, count)) in shape.channels.iter().zip(&shape.blocks).enumerate() {
            for block in 0..*count {
                let params = params.sub(&format!("stages.{stage}.{block}"));
                blocks.push(Block::new(&params, inputs, to_i64(*channels), groups, block == 0)?);
                inputs = to_i64(*channels);
            }
        }
        Ok(Self {
            stem: Conv::new(&params.sub("stem"), 3, to_i64(shape.stem), 3, 2)?,
            blocks,
            norm: Norm::new(&params.sub("norm_out"), inputs, groups)?,
            projection: Linear::without_bias(&params.sub("projection"), inputs, to_i64(dim))?,
        })
    }

    /// Pictures `[batch, 3, side, side]` in -1 to 1 to features `[batch, channels]`.
    pub(crate) fn features(&self, pictures: &Tensor) -> Tensor {
        let x = pictures.to_kind(self.projection.kind());
        let x = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let x = self.blocks.iter().fold(self.stem.forward(&x), |x, block| block.forward(&x));
        self.norm.forward(&x).silu().mean_dim([2_i64, 3].as_slice(), false, None::<Kind>)
    }

    /// Features to embeddings `[batch, dim]`, not normalised.
    pub(crate) fn embed(&self, features: &Tensor) -> Tensor {
        self.projection.forward(features)
    }
}

/// Norm, SiLU, convolution, twice, and the input added; the first block of a stage halves the side.
struct Block {
    norm1: Norm,
    conv1: Conv,
    norm2: Norm,
    conv2: Conv,
    shortcut: Option<Conv>,
    halves: bool,
}

impl Block {
    fn new(
        params: &Params,
        inputs: i64,
        outputs: i64,
        groups: i64,
        halves: bool,
    ) -> Result<Self, ModelError> {
        let shortcut = || Conv::new(&params.sub("shortcut"), inputs, outputs, 1, 1);
        Ok(Self {
            norm1: Norm::new(&params.sub("norm1"), inputs, groups)?,
            conv1: Conv::new(&params.sub("conv1"), inputs, outputs, 3, 1)?,
            norm2: Norm::new(&params.sub("norm2"), outputs, groups)?,
            conv2: Conv::new(&params.sub("conv2"), outputs, outputs, 3, 1)?,
            shortcut: (inputs != outputs).then(shortcut).transpose()?,
            halves,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.conv1.forward(&self.halved(self.norm1.forward(x).silu()));
        let hidden = self.conv2.forward(&self.norm2.forward(&hidden).silu());
        let skip = self.halved(x.shallow_clone());
        hidden + self.shortcut.as_ref().map_or_else(|| skip.shallow_clone(), |conv| conv.forward(&skip))
    }

    fn halved(&self, x: Tensor) -> Tensor {
        if self.halves { x.avg_pool2d(2, 2, 0, false, true, None::<i64>) } else { x }
    }
}

/// A square convolution.
struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
}

impl Conv {
    fn new(params: &Params, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Result<Self, ModelError> {
        let weight = params.tensor("weight", &[outputs, inputs, kernel, kernel])?;
        Ok(Self { weight, bias: params.tensor("bias", &[outputs])?, stride })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.conv2d(&self.weight, Some(&self.bias), self.stride, self.weight.size()[2] / 2, 1, 1)
    }
}

/// Group norm.
struct Norm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl Norm {
    fn new(params: &Params, channels: i64, groups: i64) -> Result<Self, ModelError> {
        let weight = params.tensor("weight", &[channels])?;
        Ok(Self { weight, bias: params.tensor("bias", &[channels])?, groups })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.group_norm(self.groups, Some(&self.weight), Some(&self.bias), EPSILON, true)
    }
}
