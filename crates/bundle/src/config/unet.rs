//! `decoder/config.json` (diffusers' `UNet2DConditionModel`) and `super_res_*/config.json` (`UNet2DModel`).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Config, RawConfig};
use crate::BundleError;

/// A block of a U-Net, down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum BlockType {
    /// Residual blocks; the last one halves the resolution.
    ResnetDownsampleBlock2D,
    /// Residual blocks, each followed by attention over the context and the picture.
    SimpleCrossAttnDownBlock2D,
    /// Residual blocks; the last one doubles the resolution.
    ResnetUpsampleBlock2D,
    /// As [`BlockType::SimpleCrossAttnDownBlock2D`], upwards.
    SimpleCrossAttnUpBlock2D,
}

impl BlockType {
    /// Whether the block attends to the context.
    pub fn has_cross_attention(self) -> bool {
        matches!(self, Self::SimpleCrossAttnDownBlock2D | Self::SimpleCrossAttnUpBlock2D)
    }

    fn is_down(self) -> bool {
        matches!(self, Self::ResnetDownsampleBlock2D | Self::SimpleCrossAttnDownBlock2D)
    }
}

/// How the time embedding enters a residual block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeScaleShift {
    /// Added to the activations.
    #[default]
    Default,
    /// Scale and shift after the second group norm.
    ScaleShift,
}

/// One value for all levels of a U-Net, or one per level.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PerLevel {
    /// The same for all.
    All(usize),
    /// One each, first level first.
    Each(Vec<usize>),
}

impl PerLevel {
    /// The value at `level`, or at the last level there is.
    pub fn at(&self, level: usize) -> usize {
        match self {
            Self::All(value) => *value,
            Self::Each(values) => values.get(level).or(values.last()).copied().unwrap_or_default(),
        }
    }

    fn check(&self, raw: &RawConfig, key: &str, levels: usize, limit: usize) -> Result<(), BundleError> {
        let values = match self {
            Self::All(value) => std::slice::from_ref(value),
            Self::Each(values) if values.len() == levels => values,
            Self::Each(values) => {
                return Err(raw.unsupported(
                    key,
                    format!("{values:?}"),
                    format!("a number or {levels} numbers"),
                ));
            }
        };
        values.iter().try_for_each(|value| raw.within(key, *value, 1..=limit))
    }
}

/// The side of the picture in pixels: a number or `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SampleSize {
    /// A square.
    Side(usize),
    /// `[height, width]`.
    Sides([usize; 2]),
}

/// What both U-Nets have in common. Defaults are those of diffusers 0.42.1.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UNetTrunk {
    /// Side of the picture.
    pub sample_size: SampleSize,
    /// Channels in.
    pub in_channels: usize,
    /// Channels out: twice the picture's where the variance is learned.
    pub out_channels: usize,
    /// Down blocks, first to last.
    pub down_block_types: Vec<BlockType>,
    /// Up blocks, first to last.
    pub up_block_types: Vec<BlockType>,
    /// Channels per level.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks per level; an up level has one more.
    #[serde(default = "two_layers")]
    pub layers_per_block: PerLevel,
    /// How the time embedding enters residual blocks.
    #[serde(default)]
    pub resnet_time_scale_shift: TimeScaleShift,
    /// Groups of the group norms.
    #[serde(default = "thirty_two_groups")]
    pub norm_num_groups: usize,
    /// Epsilon of the group norms.
    #[serde(default = "default_eps")]
    pub norm_eps: f64,
    /// Whether the sinusoid of the timestep has its cosines first.
    #[serde(default = "cosines_first")]
    pub flip_sin_to_cos: bool,
    /// Shift in the sinusoid's frequencies.
    #[serde(default)]
    pub freq_shift: f64,
}

fn two_layers() -> PerLevel {
    PerLevel::All(2)
}

fn thirty_two_groups() -> usize {
    32
}

fn default_eps() -> f64 {
    1e-5
}

fn cosines_first() -> bool {
    true
}

impl UNetTrunk {
    /// `[height, width]` of the picture.
    pub fn sides(&self) -> [usize; 2] {
        match self.sample_size {
            SampleSize::Side(side) => [side, side],
            SampleSize::Sides(sides) => sides,
        }
    }

    /// Resolutions of the network.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// Width of the time embedding: diffusers' default of four times the first level's channels.
    pub fn time_embed_dim(&self) -> usize {
        self.block_out_channels.first().copied().unwrap_or_default() * 4
    }

    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("act_fn", &[json!("silu"), json!("swish")])?;
        raw.only("center_input_sample", &[json!(false)])?;
        raw.only("mid_block_scale_factor", &[json!(1), json!(1.0)])?;
        raw.only("time_embedding_type", &[json!("positional")])?;
        raw.only("time_embedding_dim", &[json!(null), json!(self.time_embed_dim())])?;
        raw.within("block_out_channels", self.levels(), 1..=16)?;
        for channels in &self.block_out_channels {
            raw.within("block_out_channels", *channels, 1..=65536)?;
            raw.within("norm_num_groups", self.norm_num_groups, 1..=*channels)?;
            if !channels.is_multiple_of(self.norm_num_groups) {
                let supported = format!("multiples of norm_num_groups {}", self.norm_num_groups);
                return Err(raw.unsupported("block_out_channels", channels, supported));
            }
        }
        self.check_blocks(raw, "down_block_types", &self.down_block_types, true)?;
        self.check_blocks(raw, "up_block_types", &self.up_block_types, false)?;
        self.layers_per_block.check(raw, "layers_per_block", self.levels(), 64)?;
        raw.within("in_channels", self.in_channels, 1..=4096)?;
        raw.within("out_channels", self.out_channels, 1..=4096)?;
        self.check_numbers(raw)?;
        self.check_sides(raw)
    }

    /// The sinusoid divides by its number of frequencies less the shift, the norms by a root of variance plus epsilon.
    fn check_numbers(&self, raw: &RawConfig) -> Result<(), BundleError> {
        if self.norm_eps < 0.0 {
            return Err(raw.unsupported("norm_eps", self.norm_eps, "zero or more"));
        }
        let frequencies = self.block_out_channels.first().copied().unwrap_or_default() / 2;
        #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^52")]
        let divisor = frequencies as f64 - self.freq_shift;
        if frequencies > 0 && divisor == 0.0 {
            let supported = "anything but half of block_out_channels[0]";
            return Err(raw.unsupported("freq_shift", self.freq_shift, supported));
        }
        Ok(())
    }

    fn check_blocks(
        &self,
        raw: &RawConfig,
        key: &str,
        blocks: &[BlockType],
        down: bool,
    ) -> Result<(), BundleError> {
        let supported = format!("{} {} blocks", self.levels(), if down { "down" } else { "up" });
        let fits = blocks.len() == self.levels() && blocks.iter().all(|block| block.is_down() == down);
        if fits { Ok(()) } else { Err(raw.unsupported(key, format!("{blocks:?}"), supported)) }
    }

    fn check_sides(&self, raw: &RawConfig) -> Result<(), BundleError> {
        let divisor = 1 << (self.levels() - 1);
        for side in self.sides() {
            raw.within("sample_size", side, 1..=4096)?;
            if !side.is_multiple_of(divisor) {
                return Err(raw.unsupported("sample_size", side, format!("multiples of {divisor}")));
            }
        }
        Ok(())
    }
}

/// The decoder, as Karlo uses diffusers' `UNet2DConditionModel`: added keys and values, identity class embedding.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UNet2DConditionConfig {
    /// What it has in common with the upsamplers.
    #[serde(flatten)]
    pub trunk: UNetTrunk,
    /// Width of the context tokens.
    pub cross_attention_dim: usize,
    /// Width of an attention head per level.
    #[serde(default = "eight_wide_heads")]
    pub attention_head_dim: PerLevel,
}

fn eight_wide_heads() -> PerLevel {
    PerLevel::All(8)
}

impl Config for UNet2DConditionConfig {
    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("_class_name", &[json!("UNet2DConditionModel")])?;
        self.trunk.check(raw)?;
        raw.within("cross_attention_dim", self.cross_attention_dim, 1..=65536)?;
        self.attention_head_dim.check(raw, "attention_head_dim", self.trunk.levels(), 65536)?;
        self.check_heads(raw)?;
        raw.only("attention_type", &[json!("default")])?;
        raw.only("mid_block_type", &[json!("UNetMidBlock2DSimpleCrossAttn")])?;
        raw.required("mid_block_type")?;
        raw.only("class_embed_type", &[json!("identity")])?;
        raw.required("class_embed_type")?;
        raw.only("resnet_skip_time_act", &[json!(false)])?;
        raw.only("resnet_out_scale_factor", &[json!(1), json!(1.0)])?;
        for key in ["conv_in_kernel", "conv_out_kernel"] {
            raw.only(key, &[json!(3)])?;
        }
        let off = [
            "only_cross_attention",
            "mid_block_only_cross_attention",
            "dual_cross_attention",
            "class_embeddings_concat",
            "upcast_attention",
        ];
        off.iter().try_for_each(|key| raw.only(key, &[json!(false), json!(null)]))?;
        let absent = [
            "encoder_hid_dim",
            "encoder_hid_dim_type",
            "num_attention_heads",
            "addition_embed_type",
            "num_class_embeds",
            "time_embedding_act_fn",
            "timestep_post_act",
            "time_cond_proj_dim",
            "projection_class_embeddings_input_dim",
            "cross_attention_norm",
        ];
        absent.iter().try_for_each(|key| raw.only(key, &[Value::Null]))
    }
}

impl UNet2DConditionConfig {
    /// Every attention layer's channels must be whole heads. On the way up diffusers takes `attention_head_dim` in the
    /// order of the way down.
    fn check_heads(&self, raw: &RawConfig) -> Result<(), BundleError> {
        let trunk = &self.trunk;
        let last = trunk.levels() - 1;
        let down = trunk.down_block_types.iter().enumerate();
        let down = down.map(|(level, block)| (block.has_cross_attention(), level, level));
        let up = trunk.up_block_types.iter().enumerate();
        let up = up.map(|(index, block)| (block.has_cross_attention(), index, last - index));
        let attentions = down.chain(up).chain([(true, last, last)]).filter(|(has, ..)| *has);
        for (_, heads_of, level) in attentions {
            let (width, channels) = (self.attention_head_dim.at(heads_of), trunk.block_out_channels[level]);
            if !channels.is_multiple_of(width) {
                let supported = format!("divisors of the channels of its blocks, here {channels}");
                return Err(raw.unsupported("attention_head_dim", width, supported));
            }
        }
        Ok(())
    }
}

/// An upsampler, as Karlo uses diffusers' `UNet2DModel`: residual blocks and, if asked for, self-attention in the middle.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct UNet2DConfig {
    /// What it has in common with the decoder.
    #[serde(flatten)]
    pub trunk: UNetTrunk,
    /// Whether the middle block has self-attention.
    #[serde(default = "with_attention")]
    pub add_attention: bool,
    /// Width of an attention head; absent: eight, null: one head over all channels.
    #[serde(default = "eight_wide")]
    pub attention_head_dim: Option<usize>,
    /// Groups of the attention's group norm; absent or null: as the residual blocks.
    #[serde(default)]
    pub attn_norm_num_groups: Option<usize>,
}

fn with_attention() -> bool {
    true
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn eight_wide() -> Option<usize> {
    Some(8)
}

impl Config for UNet2DConfig {
    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("_class_name", &[json!("UNet2DModel")])?;
        self.trunk.check(raw)?;
        raw.only("mid_block_type", &[json!("UNetMidBlock2D")])?;
        raw.only("class_embed_type", &[Value::Null])?;
        raw.only("num_class_embeds", &[Value::Null])?;
        if self
            .trunk
            .down_block_types
            .iter()
            .chain(&self.trunk.up_block_types)
            .any(|b| b.has_cross_attention())
        {
            let found = format!("{:?}", self.trunk.down_block_types);
            return Err(raw.unsupported("down_block_types", found, "blocks without cross-attention"));
        }
        if let PerLevel::Each(layers) = &self.trunk.layers_per_block {
            return Err(raw.unsupported("layers_per_block", format!("{layers:?}"), "a number"));
        }
        self.check_attention(raw)
    }
}

impl UNet2DConfig {
    fn check_attention(&self, raw: &RawConfig) -> Result<(), BundleError> {
        let channels = self.trunk.block_out_channels.last().copied().unwrap_or_default();
        if !self.add_attention {
            return Ok(());
        }
        if let Some(width) = self.attention_head_dim {
            raw.within("attention_head_dim", width, 1..=channels)?;
        }
        if let Some(groups) = self.attn_norm_num_groups {
            raw.within("attn_norm_num_groups", groups, 1..=channels)?;
            if !channels.is_multiple_of(groups) {
                let supported = format!("divisors of block_out_channels[-1], here {channels}");
                return Err(raw.unsupported("attn_norm_num_groups", groups, supported));
            }
        }
        Ok(())
    }
}
