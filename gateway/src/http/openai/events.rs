//! Answers as server-sent events, of the official types.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value, json};
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::{GeneratedImage, ImagePreview};

use super::answer::{Wanted, about, drawn_size, size, usage};
use super::api::now;
use super::error::ApiError;
use super::files::extension;
use super::news::News;
use super::parameters::Endpoint;

/// A comment after so long keeps proxies from closing a stream that waits.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// After how many of the decoder's steps a preview is wanted, so that `partial_images` of them are spread over its run.
pub(super) fn preview_every(partial_images: u32, steps: u32) -> u32 {
    match partial_images {
        0 => 0,
        count => (steps / (count + 1)).max(1),
    }
}

/// Sends events while pictures are drawn. The gateway has waited until no queue refuses them any more.
pub(super) fn respond(wanted: Wanted, endpoint: Endpoint, news: News) -> Response {
    let writer = Writer { wanted, endpoint, sent: HashMap::new() };
    let events = news.map_err(ApiError::from).scan(Some(writer), |writer, event| {
        let sent = writer.as_mut().map(|own| event.and_then(|event| own.write(event)));
        if matches!(sent, Some(Err(_))) {
            // Nothing follows an error.
            *writer = None;
        }
        std::future::ready(sent)
    });
    let events =
        events.filter_map(|sent| std::future::ready(sent.unwrap_or_else(|error| Some(failed(&error)))));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would hold events back until its buffer is full.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(keep_alive)).into_response()
}

/// Turns the gateway's events into the API's.
struct Writer {
    wanted: Wanted,
    endpoint: Endpoint,
    /// Partial images sent of every picture.
    sent: HashMap<u32, u32>,
}

impl Writer {
    /// What is to be sent, if anything.
    fn write(&mut self, event: Event) -> Result<Option<SentEvent>, ApiError> {
        match event {
            Event::Progress(_) => Ok(None),
            Event::Preview(preview) => Ok(self.partial(&preview)),
            Event::Image(image) => self.completed(&image).map(Some),
        }
    }

    fn partial(&mut self, preview: &ImagePreview) -> Option<SentEvent> {
        let sent = self.sent.entry(preview.image_index).or_default();
        let index = *sent;
        if index >= self.wanted.parameters.partial_images {
            return None;
        }
        *sent += 1;
        let mut members = self.members("partial_image", preview.image_index, &preview.image);
        // A preview is what it is, whatever the picture will be: a PNG of the stage's size.
        members.insert("output_format".to_owned(), "png".into());
        members.insert("size".to_owned(), png_size(&preview.image).into());
        members.insert("partial_image_index".to_owned(), index.into());
        Some(sent_event(&members))
    }

    fn completed(&mut self, image: &GeneratedImage) -> Result<SentEvent, ApiError> {
        // The picture is the last of it: what overtakes it is late.
        self.sent.insert(image.image_index, u32::MAX);
        let mut members = self.members("completed", image.image_index, &image.image);
        members.insert("output_format".to_owned(), extension(self.wanted.parameters.format).into());
        members.insert("size".to_owned(), size(image).into());
        members.insert("usage".to_owned(), usage());
        members.insert("drawn_size".to_owned(), drawn_size(image).into());
        members.insert("ignored_parameters".to_owned(), self.wanted.parameters.ignored.clone().into());
        members.extend(about(image, self.wanted.embeddings)?);
        Ok(sent_event(&members))
    }

    fn members(&self, kind: &str, image_index: u32, image: &[u8]) -> Map<String, Value> {
        let call = match self.endpoint {
            Endpoint::Edits => "image_edit",
            Endpoint::Generations | Endpoint::Variations => "image_generation",
        };
        let members = [
            ("type", json!(format!("{call}.{kind}"))),
            ("b64_json", json!(STANDARD.encode(image))),
            ("created_at", json!(now())),
            ("quality", json!("auto")),
            ("background", json!("opaque")),
            ("image_index", json!(image_index)),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn sent_event(members: &Map<String, Value>) -> SentEvent {
    let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
    SentEvent::default().event(kind).data(json!(members).to_string())
}

fn failed(error: &ApiError) -> SentEvent {
    SentEvent::default().event("error").data(error.object().to_string())
}

/// Width and height out of a PNG's head.
fn png_size(file: &[u8]) -> String {
    let side = |at: usize| {
        file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    };
    format!("{}x{}", side(16), side(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_images_are_spread_over_the_decoders_steps() {
        for (partial_images, steps, expected) in
            [(0, 25, 0), (1, 25, 12), (2, 25, 8), (3, 25, 6), (3, 2, 1), (3, 1, 1)]
        {
            assert_eq!(preview_every(partial_images, steps), expected, "{partial_images} of {steps}");
        }
    }
}
