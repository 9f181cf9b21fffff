//! How well the decoder knows pictures: the error of its x_0 after one step, given a picture's own embedding and caption.

use tch::{Kind, Tensor};

use super::DecoderNetwork;
use crate::TrainError;
use crate::clip::FrozenClip;
use crate::data::Batch;
use crate::diffusion::{Objective, Process, add_noise, timesteps};
use crate::pictures::{picture_tensor, resize};
use crate::random::{Purpose, StepRandom};

/// Where errors are measured: pure noise, where the layout is decided, and three timesteps at which more and more of the
/// picture shows.
const TIMESTEPS: [u32; 4] = [999, 750, 600, 300];
/// Errors are those of pictures of at most this side, so that decoders of different sides compare.
const SIDE: usize = 16;
/// Pictures at once.
const BATCH: i64 = 64;
/// The seed of the noise: the same whatever is measured.
const SEED: u64 = 5;

/// What measuring takes besides the networks.
pub(super) struct Measure<'a> {
    pub(super) clip: &'a FrozenClip,
    pub(super) process: &'a Process,
    pub(super) objective: Objective,
    pub(super) side: usize,
}

impl Measure<'_> {
    /// The mean squared error of x_0 at each of the timesteps; pictures are -1 to 1.
    pub(super) fn one_step(&self, network: &DecoderNetwork, batch: &Batch) -> Result<[f64; 4], TrainError> {
        let (ids, mask) = self.clip.tokenize(&batch.captions)?;
        let pictures = picture_tensor(batch)?;
        let x_0 = resize(&pictures, self.side)?;
        let noise = StepRandom::new(SEED, 0, Purpose::Noise).normal(&x_0.size());
        let parts = [&pictures, &x_0, &noise, &ids, &mask].map(|all| all.split(BATCH, 0));
        let rows = (0..parts[0].len()).map(|part| parts.each_ref().map(|all| &all[part]));
        let mut sums = [0.0; 4];
        for part in rows {
            let errors = self.sums(network, part)?;
            sums.iter_mut().zip(errors).for_each(|(sum, error)| *sum += error);
        }
        #[expect(clippy::cast_precision_loss, reason = "a few hundred pictures")]
        let count = batch.len().max(1) as f64;
        Ok(sums.map(|sum| sum / count))
    }

    /// The sums over a part's rows: of pictures, x_0, noise, ids and mask.
    fn sums(
        &self,
        network: &DecoderNetwork,
        [pictures, x_0, noise, ids, mask]: [&Tensor; 5],
    ) -> Result<[f64; 4], TrainError> {
        let (rows, device) = (x_0.size()[0], network.spread.mean.device());
        let dropped = Tensor::f_zeros([rows], (Kind::Bool, device))?;
        let image = network.images(&pictures.f_to_device(device)?)?;
        let conditions =
            network.conditions(&image, &dropped, &ids.f_to_device(device)?, &mask.f_to_device(device)?)?;
        let mut sums = [0.0; 4];
        for (sum, timestep) in sums.iter_mut().zip(TIMESTEPS) {
            let levels = Tensor::f_from_slice(&self.process.levels(i64::from(timestep)))?;
            let levels = levels.f_expand([rows, -1], false)?;
            let x_t = add_noise(x_0, noise, &levels);
            let steps = timesteps(timestep, rows, device);
            let (predicted, _) = network.predict(&x_t.f_to_device(device)?, &steps, &conditions)?;
            let found = self.objective.picture(&predicted.f_to_device(tch::Device::Cpu)?, &x_t, &levels);
            *sum = self.error(&found.clamp(-1.0, 1.0), x_0)?;
        }
        Ok(sums)
    }

    /// The sum over the rows of the mean squared error.
    fn error(&self, found: &Tensor, truth: &Tensor) -> Result<f64, TrainError> {
        let side = self.side.min(SIDE);
        let difference = resize(found, side)? - resize(truth, side)?;
        let rows = difference.square().mean_dim([1_i64, 2, 3].as_slice(), false, Kind::Float);
        Ok(f64::try_from(rows.sum(Kind::Float))?)
    }
}
