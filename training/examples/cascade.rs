//! What runs in training draw for captions: prior, decoder, then every upsampler that is given, as a sheet.
//!
//! ```text
//! cascade CLIP_RUN PRIOR_RUN DECODER_RUN CAPTIONS.txt SHEET.png [UPSAMPLER_RUN...]
//! ```
//!
//! A caption a line; one seed, nothing chosen. Guidance scales and steps are those of the runs' `sampling.json`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;
use tch::{Kind, Tensor};
use unclip_bundle::config::{Config, read_json};
use unclip_bundle::{Bundle, BundleSampling, Component, StageSampling};
use unclip_models::networks::{ContextBatch, TextProj, UNet2DConditionModel, UNet2DModel, mask_bias};
use unclip_models::rows::split_rows;
use unclip_models::{ModelError, Params, Placement, SafetensorsSource};
use unclip_training::clip::{FrozenClip, TextStates};
use unclip_training::diffusion::{Sampling, sample};
use unclip_training::eval::bicubic;
use unclip_training::prior::FrozenPrior;
use unclip_training::run::{RunFolder, Sheet, keep_pages};

const SEED: u64 = 1;

fn main() -> anyhow::Result<()> {
    keep_pages(1);
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [clip, prior, decoder, captions, sheet, upsamplers @ ..] = arguments.as_slice() else {
        bail!("usage: cascade CLIP_RUN PRIOR_RUN DECODER_RUN CAPTIONS.txt SHEET.png [UPSAMPLER_RUN...]");
    };
    let text = std::fs::read_to_string(captions).with_context(|| captions.display().to_string())?;
    let captions: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let pictures = tch::no_grad(|| draw(clip, prior, decoder, &captions, upsamplers))?;
    let side = usize::try_from(pictures.size()[2])?;
    let mut cells = Sheet::new(8, 128);
    for (picture, caption) in split_rows(&pictures.clamp(-1.0, 1.0))?.iter().zip(&captions) {
        cells.push(picture, side, caption);
    }
    cells.draw().save(sheet).with_context(|| sheet.display().to_string())
}

fn draw(
    clip: &Path,
    prior: &Path,
    decoder: &Path,
    captions: &[String],
    upsamplers: &[PathBuf],
) -> anyhow::Result<Tensor> {
    let placement = Placement::parse("auto", "auto")?;
    let clip = FrozenClip::open(&RunFolder::at(clip).bundle())?;
    let part = Part::open(prior, placement)?;
    let sampling = part.sampling(|own| own.prior, 25);
    let images = FrozenPrior::open(prior, &clip, placement)?.sample(&clip, captions, sampling, SEED)?;
    let mut pictures = Part::open(decoder, placement)?.decode(&clip, captions, &images)?;
    for upsampler in upsamplers {
        pictures = Part::open(upsampler, placement)?.enlarge(&pictures)?;
    }
    Ok(pictures)
}

/// A run's averaged networks.
struct Part {
    bundle: Bundle,
    side: usize,
    placement: Placement,
}

impl Part {
    fn open(run: &Path, placement: Placement) -> anyhow::Result<Self> {
        let folder = RunFolder::at(run);
        Ok(Self {
            bundle: Bundle::open(&folder.bundle())?,
            side: folder.info()?.draws.unwrap_or_default(),
            placement,
        })
    }

    fn network<C: Config, N>(
        &self,
        component: Component,
        build: impl Fn(&Params, &C) -> Result<N, ModelError>,
    ) -> anyhow::Result<N> {
        let weights = self.bundle.weights(component)?;
        let source = SafetensorsSource::new(&weights, self.placement);
        Ok(build(&Params::root(&source), &self.bundle.config(component)?)?)
    }

    fn scheduler(&self, component: Component) -> anyhow::Result<Value> {
        Ok(read_json(&self.bundle.folder(component).join("scheduler_config.json"))?)
    }

    fn sampling(&self, stage: impl Fn(&BundleSampling) -> StageSampling, steps: u32) -> Sampling {
        let own = stage(&self.bundle.sampling());
        let guidance = own.guidance_scale.unwrap_or(1.0);
        Sampling { count: 1, steps: own.steps.unwrap_or(steps), guidance }
    }

    fn steps(&self, timestep: u32, rows: i64) -> Tensor {
        Tensor::full([rows], i64::from(timestep), (Kind::Int64, self.placement.device))
    }

    fn decode(&self, clip: &FrozenClip, captions: &[String], images: &Tensor) -> anyhow::Result<Tensor> {
        let projection = self.network(Component::TextProj, TextProj::new)?;
        let unet = self.network(Component::Decoder, UNet2DConditionModel::new)?;
        let (device, kind) = (self.placement.device, self.placement.kind);
        let towers = clip.towers(self.placement)?;
        let rows = images.size()[0];
        let conditions = |captions: &[String], images: &Tensor| -> anyhow::Result<(Tensor, ContextBatch)> {
            let (ids, mask) = clip.tokenize(captions)?;
            let TextStates { embedding, states } = towers.texts(&ids.to_device(device));
            let projected = projection.forward(&images.to_kind(kind), &embedding, &states);
            let tokens = projected.context.size()[1] - ids.size()[1];
            let always = Tensor::ones([rows, tokens], (Kind::Bool, device));
            let bias = mask_bias(&Tensor::cat(&[always, mask.to_device(device)], 1), kind);
            let key_values = unet.project_context(&projected.context);
            Ok((projected.time, ContextBatch { key_values, bias: Some(bias) }))
        };
        let with = conditions(captions, images)?;
        let none = projection.null_image().expand([rows, -1], false);
        let without = conditions(&vec![String::new(); captions.len()], &none)?;
        let side = i64::try_from(self.side)?;
        let sampling = self.sampling(|own| own.decoder, 25);
        let scheduler = self.scheduler(Component::DecoderScheduler)?;
        let drawn = sample(&scheduler, &[rows, 3, side, side], sampling, SEED, |x, timestep| {
            let (x, steps) = (x.to_device(device).to_kind(kind), self.steps(timestep, rows));
            let predict = |(time, context): &(Tensor, ContextBatch)| {
                unet.forward(&x, &steps, time, std::slice::from_ref(context)).to_kind(Kind::Float)
            };
            Ok((predict(&with), Some(predict(&without))))
        })?;
        Ok(drawn.clamp(-1.0, 1.0))
    }

    fn enlarge(&self, small: &Tensor) -> anyhow::Result<Tensor> {
        let unet = self.network(Component::SuperResFirst, UNet2DModel::new)?;
        let device = self.placement.device;
        let enlarged = bicubic(small, self.side)?.to_device(device);
        let rows = small.size()[0];
        let sampling = Sampling { guidance: 1.0, ..self.sampling(|own| own.upsampler, 7) };
        let scheduler = self.scheduler(Component::SuperResScheduler)?;
        let drawn = sample(&scheduler, &enlarged.size(), sampling, SEED, |x, timestep| {
            let x = Tensor::cat(&[&x.to_device(device), &enlarged], 1).to_kind(self.placement.kind);
            Ok((unet.forward(&x, &self.steps(timestep, rows)).to_kind(Kind::Float), None))
        })?;
        Ok(drawn.clamp(-1.0, 1.0))
    }
}
