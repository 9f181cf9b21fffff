//! Drawing frames, in order.

use futures::{FutureExt, StreamExt, stream};
use unclip_proto::v1::{Embedding, GeneratedImage, NoisePosition, Tensor};
use unclip_service::{Error, RequestContext};

use crate::events::Events;
use crate::pipeline::{Latents, Pipeline, Texts};
use crate::plan::Plan;
use crate::receipt::Receipts;

/// The most frames of one request.
pub(super) const MAX_FRAMES: usize = 64;

/// Frames under way at a time: enough to fill a batch of the stages, few enough to leave others room.
const AT_ONCE: usize = 8;

/// One picture to draw.
#[derive(Clone)]
pub(super) struct Frame {
    /// z_i.
    pub(super) embedding: Embedding,
    /// x_T; absent: noise of the seed.
    pub(super) x_t: Option<Tensor>,
    /// The seed of its noise.
    pub(super) seed: u64,
}

/// Draws frames and streams them in their order. `operation` names what made them in their receipts.
pub(super) async fn draw_in_order(
    pipeline: &Pipeline,
    context: &RequestContext,
    (plan, texts): (&Plan, &Texts),
    operation: &'static str,
    frames: Vec<Frame>,
    events: &Events,
) -> Result<(), Error> {
    let draws = frames.into_iter().zip(0..).map(|(frame, index)| {
        let (pipeline, context, plan, texts) =
            (pipeline.clone(), context.clone(), plan.clone(), texts.clone());
        let events = events.clone();
        async move {
            let drawn = draw(&pipeline, &context, (&plan, &texts), (index, frame), operation, &events);
            context.run("pipeline", drawn.boxed()).await
        }
        .boxed()
    });
    let mut drawn = stream::iter(draws).buffered(AT_ONCE);
    while let Some(image) = drawn.next().await {
        events.image(image?).await;
    }
    Ok(())
}

async fn draw(
    pipeline: &Pipeline,
    context: &RequestContext,
    (plan, texts): (&Plan, &Texts),
    (index, frame): (u32, Frame),
    operation: &str,
    events: &Events,
) -> Result<GeneratedImage, Error> {
    let events = events.of_image(index);
    let mut receipts = Receipts::new(plan, frame.seed, false);
    texts.receipt(&mut receipts);
    receipts.operation(operation, &frame.embedding, frame.x_t.as_ref());
    let latents = Latents {
        embedding: Some(frame.embedding),
        noise: Some(NoisePosition { seed: frame.seed, ..Default::default() }),
        x_t: frame.x_t,
        keep: None,
    };
    pipeline.render(context, (plan, texts), latents, receipts, &events).await
}
