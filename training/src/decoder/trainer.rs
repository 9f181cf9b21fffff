//! Training the decoder.

use std::sync::Arc;

use image::RgbImage;
use tch::{Kind, Tensor};
use unclip_bundle::config::{TextProjConfig, UNet2DConditionConfig};
use unclip_bundle::{BundleSampling, Component};
use unclip_models::networks::{TextProj, UNet2DConditionModel};
use unclip_models::{ModelError, Params, Placement};

use super::errors::Measure;
use super::network::Spread;
use super::pool::{Pool, Sampled};
use super::{DecoderConfig, DecoderNetwork, PriorSamples, folding};
use crate::TrainError;
use crate::bundle::decoder_scheduler;
use crate::clip::{FrozenClip, Statistics};
use crate::data::Batch;
use crate::diffusion::{Process, UNetShape, add_noise, sample, text_proj, timesteps, unet, variance_bound};
use crate::params::{Init, ParamStore, to_i64};
use crate::pictures::{picture_tensor, resize, rows};
use crate::prior::FrozenPrior;
use crate::random::{Purpose, StepRandom};
use crate::run::{BatchSource, Inputs, Loss, RunFolder, Sheet, Task};

/// The decoder's trainer.
pub struct DecoderTask {
    config: DecoderConfig,
    train: Arc<dyn BatchSource>,
    held_out: Arc<dyn BatchSource>,
    placement: Placement,
    clip: FrozenClip,
    process: Process,
    text_proj: TextProjConfig,
    unet: UNet2DConditionConfig,
    pool: Option<Pool>,
}

impl DecoderTask {
    /// Writes the configs into the run's folder and reads them back as a server would. Pictures must come with the larger
    /// side of CLIP's and the decoder's.
    ///
    /// # Errors
    /// A folder that can't be written, a CLIP that can't be read, or a configuration that the servers would refuse.
    pub fn new(
        config: DecoderConfig,
        clip: FrozenClip,
        train: Arc<dyn BatchSource>,
        held_out: Arc<dyn BatchSource>,
        folder: &RunFolder,
        placement: Placement,
    ) -> Result<Self, TrainError> {
        let width = config.context_width;
        let projection = text_proj(&config.unet, clip.dim(), width, config.image_tokens);
        let text_proj = folder.write_config(Component::TextProj, &projection)?;
        let unet = folder.write_config(Component::Decoder, &unet(&config.unet, width))?;
        folder.write_scheduler(
            Component::DecoderScheduler,
            &decoder_scheduler(config.objective.prediction.name()),
        )?;
        let own = config.sampling.guided();
        folder.write_sampling(&BundleSampling { decoder: own, ..Default::default() })?;
        let pool = |prior: &PriorSamples| {
            let network = FrozenPrior::open(&prior.run, &clip, placement)?;
            Ok::<_, TrainError>(Pool::new(network, prior.guidance, config.seed))
        };
        let pool = config.prior.as_ref().map(pool).transpose()?;
        let process = Process::new()?;
        Ok(Self { config, train, held_out, placement, clip, process, text_proj, unet, pool })
    }

    /// Captions, some of them dropped.
    fn captions(&self, mut captions: Vec<String>, random: &mut StepRandom) -> Vec<String> {
        for caption in &mut captions {
            if random.chance(self.config.drop_caption) {
                caption.clear();
            }
        }
        captions
    }

    /// Some rows of a batch become such that the prior sampled an embedding for.
    fn sampled(&self, batch: &mut Batch, step: u64, random: &mut StepRandom) -> Result<Sampled, TrainError> {
        match (&self.pool, &self.config.prior) {
            (Some(pool), Some(prior)) => {
                pool.mix(batch, prior.share, (self.train.as_ref(), &self.clip), step, random)
            }
            _ => Sampled::none(batch.captions.len(), self.clip.dim()),
        }
    }

    /// What is added to normalised image embeddings, `[batch, dim]`.
    fn disturbance(&self, random: &mut StepRandom, rows: usize) -> Tensor {
        let strengths: Vec<f32> = (0..rows).map(|_| random.uniform() * self.config.embedding_noise).collect();
        let noise = random.normal(&[to_i64(rows), to_i64(self.clip.dim())]);
        noise * Tensor::from_slice(&strengths).unsqueeze(1)
    }
}

impl Task for DecoderTask {
    type Network = DecoderNetwork;

    fn name(&self) -> &'static str {
        "decoder"
    }

    fn build(&self, params: &Params) -> Result<DecoderNetwork, ModelError> {
        Ok(DecoderNetwork {
            spread: Spread::new(&params.sub("image_spread"), self.clip.dim())?,
            text_proj: TextProj::new(&params.sub(Component::TextProj.folder()), &self.text_proj)?,
            unet: UNet2DConditionModel::new(&params.sub(Component::Decoder.folder()), &self.unet)?,
            clip: self.clip.towers(self.placement)?,
            image_tokens: self.config.image_tokens,
            kind: self.placement.kind,
        })
    }

    fn initialise(&self, name: &str, shape: &[i64], weight: Option<&[i64]>) -> Init {
        match () {
            () if name == folding::MEAN || name == folding::DEVIATION => Init::Frozen,
            () if name.ends_with("learned_classifier_free_guidance_embeddings") => Init::Normal(0.02),
            () => UNetShape::initialise(name, shape, weight),
        }
    }

    fn prepare(&self, store: &mut ParamStore) -> Result<(), TrainError> {
        let Statistics { mean, deviation } =
            self.clip.statistics(self.train.as_ref(), self.config.seed, self.placement)?;
        // What the network computes with and what is folded away at export must be the same numbers.
        let rounded = |values: &Tensor| values.to_kind(self.placement.kind).to_kind(Kind::Float);
        store.set(folding::MEAN, &rounded(&mean))?;
        store.set(folding::DEVIATION, &rounded(&deviation))
    }

    fn adopt(&self, store: &mut ParamStore) -> Result<(), TrainError> {
        folding::unfold(store)
    }

    fn exported(&self, averages: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, TrainError> {
        folding::folded(averages)
    }

    fn inputs(&self, step: u64) -> Result<Inputs, TrainError> {
        let mut batch = self.train.batch(self.config.seed, step, self.config.optimisation.batch);
        let mut random = StepRandom::new(self.config.seed, step, Purpose::Dropout);
        let sampled = self.sampled(&mut batch, step, &mut random)?;
        let (ids, mask) = self.clip.tokenize(&self.captions(batch.captions.clone(), &mut random))?;
        let dropped: Vec<bool> =
            batch.captions.iter().map(|_| random.chance(self.config.drop_image)).collect();
        let pictures = picture_tensor(&batch)?;
        let x_0 = resize(&pictures, self.config.unet.side)?;
        let disturbance = self.disturbance(&mut random, batch.captions.len());
        let draw = self.process.draw(self.config.seed, step, &x_0.size())?;
        Ok(Inputs::new()
            .with("pictures", resize(&pictures, self.clip.side())?)
            .with("x_0", x_0)
            .with("ids", ids)
            .with("mask", mask)
            .with("dropped", Tensor::f_from_slice(&dropped)?)
            .with("sampled", sampled.rows)
            .with("sampled_images", sampled.images)
            .with("disturbance", disturbance)
            .with("noise", draw.noise)
            .with("timesteps", draw.timesteps)
            .with("levels", draw.levels))
    }

    fn loss(&self, network: &DecoderNetwork, inputs: &Inputs) -> Result<Loss, TrainError> {
        let own = network.images(inputs.get("pictures")?)?;
        let sampled = network.spread.normalised(inputs.get("sampled_images")?);
        let image = sampled.where_self(&inputs.get("sampled")?.unsqueeze(1), &own);
        let image = image + inputs.get("disturbance")?;
        let (ids, mask) = (inputs.get("ids")?, inputs.get("mask")?);
        let conditions = network.conditions(&image, inputs.get("dropped")?, ids, mask)?;
        let (noise, levels) = (inputs.get("noise")?, inputs.get("levels")?);
        let timesteps = inputs.get("timesteps")?;
        let x_t = add_noise(inputs.get("x_0")?, noise, levels);
        let (predicted, variance) = network.predict(&x_t, timesteps, &conditions)?;
        let objective = self.config.objective;
        let simple = objective.loss(&predicted, inputs.get("x_0")?, noise, levels);
        let implied = objective.noise(&predicted, &x_t, levels);
        let bound = variance_bound(noise, &implied, &variance, levels, timesteps);
        let total = &simple + &bound * objective.variance_weight;
        Ok(Loss { total, parts: vec![("simple", simple), ("variance_bound", bound)] })
    }

    /// One-step errors over pictures that were trained on ("memory") and over held-out ones.
    fn evaluate(&self, network: &DecoderNetwork) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let Self { clip, process, .. } = self;
        let measure =
            Measure { clip, process, objective: self.config.objective, side: self.config.unet.side };
        let names = [
            (&self.train, ["memory_999", "memory_750", "memory_600", "memory_300"]),
            (&self.held_out, ["held_out_999", "held_out_750", "held_out_600", "held_out_300"]),
        ];
        let mut figures = Vec::new();
        for (source, names) in names.into_iter().filter(|(source, _)| !source.is_empty()) {
            let errors = measure.one_step(network, &source.plain(self.config.measured))?;
            figures.extend(names.into_iter().zip(errors));
        }
        Ok(figures)
    }

    fn sheet(&self, network: &DecoderNetwork) -> Result<Option<RgbImage>, TrainError> {
        let source = if self.held_out.is_empty() { &self.train } else { &self.held_out };
        let batch = source.plain(self.config.sampling.count);
        let count = to_i64(batch.captions.len());
        let device = self.placement.device;
        let pictures = picture_tensor(&batch)?.f_to_device(device)?;
        let image = network.images(&pictures)?;
        let conditions = |captions: &[String], drop: bool| {
            let (ids, mask) = self.clip.tokenize(captions)?;
            let dropped =
                Tensor::f_full([count], i64::from(drop), (Kind::Int64, device))?.f_to_kind(Kind::Bool)?;
            network.conditions(&image, &dropped, &ids.to_device(device), &mask.to_device(device))
        };
        let with = conditions(&batch.captions, false)?;
        let without = conditions(&vec![String::new(); batch.captions.len()], true)?;
        let side = to_i64(self.config.unet.side);
        let shape = [count, 3, side, side];
        let sampled = sample(
            &decoder_scheduler(self.config.objective.prediction.name()),
            &shape,
            self.config.sampling,
            self.config.seed,
            |x, t| {
                let (x, t) = (x.to_device(device), timesteps(t, count, device));
                let output = |conditions| {
                    let (noise, variance) = network.predict(&x, &t, conditions)?;
                    Ok::<_, TrainError>(Tensor::f_cat(&[noise, variance], 1)?)
                };
                Ok((output(&with)?, Some(output(&without)?)))
            },
        )?;
        let truth = resize(&pictures, self.config.unet.side)?;
        let mut sheet = Sheet::new(8, 96);
        for ((truth, sample), caption) in rows(&truth)?.iter().zip(rows(&sampled)?).zip(&batch.captions) {
            sheet.push(truth, self.config.unet.side, caption);
            sheet.push(&sample, self.config.unet.side, "");
        }
        Ok(Some(sheet.draw()))
    }
}
