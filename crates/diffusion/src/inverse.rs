//! DDIM walked upwards: from a sample to the noise that DDIM with eta 0 turns into it.

use crate::error::check_len;
use crate::sampler::Transition;
use crate::{DdimSampler, Error, Result, StepInput, StepOutput};

/// The most refinements of a step: far beyond what a fixed point that is found at all takes.
const MAX_REFINEMENTS: u32 = 10;

/// DDIM inversion (arXiv 2010.02502, section 4.3; arXiv 2204.06125, section 3), with refinement.
///
/// A step from x_t up to x_{t+1} looks for the x_{t+1} that DDIM's step down takes to x_t. The model is asked at a
/// guess, first x_t itself; by how much the step down from there misses x_t, divided by the step's slope, is added.
/// Where the model predicts the noise, the slope is that of a noise estimate which does not change with x_{t+1}: plain
/// DDIM inversion, and each refinement its fixed-point iteration (as in ReNoise, arXiv 2403.14602, without averaging).
///
/// A model that predicts x_0 says little of the noise in an almost noiseless x_t: the iteration that keeps its x_0
/// multiplies the prediction's error by the ratio of the two noise levels, which is 7 in the first of 50 steps of the
/// cosine schedule. So the slope is that of an x_0 which follows x_{t+1} one to one, the most that a denoiser does.
/// diffusers' DDIMInverseScheduler keeps the x_0.
///
/// Each refinement costs one more evaluation of the network per step.
#[derive(Debug, Clone)]
pub struct DdimInverse {
    sampler: DdimSampler,
    refinements: u32,
}

impl DdimInverse {
    /// The inverse of `sampler` at eta 0, with so many refinements of every step.
    ///
    /// # Errors
    /// When `refinements` is above 10.
    pub fn new(sampler: &DdimSampler, refinements: u32) -> Result<Self> {
        if refinements > MAX_REFINEMENTS {
            return Err(Error::out_of_range(
                "refinements",
                refinements,
                format!("at most {MAX_REFINEMENTS}"),
            ));
        }
        Ok(Self { sampler: sampler.with_eta(0.0)?, refinements })
    }

    /// The sampler that is inverted.
    #[must_use]
    pub fn sampler(&self) -> &DdimSampler {
        &self.sampler
    }

    /// How often the model is asked for one step: once, and once more per refinement.
    #[must_use]
    pub fn evaluations(&self) -> u32 {
        self.refinements + 1
    }

    /// `num_steps` strictly increasing timesteps: those of the run that is inverted, reversed.
    ///
    /// # Errors
    /// As [`DdimSampler::timesteps`].
    pub fn timesteps(&self, num_steps: u32) -> Result<Vec<u32>> {
        let mut timesteps = self.sampler.timesteps(num_steps)?;
        timesteps.reverse();
        Ok(timesteps)
    }

    /// Inversion adds no noise; the step is checked all the same.
    pub(crate) fn needs_noise(&self, timesteps: &[u32], index: usize) -> Result<bool> {
        Transition::invert(timesteps, index, self.sampler.schedule().num_train_timesteps())?;
        Ok(false)
    }

    /// One step. `input.timesteps` increase; `input.x_t` is the sample at the timestep before `input.index`, or the
    /// noiseless one at index 0. The model saw `input.seen` at `timesteps[index]`, and there is where `prev` is.
    /// Noise is ignored.
    ///
    /// # Errors
    /// When the lengths disagree, `index` is past the list, or the timesteps don't increase.
    pub fn step(&self, input: StepInput<'_>) -> Result<StepOutput> {
        let trained = self.sampler.schedule().num_train_timesteps();
        let down = Transition::invert(input.timesteps, input.index, trained)?;
        let seen = input.seen.unwrap_or(input.x_t);
        check_len("seen", seen, input.x_t.len())?;
        let StepOutput { prev: reached, x_0 } = self.sampler.go(down, StepInput { x_t: seen, ..input })?;
        let slope = self.sampler.slope(down);
        let missed = input.x_t.iter().zip(&reached).map(|(target, reached)| target - reached);
        let prev = seen.iter().zip(missed).map(|(seen, missed)| seen + missed / slope).collect();
        Ok(StepOutput { prev, x_0 })
    }
}
