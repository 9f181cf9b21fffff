//! The prior's networks in training.

use tch::{Device, Kind, Tensor};
use unclip_models::networks::{ContextBatch, PriorTransformer, mask_bias};

use crate::TrainError;
use crate::bundle::prior_scheduler;
use crate::clip::{FrozenClip, FrozenTowers, TextStates};
use crate::diffusion::{Sampling, sample, timesteps};
use crate::params::to_i64;

/// The transformer, and the CLIP it is conditioned on.
pub struct PriorNetwork {
    pub(super) prior: PriorTransformer,
    pub(super) clip: FrozenTowers,
    pub(super) tokens: i64,
    pub(super) kind: Kind,
}

/// What the step part of the transformer sees of a batch's texts.
pub(super) struct Texts([ContextBatch; 1]);

impl Texts {
    /// Every text `count` times, one after the other.
    pub(super) fn repeated(self, count: i64) -> Self {
        if count == 1 {
            return self;
        }
        let repeat = |tensor: &Tensor| tensor.repeat_interleave_self_int(count, 0, None);
        Self(self.0.map(|ContextBatch { key_values, bias }| ContextBatch {
            key_values: key_values.iter().map(repeat).collect(),
            bias: bias.as_ref().map(repeat),
        }))
    }
}

impl PriorNetwork {
    /// Runs texts through the transformer: ids and mask `[batch, tokens]`, which may be cut after the longest text. What is
    /// cut would be hidden by the mask; places are those of the full length.
    pub(super) fn texts(&self, ids: &Tensor, mask: &Tensor) -> Result<Texts, TrainError> {
        let TextStates { embedding, states } = self.clip.texts(ids);
        let length = ids.size()[1];
        let states = states.f_constant_pad_nd([0, 0, 0, self.tokens - length])?;
        let tokens = self.prior.embed_text(&embedding, &states);
        let seen = Tensor::f_cat(
            &[Tensor::arange(length, (Kind::Int64, Device::Cpu)), Tensor::from_slice(&[self.tokens])],
            0,
        )?;
        let tokens = tokens.f_index_select(1, &seen.to_device(tokens.device()))?;
        let always = Tensor::ones([mask.size()[0], 1], (Kind::Bool, mask.device()));
        let bias = mask_bias(&Tensor::f_cat(&[mask, &always], 1)?, self.kind);
        let key_values = self.prior.encode_text(&tokens, Some(&bias));
        Ok(Texts([ContextBatch { key_values, bias: Some(bias) }]))
    }

    /// The predicted embeddings `[batch, dim]`, normalised, f32.
    pub(super) fn predict(
        &self,
        x_t: &Tensor,
        timesteps: &Tensor,
        texts: &Texts,
    ) -> Result<Tensor, TrainError> {
        let x_t = x_t.f_to_kind(self.kind)?;
        let out = self.prior.forward(&x_t, timesteps, &texts.0);
        Ok(out.f_to_kind(Kind::Float)?)
    }

    /// CLIP's embeddings of pictures as the prior sees them: `(z - mean) / std`, f32.
    pub(super) fn normalised(&self, pictures: &Tensor) -> Result<Tensor, TrainError> {
        let (mean, std) = self.prior.statistics();
        let embeddings = self.clip.pictures(pictures)?.f_to_kind(Kind::Float)?;
        Ok((embeddings - mean.f_to_kind(Kind::Float)?) / std.f_to_kind(Kind::Float)?)
    }

    /// Image embeddings `[captions, dim]` of captions, as CLIP gives them, f32.
    pub(super) fn sample(
        &self,
        clip: &FrozenClip,
        captions: &[String],
        sampling: Sampling,
        seed: u64,
    ) -> Result<Tensor, TrainError> {
        let (count, device) = (to_i64(captions.len()), self.prior.statistics().0.device());
        let texts = |captions: &[String]| {
            let (ids, mask) = clip.tokenize(captions)?;
            self.texts(&ids.f_to_device(device)?, &mask.f_to_device(device)?)
        };
        let (with, without) = (texts(captions)?, texts(&vec![String::new(); captions.len()])?);
        let shape = [count, to_i64(clip.dim())];
        let sampled = sample(&prior_scheduler(), &shape, sampling, seed, |x, t| {
            let (x, t) = (x.f_to_device(device)?, timesteps(t, count, device));
            Ok((self.predict(&x, &t, &with)?, Some(self.predict(&x, &t, &without)?)))
        })?;
        self.denormalised(&sampled.f_to_device(device)?)
    }

    /// The inverse of [`PriorNetwork::normalised`].
    pub(super) fn denormalised(&self, embeddings: &Tensor) -> Result<Tensor, TrainError> {
        let (mean, std) = self.prior.statistics();
        Ok(embeddings * std.f_to_kind(Kind::Float)? + mean.f_to_kind(Kind::Float)?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use unclip_bundle::config::PriorConfig;
    use unclip_bundle::{Bundle, Component};
    use unclip_models::rows::split_rows;
    use unclip_models::{Params, Placement, PriorModel, SafetensorsSource};

    use super::*;

    const TEXTS: [&str; 3] = ["", "a red heart", "seven small blue cats on a green hill"];

    /// A batch of texts of different lengths, cut and masked, gives what the server computes for each row alone.
    #[test]
    fn batches_are_what_the_server_computes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/varied/bundle");
        let bundle = Bundle::open(&root).unwrap();
        let clip = FrozenClip::open(&root).unwrap();
        let config: PriorConfig = bundle.config(Component::Prior).unwrap();
        let weights = bundle.weights(Component::Prior).unwrap();
        let source = SafetensorsSource::new(&weights, Placement::REFERENCE);
        let network = PriorNetwork {
            prior: PriorTransformer::new(&Params::root(&source), &config).unwrap(),
            clip: clip.towers(Placement::REFERENCE).unwrap(),
            tokens: to_i64(config.num_embeddings),
            kind: Kind::Float,
        };
        let (ids, mask) = clip.tokenize(&TEXTS.map(str::to_owned)).unwrap();
        let x = Tensor::linspace(-1, 1, to_i64(3 * clip.dim()), (Kind::Float, Device::Cpu)).view([3, -1]);
        let timesteps = Tensor::from_slice(&[0_i64, 500, 999]);
        let texts = network.texts(&ids, &mask).unwrap();
        let found = network.predict(&x, &timesteps, &texts).unwrap();

        let server = PriorModel::load(&bundle, Placement::REFERENCE).unwrap();
        let states = network.clip.texts(&ids);
        let longest = usize::try_from(ids.size()[1]).unwrap();
        let contexts: Vec<_> = (0..3)
            .map(|row| {
                let embedding = split_rows(&states.embedding).unwrap().remove(row);
                let mut hidden = split_rows(&states.states).unwrap().remove(row);
                hidden.resize(server.tokens() * clip.dim(), 0.0);
                let mask = split_rows(&mask).unwrap().remove(row);
                let mask: Vec<bool> = (0..server.tokens()).map(|at| at < longest && mask[at] > 0.0).collect();
                server.context(&embedding, &hidden, &mask).unwrap()
            })
            .collect();
        let expected = server.forward(&x, &[0, 500, 999], &contexts.iter().collect::<Vec<_>>()).unwrap();
        let difference = f64::try_from((found - expected).abs().max()).unwrap();
        assert!(difference < 1e-4, "{difference}");
    }
}
