//! Linear, convolution and norm layers with diffusers' parameter names.

use tch::{Kind, Tensor};

use super::steady;
use crate::{ModelError, Params};

/// `x W^T + b` over the last dimension.
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
    /// See [`steady`].
    steady: bool,
}

impl Linear {
    pub(crate) fn new(params: &Params, inputs: i64, outputs: i64) -> Result<Self, ModelError> {
        Ok(Self {
            weight: params.tensor("weight", &[outputs, inputs])?,
            bias: params.tensor("bias", &[outputs])?,
            steady: params.steady(),
        })
    }

    /// The dtype it computes in.
    pub(crate) fn kind(&self) -> Kind {
        self.weight.kind()
    }

    /// `[..., inputs]` to `[..., outputs]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        match self.steady {
            true => steady::linear(x, &self.weight, &self.bias),
            false => x.linear(&self.weight, Some(&self.bias)),
        }
    }
}

/// Linear layers on the same input, whose outputs are wanted side by side.
pub(crate) struct JointLinear {
    parts: Vec<Linear>,
}

impl JointLinear {
    /// Joins `names`, each from `inputs` to `outputs`, into one multiplication where the parameters never change.
    pub(crate) fn new(
        params: &Params,
        names: &[&str],
        inputs: i64,
        outputs: i64,
    ) -> Result<Self, ModelError> {
        let parts: Vec<_> = names
            .iter()
            .map(|name| Linear::new(&params.sub(name), inputs, outputs))
            .collect::<Result<_, _>>()?;
        if !params.frozen() {
            return Ok(Self { parts });
        }
        let weights: Vec<_> = parts.iter().map(|part| &part.weight).collect();
        let biases: Vec<_> = parts.iter().map(|part| &part.bias).collect();
        let (weight, bias) = (Tensor::f_cat(&weights, 0)?, Tensor::f_cat(&biases, 0)?);
        let joint = Linear { weight, bias, steady: params.steady() };
        Ok(Self { parts: vec![joint] })
    }

    /// `[..., inputs]` to `[..., names * outputs]`, in the order of the names.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        match self.parts.as_slice() {
            [joint] => joint.forward(x),
            parts => {
                let outputs: Vec<_> = parts.iter().map(|part| part.forward(x)).collect();
                Tensor::cat(&outputs, -1)
            }
        }
    }
}

/// A square convolution of stride 1 that keeps height and width.
pub(crate) struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    padding: i64,
    steady: bool,
}

impl Conv2d {
    /// `kernel` must be odd.
    pub(crate) fn new(params: &Params, inputs: i64, outputs: i64, kernel: i64) -> Result<Self, ModelError> {
        Ok(Self {
            weight: params.tensor("weight", &[outputs, inputs, kernel, kernel])?,
            bias: params.tensor("bias", &[outputs])?,
            padding: kernel / 2,
            steady: params.steady(),
        })
    }

    /// `[batch, inputs, height, width]` to `[batch, outputs, height, width]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        match self.steady {
            true => steady::convolution(x, &self.weight, &self.bias, self.padding),
            false => x.conv2d(&self.weight, Some(&self.bias), 1, self.padding, 1, 1),
        }
    }
}

/// Group norm over the channels of `[batch, channels, ...]`.
pub(crate) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
    eps: f64,
    steady: bool,
}

impl GroupNorm {
    pub(crate) fn new(params: &Params, channels: i64, groups: i64, eps: f64) -> Result<Self, ModelError> {
        Ok(Self {
            weight: params.tensor("weight", &[channels])?,
            bias: params.tensor("bias", &[channels])?,
            groups,
            eps,
            steady: params.steady(),
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let norm =
            |x: &Tensor| x.group_norm(self.groups, Some(&self.weight), Some(&self.bias), self.eps, true);
        if self.steady { steady::by_picture(x, norm) } else { norm(x) }
    }
}

/// Layer norm over the last dimension with PyTorch's default epsilon, 1e-5.
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    pub(crate) fn new(params: &Params, width: i64) -> Result<Self, ModelError> {
        Ok(Self { weight: params.tensor("weight", &[width])?, bias: params.tensor("bias", &[width])? })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), 1e-5, true)
    }
}

/// SiLU of a tensor that nobody else needs, in its own memory.
pub(crate) fn silu(mut x: Tensor) -> Tensor {
    x.silu_()
}

/// The sum, in the memory of the first tensor, which nobody else needs.
pub(crate) fn add(mut x: Tensor, other: &Tensor) -> Tensor {
    x.g_add_(other)
}

/// The same `[batch, channels, height, width]` with the channels of a pixel side by side in memory, which is the order
/// that convolutions and attention work in.
pub(crate) fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
