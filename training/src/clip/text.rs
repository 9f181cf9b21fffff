//! transformers' `CLIPTextModelWithProjection`.

use tch::{Kind, Tensor};
use unclip_bundle::config::ClipTextConfig;
use unclip_models::{ModelError, Params};

use super::layers::{Encoder, LayerNorm, Linear, Shape};
use crate::params::to_i64;

/// The text tower.
pub struct TextTower {
    tokens: Tensor,
    positions: Tensor,
    encoder: Encoder,
    norm: LayerNorm,
    projection: Linear,
    end: i64,
}

/// What a text becomes.
pub struct TextOutput {
    /// `[batch, projection_dim]`, not normalised.
    pub embedding: Tensor,
    /// After the final norm, `[batch, tokens, hidden_size]`.
    pub states: Tensor,
}

impl TextTower {
    /// Builds the tower.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn new(params: &Params, config: &ClipTextConfig) -> Result<Self, ModelError> {
        let model = params.sub("text_model");
        let embeddings = model.sub("embeddings");
        let width = to_i64(config.hidden_size);
        let table = |name: &str, rows: usize| embeddings.sub(name).tensor("weight", &[to_i64(rows), width]);
        Ok(Self {
            tokens: table("token_embedding", config.vocab_size)?,
            positions: table("position_embedding", config.max_position_embeddings)?,
            encoder: Encoder::new(&model.sub("encoder"), shape(config))?,
            norm: LayerNorm::new(&model.sub("final_layer_norm"), width, config.layer_norm_eps)?,
            projection: Linear::without_bias(
                &params.sub("text_projection"),
                width,
                to_i64(config.projection_dim),
            )?,
            end: i64::from(config.eos_token_id),
        })
    }

    /// Encodes ids `[batch, tokens]`. No token sees a later one, so columns of padding may as well be left out.
    pub fn forward(&self, ids: &Tensor) -> TextOutput {
        let length = ids.size()[1];
        let embedded = Tensor::embedding(&self.tokens, ids, -1, false, false);
        let x = embedded + self.positions.narrow(0, 0, length);
        let states = self.norm.forward(&self.encoder.forward(x));
        // The state at the first end token; configs with the wrong end token 2 mean the largest id.
        let rank = if self.end == 2 { ids.shallow_clone() } else { ids.eq(self.end).to_kind(Kind::Int) };
        let place = rank.argmax(1, true).unsqueeze(-1);
        let place = place.expand([-1, 1, states.size()[2]], false);
        let pooled = states.gather(1, &place, false).squeeze_dim(1);
        TextOutput { embedding: self.projection.forward(&pooled), states }
    }
}

fn shape(config: &ClipTextConfig) -> Shape {
    Shape {
        width: config.hidden_size,
        mlp: config.intermediate_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        activation: config.hidden_act,
        epsilon: config.layer_norm_eps,
        causal: true,
    }
}
