//! The prior stage: text to CLIP image embedding, one denoising step at a time.

use tch::{Kind, Tensor};
use unclip_bundle::config::PriorConfig;
use unclip_bundle::{Bundle, Component};

use super::{expect_rows, load, row, timestep_rows, to, visible};
use crate::error::{expect_len, expect_shape};
use crate::networks::{ContextBatch, KeyValues, PriorTransformer};
use crate::rows::to_i64;
use crate::{ModelError, Placement, Report};

/// The prior of a bundle.
pub struct PriorModel {
    network: PriorTransformer,
    config: PriorConfig,
    placement: Placement,
}

/// What the text of one request gives every step of the prior.
pub struct PriorContext {
    text: KeyValues,
}

impl PriorModel {
    /// Loads `prior/`.
    ///
    /// # Errors
    /// Files that are missing, damaged or don't fit the config.
    pub fn load(bundle: &Bundle, placement: Placement) -> Result<Self, ModelError> {
        let (config, network) = load(bundle, Component::Prior, placement, PriorTransformer::new)?;
        Ok(Self { network, config, placement })
    }

    /// Checks `prior/`, reading every weight once.
    pub fn check(bundle: &Bundle) -> Report {
        super::check(bundle, Component::Prior, PriorTransformer::new)
    }

    /// Width of a CLIP embedding and of the text's hidden states.
    pub fn embedding_dim(&self) -> usize {
        self.config.embedding_dim
    }

    /// Tokens of a text.
    pub fn tokens(&self) -> usize {
        self.config.num_embeddings
    }

    /// Where it computes and in which dtype.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Runs a text through the network once: `text_embedding` `[dim]`, `hidden_states` `[tokens, dim]`, and `mask`
    /// `[tokens]`, true for the tokens of the text, false for padding.
    ///
    /// # Errors
    /// [`ModelError::Input`] where a length does not fit.
    pub fn context(
        &self,
        text_embedding: &[f32],
        hidden_states: &[f32],
        mask: &[bool],
    ) -> Result<PriorContext, ModelError> {
        let (dim, tokens) = (self.embedding_dim(), self.tokens());
        expect_len("mask", mask.len(), tokens, "tokens")?;
        let embedding = row("text_embedding", text_embedding, &[dim], self.placement)?;
        let hidden_states = row("hidden_states", hidden_states, &[tokens, dim], self.placement)?;
        // The text embedding comes after the last token and is always seen.
        let visible = visible(mask.iter().copied().chain([true]), self.placement)?;
        tch::no_grad(|| {
            let text = self.network.embed_text(&embedding, &hidden_states);
            let text = self.network.encode_text(&text.index_select(1, &visible), None);
            let text = text.iter().map(Tensor::contiguous).collect();
            Ok(PriorContext { text: KeyValues(text) })
        })
    }

    /// Predicts the (normalised) image embeddings `[batch, dim]` from noisy ones `x` `[batch, dim]` f32, with a timestep
    /// and a context per row. The result is f32 on the network's device.
    ///
    /// # Errors
    /// [`ModelError::Input`] where a shape or a count does not fit.
    pub fn forward(
        &self,
        x: &Tensor,
        timesteps: &[u32],
        contexts: &[&PriorContext],
    ) -> Result<Tensor, ModelError> {
        expect_shape("x", &x.size(), &[-1, to_i64(self.embedding_dim())])?;
        expect_rows(x, timesteps.len(), contexts.len())?;
        tch::no_grad(|| {
            let texts: Vec<_> = contexts.iter().map(|context| &context.text).collect();
            let text = ContextBatch::parts(&texts, self.placement.device);
            let timesteps = timestep_rows(timesteps, self.placement)?;
            let x = to(x, self.placement)?;
            let out = self.network.forward(&x, &timesteps, &text);
            Ok(out.f_to_kind(Kind::Float)?)
        })
    }
}
