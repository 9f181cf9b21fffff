//! Clients of the stages.

use std::sync::Arc;

use tonic::codec::Streaming;
use unclip_proto::SamplingDefaults;
use unclip_proto::v1::decoder_service_client::DecoderServiceClient;
use unclip_proto::v1::image_encoder_service_client::ImageEncoderServiceClient;
use unclip_proto::v1::prior_service_client::PriorServiceClient;
use unclip_proto::v1::text_encoder_service_client::TextEncoderServiceClient;
use unclip_proto::v1::upsampler_service_client::UpsamplerServiceClient;
use unclip_proto::v1::{
    DecodeRequest, DecodeResponse, DecoderServiceGetModelInfoRequest, EncodeImageRequest,
    EncodeImageResponse, EncodeTextRequest, EncodeTextResponse, InvertRequest, InvertResponse, ModelInfo,
    PriorServiceGetModelInfoRequest, SamplePriorRequest, SamplePriorResponse,
    TextEncoderServiceGetModelInfoRequest, UpsampleRequest, UpsampleResponse,
    UpsamplerServiceGetModelInfoRequest,
};
use unclip_service::{Code, Error, MAX_MESSAGE_BYTES, RequestContext, Transport};

use crate::model_info::ModelInfoCell;
use crate::plan::StageFacts;

/// The stages' names in messages.
pub(crate) mod names {
    pub(crate) const TEXT_ENCODER: &str = "text encoder";
    pub(crate) const IMAGE_ENCODER: &str = "image encoder";
    pub(crate) const PRIOR: &str = "prior";
    pub(crate) const DECODER: &str = "decoder";
    pub(crate) const UPSAMPLER: &str = "upsampler";
}

/// Clients of the stages. Text-to-image needs four; without an image encoder there are no operations on pictures. Clones share their connections.
#[derive(Clone)]
pub struct Stages {
    text_encoder: TextEncoderServiceClient<Transport>,
    prior: PriorServiceClient<Transport>,
    decoder: DecoderServiceClient<Transport>,
    upsampler: UpsamplerServiceClient<Transport>,
    image_encoder: Option<ImageEncoderServiceClient<Transport>>,
    infos: Arc<[ModelInfoCell; 4]>,
}

/// Both directions of a client take large messages.
macro_rules! client {
    ($client:ident, $transport:expr) => {
        $client::new($transport)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    };
}

/// Asks a stage what it serves.
macro_rules! fetch_info {
    ($client:expr, $request:ident, $name:expr, $context:expr) => {
        async {
            let mut client = $client.clone();
            let response = client.get_model_info($context.request($request {})).await;
            let response = response.map_err(|status| Error::from_status($name, &status))?;
            response.into_inner().model_info.ok_or_else(|| {
                Error::internal(format!("the {} did not say what it serves", $name), "no model_info")
            })
        }
    };
}

impl Stages {
    /// Clients over these transports.
    pub fn new(text_encoder: Transport, prior: Transport, decoder: Transport, upsampler: Transport) -> Self {
        Self {
            text_encoder: client!(TextEncoderServiceClient, text_encoder),
            prior: client!(PriorServiceClient, prior),
            decoder: client!(DecoderServiceClient, decoder),
            upsampler: client!(UpsamplerServiceClient, upsampler),
            image_encoder: None,
            infos: Arc::default(),
        }
    }

    /// The same stages with an image encoder.
    #[must_use]
    pub fn with_image_encoder(self, transport: Transport) -> Self {
        Self { image_encoder: Some(client!(ImageEncoderServiceClient, transport)), ..self }
    }

    /// Encodes pictures.
    pub(crate) async fn encode_image(
        &self,
        context: &RequestContext,
        request: EncodeImageRequest,
    ) -> Result<EncodeImageResponse, Error> {
        let missing = || {
            let message = "this server has no image encoder: its bundle has none; send an embedding instead";
            Error::new(Code::FailedPrecondition, message)
        };
        let mut client = self.image_encoder.clone().ok_or_else(missing)?;
        let response = client.encode_image(context.request(request)).await;
        Ok(response.map_err(|status| Error::from_status(names::IMAGE_ENCODER, &status))?.into_inner())
    }

    /// Inverts a picture.
    pub(crate) async fn invert(
        &self,
        context: &RequestContext,
        request: InvertRequest,
    ) -> Result<Streaming<InvertResponse>, Error> {
        let mut client = self.decoder.clone();
        let response = client.invert(context.request(request)).await;
        Ok(response.map_err(|status| Error::from_status(names::DECODER, &status))?.into_inner())
    }

    /// What the text encoder serves.
    pub(crate) async fn text_encoder_info(&self, context: &RequestContext) -> Result<ModelInfo, Error> {
        let fetch = fetch_info!(
            self.text_encoder,
            TextEncoderServiceGetModelInfoRequest,
            names::TEXT_ENCODER,
            context
        );
        self.infos[0].get(fetch).await
    }

    /// What the prior serves.
    pub(crate) async fn prior_info(&self, context: &RequestContext) -> Result<ModelInfo, Error> {
        self.infos[1]
            .get(fetch_info!(self.prior, PriorServiceGetModelInfoRequest, names::PRIOR, context))
            .await
    }

    /// What the decoder serves.
    pub(crate) async fn decoder_info(&self, context: &RequestContext) -> Result<ModelInfo, Error> {
        self.infos[2]
            .get(fetch_info!(self.decoder, DecoderServiceGetModelInfoRequest, names::DECODER, context))
            .await
    }

    /// What the upsampler serves.
    pub(crate) async fn upsampler_info(&self, context: &RequestContext) -> Result<ModelInfo, Error> {
        self.infos[3]
            .get(fetch_info!(self.upsampler, UpsamplerServiceGetModelInfoRequest, names::UPSAMPLER, context))
            .await
    }

    /// What a plan depends on: asked of the stages of a request, and remembered as their infos are. With several stages that
    /// can't be asked, the error is that of the first one.
    pub(crate) async fn facts(
        &self,
        context: &RequestContext,
        asks_prior: bool,
    ) -> Result<StageFacts, Error> {
        let prior = async {
            match asks_prior {
                true => self.prior_info(context).await.map(Some),
                false => Ok(None),
            }
        };
        let (text_encoder, prior, decoder, upsampler) = tokio::join!(
            context.run(names::TEXT_ENCODER, self.text_encoder_info(context)),
            context.run(names::PRIOR, prior),
            context.run(names::DECODER, self.decoder_info(context)),
            context.run(names::UPSAMPLER, self.upsampler_info(context)),
        );
        text_encoder?;
        let (prior, decoder, upsampler) = (prior?, decoder?, upsampler?);
        let unknown = StageFacts::UNKNOWN;
        Ok(StageFacts {
            prior: prior.map_or(unknown.prior, |prior| defaults(&prior, unknown.prior)),
            decoder: defaults(&decoder, unknown.decoder),
            upsampler: defaults(&upsampler, unknown.upsampler),
            embedding_dim: Some(decoder.embedding_dim as usize),
        })
    }

    /// Encodes texts.
    pub(crate) async fn encode_text(
        &self,
        context: &RequestContext,
        request: EncodeTextRequest,
    ) -> Result<EncodeTextResponse, Error> {
        let mut client = self.text_encoder.clone();
        let response = client.encode_text(context.request(request)).await;
        let response =
            response.map_err(|status| Error::from_status(names::TEXT_ENCODER, &status))?.into_inner();
        self.infos[0].saw(&response.model_fingerprint);
        Ok(response)
    }

    /// Samples image embeddings.
    pub(crate) async fn sample_prior(
        &self,
        context: &RequestContext,
        request: SamplePriorRequest,
    ) -> Result<Streaming<SamplePriorResponse>, Error> {
        let mut client = self.prior.clone();
        let response = client.sample_prior(context.request(request)).await;
        Ok(response.map_err(|status| Error::from_status(names::PRIOR, &status))?.into_inner())
    }

    /// Decodes an image embedding.
    pub(crate) async fn decode(
        &self,
        context: &RequestContext,
        request: DecodeRequest,
    ) -> Result<Streaming<DecodeResponse>, Error> {
        let mut client = self.decoder.clone();
        let response = client.decode(context.request(request)).await;
        Ok(response.map_err(|status| Error::from_status(names::DECODER, &status))?.into_inner())
    }

    /// Upsamples a picture.
    pub(crate) async fn upsample(
        &self,
        context: &RequestContext,
        request: UpsampleRequest,
    ) -> Result<Streaming<UpsampleResponse>, Error> {
        let mut client = self.upsampler.clone();
        let response = client.upsample(context.request(request)).await;
        Ok(response.map_err(|status| Error::from_status(names::UPSAMPLER, &status))?.into_inner())
    }

    /// Notes which model answered for the prior, so that a replaced one is asked for its info again.
    pub(crate) fn saw_prior(&self, fingerprint: &str) {
        self.infos[1].saw(fingerprint);
    }
}

/// A stage of an older version says nothing of its defaults, and has Karlo's.
fn defaults(info: &ModelInfo, karlo: SamplingDefaults) -> SamplingDefaults {
    info.sampling_defaults.map_or(karlo, SamplingDefaults::from)
}
