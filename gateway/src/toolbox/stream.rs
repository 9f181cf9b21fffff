//! The streams of the operations: what `GenerateImage` streams, in messages of their own.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::{
    DiffImageResponse, EditImageResponse, GenerateImageResponse, InterpolateImagesResponse,
    InvertImageResponse, ReconstructImageResponse, VaryImageResponse, diff_image_response,
    edit_image_response, interpolate_images_response, invert_image_response, reconstruct_image_response,
    vary_image_response,
};
use unclip_service::{Error, RequestContext};

use crate::events::Events;

/// What a streaming handler answers with.
pub(crate) type EventStream<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// How long the answer's head waits until the decoder has taken the request. A refusal before it has a status of its own, which
/// clients retry by; after it there is only the stream's end, so that from then on a full decoder is waited for. Longer, and
/// nobody would see a slow prior's progress.
const HEAD_WAITS: Duration = Duration::from_secs(1);

/// Streams the events of `work`, and at the end what `last` makes of its result. When the client goes away or the deadline
/// passes, `work` is dropped, down to the stages.
///
/// # Errors
/// Those of `work` before the decoder has taken it.
pub(crate) async fn run<M, R, W>(
    context: &RequestContext,
    work: impl FnOnce(Events) -> W,
    last: impl FnOnce(R) -> Option<M> + Send + 'static,
) -> Result<EventStream<M>, Error>
where
    M: EventMessage + Send + 'static,
    R: Send + 'static,
    W: Future<Output = Result<R, Error>> + Send + 'static,
{
    let (events, receiver) = Events::channel();
    let (result, mut ended) = tokio::sync::oneshot::channel();
    let (context, ways) = (context.clone(), events.ways.clone());
    let work = work(events.clone()).boxed();
    let watched = async move {
        tokio::select! {
            // A failed send means that the client is gone.
            done = context.run("pipeline", work) => drop(result.send(done.map(last))),
            () = events.closed() => tracing::info!("the client is gone"),
        }
    };
    tokio::spawn(watched.in_current_span());
    let early = tokio::select! {
        early = &mut ended => Some(early.ok().transpose()?),
        () = ways.begun() => None,
        () = tokio::time::sleep(HEAD_WAITS) => {
            ways.promise();
            None
        }
    };
    let end = async {
        let end = match early {
            Some(end) => end,
            None => ended.await.ok().transpose()?,
        };
        Ok::<_, Error>(end.flatten())
    };
    let messages = ReceiverStream::new(receiver).map(|message| Ok(M::of_event(message)));
    let end = futures::stream::once(end)
        .filter_map(|end| std::future::ready(end.map_err(tonic::Status::from).transpose()));
    Ok(Box::pin(messages.chain(end)))
}

/// A response that carries the events of a drawing.
pub(crate) trait EventMessage {
    /// The response with an event.
    fn of_event(message: GenerateImageResponse) -> Self;
}

impl EventMessage for GenerateImageResponse {
    fn of_event(message: GenerateImageResponse) -> Self {
        message
    }
}

/// The same events in a response of its own.
macro_rules! same_events {
    ($($response:ident in $module:ident),*) => {$(
        impl EventMessage for $response {
            fn of_event(message: GenerateImageResponse) -> Self {
                let event = message.event.map(|event| match event {
                    Event::Progress(progress) => $module::Event::Progress(progress),
                    Event::Preview(preview) => $module::Event::Preview(preview),
                    Event::Image(image) => $module::Event::Image(image),
                });
                Self { event }
            }
        }
    )*};
}

same_events!(
    VaryImageResponse in vary_image_response,
    InterpolateImagesResponse in interpolate_images_response,
    DiffImageResponse in diff_image_response,
    ReconstructImageResponse in reconstruct_image_response,
    EditImageResponse in edit_image_response
);

/// An inversion draws no picture for its stream.
impl EventMessage for InvertImageResponse {
    fn of_event(message: GenerateImageResponse) -> Self {
        let event = message.event.and_then(|event| match event {
            Event::Progress(progress) => Some(invert_image_response::Event::Progress(progress)),
            Event::Preview(preview) => Some(invert_image_response::Event::Preview(preview)),
            Event::Image(_) => None,
        });
        Self { event }
    }
}
