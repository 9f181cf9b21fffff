//! Training the prior.

use std::sync::Arc;

use tch::{Kind, Reduction, Tensor};
use unclip_bundle::config::PriorConfig;
use unclip_bundle::{BundleSampling, Component};
use unclip_models::networks::PriorTransformer;
use unclip_models::{ModelError, Params, Placement};

use super::{PriorNetwork, PriorTrainingConfig};
use crate::TrainError;
use crate::bundle::prior_scheduler;
use crate::clip::{FrozenClip, Statistics, recall};
use crate::diffusion::{Process, add_noise};
use crate::params::{Init, ParamStore, to_i64};
use crate::pictures::{picture_tensor, resize};
use crate::random::{Purpose, StepRandom};
use crate::run::{BatchSource, Inputs, Loss, RunFolder, Task};

/// The prior's trainer.
pub struct PriorTask {
    config: PriorTrainingConfig,
    train: Arc<dyn BatchSource>,
    held_out: Arc<dyn BatchSource>,
    placement: Placement,
    clip: FrozenClip,
    process: Process,
    prior: PriorConfig,
}

impl PriorTask {
    /// Writes the config into the run's folder and reads it back as a server would. Pictures must come with CLIP's side.
    ///
    /// # Errors
    /// A folder that can't be written, a CLIP that can't be read, or a configuration that the servers would refuse.
    pub fn new(
        config: PriorTrainingConfig,
        clip: FrozenClip,
        train: Arc<dyn BatchSource>,
        held_out: Arc<dyn BatchSource>,
        folder: &RunFolder,
        placement: Placement,
    ) -> Result<Self, TrainError> {
        let shape = config.transformer.config(clip.dim(), clip.tokens());
        let prior = folder.write_config(Component::Prior, &shape)?;
        folder.write_scheduler(Component::PriorScheduler, &prior_scheduler())?;
        let own = config.sampling.guided();
        folder.write_sampling(&BundleSampling { prior: own, ..Default::default() })?;
        Ok(Self { config, train, held_out, placement, clip, process: Process::new()?, prior })
    }
}

impl Task for PriorTask {
    type Network = PriorNetwork;

    fn name(&self) -> &'static str {
        "prior"
    }

    fn build(&self, params: &Params) -> Result<PriorNetwork, ModelError> {
        Ok(PriorNetwork {
            prior: PriorTransformer::new(&params.sub(Component::Prior.folder()), &self.prior)?,
            clip: self.clip.towers(self.placement)?,
            tokens: to_i64(self.prior.num_embeddings),
            kind: self.placement.kind,
        })
    }

    fn initialise(&self, name: &str, shape: &[i64], weight: Option<&[i64]>) -> Init {
        let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
        match () {
            () if name.ends_with("clip_mean") || name.ends_with("clip_std") => Init::Frozen,
            () if name.ends_with("_embedding") => Init::Normal(0.02),
            // Every block starts as the identity.
            () if layer.ends_with(".to_out.0") || layer.ends_with(".ff.net.2") => Init::Zeros,
            () => Init::layer(name, shape, weight),
        }
    }

    fn prepare(&self, store: &mut ParamStore) -> Result<(), TrainError> {
        let Statistics { mean, deviation } =
            self.clip.statistics(self.train.as_ref(), self.config.seed, self.placement)?;
        store.set("prior.clip_mean", &mean)?;
        store.set("prior.clip_std", &deviation)
    }

    fn inputs(&self, step: u64) -> Result<Inputs, TrainError> {
        let mut batch = self.train.batch(self.config.seed, step, self.config.optimisation.batch);
        let mut random = StepRandom::new(self.config.seed, step, Purpose::Dropout);
        for caption in &mut batch.captions {
            if random.chance(self.config.drop_caption) {
                caption.clear();
            }
        }
        let (ids, mask) = self.clip.tokenize(&batch.captions)?;
        let (rows, noises) = (to_i64(batch.captions.len()), to_i64(self.config.noises));
        let draw = self.process.draw(self.config.seed, step, &[noises * rows, to_i64(self.clip.dim())])?;
        // The timesteps of one caption are spread over the process, and lie side by side for `Inputs::split`.
        let by_caption = |drawn: &Tensor| drawn.unflatten(0, [noises, rows]).transpose(0, 1).flatten(0, 1);
        Ok(Inputs::new()
            .with("pictures", resize(&picture_tensor(&batch)?, self.clip.side())?)
            .with("ids", ids)
            .with("mask", mask)
            .with("noise", draw.noise)
            .with("timesteps", by_caption(&draw.timesteps))
            .with("levels", by_caption(&draw.levels)))
    }

    /// The squared error of x_0 (arXiv 2204.06125, equation 2).
    fn loss(&self, network: &PriorNetwork, inputs: &Inputs) -> Result<Loss, TrainError> {
        let noises = to_i64(self.config.noises);
        let x_0 = network.normalised(inputs.get("pictures")?)?.repeat_interleave_self_int(noises, 0, None);
        let texts = network.texts(inputs.get("ids")?, inputs.get("mask")?)?.repeated(noises);
        let x_t = add_noise(&x_0, inputs.get("noise")?, inputs.get("levels")?);
        let predicted = network.predict(&x_t, inputs.get("timesteps")?, &texts)?;
        Ok(Loss { total: predicted.f_mse_loss(&x_0, Reduction::Mean)?, parts: Vec::new() })
    }

    /// Sampled embeddings of held-out captions against those of their pictures; the text embedding's own figures beside
    /// them, which a prior must beat.
    fn evaluate(&self, network: &PriorNetwork) -> Result<Vec<(&'static str, f64)>, TrainError> {
        if self.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.held_out.plain(self.config.sampling.count);
        let device = self.placement.device;
        let truth = network.clip.pictures(&picture_tensor(&batch)?.f_to_device(device)?)?;
        let (sampling, seed) = (self.config.sampling, self.config.seed);
        let sampled = network.sample(&self.clip, &batch.captions, sampling, seed)?;
        let (ids, _) = self.clip.tokenize(&batch.captions)?;
        let text = network.clip.texts(&ids.f_to_device(device)?).embedding;
        let cosine = |found: &Tensor| {
            let similarity =
                Tensor::cosine_similarity(&found.to_kind(Kind::Float), &truth.to_kind(Kind::Float), 1, 1e-8);
            f64::try_from(similarity.mean(Kind::Float))
        };
        let (prior, caption) = (recall(&sampled, &truth)?, recall(&text, &truth)?);
        Ok(vec![
            ("cosine", cosine(&sampled)?),
            ("text_cosine", cosine(&text)?),
            ("retrieval_at_1", prior.at_1),
            ("retrieval_at_5", prior.at_5),
            ("text_retrieval_at_1", caption.at_1),
            ("text_retrieval_at_5", caption.at_5),
        ])
    }
}
