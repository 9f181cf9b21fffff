//! The pipeline in this process.

use std::future::Future;

use anyhow::{Context as _, anyhow};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use unclip_gateway::{CacheArgs, HttpArgs, RequestArgs};
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::image_encoder_service_client::ImageEncoderServiceClient;
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::upsample_response::Event as UpsampleEvent;
use unclip_proto::v1::upsampler_service_client::UpsamplerServiceClient;
use unclip_proto::v1::{
    EncodeImageRequest, GenerateImageRequest, GeneratedImage, NoisePosition, PriorMode, Receipt,
    SamplingOptions, Tensor, UpsampleRequest,
};
use unclip_service::{MAX_MESSAGE_BYTES, PictureArgs, RequestContext, Transport, in_process};
use unclip_stage::{BundleArgs, NetworkArgs};

use super::Args;
use super::picture::Picture;
use crate::import::import_if_needed;
use crate::local::{LocalArgs, services};

/// Requests under way at a time: the engines put their rows into common passes.
const AT_A_TIME: usize = 16;

/// Pictures in one request to the image encoder.
const ENCODED: usize = 16;

/// One picture to draw. What is open is the bundle's default.
#[derive(Clone, Debug)]
pub(super) struct Shot {
    pub(super) prompt: String,
    pub(super) seed: u64,
    pub(super) mode: PriorMode,
    pub(super) candidates: Option<u32>,
    pub(super) guidance: Option<f32>,
}

impl Shot {
    /// With all defaults.
    pub(super) fn new(prompt: &str, seed: u64) -> Self {
        Self { prompt: prompt.to_owned(), seed, mode: PriorMode::Full, candidates: None, guidance: None }
    }
}

/// What came of a shot.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    /// The picture.
    pub(super) picture: Picture,
    /// The decoder's.
    pub(super) small: Picture,
    /// The text embedding.
    pub(super) text: Vec<f32>,
    /// The image embedding; empty where there was none.
    pub(super) image: Vec<f32>,
    /// How it was made.
    pub(super) receipt: Receipt,
}

/// Every stage and the gateway.
pub(super) struct Pipeline {
    transport: Transport,
}

impl Pipeline {
    pub(super) async fn start(args: &Args) -> anyhow::Result<Self> {
        import_if_needed(&args.bundle)?;
        let local = LocalArgs {
            network: NetworkArgs {
                bundle: BundleArgs { bundle: args.bundle.clone(), threads: args.threads },
                device: args.device.clone(),
                engine: args.engine.clone(),
            },
            onnxruntime: args.onnxruntime.clone(),
            cache: CacheArgs::in_memory(),
            requests: RequestArgs::unlimited(),
            http: HttpArgs::default(),
            pictures: PictureArgs::default(),
        };
        Ok(Self { transport: in_process(services(&local).await?) })
    }

    /// A client of the gateway.
    pub(super) fn gateway(&self) -> UnclipServiceClient<Transport> {
        UnclipServiceClient::new(self.transport.clone())
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Does the same with every item, some at a time, and answers in their order.
    pub(super) async fn each<I, O, W>(
        &self,
        title: &str,
        items: Vec<I>,
        work: impl Fn(I) -> W,
    ) -> anyhow::Result<Vec<O>>
    where
        W: Future<Output = anyhow::Result<O>>,
    {
        let bar = bar(title, items.len());
        let done = stream::iter(items.into_iter().map(work))
            .buffered(AT_A_TIME)
            .inspect_ok(|_| bar.inc(1))
            .try_collect()
            .await;
        bar.abandon();
        done
    }

    /// Draws all shots, in their order.
    pub(super) async fn draw(&self, title: &str, shots: Vec<Shot>) -> anyhow::Result<Vec<Drawn>> {
        self.each(title, shots, |shot| self.draw_one(shot)).await
    }

    async fn draw_one(&self, shot: Shot) -> anyhow::Result<Drawn> {
        let mut client = self.gateway();
        let request = GenerateImageRequest {
            prompt: shot.prompt,
            seed: Some(shot.seed),
            prior_mode: shot.mode as i32,
            candidates: shot.candidates,
            decoder: shot
                .guidance
                .map(|scale| SamplingOptions { guidance_scale: Some(scale), ..Default::default() }),
            return_tensors: true,
            ..Default::default()
        };
        let request = RequestContext::fresh().request(request);
        let mut stream = client.generate_image(request).await.map_err(refused)?.into_inner();
        while let Some(message) = stream.message().await.map_err(refused)? {
            if let Some(Event::Image(image)) = message.event {
                return drawn(image);
            }
        }
        Err(anyhow!("the gateway ended without a picture"))
    }

    /// Upsamples small pictures, picture `n` with the seed `n`.
    pub(super) async fn upsample(&self, title: &str, small: &[Picture]) -> anyhow::Result<Vec<Picture>> {
        let numbered = small.iter().zip(0..).collect();
        self.each(title, numbered, |(picture, seed)| self.upsample_one(picture, seed)).await
    }

    async fn upsample_one(&self, small: &Picture, seed: u64) -> anyhow::Result<Picture> {
        let mut client =
            UpsamplerServiceClient::new(self.transport.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let request = UpsampleRequest {
            image: Some(Tensor::from_f32(&[3, small.side, small.side], &small.values)),
            noise: Some(NoisePosition { seed, ..Default::default() }),
            ..Default::default()
        };
        let request = RequestContext::fresh().request(request);
        let mut stream = client.upsample(request).await.map_err(refused)?.into_inner();
        while let Some(message) = stream.message().await.map_err(refused)? {
            if let Some(UpsampleEvent::Result(result)) = message.event {
                return unit_range(result.image.as_ref());
            }
        }
        Err(anyhow!("the upsampler ended without a picture"))
    }

    /// Embeddings of pictures in the space of the bundle's CLIP; none if the bundle has no image encoder.
    pub(super) async fn embed(&self, pictures: &[Picture]) -> anyhow::Result<Option<Vec<Vec<f32>>>> {
        let mut client = ImageEncoderServiceClient::new(self.transport.clone())
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let mut all = Vec::new();
        for part in pictures.chunks(ENCODED) {
            let images: Vec<_> = part.iter().map(Picture::png).collect::<anyhow::Result<_>>()?;
            let request = EncodeImageRequest { images: images.into_iter().map(Into::into).collect() };
            let answer = match client.encode_image(RequestContext::fresh().request(request)).await {
                Err(status) if status.code() == tonic::Code::Unimplemented => return Ok(None),
                answer => answer.map_err(refused)?.into_inner(),
            };
            for embedding in answer.embeddings {
                all.push(floats(embedding.tensor.as_ref())?);
            }
        }
        Ok(Some(all))
    }
}

/// What the gateway refused with.
pub(super) fn refused(status: tonic::Status) -> anyhow::Error {
    anyhow!("{}", status.message().to_owned())
}

/// A bar on standard error, if that is a terminal.
pub(super) fn bar(title: &str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<28} {bar:30} {pos:>4}/{len:<4} {elapsed} + {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_style(style).with_prefix(title.to_owned())
}

fn drawn(image: GeneratedImage) -> anyhow::Result<Drawn> {
    let tensors = image.tensors.context("the gateway sent no tensors")?;
    let small = floats(tensors.decoded.as_ref())?;
    Ok(Drawn {
        picture: unit_range(tensors.image.as_ref())?,
        small: picture(small)?,
        text: floats(tensors.text_embedding.as_ref())?,
        image: tensors
            .image_embedding
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |tensor| floats(Some(tensor)))?,
        receipt: image.receipt.unwrap_or_default(),
    })
}

/// The values of a tensor that an answer must have.
pub(super) fn floats(tensor: Option<&Tensor>) -> anyhow::Result<Vec<f32>> {
    let tensor = tensor.context("an answer without its tensor")?;
    Ok(tensor.floats("tensor", &tensor.checked_shape("tensor")?)?)
}

/// A picture in 0 to 1 as one in -1 to 1.
fn unit_range(tensor: Option<&Tensor>) -> anyhow::Result<Picture> {
    picture(floats(tensor)?.into_iter().map(|value| value * 2.0 - 1.0).collect())
}

/// A square picture of values in -1 to 1.
pub(super) fn picture(values: Vec<f32>) -> anyhow::Result<Picture> {
    let side = (values.len() / 3).isqrt();
    if 3 * side * side != values.len() {
        return Err(anyhow!("eval measures square pictures only"));
    }
    Ok(Picture { side, values })
}
