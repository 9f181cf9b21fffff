//! Timesteps as vectors.

use tch::{Kind, Tensor};

use super::{Linear, steady};
use crate::{ModelError, Params};

/// The sinusoidal encoding of "Denoising Diffusion Probabilistic Models" (arXiv 2006.11239) with its two variants.
pub(crate) struct Sinusoid {
    /// Width of the encoding; an odd one ends in a zero.
    pub(crate) width: i64,
    /// Whether the cosines come before the sines.
    pub(crate) cosines_first: bool,
    /// What is taken from the number of frequencies before they are spread.
    pub(crate) freq_shift: f64,
}

/// The longest period, 2 pi times this (arXiv 1706.03762, section 3.5).
const MAX_PERIOD: f64 = 10_000.0;

impl Sinusoid {
    /// Encodes timesteps `[batch]`, one per row, as `[batch, width]` in f32.
    pub(crate) fn forward(&self, timesteps: &Tensor) -> Tensor {
        let half = self.width / 2;
        let index = Tensor::arange(steady::whole_turns(half), (Kind::Float, timesteps.device()));
        #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^52")]
        let spread = half as f64 - self.freq_shift;
        let frequencies = (index * -MAX_PERIOD.ln() / spread).exp();
        let angles = timesteps.to_kind(Kind::Float).unsqueeze(1) * frequencies.unsqueeze(0);
        let (sines, cosines) = (angles.sin().narrow(1, 0, half), angles.cos().narrow(1, 0, half));
        let both = if self.cosines_first {
            Tensor::cat(&[cosines, sines], 1)
        } else {
            Tensor::cat(&[sines, cosines], 1)
        };
        both.constant_pad_nd([0, self.width % 2])
    }
}

/// Sinusoid, linear, SiLU, linear: the `time_embedding` of every network.
pub(crate) struct TimestepEmbedding {
    sinusoid: Sinusoid,
    first: Linear,
    second: Linear,
}

impl TimestepEmbedding {
    /// `hidden` is the width between the two linear layers, `outputs` that of the result.
    pub(crate) fn new(
        params: &Params,
        sinusoid: Sinusoid,
        hidden: i64,
        outputs: i64,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            first: Linear::new(&params.sub("linear_1"), sinusoid.width, hidden)?,
            second: Linear::new(&params.sub("linear_2"), hidden, outputs)?,
            sinusoid,
        })
    }

    /// Timesteps `[batch]`, one per row, to `[batch, outputs]`.
    pub(crate) fn forward(&self, timesteps: &Tensor) -> Tensor {
        let encoded = self.sinusoid.forward(timesteps).to_kind(self.first.kind());
        let hidden = self.first.forward(&encoded);
        self.second.forward(&super::silu(hidden))
    }
}
