//! Edits: the model repaints what is transparent, after a caption, or varies a picture of which nothing is.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::try_join_all;
use unclip_proto::v1::{EditImageRequest, EditImageResponse, EditReceipt, Embedding};
use unclip_proto::{FieldError, required};
use unclip_service::{Error, RequestContext};

use super::canvas::Canvas;
use super::latent::encode_files;
use super::mix::mix;
use super::options::settled;
use super::stream::{EventStream, run};
use crate::pipeline::{Edit, Pipeline};
use crate::plan::{Plan, StageFacts};

/// Repetitions of a step: its bounds and, unless given, its number.
const RESAMPLE: std::ops::RangeInclusive<u32> = 0..=50;
const DEFAULT_RESAMPLE: u32 = 3;

/// Repaints the part of a picture that its mask gives free.
pub(crate) async fn edit(
    pipeline: Pipeline,
    context: RequestContext,
    request: EditImageRequest,
) -> Result<EventStream<EditImageResponse>, Error> {
    let generation = required(request.generation.as_ref(), "generation")?.clone();
    let asks_prior = Plan::new(&generation, &StageFacts::UNKNOWN)
        .map_err(|error| error.within("generation"))?
        .asks_prior();
    let make = |facts: &StageFacts| Plan::new(&generation, facts).map_err(|error| error.within("generation"));
    let plan = settled(&pipeline, &context, asks_prior, make).await?;
    let resample = request.resample.unwrap_or(DEFAULT_RESAMPLE);
    if !RESAMPLE.contains(&resample) {
        let (low, high) = (RESAMPLE.start(), RESAMPLE.end());
        return Err(FieldError::out_of_range("resample", resample, low, high).into());
    }
    let canvas = Canvas::read(&pipeline, &request, resample).await?;
    run(
        &context.clone(),
        |events| async move {
            let edit = Edit::new(&pipeline, &context, canvas, &request, resample).await?;
            let texts = pipeline.encode(&context, &plan).await?;
            let draws = (0..plan.images).map(|index| {
                let (pipeline, context, plan, texts) = (&pipeline, &context, &plan, &texts);
                let (edit, events) = (&edit, &events);
                async move {
                    let drawn = pipeline.draw(context, plan, texts, index, events, Some(edit)).boxed();
                    events.image(context.run("pipeline", drawn).await?).await;
                    Ok::<_, Error>(())
                }
            });
            try_join_all(draws).await.map(drop)
        },
        |()| None,
    )
    .await
}

impl Edit {
    /// What drawing the pictures needs of an edit.
    async fn new(
        pipeline: &Pipeline,
        context: &RequestContext,
        canvas: Canvas,
        request: &EditImageRequest,
        resample: u32,
    ) -> Result<Self, Error> {
        let (keeps, picture) = match canvas {
            Canvas::Part(keeps) => (keeps.map(|keeps| *keeps), None),
            Canvas::Whole => {
                let embeddings = encode_files(pipeline, context, vec![request.image.clone()]).await?;
                (None, embeddings.into_iter().next())
            }
        };
        Ok(Self { keeps, receipt: receipt(request, resample, picture.is_some()), picture })
    }

    /// The embedding to decode: where the whole picture is varied, halfway from it to the caption's.
    ///
    /// # Errors
    /// Embeddings of two CLIP spaces.
    pub(crate) fn steered(&self, caption: Option<Embedding>) -> Result<Option<Embedding>, Error> {
        match (&self.picture, caption) {
            (Some(picture), Some(caption)) => {
                mix("image", &[(picture.clone(), 0.5), (caption, 0.5)]).map(Some)
            }
            (Some(picture), None) => Ok(Some(picture.clone())),
            (None, caption) => Ok(caption),
        }
    }
}

fn receipt(request: &EditImageRequest, resample: u32, varied: bool) -> EditReceipt {
    let hash = |file: &Bytes| match file.is_empty() {
        true => String::new(),
        false => blake3::hash(file).to_string(),
    };
    EditReceipt {
        image_blake3: hash(&request.image),
        mask_blake3: hash(&request.mask),
        resample: if varied { 0 } else { resample },
        mask_mode: request.mask_mode,
        varied,
    }
}
