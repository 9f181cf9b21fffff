//! Samples of a network in training, with the samplers of the servers.

use serde::Deserialize;
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use unclip_bundle::{GUIDANCE_SCALE, StageSampling};
use unclip_diffusion::{Sampler, SchedulerConfig, StepInput, guidance};
use unclip_models::rows::{split_rows, stack_rows};

use crate::TrainError;
use crate::random::{Purpose, StepRandom, elements};
use crate::run::Problems;

/// How samples are drawn.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Samples on a sheet, or in an evaluation.
    pub count: usize,
    /// Steps of the sampler.
    pub steps: u32,
    /// Scale of classifier-free guidance (arXiv 2207.12598); 1 is none.
    pub guidance: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { count: 16, steps: 25, guidance: 4.0 }
    }
}

impl Sampling {
    /// Adds what is wrong to `problems`.
    pub fn check(&self, problems: &mut Problems) {
        problems.expect("sampling.count", self.count, self.count >= 1, "1 or more");
        problems.expect("sampling.steps", self.steps, (2..=1000).contains(&self.steps), "2 to 1000");
        // A server would refuse a bundle with another one.
        let guidance = GUIDANCE_SCALE.contains(&self.guidance);
        problems.expect("sampling.guidance", self.guidance, guidance, "0 to 100");
    }

    /// What a bundle says of a stage with guidance.
    pub fn guided(&self) -> StageSampling {
        StageSampling { guidance_scale: Some(self.guidance), ..self.unguided() }
    }

    /// What a bundle says of a stage without guidance.
    pub fn unguided(&self) -> StageSampling {
        StageSampling { steps: Some(self.steps), guidance_scale: None }
    }
}

/// Draws samples of shape `[rows, ...]` with a scheduler's config. `predict` gives the network's output for noisy samples
/// and a timestep, conditional and unconditional, f32; the latter is not read without guidance. The result is f32 on the
/// CPU.
///
/// # Errors
/// A config that the sampler refuses, or whatever the network gives.
pub fn sample(
    scheduler: &Value,
    shape: &[i64],
    sampling: Sampling,
    seed: u64,
    mut predict: impl FnMut(&Tensor, u32) -> Result<(Tensor, Option<Tensor>), TrainError>,
) -> Result<Tensor, TrainError> {
    let config = SchedulerConfig::deserialize(scheduler).map_err(|error| TrainError::Config {
        path: "scheduler_config.json".into(),
        reason: error.to_string(),
    })?;
    let sampler = Sampler::from_config(&config)?;
    let timesteps = sampler.timesteps(sampling.steps)?;
    let row_shape = shape.get(1..).unwrap_or_default();
    let length = elements(row_shape);
    let tail = if sampler.predicts_variance() { length } else { 0 };
    let mut random = StepRandom::new(seed, 0, Purpose::Samples);
    let mut rows = split_rows(&random.normal(shape))?;
    for (index, timestep) in timesteps.iter().enumerate() {
        let x = stack(&rows, row_shape)?;
        let (conditional, unconditional) = predict(&x, *timestep)?;
        let outputs = split_rows(&conditional)?;
        let unguided = unconditional.map(|output| split_rows(&output)).transpose()?;
        for (row, x_t) in rows.iter_mut().enumerate() {
            let output = match &unguided {
                Some(unguided) => guidance::combine(&outputs[row], &unguided[row], sampling.guidance, tail)?,
                None => outputs[row].clone(),
            };
            let noise = random.normals(length);
            let input = StepInput {
                timesteps: &timesteps,
                index,
                model_output: &output,
                x_t,
                seen: None,
                noise: Some(&noise),
            };
            *x_t = sampler.step(input)?.prev;
        }
    }
    stack(&rows, row_shape)
}

fn stack(rows: &[Vec<f32>], shape: &[i64]) -> Result<Tensor, TrainError> {
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    Ok(stack_rows(&rows, shape)?)
}

/// A timestep for every row.
pub(crate) fn timesteps(timestep: u32, rows: i64, device: Device) -> Tensor {
    Tensor::full([rows], i64::from(timestep), (Kind::Int64, device))
}
