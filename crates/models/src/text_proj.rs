//! The projection of CLIP embeddings into what the decoder takes (diffusers' `UnCLIPTextProjModel`).

use tch::Tensor;
use unclip_bundle::config::TextProjConfig;

use crate::layers::{LayerNorm, Linear};
use crate::rows::to_i64;
use crate::{ModelError, Params};

/// The conditions of the decoder out of an image embedding and a text (arXiv 2204.06125, section 2.1): both embeddings
/// are added to the time embedding, and the image embedding becomes a few context tokens before those of the text.
pub struct TextProj {
    null_image: Tensor,
    text_time: Linear,
    image_time: Linear,
    image_tokens: Linear,
    text_tokens: Linear,
    text_norm: LayerNorm,
    extra_tokens: i64,
}

/// What the decoder is conditioned on.
pub struct TextProjection {
    /// Context tokens, `[batch, extra tokens + text tokens, cross_attention_dim]`.
    pub context: Tensor,
    /// Added to the time embedding, `[batch, time_embed_dim]`.
    pub time: Tensor,
}

impl TextProj {
    /// Builds the network.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn new(params: &Params, config: &TextProjConfig) -> Result<Self, ModelError> {
        let dim = to_i64(config.clip_embeddings_dim);
        let (time, cross) = (to_i64(config.time_embed_dim), to_i64(config.cross_attention_dim));
        let extra = to_i64(config.clip_extra_context_tokens);
        let image_time = "clip_image_embeddings_project_to_time_embeddings";
        Ok(Self {
            null_image: params.tensor("learned_classifier_free_guidance_embeddings", &[dim])?,
            text_time: Linear::new(&params.sub("embedding_proj"), dim, time)?,
            image_time: Linear::new(&params.sub(image_time), dim, time)?,
            image_tokens: Linear::new(&params.sub("clip_extra_context_tokens_proj"), dim, extra * cross)?,
            text_tokens: Linear::new(&params.sub("encoder_hidden_states_proj"), dim, cross)?,
            text_norm: LayerNorm::new(&params.sub("text_encoder_hidden_states_norm"), cross)?,
            extra_tokens: extra,
        })
    }

    /// The learned image embedding of no image at all, `[1, dim]`, for classifier-free guidance.
    pub fn null_image(&self) -> Tensor {
        self.null_image.unsqueeze(0)
    }

    /// Projects image embeddings `[batch, dim]`, text embeddings `[batch, dim]` and hidden states of the text
    /// `[batch, tokens, dim]`.
    pub fn forward(&self, image: &Tensor, text: &Tensor, hidden_states: &Tensor) -> TextProjection {
        // The projection's outputs are channel by channel, the tokens of a channel side by side.
        let image_tokens = self
            .image_tokens
            .forward(image)
            .reshape([image.size()[0], -1, self.extra_tokens])
            .transpose(1, 2);
        let text_tokens = self.text_norm.forward(&self.text_tokens.forward(hidden_states));
        TextProjection {
            context: Tensor::cat(&[image_tokens, text_tokens], 1),
            time: self.image_time.forward(image) + self.text_time.forward(text),
        }
    }
}
