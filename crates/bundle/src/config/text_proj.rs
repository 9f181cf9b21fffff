//! `text_proj/config.json`: diffusers' `UnCLIPTextProjModel`.

use serde_json::json;

use super::{Config, RawConfig};
use crate::BundleError;

/// How CLIP embeddings enter the decoder: extra context tokens and an addition to the time embedding (paper, 2.1).
/// Defaults are those of diffusers 0.42.1.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl Config for TextProjConfig {
    fn parse(raw: &RawConfig) -> Result<Self, BundleError> {
        raw.only("_class_name", &json!("UnCLIPTextProjModel"), &[json!("UnCLIPTextProjModel")])?;
        Ok(Self {
            clip_extra_context_tokens: raw.size("clip_extra_context_tokens", 4, 1..=1024)?,
            clip_embeddings_dim: raw.size("clip_embeddings_dim", 768, 1..=65536)?,
            time_embed_dim: raw.required_size("time_embed_dim", 1..=65536)?,
            cross_attention_dim: raw.required_size("cross_attention_dim", 1..=65536)?,
        })
    }
}
