//! A job's events as a stream of messages.

use std::pin::Pin;

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;
use unclip_engine::{Event, Finished, JobHandle};
use unclip_proto::v1::{Checkpoint, Preview, Progress, Tensor};

use crate::{job_error, noise_message};

/// What a streaming handler answers with.
pub type StageStream<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// One or two messages wait for a slow client; the engine keeps the newest of what comes meanwhile.
const CAPACITY: usize = 2;

/// An event in terms of the contracts.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    /// How far the job is.
    Progress(Progress),
    /// The current estimate.
    Preview(Preview),
    /// A place to go on from.
    Checkpoint(Checkpoint),
}

/// Streams the events of a job whose sample has this shape, each made into a message by `event`, and its result, made into
/// the last message by `result`. When the client drops the stream, the job is cancelled.
pub(crate) fn forward<M: Send + 'static>(
    stage: &'static str,
    handle: JobHandle,
    shape: Vec<usize>,
    event: impl Fn(StreamEvent) -> M + Send + 'static,
    result: impl FnOnce(Finished) -> M + Send + 'static,
) -> StageStream<M> {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let work = async move {
        tokio::select! {
            () = sender.closed() => tracing::debug!(stage, "the client is gone"),
            () = pump(stage, handle, &shape, &sender, event, result) => {}
        }
    };
    tokio::spawn(work.in_current_span());
    Box::pin(ReceiverStream::new(receiver))
}

async fn pump<M>(
    stage: &'static str,
    mut handle: JobHandle,
    shape: &[usize],
    sender: &mpsc::Sender<Result<M, Status>>,
    event: impl Fn(StreamEvent) -> M,
    result: impl FnOnce(Finished) -> M,
) {
    while let Some(next) = handle.next_event().await {
        if sender.send(Ok(event(describe(next, shape)))).await.is_err() {
            return;
        }
    }
    let last = handle.finish().await.map_err(|error| job_error(stage, &error)).map(result);
    // A client that is gone by now is nobody to tell.
    let _ = sender.send(last.map_err(Status::from)).await;
}

fn describe(event: Event, shape: &[usize]) -> StreamEvent {
    match event {
        Event::Progress { step, steps } => StreamEvent::Progress(Progress { step, steps }),
        Event::Preview { step, x_0 } => {
            StreamEvent::Preview(Preview { step, x_0: Some(Tensor::from_f32(shape, &x_0)) })
        }
        Event::Checkpoint { step, x_t, noise } => StreamEvent::Checkpoint(Checkpoint {
            step,
            x_t: Some(Tensor::from_f32(shape, &x_t)),
            noise: Some(noise_message(noise)),
        }),
    }
}
