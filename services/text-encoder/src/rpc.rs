//! The text encoder's gRPC service.

use tonic::{Request, Response, Status};
use unclip_clip::TextEncoding as Encoded;
use unclip_proto::v1::text_encoder_service_server::{TextEncoderService, TextEncoderServiceServer};
use unclip_proto::v1::{
    Embedding, EncodeTextRequest, EncodeTextResponse, Tensor, TextEncoderServiceGetModelInfoRequest,
    TextEncoderServiceGetModelInfoResponse, TextEncoding,
};
use unclip_proto::{FieldError, Maker, check_text};
use unclip_service::{Error, RequestContext, grpc_server};
use unclip_stage::{StageInfo, Worker};

pub(crate) const STAGE: &str = "text encoder";

/// The most texts of one request.
const MAX_TEXTS: usize = 64;

/// The largest request, in bytes: far beyond what the texts may have, so that a text that is too long is told by name.
const MAX_REQUEST_BYTES: usize = 8 << 20;

/// The text encoder: a text tower on its thread.
pub struct TextEncoder {
    worker: Worker<Vec<String>, Vec<Encoded>>,
    info: StageInfo,
}

impl TextEncoder {
    pub(crate) fn new(worker: Worker<Vec<String>, Vec<Encoded>>, info: StageInfo) -> Self {
        Self { worker, info }
    }

    /// The gRPC service.
    pub fn into_service(self) -> TextEncoderServiceServer<Self> {
        grpc_server!(TextEncoderServiceServer::new(self), max_request_bytes: MAX_REQUEST_BYTES)
    }

    fn message(&self, encoded: &Encoded) -> TextEncoding {
        let shape = self.info.text_shape();
        TextEncoding {
            embedding: Some(Embedding::new(&self.info.model.space, &encoded.embedding)),
            hidden_states: Some(Tensor::from_f32(&[shape.tokens, shape.hidden_size], &encoded.hidden_states)),
            mask: Some(Tensor::from_u8(
                &[shape.tokens],
                encoded.mask.iter().copied().map(u8::from).collect(),
            )),
            truncated: encoded.truncated,
        }
    }
}

fn check(request: &EncodeTextRequest) -> Result<(), FieldError> {
    let count = request.texts.len();
    if !(1..=MAX_TEXTS).contains(&count) {
        return Err(FieldError::new("texts", format!("{count} texts, there must be 1 to {MAX_TEXTS}")));
    }
    let mut texts = request.texts.iter().enumerate();
    texts.try_for_each(|(index, text)| check_text(&format!("texts[{index}]"), text))
}

#[tonic::async_trait]
impl TextEncoderService for TextEncoder {
    async fn encode_text(
        &self,
        request: Request<EncodeTextRequest>,
    ) -> Result<Response<EncodeTextResponse>, Status> {
        let context = RequestContext::of(request.extensions());
        let request = request.into_inner();
        check(&request).map_err(Error::from)?;
        let encoded = context.run(STAGE, self.worker.call(request.texts)).await?;
        let encodings = encoded.iter().map(|encoded| self.message(encoded)).collect();
        let Maker { fingerprint, dtype } = self.info.maker();
        Ok(Response::new(EncodeTextResponse { encodings, model_fingerprint: fingerprint, dtype }))
    }

    async fn get_model_info(
        &self,
        _: Request<TextEncoderServiceGetModelInfoRequest>,
    ) -> Result<Response<TextEncoderServiceGetModelInfoResponse>, Status> {
        let model_info = Some(self.info.model.clone());
        Ok(Response::new(TextEncoderServiceGetModelInfoResponse { model_info }))
    }
}
