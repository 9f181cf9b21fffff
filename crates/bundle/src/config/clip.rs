//! `text_encoder/config.json`, `image_encoder/config.json` and `feature_extractor/preprocessor_config.json`.

use serde::Deserialize;
use serde_json::json;

use super::{Config, RawConfig};
use crate::BundleError;

/// The activation in a CLIP tower's MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, OpenAI's CLIP.
    QuickGelu,
    /// Exact GELU, OpenCLIP's larger models.
    Gelu,
}

/// transformers' `CLIPTextModelWithProjection`. Defaults are those of transformers 5.23.0.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
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

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

impl Config for ClipTextConfig {
    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("model_type", &[json!("clip_text_model")])?;
        raw.within("vocab_size", self.vocab_size, 3..=1 << 24)?;
        raw.within("max_position_embeddings", self.max_position_embeddings, 2..=4096)?;
        tower(
            raw,
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.projection_dim,
            self.num_hidden_layers,
        )
    }
}

/// transformers' `CLIPVisionModelWithProjection`. Defaults are those of transformers 5.23.0.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
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

impl Default for ClipVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl Config for ClipVisionConfig {
    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("model_type", &[json!("clip_vision_model")])?;
        raw.within("num_channels", self.num_channels, 3..=3)?;
        raw.within("image_size", self.image_size, 1..=4096)?;
        raw.within("patch_size", self.patch_size, 1..=self.image_size)?;
        tower(
            raw,
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.projection_dim,
            self.num_hidden_layers,
        )
    }
}

/// transformers' `CLIPImageProcessor`: resize the short side (bicubic, antialiased), centre crop, scale, normalise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct PreprocessorConfig {
    /// Length of the short side after the resize.
    pub size: Size,
    /// The crop.
    pub crop_size: Size,
    /// Mean per channel, of pixels in `[0, 1]`.
    pub image_mean: [f32; 3],
    /// Standard deviation per channel, of pixels in `[0, 1]`.
    pub image_std: [f32; 3],
    /// What a pixel value is multiplied by.
    pub rescale_factor: f64,
}

/// A size in a preprocessor's config: a number, `{"shortest_edge": n}` or `{"height": h, "width": w}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Size {
    /// One number.
    Side(usize),
    /// The short side.
    ShortestEdge {
        /// Its length in pixels.
        shortest_edge: usize,
    },
    /// Both sides.
    Exact {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
}

impl Size {
    fn check(self, raw: &RawConfig, key: &str) -> Result<(), BundleError> {
        let (height, width) = match self {
            Self::Side(side) | Self::ShortestEdge { shortest_edge: side } => (side, side),
            Self::Exact { height, width } => (height, width),
        };
        raw.within(key, height, 1..=4096)?;
        raw.within(key, width, 1..=4096)
    }
}

impl Default for PreprocessorConfig {
    fn default() -> Self {
        Self {
            size: Size::ShortestEdge { shortest_edge: 224 },
            crop_size: Size::Exact { height: 224, width: 224 },
            // OpenAI's CLIP, clip/clip.py.
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
            rescale_factor: 1.0 / 255.0,
        }
    }
}

impl Config for PreprocessorConfig {
    const FILE: &'static str = "preprocessor_config.json";

    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        for step in ["do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"] {
            raw.only(step, &[json!(true)])?;
        }
        raw.only("use_square_size", &[json!(false)])?;
        // PIL's number for bicubic.
        raw.only("resample", &[json!(3)])?;
        self.size.check(raw, "size")?;
        self.crop_size.check(raw, "crop_size")?;
        if self.image_std.iter().any(|std| std.is_nan() || *std <= 0.0) {
            return Err(raw.unsupported("image_std", format!("{:?}", self.image_std), "positive numbers"));
        }
        Ok(())
    }
}

fn tower(
    raw: &RawConfig,
    hidden_size: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    projection_dim: usize,
    num_hidden_layers: usize,
) -> Result<(), BundleError> {
    raw.within("hidden_size", hidden_size, 1..=65536)?;
    raw.within("intermediate_size", intermediate_size, 1..=1 << 20)?;
    raw.within("projection_dim", projection_dim, 1..=65536)?;
    raw.within("num_hidden_layers", num_hidden_layers, 1..=1024)?;
    raw.within("num_attention_heads", num_attention_heads, 1..=hidden_size)?;
    if !hidden_size.is_multiple_of(num_attention_heads) {
        let supported = format!("a divisor of hidden_size {hidden_size}");
        return Err(raw.unsupported("num_attention_heads", num_attention_heads, supported));
    }
    Ok(())
}
