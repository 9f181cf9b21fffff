//! The decoder's gRPC service.

use tonic::{Request, Response, Status};
use unclip_diffusion::SchedulerConfig;
use unclip_engine::{Engine, Finished, Job};
use unclip_proto::v1::decode_response::Event;
use unclip_proto::v1::decoder_service_server::{DecoderService, DecoderServiceServer};
use unclip_proto::v1::{
    DecodeRequest, DecodeResponse, DecodeResult, DecoderServiceGetModelInfoRequest,
    DecoderServiceGetModelInfoResponse, Tensor,
};
use unclip_proto::{Sampling, SamplingDefaults};
use unclip_service::{Error, MAX_MESSAGE_BYTES, RequestContext};
use unclip_stage::{
    JobOptions, StageInfo, StageStream, StreamEvent, forward, noise_message, start, submit_error,
};

use crate::denoiser::Condition;

const STAGE: &str = "decoder";

/// Karlo's defaults in the reference pipeline (diffusers 0.42.1, UnCLIPPipeline).
const DEFAULTS: SamplingDefaults = SamplingDefaults { steps: 25, guidance_scale: Some(8.0) };

/// The decoder: an engine and what it serves.
pub struct Decoder {
    engine: Engine<Condition>,
    info: StageInfo,
    scheduler: SchedulerConfig,
}

impl Decoder {
    pub(crate) fn new(engine: Engine<Condition>, info: StageInfo, scheduler: SchedulerConfig) -> Self {
        Self { engine, info, scheduler }
    }

    /// The gRPC service.
    pub fn into_service(self) -> DecoderServiceServer<Self> {
        DecoderServiceServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn job(&self, context: &RequestContext, request: DecodeRequest) -> Result<Job<Condition>, Error> {
        let sampling = Sampling::resolve(request.options.as_ref(), DEFAULTS, "options")?;
        let guided = sampling.is_guided();
        let condition = Condition {
            image_embedding: self.info.embedding("image_embedding", request.image_embedding.as_ref())?,
            text: self.info.text("text", request.text.as_ref())?,
            negative: guided.then(|| self.info.text("negative", request.negative.as_ref())).transpose()?,
        };
        let shape = self.info.picture_shape();
        let sample_len = shape.iter().product();
        let options =
            JobOptions::new(&self.scheduler, sampling, sample_len, request.stream.as_ref(), context)?;
        let start = start(request.noise.as_ref(), request.resume.as_ref(), &shape, options.steps()).await?;
        Ok(options.job(condition, start))
    }
}

#[tonic::async_trait]
impl DecoderService for Decoder {
    type DecodeStream = StageStream<DecodeResponse>;

    async fn decode(&self, request: Request<DecodeRequest>) -> Result<Response<Self::DecodeStream>, Status> {
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
        _: Request<DecoderServiceGetModelInfoRequest>,
    ) -> Result<Response<DecoderServiceGetModelInfoResponse>, Status> {
        let model_info = Some(self.info.model.clone());
        Ok(Response::new(DecoderServiceGetModelInfoResponse { model_info }))
    }
}

fn event(event: StreamEvent) -> DecodeResponse {
    message(match event {
        StreamEvent::Progress(progress) => Event::Progress(progress),
        StreamEvent::Preview(preview) => Event::Preview(preview),
        StreamEvent::Checkpoint(checkpoint) => Event::Checkpoint(checkpoint),
    })
}

/// The reference pipeline clamps the sample before it goes on to the upsampler.
fn result(shape: &[usize], finished: &Finished, model_fingerprint: String) -> DecodeResult {
    let pixels: Vec<f32> = finished.sample.iter().map(|value| value.clamp(-1.0, 1.0)).collect();
    DecodeResult {
        image: Some(Tensor::from_f32(shape, &pixels)),
        noise: Some(noise_message(finished.noise)),
        model_fingerprint,
    }
}

fn message(event: Event) -> DecodeResponse {
    DecodeResponse { event: Some(event) }
}
