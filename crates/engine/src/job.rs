//! A job: one sample to draw.

use std::sync::Arc;
use std::time::Instant;

use unclip_diffusion::noise::TorchNoise;
use unclip_diffusion::{Error, Sampler};

use crate::trajectory::forwards;
use crate::{Keep, SubmitError};

/// One sample to draw. A request for n images is n jobs, each with its own noise.
#[derive(Debug, Clone)]
pub struct Job<C> {
    /// The request's id, for logs and for its share of the places: jobs of one name are one request's.
    pub name: String,
    /// What the sample is to show.
    pub condition: C,
    /// The arithmetic of a step.
    pub sampler: Arc<Sampler>,
    /// The timesteps to visit, from [`Sampler::timesteps`].
    pub timesteps: Vec<u32>,
    /// The scale of classifier-free guidance. Exactly 1 needs no unconditional lane.
    pub guidance_scale: f32,
    /// The number of values in the sample, such as 3 x 64 x 64.
    pub sample_len: usize,
    /// Where the run starts.
    pub start: Start,
    /// What stays of a given sample, for edits with a mask. Not with inversion.
    pub keep: Option<Keep>,
    /// When the job fails if it isn't done; checked before every step.
    pub deadline: Option<Instant>,
    /// A preview every so many steps; 0 is never.
    pub preview_every: u32,
    /// A checkpoint every so many steps; 0 is never.
    pub checkpoint_every: u32,
}

/// Where a run starts.
#[derive(Debug, Clone)]
pub enum Start {
    /// From pure noise, x_T, drawn from this generator first.
    Noise(TorchNoise),
    /// At the first timestep, from a given sample: one that DDIM inversion or added noise made. For an inversion: from
    /// the noiseless sample.
    From {
        /// The sample, `[sample_len]`.
        x_t: Vec<f32>,
        /// The generator for the steps' noise.
        noise: TorchNoise,
    },
    /// From a checkpoint, to the sample that the run would have given.
    Resume {
        /// The steps taken.
        step: u32,
        /// The sample after them, `[sample_len]`.
        x_t: Vec<f32>,
        /// The generator at the checkpoint's position.
        noise: TorchNoise,
    },
}

impl Start {
    fn x_t(&self) -> Option<&[f32]> {
        match self {
            Self::Noise(_) => None,
            Self::From { x_t, .. } | Self::Resume { x_t, .. } => Some(x_t),
        }
    }

    pub(crate) fn step(&self) -> u32 {
        match self {
            Self::Noise(_) | Self::From { .. } => 0,
            Self::Resume { step, .. } => *step,
        }
    }
}

impl<C> Job<C> {
    pub(crate) fn steps(&self) -> u32 {
        u32::try_from(self.timesteps.len()).unwrap_or(u32::MAX)
    }

    /// Forwards from the start to the end of the run.
    pub(crate) fn forwards(&self) -> u32 {
        let steps = self.timesteps.len();
        let left = self.start.step() as usize..steps;
        let of_step = |index| forwards(&self.sampler, self.keep.as_ref(), steps, index);
        left.map(of_step).fold(0, u32::saturating_add)
    }

    pub(crate) fn guided(&self) -> bool {
        self.guidance_scale != 1.0
    }

    /// Everything that can be checked without the model.
    pub(crate) fn validate(&self) -> Result<(), SubmitError> {
        if self.sample_len == 0 {
            return Err(out_of_range("sample_len", 0, "at least 1").into());
        }
        if !self.guidance_scale.is_finite() {
            return Err(out_of_range("guidance_scale", self.guidance_scale, "finite").into());
        }
        self.validate_timesteps()?;
        self.validate_start()?;
        self.keep.as_ref().map_or(Ok(()), |keep| keep.validate(&self.sampler, self.sample_len))
    }

    fn validate_timesteps(&self) -> Result<(), SubmitError> {
        if self.timesteps.is_empty() {
            return Err(out_of_range("timesteps", "empty", "a list of at least 1 timestep").into());
        }
        for index in 0..self.timesteps.len() {
            self.sampler.needs_noise(&self.timesteps, index)?;
        }
        Ok(())
    }

    fn validate_start(&self) -> Result<(), SubmitError> {
        let (step, steps) = (self.start.step(), self.steps());
        if step >= steps {
            return Err(
                out_of_range("start step", step, format!("below {steps}, the number of steps")).into()
            );
        }
        let Some(x_t) = self.start.x_t() else {
            return Ok(());
        };
        if x_t.len() != self.sample_len {
            return Err(Error::Length { field: "x_t", actual: x_t.len(), expected: self.sample_len }.into());
        }
        match x_t.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(out_of_range("x_t value", value, "finite").into()),
            None => Ok(()),
        }
    }
}

pub(crate) fn out_of_range(
    field: &'static str,
    value: impl std::fmt::Display,
    limit: impl Into<String>,
) -> Error {
    Error::OutOfRange { field, value: value.to_string(), limit: limit.into() }
}
