//! The streams of the operations: what `GenerateImage` streams, in messages of their own.

use std::future::Future;
use std::pin::Pin;

use futures::{Stream, StreamExt};
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
use unclip_service::Error;

use crate::events::Events;

/// What a streaming handler answers with.
pub(crate) type EventStream<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// Streams the events of `work`, and at the end what `last` makes of its result. When the client goes away, `work` is
/// dropped, down to the stages.
pub(crate) fn run<M, R, W>(
    work: impl FnOnce(Events) -> W,
    last: impl FnOnce(R) -> Option<M> + Send + 'static,
) -> EventStream<M>
where
    M: EventMessage + Send + 'static,
    R: Send + 'static,
    W: Future<Output = Result<R, Error>> + Send + 'static,
{
    let (events, receiver) = Events::channel();
    let (result, ended) = tokio::sync::oneshot::channel();
    let work = work(events.clone());
    let watched = async move {
        tokio::select! {
            done = work => match done {
                // A failed send means that the client is gone.
                Ok(value) => drop(result.send(last(value))),
                Err(error) => events.fail(error).await,
            },
            () = events.closed() => tracing::info!("the client is gone"),
        }
    };
    tokio::spawn(watched.in_current_span());
    let messages = ReceiverStream::new(receiver).map(|message| message.map(M::of_event));
    let end = futures::stream::once(ended)
        .filter_map(|value| std::future::ready(value.ok()))
        .filter_map(std::future::ready)
        .map(Ok);
    Box::pin(messages.chain(end))
}

/// A response that carries the events of a drawing.
pub(crate) trait EventMessage {
    /// The response with an event.
    fn of_event(message: GenerateImageResponse) -> Self;
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
