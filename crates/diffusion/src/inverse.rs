//! DDIM walked upwards: from a sample to the noise that DDIM with eta 0 turns into it.

use crate::ddim::AlphaBars;
use crate::error::check_len;
use crate::sampler::Transition;
use crate::{DdimSampler, Error, PredictionType, Result, StepInput, StepOutput};

/// The most refinements of a step: far beyond what a fixed point that is found at all takes.
const MAX_REFINEMENTS: u32 = 10;

/// DDIM inversion (arXiv 2010.02502, section 4.3; arXiv 2204.06125, section 3), with refinement.
///
/// A step from x_t up to x_{t+1} needs what the model says of x_{t+1}, which isn't known yet. The model is asked at a
/// guess instead, first at x_t itself; a refinement asks it again, at the x_{t+1} found so far, and steps anew from the
/// same x_t. Each costs one more evaluation of the network per step.
///
/// Where the model predicts noise, x_t is moved along that noise: as diffusers' DDIMInverseScheduler does, and refinements
/// are the fixed-point iteration of the exact inverse (as in ReNoise, arXiv 2403.14602, without its averaging).
///
/// A model that predicts x_0 says little of the noise in an almost noiseless x_t: what the noise would have to be for that
/// x_0 is the prediction's error, magnified; by the ratio of the two noise levels, 7 in the first of 50 steps of the cosine
/// schedule, it enters x_{t+1}. (The scheduler above does so.) Here the step down from the guess is taken, and by how much
/// it misses x_t, the guess is moved, divided by how much a step down changes with where it starts if x_0 follows one to one.
/// An x_0 that follows by less only makes the approach slower.
#[derive(Debug, Clone)]
pub struct DdimInverse {
    sampler: DdimSampler,
    refinements: u32,
}

impl DdimInverse {
    /// The inverse of `sampler` at eta 0, with so many refinements of every step.
    ///
    /// Going up, noise that a model predicts is taken as it is: to find it anew from a clamped x_0 would divide by the noise
    /// of an almost noiseless sample.
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
        let sampler = sampler.with_eta(0.0)?;
        let clamped = sampler.clamped_epsilon() && sampler.prediction_type() == PredictionType::Sample;
        Ok(Self { sampler: sampler.with_clamped_epsilon(clamped), refinements })
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
        let down = self.sampler.alpha_bars(Transition::invert(input.timesteps, input.index, trained)?);
        match self.sampler.prediction_type() {
            PredictionType::Epsilon => self.sampler.go(down.reversed(), input),
            PredictionType::Sample => self.approach(down, input),
        }
    }

    /// Moves the guess to where the step down misses `x_t` by less.
    fn approach(&self, down: AlphaBars, input: StepInput<'_>) -> Result<StepOutput> {
        let seen = input.seen.unwrap_or(input.x_t);
        check_len("seen", seen, input.x_t.len())?;
        let StepOutput { prev: reached, x_0 } = self.sampler.go(down, StepInput { x_t: seen, ..input })?;
        let slope = steepest(down);
        let missed = input.x_t.iter().zip(&reached).map(|(target, reached)| target - reached);
        let prev = seen.iter().zip(missed).map(|(seen, missed)| seen + missed / slope).collect();
        Ok(StepOutput { prev, x_0 })
    }
}

/// How much a step's end moves with its start where x_0 follows it one to one.
fn steepest(AlphaBars { from, to }: AlphaBars) -> f32 {
    let noise = (1.0 - to).sqrt() / (1.0 - from).sqrt();
    to.sqrt() + noise * (1.0 - from.sqrt())
}
