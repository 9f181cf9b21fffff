//! All jobs of a request, followed to their end.

use futures::future::try_join_all;
use tokio::sync::mpsc;
use unclip_engine::{Event, Finished, JobHandle};
use unclip_proto::v1::Progress;
use unclip_service::Error;
use unclip_stage::job_error;

/// Waits for every job; `progress` hears how far the one is that is furthest behind. The first failure ends all: the other
/// jobs are cancelled.
pub(crate) async fn run(
    stage: &str,
    handles: Vec<JobHandle>,
    mut progress: impl FnMut(Progress),
) -> Result<Vec<Finished>, Error> {
    let mut done = vec![0; handles.len()];
    let mut reported = 0;
    let (sender, mut news) = mpsc::unbounded_channel();
    let jobs = try_join_all(
        handles.into_iter().enumerate().map(|(job, handle)| follow(stage, job, handle, sender.clone())),
    );
    tokio::pin!(jobs);
    loop {
        tokio::select! {
            result = &mut jobs => return result,
            Some((job, step, steps)) = news.recv() => {
                if let Some(mine) = done.get_mut(job) {
                    *mine = step;
                }
                let step = done.iter().copied().min().unwrap_or_default();
                if step > reported {
                    reported = step;
                    progress(Progress { step, steps });
                }
            }
        }
    }
}

async fn follow(
    stage: &str,
    job: usize,
    mut handle: JobHandle,
    news: mpsc::UnboundedSender<(usize, u32, u32)>,
) -> Result<Finished, Error> {
    while let Some(event) = handle.next_event().await {
        if let Event::Progress { step, steps } = event {
            // The receiver lives as long as this future.
            let _ = news.send((job, step, steps));
        }
    }
    handle.finish().await.map_err(|error| job_error(stage, &error))
}
