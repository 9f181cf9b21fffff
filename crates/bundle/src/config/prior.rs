//! `prior/config.json`: diffusers' `PriorTransformer`.

use serde::Deserialize;
use serde_json::json;

use super::{Config, RawConfig};
use crate::BundleError;

/// The prior: a causal transformer over `[text tokens][text embedding][timestep][noisy image embedding][prd]`.
/// Defaults are those of diffusers 0.42.1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
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

impl Default for PriorConfig {
    fn default() -> Self {
        Self {
            num_attention_heads: 32,
            attention_head_dim: 64,
            num_layers: 20,
            embedding_dim: 768,
            num_embeddings: 77,
            additional_embeddings: 4,
        }
    }
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
}

impl Config for PriorConfig {
    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("_class_name", &[json!("PriorTransformer")])?;
        raw.only("time_embed_act_fn", &[json!("silu")])?;
        raw.only("norm_in_type", &[json!(null)])?;
        raw.only("embedding_proj_norm_type", &[json!(null)])?;
        raw.only("encoder_hid_proj_type", &[json!("linear")])?;
        raw.only("added_emb_type", &[json!("prd")])?;
        raw.only("time_embed_dim", &[json!(null), json!(self.inner_dim())])?;
        raw.only("embedding_proj_dim", &[json!(null), json!(self.embedding_dim)])?;
        raw.only("clip_embed_dim", &[json!(null), json!(self.embedding_dim)])?;
        raw.within("num_attention_heads", self.num_attention_heads, 1..=1024)?;
        raw.within("attention_head_dim", self.attention_head_dim, 1..=4096)?;
        raw.within("num_layers", self.num_layers, 1..=1024)?;
        raw.within("embedding_dim", self.embedding_dim, 1..=65536)?;
        raw.within("num_embeddings", self.num_embeddings, 2..=4096)?;
        raw.within("additional_embeddings", self.additional_embeddings, 4..=4)?;
        if self.inner_dim() % 2 == 1 {
            let key = "num_attention_heads * attention_head_dim";
            return Err(raw.unsupported(key, self.inner_dim(), "an even number"));
        }
        Ok(())
    }
}
