//! `decoder/config.json` (diffusers' `UNet2DConditionModel`) and `super_res_*/config.json` (`UNet2DModel`).

use serde_json::{Value, json};

use super::{Config, RawConfig};
use crate::{Bundle, BundleError, Component};

/// Sides of pictures, in pixels.
const SIDES: std::ops::RangeInclusive<usize> = 1..=4096;

/// Levels that a U-Net may have.
const LEVELS: usize = 16;

/// A block of a U-Net, down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    const NAMES: [(&str, Self); 4] = [
        ("ResnetDownsampleBlock2D", Self::ResnetDownsampleBlock2D),
        ("SimpleCrossAttnDownBlock2D", Self::SimpleCrossAttnDownBlock2D),
        ("ResnetUpsampleBlock2D", Self::ResnetUpsampleBlock2D),
        ("SimpleCrossAttnUpBlock2D", Self::SimpleCrossAttnUpBlock2D),
    ];

    /// Whether the block attends to the context.
    pub fn has_cross_attention(self) -> bool {
        matches!(self, Self::SimpleCrossAttnDownBlock2D | Self::SimpleCrossAttnUpBlock2D)
    }

    fn is_down(self) -> bool {
        matches!(self, Self::ResnetDownsampleBlock2D | Self::SimpleCrossAttnDownBlock2D)
    }
}

/// How the time embedding enters a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeScaleShift {
    /// Added to the activations.
    Default,
    /// Scale and shift after the second group norm.
    ScaleShift,
}

/// One value for all levels of a U-Net, or one per level.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    fn read(
        raw: &RawConfig,
        key: &str,
        default: usize,
        levels: usize,
        limit: usize,
    ) -> Result<Self, BundleError> {
        let Some(Value::Array(values)) = raw.get(key) else {
            return raw.size(key, default, 1..=limit).map(Self::All);
        };
        if values.len() != levels {
            return Err(raw.refused(key, format!("a number or {levels} numbers, one per level")));
        }
        raw.sizes(key, &[], levels, 1..=limit).map(Self::Each)
    }
}

/// What both U-Nets have in common. Defaults are those of diffusers 0.42.1; where they differ between the two they come
/// from the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct UNetTrunk {
    /// `[height, width]` of the picture. The reference lets it be null.
    pub sample_size: Option<[usize; 2]>,
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
    /// Width of the time embedding; none: four times the first level's channels.
    pub time_embedding_dim: Option<usize>,
    /// Residual blocks per level; an up level has one more.
    pub layers_per_block: PerLevel,
    /// How the time embedding enters residual blocks.
    pub resnet_time_scale_shift: TimeScaleShift,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// Epsilon of the group norms.
    pub norm_eps: f64,
    /// Whether the sinusoid of the timestep has its cosines first.
    pub flip_sin_to_cos: bool,
    /// Shift in the sinusoid's frequencies.
    pub freq_shift: f64,
}

impl UNetTrunk {
    /// Resolutions of the network.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// Width of the time embedding: its own, or diffusers' default of four times the first level's channels.
    pub fn time_embed_dim(&self) -> usize {
        let default = || self.block_out_channels.first().copied().unwrap_or_default() * 4;
        self.time_embedding_dim.unwrap_or_else(default)
    }

    /// Reads the keys that both networks have; `channels` and `widths` are the class's own defaults.
    fn read(raw: &RawConfig, channels: usize, widths: &[usize]) -> Result<Self, BundleError> {
        let block_out_channels = raw.sizes("block_out_channels", widths, LEVELS, 1..=65536)?;
        let levels = block_out_channels.len();
        let shifts = [("default", TimeScaleShift::Default), ("scale_shift", TimeScaleShift::ScaleShift)];
        let trunk = Self {
            sample_size: sample_size(raw, levels)?,
            in_channels: raw.size("in_channels", channels, 1..=4096)?,
            out_channels: raw.size("out_channels", channels, 1..=4096)?,
            down_block_types: blocks(raw, "down_block_types", levels, true)?,
            up_block_types: blocks(raw, "up_block_types", levels, false)?,
            block_out_channels,
            time_embedding_dim: raw.size_or_null("time_embedding_dim", None, 1..=65536 * 4)?,
            layers_per_block: PerLevel::read(raw, "layers_per_block", 2, levels, 64)?,
            resnet_time_scale_shift: raw.word("resnet_time_scale_shift", shifts[0].1, &shifts)?,
            norm_num_groups: raw.size("norm_num_groups", 32, 1..=65536)?,
            norm_eps: raw
                .number("norm_eps", 1e-5, "a number from 0 to 1", |eps| (0.0..=1.0).contains(&eps))?,
            flip_sin_to_cos: raw.flag("flip_sin_to_cos", true)?,
            freq_shift: raw.number("freq_shift", 0.0, "a number", f64::is_finite)?,
        };
        trunk.check(raw)?;
        Ok(trunk)
    }

    fn check(&self, raw: &RawConfig) -> Result<(), BundleError> {
        raw.only("act_fn", &json!("silu"), &[json!("silu"), json!("swish")])?;
        raw.off("center_input_sample")?;
        raw.only("mid_block_scale_factor", &json!(1), &[json!(1)])?;
        raw.only("time_embedding_type", &json!("positional"), &[json!("positional")])?;
        for channels in &self.block_out_channels {
            if !channels.is_multiple_of(self.norm_num_groups) {
                let supported = format!("multiples of norm_num_groups {}", self.norm_num_groups);
                return Err(raw.unsupported("block_out_channels", channels, supported));
            }
        }
        self.check_sinusoid(raw)
    }

    /// The sinusoid divides by its number of frequencies less the shift.
    fn check_sinusoid(&self, raw: &RawConfig) -> Result<(), BundleError> {
        let frequencies = self.block_out_channels.first().copied().unwrap_or_default() / 2;
        #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^52")]
        let divisor = frequencies as f64 - self.freq_shift;
        if frequencies > 0 && divisor == 0.0 {
            let supported = "anything but half of block_out_channels[0]";
            return Err(raw.unsupported("freq_shift", self.freq_shift, supported));
        }
        Ok(())
    }
}

/// As many blocks as there are levels, all of one direction.
fn blocks(raw: &RawConfig, key: &str, levels: usize, down: bool) -> Result<Vec<BlockType>, BundleError> {
    let own: Vec<_> = BlockType::NAMES.into_iter().filter(|(_, block)| block.is_down() == down).collect();
    let blocks = raw.words(key, &own)?;
    if blocks.len() == levels {
        return Ok(blocks);
    }
    Err(raw.refused(key, format!("{levels} blocks, as many as block_out_channels has entries")))
}

/// A side, `[height, width]`, or null; every level but the first halves both.
fn sample_size(raw: &RawConfig, levels: usize) -> Result<Option<[usize; 2]>, BundleError> {
    const KEY: &str = "sample_size";
    let sides = match raw.get(KEY) {
        Some(Value::Array(values)) if values.len() == 2 => {
            let sides = raw.sizes(KEY, &[], 2, SIDES)?;
            Some([sides[0], sides[1]])
        }
        _ => raw.size_or_null(KEY, None, SIDES)?.map(|side| [side, side]),
    };
    let divisor = 1 << (levels - 1);
    match sides.iter().flatten().find(|side| !side.is_multiple_of(divisor)) {
        Some(side) => Err(raw.unsupported(KEY, side, format!("multiples of {divisor}"))),
        None => Ok(sides),
    }
}

/// The decoder, as Karlo uses diffusers' `UNet2DConditionModel`: added keys and values, identity class embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct UNet2DConditionConfig {
    /// What it has in common with the upsamplers.
    pub trunk: UNetTrunk,
    /// `[height, width]` of the picture: the trunk's, which the decoder must have.
    pub sides: [usize; 2],
    /// Width of the context tokens.
    pub cross_attention_dim: usize,
    /// Width of an attention head per level.
    pub attention_head_dim: PerLevel,
}

impl Config for UNet2DConditionConfig {
    fn parse(raw: &RawConfig) -> Result<Self, BundleError> {
        raw.only("_class_name", &json!("UNet2DConditionModel"), &[json!("UNet2DConditionModel")])?;
        let trunk = UNetTrunk::read(raw, 4, &[320, 640, 1280, 1280])?;
        let size = "a side in pixels or [height, width], which the decoder draws, as Karlo's 64";
        let config = Self {
            sides: trunk.sample_size.ok_or_else(|| raw.refused("sample_size", size))?,
            cross_attention_dim: cross_attention_dim(raw)?,
            attention_head_dim: PerLevel::read(raw, "attention_head_dim", 8, trunk.levels(), 65536)?,
            trunk,
        };
        config.check_heads(raw)?;
        check_variant(raw)?;
        Ok(config)
    }
}

/// One width, or the same for every level.
fn cross_attention_dim(raw: &RawConfig) -> Result<usize, BundleError> {
    const KEY: &str = "cross_attention_dim";
    let Some(Value::Array(_)) = raw.get(KEY) else {
        return raw.size(KEY, 1280, 1..=65536);
    };
    let widths = raw.sizes(KEY, &[], LEVELS, 1..=65536)?;
    if widths.iter().all(|width| *width == widths[0]) {
        return Ok(widths[0]);
    }
    Err(raw.refused(KEY, "a number, or the same number for every level"))
}

/// Refuses the variants of `UNet2DConditionModel` that unclip does not implement. Keys that only other blocks or other
/// class embeddings read may have any value.
fn check_variant(raw: &RawConfig) -> Result<(), BundleError> {
    let middle = "UNetMidBlock2DSimpleCrossAttn";
    raw.only("mid_block_type", &json!("UNetMidBlock2DCrossAttn"), &[json!(middle)])?;
    raw.only("class_embed_type", &Value::Null, &[json!("identity")])?;
    raw.only("attention_type", &json!("default"), &[json!("default")])?;
    raw.only("resnet_out_scale_factor", &json!(1), &[json!(1)])?;
    for key in ["conv_in_kernel", "conv_out_kernel"] {
        raw.only(key, &json!(3), &[json!(3)])?;
    }
    let off = [
        "resnet_skip_time_act",
        "only_cross_attention",
        "mid_block_only_cross_attention",
        "dual_cross_attention",
        "class_embeddings_concat",
        "upcast_attention",
    ];
    off.iter().try_for_each(|key| raw.off(key))?;
    let absent = [
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "num_attention_heads",
        "addition_embed_type",
        "time_embedding_act_fn",
        "timestep_post_act",
        "time_cond_proj_dim",
        "cross_attention_norm",
    ];
    absent.iter().try_for_each(|key| raw.only(key, &Value::Null, &[Value::Null]))
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
#[derive(Clone, Debug, PartialEq)]
pub struct UNet2DConfig {
    /// What it has in common with the decoder.
    pub trunk: UNetTrunk,
    /// Whether the middle block has self-attention.
    pub add_attention: bool,
    /// Width of an attention head; null: one head over all channels.
    pub attention_head_dim: Option<usize>,
    /// Groups of the attention's group norm; absent or null: as the residual blocks.
    pub attn_norm_num_groups: Option<usize>,
}

impl Config for UNet2DConfig {
    fn parse(raw: &RawConfig) -> Result<Self, BundleError> {
        raw.only("_class_name", &json!("UNet2DModel"), &[json!("UNet2DModel")])?;
        let config = Self {
            trunk: UNetTrunk::read(raw, 3, &[224, 448, 672, 896])?,
            add_attention: raw.flag("add_attention", true)?,
            attention_head_dim: raw.size_or_null("attention_head_dim", Some(8), 1..=65536)?,
            attn_norm_num_groups: raw.size_or_null("attn_norm_num_groups", None, 1..=65536)?,
        };
        raw.only("mid_block_type", &json!("UNetMidBlock2D"), &[json!("UNetMidBlock2D")])?;
        for key in ["class_embed_type", "num_class_embeds"] {
            raw.only(key, &Value::Null, &[Value::Null])?;
        }
        config.check_trunk(raw)?;
        config.check_attention(raw)?;
        Ok(config)
    }
}

impl UNet2DConfig {
    fn check_trunk(&self, raw: &RawConfig) -> Result<(), BundleError> {
        let trunk = &self.trunk;
        for (key, blocks) in
            [("down_block_types", &trunk.down_block_types), ("up_block_types", &trunk.up_block_types)]
        {
            if blocks.iter().any(|block| block.has_cross_attention()) {
                return Err(raw.refused(key, "blocks without cross-attention"));
            }
        }
        match &trunk.layers_per_block {
            PerLevel::All(_) => Ok(()),
            PerLevel::Each(_) => Err(raw.refused("layers_per_block", "a number")),
        }
    }

    fn check_attention(&self, raw: &RawConfig) -> Result<(), BundleError> {
        let channels = self.trunk.block_out_channels.last().copied().unwrap_or_default();
        if !self.add_attention {
            return Ok(());
        }
        if self.attention_head_dim.is_some_and(|width| width > channels) {
            let supported = format!("at most block_out_channels[-1], here {channels}");
            return Err(raw.refused("attention_head_dim", supported));
        }
        if self.attn_norm_num_groups.is_some_and(|groups| !channels.is_multiple_of(groups)) {
            let supported = format!("divisors of block_out_channels[-1], here {channels}");
            return Err(raw.refused("attn_norm_num_groups", supported));
        }
        Ok(())
    }
}

/// `[height, width]` of the pictures that an upsampler draws: as diffusers has it, the first network's. Karlo's last one
/// has null, and what the first leaves open is taken from the last.
///
/// # Errors
/// Configs that can't be read, or where neither has a size.
pub fn upsampler_sides(bundle: &Bundle) -> Result<[usize; 2], BundleError> {
    let first: UNet2DConfig = bundle.config(Component::SuperResFirst)?;
    let last: UNet2DConfig = bundle.config(Component::SuperResLast)?;
    first.trunk.sample_size.or(last.trunk.sample_size).ok_or_else(|| BundleError::Unsupported {
        path: bundle.folder(Component::SuperResFirst).join(UNet2DConfig::FILE),
        key: "sample_size".to_owned(),
        found: "null, as that of super_res_last".to_owned(),
        supported: "a side in pixels or [height, width], which the upsampler draws, as Karlo's 256"
            .to_owned(),
    })
}
