//! The decoder stage: CLIP image embedding and text to a small picture, one denoising step at a time.

use tch::{Kind, Tensor};
use unclip_bundle::config::{TextProjConfig, UNet2DConditionConfig};
use unclip_bundle::{Bundle, Component};

use super::{expect_rows, load, row, timestep_rows, to, visible};
use crate::error::expect_shape;
use crate::networks::{ContextBatch, KeyValues, TextProj, UNet2DConditionModel};
use crate::rows::to_i64;
use crate::{ModelError, Placement, Report};

/// The text projection and the U-Net of a bundle's decoder.
pub struct DecoderModel {
    text_proj: TextProj,
    text_proj_config: TextProjConfig,
    unet: UNet2DConditionModel,
    config: UNet2DConditionConfig,
    placement: Placement,
}

/// What the image embedding and the text of one row give every step of the decoder.
pub struct DecoderContext {
    time: Tensor,
    tokens: KeyValues,
}

impl DecoderModel {
    /// Loads `text_proj/` and `decoder/`.
    ///
    /// # Errors
    /// Files that are missing, damaged, don't fit their config, or don't fit each other.
    pub fn load(bundle: &Bundle, placement: Placement) -> Result<Self, ModelError> {
        let (text_proj_config, text_proj) = load(bundle, Component::TextProj, placement, TextProj::new)?;
        let (config, unet) = load(bundle, Component::Decoder, placement, UNet2DConditionModel::new)?;
        if let Some(error) = crate::check::text_proj_fits(&text_proj_config, &config).into_iter().next() {
            return Err(error.into());
        }
        Ok(Self { text_proj, text_proj_config, unet, config, placement })
    }

    /// Checks `text_proj/` and `decoder/`, reading every weight once.
    pub fn check(bundle: &Bundle) -> Report {
        let mut report = super::check(bundle, Component::TextProj, TextProj::new);
        report.extend(super::check(bundle, Component::Decoder, UNet2DConditionModel::new));
        report
    }

    /// Width of a CLIP embedding and of the text's hidden states.
    pub fn embedding_dim(&self) -> usize {
        self.text_proj_config.clip_embeddings_dim
    }

    /// `[channels, height, width]` of the picture.
    pub fn sample_shape(&self) -> [usize; 3] {
        let [height, width] = self.config.sides;
        [self.config.trunk.in_channels, height, width]
    }

    /// Channels of the prediction: twice the picture's where the variance is learned.
    pub fn out_channels(&self) -> usize {
        self.config.trunk.out_channels
    }

    /// Where it computes and in which dtype.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Projects the conditions of a row once: `image_embedding` `[dim]`, or none for the learned null embedding that the
    /// unconditional row of classifier-free guidance takes (beside the encoding of the empty text); `text_embedding`
    /// `[dim]`, `hidden_states` `[tokens, dim]`, and `mask` `[tokens]`, false for padding.
    ///
    /// # Errors
    /// [`ModelError::Input`] where a length does not fit.
    pub fn context(
        &self,
        image_embedding: Option<&[f32]>,
        text_embedding: &[f32],
        hidden_states: &[f32],
        mask: &[bool],
    ) -> Result<DecoderContext, ModelError> {
        let dim = self.embedding_dim();
        if mask.is_empty() {
            return Err(ModelError::input("mask", "0 tokens", "1 or more"));
        }
        let image = match image_embedding {
            Some(embedding) => row("image_embedding", embedding, &[dim], self.placement)?,
            None => self.text_proj.null_image(),
        };
        let text = row("text_embedding", text_embedding, &[dim], self.placement)?;
        let hidden_states = row("hidden_states", hidden_states, &[mask.len(), dim], self.placement)?;
        let visible = visible(mask.iter().copied(), self.placement)?;
        tch::no_grad(|| {
            let hidden_states = hidden_states.index_select(1, &visible);
            let projection = self.text_proj.forward(&image, &text, &hidden_states);
            Ok(DecoderContext {
                time: projection.time,
                tokens: KeyValues(self.unet.project_context(&projection.context)),
            })
        })
    }

    /// Predicts `[batch, out_channels, height, width]` from noisy pictures `x` `[batch, channels, height, width]` f32, with
    /// a timestep and a context per row. The result is f32 on the network's device.
    ///
    /// # Errors
    /// [`ModelError::Input`] where a shape or a count does not fit.
    pub fn forward(
        &self,
        x: &Tensor,
        timesteps: &[u32],
        contexts: &[&DecoderContext],
    ) -> Result<Tensor, ModelError> {
        self.expect_picture(x)?;
        expect_rows(x, timesteps.len(), contexts.len())?;
        tch::no_grad(|| {
            let tokens: Vec<_> = contexts.iter().map(|context| &context.tokens).collect();
            let times: Vec<_> = contexts.iter().map(|context| &context.time).collect();
            let context = ContextBatch::parts(&tokens, self.placement.device);
            let time = Tensor::f_cat(&times, 0)?;
            let timesteps = timestep_rows(timesteps, self.placement)?;
            let out = self.unet.forward(&to(x, self.placement)?, &timesteps, &time, &context);
            Ok(out.f_to_kind(Kind::Float)?.f_contiguous()?)
        })
    }

    /// Any height and width that the levels can halve.
    fn expect_picture(&self, x: &Tensor) -> Result<(), ModelError> {
        let size = x.size();
        expect_shape("x", &size, &[-1, to_i64(self.config.trunk.in_channels), -1, -1])?;
        let divisor = 1 << (self.config.trunk.levels() - 1);
        if size[2..].iter().any(|side| side % divisor != 0) {
            let expected = format!("multiples of {divisor} as height and width");
            return Err(ModelError::input("x", format!("shape {size:?}"), expected));
        }
        Ok(())
    }
}
