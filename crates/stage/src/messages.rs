//! Events and pictures as the messages of the picture stages. Decoder and upsampler stream the same things in messages of
//! their own.

use unclip_proto::Maker;
use unclip_proto::v1::{
    DecodeResponse, DecodeResult, InvertResponse, InvertResult, UpsampleResponse, UpsampleResult,
    decode_response, invert_response, upsample_response,
};

use crate::{Inverted, Picture, StreamEvent};

macro_rules! picture_messages {
    ($response:ident, $result:ident, $event:path) => {
        impl From<StreamEvent> for $response {
            fn from(event: StreamEvent) -> Self {
                use $event as Event;
                let event = match event {
                    StreamEvent::Progress(progress) => Event::Progress(progress),
                    StreamEvent::Preview(preview) => Event::Preview(preview),
                    StreamEvent::Checkpoint(checkpoint) => Event::Checkpoint(checkpoint),
                };
                Self { event: Some(event) }
            }
        }

        impl From<Picture> for $response {
            fn from(picture: Picture) -> Self {
                use $event as Event;
                let Picture { image, noise, maker: Maker { fingerprint, dtype } } = picture;
                let (image, noise) = (Some(image), Some(noise));
                let result = $result { image, noise, model_fingerprint: fingerprint, dtype };
                Self { event: Some(Event::Result(result)) }
            }
        }
    };
}

picture_messages!(DecodeResponse, DecodeResult, decode_response::Event);
picture_messages!(UpsampleResponse, UpsampleResult, upsample_response::Event);

/// An inversion streams its progress alone.
impl From<StreamEvent> for InvertResponse {
    fn from(event: StreamEvent) -> Self {
        let event = match event {
            StreamEvent::Progress(progress) => Some(invert_response::Event::Progress(progress)),
            StreamEvent::Preview(_) | StreamEvent::Checkpoint(_) => None,
        };
        Self { event }
    }
}

impl From<Inverted> for InvertResponse {
    fn from(Inverted { x_t, maker: Maker { fingerprint, dtype } }: Inverted) -> Self {
        let result = InvertResult { x_t: Some(x_t), model_fingerprint: fingerprint, dtype };
        Self { event: Some(invert_response::Event::Result(result)) }
    }
}
