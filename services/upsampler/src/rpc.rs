//! The upsampler's gRPC service.

use tonic::{Request, Response, Status};
use unclip_proto::v1::upsampler_service_server::{UpsamplerService, UpsamplerServiceServer};
use unclip_proto::v1::{
    UpsampleRequest, UpsampleResponse, UpsamplerServiceGetModelInfoRequest,
    UpsamplerServiceGetModelInfoResponse,
};
use unclip_service::{Error, RequestContext, grpc_server};
use unclip_stage::{DiffusionStage, PictureRequest, StageStream};

use crate::denoiser::Condition;

/// The upsampler.
pub struct Upsampler {
    stage: DiffusionStage<Condition>,
}

impl Upsampler {
    pub(crate) fn new(stage: DiffusionStage<Condition>) -> Self {
        Self { stage }
    }

    /// The gRPC service.
    pub fn into_service(self) -> UpsamplerServiceServer<Self> {
        grpc_server!(UpsamplerServiceServer::new(self))
    }

    async fn draw(
        &self,
        context: &RequestContext,
        request: UpsampleRequest,
    ) -> Result<StageStream<UpsampleResponse>, Error> {
        let sampling = self.stage.sampling(request.options.as_ref())?;
        let (low_res, height, width) = self.stage.info().picture("image", request.image.as_ref())?;
        let UpsampleRequest { noise, stream, resume, keep, .. } = request;
        let rest = PictureRequest { noise, stream, resume, x_t: None, keep };
        // From [-1, 1] to [0, 1], clamped, as the reference pipeline ends.
        let pixel = |value: f32| (value * 0.5 + 0.5).clamp(0.0, 1.0);
        let condition = Condition { low_res, height, width };
        self.stage.draw(context, sampling, rest, condition, pixel).await
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
        Ok(Response::new(self.draw(&context, request.into_inner()).await?))
    }

    async fn get_model_info(
        &self,
        _: Request<UpsamplerServiceGetModelInfoRequest>,
    ) -> Result<Response<UpsamplerServiceGetModelInfoResponse>, Status> {
        let model_info = Some(self.stage.info().model.clone());
        Ok(Response::new(UpsamplerServiceGetModelInfoResponse { model_info }))
    }
}
