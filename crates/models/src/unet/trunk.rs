//! What both U-Nets have in common: levels down, a middle, levels up.

use tch::Tensor;
use unclip_bundle::config::{BlockType, PerLevel, UNetTrunk};

use super::level::{Level, Pass};
use crate::context::ContextBatch;
use crate::layers::{
    AddedKvAttention, Conv2d, GroupNorm, Resample, Resnet, ResnetConfig, SelfAttention2d, Sinusoid,
    TimestepEmbedding, channels_last, silu,
};
use crate::rows::to_i64;
use crate::{ModelError, Params};

/// Attention over the context, in the blocks whose type has it.
#[derive(Clone, Copy)]
pub(super) struct AddedKvConfig<'a> {
    /// Width of a head per level.
    pub(super) head_widths: &'a PerLevel,
    /// Width of the context tokens.
    pub(super) context_width: usize,
}

/// The attention of the middle block.
pub(super) enum Middle {
    None,
    AddedKv(AddedKvAttention),
    Pixels(SelfAttention2d),
}

/// A U-Net without its conditions.
pub(super) struct Trunk {
    conv_in: Conv2d,
    time: TimestepEmbedding,
    down: Vec<Level>,
    first: Resnet,
    pub(super) middle: Middle,
    last: Resnet,
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Trunk {
    pub(super) fn new(
        params: &Params,
        config: &UNetTrunk,
        attention: Option<AddedKvConfig<'_>>,
        middle: Middle,
    ) -> Result<Self, ModelError> {
        let builder = Builder { params, config, resnet: resnet_config(config), attention };
        let (first, last) = (config.block_out_channels.first(), config.block_out_channels.last());
        let first = to_i64(first.copied().unwrap_or_default());
        let last = to_i64(last.copied().unwrap_or_default());
        let sinusoid =
            Sinusoid { width: first, cosines_first: config.flip_sin_to_cos, freq_shift: config.freq_shift };
        let width = to_i64(config.time_embed_dim());
        let middle_resnet = |index: usize| {
            let params = params.sub(&format!("mid_block.resnets.{index}"));
            Resnet::new(&params, builder.resnet, last, last, Resample::None)
        };
        Ok(Self {
            conv_in: Conv2d::new(&params.sub("conv_in"), to_i64(config.in_channels), first, 3)?,
            time: TimestepEmbedding::new(&params.sub("time_embedding"), sinusoid, width, width)?,
            down: (0..config.levels()).map(|level| builder.down(level)).collect::<Result<_, _>>()?,
            first: middle_resnet(0)?,
            middle,
            last: middle_resnet(1)?,
            up: (0..config.levels()).map(|level| builder.up(level)).collect::<Result<_, _>>()?,
            norm_out: GroupNorm::new(
                &params.sub("conv_norm_out"),
                first,
                to_i64(config.norm_num_groups),
                config.norm_eps,
            )?,
            conv_out: Conv2d::new(&params.sub("conv_out"), first, to_i64(config.out_channels), 3)?,
        })
    }

    /// `x` is `[batch, in_channels, height, width]`, `timesteps` `[batch]`, `time_addition` `[batch, time_embed_dim]`; the
    /// result is `[batch, out_channels, height, width]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        time_addition: Option<&Tensor>,
        context: &[ContextBatch],
    ) -> Tensor {
        let time = self.time.forward(timesteps);
        let time = match time_addition {
            Some(addition) => time + addition,
            None => time,
        };
        let mut pass = Pass::new(silu(time), context);
        let mut x = self.conv_in.forward(&channels_last(x));
        let mut skips = vec![x.shallow_clone()];
        for level in &self.down {
            x = level.down(x, &mut pass, &mut skips);
        }
        x = self.middle(x, &mut pass);
        for level in &self.up {
            x = level.up(x, &mut pass, &mut skips);
        }
        self.conv_out.forward(&silu(self.norm_out.forward(&x)))
    }

    fn middle(&self, x: Tensor, pass: &mut Pass<'_>) -> Tensor {
        let x = self.first.forward(&x, &pass.time);
        let x = match &self.middle {
            Middle::None => x,
            Middle::AddedKv(attention) => pass.attend(attention, &x),
            Middle::Pixels(attention) => attention.forward(&x),
        };
        self.last.forward(&x, &pass.time)
    }

    /// The layers that attend to the context, in the order in which a forward pass meets them.
    pub(super) fn attentions(&self) -> impl Iterator<Item = &AddedKvAttention> {
        let middle = match &self.middle {
            Middle::AddedKv(attention) => Some(attention),
            Middle::None | Middle::Pixels(_) => None,
        };
        let down = self.down.iter().flat_map(|level| &level.attentions);
        let up = self.up.iter().flat_map(|level| &level.attentions);
        down.chain(middle).chain(up)
    }
}

fn resnet_config(config: &UNetTrunk) -> ResnetConfig {
    ResnetConfig {
        time_width: to_i64(config.time_embed_dim()),
        time_scale_shift: config.resnet_time_scale_shift,
        groups: to_i64(config.norm_num_groups),
        eps: config.norm_eps,
    }
}

struct Builder<'a> {
    params: &'a Params<'a>,
    config: &'a UNetTrunk,
    resnet: ResnetConfig,
    attention: Option<AddedKvConfig<'a>>,
}

impl Builder<'_> {
    fn channels(&self, level: usize) -> i64 {
        to_i64(self.config.block_out_channels[level])
    }

    fn down(&self, level: usize) -> Result<Level, ModelError> {
        let params = self.params.sub(&format!("down_blocks.{level}"));
        let outputs = self.channels(level);
        let before = self.channels(level.saturating_sub(1));
        let inputs: Vec<_> = (0..self.config.layers_per_block.at(level))
            .map(|layer| if layer == 0 { before } else { outputs })
            .collect();
        let is_last = level + 1 == self.config.levels();
        Ok(Level {
            resnets: self.resnets(&params, &inputs, outputs)?,
            attentions: self.attentions(
                &params,
                self.config.down_block_types[level],
                level,
                &inputs,
                outputs,
            )?,
            resample: self.resample(&params, is_last, "downsamplers.0", outputs, Resample::Down)?,
        })
    }

    /// `index` counts from the lowest resolution.
    fn up(&self, index: usize) -> Result<Level, ModelError> {
        let params = self.params.sub(&format!("up_blocks.{index}"));
        let level = self.config.levels() - 1 - index;
        let outputs = self.channels(level);
        let below = self.channels(if index == 0 { level } else { level + 1 });
        let skipped = self.channels(level.saturating_sub(1));
        let layers = self.config.layers_per_block.at(level) + 1;
        let inputs: Vec<_> = (0..layers)
            .map(|layer| {
                let own = if layer == 0 { below } else { outputs };
                let skip = if layer + 1 == layers { skipped } else { outputs };
                own + skip
            })
            .collect();
        let is_last = index + 1 == self.config.levels();
        Ok(Level {
            resnets: self.resnets(&params, &inputs, outputs)?,
            // diffusers does not reverse the heads' widths on the way up.
            attentions: self.attentions(
                &params,
                self.config.up_block_types[index],
                index,
                &inputs,
                outputs,
            )?,
            resample: self.resample(&params, is_last, "upsamplers.0", outputs, Resample::Up)?,
        })
    }

    fn resnets(&self, params: &Params, inputs: &[i64], outputs: i64) -> Result<Vec<Resnet>, ModelError> {
        let resnet = |(layer, inputs): (usize, &i64)| {
            let params = params.sub(&format!("resnets.{layer}"));
            Resnet::new(&params, self.resnet, *inputs, outputs, Resample::None)
        };
        inputs.iter().enumerate().map(resnet).collect()
    }

    fn attentions(
        &self,
        params: &Params,
        block: BlockType,
        heads_of: usize,
        inputs: &[i64],
        channels: i64,
    ) -> Result<Vec<AddedKvAttention>, ModelError> {
        let Some(attention) = self.attention.filter(|_| block.has_cross_attention()) else {
            return Ok(Vec::new());
        };
        (0..inputs.len())
            .map(|layer| {
                let params = params.sub(&format!("attentions.{layer}"));
                added_kv(&params, self.config, attention, channels, heads_of)
            })
            .collect()
    }

    fn resample(
        &self,
        params: &Params,
        is_last: bool,
        name: &str,
        channels: i64,
        resample: Resample,
    ) -> Result<Option<Resnet>, ModelError> {
        if is_last {
            return Ok(None);
        }
        Resnet::new(&params.sub(name), self.resnet, channels, channels, resample).map(Some)
    }
}

/// An attention layer with the head width of level `heads_of`.
pub(super) fn added_kv(
    params: &Params,
    config: &UNetTrunk,
    attention: AddedKvConfig<'_>,
    channels: i64,
    heads_of: usize,
) -> Result<AddedKvAttention, ModelError> {
    AddedKvAttention::new(
        params,
        channels,
        to_i64(attention.head_widths.at(heads_of)),
        to_i64(attention.context_width),
        to_i64(config.norm_num_groups),
    )
}
