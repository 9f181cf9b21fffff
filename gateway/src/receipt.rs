//! Receipts: all it takes to draw a picture again.

use std::time::Instant;

use unclip_proto::v1::{
    EditReceipt, Embedding, PictureSize, PriorMode, Receipt, Sampler, Stage, StageReceipt, Tensor,
};
use unclip_proto::{Maker, Sampling};

use crate::image_source::ImageSource;
use crate::plan::Plan;

/// A receipt that grows with the stages.
pub(crate) struct Receipts(Receipt);

impl Receipts {
    /// The receipt of the picture with `seed`.
    pub(crate) fn new(plan: &Plan, seed: u64, prompt_truncated: bool) -> Self {
        Self(Receipt {
            prompt: plan.prompt.clone(),
            negative_prompt: plan.negative_prompt.clone(),
            seed,
            prompt_truncated,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            prior_mode: plan.source.mode() as i32,
            image_embedding_given: matches!(plan.source, ImageSource::Given(_)),
            output_size: plan.output_size.map(|(width, height)| PictureSize { width, height }),
            ..Default::default()
        })
    }

    /// The text encoder's line.
    pub(crate) fn text_encoder(&mut self, maker: &Maker, cached: bool, seconds: f64) {
        self.0.stages.push(StageReceipt {
            stage: Stage::TextEncoder as i32,
            model_fingerprint: maker.fingerprint.clone(),
            sampler: Sampler::Unspecified as i32,
            guidance_scale: 1.0,
            dtype: maker.dtype.clone(),
            cached,
            seconds,
            ..Default::default()
        });
    }

    /// The prior's line.
    pub(crate) fn prior(
        &mut self,
        maker: &Maker,
        options: Sampling,
        cached: bool,
        seconds: f64,
        scores: &[f32],
    ) {
        self.0.candidate_scores = scores.to_vec();
        let line = diffusion(Stage::Prior, maker, options, seconds);
        self.0.stages.push(StageReceipt { cached, ..line });
    }

    /// The decoder's line.
    pub(crate) fn decoder(&mut self, maker: &Maker, options: Sampling, started: Instant) {
        self.0.stages.push(diffusion(Stage::Decoder, maker, options, started.elapsed().as_secs_f64()));
    }

    /// The upsampler's line.
    pub(crate) fn upsampler(&mut self, maker: &Maker, options: Sampling, started: Instant) {
        self.0.stages.push(diffusion(Stage::Upsampler, maker, options, started.elapsed().as_secs_f64()));
    }

    /// What made the picture, out of which latents.
    pub(crate) fn operation(&mut self, name: &str, embedding: &Embedding, x_t: Option<&Tensor>) {
        name.clone_into(&mut self.0.operation);
        self.0.prior_mode = PriorMode::Unspecified as i32;
        self.0.image_embedding = Some(embedding.clone());
        self.0.x_t = x_t.cloned();
    }

    /// The embedding that the request gave.
    pub(crate) fn given(&mut self, embedding: &Embedding) {
        self.0.image_embedding = Some(embedding.clone());
    }

    /// What an edit started from.
    pub(crate) fn edit(&mut self, edit: &EditReceipt) {
        "edit".clone_into(&mut self.0.operation);
        self.0.edit = Some(edit.clone());
    }

    /// The finished receipt.
    pub(crate) fn finish(self) -> Receipt {
        self.0
    }
}

fn diffusion(stage: Stage, maker: &Maker, options: Sampling, seconds: f64) -> StageReceipt {
    StageReceipt {
        stage: stage as i32,
        model_fingerprint: maker.fingerprint.clone(),
        sampler: options.sampler as i32,
        steps: options.steps,
        guidance_scale: options.guidance_scale,
        eta: options.eta,
        dtype: maker.dtype.clone(),
        cached: false,
        seconds,
        clamped_epsilon: options.clamped_epsilon,
    }
}
