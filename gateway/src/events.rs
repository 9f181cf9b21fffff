//! What a request streams to its client while it runs.

use tokio::sync::mpsc;
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::{
    GenerateImageResponse, GeneratedImage, ImagePreview, Preview, Progress, Stage, StageProgress,
};
use unclip_service::Error;

use crate::picture::{self, FileFormat};

/// Messages that may wait for a slow client. Progress and previews beyond that are dropped: the next one replaces them.
const CAPACITY: usize = 64;

/// What the client gets.
pub(crate) type Message = Result<GenerateImageResponse, tonic::Status>;

/// The sending end of a request's stream.
#[derive(Clone)]
pub(crate) struct Events {
    sender: mpsc::Sender<Message>,
}

impl Events {
    /// A stream's two ends.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self { sender }, receiver)
    }

    /// Resolves when the client is gone.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Sends a picture, waiting for room. When the client is gone there is nobody to tell.
    pub(crate) async fn image(&self, image: GeneratedImage) {
        let _ = self.sender.send(Ok(message(Event::Image(image)))).await;
    }

    /// Ends the stream with an error.
    pub(crate) async fn fail(&self, error: Error) {
        let _ = self.sender.send(Err(error.into())).await;
    }

    /// The events of one picture.
    pub(crate) fn of_image(&self, image_index: u32) -> ImageEvents {
        ImageEvents { events: self.clone(), image_index }
    }
}

/// Events of one picture.
#[derive(Clone)]
pub(crate) struct ImageEvents {
    events: Events,
    image_index: u32,
}

impl ImageEvents {
    /// The picture, from 0.
    pub(crate) fn index(&self) -> u32 {
        self.image_index
    }

    /// A stage's progress.
    pub(crate) fn progress(&self, stage: Stage, progress: Progress) {
        let progress =
            StageProgress { image_index: self.image_index, stage: stage as i32, progress: Some(progress) };
        let _ = self.events.sender.try_send(Ok(message(Event::Progress(progress))));
    }

    /// A stage that is done, also where a cache did its work.
    pub(crate) fn done(&self, stage: Stage, steps: u32) {
        self.progress(stage, Progress { step: steps, steps });
    }

    /// A stage's estimate, as a PNG. A preview that can't be made is only logged: the picture will tell.
    pub(crate) fn preview(&self, stage: Stage, preview: &Preview) {
        let Some(image) = encode(preview) else {
            tracing::warn!(?stage, "a preview could not be encoded");
            return;
        };
        let preview = ImagePreview {
            image_index: self.image_index,
            stage: stage as i32,
            step: preview.step,
            image: image.into(),
        };
        let _ = self.events.sender.try_send(Ok(message(Event::Preview(preview))));
    }
}

/// From [-1, 1] to a PNG.
fn encode(preview: &Preview) -> Option<Vec<u8>> {
    let tensor = preview.x_0.as_ref()?;
    let shape = tensor.checked_shape("x_0").ok()?;
    let values: Vec<f32> =
        tensor.floats("x_0", &shape).ok()?.iter().map(|value| value.midpoint(1.0)).collect();
    let [3, height, width] = tensor.shape[..] else {
        return None;
    };
    picture::encode(&values, height, width, FileFormat::Png).ok()
}

fn message(event: Event) -> GenerateImageResponse {
    GenerateImageResponse { event: Some(event) }
}
