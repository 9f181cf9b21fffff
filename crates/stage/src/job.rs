//! From a request's options to a job of the engine.

use std::sync::Arc;

use unclip_diffusion::noise::{MAX_DRAWS, NoisePosition, TorchNoise};
use unclip_diffusion::{DdimInverse, DdimSampler, SchedulerConfig, UnClipSampler};
use unclip_engine::{Job, Keep, Start};
use unclip_proto::v1::{Checkpoint, NoisePosition as NoiseMessage, Sampler, StreamOptions, Tensor};
use unclip_proto::{FieldError, Sampling, required};
use unclip_service::{Code, Error, RequestContext};

/// The most a message may ask of `preview_every` and `checkpoint_every`.
const MAX_EVERY: u32 = 1000;

/// What all jobs of one request share.
#[derive(Clone)]
pub struct JobOptions {
    sampler: Arc<unclip_diffusion::Sampler>,
    timesteps: Vec<u32>,
    guidance_scale: f32,
    sample_len: usize,
    preview_every: u32,
    checkpoint_every: u32,
    keep: Option<Keep>,
    context: RequestContext,
}

impl JobOptions {
    /// Builds the sampler and its timesteps for samples of `sample_len` values.
    ///
    /// # Errors
    /// More steps than the schedule has, or stream options out of range.
    pub fn new(
        scheduler: &SchedulerConfig,
        sampling: Sampling,
        sample_len: usize,
        stream: Option<&StreamOptions>,
        context: &RequestContext,
    ) -> Result<Self, Error> {
        let invalid =
            |error: unclip_diffusion::Error| Error::new(Code::InvalidArgument, format!("options: {error}"));
        let sampler = match sampling.sampler {
            Sampler::Ddim => {
                let ddim = DdimSampler::new(scheduler, sampling.eta).map_err(invalid)?;
                unclip_diffusion::Sampler::Ddim(ddim.with_clamped_epsilon(sampling.clamped_epsilon))
            }
            Sampler::Unclip | Sampler::Unspecified => {
                unclip_diffusion::Sampler::UnClip(UnClipSampler::new(scheduler).map_err(invalid)?)
            }
        };
        let stream = stream.copied().unwrap_or_default();
        Ok(Self {
            timesteps: sampler.timesteps(sampling.steps).map_err(invalid)?,
            sampler: Arc::new(sampler),
            guidance_scale: sampling.guidance_scale,
            sample_len,
            preview_every: every("stream.preview_every", stream.preview_every)?,
            checkpoint_every: every("stream.checkpoint_every", stream.checkpoint_every)?,
            keep: None,
            context: context.clone(),
        })
    }

    /// The options of an inversion, which walks from samples of `sample_len` values to noise.
    ///
    /// # Errors
    /// More steps than the schedule has, or too many refinements.
    pub fn inversion(
        scheduler: &SchedulerConfig,
        steps: u32,
        refinements: u32,
        sample_len: usize,
        context: &RequestContext,
    ) -> Result<Self, Error> {
        let invalid = |error: unclip_diffusion::Error| Error::new(Code::InvalidArgument, error.to_string());
        let ddim = DdimSampler::new(scheduler, 0.0).map_err(invalid)?;
        let inverse = DdimInverse::new(&ddim, refinements).map_err(invalid)?;
        let sampler = unclip_diffusion::Sampler::DdimInverse(inverse);
        Ok(Self {
            timesteps: sampler.timesteps(steps).map_err(invalid)?,
            sampler: Arc::new(sampler),
            guidance_scale: 1.0,
            sample_len,
            preview_every: 0,
            checkpoint_every: 0,
            keep: None,
            context: context.clone(),
        })
    }

    /// The same options for an edit.
    #[must_use]
    pub fn keeping(self, keep: Option<Keep>) -> Self {
        Self { keep, ..self }
    }

    /// Denoising steps.
    pub fn steps(&self) -> u32 {
        u32::try_from(self.timesteps.len()).unwrap_or(u32::MAX)
    }

    /// Takes `noise` to where it stands after a whole run.
    ///
    /// # Errors
    /// Never for timesteps that the sampler made itself.
    pub fn skip_run(&self, noise: &mut TorchNoise) -> Result<(), Error> {
        noise.normal(self.sample_len);
        for index in 0..self.timesteps.len() {
            let drawn = self.sampler.needs_noise(&self.timesteps, index);
            if drawn.map_err(|error| Error::internal("the sampler failed", error))? {
                noise.normal(self.sample_len);
            }
        }
        Ok(())
    }

    /// The job that draws one sample.
    pub fn job<C>(&self, condition: C, start: Start) -> Job<C> {
        Job {
            name: self.context.request_id.clone(),
            condition,
            sampler: Arc::clone(&self.sampler),
            timesteps: self.timesteps.clone(),
            guidance_scale: self.guidance_scale,
            sample_len: self.sample_len,
            start,
            keep: self.keep.clone(),
            deadline: self.context.deadline,
            preview_every: self.preview_every,
            checkpoint_every: self.checkpoint_every,
        }
    }
}

/// Where a job begins: at a checkpoint if there is one, else with x_T if it is given, else with noise.
///
/// # Errors
/// A missing or impossible position, a checkpoint or x_T that does not fit, both of them, or more steps done than asked
/// for.
pub(crate) async fn start(
    noise: Option<&NoiseMessage>,
    x_t: Option<&Tensor>,
    resume: Option<&Checkpoint>,
    shape: &[usize],
    steps: u32,
) -> Result<Start, Error> {
    let Some(checkpoint) = resume else {
        let x_t = x_t.map(|tensor| tensor.floats("x_t", shape)).transpose()?;
        let noise = noise_at("noise", noise).await?;
        return Ok(match x_t {
            Some(x_t) => Start::From { x_t, noise },
            None => Start::Noise(noise),
        });
    };
    if x_t.is_some() {
        let problem = "given beside `resume`, whose checkpoint has a sample already; leave one of them out";
        return Err(FieldError::new("x_t", problem).into());
    }
    if checkpoint.step >= steps {
        let limit = steps.saturating_sub(1);
        return Err(FieldError::out_of_range("resume.step", checkpoint.step, 0, limit).into());
    }
    let x_t = required(checkpoint.x_t.as_ref(), "resume.x_t")?.floats("resume.x_t", shape)?;
    let noise = noise_at("resume.noise", checkpoint.noise.as_ref()).await?;
    Ok(Start::Resume { step: checkpoint.step, x_t, noise })
}

/// A generator at a position. Going there takes time in proportion to the draws, so it happens off the async threads.
///
/// # Errors
/// A missing position, too many draws, or a pending value that is not finite.
pub async fn noise_at(field: &str, position: Option<&NoiseMessage>) -> Result<TorchNoise, Error> {
    let position = required(position, field)?;
    if position.draws > MAX_DRAWS {
        return Err(FieldError::out_of_range(format!("{field}.draws"), position.draws, 0, MAX_DRAWS).into());
    }
    if position.pending_normal.is_some_and(|value| !value.is_finite()) {
        return Err(FieldError::new(format!("{field}.pending_normal"), "must be finite").into());
    }
    let position =
        NoisePosition { seed: position.seed, draws: position.draws, pending: position.pending_normal };
    tokio::task::spawn_blocking(move || TorchNoise::at(position))
        .await
        .map_err(|error| Error::internal("the generator could not be set", error))?
        .map_err(|error| FieldError::new(field, error.to_string()).into())
}

/// A position as a message.
pub fn noise_message(position: NoisePosition) -> NoiseMessage {
    NoiseMessage { seed: position.seed, draws: position.draws, pending_normal: position.pending }
}

fn every(field: &str, value: u32) -> Result<u32, FieldError> {
    if value <= MAX_EVERY { Ok(value) } else { Err(FieldError::out_of_range(field, value, 0, MAX_EVERY)) }
}
