//! Interpolation between two latents (arXiv 2204.06125, section 3.2).

use unclip_diffusion::noise::TorchNoise;
use unclip_proto::FieldError;
use unclip_proto::v1::{Embedding, InterpolateImagesRequest, InterpolateImagesResponse, NoiseBlend, Tensor};
use unclip_service::{Error, RequestContext};

use super::frames::{Frame, draw_in_order};
use super::latent::{LatentPlan, check_same_space, slerp_tensors};
use super::options::{inversion, plan, settled, way_back_of};
use super::stream::{EventStream, run};
use crate::pipeline::Pipeline;
use crate::plan::StageFacts;

/// Frames of one request: both ends, and at most [`MAX_FRAMES`](super::frames::MAX_FRAMES).
const FRAMES: std::ops::RangeInclusive<u32> = 2..=64;

/// Draws frames between two ends, in order.
pub(crate) async fn interpolate(
    pipeline: Pipeline,
    context: RequestContext,
    request: InterpolateImagesRequest,
) -> Result<EventStream<InterpolateImagesResponse>, Error> {
    let count = frame_count(request.frames)?;
    let blend = blend(request.blend)?;
    let options = request.options.as_ref();
    let (inversion, steps) = inversion(request.inversion.as_ref(), options)?;
    let way_back = way_back_of([("from", request.from.as_ref()), ("to", request.to.as_ref())], steps)?;
    let make = |facts: &StageFacts| plan(options, None, way_back, facts);
    let plan = settled(&pipeline, &context, false, make).await?;
    let from = LatentPlan::read(&pipeline, "from", request.from, true).await?;
    let to = LatentPlan::read(&pipeline, "to", request.to, true).await?;
    run(
        &context.clone(),
        |events| async move {
            let watch = events.of_image(0);
            let texts = pipeline.encode(&context, &plan).await?;
            let mut ends = Vec::new();
            for (latent, seed) in [(&from, plan.seed), (&to, plan.seed.wrapping_add(1))] {
                let embedding = latent.embedding(&pipeline, &context, seed, &watch).await?;
                let x_t = latent.noise(&pipeline, &context, &texts, &embedding, inversion, &watch).await?;
                ends.push(End { embedding, x_t, seed });
            }
            let [from_end, to_end] = &ends[..] else {
                return Err(Error::internal("the request failed; try again", "not two ends"));
            };
            check_same_space(to.field(), &to_end.embedding, &from_end.embedding)?;
            let shape = pipeline.stages.decoder_info().await?;
            let shape = [3, shape.height as usize, shape.width as usize];
            let frames = (0..count).map(|index| {
                let t = share(index, count);
                let embedding = between_embeddings(&from_end.embedding, &to_end.embedding, t)?;
                let x_t = match blend {
                    NoiseBlend::Slerp => {
                        Some(slerp_tensors("x_t", &from_end.noise(&shape), &to_end.noise(&shape), t)?)
                    }
                    NoiseBlend::Fixed | NoiseBlend::Unspecified => from_end.x_t.clone(),
                };
                Ok::<_, Error>(Frame { embedding, x_t, seed: plan.seed })
            });
            let frames = frames.collect::<Result<Vec<_>, _>>()?;
            draw_in_order(&pipeline, &context, (&plan, &texts), "interpolate", frames, &events).await
        },
        |()| None,
    )
    .await
}

/// One end, resolved.
struct End {
    embedding: Embedding,
    x_t: Option<Tensor>,
    seed: u64,
}

impl End {
    /// x_T, drawn from the seed where none is known.
    fn noise(&self, shape: &[usize; 3]) -> Tensor {
        self.x_t.clone().unwrap_or_else(|| {
            Tensor::from_f32(shape, &TorchNoise::new(self.seed).normal(shape.iter().product()))
        })
    }
}

/// z_i between two others.
pub(super) fn between_embeddings(from: &Embedding, to: &Embedding, t: f32) -> Result<Embedding, Error> {
    let missing = || FieldError::missing("image_embedding.tensor");
    let (a, b) = (from.tensor.as_ref().ok_or_else(missing)?, to.tensor.as_ref().ok_or_else(missing)?);
    // The ends themselves come back exactly: they are the reconstructions of the pictures.
    let tensor = match t {
        0.0 => a.clone(),
        1.0 => b.clone(),
        _ => slerp_tensors("image_embedding", a, b, t)?,
    };
    Ok(Embedding { space: from.space.clone(), tensor: Some(tensor) })
}

fn share(index: u32, count: u32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "at most 64")]
    let share = index as f32 / (count - 1) as f32;
    share
}

fn frame_count(frames: Option<u32>) -> Result<u32, FieldError> {
    let frames = frames.unwrap_or(8);
    match FRAMES.contains(&frames) {
        true => Ok(frames),
        false => Err(FieldError::out_of_range("frames", frames, FRAMES.start(), FRAMES.end())),
    }
}

fn blend(number: i32) -> Result<NoiseBlend, FieldError> {
    NoiseBlend::try_from(number).map_err(|_| {
        let problem = format!("{number} is no blend; use NOISE_BLEND_FIXED or NOISE_BLEND_SLERP");
        FieldError::new("blend", problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_exact_and_the_middle_is_between() {
        let (a, b) = (Embedding::new("s", &[3.0, 0.0]), Embedding::new("s", &[0.0, 3.0]));
        let shares: Vec<f32> = (0..3).map(|index| share(index, 3)).collect();
        assert_eq!(shares, [0.0, 0.5, 1.0]);
        assert_eq!(between_embeddings(&a, &b, 0.0).unwrap(), a);
        assert_eq!(between_embeddings(&a, &b, 1.0).unwrap(), b);
        let middle = between_embeddings(&a, &b, 0.5).unwrap().values("x", 2).unwrap();
        assert!(middle.iter().all(|value| (value - 3.0 / 2.0_f32.sqrt()).abs() < 1e-5), "{middle:?}");
        assert!(between_embeddings(&a, &Embedding::new("s", &[1.0]), 0.5).is_err());
    }

    #[test]
    fn bad_values_are_named() {
        assert_eq!(frame_count(None), Ok(8));
        for (frames, expected) in [(1, "frames: 1 is out of range"), (65, "frames: 65 is out of range")] {
            assert!(frame_count(Some(frames)).unwrap_err().to_string().starts_with(expected));
        }
        assert!(blend(9).unwrap_err().to_string().starts_with("blend: 9 is no blend"));
    }
}
