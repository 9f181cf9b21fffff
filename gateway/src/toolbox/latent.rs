//! Where an operation starts: a picture, an embedding or a caption, and perhaps x_T.

use bytes::Bytes;
use unclip_diffusion::slerp;
use unclip_pictures::decode_in;
use unclip_proto::v1::latent::Source as SourceMessage;
use unclip_proto::v1::{Embedding, EncodeImageRequest, GenerateImageRequest, Latent, Tensor, mix_part};
use unclip_proto::{FieldError, check_text, required};
use unclip_service::{Code, Error, RequestContext};

use super::invert::run_inversion;
use super::mix::{mix, weights};
use super::options::{InversionPlan, settled};
use crate::events::ImageEvents;
use crate::pipeline::{Pipeline, Texts};
use crate::plan::Plan;

/// A latent, validated.
pub(super) struct LatentPlan {
    field: String,
    source: Source,
    pub(super) x_t: Option<Tensor>,
}

enum Source {
    One(Part),
    Mix(Vec<(Part, f32)>),
}

/// What has one embedding.
enum Part {
    Image(Picture),
    Embedding(Embedding),
    Text(String),
}

/// An uploaded picture: a file that was read once, so that a damaged one is refused before any work.
pub(super) struct Picture {
    pub(super) file: Bytes,
}

impl Picture {
    /// Checks a file.
    pub(super) async fn read(pipeline: &Pipeline, field: &str, file: Bytes) -> Result<Self, Error> {
        decode_in(&pipeline.pictures, field, file.clone(), |_| Ok::<_, Error>(())).await?;
        Ok(Self { file })
    }

    /// Its CLIP image embedding.
    pub(super) async fn embedding(
        &self,
        pipeline: &Pipeline,
        context: &RequestContext,
    ) -> Result<Embedding, Error> {
        encode_files(pipeline, context, vec![self.file.clone()]).await?.pop().ok_or_else(|| {
            Error::internal("the image encoder answered without an embedding", "no embeddings")
        })
    }
}

/// CLIP image embeddings of files.
pub(super) async fn encode_files(
    pipeline: &Pipeline,
    context: &RequestContext,
    images: Vec<Bytes>,
) -> Result<Vec<Embedding>, Error> {
    Ok(pipeline.stages.encode_image(context, EncodeImageRequest { images }).await?.embeddings)
}

impl LatentPlan {
    /// Validates a latent. Captions are refused unless `texts`.
    pub(super) async fn read(
        pipeline: &Pipeline,
        field: &str,
        latent: Option<Latent>,
        texts: bool,
    ) -> Result<Self, Error> {
        let Latent { source, x_t, .. } = latent.ok_or_else(|| FieldError::missing(field))?;
        let source = match source {
            None => return Err(no_source(field)),
            Some(SourceMessage::Text(_)) if !texts => {
                let problem = "a caption has no picture; give a picture or an embedding";
                return Err(FieldError::new(format!("{field}.text"), problem).into());
            }
            Some(SourceMessage::Image(file)) => {
                Source::One(Part::read(pipeline, field, mix_part::Source::Image(file)).await?)
            }
            Some(SourceMessage::ImageEmbedding(embedding)) => {
                Source::One(Part::read(pipeline, field, mix_part::Source::ImageEmbedding(embedding)).await?)
            }
            Some(SourceMessage::Text(text)) => {
                Source::One(Part::read(pipeline, field, mix_part::Source::Text(text)).await?)
            }
            Some(SourceMessage::Mix(mix)) => {
                let weights = weights(field, &mix)?;
                let mut parts = Vec::new();
                for (index, (part, weight)) in mix.parts.into_iter().zip(weights).enumerate() {
                    let field = format!("{field}.mix.parts[{index}]");
                    let source = part.source.ok_or_else(|| no_source(&field))?;
                    parts.push((Part::read(pipeline, &field, source).await?, weight));
                }
                Source::Mix(parts)
            }
        };
        if let Some(x_t) = &x_t {
            values(&format!("{field}.x_t"), Some(x_t))?;
        }
        Ok(Self { field: field.to_owned(), source, x_t })
    }

    /// z_i. A caption's is what the prior samples with `seed` and its defaults.
    pub(super) async fn embedding(
        &self,
        pipeline: &Pipeline,
        context: &RequestContext,
        seed: u64,
        events: &ImageEvents,
    ) -> Result<Embedding, Error> {
        match &self.source {
            Source::One(part) => part.embedding(pipeline, context, seed, events).await,
            Source::Mix(parts) => {
                let mut embeddings = Vec::new();
                for (part, weight) in parts {
                    embeddings.push((part.embedding(pipeline, context, seed, events).await?, *weight));
                }
                mix(&self.field, &embeddings)
            }
        }
    }

    /// x_T: the given one, or for a picture that of its inversion if one is asked for. None is noise.
    pub(super) async fn noise(
        &self,
        pipeline: &Pipeline,
        context: &RequestContext,
        texts: &Texts,
        embedding: &Embedding,
        inversion: Option<InversionPlan>,
        events: &ImageEvents,
    ) -> Result<Option<Tensor>, Error> {
        match (&self.x_t, &self.source, inversion) {
            (Some(x_t), _, _) => Ok(Some(x_t.clone())),
            (None, Source::One(Part::Image(picture)), Some(inversion)) => {
                let inverted =
                    run_inversion(pipeline, context, texts, picture, embedding, inversion, events).await?;
                Ok(Some(inverted.x_t))
            }
            (None, _, _) => Ok(None),
        }
    }

    /// The field's name in errors.
    pub(super) fn field(&self) -> &str {
        &self.field
    }
}

impl Part {
    async fn read(pipeline: &Pipeline, field: &str, source: mix_part::Source) -> Result<Self, Error> {
        Ok(match source {
            mix_part::Source::Image(file) => {
                Self::Image(Picture::read(pipeline, &format!("{field}.image"), file).await?)
            }
            mix_part::Source::ImageEmbedding(embedding) => {
                values(&format!("{field}.image_embedding.tensor"), embedding.tensor.as_ref())?;
                Self::Embedding(embedding)
            }
            mix_part::Source::Text(text) => {
                check_text(&format!("{field}.text"), &text)?;
                Self::Text(text)
            }
        })
    }

    async fn embedding(
        &self,
        pipeline: &Pipeline,
        context: &RequestContext,
        seed: u64,
        events: &ImageEvents,
    ) -> Result<Embedding, Error> {
        match self {
            Self::Image(picture) => picture.embedding(pipeline, context).await,
            Self::Embedding(embedding) => Ok(embedding.clone()),
            Self::Text(text) => {
                let request =
                    GenerateImageRequest { prompt: text.clone(), seed: Some(seed), ..Default::default() };
                let plan = settled(pipeline, context, true, |facts| Plan::new(&request, facts)).await?;
                let texts = pipeline.encode(context, &plan).await?;
                pipeline.sample_embedding(context, &plan, &texts, events).await
            }
        }
    }
}

fn no_source(field: &str) -> Error {
    FieldError::new(format!("{field}.source"), "missing, give a picture or an embedding").into()
}

/// The values of a tensor of any shape.
pub(super) fn values(field: &str, tensor: Option<&Tensor>) -> Result<Vec<f32>, FieldError> {
    let tensor = required(tensor, field)?;
    tensor.floats(field, &tensor.checked_shape(field)?)
}

/// Spherical interpolation of two tensors of one shape.
pub(super) fn slerp_tensors(field: &str, from: &Tensor, to: &Tensor, t: f32) -> Result<Tensor, Error> {
    if from.shape != to.shape {
        let problem = format!("shapes {:?} and {:?}; both ends must have the same", from.shape, to.shape);
        return Err(FieldError::new(field, problem).into());
    }
    let (a, b) = (values(field, Some(from))?, values(field, Some(to))?);
    let between =
        slerp(&a, &b, t).map_err(|error| Error::new(Code::InvalidArgument, format!("{field}: {error}")))?;
    Ok(Tensor::from_f32(&from.checked_shape(field)?, &between))
}

/// Refuses embeddings of two CLIP spaces.
pub(super) fn check_same_space(field: &str, found: &Embedding, expected: &Embedding) -> Result<(), Error> {
    match found.space == expected.space {
        true => Ok(()),
        false => Err(Error::wrong_space(field, &found.space, &expected.space)),
    }
}
