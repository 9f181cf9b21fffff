//! Embeddings, and zero-shot classification with them (arXiv 2103.00020, section 3.1).

use futures::future::try_join_all;
use unclip_proto::v1::{
    ClassifyRequest, ClassifyResponse, Embedding, UnclipServiceEncodeImageRequest,
    UnclipServiceEncodeImageResponse, UnclipServiceEncodeTextRequest, UnclipServiceEncodeTextResponse,
};
use unclip_proto::{FieldError, check_text};
use unclip_service::{Error, RequestContext};

use super::latent::{LatentPlan, Picture, check_same_space, encode_files, values};
use crate::events::Events;
use crate::pipeline::Pipeline;

/// The most texts of one request.
const MAX_TEXTS: usize = 64;

/// The most pictures of one request.
const MAX_IMAGES: usize = 16;

/// What cosines are multiplied by: its bound, and where the training of OpenAI's CLIP ends (arXiv 2103.00020, section 2.5), for
/// checkpoints that don't say where theirs did.
const MAX_LOGIT_SCALE: f32 = 1000.0;
const LOGIT_SCALE: f32 = 100.0;

/// CLIP text embeddings.
pub(crate) async fn encode_texts(
    pipeline: &Pipeline,
    context: &RequestContext,
    request: &UnclipServiceEncodeTextRequest,
) -> Result<UnclipServiceEncodeTextResponse, Error> {
    check_texts("texts", &request.texts)?;
    Ok(UnclipServiceEncodeTextResponse { embeddings: embeddings(pipeline, context, &request.texts).await? })
}

/// CLIP image embeddings.
pub(crate) async fn encode_images(
    pipeline: &Pipeline,
    context: &RequestContext,
    request: UnclipServiceEncodeImageRequest,
) -> Result<UnclipServiceEncodeImageResponse, Error> {
    let count = request.images.len();
    if !(1..=MAX_IMAGES).contains(&count) {
        let problem = format!("{count} pictures, there must be 1 to {MAX_IMAGES}");
        return Err(FieldError::new("images", problem).into());
    }
    for (index, file) in request.images.iter().enumerate() {
        Picture::read(pipeline, &format!("images[{index}]"), file.clone()).await?;
    }
    let embeddings = encode_files(pipeline, context, request.images).await?;
    Ok(UnclipServiceEncodeImageResponse { embeddings })
}

/// How likely each label is to be of the picture.
pub(crate) async fn classify(
    pipeline: &Pipeline,
    context: &RequestContext,
    request: ClassifyRequest,
) -> Result<ClassifyResponse, Error> {
    check_texts("labels", &request.labels)?;
    if let Some(scale) = request.logit_scale.filter(|scale| !(0.0..=MAX_LOGIT_SCALE).contains(scale)) {
        return Err(FieldError::out_of_range("logit_scale", scale, 0, MAX_LOGIT_SCALE).into());
    }
    let latent = LatentPlan::read(pipeline, "latent", request.latent, false).await?;
    let nobody = Events::channel().0.of_image(0);
    let picture = latent.embedding(pipeline, context, 0, &nobody).await?;
    let labels = embeddings(pipeline, context, &request.labels).await?;
    let mut cosines = Vec::new();
    for label in &labels {
        check_same_space(latent.field(), &picture, label)?;
        cosines.push(cosine(&picture, label)?);
    }
    let own = pipeline.stages.text_encoder_info().await?.logit_scale;
    let logit_scale = request.logit_scale.or(own).unwrap_or(LOGIT_SCALE);
    Ok(ClassifyResponse { probabilities: softmax(&cosines, logit_scale), cosines, logit_scale })
}

async fn embeddings(
    pipeline: &Pipeline,
    context: &RequestContext,
    texts: &[String],
) -> Result<Vec<Embedding>, Error> {
    try_join_all(texts.iter().map(|text| pipeline.text_embedding(context, text))).await
}

fn check_texts(field: &str, texts: &[String]) -> Result<(), FieldError> {
    if !(1..=MAX_TEXTS).contains(&texts.len()) {
        let problem = format!("{} texts, there must be 1 to {MAX_TEXTS}", texts.len());
        return Err(FieldError::new(field, problem));
    }
    let mut numbered = texts.iter().enumerate();
    numbered.try_for_each(|(index, text)| check_text(&format!("{field}[{index}]"), text))
}

/// 0 where one of them has no direction.
#[expect(clippy::cast_possible_truncation, reason = "the answer is f32")]
fn cosine(a: &Embedding, b: &Embedding) -> Result<f32, FieldError> {
    let (a, b) = (values("image_embedding", a.tensor.as_ref())?, values("label", b.tensor.as_ref())?);
    if a.len() != b.len() {
        let problem = format!("{} values, this model takes {}", a.len(), b.len());
        return Err(FieldError::new("latent.image_embedding", problem));
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(&a, &a) * dot(&b, &b)).sqrt();
    Ok(if lengths > 0.0 { (dot(&a, &b) / lengths) as f32 } else { 0.0 })
}

/// The largest logit is taken off first, so that no exponential overflows.
#[expect(clippy::cast_possible_truncation, reason = "the answer is f32")]
fn softmax(cosines: &[f32], scale: f32) -> Vec<f32> {
    let logits: Vec<f64> = cosines.iter().map(|cosine| f64::from(*cosine) * f64::from(scale)).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_1_and_do_not_overflow() {
        let probabilities = softmax(&[1.0, -1.0, 1.0], 1000.0);
        assert_eq!(probabilities, [0.5, 0.0, 0.5]);
        assert_eq!(softmax(&[0.3, -0.9], 0.0), [0.5, 0.5]);
        let known = softmax(&[0.02, 0.01], 100.0);
        assert!((known[0] - 0.731_058_6).abs() < 1e-5, "{known:?}");
    }

    #[test]
    fn cosines_ignore_length() {
        let embedding = |values: &[f32]| Embedding::new("s", values);
        let of = |a: &[f32], b: &[f32]| cosine(&embedding(a), &embedding(b));
        assert!((of(&[2.0, 0.0], &[9.0, 9.0]).unwrap() - 0.5_f32.sqrt()).abs() < 1e-6);
        assert_eq!(of(&[0.0, 0.0], &[1.0, 0.0]), Ok(0.0));
        assert!(of(&[1.0], &[1.0, 2.0]).is_err());
    }

    #[test]
    fn labels_have_limits() {
        let text = check_texts("labels", &vec![String::new(); 65]).unwrap_err().to_string();
        assert_eq!(text, "labels: 65 texts, there must be 1 to 64");
        assert!(check_texts("labels", &[]).is_err());
        let long = check_texts("labels", &["a".to_owned(), "x".repeat(32_001)]).unwrap_err().to_string();
        assert!(long.starts_with("labels[1]: 32001 characters"), "{long}");
    }
}
