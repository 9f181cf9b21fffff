//! One row's way from noise to sample: the arithmetic, without engine, model or client.

use std::sync::Arc;

use unclip_diffusion::noise::{NoisePosition, TorchNoise};
use unclip_diffusion::{Sampler, StepInput, guidance};

use crate::job::Start;
use crate::{JobError, StepView};

/// A row's sampler, sample and noise.
pub(crate) struct Trajectory {
    sampler: Arc<Sampler>,
    timesteps: Vec<u32>,
    index: usize,
    guidance_scale: f32,
    x_t: Vec<f32>,
    noise: TorchNoise,
}

/// The model's raw outputs for one row; the unconditional one where the row is guided.
pub(crate) struct Outputs {
    pub(crate) conditional: Vec<f32>,
    pub(crate) unconditional: Option<Vec<f32>>,
}

impl Trajectory {
    /// A trajectory at its start; where that is pure noise it is drawn now. The arguments are a valid job's.
    pub(crate) fn new(
        sampler: Arc<Sampler>,
        timesteps: Vec<u32>,
        guidance_scale: f32,
        sample_len: usize,
        start: Start,
    ) -> Self {
        let index = start.step() as usize;
        let (x_t, noise) = match start {
            Start::Noise(mut noise) => (noise.normal(sample_len), noise),
            Start::From { x_t, noise } | Start::Resume { x_t, noise, .. } => (x_t, noise),
        };
        Self { sampler, timesteps, index, guidance_scale, x_t, noise }
    }

    /// Takes a step and returns the estimate of the noiseless sample, `[sample_len]`.
    pub(crate) fn advance(&mut self, outputs: Outputs) -> Result<Vec<f32>, JobError> {
        let model_output = self.guide(outputs)?;
        self.check_finite("model output", &model_output)?;
        let draws = self.sampler.needs_noise(&self.timesteps, self.index)?;
        let noise = draws.then(|| self.noise.normal(self.x_t.len()));
        let stepped = self.sampler.step(StepInput {
            timesteps: &self.timesteps,
            index: self.index,
            model_output: &model_output,
            x_t: &self.x_t,
            noise: noise.as_deref(),
        })?;
        self.check_finite("sample", &stepped.prev)?;
        self.x_t = stepped.prev;
        self.index += 1;
        Ok(stepped.x_0)
    }

    fn guide(&self, outputs: Outputs) -> Result<Vec<f32>, JobError> {
        let Outputs { conditional, unconditional } = outputs;
        self.check_output(&conditional)?;
        let Some(unconditional) = unconditional else {
            return Ok(conditional);
        };
        self.check_output(&unconditional)?;
        let variance_tail_len = if self.sampler.predicts_variance() { self.x_t.len() } else { 0 };
        Ok(guidance::combine(&conditional, &unconditional, self.guidance_scale, variance_tail_len)?)
    }

    fn check_output(&self, output: &[f32]) -> Result<(), JobError> {
        let expected = self.x_t.len() * self.sampler.output_channels_factor();
        if output.len() != expected {
            return Err(JobError::OutputLength { actual: output.len(), expected });
        }
        Ok(())
    }

    /// A clamp would hide what went wrong: it keeps a NaN, and makes an infinity a plausible value.
    fn check_finite(&self, what: &'static str, values: &[f32]) -> Result<(), JobError> {
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count == 0 {
            return Ok(());
        }
        Err(JobError::NonFinite { what, count, step: self.view().index, timestep: self.timestep() })
    }

    /// Where the run is. `index` counts the steps taken.
    pub(crate) fn view(&self) -> StepView {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        StepView { index: count(self.index), steps: count(self.timesteps.len()) }
    }

    /// The timestep of the next step; 0 once there is none.
    pub(crate) fn timestep(&self) -> u32 {
        self.timesteps.get(self.index).copied().unwrap_or(0)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.index >= self.timesteps.len()
    }

    /// The sample at the current timestep, `[sample_len]`.
    pub(crate) fn x_t(&self) -> &[f32] {
        &self.x_t
    }

    pub(crate) fn into_sample(self) -> Vec<f32> {
        self.x_t
    }

    pub(crate) fn noise_position(&self) -> NoisePosition {
        self.noise.position()
    }

    pub(crate) fn guided(&self) -> bool {
        self.guidance_scale != 1.0
    }
}
