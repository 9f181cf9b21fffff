//! Variations of a picture (arXiv 2204.06125, section 3.1).

use unclip_proto::v1::{VaryImageRequest, VaryImageResponse};
use unclip_service::{Error, RequestContext};

use super::frames::{Frame, draw_in_order};
use super::latent::LatentPlan;
use super::options::{plan, settled};
use super::stream::{EventStream, run};
use crate::pipeline::Pipeline;
use crate::plan::StageFacts;

/// Draws variations of a latent: picture k with seed + k.
pub(crate) async fn vary(
    pipeline: Pipeline,
    context: RequestContext,
    request: VaryImageRequest,
) -> Result<EventStream<VaryImageResponse>, Error> {
    let make = |facts: &StageFacts| plan(request.options.as_ref(), request.n, facts);
    let plan = settled(&pipeline, &context, false, make).await?;
    let latent = LatentPlan::read("latent", request.latent, false).await?;
    Ok(run(
        |events| async move {
            let embedding = latent.embedding(&pipeline, &context, plan.seed, &events.of_image(0)).await?;
            let texts = pipeline.encode(&context, &plan).await?;
            let frame = |index: u32| Frame {
                embedding: embedding.clone(),
                x_t: latent.x_t.clone(),
                seed: plan.seed + u64::from(index),
            };
            let frames = (0..plan.images).map(frame).collect();
            draw_in_order(&pipeline, &context, (&plan, &texts), "vary", frames, &events).await
        },
        |()| None,
    ))
}
