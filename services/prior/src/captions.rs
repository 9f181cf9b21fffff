//! Captions in a request: encoded by the text encoder that the prior was started with.

use unclip_proto::v1::text_encoder_service_client::TextEncoderServiceClient;
use unclip_proto::v1::{EncodeTextRequest, TextEncoding};
use unclip_service::{Code, Error, MAX_MESSAGE_BYTES, RequestContext, Transport};

/// The way to a text encoder, if there is one.
#[derive(Clone)]
pub(crate) struct Captions(Option<TextEncoderServiceClient<Transport>>);

impl Captions {
    pub(crate) fn new(text_encoder: Option<Transport>) -> Self {
        Self(text_encoder.map(|transport| {
            TextEncoderServiceClient::new(transport).max_decoding_message_size(MAX_MESSAGE_BYTES)
        }))
    }

    /// Whether there is one.
    pub(crate) fn available(&self) -> bool {
        self.0.is_some()
    }

    /// Encodes texts, in their order.
    pub(crate) async fn encode(
        &self,
        context: &RequestContext,
        field: &str,
        texts: Vec<String>,
    ) -> Result<Vec<TextEncoding>, Error> {
        let Some(client) = &self.0 else {
            let message = format!(
                "{field}: this prior has no text encoder; send encodings, or start it with --text-encoder URL"
            );
            return Err(Error::new(Code::FailedPrecondition, message));
        };
        let count = texts.len();
        let response = client.clone().encode_text(context.request(EncodeTextRequest { texts })).await;
        let encodings =
            response.map_err(|status| Error::from_status("text encoder", &status))?.into_inner().encodings;
        if encodings.len() == count {
            return Ok(encodings);
        }
        let detail = format!("{} encodings for {count} texts", encodings.len());
        Err(Error::internal("the text encoder answered incompletely", detail))
    }
}
