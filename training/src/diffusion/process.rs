//! The forward process of a batch.

use tch::{Kind, Tensor};
use unclip_diffusion::NoiseSchedule;

use crate::TrainError;
use crate::bundle::TIMESTEPS;
use crate::params::to_i64;
use crate::random::{Purpose, StepRandom};

/// The smallest variance whose logarithm is taken: that of the second timestep, since the first one's is zero
/// (arXiv 2102.09672's code, `posterior_log_variance_clipped`).
const FIRST_WITH_VARIANCE: usize = 1;

/// The cosine schedule of all stages, and what the losses need of it per timestep.
pub struct Process {
    schedule: NoiseSchedule,
}

/// What is drawn for one batch, all on the CPU.
pub struct Draw {
    /// Standard normal, of the shape of the batch.
    pub noise: Tensor,
    /// `[batch]`, i64.
    pub timesteps: Tensor,
    /// `[batch, 5]`, f32: see [`Process::levels`].
    pub levels: Tensor,
}

impl Process {
    /// The schedule of the exported schedulers.
    ///
    /// # Errors
    /// None with this schedule.
    pub fn new() -> Result<Self, TrainError> {
        Ok(Self { schedule: NoiseSchedule::squaredcos_cap_v2(TIMESTEPS)? })
    }

    /// Noise and timesteps for the batch of a step, of shape `[batch, ...]`.
    ///
    /// # Errors
    /// libtorch has no memory.
    pub fn draw(&self, seed: u64, step: u64, shape: &[i64]) -> Result<Draw, TrainError> {
        let batch = usize::try_from(shape.first().copied().unwrap_or_default()).unwrap_or_default();
        let timesteps = StepRandom::new(seed, step, Purpose::Timesteps).stratified(batch, TIMESTEPS);
        let levels: Vec<f32> = timesteps.iter().flat_map(|timestep| self.levels(*timestep)).collect();
        Ok(Draw {
            noise: StepRandom::new(seed, step, Purpose::Noise).normal(shape),
            timesteps: Tensor::f_from_slice(&timesteps)?,
            levels: Tensor::f_from_slice(&levels)?.f_view([to_i64(batch), -1])?,
        })
    }

    /// Per timestep: what x_0 and the noise are multiplied by in x_t (arXiv 2006.11239, equation 4); how far the mean of
    /// p(x_{t-1} | x_t) moves per unit of predicted noise (equation 11); the logarithms of the posterior's variance and of
    /// beta, between which a model learns its variance (arXiv 2102.09672, equation 15).
    pub fn levels(&self, timestep: i64) -> [f32; 5] {
        let last = self.schedule.num_train_timesteps() - 1;
        let t = usize::try_from(timestep).unwrap_or_default().min(last);
        let (beta, alpha) = (self.schedule.betas()[t], self.schedule.alphas()[t]);
        let alpha_bar = self.schedule.alphas_cumprod()[t];
        let spread = (1.0 - alpha_bar).sqrt();
        let mean_per_noise = beta / (spread * alpha.sqrt());
        [alpha_bar.sqrt(), spread, mean_per_noise, self.posterior_variance(t).ln(), beta.ln()]
    }

    /// Equation 7 of arXiv 2006.11239.
    fn posterior_variance(&self, t: usize) -> f32 {
        let t = t.max(FIRST_WITH_VARIANCE);
        let (alpha_bar, before) = (self.schedule.alphas_cumprod()[t], self.schedule.alphas_cumprod()[t - 1]);
        (1.0 - before) / (1.0 - alpha_bar) * self.schedule.betas()[t]
    }
}

/// A column of a batch's levels, shaped to multiply tensors `[batch, ...]` like `like`.
pub(super) fn level(levels: &Tensor, column: i64, like: &Tensor) -> Tensor {
    let mut shape = vec![1; like.dim()];
    shape[0] = levels.size()[0];
    levels.select(1, column).to_kind(Kind::Float).reshape(shape.as_slice())
}

/// x_t of x_0 and noise, f32 (arXiv 2006.11239, equation 4).
pub fn add_noise(x_0: &Tensor, noise: &Tensor, levels: &Tensor) -> Tensor {
    x_0 * level(levels, 0, x_0) + noise * level(levels, 1, x_0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_added_as_the_schedule_says() {
        let process = Process::new().unwrap();
        let draw = process.draw(1, 0, &[4, 3]).unwrap();
        let x_0 = Tensor::from_slice(&[0.5_f32; 12]).view([4, 3]);
        let x_t = add_noise(&x_0, &draw.noise, &draw.levels);
        let timesteps = Vec::<i64>::try_from(&draw.timesteps).unwrap();
        for (row, timestep) in (0_i64..).zip(timesteps) {
            let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.get(row)).unwrap();
            let t = u32::try_from(timestep).unwrap();
            let expected = process.schedule.q_sample(&values(&x_0), &values(&draw.noise), t).unwrap();
            for (found, expected) in values(&x_t).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn every_level_is_a_number() {
        let process = Process::new().unwrap();
        for timestep in 0..1000 {
            let levels = process.levels(timestep);
            assert!(levels.iter().all(|level| level.is_finite()), "{timestep}: {levels:?}");
            assert!(levels[3] <= levels[4] || timestep == 0, "{timestep}: {levels:?}");
        }
    }
}
