//! The transformer that both towers share, with transformers' parameter names.

use tch::{Kind, Tensor};
use unclip_bundle::config::Activation;
use unclip_models::{ModelError, Params};

use crate::params::to_i64;

/// `x W^T`, with a bias or without.
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(crate) fn new(params: &Params, inputs: i64, outputs: i64) -> Result<Self, ModelError> {
        let weight = params.tensor("weight", &[outputs, inputs])?;
        Ok(Self { weight, bias: Some(params.tensor("bias", &[outputs])?) })
    }

    pub(crate) fn without_bias(params: &Params, inputs: i64, outputs: i64) -> Result<Self, ModelError> {
        Ok(Self { weight: params.tensor("weight", &[outputs, inputs])?, bias: None })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }

    pub(crate) fn kind(&self) -> Kind {
        self.weight.kind()
    }
}

/// Layer norm over the last dimension.
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn new(params: &Params, width: i64, epsilon: f32) -> Result<Self, ModelError> {
        Ok(Self {
            weight: params.tensor("weight", &[width])?,
            bias: params.tensor("bias", &[width])?,
            epsilon: f64::from(epsilon),
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.epsilon, true)
    }
}

/// Measures of a tower's transformer.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) width: usize,
    pub(super) mlp: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) activation: Activation,
    pub(super) epsilon: f32,
    /// Whether a token sees only those before it.
    pub(super) causal: bool,
}

/// `encoder.layers.N`, pre-norm.
pub(super) struct Encoder {
    blocks: Vec<Block>,
}

impl Encoder {
    pub(super) fn new(params: &Params, shape: Shape) -> Result<Self, ModelError> {
        let block = |layer| Block::new(&params.sub(&format!("layers.{layer}")), shape);
        Ok(Self { blocks: (0..shape.layers).map(block).collect::<Result<_, _>>()? })
    }

    /// `[batch, tokens, width]` to the same.
    pub(super) fn forward(&self, x: Tensor) -> Tensor {
        self.blocks.iter().fold(x, |x, block| block.forward(&x))
    }
}

struct Block {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
    shape: Shape,
}

impl Block {
    fn new(params: &Params, shape: Shape) -> Result<Self, ModelError> {
        let (width, mlp) = (to_i64(shape.width), to_i64(shape.mlp));
        let attention = |name: &str| Linear::new(&params.sub("self_attn").sub(name), width, width);
        Ok(Self {
            norm1: LayerNorm::new(&params.sub("layer_norm1"), width, shape.epsilon)?,
            key: attention("k_proj")?,
            value: attention("v_proj")?,
            query: attention("q_proj")?,
            out: attention("out_proj")?,
            norm2: LayerNorm::new(&params.sub("layer_norm2"), width, shape.epsilon)?,
            widen: Linear::new(&params.sub("mlp.fc1"), width, mlp)?,
            narrow: Linear::new(&params.sub("mlp.fc2"), mlp, width)?,
            shape,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attend(&self.norm1.forward(x));
        let hidden = self.widen.forward(&self.norm2.forward(&x));
        let hidden = match self.shape.activation {
            Activation::Gelu => hidden.gelu("none"),
            // https://github.com/openai/CLIP, clip/model.py, class QuickGELU.
            Activation::QuickGelu => &hidden * (&hidden * 1.702).sigmoid(),
        };
        x + self.narrow.forward(&hidden)
    }

    fn attend(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let heads = to_i64(self.shape.heads);
        let split = |tokens: Tensor| tokens.view([size[0], size[1], heads, size[2] / heads]).transpose(1, 2);
        let (query, key, value) =
            (split(self.query.forward(x)), split(self.key.forward(x)), split(self.value.forward(x)));
        let no_mask = None::<Tensor>;
        let mixed = Tensor::scaled_dot_product_attention(
            &query,
            &key,
            &value,
            no_mask,
            0.0,
            self.shape.causal,
            None,
            false,
        );
        self.out.forward(&mixed.transpose(1, 2).reshape(size.as_slice()))
    }
}
