//! The decoder's networks in training.

use tch::{Kind, Tensor};
use unclip_models::networks::{ContextBatch, TextProj, UNet2DConditionModel, mask_bias};
use unclip_models::{ModelError, Params};

use crate::TrainError;
use crate::clip::{FrozenTowers, TextStates};
use crate::params::to_i64;

/// Text projection and U-Net, and the CLIP they are conditioned on.
///
/// The text projection sees image embeddings less their mean, over their deviation, per dimension: in a CLIP's embeddings a
/// dozen directions carry most of the variance, and a network would learn the others late. `folding.rs` undoes it for the
/// bundle.
pub struct DecoderNetwork {
    pub(super) spread: Spread,
    pub(super) text_proj: TextProj,
    pub(super) unet: UNet2DConditionModel,
    pub(super) clip: FrozenTowers,
    pub(super) image_tokens: usize,
    pub(super) kind: Kind,
}

/// How CLIP's embeddings of the training pictures spread, `[dim]` each.
pub(super) struct Spread {
    pub(super) mean: Tensor,
    pub(super) deviation: Tensor,
}

impl Spread {
    pub(super) fn new(params: &Params, dim: usize) -> Result<Self, ModelError> {
        let one = |name: &str| params.tensor(name, &[to_i64(dim)]);
        Ok(Self { mean: one("mean")?, deviation: one("deviation")? })
    }

    /// Embeddings `[batch, dim]` in deviations from the mean, f32.
    pub(super) fn normalised(&self, image: &Tensor) -> Tensor {
        let [image, mean, deviation] =
            [image, &self.mean, &self.deviation].map(|tensor| tensor.to_kind(Kind::Float));
        (image - mean) / deviation
    }
}

/// What the U-Net is conditioned on, for a batch.
pub(super) struct Conditions {
    pub(super) time: Tensor,
    pub(super) context: [ContextBatch; 1],
}

impl DecoderNetwork {
    /// Normalised embeddings of pictures `[batch, 3, side, side]`, as `[batch, dim]`, f32.
    pub(super) fn images(&self, pictures: &Tensor) -> Result<Tensor, TrainError> {
        Ok(self.spread.normalised(&self.clip.pictures(pictures)?))
    }

    /// The conditions of a batch: normalised image embeddings `[batch, dim]`, which rows of them are `dropped` `[batch]`, and
    /// captions as ids and mask, `[batch, tokens]` each.
    pub(super) fn conditions(
        &self,
        image: &Tensor,
        dropped: &Tensor,
        ids: &Tensor,
        mask: &Tensor,
    ) -> Result<Conditions, TrainError> {
        let TextStates { embedding, states } = self.clip.texts(ids);
        let image = image.f_to_kind(self.kind)?;
        let image = self.text_proj.null_image().where_self(&dropped.unsqueeze(1), &image);
        let projection = self.text_proj.forward(&image, &embedding, &states);
        let always = Tensor::ones([mask.size()[0], to_i64(self.image_tokens)], (Kind::Bool, mask.device()));
        let mask = Tensor::f_cat(&[&always, mask], 1)?;
        let key_values = self.unet.project_context(&projection.context);
        let context = ContextBatch { key_values, bias: Some(mask_bias(&mask, self.kind)) };
        Ok(Conditions { time: projection.time, context: [context] })
    }

    /// The U-Net's prediction, f32: noise or x_0 `[batch, 3, side, side]` and variance of the same shape.
    pub(super) fn predict(
        &self,
        x_t: &Tensor,
        timesteps: &Tensor,
        conditions: &Conditions,
    ) -> Result<(Tensor, Tensor), TrainError> {
        let x_t = x_t.f_to_kind(self.kind)?;
        let out = self.unet.forward(&x_t, timesteps, &conditions.time, &conditions.context);
        let mut halves = out.f_to_kind(Kind::Float)?.f_chunk(2, 1)?.into_iter();
        match (halves.next(), halves.next()) {
            (Some(predicted), Some(variance)) => Ok((predicted, variance)),
            _ => Err(TrainError::shape("prediction", "1 channel", "prediction and variance")),
        }
    }
}
