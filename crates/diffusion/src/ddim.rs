//! Denoising diffusion implicit models (Song et al., arXiv 2010.02502), as diffusers' DDIMScheduler does
//! them.

use std::sync::Arc;

use crate::sampler::{Transition, predict_x_0};
use crate::{
    Error, NoiseSchedule, PredictionType, Result, SchedulerConfig, StepInput, StepOutput, TimestepSpacing,
    VarianceType,
};

/// DDIM on a checkpoint's schedule. With an `UnCLIPScheduler` config it walks that scheduler's timesteps, and
/// a `learned_range` model's variance half is ignored.
///
/// A step goes to the run's next timestep. diffusers goes to `t - T / num_steps`, rounded down, which is the
/// next timestep with leading spacing, but not with linspace, nor with trailing where `num_steps` doesn't
/// divide `T`.
#[derive(Debug, Clone)]
pub struct DdimSampler {
    schedule: Arc<NoiseSchedule>,
    spacing: TimestepSpacing,
    variance_type: VarianceType,
    prediction_type: PredictionType,
    clip: Option<f32>,
    final_alpha_bar: f32,
    eta: f32,
    clamped_epsilon: bool,
}

impl DdimSampler {
    /// The sampler for a checkpoint's config. `eta` scales the noise: 0 is deterministic, 1 is DDPM. The noise estimate is
    /// that of the clamped x_0, see [`Self::with_clamped_epsilon`].
    ///
    /// # Errors
    /// When `eta` is outside 0 to 1, or the config's numbers are out of range.
    pub fn new(config: &SchedulerConfig, eta: f32) -> Result<Self> {
        config.check()?;
        check_eta(eta)?;
        let schedule = config.noise_schedule()?;
        let final_alpha_bar = if config.set_alpha_to_one { 1.0 } else { schedule.alphas_cumprod()[0] };
        Ok(Self {
            schedule: Arc::new(schedule),
            spacing: config.timestep_spacing,
            variance_type: config.variance_type,
            prediction_type: config.prediction_type,
            clip: config.clip_sample_range,
            final_alpha_bar,
            eta,
            clamped_epsilon: true,
        })
    }

    /// The same sampler with another `eta`; the tables are shared.
    ///
    /// # Errors
    /// When `eta` is outside 0 to 1.
    pub fn with_eta(&self, eta: f32) -> Result<Self> {
        check_eta(eta)?;
        Ok(Self { eta, ..self.clone() })
    }

    /// The same sampler with the noise estimate of the clamped x_0, or that of the x_0 before it was clamped.
    ///
    /// The unclamped one is diffusers' default (`use_clipped_model_output=False`). Under classifier-free guidance x_0
    /// leaves its range at most steps: x_0 and noise then no longer add up to x_t, what is off is carried on, and the more
    /// steps there are the further a run ends from a picture. The clamped one converges.
    #[must_use]
    pub fn with_clamped_epsilon(self, clamped_epsilon: bool) -> Self {
        Self { clamped_epsilon, ..self }
    }

    /// See [`Sampler::timesteps`](crate::Sampler::timesteps). Inversion takes the same list reversed.
    ///
    /// # Errors
    /// When `num_steps` is 0 or above the number of training timesteps, or `steps_offset` doesn't fit.
    pub fn timesteps(&self, num_steps: u32) -> Result<Vec<u32>> {
        let trained = u32::try_from(self.schedule.num_train_timesteps()).unwrap_or(u32::MAX);
        self.spacing.timesteps(num_steps, trained)
    }

    /// The noise schedule.
    #[must_use]
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// Whether the model's output carries a variance half, which DDIM skips.
    #[must_use]
    pub fn predicts_variance(&self) -> bool {
        self.variance_type == VarianceType::LearnedRange
    }

    /// Whether the step's sigma is above 0, see [`Sampler::needs_noise`](crate::Sampler::needs_noise).
    /// diffusers with eta above 0 draws noise for the last step too and multiplies it by 0.
    ///
    /// # Errors
    /// As there.
    pub fn needs_noise(&self, timesteps: &[u32], index: usize) -> Result<bool> {
        let trained = self.schedule.num_train_timesteps();
        let transition = Transition::denoise(timesteps, index, trained)?;
        Ok(self.sigma(self.alpha_bars(transition)) > 0.0)
    }

    /// One step: equation 12 of arXiv 2010.02502, with the sigma of equation 16.
    ///
    /// # Errors
    /// See [`Sampler::step`](crate::Sampler::step).
    pub fn step(&self, input: StepInput<'_>) -> Result<StepOutput> {
        let trained = self.schedule.num_train_timesteps();
        self.go(self.alpha_bars(Transition::denoise(input.timesteps, input.index, trained)?), input)
    }

    /// The step from `input.x_t` at one level to another.
    pub(crate) fn go(&self, levels: AlphaBars, input: StepInput<'_>) -> Result<StepOutput> {
        let (prediction, _) = input.split_output(self.predicts_variance())?;
        let sigma = self.sigma(levels);
        let x_0 = predict_x_0(self.prediction_type, prediction, input.x_t, levels.from, self.clip);
        // Rounding can push the difference below 0 at eta 1.
        let direction = (1.0 - levels.to - sigma * sigma).max(0.0).sqrt();
        let mut prev = self.move_to(levels, direction, &x_0, prediction, input.x_t);
        if sigma > 0.0 {
            prev.iter_mut().zip(input.required_noise()?).for_each(|(x, n)| *x += sigma * n);
        }
        Ok(StepOutput { prev, x_0 })
    }

    /// Whether the noise estimate is that of the clamped x_0.
    pub(crate) fn clamped_epsilon(&self) -> bool {
        self.clamped_epsilon
    }

    /// What the model predicts.
    pub(crate) fn prediction_type(&self) -> PredictionType {
        self.prediction_type
    }

    /// Of a step down.
    pub(crate) fn alpha_bars(&self, Transition { t, prev }: Transition) -> AlphaBars {
        let table = self.schedule.alphas_cumprod();
        AlphaBars { from: table[t], to: prev.map_or(self.final_alpha_bar, |prev| table[prev]) }
    }

    /// Equation 16. With `set_alpha_to_one` false the last step at timestep 0 goes nowhere: 0 as well.
    fn sigma(&self, AlphaBars { from, to }: AlphaBars) -> f32 {
        let variance = ((1.0 - to) / (1.0 - from)) * (1.0 - from / to);
        self.eta * variance.max(0.0).sqrt()
    }

    /// Equation 12 without its random term: `direction` weighs the noise estimate.
    fn move_to(
        &self,
        levels: AlphaBars,
        direction: f32,
        x_0: &[f32],
        prediction: &[f32],
        x_t: &[f32],
    ) -> Vec<f32> {
        let (signal, signal_to) = (levels.from.sqrt(), levels.to.sqrt());
        let spread = (1.0 - levels.from).sqrt();
        let noise_beside =
            |x_0: f32, x_t: f32| if spread == 0.0 { 0.0 } else { (x_t - signal * x_0) / spread };
        let epsilon = |x_0: f32, prediction: f32, x_t: f32| match self.prediction_type {
            _ if self.clamped_epsilon => noise_beside(x_0, x_t),
            PredictionType::Epsilon => prediction,
            PredictionType::Sample => noise_beside(prediction, x_t),
        };
        let moved =
            |((x_0, p), x_t): ((&f32, &f32), &f32)| signal_to * x_0 + direction * epsilon(*x_0, *p, *x_t);
        x_0.iter().zip(prediction).zip(x_t).map(moved).collect()
    }
}

/// `alphas_cumprod` where a step starts and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlphaBars {
    pub(crate) from: f32,
    pub(crate) to: f32,
}

impl AlphaBars {
    /// The way back.
    pub(crate) fn reversed(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

fn check_eta(eta: f32) -> Result<()> {
    if (0.0..=1.0).contains(&eta) {
        return Ok(());
    }
    Err(Error::out_of_range("eta", eta, "0 to 1"))
}
