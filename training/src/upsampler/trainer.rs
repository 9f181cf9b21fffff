//! Training the upsampler.

use std::sync::Arc;

use image::RgbImage;
use tch::{Kind, Tensor};
use unclip_bundle::config::UNet2DConfig;
use unclip_bundle::{BundleSampling, Component};
use unclip_models::networks::UNet2DModel;
use unclip_models::{ModelError, Params, Placement};

use super::{UpsamplerConfig, degrade};
use crate::TrainError;
use crate::bundle::super_res_scheduler;
use crate::diffusion::{Process, Sampling, UNetShape, add_noise, sample, super_res, timesteps};
use crate::params::{Init, to_i64};
use crate::pictures::{bicubic, picture_tensor, resize, rows};
use crate::random::{Purpose, StepRandom};
use crate::run::{BatchSource, Inputs, Loss, RunFolder, Sheet, Task};

/// The upsampler's trainer. Both of the bundle's networks get the same weights.
pub struct UpsamplerTask {
    config: UpsamplerConfig,
    train: Arc<dyn BatchSource>,
    held_out: Arc<dyn BatchSource>,
    placement: Placement,
    process: Process,
    unet: UNet2DConfig,
}

/// The U-Net.
pub struct UpsamplerNetwork {
    unet: UNet2DModel,
    kind: Kind,
}

impl UpsamplerNetwork {
    /// The predicted noise, f32, from noisy pictures and the enlarged small ones, `[batch, 3, side, side]` each.
    fn predict(&self, x_t: &Tensor, enlarged: &Tensor, timesteps: &Tensor) -> Result<Tensor, TrainError> {
        let x = Tensor::f_cat(&[x_t, enlarged], 1)?.f_to_kind(self.kind)?;
        Ok(self.unet.forward(&x, timesteps).f_to_kind(Kind::Float)?)
    }
}

/// Pictures of an evaluation: bicubic, sampled, true, `[count, 3, side, side]` each, on the CPU.
struct Enlarged {
    bicubic: Tensor,
    sampled: Tensor,
    truth: Tensor,
}

impl UpsamplerTask {
    /// Writes the configs into the run's folder and reads them back as a server would. Pictures must come with the U-Net's
    /// side.
    ///
    /// # Errors
    /// A folder that can't be written, or a configuration that the servers would refuse.
    pub fn new(
        config: UpsamplerConfig,
        train: Arc<dyn BatchSource>,
        held_out: Arc<dyn BatchSource>,
        folder: &RunFolder,
        placement: Placement,
    ) -> Result<Self, TrainError> {
        let shape = super_res(&config.unet);
        let unet = folder.write_config(Component::SuperResFirst, &shape)?;
        folder.write_config::<UNet2DConfig>(Component::SuperResLast, &shape)?;
        folder.write_scheduler(
            Component::SuperResScheduler,
            &super_res_scheduler(config.objective.prediction.name()),
        )?;
        let own = config.sampling.unguided();
        folder.write_sampling(&BundleSampling { upsampler: own, ..Default::default() })?;
        Ok(Self { config, train, held_out, placement, process: Process::new()?, unet })
    }

    /// A crop per picture, at the same place of both.
    fn crops(
        &self,
        large: &Tensor,
        enlarged: &Tensor,
        random: &mut StepRandom,
    ) -> Result<[Tensor; 2], TrainError> {
        let crop = to_i64(self.config.crop);
        let places = self.config.unet.side - self.config.crop + 1;
        let (mut ones, mut twos) = (Vec::new(), Vec::new());
        for row in 0..large.size()[0] {
            let (y, x) = (to_i64(random.below(places)), to_i64(random.below(places)));
            let cut = |pictures: &Tensor| pictures.narrow(0, row, 1).narrow(2, y, crop).narrow(3, x, crop);
            ones.push(cut(large));
            twos.push(cut(enlarged));
        }
        Ok([Tensor::f_cat(&ones, 0)?, Tensor::f_cat(&twos, 0)?])
    }

    fn enlarge_held_out(&self, network: &UpsamplerNetwork) -> Result<Enlarged, TrainError> {
        let source = if self.held_out.is_empty() { &self.train } else { &self.held_out };
        let truth = picture_tensor(&source.plain(self.config.sampling.count))?;
        let small = resize(&truth, self.config.small_side)?;
        let (device, count) = (self.placement.device, truth.size()[0]);
        let enlarged = bicubic(&small, self.config.unet.side)?;
        let condition = enlarged.to_device(device);
        let sampling = Sampling { guidance: 1.0, ..self.config.sampling };
        let sampled = sample(
            &super_res_scheduler(self.config.objective.prediction.name()),
            &truth.size(),
            sampling,
            self.config.seed,
            |x, t| {
                let t = timesteps(t, count, device);
                Ok((network.predict(&x.to_device(device), &condition, &t)?, None))
            },
        )?;
        Ok(Enlarged { bicubic: enlarged.clamp(-1.0, 1.0), sampled: sampled.clamp(-1.0, 1.0), truth })
    }
}

impl Task for UpsamplerTask {
    type Network = UpsamplerNetwork;

    fn name(&self) -> &'static str {
        "upsampler"
    }

    fn build(&self, params: &Params) -> Result<UpsamplerNetwork, ModelError> {
        let unet = UNet2DModel::new(&params.sub(Component::SuperResFirst.folder()), &self.unet)?;
        Ok(UpsamplerNetwork { unet, kind: self.placement.kind })
    }

    fn initialise(&self, name: &str, shape: &[i64], weight: Option<&[i64]>) -> Init {
        UNetShape::initialise(name, shape, weight)
    }

    fn also_exported(&self) -> Option<(Component, Component)> {
        Some((Component::SuperResFirst, Component::SuperResLast))
    }

    fn inputs(&self, step: u64) -> Result<Inputs, TrainError> {
        let large =
            picture_tensor(&self.train.batch(self.config.seed, step, self.config.optimisation.batch))?;
        let mut random = StepRandom::new(self.config.seed, step, Purpose::Pictures);
        let small = degrade(&resize(&large, self.config.small_side)?, &self.config.degradation, &mut random)?;
        let enlarged = bicubic(&small, self.config.unet.side)?;
        let [x_0, enlarged] = self.crops(&large, &enlarged, &mut random)?;
        let draw = self.process.draw(self.config.seed, step, &x_0.size())?;
        Ok(Inputs::new()
            .with("x_0", x_0)
            .with("enlarged", enlarged)
            .with("noise", draw.noise)
            .with("timesteps", draw.timesteps)
            .with("levels", draw.levels))
    }

    fn loss(&self, network: &UpsamplerNetwork, inputs: &Inputs) -> Result<Loss, TrainError> {
        let (x_0, noise, levels) = (inputs.get("x_0")?, inputs.get("noise")?, inputs.get("levels")?);
        let x_t = add_noise(x_0, noise, levels);
        let predicted = network.predict(&x_t, inputs.get("enlarged")?, inputs.get("timesteps")?)?;
        let total = self.config.objective.loss(&predicted, x_0, noise, levels);
        Ok(Loss { total, parts: Vec::new() })
    }

    fn evaluate(&self, network: &UpsamplerNetwork) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let pictures = self.enlarge_held_out(network)?;
        Ok(vec![
            ("psnr", psnr(&pictures.sampled, &pictures.truth)?),
            ("bicubic_psnr", psnr(&pictures.bicubic, &pictures.truth)?),
        ])
    }

    fn sheet(&self, network: &UpsamplerNetwork) -> Result<Option<RgbImage>, TrainError> {
        let pictures = self.enlarge_held_out(network)?;
        let side = self.config.unet.side;
        let mut sheet = Sheet::new(6, 128);
        let all =
            rows(&pictures.bicubic)?.into_iter().zip(rows(&pictures.sampled)?).zip(rows(&pictures.truth)?);
        for ((bicubic, sampled), truth) in all {
            sheet.push(&bicubic, side, "bicubic");
            sheet.push(&sampled, side, "upsampler");
            sheet.push(&truth, side, "true");
        }
        Ok(Some(sheet.draw()))
    }
}

/// Peak signal-to-noise ratio in dB of pictures in -1 to 1, the mean over the pictures.
fn psnr(found: &Tensor, truth: &Tensor) -> Result<f64, TrainError> {
    let errors = (found - truth).square().mean_dim([1_i64, 2, 3].as_slice(), false, Kind::Float);
    let decibels = (errors.clamp_min(1e-10) / 4.0).log10() * -10.0;
    Ok(f64::try_from(decibels.mean(Kind::Float))?)
}
