//! What the principal components of an embedding keep (arXiv 2204.06125, section 4).

use unclip_proto::FieldError;
use unclip_proto::v1::{ReconstructImageRequest, ReconstructImageResponse};
use unclip_service::{Error, RequestContext};

use super::basis::Basis;
use super::frames::{Frame, MAX_FRAMES, draw_in_order};
use super::latent::LatentPlan;
use super::options::{inversion, plan, settled, way_back_of};
use super::stream::{EventStream, run};
use crate::pipeline::Pipeline;
use crate::plan::StageFacts;

/// Draws a frame for every number of components, in order.
pub(crate) async fn reconstruct(
    pipeline: Pipeline,
    context: RequestContext,
    request: ReconstructImageRequest,
) -> Result<EventStream<ReconstructImageResponse>, Error> {
    let basis = Basis::read(request.basis.as_ref())?;
    let counts = counts(request.components, basis.len())?;
    let options = request.options.as_ref();
    let (inversion, steps) = inversion(request.inversion.as_ref(), options)?;
    let way_back = way_back_of([("latent", request.latent.as_ref())], steps)?;
    let make = |facts: &StageFacts| plan(options, None, way_back, facts);
    let plan = settled(&pipeline, &context, false, make).await?;
    let latent = LatentPlan::read(&pipeline, "latent", request.latent, false).await?;
    run(
        &context.clone(),
        |events| async move {
            let watch = events.of_image(0);
            let texts = pipeline.encode(&context, &plan).await?;
            let embedding = latent.embedding(&pipeline, &context, plan.seed, &watch).await?;
            let x_t = latent.noise(&pipeline, &context, &texts, &embedding, inversion, &watch).await?;
            let frames = counts.into_iter().map(|count| {
                let embedding = basis.project(&embedding, count)?;
                Ok::<_, Error>(Frame { embedding, x_t: x_t.clone(), seed: plan.seed })
            });
            let frames = frames.collect::<Result<Vec<_>, _>>()?;
            draw_in_order(&pipeline, &context, (&plan, &texts), "reconstruct", frames, &events).await
        },
        |()| None,
    )
    .await
}

fn counts(asked: Vec<u32>, known: usize) -> Result<Vec<usize>, FieldError> {
    if !(1..=MAX_FRAMES).contains(&asked.len()) {
        let problem = format!("{} numbers, there must be 1 to {MAX_FRAMES}", asked.len());
        return Err(FieldError::new("components", problem));
    }
    let counts: Vec<usize> = asked.into_iter().map(|count| count as usize).collect();
    match counts.iter().position(|count| *count > known) {
        Some(index) => Err(FieldError::out_of_range(format!("components[{index}]"), counts[index], 0, known)),
        None => Ok(counts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_components_have_limits() {
        assert_eq!(counts(vec![0, 3], 3), Ok(vec![0, 3]));
        let text = counts(vec![], 3).unwrap_err().to_string();
        assert_eq!(text, "components: 0 numbers, there must be 1 to 64");
        let text = counts(vec![1, 4], 3).unwrap_err().to_string();
        assert!(text.starts_with("components[1]: 4 is out of range"), "{text}");
    }
}
