//! U-Nets in a training configuration, and as diffusers' configs.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::params::Init;
use crate::run::Problems;

/// Measures of a U-Net.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetShape {
    /// Side of the pictures in pixels.
    pub side: usize,
    /// Channels per level.
    pub channels: Vec<usize>,
    /// Residual blocks per level; an up level has one more.
    pub layers: usize,
    /// Groups of the group norms.
    pub groups: usize,
    /// Levels, counted from the lowest resolution, that attend to context and pixels; only the decoder's count.
    #[serde(default)]
    pub attention_levels: usize,
    /// Width of an attention head.
    #[serde(default = "head_width")]
    pub head_width: usize,
    /// Width of the time embedding, which the decoder's conditions are added to; absent: four times the first level's
    /// channels. A thin first level would be a narrow way for them.
    #[serde(default)]
    pub time_width: Option<usize>,
    /// Whether the time embedding scales and shifts, or is only added.
    #[serde(default = "scale_shift")]
    pub scale_shift: bool,
}

fn head_width() -> usize {
    32
}

fn scale_shift() -> bool {
    true
}

impl UNetShape {
    /// Adds what is wrong to `problems`; what the servers would refuse is told when the config is written.
    pub fn check(&self, problems: &mut Problems) {
        problems.expect(
            "unet.channels",
            format!("{:?}", self.channels),
            !self.channels.is_empty(),
            "one or more levels",
        );
        problems.expect("unet.layers", self.layers, self.layers >= 1, "1 or more");
        let width = self.time_width();
        problems.expect("unet.time_width", width, (1..=65536).contains(&width), "1 to 65536");
        let levels = self.channels.len();
        let halved = 1 << levels.saturating_sub(1).min(16);
        let divides = self.side >= halved && self.side.is_multiple_of(halved);
        problems.expect("unet.side", self.side, divides, "a multiple of 2 to the number of levels less 1");
        problems.expect(
            "unet.attention_levels",
            self.attention_levels,
            self.attention_levels <= levels,
            "at most the number of levels",
        );
    }

    /// Width of the time embedding: the configured one, or diffusers' default.
    pub fn time_width(&self) -> usize {
        let default = || self.channels.first().copied().unwrap_or_default() * 4;
        self.time_width.unwrap_or_else(default)
    }

    fn common(&self, attention: bool) -> Value {
        let levels = self.channels.len();
        let first = if attention { levels.saturating_sub(self.attention_levels) } else { levels };
        let block = |level: usize, plain: &str, attending: &str| {
            if level >= first { attending.to_owned() } else { plain.to_owned() }
        };
        let down: Vec<_> = (0..levels)
            .map(|level| block(level, "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"))
            .collect();
        let up: Vec<_> = (0..levels)
            .rev()
            .map(|level| block(level, "ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"))
            .collect();
        json!({
            "_diffusers_version": "0.42.1",
            "act_fn": "silu",
            "block_out_channels": self.channels,
            "down_block_types": down,
            "flip_sin_to_cos": true,
            "freq_shift": 0,
            "layers_per_block": self.layers,
            "norm_eps": 1e-5,
            "norm_num_groups": self.groups,
            "resnet_time_scale_shift": if self.scale_shift { "scale_shift" } else { "default" },
            "sample_size": self.side,
            "time_embedding_dim": self.time_width,
            "up_block_types": up,
        })
    }

    /// The initial values of diffusion practice (Dhariwal and Nichol, arXiv 2105.05233, appendix; `zero_module` in its
    /// code): a residual block starts as the identity, and the network predicts zero.
    pub fn initialise(name: &str, shape: &[i64], weight: Option<&[i64]>) -> Init {
        let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
        if layer.ends_with(".conv2") || layer.ends_with(".to_out.0") || layer.ends_with(".conv_out") {
            return Init::Zeros;
        }
        Init::layer(name, shape, weight)
    }
}

/// `decoder/config.json`: Karlo's configuration of `UNet2DConditionModel`.
pub(crate) fn unet(shape: &UNetShape, context_width: usize) -> Value {
    let mut config = shape.common(true);
    config["_class_name"] = json!("UNet2DConditionModel");
    config["attention_head_dim"] = json!(shape.head_width);
    config["class_embed_type"] = json!("identity");
    config["cross_attention_dim"] = json!(context_width);
    config["in_channels"] = json!(3);
    config["mid_block_type"] = json!("UNetMidBlock2DSimpleCrossAttn");
    config["out_channels"] = json!(6);
    config
}

/// `text_proj/config.json`.
pub(crate) fn text_proj(shape: &UNetShape, dim: usize, context_width: usize, image_tokens: usize) -> Value {
    json!({
        "_class_name": "UnCLIPTextProjModel",
        "_diffusers_version": "0.42.1",
        "clip_embeddings_dim": dim,
        "clip_extra_context_tokens": image_tokens,
        "cross_attention_dim": context_width,
        "time_embed_dim": shape.time_width(),
    })
}

/// `super_res_first/config.json`: Karlo's configuration of `UNet2DModel`, without attention.
pub(crate) fn super_res(shape: &UNetShape) -> Value {
    let mut config = shape.common(false);
    config["_class_name"] = json!("UNet2DModel");
    config["add_attention"] = json!(false);
    config["center_input_sample"] = json!(false);
    config["in_channels"] = json!(6);
    config["mid_block_scale_factor"] = json!(1);
    config["out_channels"] = json!(3);
    config["time_embedding_type"] = json!("positional");
    config
}
