//! What the gateway streams, whichever of its calls it comes from.

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tonic::Status;
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::{
    EditImageResponse, GenerateImageResponse, VaryImageResponse, edit_image_response, vary_image_response,
};

/// The events of one call.
pub(super) type News = BoxStream<'static, Result<Event, Status>>;

/// A message that brings an event.
pub(super) trait Message {
    /// The event, the same for all calls.
    fn event(self) -> Option<Event>;
}

impl Message for GenerateImageResponse {
    fn event(self) -> Option<Event> {
        self.event
    }
}

/// The same events in a message of its own.
macro_rules! same_events {
    ($($message:ident in $module:ident),*) => {$(
        impl Message for $message {
            fn event(self) -> Option<Event> {
                self.event.map(|event| match event {
                    $module::Event::Progress(progress) => Event::Progress(progress),
                    $module::Event::Preview(preview) => Event::Preview(preview),
                    $module::Event::Image(image) => Event::Image(image),
                })
            }
        }
    )*};
}

same_events!(EditImageResponse in edit_image_response, VaryImageResponse in vary_image_response);

/// The events of a call's stream.
pub(super) fn news<M: Message + Send + 'static>(
    messages: impl Stream<Item = Result<M, Status>> + Send + 'static,
) -> News {
    let event = |message: Result<M, Status>| std::future::ready(message.map(M::event).transpose());
    messages.filter_map(event).boxed()
}
