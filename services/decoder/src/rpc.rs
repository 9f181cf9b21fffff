//! The decoder's gRPC service.

use tonic::{Request, Response, Status};
use unclip_proto::v1::decoder_service_server::{DecoderService, DecoderServiceServer};
use unclip_proto::v1::{
    DecodeRequest, DecodeResponse, DecoderServiceGetModelInfoRequest, DecoderServiceGetModelInfoResponse,
    InvertRequest, InvertResponse,
};
use unclip_service::{Error, RequestContext, grpc_server};
use unclip_stage::{DiffusionStage, Inversion, PictureRequest, StageStream};

use crate::denoiser::Condition;

/// The decoder.
pub struct Decoder {
    stage: DiffusionStage<Condition>,
}

impl Decoder {
    pub(crate) fn new(stage: DiffusionStage<Condition>) -> Self {
        Self { stage }
    }

    /// The gRPC service.
    pub fn into_service(self) -> DecoderServiceServer<Self> {
        grpc_server!(DecoderServiceServer::new(self))
    }

    async fn draw(
        &self,
        context: &RequestContext,
        request: DecodeRequest,
    ) -> Result<StageStream<DecodeResponse>, Error> {
        let info = self.stage.info();
        let sampling = self.stage.sampling(request.options.as_ref())?;
        let guided = sampling.is_guided();
        let image = request.image_embedding.as_ref();
        let condition = Condition {
            image_embedding: image.map(|image| info.embedding("image_embedding", Some(image))).transpose()?,
            text: info.text("text", request.text.as_ref())?,
            negative: guided.then(|| info.text("negative", request.negative.as_ref())).transpose()?,
        };
        let DecodeRequest { noise, stream, resume, x_t, keep, .. } = request;
        let rest = PictureRequest { noise, stream, resume, x_t, keep };
        // The reference pipeline clamps the sample before it goes on to the upsampler.
        let pixel = |value: f32| value.clamp(-1.0, 1.0);
        self.stage.draw(context, sampling, rest, condition, pixel).await
    }

    fn walk_back(
        &self,
        context: &RequestContext,
        request: InvertRequest,
    ) -> Result<StageStream<InvertResponse>, Error> {
        let info = self.stage.info();
        let condition = Condition {
            image_embedding: Some(info.embedding("image_embedding", request.image_embedding.as_ref())?),
            text: info.text("text", request.text.as_ref())?,
            negative: None,
        };
        let InvertRequest { image, steps, refinements, .. } = request;
        self.stage.invert(context, &Inversion { image, steps, refinements }, condition)
    }
}

#[tonic::async_trait]
impl DecoderService for Decoder {
    type DecodeStream = StageStream<DecodeResponse>;

    async fn decode(&self, request: Request<DecodeRequest>) -> Result<Response<Self::DecodeStream>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(self.draw(&context, request.into_inner()).await?))
    }

    type InvertStream = StageStream<InvertResponse>;

    async fn invert(&self, request: Request<InvertRequest>) -> Result<Response<Self::InvertStream>, Status> {
        let context = RequestContext::of(request.extensions());
        Ok(Response::new(self.walk_back(&context, request.into_inner())?))
    }

    async fn get_model_info(
        &self,
        _: Request<DecoderServiceGetModelInfoRequest>,
    ) -> Result<Response<DecoderServiceGetModelInfoResponse>, Status> {
        let model_info = Some(self.stage.info().model.clone());
        Ok(Response::new(DecoderServiceGetModelInfoResponse { model_info }))
    }
}
