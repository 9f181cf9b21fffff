//! `prior/config.json`: diffusers' `PriorTransformer`.

use serde_json::{Value, json};

use super::{Config, RawConfig};
use crate::BundleError;

/// The prior: a causal transformer over `[text tokens][text embedding][timestep][noisy image embedding][prd]`.
/// Defaults are those of diffusers 0.42.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorConfig {
    /// Attention heads per block.
    pub num_attention_heads: usize,
    /// Width of one head; the inner width is `num_attention_heads * attention_head_dim`.
    pub attention_head_dim: usize,
    /// Transformer blocks.
    pub num_layers: usize,
    /// Width of a CLIP embedding, and of the text encoder's hidden states.
    pub embedding_dim: usize,
    /// Text tokens.
    pub num_embeddings: usize,
    /// Tokens after the text: text embedding, timestep, noisy image embedding and, with `added_emb_type` "prd", prd.
    pub additional_embeddings: usize,
}

impl PriorConfig {
    /// Width of the transformer.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Length of the sequence.
    pub fn sequence_length(&self) -> usize {
        self.num_embeddings + self.additional_embeddings
    }

    /// Refuses the variants of the network that unclip does not implement.
    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("time_embed_act_fn", &json!("silu"), &[json!("silu")])?;
        raw.only("encoder_hid_proj_type", &json!("linear"), &[json!("linear")])?;
        raw.only("added_emb_type", &json!("prd"), &[json!("prd")])?;
        for key in ["norm_in_type", "embedding_proj_norm_type"] {
            raw.only(key, &Value::Null, &[Value::Null])?;
        }
        raw.only("time_embed_dim", &Value::Null, &[Value::Null, json!(self.inner_dim())])?;
        for key in ["embedding_proj_dim", "clip_embed_dim"] {
            raw.only(key, &Value::Null, &[Value::Null, json!(self.embedding_dim)])?;
        }
        if self.inner_dim() % 2 == 1 {
            let key = "num_attention_heads * attention_head_dim";
            return Err(raw.unsupported(key, self.inner_dim(), "an even number"));
        }
        Ok(())
    }
}

impl Config for PriorConfig {
    fn parse(raw: &RawConfig) -> Result<Self, BundleError> {
        raw.only("_class_name", &json!("PriorTransformer"), &[json!("PriorTransformer")])?;
        let config = Self {
            num_attention_heads: raw.size("num_attention_heads", 32, 1..=1024)?,
            attention_head_dim: raw.size("attention_head_dim", 64, 1..=4096)?,
            num_layers: raw.size("num_layers", 20, 1..=1024)?,
            embedding_dim: raw.size("embedding_dim", 768, 1..=65536)?,
            num_embeddings: raw.size("num_embeddings", 77, 2..=4096)?,
            additional_embeddings: raw.size("additional_embeddings", 4, 4..=4)?,
        };
        config.check(raw)?;
        Ok(config)
    }
}
