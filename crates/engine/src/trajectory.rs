//! One row's way from noise to sample: the arithmetic, without engine, model or client.

use std::sync::Arc;

use unclip_diffusion::noise::{NoisePosition, TorchNoise};
use unclip_diffusion::{Sampler, StepInput, StepOutput, guidance};

use crate::job::Start;
use crate::{JobError, Keep, StepView};

/// A row's sampler, sample and noise.
pub(crate) struct Trajectory {
    sampler: Arc<Sampler>,
    timesteps: Vec<u32>,
    index: usize,
    /// Forwards that the step at `index` has had: a step takes several where it is refined or repeated.
    round: u32,
    guidance_scale: f32,
    x_t: Vec<f32>,
    /// What the model sees instead of `x_t`: the estimate of where a step of an inversion goes.
    probe: Option<Vec<f32>>,
    keep: Option<Keep>,
    noise: TorchNoise,
}

/// The model's raw outputs for one row; the unconditional one where the row is guided.
pub(crate) struct Outputs {
    pub(crate) conditional: Vec<f32>,
    pub(crate) unconditional: Option<Vec<f32>>,
}

/// How a run goes, apart from where it starts. Of a valid job.
pub(crate) struct Course {
    pub(crate) sampler: Arc<Sampler>,
    pub(crate) timesteps: Vec<u32>,
    pub(crate) guidance_scale: f32,
    pub(crate) sample_len: usize,
    pub(crate) keep: Option<Keep>,
}

impl Trajectory {
    /// A trajectory at its start; where that is pure noise it is drawn now.
    pub(crate) fn new(course: Course, start: Start) -> Self {
        let Course { sampler, timesteps, guidance_scale, sample_len, keep } = course;
        let index = start.step() as usize;
        let (x_t, noise) = match start {
            Start::Noise(mut noise) => (noise.normal(sample_len), noise),
            Start::From { x_t, noise } | Start::Resume { x_t, noise, .. } => (x_t, noise),
        };
        let keep = keep.filter(Keep::is_active);
        Self { sampler, timesteps, index, round: 0, guidance_scale, x_t, probe: None, keep, noise }
    }

    /// Takes a forward's outputs and returns the estimate of the noiseless sample, `[sample_len]`.
    pub(crate) fn advance(&mut self, outputs: Outputs) -> Result<Vec<f32>, JobError> {
        let model_output = self.guide(outputs)?;
        self.check_finite("model output", &model_output)?;
        let StepOutput { mut prev, mut x_0 } = self.step(&model_output)?;
        self.check_finite("sample", &prev)?;
        if let Some(keep) = &self.keep {
            let to = self.timesteps.get(self.index + 1).copied();
            keep.restore(&mut prev, &self.sampler, to, &mut self.noise)?;
            keep.restore_estimate(&mut x_0);
        }
        self.round += 1;
        if self.round < self.rounds() {
            self.go_again(prev)?;
        } else {
            (self.x_t, self.probe, self.round) = (prev, None, 0);
            self.index += 1;
        }
        Ok(x_0)
    }

    fn step(&mut self, model_output: &[f32]) -> Result<StepOutput, JobError> {
        let draws = self.sampler.needs_noise(&self.timesteps, self.index)?;
        let noise = draws.then(|| self.noise.normal(self.x_t.len()));
        Ok(self.sampler.step(StepInput {
            timesteps: &self.timesteps,
            index: self.index,
            model_output,
            x_t: &self.x_t,
            seen: self.probe.as_deref(),
            noise: noise.as_deref(),
        })?)
    }

    /// Readies the same step once more, from where it led.
    fn go_again(&mut self, reached: Vec<f32>) -> Result<(), JobError> {
        let timestep = |index: usize| self.timesteps.get(index).copied();
        match (timestep(self.index), timestep(self.index + 1)) {
            (Some(t), Some(next)) if self.keep.is_some() => {
                let drawn = self.noise.normal(reached.len());
                self.x_t = self.sampler.schedule().renoise(&reached, &drawn, next, t)?;
            }
            _ => self.probe = Some(reached),
        }
        Ok(())
    }

    /// Forwards of the current step.
    fn rounds(&self) -> u32 {
        forwards(&self.sampler, self.keep.as_ref(), self.timesteps.len(), self.index)
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

    /// Whether the last forward ended a step, rather than leaving it to be taken once more.
    pub(crate) fn is_between_steps(&self) -> bool {
        self.round == 0
    }

    /// What the model sees next, `[sample_len]`.
    pub(crate) fn seen(&self) -> &[f32] {
        self.probe.as_deref().unwrap_or(&self.x_t)
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

/// Forwards that step `index` of `steps` takes.
pub(crate) fn forwards(sampler: &Sampler, keep: Option<&Keep>, steps: usize, index: usize) -> u32 {
    match keep {
        Some(keep) if keep.is_active() && index + 1 < steps => 1 + keep.resample,
        Some(_) => 1,
        None => sampler.evaluations(),
    }
}
