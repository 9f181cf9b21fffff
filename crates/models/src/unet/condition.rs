//! The decoder's U-Net (diffusers' `UNet2DConditionModel` as Karlo configures it; GLIDE, arXiv 2112.10741, with the CLIP
//! embedding of arXiv 2204.06125, section 2.1).

use tch::Tensor;
use unclip_bundle::config::UNet2DConditionConfig;

use super::trunk::{AddedKvConfig, Middle, Trunk, added_kv};
use crate::context::ContextBatch;
use crate::rows::to_i64;
use crate::{ModelError, Params};

/// A U-Net whose pixels attend to context tokens and to each other.
pub struct UNet2DConditionModel {
    trunk: Trunk,
}

impl UNet2DConditionModel {
    /// Builds the network.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn new(params: &Params, config: &UNet2DConditionConfig) -> Result<Self, ModelError> {
        let attention = AddedKvConfig {
            head_widths: &config.attention_head_dim,
            context_width: config.cross_attention_dim,
        };
        let last = config.trunk.levels().saturating_sub(1);
        let channels = to_i64(config.trunk.block_out_channels[last]);
        let params_middle = params.sub("mid_block.attentions.0");
        let middle = Middle::AddedKv(added_kv(&params_middle, &config.trunk, attention, channels, last)?);
        Ok(Self { trunk: Trunk::new(params, &config.trunk, Some(attention), middle)? })
    }

    /// Projects context tokens `[batch, tokens, cross_attention_dim]` to the keys and values of every attention layer,
    /// `[batch, tokens, 2 * channels]` each. They are the same at every timestep.
    pub fn project_context(&self, tokens: &Tensor) -> Vec<Tensor> {
        self.trunk.attentions().map(|attention| attention.project_context(tokens)).collect()
    }

    /// One forward pass: `x` `[batch, in_channels, height, width]`, one of `timesteps` `[batch]` per row, `time_addition`
    /// `[batch, time_embed_dim]`, and the context in parts that add up to the batch. The result is `[batch, out_channels, height, width]`, in the dtype of the weights, which
    /// must be that of the inputs (but for `timesteps`).
    pub fn forward(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        time_addition: &Tensor,
        context: &[ContextBatch],
    ) -> Tensor {
        self.trunk.forward(x, timesteps, Some(time_addition), context)
    }
}
