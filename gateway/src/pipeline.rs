//! One picture, from caption to pixels.

use std::sync::Arc;
use std::time::Instant;

use unclip_pictures::Pool;
use unclip_proto::Maker;
use unclip_proto::v1::decode_response::Event as DecodeEvent;
use unclip_proto::v1::sample_prior_response::Event as PriorEvent;
use unclip_proto::v1::upsample_response::Event as UpsampleEvent;
use unclip_proto::v1::{
    DecodeRequest, DecodeResult, EditReceipt, Embedding, EncodeTextRequest, EncodeTextResponse,
    GeneratedImage, ImageTensors, Keep, NoisePosition, PictureSize, PriorItem, PriorResults,
    SamplePriorRequest, Stage, StreamOptions, Tensor, TextEncoding, UpsampleRequest, UpsampleResult,
    prior_item,
};
use unclip_service::{Code, Error, RequestContext};

use crate::cache::{Cache, CacheKey, CacheKeyBuilder, Source};
use crate::entrance::{WaitingRoom, hint_for};
use crate::events::{Events, ImageEvents};
use crate::image_source::ImageSource;
use crate::picture;
use crate::plan::Plan;
use crate::receipt::Receipts;
use crate::stages::{Stages, names};

/// Stages, cache and bounds: what every request shares.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) stages: Stages,
    pub(crate) cache: Arc<Cache>,
    /// Where pictures are decoded and encoded.
    pub(crate) pictures: Pool,
    /// Where pictures wait for a stage.
    pub(crate) waiting: Arc<WaitingRoom>,
}

/// The caption and what guidance steers away from, encoded.
#[derive(Clone)]
pub(crate) struct Texts {
    pub(crate) prompt: TextEncoding,
    negative: Option<TextEncoding>,
    maker: Maker,
    cached: bool,
    seconds: f64,
}

impl Texts {
    /// The text encoder's line of a receipt.
    pub(crate) fn receipt(&self, receipts: &mut Receipts) {
        receipts.text_encoder(&self.maker, self.cached, self.seconds);
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
    /// The picture's embedding, where it is varied as a whole.
    pub(crate) picture: Option<Embedding>,
    pub(crate) receipt: EditReceipt,
}

/// Tries to have both texts encoded by one model. While the encoder is being replaced, two calls can get to two.
const ENCODE_TRIES: u32 = 3;

/// One text, encoded.
struct Encoded {
    encoding: TextEncoding,
    maker: Maker,
    cached: bool,
}

/// The picture's embedding and where its generator stands.
struct Sampled {
    results: PriorResults,
    cached: bool,
    seconds: f64,
}

impl Pipeline {
    /// Encodes the caption and, where guidance needs it, the negative caption: both by one model.
    pub(crate) async fn encode(&self, context: &RequestContext, plan: &Plan) -> Result<Texts, Error> {
        for _ in 0..ENCODE_TRIES {
            let texts = context.run(names::TEXT_ENCODER, self.encode_once(context, plan)).await?;
            if let Some(texts) = texts {
                return Ok(texts);
            }
        }
        Err(Error::new(Code::Unavailable, "the text encoder is being replaced; try again"))
    }

    /// None where two models answered.
    async fn encode_once(&self, context: &RequestContext, plan: &Plan) -> Result<Option<Texts>, Error> {
        let started = Instant::now();
        let prompt = self.encode_one(context, &plan.prompt);
        let negative = async {
            match plan.guided() {
                true => self.encode_one(context, &plan.negative_prompt).await.map(Some),
                false => Ok(None),
            }
        };
        let (prompt, negative) = tokio::try_join!(prompt, negative)?;
        if negative.as_ref().is_some_and(|negative| negative.maker != prompt.maker) {
            return Ok(None);
        }
        Ok(Some(Texts {
            cached: prompt.cached && negative.as_ref().is_none_or(|negative| negative.cached),
            prompt: prompt.encoding,
            negative: negative.map(|negative| negative.encoding),
            maker: prompt.maker,
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    /// An encoding is a function of the model and the text, so it is cached.
    async fn encode_one(&self, context: &RequestContext, text: &str) -> Result<Encoded, Error> {
        let expected = self.stages.text_encoder_maker().await?;
        let question = CacheKey::builder().field("text", text);
        let key = key_of(&question, &expected);
        let (stages, context) = (self.stages.clone(), without_deadline(context));
        let request = EncodeTextRequest { texts: vec![text.to_owned()] };
        let compute = async move {
            let response = stages.encode_text(&context, request).await?;
            let key = key_of(&question, &Maker::from(&response));
            Ok((response, key))
        };
        let (mut response, source): (EncodeTextResponse, _) =
            self.cache.get_or_compute("text", key, compute).await?;
        let maker = Maker::from(&response);
        let missing = || Error::internal("the text encoder answered without an encoding", "no encodings");
        let encoding = response.encodings.pop().ok_or_else(missing)?;
        Ok(Encoded { encoding, maker, cached: is_cached(source) })
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
                let maker = Maker::from(&sampled.results);
                receipts.prior(&maker, plan.prior, sampled.cached, sampled.seconds, &result.scores);
                (result.embedding.clone(), result.noise)
            }
        };
        if let Some(edit) = edit {
            receipts.edit(&edit.receipt);
        }
        let embedding = match edit {
            Some(edit) => edit.steered(embedding)?,
            None => embedding,
        };
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
        let decoded = self.run_decoder(context, request, events).await;
        let decoded = decoded.map_err(|error| hint_for(plan.images, error))?;
        receipts.decoder(&Maker::from(&decoded), plan.decoder, started);

        let started = Instant::now();
        let upsampled = self.upsample(context, plan, &decoded, keep_large, events).await?;
        receipts.upsampler(&Maker::from(&upsampled), plan.upsampler, started);

        let tensors = plan.return_tensors.then(|| ImageTensors {
            text_embedding: texts.prompt.embedding.as_ref().and_then(|embedding| embedding.tensor.clone()),
            text_hidden_states: texts.prompt.hidden_states.clone(),
            image_embedding: embedding.and_then(|embedding| embedding.tensor),
            decoded: decoded.image.clone(),
            image: upsampled.image.clone(),
        });
        self.finish(plan, events.index(), upsampled, tensors, receipts).await
    }

    /// Writes the picture's file.
    async fn finish(
        &self,
        plan: &Plan,
        image_index: u32,
        upsampled: UpsampleResult,
        tensors: Option<ImageTensors>,
        receipts: Receipts,
    ) -> Result<GeneratedImage, Error> {
        let missing = || Error::internal("the upsampler answered without a picture", "no image");
        let tensor = upsampled.image.ok_or_else(missing)?;
        let file = picture::write(&self.pictures, tensor, plan.output_size, plan.format).await?;
        let (drawn, (width, height)) = (file.drawn, file.size);
        Ok(GeneratedImage {
            image_index,
            image: file.bytes.into(),
            format: plan.format.name() as i32,
            width,
            height,
            receipt: Some(receipts.finish()),
            tensors,
            drawn_size: Some(PictureSize { width: drawn.0, height: drawn.1 }),
        })
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
        let expected = context.run(names::PRIOR, self.stages.prior_maker()).await?;
        let request = SamplePriorRequest {
            items: vec![PriorItem {
                text: Some(prior_item::Text::Encoding(texts.prompt.clone())),
                noise: Some(NoisePosition { seed, ..Default::default() }),
            }],
            negative: texts.negative.clone().filter(|_| plan.prior.is_guided()),
            options: Some(plan.prior.to_message(true)),
            candidates: Some(plan.candidates),
        };
        let question = prior_question(plan, texts, seed);
        let key = key_of(&question, &expected);
        let sampling = self.clone().sample(without_deadline(context), request, events.clone());
        let compute = async move {
            let results = sampling.await?;
            let key = key_of(&question, &Maker::from(&results));
            Ok((results, key))
        };
        let cached = self.cache.get_or_compute("prior", key, compute);
        let sampled = context.run(names::PRIOR, cached).await;
        let (results, source) = sampled.map_err(|error| hint_for(plan.images * plan.candidates, error))?;
        events.done(Stage::Prior, plan.prior.steps);
        Ok(Sampled { results, cached: is_cached(source), seconds: started.elapsed().as_secs_f64() })
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
        let encoded = context.run(names::TEXT_ENCODER, self.encode_one(context, text)).await?;
        let missing = || Error::internal("the text encoder answered without an embedding", "no embedding");
        encoded.encoding.embedding.ok_or_else(missing)
    }

    /// Asks the decoder and waits for its last message.
    pub(crate) async fn run_decoder(
        &self,
        context: &RequestContext,
        request: DecodeRequest,
        events: &ImageEvents,
    ) -> Result<DecodeResult, Error> {
        let ways = events.ways();
        let call = || self.stages.decode(context, request.clone());
        let mut stream = ways.decoder.enter(&self.waiting, call).await?;
        ways.begin();
        let result = loop {
            match stream.message().await?.map(|message| message.event) {
                Some(Some(DecodeEvent::Progress(progress))) => events.progress(Stage::Decoder, progress),
                Some(Some(DecodeEvent::Preview(preview))) => {
                    events.preview(&self.pictures, Stage::Decoder, preview).await;
                }
                Some(Some(DecodeEvent::Checkpoint(_)) | None) => {}
                Some(Some(DecodeEvent::Result(result))) => break result,
                None => return Err(cut_off(names::DECODER)),
            }
        };
        stream.end().await;
        ways.decoder.left();
        Ok(result)
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
        let ways = events.ways();
        let call = || self.stages.upsample(context, request.clone());
        let mut stream = ways.upsampler.enter(&self.waiting, call).await?;
        let result = loop {
            match stream.message().await?.map(|message| message.event) {
                Some(Some(UpsampleEvent::Progress(progress))) => events.progress(Stage::Upsampler, progress),
                Some(Some(UpsampleEvent::Preview(preview))) => {
                    events.preview(&self.pictures, Stage::Upsampler, preview).await;
                }
                Some(Some(UpsampleEvent::Checkpoint(_)) | None) => {}
                Some(Some(UpsampleEvent::Result(result))) => break result,
                None => return Err(cut_off(names::UPSAMPLER)),
            }
        };
        stream.end().await;
        ways.upsampler.left();
        Ok(result)
    }

    /// Asks the prior and waits for its last message.
    async fn sample(
        self,
        context: RequestContext,
        request: SamplePriorRequest,
        events: ImageEvents,
    ) -> Result<PriorResults, Error> {
        let ways = events.ways();
        let call = || self.stages.sample_prior(&context, request.clone());
        let mut stream = ways.prior.enter(&self.waiting, call).await?;
        let results = loop {
            match stream.message().await?.map(|message| message.event) {
                Some(Some(PriorEvent::Progress(progress))) => events.progress(Stage::Prior, progress),
                Some(None) => {}
                Some(Some(PriorEvent::Results(results))) => break results,
                None => return Err(cut_off(names::PRIOR)),
            }
        };
        stream.end().await;
        ways.prior.left();
        self.stages.saw_prior(&results);
        Ok(results)
    }
}

/// Everything that decides the prior's result but the prior.
fn prior_question(plan: &Plan, texts: &Texts, seed: u64) -> CacheKeyBuilder {
    let negative = if plan.prior.is_guided() { plan.negative_prompt.as_str() } else { "" };
    CacheKey::builder()
        .field("text model", &texts.maker.fingerprint)
        .field("text dtype", &texts.maker.dtype)
        .field("prompt", &plan.prompt)
        .field("negative", negative)
        .field("seed", seed.to_le_bytes())
        .field("steps", plan.prior.steps.to_le_bytes())
        .field("guidance", plan.prior.guidance_scale.to_le_bytes())
        .field("sampler", (plan.prior.sampler as i32).to_le_bytes())
        .field("eta", plan.prior.eta.to_le_bytes())
        .field("clamped epsilon", [u8::from(plan.prior.clamped_epsilon)])
        .field("candidates", plan.candidates.to_le_bytes())
}

/// The key of a question's answer by one model. The dtype counts: bf16 gives other numbers than f32.
fn key_of(question: &CacheKeyBuilder, maker: &Maker) -> CacheKey {
    question.clone().field("model", &maker.fingerprint).field("dtype", &maker.dtype).finish()
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
            let space = texts.prompt.embedding.as_ref().map(|text| text.space.clone()).unwrap_or_default();
            Some(Some(Embedding { space, tensor: Some(tensor.clone()) }))
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
