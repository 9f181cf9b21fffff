//! `text_encoder/config.json` and `image_encoder/config.json`. Defaults are those of transformers 5.23.0.

use serde_json::json;

use super::{Config, RawConfig};
use crate::BundleError;

/// The activation in a CLIP tower's MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, OpenAI's CLIP.
    QuickGelu,
    /// Exact GELU, OpenCLIP's larger models.
    Gelu,
}

/// transformers' `CLIPTextModelWithProjection`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipTextConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Width of the text embedding.
    pub projection_dim: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Tokens of a text.
    pub max_position_embeddings: usize,
    /// Activation of the MLP.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f32,
    /// The end token. The value 2 stands in old configs and means: pool at the largest token id.
    pub eos_token_id: u32,
}

impl Config for ClipTextConfig {
    fn parse(raw: &RawConfig) -> Result<Self, BundleError> {
        let raw = &tower(raw, "text_config", "clip_text_model")?;
        let hidden_size = raw.size("hidden_size", 512, 1..=65536)?;
        let eos_token_id = raw.size("eos_token_id", 49407, 0..=1 << 24)?;
        Ok(Self {
            vocab_size: raw.size("vocab_size", 49408, 3..=1 << 24)?,
            hidden_size,
            intermediate_size: raw.size("intermediate_size", 2048, 1..=1 << 20)?,
            projection_dim: raw.size("projection_dim", 512, 1..=65536)?,
            num_hidden_layers: raw.size("num_hidden_layers", 12, 1..=1024)?,
            num_attention_heads: heads(raw, 8, hidden_size)?,
            max_position_embeddings: raw.size("max_position_embeddings", 77, 2..=4096)?,
            hidden_act: activation(raw)?,
            layer_norm_eps: epsilon(raw)?,
            // The range keeps it below 2^32.
            eos_token_id: u32::try_from(eos_token_id).unwrap_or(u32::MAX),
        })
    }
}

/// transformers' `CLIPVisionModelWithProjection`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipVisionConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Width of the image embedding.
    pub projection_dim: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Colour channels.
    pub num_channels: usize,
    /// Side of the picture, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Activation of the MLP.
    pub hidden_act: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f32,
}

impl Config for ClipVisionConfig {
    fn parse(raw: &RawConfig) -> Result<Self, BundleError> {
        let raw = &tower(raw, "vision_config", "clip_vision_model")?;
        let hidden_size = raw.size("hidden_size", 768, 1..=65536)?;
        let image_size = raw.size("image_size", 224, 1..=4096)?;
        Ok(Self {
            hidden_size,
            intermediate_size: raw.size("intermediate_size", 3072, 1..=1 << 20)?,
            projection_dim: raw.size("projection_dim", 512, 1..=65536)?,
            num_hidden_layers: raw.size("num_hidden_layers", 12, 1..=1024)?,
            num_attention_heads: heads(raw, 12, hidden_size)?,
            num_channels: raw.size("num_channels", 3, 3..=3)?,
            image_size,
            patch_size: raw.size("patch_size", 32, 1..=image_size)?,
            hidden_act: activation(raw)?,
            layer_norm_eps: epsilon(raw)?,
        })
    }
}

/// The tower's own keys. A file may be a whole CLIP's, with those of each tower in a section.
fn tower(raw: &RawConfig, section: &str, model_type: &str) -> Result<RawConfig, BundleError> {
    let whole = raw.get("model_type").is_some_and(|found| found == "clip");
    let own = if whole { raw.section(section) } else { raw.clone() };
    if !whole {
        own.only("model_type", &json!(model_type), &[json!(model_type), json!("clip")])?;
    }
    Ok(own)
}

fn heads(raw: &RawConfig, default: usize, hidden_size: usize) -> Result<usize, BundleError> {
    let heads = raw.size("num_attention_heads", default, 1..=hidden_size)?;
    if hidden_size.is_multiple_of(heads) {
        return Ok(heads);
    }
    Err(raw.unsupported("num_attention_heads", heads, format!("a divisor of hidden_size {hidden_size}")))
}

fn activation(raw: &RawConfig) -> Result<Activation, BundleError> {
    let known = [("quick_gelu", Activation::QuickGelu), ("gelu", Activation::Gelu)];
    raw.word("hidden_act", Activation::QuickGelu, &known)
}

#[expect(clippy::cast_possible_truncation, reason = "networks compute in f32")]
fn epsilon(raw: &RawConfig) -> Result<f32, BundleError> {
    let epsilon =
        raw.number("layer_norm_eps", 1e-5, "a number from 0 to 1", |eps| (0.0..=1.0).contains(&eps))?;
    Ok(epsilon as f32)
}
