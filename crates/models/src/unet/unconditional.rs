//! The upsamplers' U-Net (diffusers' `UNet2DModel` as Karlo configures it).

use tch::Tensor;
use unclip_bundle::config::{TimeScaleShift, UNet2DConfig};

use super::trunk::{Middle, Trunk};
use crate::layers::SelfAttention2d;
use crate::rows::to_i64;
use crate::{ModelError, Params};

/// A U-Net of residual blocks, with self-attention in the middle if the config asks for it.
pub struct UNet2DModel {
    trunk: Trunk,
}

impl UNet2DModel {
    /// Builds the network.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn new(params: &Params, config: &UNet2DConfig) -> Result<Self, ModelError> {
        let middle = if config.add_attention {
            Middle::Pixels(attention(&params.sub("mid_block.attentions.0"), config)?)
        } else {
            Middle::None
        };
        Ok(Self { trunk: Trunk::new(params, &config.trunk, None, middle)? })
    }

    /// One forward pass: `x` `[batch, in_channels, height, width]` in the dtype of the weights, one of `timesteps`
    /// `[batch]` per row. The result is `[batch, out_channels, height, width]`.
    pub fn forward(&self, x: &Tensor, timesteps: &Tensor) -> Tensor {
        self.trunk.forward(x, timesteps, None, &[])
    }
}

fn attention(params: &Params, config: &UNet2DConfig) -> Result<SelfAttention2d, ModelError> {
    let trunk = &config.trunk;
    let channels = trunk.block_out_channels.last().copied().unwrap_or_default();
    // Without a number of its own the norm is left out under scale and shift.
    let groups = match (config.attn_norm_num_groups, trunk.resnet_time_scale_shift) {
        (Some(groups), _) => Some(groups),
        (None, TimeScaleShift::Default) => Some(trunk.norm_num_groups),
        (None, TimeScaleShift::ScaleShift) => None,
    };
    SelfAttention2d::new(
        params,
        to_i64(channels),
        to_i64(config.attention_head_dim.unwrap_or(channels)),
        groups.map(to_i64),
        trunk.norm_eps,
    )
}
