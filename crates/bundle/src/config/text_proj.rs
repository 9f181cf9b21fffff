//! `text_proj/config.json`: diffusers' `UnCLIPTextProjModel`.

use serde::Deserialize;
use serde_json::json;

use super::{Config, RawConfig};
use crate::BundleError;

/// How CLIP embeddings enter the decoder: extra context tokens and an addition to the time embedding (paper, 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TextProjConfig {
    /// Context tokens made of the image embedding.
    pub clip_extra_context_tokens: usize,
    /// Width of a CLIP embedding, and of the text encoder's hidden states.
    pub clip_embeddings_dim: usize,
    /// Width of the decoder's time embedding.
    pub time_embed_dim: usize,
    /// Width of the decoder's context tokens.
    pub cross_attention_dim: usize,
}

impl Default for TextProjConfig {
    fn default() -> Self {
        Self {
            clip_extra_context_tokens: 4,
            clip_embeddings_dim: 768,
            time_embed_dim: 1280,
            cross_attention_dim: 1536,
        }
    }
}

impl Config for TextProjConfig {
    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("_class_name", &[json!("UnCLIPTextProjModel")])?;
        raw.within("clip_extra_context_tokens", self.clip_extra_context_tokens, 1..=1024)?;
        raw.within("clip_embeddings_dim", self.clip_embeddings_dim, 1..=65536)?;
        raw.within("time_embed_dim", self.time_embed_dim, 1..=65536)?;
        raw.within("cross_attention_dim", self.cross_attention_dim, 1..=65536)
    }
}
