//! One picture, from caption to pixels.

use std::sync::Arc;
use std::time::Instant;

use unclip_proto::v1::decode_response::Event as DecodeEvent;
use unclip_proto::v1::sample_prior_response::Event as PriorEvent;
use unclip_proto::v1::upsample_response::Event as UpsampleEvent;
use unclip_proto::v1::{
    DecodeRequest, DecodeResult, EditReceipt, Embedding, EncodeTextRequest, EncodeTextResponse,
    GeneratedImage, ImageTensors, Keep, ModelInfo, NoisePosition, PriorItem, PriorResults,
    SamplePriorRequest, Stage, StreamOptions, Tensor, TextEncoding, UpsampleRequest, UpsampleResult,
    prior_item,
};
use unclip_service::{Code, Error, RequestContext};

use crate::cache::{Cache, CacheKey, Source};
use crate::events::{Events, ImageEvents};
use crate::image_source::ImageSource;
use crate::picture;
use crate::plan::Plan;
use crate::receipt::Receipts;
use crate::stages::{Stages, names};

/// Stages and cache: what every request shares.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) stages: Stages,
    pub(crate) cache: Arc<Cache>,
}

/// The caption and what guidance steers away from, encoded.
#[derive(Clone)]
pub(crate) struct Texts {
    pub(crate) prompt: TextEncoding,
    negative: Option<TextEncoding>,
    info: ModelInfo,
    cached: bool,
    seconds: f64,
}

impl Texts {
    /// The text encoder's line of a receipt.
    pub(crate) fn receipt(&self, receipts: &mut Receipts) {
        receipts.text_encoder(&self.info, self.cached, self.seconds);
    }

    /// The same without what guidance steers away from.
    pub(crate) fn unguided(self) -> Self {
        Self { negative: None, ..self }
    }
}

/// What the decoder draws a picture from, besides texts.
pub(crate) struct Latents {
    /// The image embedding z_i.
    pub(crate) embedding: Option<Embedding>,
    /// Where the picture's generator stands.
    pub(crate) noise: Option<NoisePosition>,
    /// x_T, if it is not drawn.
    pub(crate) x_t: Option<Tensor>,
    /// What stays of a given picture.
    pub(crate) keep: Option<Keeps>,
}

/// What an edit keeps, at the resolutions of both stages.
#[derive(Clone)]
pub(crate) struct Keeps {
    pub(crate) decoder: Keep,
    pub(crate) upsampler: Keep,
}

/// An edit, as the drawing of its pictures needs it.
pub(crate) struct Edit {
    /// None where all is repainted.
    pub(crate) keeps: Option<Keeps>,
    pub(crate) receipt: EditReceipt,
}

/// The picture's embedding and where its generator stands.
struct Sampled {
    results: PriorResults,
    info: ModelInfo,
    cached: bool,
    seconds: f64,
}

impl Pipeline {
    /// Encodes the caption and, where guidance needs it, the negative caption.
    pub(crate) async fn encode(&self, context: &RequestContext, plan: &Plan) -> Result<Texts, Error> {
        let started = Instant::now();
        let info = self.stages.text_encoder_info(context).await?;
        let prompt = self.encode_one(context, &info, &plan.prompt);
        let negative = async {
            match plan.guided() {
                true => self.encode_one(context, &info, &plan.negative_prompt).await.map(Some),
                false => Ok(None),
            }
        };
        let ((prompt, source), negative) =
            context.run(names::TEXT_ENCODER, async { tokio::try_join!(prompt, negative) }).await?;
        let cached = is_cached(source) && negative.as_ref().is_none_or(|(_, source)| is_cached(*source));
        let seconds = started.elapsed().as_secs_f64();
        Ok(Texts { prompt, negative: negative.map(|(encoding, _)| encoding), info, cached, seconds })
    }

    async fn encode_one(
        &self,
        context: &RequestContext,
        info: &ModelInfo,
        text: &str,
    ) -> Result<(TextEncoding, Source), Error> {
        let key = CacheKey::builder().field("model", &info.fingerprint).field("text", text).finish();
        let (stages, context) = (self.stages.clone(), without_deadline(context));
        let request = EncodeTextRequest { texts: vec![text.to_owned()] };
        let compute = async move {
            let mut response: EncodeTextResponse = stages.encode_text(&context, request).await?;
            response.encodings.pop().ok_or_else(|| {
                Error::internal("the text encoder answered without an encoding", "no encodings")
            })
        };
        self.cache.get_or_compute("text", key, compute).await
    }

    /// Draws picture `index` of the plan, of which `keep` stays as it is given.
    pub(crate) async fn draw(
        &self,
        context: &RequestContext,
        plan: &Plan,
        texts: &Texts,
        index: u32,
        events: &Events,
        edit: Option<&Edit>,
    ) -> Result<GeneratedImage, Error> {
        let events = events.of_image(index);
        let seed = plan.seed + u64::from(index);
        let mut receipts = Receipts::new(plan, seed, texts.prompt.truncated);
        texts.receipt(&mut receipts);
        events.done(Stage::TextEncoder, 1);

        let (embedding, noise) = match given_embedding(plan, texts)? {
            Some(embedding) => {
                if let (ImageSource::Given(_), Some(embedding)) = (&plan.source, &embedding) {
                    receipts.given(embedding);
                }
                (embedding, Some(NoisePosition { seed, ..Default::default() }))
            }
            None => {
                let sampled = self.prior(context, plan, texts, seed, &events).await?;
                let result = only_result(&sampled.results)?;
                receipts.prior(&sampled.info, plan.prior, sampled.cached, sampled.seconds, &result.scores);
                (result.embedding.clone(), result.noise)
            }
        };
        if let Some(edit) = edit {
            receipts.edit(&edit.receipt);
        }
        let keep = edit.and_then(|edit| edit.keeps.clone());
        let latents = Latents { embedding, noise, x_t: None, keep };
        self.render(context, (plan, texts), latents, receipts, &events).await
    }

    /// From latents to a picture's file.
    pub(crate) async fn render(
        &self,
        context: &RequestContext,
        (plan, texts): (&Plan, &Texts),
        latents: Latents,
        mut receipts: Receipts,
        events: &ImageEvents,
    ) -> Result<GeneratedImage, Error> {
        let embedding = latents.embedding.clone();
        let (keep, keep_large) = latents.keep.map(|keeps| (keeps.decoder, keeps.upsampler)).unzip();
        let request = DecodeRequest {
            image_embedding: latents.embedding,
            text: Some(texts.prompt.clone()),
            negative: texts.negative.clone().filter(|_| plan.decoder.is_guided()),
            noise: latents.noise,
            options: Some(plan.decoder.to_message(true)),
            stream: Some(StreamOptions { preview_every: plan.preview_every, checkpoint_every: 0 }),
            resume: None,
            x_t: latents.x_t,
            keep,
        };
        let started = Instant::now();
        let info = self.stages.decoder_info(context).await?;
        let decoded = self.run_decoder(context, request, events).await?;
        receipts.decoder(&info, plan.decoder, &decoded.model_fingerprint, started);

        let started = Instant::now();
        let info = self.stages.upsampler_info(context).await?;
        let upsampled = self.upsample(context, plan, &decoded, keep_large, events).await?;
        receipts.upsampler(&info, plan.upsampler, &upsampled.model_fingerprint, started);

        let tensors = plan.return_tensors.then(|| ImageTensors {
            text_embedding: texts.prompt.embedding.as_ref().and_then(|embedding| embedding.tensor.clone()),
            text_hidden_states: texts.prompt.hidden_states.clone(),
            image_embedding: embedding.and_then(|embedding| embedding.tensor),
            decoded: decoded.image.clone(),
            image: upsampled.image.clone(),
        });
        finish(plan, events.index(), upsampled, tensors, receipts).await
    }

    /// The prior's result is a function of the model, the texts, the seed and the options, so it is cached too.
    async fn prior(
        &self,
        context: &RequestContext,
        plan: &Plan,
        texts: &Texts,
        seed: u64,
        events: &ImageEvents,
    ) -> Result<Sampled, Error> {
        let started = Instant::now();
        let info = self.stages.prior_info(context).await?;
        let request = SamplePriorRequest {
            items: vec![PriorItem {
                text: Some(prior_item::Text::Encoding(texts.prompt.clone())),
                noise: Some(NoisePosition { seed, ..Default::default() }),
            }],
            negative: texts.negative.clone().filter(|_| plan.prior.is_guided()),
            options: Some(plan.prior.to_message(true)),
            candidates: Some(plan.candidates),
        };
        let key = prior_key(plan, texts, &info, seed);
        let compute = sample(self.stages.clone(), without_deadline(context), request, events.clone());
        let cached = self.cache.get_or_compute("prior", key, compute);
        let (results, source) = context.run(names::PRIOR, cached).await?;
        events.done(Stage::Prior, plan.prior.steps);
        Ok(Sampled { results, info, cached: is_cached(source), seconds: started.elapsed().as_secs_f64() })
    }

    /// An embedding that the prior samples for the plan's caption and seed.
    pub(crate) async fn sample_embedding(
        &self,
        context: &RequestContext,
        plan: &Plan,
        texts: &Texts,
        events: &ImageEvents,
    ) -> Result<Embedding, Error> {
        let sampled = self.prior(context, plan, texts, plan.seed, events).await?;
        let embedding = only_result(&sampled.results)?.embedding.clone();
        embedding.ok_or_else(|| Error::internal("the prior answered without an embedding", "no embedding"))
    }

    /// The CLIP text embedding of a text.
    pub(crate) async fn text_embedding(
        &self,
        context: &RequestContext,
        text: &str,
    ) -> Result<Embedding, Error> {
        let info = self.stages.text_encoder_info(context).await?;
        let encoded = context.run(names::TEXT_ENCODER, self.encode_one(context, &info, text)).await?;
        let missing = || Error::internal("the text encoder answered without an embedding", "no embedding");
        encoded.0.embedding.ok_or_else(missing)
    }

    /// Asks the decoder and waits for its last message.
    pub(crate) async fn run_decoder(
        &self,
        context: &RequestContext,
        request: DecodeRequest,
        events: &ImageEvents,
    ) -> Result<DecodeResult, Error> {
        let mut stream = self.stages.decode(context, request).await?;
        loop {
            let message =
                stream.message().await.map_err(|status| Error::from_status(names::DECODER, &status))?;
            match message.map(|message| message.event) {
                Some(Some(DecodeEvent::Progress(progress))) => events.progress(Stage::Decoder, progress),
                Some(Some(DecodeEvent::Preview(preview))) => events.preview(Stage::Decoder, &preview),
                Some(Some(DecodeEvent::Checkpoint(_)) | None) => {}
                Some(Some(DecodeEvent::Result(result))) => return Ok(result),
                None => return Err(cut_off(names::DECODER)),
            }
        }
    }

    async fn upsample(
        &self,
        context: &RequestContext,
        plan: &Plan,
        decoded: &DecodeResult,
        keep: Option<Keep>,
        events: &ImageEvents,
    ) -> Result<UpsampleResult, Error> {
        let request = UpsampleRequest {
            image: decoded.image.clone(),
            noise: decoded.noise,
            options: Some(plan.upsampler.to_message(false)),
            stream: Some(StreamOptions { preview_every: plan.preview_every, checkpoint_every: 0 }),
            resume: None,
            keep,
        };
        let mut stream = self.stages.upsample(context, request).await?;
        loop {
            let message =
                stream.message().await.map_err(|status| Error::from_status(names::UPSAMPLER, &status))?;
            match message.map(|message| message.event) {
                Some(Some(UpsampleEvent::Progress(progress))) => events.progress(Stage::Upsampler, progress),
                Some(Some(UpsampleEvent::Preview(preview))) => events.preview(Stage::Upsampler, &preview),
                Some(Some(UpsampleEvent::Checkpoint(_)) | None) => {}
                Some(Some(UpsampleEvent::Result(result))) => return Ok(result),
                None => return Err(cut_off(names::UPSAMPLER)),
            }
        }
    }
}

/// Asks the prior and waits for its last message.
async fn sample(
    stages: Stages,
    context: RequestContext,
    request: SamplePriorRequest,
    events: ImageEvents,
) -> Result<PriorResults, Error> {
    let mut stream = stages.sample_prior(&context, request).await?;
    loop {
        let message = stream.message().await.map_err(|status| Error::from_status(names::PRIOR, &status))?;
        match message.map(|message| message.event) {
            Some(Some(PriorEvent::Progress(progress))) => events.progress(Stage::Prior, progress),
            Some(None) => {}
            Some(Some(PriorEvent::Results(results))) => {
                stages.saw_prior(&results.model_fingerprint);
                return Ok(results);
            }
            None => return Err(cut_off(names::PRIOR)),
        }
    }
}

/// Everything that decides the prior's result. The dtype counts: bf16 gives other numbers than f32.
fn prior_key(plan: &Plan, texts: &Texts, info: &ModelInfo, seed: u64) -> CacheKey {
    let negative = if plan.prior.is_guided() { plan.negative_prompt.as_str() } else { "" };
    CacheKey::builder()
        .field("model", &info.fingerprint)
        .field("dtype", &info.dtype)
        .field("text model", &texts.info.fingerprint)
        .field("prompt", &plan.prompt)
        .field("negative", negative)
        .field("seed", seed.to_le_bytes())
        .field("steps", plan.prior.steps.to_le_bytes())
        .field("guidance", plan.prior.guidance_scale.to_le_bytes())
        .field("sampler", (plan.prior.sampler as i32).to_le_bytes())
        .field("eta", plan.prior.eta.to_le_bytes())
        .field("candidates", plan.candidates.to_le_bytes())
        .finish()
}

/// The image embedding, where no prior is asked: the outer option. The inner one is none for the caption alone.
fn given_embedding(plan: &Plan, texts: &Texts) -> Result<Option<Option<Embedding>>, Error> {
    Ok(match &plan.source {
        ImageSource::Prior => None,
        ImageSource::CaptionOnly => Some(None),
        ImageSource::TextEmbedding => {
            let missing = || Error::internal("the text encoder answered incompletely", "no embedding");
            Some(Some(texts.prompt.embedding.clone().ok_or_else(missing)?))
        }
        ImageSource::Given(tensor) => {
            Some(Some(Embedding { space: texts.info.space.clone(), tensor: Some(tensor.clone()) }))
        }
    })
}

fn only_result(results: &PriorResults) -> Result<&unclip_proto::v1::PriorResult, Error> {
    results
        .results
        .first()
        .filter(|result| result.embedding.is_some())
        .ok_or_else(|| Error::internal("the prior answered without a result", "no results"))
}

/// Encodes the picture away from the async threads.
async fn finish(
    plan: &Plan,
    index: u32,
    upsampled: UpsampleResult,
    tensors: Option<ImageTensors>,
    receipts: Receipts,
) -> Result<GeneratedImage, Error> {
    let tensor = upsampled
        .image
        .ok_or_else(|| Error::internal("the upsampler answered without a picture", "no image"))?;
    let format = plan.format;
    let encoded = tokio::task::spawn_blocking(move || {
        let bad =
            |error: unclip_proto::FieldError| Error::internal("the upsampler's picture is damaged", error);
        let shape = tensor.checked_shape("image").map_err(bad)?;
        let values = tensor.floats("image", &shape).map_err(bad)?;
        let [3, height, width] = tensor.shape[..] else {
            return Err(Error::internal("the upsampler's picture is damaged", format!("shape {shape:?}")));
        };
        Ok((picture::encode(&values, height, width, format)?, height, width))
    });
    let (image, height, width) =
        encoded.await.map_err(|error| Error::internal("the picture could not be encoded", error))??;
    Ok(GeneratedImage {
        image_index: index,
        image: image.into(),
        format: format.name() as i32,
        width,
        height,
        receipt: Some(receipts.finish()),
        tensors,
    })
}

pub(crate) fn cut_off(stage: &str) -> Error {
    Error::new(Code::Unavailable, format!("the {stage} ended its stream without a result; try again"))
}

fn is_cached(source: Source) -> bool {
    matches!(source, Source::Memory | Source::Redis)
}

/// Several requests may wait for one computation: it must not end with the deadline of the first.
fn without_deadline(context: &RequestContext) -> RequestContext {
    RequestContext { deadline: None, ..context.clone() }
}
