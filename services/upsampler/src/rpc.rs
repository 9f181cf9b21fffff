//! The upsampler's gRPC service.

use tonic::{Request, Response, Status};
use unclip_diffusion::SchedulerConfig;
use unclip_engine::{Engine, Finished, Job};
use unclip_proto::v1::upsample_response::Event;
use unclip_proto::v1::upsampler_service_server::{UpsamplerService, UpsamplerServiceServer};
use unclip_proto::v1::{
    Tensor, UpsampleRequest, UpsampleResponse, UpsampleResult, UpsamplerServiceGetModelInfoRequest,
    UpsamplerServiceGetModelInfoResponse,
};
use unclip_proto::{Sampling, SamplingDefaults};
use unclip_service::{Error, MAX_MESSAGE_BYTES, RequestContext};
use unclip_stage::{
    JobOptions, StageInfo, StageStream, StreamEvent, forward, noise_message, start, submit_error,
};

use crate::denoiser::Condition;

const STAGE: &str = "upsampler";

/// Karlo's default in the reference pipeline (diffusers 0.42.1, UnCLIPPipeline).
const DEFAULTS: SamplingDefaults = SamplingDefaults { steps: 7, guidance_scale: None };

/// The upsampler: an engine and what it serves.
pub struct Upsampler {
    engine: Engine<Condition>,
    info: StageInfo,
    scheduler: SchedulerConfig,
}

impl Upsampler {
    pub(crate) fn new(engine: Engine<Condition>, info: StageInfo, scheduler: SchedulerConfig) -> Self {
        Self { engine, info, scheduler }
    }

    /// The gRPC service.
    pub fn into_service(self) -> UpsamplerServiceServer<Self> {
        UpsamplerServiceServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn job(&self, context: &RequestContext, request: UpsampleRequest) -> Result<Job<Condition>, Error> {
        let sampling = Sampling::resolve(request.options.as_ref(), DEFAULTS, "options")?;
        let (low_res, height, width) = self.info.picture("image", request.image.as_ref())?;
        let shape = self.info.picture_shape();
        let sample_len = shape.iter().product();
        let options =
            JobOptions::new(&self.scheduler, sampling, sample_len, request.stream.as_ref(), context)?;
        let start = start(request.noise.as_ref(), request.resume.as_ref(), &shape, options.steps()).await?;
        Ok(options.job(Condition { low_res, height, width }, start))
    }
}

#[tonic::async_trait]
impl UpsamplerService for Upsampler {
    type UpsampleStream = StageStream<UpsampleResponse>;

    async fn upsample(
        &self,
        request: Request<UpsampleRequest>,
    ) -> Result<Response<Self::UpsampleStream>, Status> {
        let context = RequestContext::of(request.extensions());
        let job = self.job(&context, request.into_inner()).await?;
        let handle = self.engine.submit(job).map_err(|error| submit_error(STAGE, &error))?;
        let shape = self.info.picture_shape().to_vec();
        let fingerprint = self.info.fingerprint();
        let result = {
            let shape = shape.clone();
            move |finished| Ok(message(Event::Result(result(&shape, &finished, fingerprint))))
        };
        Ok(Response::new(forward(STAGE, handle, shape, event, result)))
    }

    async fn get_model_info(
        &self,
        _: Request<UpsamplerServiceGetModelInfoRequest>,
    ) -> Result<Response<UpsamplerServiceGetModelInfoResponse>, Status> {
        let model_info = Some(self.info.model.clone());
        Ok(Response::new(UpsamplerServiceGetModelInfoResponse { model_info }))
    }
}

fn event(event: StreamEvent) -> UpsampleResponse {
    message(match event {
        StreamEvent::Progress(progress) => Event::Progress(progress),
        StreamEvent::Preview(preview) => Event::Preview(preview),
        StreamEvent::Checkpoint(checkpoint) => Event::Checkpoint(checkpoint),
    })
}

/// From [-1, 1] to [0, 1], clamped, as the reference pipeline ends.
fn result(shape: &[usize], finished: &Finished, model_fingerprint: String) -> UpsampleResult {
    let pixels: Vec<f32> = finished.sample.iter().map(|value| (value * 0.5 + 0.5).clamp(0.0, 1.0)).collect();
    UpsampleResult {
        image: Some(Tensor::from_f32(shape, &pixels)),
        noise: Some(noise_message(finished.noise)),
        model_fingerprint,
    }
}

fn message(event: Event) -> UpsampleResponse {
    UpsampleResponse { event: Some(event) }
}
