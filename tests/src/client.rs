//! Calls and what they answer, stream and all.

use http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tonic::{Request, Status};
use unclip_proto::v1::decode_response::Event as DecodeEvent;
use unclip_proto::v1::decoder_service_client::DecoderServiceClient;
use unclip_proto::v1::generate_image_response::Event as GenerateEvent;
use unclip_proto::v1::image_encoder_service_client::ImageEncoderServiceClient;
use unclip_proto::v1::invert_response::Event as InvertEvent;
use unclip_proto::v1::prior_service_client::PriorServiceClient;
use unclip_proto::v1::sample_prior_response::Event as PriorEvent;
use unclip_proto::v1::text_encoder_service_client::TextEncoderServiceClient;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::upsample_response::Event as UpsampleEvent;
use unclip_proto::v1::upsampler_service_client::UpsamplerServiceClient;
use unclip_proto::v1::{
    Checkpoint, DecodeRequest, DecodeResult, Embedding, EncodeImageRequest, EncodeTextRequest,
    GenerateImageRequest, GeneratedImage, ImagePreview, InvertRequest, InvertResult, Preview, PriorResults,
    Progress, SamplePriorRequest, StageProgress, TextEncoding, UpsampleRequest, UpsampleResult,
};

use crate::Server;
use crate::process::MAX_MESSAGE_BYTES;

/// All that `GenerateImage` streamed.
#[derive(Debug, Default)]
pub struct Generation {
    /// In the order of their index.
    pub images: Vec<GeneratedImage>,
    /// In the order they came.
    pub progress: Vec<StageProgress>,
    /// In the order they came.
    pub previews: Vec<ImagePreview>,
    /// The request id that the gateway answered with.
    pub request_id: Option<String>,
}

/// All that one stage streamed for one picture.
#[derive(Debug)]
pub struct StageRun<R> {
    /// In the order they came.
    pub progress: Vec<Progress>,
    /// In the order they came.
    pub previews: Vec<Preview>,
    /// In the order they came.
    pub checkpoints: Vec<Checkpoint>,
    /// The last message.
    pub result: R,
}

/// Draws pictures.
///
/// # Errors
/// What the gateway refused with, at once or in its stream.
pub async fn generate(
    server: &Server,
    request: impl tonic::IntoRequest<GenerateImageRequest>,
) -> Result<Generation, Status> {
    let mut client = UnclipServiceClient::new(server.channel())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let response = client.generate_image(request).await?;
    let id = response.metadata().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut stream = response.into_inner();
    let mut all = Generation { request_id: id, ..Default::default() };
    while let Some(message) = stream.message().await? {
        match message.event.unwrap() {
            GenerateEvent::Progress(progress) => all.progress.push(progress),
            GenerateEvent::Preview(preview) => all.previews.push(preview),
            GenerateEvent::Image(image) => all.images.push(image),
        }
    }
    all.images.sort_by_key(|image| image.image_index);
    Ok(all)
}

/// Follows a stream of the decoder or the upsampler, whose messages have the same parts.
macro_rules! follow {
    ($stream:expr, $event:ident) => {{
        let mut stream = $stream.await?.into_inner();
        let (mut progress, mut previews, mut checkpoints, mut results) = (vec![], vec![], vec![], vec![]);
        while let Some(message) = stream.message().await? {
            assert!(results.is_empty(), "a message after the result");
            match message.event.unwrap() {
                $event::Progress(event) => progress.push(event),
                $event::Preview(event) => previews.push(event),
                $event::Checkpoint(event) => checkpoints.push(event),
                $event::Result(event) => results.push(event),
            }
        }
        let result = results.pop().unwrap_or_else(|| panic!("the stream ended without a result"));
        Ok(StageRun { progress, previews, checkpoints, result })
    }};
}

/// Decodes an image embedding.
///
/// # Errors
/// What the decoder refused with, at once or in its stream.
pub async fn decode(
    server: &Server,
    request: impl tonic::IntoRequest<DecodeRequest>,
) -> Result<StageRun<DecodeResult>, Status> {
    let mut client = DecoderServiceClient::new(server.channel()).max_encoding_message_size(MAX_MESSAGE_BYTES);
    follow!(client.decode(request), DecodeEvent)
}

/// Inverts a picture: the progress, and x_T.
///
/// # Errors
/// What the decoder refused with, at once or in its stream.
pub async fn invert(
    server: &Server,
    request: impl tonic::IntoRequest<InvertRequest>,
) -> Result<(Vec<Progress>, InvertResult), Status> {
    let mut client = DecoderServiceClient::new(server.channel()).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let mut stream = client.invert(request).await?.into_inner();
    let (mut progress, mut result) = (Vec::new(), None);
    while let Some(message) = stream.message().await? {
        match message.event.unwrap() {
            InvertEvent::Progress(event) => progress.push(event),
            InvertEvent::Result(event) => result = Some(event),
        }
    }
    Ok((progress, result.unwrap()))
}

/// Upsamples a picture.
///
/// # Errors
/// What the upsampler refused with, at once or in its stream.
pub async fn upsample(
    server: &Server,
    request: impl tonic::IntoRequest<UpsampleRequest>,
) -> Result<StageRun<UpsampleResult>, Status> {
    let mut client =
        UpsamplerServiceClient::new(server.channel()).max_encoding_message_size(MAX_MESSAGE_BYTES);
    follow!(client.upsample(request), UpsampleEvent)
}

/// Samples image embeddings.
///
/// # Errors
/// What the prior refused with, at once or in its stream.
pub async fn sample_prior(
    server: &Server,
    request: impl tonic::IntoRequest<SamplePriorRequest>,
) -> Result<(Vec<Progress>, PriorResults), Status> {
    let mut client = PriorServiceClient::new(server.channel()).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let mut stream = client.sample_prior(request).await?.into_inner();
    let (mut progress, mut results) = (Vec::new(), None);
    while let Some(message) = stream.message().await? {
        match message.event.unwrap() {
            PriorEvent::Progress(event) => progress.push(event),
            PriorEvent::Results(event) => results = Some(event),
        }
    }
    Ok((progress, results.unwrap()))
}

/// Encodes texts.
///
/// # Errors
/// What the text encoder refused with.
pub async fn encode_text(server: &Server, request: EncodeTextRequest) -> Result<Vec<TextEncoding>, Status> {
    let mut client = TextEncoderServiceClient::new(server.channel());
    Ok(client.encode_text(request).await?.into_inner().encodings)
}

/// Encodes pictures.
///
/// # Errors
/// What the image encoder refused with.
pub async fn encode_image(server: &Server, request: EncodeImageRequest) -> Result<Vec<Embedding>, Status> {
    let mut client =
        ImageEncoderServiceClient::new(server.channel()).max_encoding_message_size(MAX_MESSAGE_BYTES);
    Ok(client.encode_image(request).await?.into_inner().embeddings)
}

/// A plain HTTP/2 client. tonic's own channel enforces `grpc-timeout` itself, so that a server's answer never shows.
pub type Bare = Client<HttpConnector, Body>;

/// A plain client and where it calls.
pub fn bare(server: &Server) -> (Bare, Uri) {
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    (client, server.url().parse().unwrap())
}

/// A request with a deadline, as any gRPC client sends it.
pub fn with_timeout<T>(message: T, timeout: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
    request
}
