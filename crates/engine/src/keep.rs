//! Edits with a mask: a part of the sample that is known and stays.

use std::sync::Arc;

use unclip_diffusion::noise::TorchNoise;
use unclip_diffusion::{Error, Sampler};

use crate::SubmitError;
use crate::job::out_of_range;

/// The most repetitions of a step.
const MAX_RESAMPLE: u32 = 50;

/// What a job keeps of a given sample (RePaint, arXiv 2201.09865, algorithm 1).
///
/// After every step the kept values are replaced by x_0 with the noise of the timestep that the step went to, drawn
/// from the row's own generator; after the last by x_0 itself. A step is repeated `resample` times: the sample goes
/// one step back by added noise and is denoised again, so that the rest fits what is kept. The last step isn't.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The noiseless sample, `[sample_len]`. Only its kept values count.
    pub x_0: Arc<[f32]>,
    /// Which values are kept, `[sample_len]`. With none the job is the same as without a `Keep`.
    pub mask: Arc<[bool]>,
    /// How often a step is repeated, 0 to 50.
    pub resample: u32,
}

impl Keep {
    /// Everything that can be checked without the model.
    pub(crate) fn validate(&self, sampler: &Sampler, sample_len: usize) -> Result<(), SubmitError> {
        if matches!(sampler, Sampler::DdimInverse(_)) {
            return Err(out_of_range("keep", "set", "left out of an inversion").into());
        }
        for (field, actual) in [("keep.x_0", self.x_0.len()), ("keep.mask", self.mask.len())] {
            if actual != sample_len {
                return Err(Error::Length { field, actual, expected: sample_len }.into());
            }
        }
        if self.resample > MAX_RESAMPLE {
            let limit = format!("at most {MAX_RESAMPLE}");
            return Err(out_of_range("keep.resample", self.resample, limit).into());
        }
        match self.x_0.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(out_of_range("keep.x_0 value", value, "finite").into()),
            None => Ok(()),
        }
    }

    /// Whether anything is kept.
    pub(crate) fn is_active(&self) -> bool {
        self.mask.contains(&true)
    }

    /// Puts the kept values into `sample`, which is at timestep `to`, or noiseless.
    pub(crate) fn restore(
        &self,
        sample: &mut [f32],
        sampler: &Sampler,
        to: Option<u32>,
        noise: &mut TorchNoise,
    ) -> Result<(), Error> {
        match to {
            Some(t) => {
                let drawn = noise.normal(sample.len());
                self.lay_over(sample, &sampler.schedule().q_sample(&self.x_0, &drawn, t)?);
            }
            None => self.lay_over(sample, &self.x_0),
        }
        Ok(())
    }

    /// Puts the noiseless kept values into an estimate of the noiseless sample.
    pub(crate) fn restore_estimate(&self, x_0: &mut [f32]) {
        self.lay_over(x_0, &self.x_0);
    }

    fn lay_over(&self, sample: &mut [f32], known: &[f32]) {
        let places = sample.iter_mut().zip(known).zip(self.mask.iter());
        places.filter(|(_, kept)| **kept).for_each(|((place, known), _)| *place = *known);
    }
}
