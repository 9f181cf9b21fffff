//! Batches made ahead of their step.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::Inputs;
use crate::TrainError;

/// The steps' batches in order, made by other threads: worker `w` of `n` makes those of steps `w`, `w + n` and so on.
pub(super) struct Prefetch {
    channels: Vec<Mutex<Receiver<Result<Inputs, TrainError>>>>,
    first: u64,
}

/// Batches that a worker has ready at most.
const AHEAD: usize = 2;

impl Prefetch {
    /// Starts workers for the steps `first..end`. They end when the last batch is taken or this is dropped.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        workers: usize,
        first: u64,
        end: u64,
        make: &'scope (dyn Fn(u64) -> Result<Inputs, TrainError> + Sync),
    ) -> Self {
        let workers = workers.max(1);
        let channels = (0..workers).map(|worker| {
            let (sender, receiver) = sync_channel(AHEAD);
            let steps = (first..end).skip(worker).step_by(workers);
            scope.spawn(move || work(steps, &sender, make));
            Mutex::new(receiver)
        });
        Self { channels: channels.collect(), first }
    }

    /// The batch of a step; steps must be asked for in order.
    pub(super) fn take(&self, step: u64) -> Result<Inputs, TrainError> {
        let gone = || TrainError::Thread("a thread that makes batches");
        let worker = usize::try_from(step - self.first).unwrap_or_default() % self.channels.len();
        let channel = self.channels.get(worker).ok_or_else(gone)?;
        channel.lock().map_err(|_| gone())?.recv().map_err(|_| gone())?
    }
}

fn work(
    steps: impl Iterator<Item = u64>,
    sender: &SyncSender<Result<Inputs, TrainError>>,
    make: &(dyn Fn(u64) -> Result<Inputs, TrainError> + Sync),
) {
    unclip_models::set_threads(1);
    for step in steps {
        if sender.send(make(step)).is_err() {
            return;
        }
    }
}
