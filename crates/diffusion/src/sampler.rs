//! The samplers behind one interface.

use crate::error::check_len;
use crate::schedule::timestep_error;
use crate::{
    DdimInverse, DdimSampler, Error, NoiseSchedule, PredictionType, Result, SchedulerClass, SchedulerConfig,
    UnClipSampler,
};

/// One denoising step of one row.
#[derive(Debug, Clone, Copy)]
pub struct StepInput<'a> {
    /// The run's timesteps, from [`Sampler::timesteps`].
    pub timesteps: &'a [u32],
    /// Which of them this step is at; `model_output` was computed from `x_t` at `timesteps[index]`.
    pub index: usize,
    /// The model's output after guidance: `[len]`, or `[2 len]` with the variance behind the prediction where
    /// [`Sampler::predicts_variance`].
    pub model_output: &'a [f32],
    /// The noisy sample, `[len]`.
    pub x_t: &'a [f32],
    /// What `model_output` was computed from, where it isn't `x_t`: a refined inversion's guess, `[len]`.
    pub seen: Option<&'a [f32]>,
    /// Standard normal noise, `[len]`. Required where [`Sampler::needs_noise`]; ignored elsewhere.
    pub noise: Option<&'a [f32]>,
}

/// What one denoising step gives.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOutput {
    /// The sample at the next timestep of the run, `[len]`.
    pub prev: Vec<f32>,
    /// The estimate of the noiseless sample, clamped as the config says, `[len]`.
    pub x_0: Vec<f32>,
}

/// A sampler with its noise schedule: a pure function from a step's input to its output. It keeps no state, so
/// rows of different runs share one, and cloning is cheap. A multistep method would get its history through
/// [`StepInput`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Sampler {
    /// Ancestral sampling.
    UnClip(UnClipSampler),
    /// Denoising diffusion implicit models.
    Ddim(DdimSampler),
    /// DDIM the other way: from the noiseless sample to noise.
    DdimInverse(DdimInverse),
}

impl Sampler {
    /// The sampler that the config's class names; DDIM with eta 0.
    ///
    /// # Errors
    /// When the config's numbers are out of range.
    pub fn from_config(config: &SchedulerConfig) -> Result<Self> {
        match config.class {
            SchedulerClass::UnClip => UnClipSampler::new(config).map(Self::UnClip),
            SchedulerClass::Ddim => DdimSampler::new(config, 0.0).map(Self::Ddim),
        }
    }

    /// `num_steps` strictly decreasing timesteps, see [`TimestepSpacing::timesteps`](crate::TimestepSpacing::timesteps);
    /// the same reversed for inversion.
    ///
    /// # Errors
    /// When `num_steps` is 0 or above the number of training timesteps.
    pub fn timesteps(&self, num_steps: u32) -> Result<Vec<u32>> {
        match self {
            Self::UnClip(sampler) => sampler.timesteps(num_steps),
            Self::Ddim(sampler) => sampler.timesteps(num_steps),
            Self::DdimInverse(inverse) => inverse.timesteps(num_steps),
        }
    }

    /// The noise schedule.
    #[must_use]
    pub fn schedule(&self) -> &NoiseSchedule {
        match self {
            Self::UnClip(sampler) => sampler.schedule(),
            Self::Ddim(sampler) => sampler.schedule(),
            Self::DdimInverse(inverse) => inverse.sampler().schedule(),
        }
    }

    /// Whether the second half of the model's output is a variance. DDIM skips it, but it is there.
    #[must_use]
    pub fn predicts_variance(&self) -> bool {
        match self {
            Self::UnClip(sampler) => sampler.predicts_variance(),
            Self::Ddim(sampler) => sampler.predicts_variance(),
            Self::DdimInverse(inverse) => inverse.sampler().predicts_variance(),
        }
    }

    /// How often the model is asked for one step: more than once where inversion is refined.
    #[must_use]
    pub fn evaluations(&self) -> u32 {
        match self {
            Self::UnClip(_) | Self::Ddim(_) => 1,
            Self::DdimInverse(inverse) => inverse.evaluations(),
        }
    }

    /// Channels of the model's output per channel of the sample: 2 with a variance half, else 1.
    #[must_use]
    pub fn output_channels_factor(&self) -> usize {
        if self.predicts_variance() { 2 } else { 1 }
    }

    /// Whether step `index` of `timesteps` adds noise: every step but the last for UnCLIP and for DDIM
    /// with eta above 0 (DDIM's last too, where the config leaves variance there).
    ///
    /// # Errors
    /// When `index` is past the list, or the timesteps there don't decrease or aren't training timesteps.
    pub fn needs_noise(&self, timesteps: &[u32], index: usize) -> Result<bool> {
        match self {
            Self::UnClip(sampler) => sampler.needs_noise(timesteps, index),
            Self::Ddim(sampler) => sampler.needs_noise(timesteps, index),
            Self::DdimInverse(inverse) => inverse.needs_noise(timesteps, index),
        }
    }

    /// One step: denoising, or inversion.
    ///
    /// # Errors
    /// When the lengths disagree, noise is missing, or `index` and the timesteps are unusable, as in
    /// [`Sampler::needs_noise`].
    pub fn step(&self, input: StepInput<'_>) -> Result<StepOutput> {
        match self {
            Self::UnClip(sampler) => sampler.step(input),
            Self::Ddim(sampler) => sampler.step(input),
            Self::DdimInverse(inverse) => inverse.step(input),
        }
    }
}

/// A step's two noise levels: from timestep `t` to `prev`, or to the noiseless sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transition {
    pub(crate) t: usize,
    pub(crate) prev: Option<usize>,
}

impl Transition {
    /// Sampling: from `timesteps[index]` to `timesteps[index + 1]`.
    pub(crate) fn denoise(timesteps: &[u32], index: usize, num_train_timesteps: usize) -> Result<Self> {
        let t = timestep(timesteps, index, num_train_timesteps)?;
        match timesteps.get(index + 1).copied() {
            Some(next) if next >= t => Err(Error::TimestepOrder { index, t, next, direction: "decreasing" }),
            next => Ok(Self { t: t as usize, prev: next.map(|t| t as usize) }),
        }
    }

    /// Inversion walks the same levels the other way: from `timesteps[index - 1]` to `timesteps[index]`.
    pub(crate) fn invert(timesteps: &[u32], index: usize, num_train_timesteps: usize) -> Result<Self> {
        let t = timestep(timesteps, index, num_train_timesteps)?;
        match index.checked_sub(1).and_then(|before| timesteps.get(before).copied()) {
            Some(before) if before >= t => {
                Err(Error::TimestepOrder { index, t: before, next: t, direction: "increasing" })
            }
            before => Ok(Self { t: t as usize, prev: before.map(|t| t as usize) }),
        }
    }
}

fn timestep(timesteps: &[u32], index: usize, num_train_timesteps: usize) -> Result<u32> {
    let len = timesteps.len();
    let t = timesteps.get(index).copied().ok_or(Error::StepIndex { index, len })?;
    if t as usize >= num_train_timesteps {
        return Err(timestep_error(t, num_train_timesteps));
    }
    Ok(t)
}

impl<'a> StepInput<'a> {
    /// The model's prediction and, where there is one, its variance half.
    pub(crate) fn split_output(&self, predicts_variance: bool) -> Result<(&'a [f32], Option<&'a [f32]>)> {
        let len = self.x_t.len();
        if !predicts_variance {
            check_len("model_output", self.model_output, len)?;
            return Ok((self.model_output, None));
        }
        check_len("model_output", self.model_output, 2 * len)?;
        let (prediction, variance) = self.model_output.split_at(len);
        Ok((prediction, Some(variance)))
    }

    /// The noise of a step that adds some.
    pub(crate) fn required_noise(&self) -> Result<&'a [f32]> {
        let expected = self.x_t.len();
        let noise = self.noise.ok_or(Error::NoiseMissing { index: self.index, expected })?;
        check_len("noise", noise, expected)?;
        Ok(noise)
    }
}

/// The estimate of x_0 (arXiv 2006.11239, equation 15), clamped to `clip`.
pub(crate) fn predict_x_0(
    prediction_type: PredictionType,
    prediction: &[f32],
    x_t: &[f32],
    alpha_bar: f32,
    clip: Option<f32>,
) -> Vec<f32> {
    let (signal, spread) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
    let x_0 = |(prediction, x): (&f32, &f32)| match prediction_type {
        PredictionType::Epsilon => (x - spread * prediction) / signal,
        PredictionType::Sample => *prediction,
    };
    let clamp = |x: f32| clip.map_or(x, |range| x.clamp(-range, range));
    prediction.iter().zip(x_t).map(x_0).map(clamp).collect()
}
