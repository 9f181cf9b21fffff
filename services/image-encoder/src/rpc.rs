//! The image encoder's gRPC service.

use std::sync::Arc;

use bytes::Bytes;
use tonic::{Request, Response, Status};
use unclip_clip::ClipPreprocessor;
use unclip_pictures::{Pool, decode_in};
use unclip_proto::FieldError;
use unclip_proto::v1::image_encoder_service_server::{ImageEncoderService, ImageEncoderServiceServer};
use unclip_proto::v1::{
    Embedding, EncodeImageRequest, EncodeImageResponse, ImageEncoderServiceGetModelInfoRequest,
    ImageEncoderServiceGetModelInfoResponse,
};
use unclip_service::{Code, Error, RequestContext, grpc_server};
use unclip_stage::{StageInfo, Worker};

pub(crate) const STAGE: &str = "image encoder";

/// The most pictures of one request.
const MAX_IMAGES: usize = 16;

/// The image encoder: an image tower on its thread. Pictures wait for it at the tower's size, `[3, height, width]`.
pub struct ImageEncoder {
    pub(crate) worker: Worker<Vec<Vec<f32>>, Vec<Vec<f32>>>,
    pub(crate) preprocessor: Arc<ClipPreprocessor>,
    pub(crate) pool: Pool,
    pub(crate) info: StageInfo,
}

impl ImageEncoder {
    /// The gRPC service.
    pub fn into_service(self) -> ImageEncoderServiceServer<Self> {
        grpc_server!(ImageEncoderServiceServer::new(self))
    }

    /// Decodes a request's pictures one after the other, each to the tower's size at once.
    async fn pixels(&self, files: Vec<Bytes>) -> Result<Vec<Vec<f32>>, Error> {
        let count = files.len();
        if !(1..=MAX_IMAGES).contains(&count) {
            let problem = format!("{count} pictures, there must be 1 to {MAX_IMAGES}");
            return Err(FieldError::new("images", problem).into());
        }
        let mut pictures = Vec::with_capacity(count);
        for (index, file) in files.into_iter().enumerate() {
            let field = format!("images[{index}]");
            let (preprocessor, name) = (Arc::clone(&self.preprocessor), field.clone());
            let reduce = move |picture: unclip_pictures::Picture| {
                let invalid = |error| Error::new(Code::InvalidArgument, format!("{name}: {error}"));
                preprocessor.run(&picture.pixels).map_err(invalid)
            };
            pictures.push(decode_in(&self.pool, &field, file, reduce).await?);
        }
        Ok(pictures)
    }
}

#[tonic::async_trait]
impl ImageEncoderService for ImageEncoder {
    async fn encode_image(
        &self,
        request: Request<EncodeImageRequest>,
    ) -> Result<Response<EncodeImageResponse>, Status> {
        let context = RequestContext::of(request.extensions());
        let images = request.into_inner().images;
        let encoded = async { self.worker.call(self.pixels(images).await?).await };
        let embeddings = context.run(STAGE, encoded).await?;
        let space = &self.info.model.space;
        Ok(Response::new(EncodeImageResponse {
            embeddings: embeddings.iter().map(|values| Embedding::new(space, values)).collect(),
            model_fingerprint: self.info.maker().fingerprint,
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
