//! The image encoder's gRPC service.

use image::RgbImage;
use tonic::{Request, Response, Status};
use unclip_proto::FieldError;
use unclip_proto::v1::image_encoder_service_server::{ImageEncoderService, ImageEncoderServiceServer};
use unclip_proto::v1::{
    Embedding, EncodeImageRequest, EncodeImageResponse, ImageEncoderServiceGetModelInfoRequest,
    ImageEncoderServiceGetModelInfoResponse,
};
use unclip_service::{Error, MAX_MESSAGE_BYTES, RequestContext};
use unclip_stage::{StageInfo, Worker};

pub(crate) const STAGE: &str = "image encoder";

/// The most pictures of one request.
const MAX_IMAGES: usize = 16;

/// The image encoder: an image tower on its thread.
pub struct ImageEncoder {
    worker: Worker<Vec<RgbImage>, Vec<Vec<f32>>>,
    info: StageInfo,
}

impl ImageEncoder {
    pub(crate) fn new(worker: Worker<Vec<RgbImage>, Vec<Vec<f32>>>, info: StageInfo) -> Self {
        Self { worker, info }
    }

    /// The gRPC service.
    pub fn into_service(self) -> ImageEncoderServiceServer<Self> {
        ImageEncoderServiceServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

fn decode(request: &EncodeImageRequest) -> Result<Vec<RgbImage>, FieldError> {
    let count = request.images.len();
    if !(1..=MAX_IMAGES).contains(&count) {
        return Err(FieldError::new("images", format!("{count} pictures, there must be 1 to {MAX_IMAGES}")));
    }
    let images = request.images.iter().enumerate();
    images
        .map(|(index, file)| {
            let image = unclip_pictures::decode(&format!("images[{index}]"), file)?;
            Ok(unclip_pictures::over_white(&image))
        })
        .collect()
}

#[tonic::async_trait]
impl ImageEncoderService for ImageEncoder {
    async fn encode_image(
        &self,
        request: Request<EncodeImageRequest>,
    ) -> Result<Response<EncodeImageResponse>, Status> {
        let context = RequestContext::of(request.extensions());
        let request = request.into_inner();
        let images = tokio::task::spawn_blocking(move || decode(&request))
            .await
            .map_err(|error| Error::internal("the pictures could not be decoded", error))?
            .map_err(Error::from)?;
        let embeddings = context.run(STAGE, self.worker.call(images)).await?;
        let space = &self.info.model.space;
        Ok(Response::new(EncodeImageResponse {
            embeddings: embeddings.iter().map(|values| Embedding::new(space, values)).collect(),
            model_fingerprint: self.info.fingerprint(),
        }))
    }

    async fn get_model_info(
        &self,
        _: Request<ImageEncoderServiceGetModelInfoRequest>,
    ) -> Result<Response<ImageEncoderServiceGetModelInfoResponse>, Status> {
        let model_info = Some(self.info.model.clone());
        Ok(Response::new(ImageEncoderServiceGetModelInfoResponse { model_info }))
    }
}
