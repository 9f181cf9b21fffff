//! What a request streams to its client while it runs.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use unclip_pictures::Pool;
use unclip_proto::v1::generate_image_response::Event;
use unclip_proto::v1::{
    GenerateImageResponse, GeneratedImage, ImagePreview, Preview, Progress, Stage, StageProgress,
};

use crate::entrance::Entrance;
use crate::picture;

/// Messages that may wait for a slow client. Progress and previews beyond that are dropped: the next one replaces them.
const CAPACITY: usize = 64;

/// What a request's pictures share on their way.
#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) prior: Entrance,
    pub(crate) decoder: Entrance,
    pub(crate) upsampler: Entrance,
    begun: Notify,
}

impl Ways {
    fn new() -> Self {
        Self {
            prior: Entrance::default(),
            decoder: Entrance::default(),
            // What comes there is drawn already: it waits.
            upsampler: Entrance::open(),
            begun: Notify::new(),
        }
    }

    /// The decoder has taken the request: no queue refuses it any more.
    pub(crate) fn begin(&self) {
        self.begun.notify_one();
    }

    /// The client is told that it will be drawn: from now on the decoder is waited for.
    pub(crate) fn promise(&self) {
        self.decoder.promise();
    }

    /// Resolves when the decoder has taken the request.
    pub(crate) async fn begun(&self) {
        self.begun.notified().await;
    }
}

/// The sending end of a request's stream.
#[derive(Clone)]
pub(crate) struct Events {
    sender: mpsc::Sender<GenerateImageResponse>,
    pub(crate) ways: Arc<Ways>,
}

impl Events {
    /// A stream's two ends.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<GenerateImageResponse>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self { sender, ways: Arc::new(Ways::new()) }, receiver)
    }

    /// Resolves when the client is gone.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Sends a picture, waiting for room. When the client is gone there is nobody to tell.
    pub(crate) async fn image(&self, image: GeneratedImage) {
        let _ = self.sender.send(message(Event::Image(image))).await;
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

    /// The request's ways into the stages.
    pub(crate) fn ways(&self) -> &Ways {
        &self.events.ways
    }

    /// A stage's progress.
    pub(crate) fn progress(&self, stage: Stage, progress: Progress) {
        let progress =
            StageProgress { image_index: self.image_index, stage: stage as i32, progress: Some(progress) };
        let _ = self.events.sender.try_send(message(Event::Progress(progress)));
    }

    /// A stage that is done, also where a cache did its work.
    pub(crate) fn done(&self, stage: Stage, steps: u32) {
        self.progress(stage, Progress { step: steps, steps });
    }

    /// A stage's estimate, as a PNG, encoded in the pool. A preview that can't be made is only logged: the picture will tell.
    pub(crate) async fn preview(&self, pool: &Pool, stage: Stage, preview: Preview) {
        // Nobody reads fast enough: it would be encoded for nothing.
        if self.events.sender.capacity() == 0 {
            return;
        }
        let step = preview.step;
        let image = match picture::estimate(pool, preview).await {
            Ok(file) => file.into(),
            Err(error) => return tracing::warn!(?stage, %error, "a preview could not be encoded"),
        };
        let preview = ImagePreview { image_index: self.image_index, stage: stage as i32, step, image };
        let _ = self.events.sender.try_send(message(Event::Preview(preview)));
    }
}

fn message(event: Event) -> GenerateImageResponse {
    GenerateImageResponse { event: Some(event) }
}
