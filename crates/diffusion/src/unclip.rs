//! Ancestral sampling as diffusers' UnCLIPScheduler does it: DDPM (Ho et al., arXiv 2006.11239) over a part of
//! the timesteps, with the betas computed anew for the skipped ones (arXiv 2102.09672, equation 19).

use std::sync::Arc;

use crate::error::Result;
use crate::sampler::{Transition, predict_x_0};
use crate::{
    NoiseSchedule, PredictionType, SchedulerConfig, StepInput, StepOutput, TimestepSpacing, VarianceType,
};

/// The smallest variance whose logarithm is taken (`fixed_small_log` in diffusers).
const MIN_VARIANCE: f32 = 1e-20;

/// The sampler of Karlo's checkpoints.
#[derive(Debug, Clone)]
pub struct UnClipSampler {
    schedule: Arc<NoiseSchedule>,
    spacing: TimestepSpacing,
    variance_type: VarianceType,
    prediction_type: PredictionType,
    clip: Option<f32>,
}

impl UnClipSampler {
    /// The sampler for a checkpoint's config.
    ///
    /// # Errors
    /// When the config's numbers are out of range.
    pub fn new(config: &SchedulerConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            schedule: Arc::new(config.noise_schedule()?),
            spacing: config.timestep_spacing,
            variance_type: config.variance_type,
            prediction_type: config.prediction_type,
            clip: config.clip_sample_range,
        })
    }

    /// See [`Sampler::timesteps`](crate::Sampler::timesteps).
    ///
    /// # Errors
    /// When `num_steps` is 0 or above the number of training timesteps.
    pub fn timesteps(&self, num_steps: u32) -> Result<Vec<u32>> {
        let trained = u32::try_from(self.schedule.num_train_timesteps()).unwrap_or(u32::MAX);
        self.spacing.timesteps(num_steps, trained)
    }

    /// The noise schedule.
    #[must_use]
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// Whether the model's output carries a variance half: `learned_range`.
    #[must_use]
    pub fn predicts_variance(&self) -> bool {
        self.variance_type == VarianceType::LearnedRange
    }

    /// Every step but the last adds noise, see [`Sampler::needs_noise`](crate::Sampler::needs_noise).
    ///
    /// # Errors
    /// As there.
    pub fn needs_noise(&self, timesteps: &[u32], index: usize) -> Result<bool> {
        Ok(self.transition(timesteps, index)?.prev.is_some())
    }

    /// One step: the posterior mean of arXiv 2006.11239, equation 7, plus noise.
    ///
    /// The last step goes to the noiseless sample. At timestep 0 its x_0 coefficient is not 1 but
    /// `betas[0] / (1 - alphas_cumprod[0])`, 0.999472 in `f32` on Karlo's schedule; the reference gives that.
    ///
    /// # Errors
    /// See [`Sampler::step`](crate::Sampler::step).
    pub fn step(&self, input: StepInput<'_>) -> Result<StepOutput> {
        let transition = self.transition(input.timesteps, input.index)?;
        let (prediction, variance) = input.split_output(self.predicts_variance())?;
        let levels = Levels::new(&self.schedule, transition);
        let x_0 = predict_x_0(self.prediction_type, prediction, input.x_t, levels.alpha_bar, self.clip);
        let mut prev = levels.posterior_mean(&x_0, input.x_t);
        if transition.prev.is_some() {
            add_noise(&mut prev, input.required_noise()?, variance, &levels);
        }
        Ok(StepOutput { prev, x_0 })
    }

    fn transition(&self, timesteps: &[u32], index: usize) -> Result<Transition> {
        Transition::denoise(timesteps, index, self.schedule.num_train_timesteps())
    }
}

/// The scalars of a step, in the reference's `f32` arithmetic.
struct Levels {
    alpha_bar: f32,
    alpha_bar_prev: f32,
    alpha: f32,
    beta: f32,
}

impl Levels {
    fn new(schedule: &NoiseSchedule, Transition { t, prev }: Transition) -> Self {
        let alpha_bar = schedule.alphas_cumprod()[t];
        let alpha_bar_prev = prev.map_or(1.0, |prev| schedule.alphas_cumprod()[prev]);
        let (alpha, beta) = if prev == t.checked_sub(1) {
            (schedule.alphas()[t], schedule.betas()[t])
        } else {
            let beta = 1.0 - alpha_bar / alpha_bar_prev;
            (1.0 - beta, beta)
        };
        Self { alpha_bar, alpha_bar_prev, alpha, beta }
    }

    /// The mean of equation 7.
    fn posterior_mean(&self, x_0: &[f32], x_t: &[f32]) -> Vec<f32> {
        let (beta_bar, beta_bar_prev) = (1.0 - self.alpha_bar, 1.0 - self.alpha_bar_prev);
        let x_0_coefficient = (self.alpha_bar_prev.sqrt() * self.beta) / beta_bar;
        let x_t_coefficient = self.alpha.sqrt() * beta_bar_prev / beta_bar;
        x_0.iter().zip(x_t).map(|(x_0, x_t)| x_0_coefficient * x_0 + x_t_coefficient * x_t).collect()
    }

    /// The variance of equation 7.
    fn posterior_variance(&self) -> f32 {
        (1.0 - self.alpha_bar_prev) / (1.0 - self.alpha_bar) * self.beta
    }

    fn fixed_small_log_std(&self) -> f32 {
        (0.5 * self.posterior_variance().max(MIN_VARIANCE).ln()).exp()
    }
}

/// Adds the noise, scaled by the fixed standard deviation or by the model's own.
fn add_noise(prev: &mut [f32], noise: &[f32], variance: Option<&[f32]>, levels: &Levels) {
    let Some(variance) = variance else {
        let std = levels.fixed_small_log_std();
        prev.iter_mut().zip(noise).for_each(|(x, n)| *x += std * n);
        return;
    };
    let (min_log, max_log) = (levels.posterior_variance().ln(), levels.beta.ln());
    for ((x, n), v) in prev.iter_mut().zip(noise).zip(variance) {
        // arXiv 2102.09672, equation 15, with the model's -1 to 1 as 0 to 1.
        let share = (v + 1.0) / 2.0;
        let log_variance = share * max_log + (1.0 - share) * min_log;
        *x += (0.5 * log_variance).exp() * n;
    }
}
