//! Initial values.

use tch::Tensor;

use crate::random::{StepRandom, elements};

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// One number everywhere.
    Constant(f32),
    /// Normal with this standard deviation.
    Normal(f32),
    /// Uniform within this distance of zero.
    Uniform(f32),
    /// Not trained: a constant of the network that somebody sets, ones until then.
    Frozen,
}

impl Init {
    /// PyTorch's default for a linear layer or a convolution: uniform within `1 / sqrt(fan_in)`, which is
    /// `kaiming_uniform_(a=sqrt(5))` for weights (`torch.nn.Linear.reset_parameters`).
    pub fn fan_in(shape: &[i64]) -> Self {
        let inputs = elements(shape.get(1..).unwrap_or_default()).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a layer's width is far below 2^24")]
        let bound = (inputs as f32).sqrt().recip();
        Self::Uniform(bound)
    }

    /// The default of a layer's `weight` or `bias` by its name: norms start as the identity, everything else as PyTorch
    /// has it. `weight` is the shape of the weight beside a bias.
    pub fn layer(name: &str, shape: &[i64], weight: Option<&[i64]>) -> Self {
        let (layer, part) = name.rsplit_once('.').unwrap_or(("", name));
        let layer = layer.rsplit('.').next().unwrap_or_default();
        let is_norm = layer.contains("norm") || layer.contains("layrnorm");
        match (is_norm, part, weight) {
            (true, "weight", _) => Self::Ones,
            (true, _, _) | (false, "bias", None) => Self::Zeros,
            (false, "bias", Some(weight)) => Self::fan_in(weight),
            _ => Self::fan_in(shape),
        }
    }

    /// Values in row-major order.
    pub(crate) fn values(self, shape: &[i64], random: &mut StepRandom) -> Tensor {
        let count = elements(shape);
        let values = match self {
            Self::Zeros => vec![0.0; count],
            Self::Ones | Self::Frozen => vec![1.0; count],
            Self::Constant(value) => vec![value; count],
            Self::Normal(deviation) => {
                random.normals(count).into_iter().map(|value| value * deviation).collect()
            }
            Self::Uniform(bound) => (0..count).map(|_| random.between(-bound, bound)).collect(),
        };
        Tensor::from_slice(&values).view(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_start_as_in_torch() {
        assert_eq!(Init::layer("a.norm1.weight", &[8], None), Init::Ones);
        assert_eq!(Init::layer("vision_model.pre_layrnorm.bias", &[8], Some(&[8])), Init::Zeros);
        assert_eq!(Init::layer("conv_in.weight", &[8, 4, 2, 2], None), Init::Uniform(0.25));
        assert_eq!(Init::layer("conv_in.bias", &[8], Some(&[8, 4, 2, 2])), Init::Uniform(0.25));
    }
}
