//! A stage that denoises: its engine, its schedule and what it says of itself.

use unclip_bundle::StageSampling;
use unclip_diffusion::SchedulerConfig;
use unclip_diffusion::noise::TorchNoise;
use unclip_engine::{
    ComputePermit, DenoiseError, Denoiser, Engine, Finished, Job, JobHandle, Start, StartError,
};
use unclip_proto::v1::{Checkpoint, Keep, NoisePosition, SamplingOptions, StreamOptions, Tensor};
use unclip_proto::{FieldError, Maker, STEPS, Sampling, SamplingDefaults, required};
use unclip_service::{Error, RequestContext};

use crate::job::{JobOptions, noise_message, start};
use crate::keep::keep;
use crate::stream::{StageStream, StreamEvent, forward};
use crate::{EngineArgs, StageInfo, submit_error};

/// What a diffusion stage is, apart from its network.
pub struct DiffusionSpec {
    /// The stage's name in errors, logs and metrics.
    pub name: &'static str,
    /// What it says of itself.
    pub info: StageInfo,
    /// The checkpoint's schedule.
    pub scheduler: SchedulerConfig,
    /// Values for what a request leaves open.
    pub defaults: SamplingDefaults,
}

/// A stage's defaults: the bundle's, and Karlo's where it has none.
pub fn defaults(bundle: StageSampling, karlo: SamplingDefaults) -> SamplingDefaults {
    SamplingDefaults {
        steps: bundle.steps.unwrap_or(karlo.steps),
        guidance_scale: karlo.guidance_scale.map(|scale| bundle.guidance_scale.unwrap_or(scale)),
    }
}

/// A diffusion stage with its network on an engine. `C` is what a job brings along.
pub struct DiffusionStage<C> {
    spec: DiffusionSpec,
    engine: Engine<C>,
}

/// What a request for a picture says besides its condition.
pub struct PictureRequest {
    /// The picture's generator.
    pub noise: Option<NoisePosition>,
    /// What to stream.
    pub stream: Option<StreamOptions>,
    /// Where to go on from.
    pub resume: Option<Checkpoint>,
    /// x_T, to start from instead of noise.
    pub x_t: Option<Tensor>,
    /// What stays of a given picture.
    pub keep: Option<Keep>,
}

/// What a request for an inversion says besides its condition.
pub struct Inversion {
    /// The picture, in [-1, 1], shape `[3, height, width]`.
    pub image: Option<Tensor>,
    /// Steps. Absent: 50.
    pub steps: Option<u32>,
    /// Refinements of every step. Absent: 0.
    pub refinements: Option<u32>,
}

/// An inverted picture.
pub struct Inverted {
    /// x_T, `[3, height, width]`.
    pub x_t: Tensor,
    /// What made it.
    pub maker: Maker,
}

/// Steps of an inversion, unless given (arXiv 2010.02502, section 5.4, takes 10 to 1000).
const INVERSION_STEPS: u32 = 50;

/// The most refinements of a step.
const MAX_REFINEMENTS: u32 = 10;

/// A finished picture.
pub struct Picture {
    /// `[3, height, width]`.
    pub image: Tensor,
    /// Where its generator stands.
    pub noise: NoisePosition,
    /// What made it.
    pub maker: Maker,
}

impl<C: Send + 'static> DiffusionStage<C> {
    /// Starts the engine, whose thread builds the network with `build`. `permit` is shared with whatever else computes on
    /// the device.
    ///
    /// # Errors
    /// Those of `build`.
    pub async fn start<D: Denoiser<Condition = C>>(
        mut spec: DiffusionSpec,
        args: &EngineArgs,
        permit: ComputePermit,
        build: impl FnOnce() -> Result<D, DenoiseError> + Send + 'static,
    ) -> Result<Self, StartError> {
        spec.info.model.sampling_defaults = Some(spec.defaults.to_message());
        let engine = Engine::start(args.config(spec.name, &spec.info.model.device, permit), build).await?;
        Ok(Self { spec, engine })
    }

    /// The stage's name.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    /// What the stage says of itself.
    pub fn info(&self) -> &StageInfo {
        &self.spec.info
    }

    /// A request's options with the stage's defaults in the gaps.
    ///
    /// # Errors
    /// A value out of its range.
    pub fn sampling(&self, options: Option<&SamplingOptions>) -> Result<Sampling, Error> {
        Ok(Sampling::resolve(options, self.spec.defaults, "options")?)
    }

    /// What all jobs of a request for samples of `sample_len` values share.
    ///
    /// # Errors
    /// More steps than the schedule has, or stream options out of range.
    pub fn options(
        &self,
        sampling: Sampling,
        sample_len: usize,
        stream: Option<&StreamOptions>,
        context: &RequestContext,
    ) -> Result<JobOptions, Error> {
        JobOptions::new(&self.spec.scheduler, sampling, sample_len, stream, context)
    }

    /// How many samples of one request fit.
    pub fn places(&self) -> usize {
        self.engine.places()
    }

    /// Queues a job.
    ///
    /// # Errors
    /// A full queue, or a job that can't run.
    pub fn submit(&self, job: Job<C>) -> Result<JobHandle, Error> {
        self.engine.submit(job).map_err(|error| submit_error(self.name(), &error))
    }

    /// Draws a picture under `condition`, whose values are those of the sample mapped by `pixel`. When the client drops the
    /// stream, the job is cancelled.
    ///
    /// # Errors
    /// A noise position, stream options or checkpoint that are out of range, or a full queue.
    pub async fn draw<M: From<StreamEvent> + From<Picture> + Send + 'static>(
        &self,
        context: &RequestContext,
        sampling: Sampling,
        request: PictureRequest,
        condition: C,
        pixel: impl Fn(f32) -> f32 + Send + 'static,
    ) -> Result<StageStream<M>, Error> {
        let shape = self.info().picture_shape();
        let PictureRequest { noise, stream, resume, x_t, keep: edit } = request;
        let edit = edit.map(|message| keep(&message, shape)).transpose()?;
        let options = self.options(sampling, shape.iter().product(), stream.as_ref(), context)?.keeping(edit);
        let start = start(noise.as_ref(), x_t.as_ref(), resume.as_ref(), &shape, options.steps()).await?;
        let handle = self.submit(options.job(condition, start))?;
        let maker = self.info().maker();
        let result = move |finished: Finished| {
            let pixels: Vec<f32> = finished.sample.iter().map(|value| pixel(*value)).collect();
            let image = Tensor::from_f32(&shape, &pixels);
            M::from(Picture { image, noise: noise_message(finished.noise), maker })
        };
        Ok(forward(self.name(), handle, shape.to_vec(), M::from, result))
    }
    /// Walks from a picture to the noise x_T that `condition` turns into it, without guidance.
    ///
    /// # Errors
    /// A picture of another shape, steps or refinements out of range, or a full queue.
    pub fn invert<M: From<StreamEvent> + From<Inverted> + Send + 'static>(
        &self,
        context: &RequestContext,
        request: &Inversion,
        condition: C,
    ) -> Result<StageStream<M>, Error> {
        let shape = self.info().picture_shape();
        let x_t = required(request.image.as_ref(), "image")?.floats("image", &shape)?;
        let steps = request.steps.unwrap_or(INVERSION_STEPS);
        if !STEPS.contains(&steps) {
            return Err(FieldError::out_of_range("steps", steps, STEPS.start(), STEPS.end()).into());
        }
        let refinements = request.refinements.unwrap_or(0);
        if refinements > MAX_REFINEMENTS {
            return Err(FieldError::out_of_range("refinements", refinements, 0, MAX_REFINEMENTS).into());
        }
        let options = JobOptions::inversion(&self.spec.scheduler, steps, refinements, x_t.len(), context)?;
        // An inversion draws nothing.
        let start = Start::From { x_t, noise: TorchNoise::new(0) };
        let handle = self.submit(options.job(condition, start))?;
        let maker = self.info().maker();
        let result = move |finished: Finished| {
            M::from(Inverted { x_t: Tensor::from_f32(&shape, &finished.sample), maker })
        };
        Ok(forward(self.name(), handle, shape.to_vec(), M::from, result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundles_defaults_come_before_karlos() {
        let own = StageSampling { steps: Some(9), guidance_scale: None };
        assert_eq!(
            defaults(own, SamplingDefaults::PRIOR),
            SamplingDefaults { steps: 9, guidance_scale: Some(4.0) }
        );
        let scale = StageSampling { steps: None, guidance_scale: Some(3.0) };
        assert_eq!(defaults(scale, SamplingDefaults::DECODER).guidance_scale, Some(3.0));
        assert_eq!(defaults(scale, SamplingDefaults::UPSAMPLER), SamplingDefaults::UPSAMPLER);
    }

    #[test]
    fn a_bundles_limits_are_those_of_the_contracts() {
        assert_eq!(unclip_bundle::STEPS, unclip_proto::STEPS);
        assert_eq!(unclip_bundle::GUIDANCE_SCALE, unclip_proto::GUIDANCE_SCALE);
    }
}
