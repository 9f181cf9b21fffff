//! Variations of a picture (arXiv 2204.06125, section 3.1).

use unclip_proto::v1::{Sampler, SamplingOptions, VaryImageRequest, VaryImageResponse};
use unclip_service::{Error, RequestContext};

use super::frames::{Frame, draw_in_order};
use super::latent::LatentPlan;
use super::options::{STEPS, plan, settled, way_back_of};
use super::stream::{EventStream, run};
use crate::pipeline::Pipeline;
use crate::plan::{Plan, StageFacts};

/// Draws variations of a latent: picture k with seed + k. Where x_T is known the way back is the default, and at eta 0 all
/// pictures are the same.
pub(crate) async fn vary(
    pipeline: Pipeline,
    context: RequestContext,
    request: VaryImageRequest,
) -> Result<EventStream<VaryImageResponse>, Error> {
    let way_back = way_back_of([("latent", request.latent.as_ref())], STEPS)?;
    let knows_noise = request.latent.as_ref().is_some_and(|latent| latent.x_t.is_some());
    let operation = if knows_noise { way_back } else { SamplingOptions::default() };
    let make = |facts: &StageFacts| plan(request.options.as_ref(), request.n, operation, facts);
    let plan = settled(&pipeline, &context, false, make).await?;
    let latent = LatentPlan::read(&pipeline, "latent", request.latent, false).await?;
    let same = knows_noise && is_determined(&plan);
    run(
        &context.clone(),
        |events| async move {
            let embedding = latent.embedding(&pipeline, &context, plan.seed, &events.of_image(0)).await?;
            let texts = pipeline.encode(&context, &plan).await?;
            let frame = |index: u32| Frame {
                embedding: embedding.clone(),
                x_t: latent.x_t.clone(),
                seed: if same { plan.seed } else { plan.seed + u64::from(index) },
            };
            let frames = (0..plan.images).map(frame).collect();
            draw_in_order(&pipeline, &context, (&plan, &texts), "vary", frames, &events).await
        },
        |()| None,
    )
    .await
}

/// Whether the decoder draws no noise of its own.
fn is_determined(plan: &Plan) -> bool {
    plan.decoder.sampler == Sampler::Ddim && plan.decoder.eta == 0.0
}
