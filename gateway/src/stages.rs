//! Clients of the stages.

use futures::FutureExt;
use unclip_proto::v1::decoder_service_client::DecoderServiceClient;
use unclip_proto::v1::image_encoder_service_client::ImageEncoderServiceClient;
use unclip_proto::v1::prior_service_client::PriorServiceClient;
use unclip_proto::v1::text_encoder_service_client::TextEncoderServiceClient;
use unclip_proto::v1::upsampler_service_client::UpsamplerServiceClient;
use unclip_proto::v1::{
    DecodeRequest, DecodeResponse, DecoderServiceGetModelInfoRequest, EncodeImageRequest,
    EncodeImageResponse, EncodeTextRequest, EncodeTextResponse, ImageEncoderServiceGetModelInfoRequest,
    InvertRequest, InvertResponse, ModelInfo, PriorResults, PriorServiceGetModelInfoRequest,
    SamplePriorRequest, SamplePriorResponse, TextEncoderServiceGetModelInfoRequest, UpsampleRequest,
    UpsampleResponse, UpsamplerServiceGetModelInfoRequest,
};
use unclip_proto::{Maker, SamplingDefaults};
use unclip_service::{Code, Error, MAX_MESSAGE_BYTES, RequestContext, Transport};

use crate::plan::StageFacts;
use crate::pulse::Pulse;
use crate::stage_watch::{StageStream, StageWatch};

/// The stages' names in messages.
pub(crate) mod names {
    pub(crate) const TEXT_ENCODER: &str = "text encoder";
    pub(crate) const IMAGE_ENCODER: &str = "image encoder";
    pub(crate) const PRIOR: &str = "prior";
    pub(crate) const DECODER: &str = "decoder";
    pub(crate) const UPSAMPLER: &str = "upsampler";
}

/// Clients of the stages. Without a prior nothing is drawn from a caption alone, without an image encoder there are no
/// operations on pictures; the others every bundle has. Clones share their connections.
#[derive(Clone)]
pub struct Stages {
    text_encoder: Stage<TextEncoderServiceClient<Transport>>,
    prior: Option<Stage<PriorServiceClient<Transport>>>,
    decoder: Stage<DecoderServiceClient<Transport>>,
    upsampler: Stage<UpsamplerServiceClient<Transport>>,
    image_encoder: Option<Stage<ImageEncoderServiceClient<Transport>>>,
}

/// A client, and what is known of its stage.
#[derive(Clone)]
struct Stage<C> {
    client: C,
    watch: StageWatch,
}

/// A stage over a transport, watched from now on. Both directions of its client take large messages.
macro_rules! stage {
    ($name:expr, $client:ident, $info:ident, $transport:expr) => {{
        let pulse = Pulse::default();
        let client = $client::new(pulse.listen_to($transport))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let asked = client.clone();
        let ask = move || {
            let mut client = asked.clone();
            async move {
                let answer = client.get_model_info(RequestContext::fresh().request($info {})).await;
                let answer = answer.map_err(|status| Error::from_status($name, &status))?.into_inner();
                answer.model_info.ok_or_else(|| {
                    Error::internal(format!("the {} did not say what it serves", $name), "no model_info")
                })
            }
            .boxed()
        };
        Stage { client, watch: StageWatch::start($name, pulse, Box::new(ask)) }
    }};
}

impl Stages {
    /// Clients over these transports. Inside a tokio runtime: what the stages serve is asked in the background.
    pub fn new(text_encoder: Transport, decoder: Transport, upsampler: Transport) -> Self {
        Self {
            text_encoder: stage!(
                names::TEXT_ENCODER,
                TextEncoderServiceClient,
                TextEncoderServiceGetModelInfoRequest,
                text_encoder
            ),
            prior: None,
            decoder: stage!(names::DECODER, DecoderServiceClient, DecoderServiceGetModelInfoRequest, decoder),
            upsampler: stage!(
                names::UPSAMPLER,
                UpsamplerServiceClient,
                UpsamplerServiceGetModelInfoRequest,
                upsampler
            ),
            image_encoder: None,
        }
    }

    /// The same stages with a prior.
    #[must_use]
    pub fn with_prior(self, transport: Transport) -> Self {
        let prior = stage!(names::PRIOR, PriorServiceClient, PriorServiceGetModelInfoRequest, transport);
        Self { prior: Some(prior), ..self }
    }

    /// Whether there is a prior.
    pub(crate) fn has_prior(&self) -> bool {
        self.prior.is_some()
    }

    fn prior(&self) -> Result<&Stage<PriorServiceClient<Transport>>, Error> {
        self.prior.as_ref().ok_or_else(|| {
            let message = "this server has no prior: its bundle has none; send a picture or an embedding instead, or a \
                           prior_mode that draws without one";
            Error::new(Code::FailedPrecondition, message)
        })
    }

    /// The same stages with an image encoder.
    #[must_use]
    pub fn with_image_encoder(self, transport: Transport) -> Self {
        let image_encoder = stage!(
            names::IMAGE_ENCODER,
            ImageEncoderServiceClient,
            ImageEncoderServiceGetModelInfoRequest,
            transport
        );
        Self { image_encoder: Some(image_encoder), ..self }
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
        let Stage { mut client, watch } = self.image_encoder.clone().ok_or_else(missing)?;
        watch.call(client.encode_image(context.request(request)).boxed()).await
    }

    /// Inverts a picture.
    pub(crate) async fn invert(
        &self,
        context: &RequestContext,
        request: InvertRequest,
    ) -> Result<StageStream<InvertResponse>, Error> {
        let Stage { mut client, watch } = self.decoder.clone();
        watch.stream(client.invert(context.request(request)).boxed()).await
    }

    /// What the text encoder serves.
    pub(crate) async fn text_encoder_info(&self) -> Result<ModelInfo, Error> {
        self.text_encoder.watch.info().await
    }

    /// What the prior serves.
    pub(crate) async fn prior_info(&self) -> Result<ModelInfo, Error> {
        self.prior()?.watch.info().await
    }

    /// What the decoder serves.
    pub(crate) async fn decoder_info(&self) -> Result<ModelInfo, Error> {
        self.decoder.watch.info().await
    }

    /// What the upsampler serves.
    pub(crate) async fn upsampler_info(&self) -> Result<ModelInfo, Error> {
        self.upsampler.watch.info().await
    }

    /// Who would encode a text now, as far as is known.
    pub(crate) async fn text_encoder_maker(&self) -> Result<Maker, Error> {
        self.text_encoder.watch.maker().await
    }

    /// Who would sample an embedding now, as far as is known.
    pub(crate) async fn prior_maker(&self) -> Result<Maker, Error> {
        self.prior()?.watch.maker().await
    }

    /// What a plan depends on, as the stages of a request said last. With several stages that never said anything, the
    /// error is that of the first one.
    pub(crate) async fn facts(
        &self,
        context: &RequestContext,
        asks_prior: bool,
    ) -> Result<StageFacts, Error> {
        let prior = async {
            match asks_prior {
                true => self.prior_info().await.map(Some),
                false => Ok(None),
            }
        };
        let (text_encoder, prior, decoder, upsampler) = tokio::join!(
            context.run(names::TEXT_ENCODER, self.text_encoder_info()),
            context.run(names::PRIOR, prior),
            context.run(names::DECODER, self.decoder_info()),
            context.run(names::UPSAMPLER, self.upsampler_info()),
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
        let Stage { mut client, watch } = self.text_encoder.clone();
        let response = watch.call(client.encode_text(context.request(request)).boxed()).await?;
        watch.saw(&Maker::from(&response));
        Ok(response)
    }

    /// Samples image embeddings.
    pub(crate) async fn sample_prior(
        &self,
        context: &RequestContext,
        request: SamplePriorRequest,
    ) -> Result<StageStream<SamplePriorResponse>, Error> {
        let Stage { mut client, watch } = self.prior()?.clone();
        watch.stream(client.sample_prior(context.request(request)).boxed()).await
    }

    /// Decodes an image embedding.
    pub(crate) async fn decode(
        &self,
        context: &RequestContext,
        request: DecodeRequest,
    ) -> Result<StageStream<DecodeResponse>, Error> {
        let Stage { mut client, watch } = self.decoder.clone();
        watch.stream(client.decode(context.request(request)).boxed()).await
    }

    /// Upsamples a picture.
    pub(crate) async fn upsample(
        &self,
        context: &RequestContext,
        request: UpsampleRequest,
    ) -> Result<StageStream<UpsampleResponse>, Error> {
        let Stage { mut client, watch } = self.upsampler.clone();
        watch.stream(client.upsample(context.request(request)).boxed()).await
    }

    /// Notes who answered for the prior.
    pub(crate) fn saw_prior(&self, results: &PriorResults) {
        if let Some(prior) = &self.prior {
            prior.watch.saw(&Maker::from(results));
        }
    }
}

/// A stage of an older version says nothing of its defaults, and has Karlo's.
fn defaults(info: &ModelInfo, karlo: SamplingDefaults) -> SamplingDefaults {
    info.sampling_defaults.map_or(karlo, SamplingDefaults::from)
}
