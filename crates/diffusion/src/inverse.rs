//! DDIM walked upwards: from a sample to the noise that DDIM with eta 0 turns into it.

use crate::sampler::Transition;
use crate::{DdimSampler, Error, Result, StepInput, StepOutput};

/// The most refinements of a step: far beyond what a fixed point that is found at all takes.
const MAX_REFINEMENTS: u32 = 10;

/// DDIM inversion (arXiv 2010.02502, section 4.3; arXiv 2204.06125, section 3), with fixed-point refinement.
///
/// A step from x_t to x_{t+1} needs the noise estimate at x_{t+1}, which isn't known yet. Plain inversion takes the
/// model's output for x_t instead. A refinement asks the model again, at the x_{t+1} found so far, and steps anew
/// from the same x_t: a fixed-point iteration of the exact inverse (as in ReNoise, arXiv 2403.14602, without its
/// averaging). Each costs one more evaluation of the network per step.
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

    /// One step, see [`DdimSampler::invert_step`].
    ///
    /// # Errors
    /// As there.
    pub fn step(&self, input: StepInput<'_>) -> Result<StepOutput> {
        self.sampler.invert_step(input)
    }
}
