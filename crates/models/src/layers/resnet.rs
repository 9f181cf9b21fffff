//! The residual block (`ResnetBlock2D`), which also changes the resolution.

use tch::Tensor;
use unclip_bundle::config::TimeScaleShift;

use super::{Conv2d, GroupNorm, Linear, add, silu};
use crate::{ModelError, Params};

/// What all residual blocks of a network share.
#[derive(Clone, Copy)]
pub(crate) struct ResnetConfig {
    /// Width of the time embedding.
    pub(crate) time_width: i64,
    /// How the time embedding enters.
    pub(crate) time_scale_shift: TimeScaleShift,
    /// Groups of the group norms.
    pub(crate) groups: i64,
    /// Epsilon of the group norms.
    pub(crate) eps: f64,
}

/// What a residual block does to height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resample {
    /// Keeps them.
    None,
    /// Halves them: the mean of 2 by 2 pixels.
    Down,
    /// Doubles them: each pixel four times.
    Up,
}

impl Resample {
    fn forward(self, x: Tensor) -> Tensor {
        match self {
            Self::None => x,
            Self::Down => x.avg_pool2d(2, 2, 0, false, true, None::<i64>),
            Self::Up => {
                let size = x.size();
                x.upsample_nearest2d([size[2] * 2, size[3] * 2], None, None)
            }
        }
    }
}

/// Norm, SiLU, convolution, time embedding, norm, SiLU, convolution, and the input added.
pub(crate) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
    time_scale_shift: TimeScaleShift,
    resample: Resample,
}

impl Resnet {
    pub(crate) fn new(
        params: &Params,
        config: ResnetConfig,
        inputs: i64,
        outputs: i64,
        resample: Resample,
    ) -> Result<Self, ModelError> {
        let time_outputs = match config.time_scale_shift {
            TimeScaleShift::Default => outputs,
            TimeScaleShift::ScaleShift => 2 * outputs,
        };
        let shortcut = (inputs != outputs)
            .then(|| Conv2d::new(&params.sub("conv_shortcut"), inputs, outputs, 1))
            .transpose()?;
        Ok(Self {
            norm1: GroupNorm::new(&params.sub("norm1"), inputs, config.groups, config.eps)?,
            conv1: Conv2d::new(&params.sub("conv1"), inputs, outputs, 3)?,
            time: Linear::new(&params.sub("time_emb_proj"), config.time_width, time_outputs)?,
            norm2: GroupNorm::new(&params.sub("norm2"), outputs, config.groups, config.eps)?,
            conv2: Conv2d::new(&params.sub("conv2"), outputs, outputs, 3)?,
            shortcut,
            time_scale_shift: config.time_scale_shift,
            resample,
        })
    }

    /// `x` is `[batch, inputs, height, width]`, `time` is SiLU of the time embedding `[batch, time_width]`; the result is
    /// `[batch, outputs, ...]` at the new resolution.
    pub(crate) fn forward(&self, x: &Tensor, time: &Tensor) -> Tensor {
        let hidden = silu(self.norm1.forward(x));
        let hidden = self.conv1.forward(&self.resample.forward(hidden));
        let time = self.time.forward(time).unsqueeze(-1).unsqueeze(-1);
        let hidden = match self.time_scale_shift {
            TimeScaleShift::Default => self.norm2.forward(&add(hidden, &time)),
            TimeScaleShift::ScaleShift => scale_and_shift(self.norm2.forward(&hidden), &time),
        };
        let hidden = self.conv2.forward(&silu(hidden));
        let skip = self.resample.forward(x.shallow_clone());
        match &self.shortcut {
            Some(shortcut) => add(shortcut.forward(&skip), &hidden),
            None => add(hidden, &skip),
        }
    }
}

/// `x * (1 + scale) + shift`, with both halves of `time` `[batch, 2 * channels, 1, 1]`.
fn scale_and_shift(x: Tensor, time: &Tensor) -> Tensor {
    let halves = time.chunk(2, 1);
    let (scale, shift) = (&halves[0] + 1.0, &halves[1]);
    if x.requires_grad() || time.requires_grad() {
        return x * scale + shift;
    }
    // One pass over the picture, in its own memory.
    shift.addcmul_out(&x, &x, &scale)
}
